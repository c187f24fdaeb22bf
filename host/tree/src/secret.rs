//! Passwords: a reference that the shell resolves. Never shown.

use std::fmt;
use std::sync::Arc;

use enginehouse_model::SecretName;
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

/// Where the host finds a password, or the password itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// What a client may send. It is never stored: see [`Definition::seal`](crate::Definition::seal).
    Literal(Arc<str>),
    /// An environment variable of the host's process.
    Env(Arc<str>),
    /// A file on the host, by its path.
    File(Arc<str>),
    /// A secret in the host's own encrypted store.
    Named(SecretName),
}

/// Without the literal.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str(HIDDEN),
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Named(name) => write!(f, "Named({name})"),
        }
    }
}

/// Form of a [`SecretName`].
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$";

impl Leaf for Secret {
    const EXPECTED: &'static str =
        "a password as text, or {\"secret\": NAME}, {\"env\": NAME} or {\"file\": PATH}";
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
                            "secret" => match text.parse() {
                                Ok(name) => Ok(Self::Named(name)),
                                // Without the text: it may be the password, in the wrong place.
                                Err(_) => Err(Some(
                                    "after `secret` stands the name of one that `enginehouse secret list` shows".to_owned(),
                                )),
                            },
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

    fn schema() -> Value {
        let reference = |key: &str, what: &str, pattern: Option<&str>| {
            let mut name = json!({ "description": what, "type": "string", "minLength": 1 });
            if let (Some(pattern), Value::Object(name)) = (pattern, &mut name) {
                name.insert("pattern".to_owned(), json!(pattern));
                name.insert("maxLength".to_owned(), json!(SecretName::LONGEST));
            }
            let mut properties = Map::new();
            properties.insert(key.to_owned(), name);
            json!({
                "type": "object",
                "properties": properties,
                "required": [key],
                "additionalProperties": false,
            })
        };
        json!({
            "anyOf": [
                { "type": "string", "minLength": 1 },
                reference("secret", "A secret in the host's own encrypted store, by its name.", Some(NAME)),
                reference("env", "An environment variable of the host's process.", None),
                reference("file", "A file on the host, by its path.", None),
            ],
        })
    }

    fn json(&self, secrets: Secrets) -> Value {
        match (self, secrets) {
            (Self::Literal(text), Secrets::Shown) => json!(text),
            (Self::Literal(_), Secrets::Hidden) => json!(HIDDEN),
            (Self::Env(name), _) => json!({ "env": name }),
            (Self::File(path), _) => json!({ "file": path }),
            (Self::Named(name), _) => json!({ "secret": name }),
        }
    }

    fn visit_secrets(&mut self, visit: &mut Visit<'_>) {
        visit.secret(self);
    }
}

/// A walk over all secrets of a definition.
pub struct Visit<'v> {
    way: Vec<String>,
    seen: &'v mut dyn FnMut(&[String], &mut Secret),
}

impl<'v> Visit<'v> {
    pub(crate) fn new(seen: &'v mut dyn FnMut(&[String], &mut Secret)) -> Self {
        Self {
            way: Vec::new(),
            seen,
        }
    }

    pub(crate) fn within(&mut self, key: &str, visit: impl FnOnce(&mut Self)) {
        self.way.push(key.to_owned());
        visit(self);
        self.way.pop();
    }

    pub(crate) fn secret(&mut self, secret: &mut Secret) {
        (self.seen)(&self.way, secret);
    }

    /// Secrets in a value of any form are those under keys that speak of one. The value with other
    /// secrets, when one was replaced.
    pub(crate) fn free_form(&mut self, value: &Value) -> Option<Value> {
        let secret = self.way.last().is_some_and(|key| is_secret_key(key));
        let mut value = value.clone();
        self.free(&mut value, secret).then_some(value)
    }

    fn free(&mut self, value: &mut Value, secret: bool) -> bool {
        if secret && let Some(mut found) = free_form_secret(value) {
            let before = found.clone();
            self.secret(&mut found);
            let changed = found != before;
            if changed {
                *value = Leaf::json(&found, Secrets::Shown);
            }
            return changed;
        }
        let mut changed = false;
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let secret = secret || is_secret_key(key);
                    self.within(key, |visit| changed |= visit.free(value, secret));
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter_mut().enumerate() {
                    self.within(&at.to_string(), |visit| {
                        changed |= visit.free(value, secret);
                    });
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        changed
    }
}

/// A value under a key that speaks of a secret; truth values and nothing are none.
fn free_form_secret(value: &Value) -> Option<Secret> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(Secret::Literal(text.as_str().into())),
        Value::Number(number) => Some(Secret::Literal(number.to_string().into())),
        Value::Object(_) => Secret::from_json(value).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) => None,
    }
}

/// `value` with the values of all keys hidden that speak of secrets; references tell nothing.
pub(crate) fn without_secrets(value: &Value) -> Value {
    hidden(value, false)
}

fn hidden(value: &Value, secret: bool) -> Value {
    match value {
        Value::Object(_) if secret && Secret::from_json(value).is_ok() => value.clone(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone(), hidden(value, secret || is_secret_key(key))))
                .collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| hidden(item, secret)).collect())
        }
        Value::String(_) | Value::Number(_) if secret => json!(HIDDEN),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether a key of free-form values names a secret.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let has = |word: &str| {
        let mut parts = key.as_bytes().windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    ["password", "passwd", "secret", "token", "private_key"]
        .into_iter()
        .any(has)
}

/// Whether a value only says where a secret is: `{env: NAME}`, `{file: PATH}`, `{secret: NAME}`.
#[must_use]
pub fn is_secret_reference(value: &Value) -> bool {
    value.is_object() && Secret::from_json(value).is_ok()
}
