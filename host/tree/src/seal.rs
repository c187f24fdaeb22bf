//! How no password stays in a definition: each is replaced by a reference to where it is kept.
//!
//! A definition is stored, queued, exported, shown and kept as history. So before any of that the
//! shell takes every literal out of what a client sent ([`Definition::seal`],
//! [`sealed_value`]), keeps it encrypted, and leaves `{secret: NAME}` in its place.
//!
//! Two kinds of places hold secrets: keys whose value is one (`password`), and free-form values under
//! a key that speaks of one. Below `guest` the latter are replaced as well. In `settings` they are
//! refused ([`Definition::refused_literals`]): an engine reads its settings as they are written, they
//! stand in plans and in what is recorded as deployed, and nothing would resolve a reference there.

use enginehouse_model::{FullName, SecretName};
use serde_json::Value;

use crate::definition::Definition;
use crate::key_path::{KeyEdit, KeyPath};
use crate::problem::{DefinitionErrors, Problem, ProblemKind};
use crate::secret::{HIDDEN, Secret, Visit, is_secret_key};

/// Bytes of the longest secret: more than any password, key or chain of certificates has.
pub const SECRET_MAX: usize = 64 << 10;

impl Definition {
    /// All secrets in it, each with its key. An item of a list has its place as key.
    #[must_use]
    pub fn secrets(&self) -> Vec<(KeyPath, Secret)> {
        let mut found = Vec::new();
        if self.is_silent_of_secrets() {
            return found;
        }
        self.clone().visit_secrets(&mut |way, secret| {
            found.push((KeyPath::from_keys(way.to_vec()), secret.clone()));
        });
        found
    }

    /// Names of the stored secrets that it refers to.
    #[must_use]
    pub fn secret_names(&self) -> Vec<SecretName> {
        let mut names = Vec::new();
        if self.is_silent_of_secrets() {
            return names;
        }
        self.clone().visit_secrets(&mut |_, secret| {
            if let Secret::Named(name) = secret {
                names.push(name.clone());
            }
        });
        names
    }

    /// Whether a password stands in it as text.
    #[must_use]
    pub fn has_literals(&self) -> bool {
        let mut found = false;
        if self.is_silent_of_secrets() {
            return found;
        }
        self.clone().visit_secrets(&mut |_, secret| {
            found |= matches!(secret, Secret::Literal(_));
        });
        found
    }

    /// Replaces every literal by a reference to the name that `keep` answers for its key and text.
    pub fn seal(&mut self, keep: &mut dyn FnMut(&[String], &str) -> SecretName) {
        self.visit_secrets(&mut |way, secret| {
            if let Secret::Literal(text) = secret {
                *secret = Secret::Named(keep(way, text));
            }
        });
    }

    /// Literals that no reference can stand for, and those that are too long to be kept: what a
    /// client that sends them is told.
    #[must_use]
    pub fn refused_literals(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.clone().visit_secrets(&mut |way, secret| {
            let Secret::Literal(text) = secret else {
                return;
            };
            let problem = |expected: &str, found: String, hint: &str| Problem {
                key: KeyPath::from_keys(way.to_vec()),
                kind: ProblemKind::Expected {
                    expected: expected.to_owned(),
                    found,
                    hint: Some(hint.to_owned()),
                },
            };
            if **text == *HIDDEN {
                problems.push(problem(
                    "a secret",
                    "what output shows in its place".to_owned(),
                    "write the secret again, or a reference to it",
                ));
            } else if is_setting(way) {
                problems.push(problem(
                    "no secret, as the key says it is one",
                    "a text".to_owned(),
                    if way.first().is_some_and(|key| key == "hypervisors") {
                        "an engine reads its settings; write the connection's password as `password` of the entry, which the host keeps from engines"
                    } else {
                        "settings stand in plans and in what is recorded as deployed; secrets of a guest have their place below `guest`"
                    },
                ));
            } else if text.len() > SECRET_MAX {
                problems.push(problem(
                    &format!("a secret of at most {SECRET_MAX} bytes"),
                    format!("one of {}", text.len()),
                    "name a file with {\"file\": PATH} if it is no password",
                ));
            }
        });
        problems
    }

    /// Most definitions have none of the keys that secrets stand below: no copy is made of these.
    fn is_silent_of_secrets(&self) -> bool {
        self.hypervisors.set().is_none()
            && self.prototypes.set().is_none()
            && self.machine.guest.set().is_none()
            && self.machine.settings.set().is_none()
    }

    fn visit_secrets(&mut self, seen: &mut dyn FnMut(&[String], &mut Secret)) {
        let mut visit = Visit::new(seen);
        self.hypervisors.visit_secrets("hypervisors", &mut visit);
        self.prototypes.visit_secrets("prototypes", &mut visit);
        self.machine.visit_member_secrets(&mut visit);
    }
}

/// Whether a key is one of the free-form settings of a hypervisor, a prototype or a machine.
fn is_setting(way: &[String]) -> bool {
    let own = match way.first().map(String::as_str) {
        Some("hypervisors" | "prototypes") => way.get(2),
        _ => way.first(),
    };
    own.is_some_and(|key| key == "settings")
}

/// The value that an edit of one key writes into the definition of `node`, with its literals
/// replaced as by [`Definition::seal`].
///
/// # Errors
/// When the value does not fit the key, and where [`Definition::refused_literals`] has something to
/// say.
pub fn sealed_value(
    node: &FullName,
    key: &KeyPath,
    value: &Value,
    keep: &mut dyn FnMut(&[String], &str) -> SecretName,
) -> Result<Value, DefinitionErrors> {
    // The value alone need not be a definition: `auth.header` is none without `auth.scheme`.
    if !key.keys().iter().any(|key| is_secret_key(key)) && !speaks_of_secrets(value) {
        return Ok(value.clone());
    }
    let edit = (key.clone(), KeyEdit::Set(value.clone()));
    let mut written = Definition::default().edited(node, &[edit])?;
    if !written.has_literals() {
        return Ok(value.clone());
    }
    let problems = written.refused_literals();
    if !problems.is_empty() {
        return Err(DefinitionErrors {
            node: node.clone(),
            problems,
        });
    }
    written.seal(keep);
    let document = written.to_json();
    let sealed = key
        .normalised_keys()
        .iter()
        .try_fold(&document, |here, key| here.get(key));
    // What was just written there is there.
    Ok(sealed.cloned().unwrap_or(Value::Null))
}

/// Whether a key in it speaks of a secret: every place of a secret has such a key above it.
fn speaks_of_secrets(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| is_secret_key(key) || speaks_of_secrets(value)),
        Value::Array(items) => items.iter().any(speaks_of_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The key as a generated name has it: what stands above every password is left out.
pub fn name_keys(way: &[String]) -> impl Iterator<Item = &str> {
    let skipped = usize::from(way.first().is_some_and(|key| key == "hypervisors"));
    way.iter().skip(skipped).map(String::as_str)
}
