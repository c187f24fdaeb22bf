//! Two definitions, key by key.

use enginehouse_tree::{Definition, KeyPath};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What stands where a secret is not shown.
const HIDDEN: &str = "(secret)";

/// Longest text of a value in a difference, in characters.
const SHOWN: usize = 200;

/// A key whose value is another. Secrets are hidden in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// As people write it: `disks.root.size`.
    pub key: String,
    /// As JSON; absent: not written there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What is different, in the order of the keys. Empty if and only if the definitions are equal.
#[must_use]
pub fn differences(before: &Definition, after: &Definition) -> Vec<KeyChange> {
    let whole = (before.to_json(), after.to_json());
    let shown = (before.redacted(), after.redacted());
    let mut paths = Vec::new();
    collect(&whole.0, &whole.1, &mut Vec::new(), &mut paths);
    paths
        .into_iter()
        .map(|path| KeyChange {
            before: text_at(&whole.0, &shown.0, &path),
            after: text_at(&whole.1, &shown.1, &path),
            key: KeyPath::from_keys(path).to_string(),
        })
        .collect()
}

/// Paths of the highest values that are not in both, or are no objects and differ.
fn collect(before: &Value, after: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            paths.push(path.clone());
        }
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        path.push(key.clone());
        match (old.get(key), new.get(key)) {
            (Some(before), Some(after)) => collect(before, after, path, paths),
            _ => paths.push(path.clone()),
        }
        path.pop();
    }
}

fn text_at(whole: &Value, shown: &Value, path: &[String]) -> Option<String> {
    at(whole, path)?;
    // What is not there in what is shown is part of a secret.
    Some(at(shown, path).map_or_else(|| HIDDEN.to_owned(), text))
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter()
        .try_fold(value, |value, key| value.as_object()?.get(key))
}

fn text(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    let mut short: String = text.chars().take(SHOWN).collect();
    short.push('…');
    short
}

/// Puts the secrets of `before` where `document` has what output shows in their place.
pub(crate) fn keep_secrets(document: &mut Value, before: &Value) {
    match (document, before) {
        (Value::Object(members), Value::Object(before)) => {
            for (key, value) in members {
                if let Some(before) = before.get(key) {
                    keep_secrets(value, before);
                }
            }
        }
        (document, before) if document.as_str() == Some(HIDDEN) => {
            *document = before.clone();
        }
        _ => {}
    }
}

/// Whether what output shows in place of a secret stands anywhere in it.
pub(crate) fn hides_secrets(value: &Value) -> bool {
    match value {
        Value::String(text) => text == HIDDEN,
        Value::Object(members) => members.values().any(hides_secrets),
        Value::Array(items) => items.iter().any(hides_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Paths of everything that is hidden in it.
pub(crate) fn hidden_paths(members: &Map<String, Value>) -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        let mut within = |key: String, value: &Value| {
            path.push(key);
            walk(value, path, found);
            path.pop();
        };
        match value {
            Value::String(text) if text == HIDDEN => found.push(path.clone()),
            Value::Object(members) => {
                for (key, value) in members {
                    within(key.clone(), value);
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    within(at.to_string(), value);
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    for (key, value) in members {
        walk(value, &mut vec![key.clone()], &mut found);
    }
    found
}
