//! What protects the machines of a node, and what the host may do to them by itself: as it results
//! there, and what a change of it lowers.

use crate::computed::Computed;
use crate::destruction::{self, DestructionLimit};
use crate::rules::{Approvals, Policy};
use crate::secret::Secrets;
use crate::written::Leaf;

/// The protection of a node and all below it that does not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    pub protect: bool,
    pub policy: Policy,
    pub follow: bool,
    pub approvals: Option<Approvals>,
    /// The root's first.
    pub destruction_limits: Vec<DestructionLimit>,
}

/// A key of it that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardChange {
    pub key: &'static str,
    /// As it is written in a definition.
    pub before: String,
    pub after: String,
    /// More can happen to the machines after it than before.
    pub lowers: bool,
}

impl Computed {
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard {
            protect: self.protect(),
            policy: self.policy(),
            follow: self.follow(),
            approvals: self.approvals().cloned(),
            destruction_limits: {
                let limits = self.destruction_limits().iter();
                limits.map(|limit| limit.value).collect()
            },
        }
    }
}

impl Guard {
    /// What is different in `after`.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<GuardChange> {
        let mut changes = Vec::new();
        let mut change = |key, before: String, after: String, lowers| {
            changes.push(GuardChange {
                key,
                before,
                after,
                lowers,
            });
        };
        if self.protect != after.protect {
            let (before, after) = (self.protect, after.protect);
            change("protect", before.to_string(), after.to_string(), before);
        }
        if self.policy != after.policy {
            let word = |policy: Policy| match policy.json(Secrets::Hidden) {
                serde_json::Value::String(word) => word,
                other => other.to_string(),
            };
            let lowers = after.policy > self.policy;
            change("policy", word(self.policy), word(after.policy), lowers);
        }
        if self.follow != after.follow {
            let (before, after) = (self.follow, after.follow);
            change("follow", before.to_string(), after.to_string(), after);
        }
        if self.approvals != after.approvals {
            let (before, after) = (self.approvals.as_ref(), after.approvals.as_ref());
            change(
                "approvals",
                shown(before),
                shown(after),
                is_less(before, after),
            );
        }
        if self.destruction_limits != after.destruction_limits {
            let (before, after) = (&self.destruction_limits, &after.destruction_limits);
            let lowers = destruction::is_less(before, after);
            change(
                "destruction_limit",
                limits_shown(before),
                limits_shown(after),
                lowers,
            );
        }
        changes
    }
}

/// `{"per_hour":5}`; those of all levels, where there are several.
fn limits_shown(limits: &[DestructionLimit]) -> String {
    match limits {
        [] => "none".to_owned(),
        limits => {
            let each = limits.iter().map(|limit| limit.json(Secrets::Hidden));
            let each: Vec<String> = each.map(|limit| limit.to_string()).collect();
            each.join(" and ")
        }
    }
}

fn shown(approvals: Option<&Approvals>) -> String {
    approvals.map_or_else(
        || "none".to_owned(),
        |approvals| approvals.json(Secrets::Hidden).to_string(),
    )
}

/// Fewer signatures are enough, or somebody may sign who could not before.
fn is_less(before: Option<&Approvals>, after: Option<&Approvals>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => {
            after.need < before.need || after.keys.iter().any(|key| !before.keys.contains(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approvals(need: u32, keys: &[&str]) -> Option<Approvals> {
        Some(Approvals {
            need,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        })
    }

    #[test]
    fn what_lets_more_happen_is_lower() {
        let strict = Guard {
            protect: true,
            policy: Policy::Observe,
            follow: false,
            approvals: approvals(2, &["a", "b", "c"]),
            destruction_limits: vec![DestructionLimit {
                per_hour: Some(5),
                percent: None,
            }],
        };
        let loose = Guard {
            protect: false,
            policy: Policy::Disruptive,
            follow: true,
            approvals: None,
            destruction_limits: Vec::new(),
        };
        let keys = |changes: Vec<GuardChange>, lowers: bool| {
            let keys = changes.into_iter().filter(|change| change.lowers == lowers);
            keys.map(|change| change.key).collect::<Vec<_>>()
        };
        let all = [
            "protect",
            "policy",
            "follow",
            "approvals",
            "destruction_limit",
        ];
        assert_eq!(keys(strict.changes(&loose), true), all);
        assert_eq!(keys(loose.changes(&strict), false), all);
        assert_eq!(strict.changes(&strict), []);
        let shown: Vec<String> = strict
            .changes(&loose)
            .into_iter()
            .skip(3)
            .map(|change| format!("{} -> {}", change.before, change.after))
            .collect();
        assert_eq!(
            shown,
            [
                r#"{"need":2,"keys":["a","b","c"]} -> none"#,
                r#"{"per_hour":5} -> none"#
            ]
        );
    }

    #[test]
    fn another_key_is_lower_and_one_less_is_not() {
        let with = |approvals| Guard {
            approvals,
            ..Guard::default()
        };
        let lowers = |before, after| {
            let changes = with(before).changes(&with(after));
            changes.first().map(|change| change.lowers)
        };
        let two = || approvals(2, &["a", "b", "c"]);
        assert_eq!(lowers(two(), two()), None);
        assert_eq!(lowers(two(), approvals(2, &["a", "b"])), Some(false));
        assert_eq!(lowers(two(), approvals(3, &["a", "b", "c"])), Some(false));
        assert_eq!(lowers(two(), approvals(1, &["a", "b", "c"])), Some(true));
        assert_eq!(lowers(two(), approvals(2, &["a", "b", "d"])), Some(true));
        assert_eq!(lowers(None, two()), Some(false));
        assert_eq!(lowers(two(), None), Some(true));
    }
}
