//! What is wrong with a definition: all of it, each with its place.

use std::fmt;

use enginehouse_model::FullName;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::key_path::KeyPath;
use crate::nearest::nearest;

/// More than this many problems of one definition are counted, not kept.
const KEPT: usize = 100;
/// Longest text of a document that a message repeats, in characters.
const QUOTED: usize = 40;

/// A definition that is not understood, with all that is wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("definition of `{node}`: {}", join(.problems))]
pub struct DefinitionErrors {
    pub node: FullName,
    /// At least one, in the order of the document, at most 100.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong in a definition. Values of secret keys are never repeated in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; empty for the document itself.
    pub key: KeyPath,
    pub kind: ProblemKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    UnknownKey {
        nearest: Option<String>,
        /// The keys that may stand there.
        known: Vec<String>,
    },
    Expected {
        expected: String,
        found: String,
        /// What may help to write it right.
        hint: Option<String>,
    },
    /// The same thing said in two spellings.
    Twice { other: String },
    /// An edit of a single key that cannot be made.
    Edit(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        match &self.kind {
            ProblemKind::UnknownKey { nearest, known } => match nearest {
                Some(nearest) => write!(f, "unknown key, did you mean `{nearest}`?"),
                None => write!(f, "unknown key, known here: {}", known.join(", ")),
            },
            ProblemKind::Expected {
                expected,
                found,
                hint,
            } => {
                write!(f, "expected {expected}, found {found}")?;
                match hint {
                    Some(hint) => write!(f, " ({hint})"),
                    None => Ok(()),
                }
            }
            ProblemKind::Twice { other } => {
                write!(f, "says the same as `{other}`; keep one of them")
            }
            ProblemKind::Edit(reason) => f.write_str(reason),
        }
    }
}

fn join(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Where a reader is in the document, and what it has found wrong so far.
#[derive(Debug, Default)]
pub struct Reader {
    path: Vec<String>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(crate) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    pub(crate) fn within<R>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(key.to_owned());
        let result = read(self);
        self.path.pop();
        result
    }

    pub(crate) fn note(&mut self, kind: ProblemKind) {
        if self.problems.len() < KEPT {
            self.problems.push(Problem {
                key: KeyPath::from_keys(self.path.clone()),
                kind,
            });
        }
    }

    pub(crate) fn expected(
        &mut self,
        expected: impl Into<String>,
        found: impl Into<String>,
        hint: Option<String>,
    ) {
        self.note(ProblemKind::Expected {
            expected: expected.into(),
            found: found.into(),
            hint,
        });
    }

    /// The members of an object; a problem where it is none.
    pub(crate) fn members<'v>(
        &mut self,
        value: &'v Value,
        expected: &str,
    ) -> Option<&'v Map<String, Value>> {
        let members = value.as_object();
        if members.is_none() {
            self.expected(expected, found(value), None);
        }
        members
    }

    pub(crate) fn only<'k>(
        &mut self,
        members: &Map<String, Value>,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) {
        for key in members.keys() {
            if known.clone().into_iter().any(|known| known == key) {
                continue;
            }
            self.within(&short(key), |at| {
                at.note(ProblemKind::UnknownKey {
                    nearest: nearest(key, known.clone()).map(str::to_owned),
                    known: known.clone().into_iter().map(str::to_owned).collect(),
                });
            });
        }
    }
}

/// A value as an error names it: `the number 4096`, `the text "8GX"`, `a list`.
#[must_use]
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text \"{}\"", short(text).escape_debug()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A value of a secret key as an error names it: by its type alone.
#[must_use]
pub fn found_secret(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
