//! Passwords in definitions: found wherever they stand, and replaced by references.

use enginehouse_model::{FullName, SecretName};
use enginehouse_tree::{Definition, KeyPath, SECRET_MAX, name_keys, sealed_value};
use serde_json::{Value, json};

fn name(text: &str) -> FullName {
    text.parse().unwrap()
}

fn definition(document: Value) -> Definition {
    Definition::from_json(&document).unwrap()
}

/// Every place that holds a secret, each with another one.
fn everywhere() -> Value {
    json!({
        "hypervisors": {"h": {"host": "a", "password": "s-1"}},
        "prototypes": {"p": {"guest": {"domain": {"domain": "d", "password": "s-2"}}}},
        "guest": {
            "users": [
                {"name": "a", "passwd": "s-3", "lock_passwd": false, "uid": 5},
                {"name": "b", "password": {"hash": "s-4", "rounds": 7}},
            ],
            "dns": {"servers": ["192.0.2.53"], "tsig": {"secret": ["s-5", "s-6"]}},
            "domain": {"domain": "d", "password": "s-7"},
            "user_data": "#cloud-config",
        },
    })
}

fn sealed(document: Value) -> (Value, Vec<(String, String)>) {
    let mut definition = definition(document);
    let mut kept = Vec::new();
    definition.seal(&mut |way, text| {
        kept.push((way.join("."), text.to_owned()));
        SecretName::generated(&name("/web"), name_keys(way), 1)
    });
    (definition.to_json(), kept)
}

#[test]
fn every_literal_is_replaced_by_a_reference_and_nothing_else_changes() {
    let (document, kept) = sealed(everywhere());
    let kept: Vec<_> = kept
        .iter()
        .map(|(key, text)| (key.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        kept,
        [
            ("hypervisors.h.password", "s-1"),
            ("prototypes.p.guest.domain.password", "s-2"),
            ("guest.users.0.passwd", "s-3"),
            ("guest.users.1.password.hash", "s-4"),
            ("guest.users.1.password.rounds", "7"),
            ("guest.dns.tsig.secret.0", "s-5"),
            ("guest.dns.tsig.secret.1", "s-6"),
            ("guest.domain.password", "s-7"),
        ]
    );
    assert!(!document.to_string().contains("s-"), "{document}");
    assert_eq!(
        document["hypervisors"]["h"]["password"],
        json!({"secret": "web/h.password"})
    );
    let user = &document["guest"]["users"][0];
    assert_eq!(
        *user,
        json!({"name": "a", "passwd": {"secret": "web/guest.users.0.passwd"}, "lock_passwd": false, "uid": 5})
    );
    // What was replaced is a definition, without literals, and says the same.
    let read = definition(document.clone());
    assert!(!read.has_literals());
    assert_eq!(read.to_json(), document);
    assert_eq!(read.redacted(), document);
    assert_eq!(sealed(document.clone()), (document, Vec::new()));
}

#[test]
fn references_are_found_with_their_keys() {
    let definition = definition(json!({
        "hypervisors": {
            "a": {"password": {"secret": "web/a.password"}},
            "b": {"password": {"env": "B"}},
            "c": null,
        },
        "guest": {"users": [{"password": {"secret": "users/root"}}], "domain": {"password": {"file": "/d"}}},
    }));
    let found: Vec<String> = definition
        .secrets()
        .iter()
        .map(|(key, secret)| format!("{key} {secret:?}"))
        .collect();
    assert_eq!(
        found,
        [
            "hypervisors.a.password Named(web/a.password)",
            "hypervisors.b.password Env(\"B\")",
            "guest.users.0.password Named(users/root)",
            "guest.domain.password File(\"/d\")",
        ]
    );
    let names: Vec<String> = definition
        .secret_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["web/a.password", "users/root"]);
    assert!(!definition.has_literals());
}

#[test]
fn a_name_that_is_none_is_refused_without_being_repeated() {
    for wrong in ["..", "/..", "a b", "hunter2!"] {
        let problems =
            Definition::from_json(&json!({"hypervisors": {"h": {"password": {"secret": wrong}}}}))
                .unwrap_err();
        let text = problems[0].to_string();
        assert!(text.contains("secret list"), "{text}");
        assert!(!text.contains(wrong), "{text}");
    }
}

#[test]
fn settings_take_no_literals_and_the_hint_says_where_they_belong() {
    for (document, key, hint) in [
        (
            json!({"hypervisors": {"h": {"settings": {"api_token": "s-1"}}}}),
            "hypervisors.h.settings.api_token",
            "`password` of the entry",
        ),
        (
            json!({"settings": {"cipassword": "s-1"}}),
            "settings.cipassword",
            "below `guest`",
        ),
        (
            json!({"settings": {"cloud": {"secret": ["s-1"]}}}),
            "settings.cloud.secret.0",
            "below `guest`",
        ),
        (
            json!({"prototypes": {"p": {"settings": {"passwd": 1234}}}}),
            "prototypes.p.settings.passwd",
            "below `guest`",
        ),
        (
            json!({"guest": {"users": [{"password": "(secret)"}]}}),
            "guest.users.0.password",
            "write the secret again",
        ),
        (
            json!({"hypervisors": {"h": {"password": "x".repeat(SECRET_MAX + 1)}}}),
            "hypervisors.h.password",
            "name a file",
        ),
    ] {
        let problems = definition(document).refused_literals();
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}");
        };
        assert_eq!(problem.key.to_string(), key);
        let text = problem.to_string();
        assert!(text.contains(hint), "{text}");
        assert!(!text.contains("s-1") && text.len() < 400, "{text}");
    }
    let fine = json!({
        "settings": {"password_login": true, "secret": null, "tags": ["a"]},
        "hypervisors": {"h": {"password": "x".repeat(SECRET_MAX), "settings": {"node": "pve1"}}},
    });
    assert!(definition(fine).refused_literals().is_empty());
}

#[test]
fn the_value_of_a_single_edit_is_sealed_as_the_whole_would_be() {
    let seal = |key: &str, value: Value| {
        let key: KeyPath = key.parse().unwrap();
        sealed_value(&name("/web"), &key, &value, &mut |way, _| {
            SecretName::generated(&name("/web"), name_keys(way), 1)
        })
    };
    let reference = json!({"secret": "web/h.password"});
    assert_eq!(
        seal("hypervisors.h.password", json!("s-1")).unwrap(),
        reference
    );
    assert_eq!(
        seal("hypervisors.h", json!({"username": "u", "password": "s-1"})).unwrap(),
        json!({"user": "u", "password": reference})
    );
    assert_eq!(
        seal("hypervisors", json!({"h": {"password": "s-1"}, "i": null})).unwrap(),
        json!({"h": {"password": reference}, "i": null})
    );
    // Without a literal the value stays as it was sent.
    let plain = json!({"username": "u", "password": {"env": "P"}});
    assert_eq!(seal("hypervisors.h", plain.clone()).unwrap(), plain);
    assert_eq!(seal("memory", Value::Null).unwrap(), Value::Null);

    // No definition by itself, and none of our business; the edit refuses what is wrong with it.
    let typo = json!("s-1");
    assert_eq!(seal("hypervisors.h.pasword", typo.clone()).unwrap(), typo);
    let header = json!("x-api-key");
    assert_eq!(
        seal("hypervisors.h.auth.header", header.clone()).unwrap(),
        header
    );

    for (key, value) in [
        ("settings.api_token", json!("s-1")),
        ("hypervisors.h.password", json!(["s-1"])),
    ] {
        let error = seal(key, value).unwrap_err().to_string();
        assert!(error.contains("/web") && !error.contains("s-1"), "{error}");
    }
}
