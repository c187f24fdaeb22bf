//! A configuration that is lent where it is the same.

use std::borrow::Cow;

use enginehouse_model::documents::Config;
use serde_json::{Map, Value, json};

use crate::common::Estate;

/// A machine with a value at every key.
fn full() -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({"settings": {"onboot": true}, "guest": {"dns": {"servers": ["192.0.2.53"]}}}),
    );
    estate.provision(
        "/vm1",
        json!({
            "base_image": "d12", "vcpu": 2, "memory": "4GiB", "description": "x", "power": "running",
            "labels": {"a": "1", "b": "2"},
            "placement": {"host": "n1", "cluster": "c", "pool": "p", "folder": "f"},
            "disks": {"root": {"size": "8GiB", "storage": "local", "storage_class": "fast", "bus": "scsi", "keep": true}},
            "nics": {"lan": {"network": "vmbr0", "vlan": 20, "mac": "02:00:00:00:00:01", "adapter": "virtio",
                             "addresses": ["192.0.2.10/24"], "gateway": "192.0.2.1"}},
            "guest": {"hostname": "web", "users": [{"name": "me", "password": {"env": "PW"}}], "ssh_keys": ["ssh-ed25519 AAAA"],
                      "domain": {"domain": "example.com", "account": "join", "password": {"env": "JOIN"}},
                      "user_data": "#cloud-config"},
            "settings": {"numa": true, "args": [1, {"x": null}]},
        }),
    );
    estate
}

/// Every document that lacks one member of this one, or has another value or one more in it.
fn variants(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let mut without = members.clone();
                without.shift_remove(key);
                all.push(Value::Object(without));
                for variant in variants(member) {
                    let mut with: Map<String, Value> = members.clone();
                    with.insert(key.clone(), variant);
                    all.push(Value::Object(with));
                }
            }
            let mut more = members.clone();
            more.insert("another".to_owned(), json!("value"));
            all.push(Value::Object(more));
        }
        Value::Array(items) => {
            all.push(json!([]));
            let mut more = items.clone();
            more.push(json!("another"));
            all.push(Value::Array(more));
        }
        Value::String(text) => all.push(json!(format!("{text}x"))),
        Value::Number(number) => all.push(json!(number.as_u64().unwrap() + 1)),
        Value::Bool(is) => all.push(json!(!is)),
        Value::Null => all.push(json!(0)),
    }
    all
}

#[test]
fn it_is_lent_exactly_where_it_is_the_same() {
    let estate = full();
    let computed = estate.computed("/vm1");
    let config = computed.config();
    assert!(matches!(computed.config_or(&config), Cow::Borrowed(_)));
    let mut others = 0;
    for variant in variants(&serde_json::to_value(&config).unwrap()) {
        // What is no configuration, or reads as the same one, is no other configuration.
        let Ok(other) = serde_json::from_value::<Config>(variant) else {
            continue;
        };
        let lent = computed.config_or(&other);
        assert_eq!(*lent, config);
        assert_eq!(
            matches!(lent, Cow::Borrowed(_)),
            other == config,
            "{other:?}"
        );
        others += usize::from(other != config);
    }
    assert!(others > 60, "{others}");
}

#[test]
fn nothing_at_all_is_the_same_only_as_nothing() {
    let mut estate = Estate::new();
    estate.provision("/vm1", json!({}));
    let computed = estate.computed("/vm1");
    let named = computed.config();
    assert!(matches!(computed.config_or(&named), Cow::Borrowed(_)));
    assert!(matches!(
        computed.config_or(&Config::default()),
        Cow::Owned(_)
    ));
    assert!(matches!(
        computed.config_or(&full().computed("/vm1").config()),
        Cow::Owned(_)
    ));
}
