//! The history of a node: `GET /v1/nodes/history`.

use std::collections::BTreeMap;

use enginehouse_model::documents::Config;
use enginehouse_model::{FullName, MachineUid, NodeUid, OperationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A page of a node's history, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    pub uid: NodeUid,
    /// As it is called now, or was last; absent where nothing is known of it but its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<FullName>,
    /// It is not in the tree any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    pub entries: Vec<HistoryEntry>,
    /// What to ask for next, as `before`; absent: this was the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Other nodes, gone or renamed, that once had the name that was asked for, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherNode>,
}

/// A node that had a name once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherNode {
    pub uid: NodeUid,
    /// When its history last knew it by that name.
    pub at: Timestamp,
}

/// What one operation did to the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Counts up over all nodes.
    pub seq: u64,
    pub at: Timestamp,
    /// Absent: the host did it of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    pub who: String,
    /// Of the operation: `provision`, `edit`, `move`, `deploy`, …
    pub kind: String,
    /// The full name that the node had after it.
    pub path: FullName,
    /// What is different, key by key.
    pub changes: Vec<HistoryChange>,
    /// The local definition before and after, secrets as references or hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<DefinitionVersions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<HistoryMachine>,
    /// What the machine was after it. Sizes in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Config>,
}

/// A key that is different, as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryChange {
    pub of: HistoryPart,
    /// Dotted path; of a right, the subject; of a name, empty.
    pub key: String,
    /// Absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Absent: there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What of a node changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryPart {
    /// Its full name.
    Name,
    /// Its local definition.
    Definition,
    /// Who was granted what on it.
    Rights,
    /// What was applied to its machine.
    Deployed,
}

/// A local definition before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefinitionVersions {
    /// Absent: the node was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Value>>,
    /// Absent: the node was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Value>>,
}

/// What became of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMachine {
    pub uid: MachineUid,
    /// The provider's; absent where its creation did not get so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// `linked`, `removed`, `lost` or `never-made`.
    pub event: String,
}

/// The members of a document with dotted paths, each as text: what two of them are compared by.
#[must_use]
pub fn flattened(document: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    flatten(String::new(), document, &mut found);
    found
}

fn flatten(path: String, value: &Value, found: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Object(members) if !members.is_empty() && !is_reference(members) => {
            for (key, value) in members {
                let key = if key.contains('.') {
                    format!("\"{key}\"")
                } else {
                    key.clone()
                };
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                flatten(path, value, found);
            }
            return;
        }
        Value::Object(members) if path.is_empty() && members.is_empty() => return,
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    found.insert(path, text);
}

/// `{env: NAME}` and its like are one value.
fn is_reference(members: &Map<String, Value>) -> bool {
    members.len() == 1
        && members.iter().all(|(key, value)| {
            matches!(key.as_str(), "env" | "file" | "secret") && value.is_string()
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_flattened_to_its_dotted_keys() {
        let document = json!({
            "vcpu": 2, "description": null, "labels": {"a.b": "x"},
            "hypervisors": {"h": {"password": {"secret": "h-1"}, "tls": {}}},
            "depends_on": ["/a"],
        });
        let found: Vec<String> = flattened(&document)
            .into_iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        assert_eq!(
            found,
            [
                "depends_on = [\"/a\"]",
                "description = null",
                "hypervisors.h.password = {\"secret\":\"h-1\"}",
                "hypervisors.h.tls = {}",
                "labels.\"a.b\" = x",
                "vcpu = 2",
            ]
        );
        assert_eq!(flattened(&json!({})).len(), 0);
    }
}
