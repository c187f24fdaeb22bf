//! What is known of a hypervisor, each value with where it came from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Values by their path in a hypervisor entry: `host`, `tls.verify`, `settings.node`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Values(BTreeMap<Vec<String>, (Value, String)>);

impl Values {
    pub(super) fn set(&mut self, path: &[&str], value: Value, source: &str) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.insert(path, (value, source.to_owned()));
    }

    /// Lets others win over these.
    pub(super) fn take(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_host(&self) -> bool {
        self.0.contains_key(&["host".to_owned()][..])
    }

    /// The document of the entry.
    pub(super) fn entry(&self, engine: &str) -> Value {
        let mut entry = Map::new();
        entry.insert("type".to_owned(), Value::String(engine.to_owned()));
        for (path, (value, _)) in &self.0 {
            put(&mut entry, path, value);
        }
        Value::Object(entry)
    }

    /// Where they came from: `PROXMOX_HOST`, `engines.yaml`.
    pub(super) fn sources(&self) -> BTreeSet<String> {
        self.0.values().map(|(_, source)| source.clone()).collect()
    }
}

fn put(members: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [key] => {
            members.insert(key.clone(), value.clone());
        }
        [key, rest @ ..] => {
            let below = members
                .entry(key.as_str())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}
