//! Keys of a definition that only `govern` may change: they say which hypervisors there are, what
//! protects machines, and what the host does by itself. A reference to a secret, or to the host's
//! environment or files, is one of them wherever it stands: who may write it can have a machine told
//! what it leads to.

use crate::definition::Definition;
use crate::entries::Entries;
use crate::hypervisor::HypervisorEntry;
use crate::key_path::below;
use crate::secret::Secret;
use crate::written::Written;

/// Keys at the top of a definition that are governed. Prototypes cannot hold any of them.
pub const GOVERNED_KEYS: [&str; 7] = [
    "hypervisors",
    "filter_hypervisors_allow",
    "destruction_limit",
    "protect",
    "policy",
    "follow",
    "approvals",
];

/// The governed keys that differ between two definitions of a node, as people write them:
/// `hypervisors.pve1`, `protect`, `guest.domain.password`. Empty: `operate` is enough for the change.
#[must_use]
pub fn governed_difference(before: &Definition, after: &Definition) -> Vec<String> {
    let mut keys = governed_key_difference(before, after);
    let known = references(before);
    for found in references(after) {
        if !known.contains(&found) {
            keys.push(found.0);
        }
    }
    keys
}

/// The same without references: for a change that was judged when it was taken in, and whose plain
/// passwords have become references since.
#[must_use]
pub fn governed_key_difference(before: &Definition, after: &Definition) -> Vec<String> {
    let mut keys = Vec::new();
    hypervisors(&before.hypervisors, &after.hypervisors, &mut keys);
    let (old, new) = (&before.rules, &after.rules);
    for (key, differs) in [
        (
            "filter_hypervisors_allow",
            before.filter_hypervisors_allow != after.filter_hypervisors_allow,
        ),
        (
            "destruction_limit",
            before.destruction_limit != after.destruction_limit,
        ),
        ("protect", old.protect != new.protect),
        ("policy", old.policy != new.policy),
        ("follow", old.follow != new.follow),
        ("approvals", old.approvals != new.approvals),
    ] {
        if differs {
            keys.push(key.to_owned());
        }
    }
    keys
}

/// The governed keys that a definition has written: what a new node with it, or the removal or move
/// of that node, needs `govern` for.
#[must_use]
pub fn governed_keys(definition: &Definition) -> Vec<String> {
    governed_difference(&Definition::default(), definition)
}

type Hypervisors = Written<Entries<HypervisorEntry>>;

fn hypervisors(before: &Hypervisors, after: &Hypervisors, keys: &mut Vec<String>) {
    if before == after {
        return;
    }
    let first = keys.len();
    if let (Written::Set(_) | Written::Absent, Written::Set(_) | Written::Absent) = (before, after)
    {
        let entry = |of: &Hypervisors, name: &str| of.set().and_then(|e| e.0.get(name).cloned());
        let names = [before, after].into_iter().filter_map(Written::set);
        for name in names.flat_map(|entries| entries.0.keys()) {
            let key = below("hypervisors", name);
            if entry(before, name) != entry(after, name) && !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    if keys.len() == first {
        keys.push("hypervisors".to_owned());
    }
}

/// Where a definition leads to a secret, the host's environment or a file, outside of `hypervisors`:
/// every place at which the host would follow a reference.
fn references(definition: &Definition) -> Vec<(String, Secret)> {
    let secrets = definition.secrets().into_iter();
    secrets
        .filter(|(key, secret)| {
            let is_entry = key.keys().first().is_some_and(|top| top == "hypervisors");
            !is_entry && !matches!(secret, Secret::Literal(_))
        })
        .map(|(key, secret)| (key.to_string(), secret))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn difference(before: &Value, after: &Value) -> Vec<String> {
        governed_difference(
            &Definition::from_json(before).unwrap(),
            &Definition::from_json(after).unwrap(),
        )
    }

    #[test]
    fn what_a_machine_is_made_of_is_not_governed() {
        let after = json!({
            "use_hypervisor": "pve1", "use_prototype": "small", "vcpu": 2, "memory": "4GiB",
            "prototypes": {"small": {"memory": "1GiB"}}, "labels": {"env": "prod"},
            "settings": {"ostype": "l26"}, "on_failure": "rollback", "depends_on": ["/db"],
            "guest": {"domain": {"domain": "d", "password": "typed"}}
        });
        assert_eq!(difference(&json!({}), &after), [""; 0]);
        assert_eq!(difference(&after, &json!({})), [""; 0]);
    }

    #[test]
    fn every_governed_key_is_seen_also_when_it_is_unset_or_removed() {
        let values = json!({
            "hypervisors": {"pve1": {"type": "proxmox", "host": "h", "password": "p"}},
            "filter_hypervisors_allow": ["pve1"], "protect": true, "policy": "observe",
            "follow": true, "approvals": {"need": 1, "keys": ["k"]},
            "destruction_limit": {"per_hour": 5}
        });
        for key in GOVERNED_KEYS {
            let written = json!({ key: values[key] });
            let expected = match key {
                "hypervisors" => "hypervisors.pve1",
                other => other,
            };
            assert_eq!(difference(&json!({}), &written), [expected]);
            assert_eq!(difference(&written, &json!({})), [expected]);
            assert_eq!(difference(&json!({}), &json!({ key: null })), [key]);
            assert_eq!(difference(&written, &written), [""; 0]);
        }
    }

    #[test]
    fn hypervisor_entries_are_named_each() {
        let entry = |password: &str| json!({"type": "proxmox", "host": "h", "password": password});
        let before = json!({"hypervisors": {"a": entry("1"), "b": entry("2"), "c": entry("3")}});
        let after = json!({"hypervisors": {"d": entry("4"), "b": entry("2"), "c": entry("x")}});
        assert_eq!(
            difference(&before, &after),
            ["hypervisors.a", "hypervisors.c", "hypervisors.d"]
        );
        assert_eq!(
            difference(&json!({}), &json!({"hypervisors": {}})),
            ["hypervisors"]
        );
        assert_eq!(
            difference(&json!({}), &json!({"hypervisors": {"a": null}})),
            ["hypervisors.a"]
        );
    }

    #[test]
    fn a_reference_is_governed_wherever_it_stands() {
        let shadow = json!({"file": "/etc/shadow"});
        for (key, written) in [
            (
                "guest.domain.password",
                json!({"guest": {"domain": {"password": shadow}}}),
            ),
            (
                "guest.users.0.password",
                json!({"guest": {"users": [{"password": shadow}]}}),
            ),
            (
                "guest.domain.password",
                json!({"guest": {"domain": {"password": {"secret": "pve/password"}}}}),
            ),
            (
                "guest.users.0.passwords.root",
                json!({"guest": {"users": [{"passwords": {"root": shadow}}]}}),
            ),
            (
                "settings.tokens.ci.0",
                json!({"settings": {"tokens": {"ci": [{"env": "PATH"}]}}}),
            ),
            (
                "settings.cipassword",
                json!({"settings": {"cipassword": {"env": "PATH"}}}),
            ),
            (
                "prototypes.p.guest.domain.password",
                json!({"prototypes": {"p": {"guest": {"domain": {"password": shadow}}}}}),
            ),
        ] {
            assert_eq!(difference(&json!({}), &written), [key]);
            let definition = Definition::from_json(&written).unwrap();
            let keys = governed_key_difference(&Definition::default(), &definition);
            assert_eq!(keys, [""; 0]);
            // To take one away, or to leave it, gives nothing away.
            assert_eq!(difference(&written, &json!({})), [""; 0]);
            assert_eq!(difference(&written, &written), [""; 0]);
        }
    }
}
