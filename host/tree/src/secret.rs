//! Passwords: literal, or a reference that the shell resolves. Never shown.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::written::Leaf;

/// What stands where a secret is not shown.
pub(crate) const HIDDEN: &str = "(secret)";

/// Whether a document is made with its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Shown,
    Hidden,
}

/// A password, or where the host finds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Literal(Arc<str>),
    /// An environment variable of the host's process.
    Env(Arc<str>),
    /// A file on the host, by its path.
    File(Arc<str>),
}

/// Without the literal.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str(HIDDEN),
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}

impl Leaf for Secret {
    const EXPECTED: &'static str = "a password as text, or {\"env\": NAME}, or {\"file\": PATH}";
    const SECRET: bool = true;

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        match value {
            Value::String(text) if text == HIDDEN => Err(Some(
                "this is what output shows in its place; leave the key out to keep what is there"
                    .to_owned(),
            )),
            Value::String(text) if !text.is_empty() => Ok(Self::Literal(text.as_str().into())),
            Value::Object(members) => {
                let mut members = members.iter();
                match (members.next(), members.next()) {
                    (Some((key, Value::String(text))), None) if !text.is_empty() => {
                        match key.as_str() {
                            "env" => Ok(Self::Env(text.as_str().into())),
                            "file" => Ok(Self::File(text.as_str().into())),
                            _ => Err(None),
                        }
                    }
                    _ => Err(None),
                }
            }
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_) => Err(None),
        }
    }

    fn json(&self, secrets: Secrets) -> Value {
        match (self, secrets) {
            (Self::Literal(text), Secrets::Shown) => json!(text),
            (Self::Literal(_), Secrets::Hidden) => json!(HIDDEN),
            (Self::Env(name), _) => json!({ "env": name }),
            (Self::File(path), _) => json!({ "file": path }),
        }
    }

    fn shown(&self) -> String {
        HIDDEN.to_owned()
    }
}

/// `value` with the values of all keys hidden that speak of secrets.
pub(crate) fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(without_secret_members(members)),
        Value::Array(items) => Value::Array(items.iter().map(without_secrets).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn without_secret_members(members: &Map<String, Value>) -> Map<String, Value> {
    members
        .iter()
        .map(|(key, value)| {
            let value = if is_secret_key(key) && !is_reference(value) {
                json!(HIDDEN)
            } else {
                without_secrets(value)
            };
            (key.clone(), value)
        })
        .collect()
}

/// Whether a key of free-form values names a secret.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "private_key"]
        .iter()
        .any(|word| key.contains(word))
}

/// `{env: NAME}` and `{file: PATH}` tell nothing.
fn is_reference(value: &Value) -> bool {
    value.is_object()
        && matches!(
            Secret::from_json(value),
            Ok(Secret::Env(_) | Secret::File(_))
        )
}
