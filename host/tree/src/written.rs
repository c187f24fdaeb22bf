//! What a node says of one key, and what every kind of key can do.

use serde_json::{Map, Value};

use crate::origin::{Origin, Traced};
use crate::problem::{Reader, found, found_secret};
use crate::schema::{Schemas, described};
use crate::secret::Visit;
use crate::{Line, Secrets};

/// What a definition says of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Written<T> {
    /// Nothing: inherited.
    #[default]
    Absent,
    /// `null`: what is inherited does not count here.
    Unset,
    Set(T),
}

/// A kind of value in a definition: it is read, written, inherited and shown.
pub trait Part: Clone {
    /// What results of it from inheritance.
    type Computed: Clone;

    /// Whether the keys of a map of these are names that other keys refer to.
    const NAMED: bool = false;
    /// Whether a key tells that its value is a secret.
    const SECRET_BY_KEY: bool = false;

    fn read(value: &Value, at: &mut Reader) -> Option<Self>;
    /// What [`Part::read`] takes, as a JSON Schema; `null` is none of it.
    fn schema(schemas: &mut Schemas) -> Value;
    fn json(&self, secrets: Secrets) -> Value;
    /// Lets this win over what is inherited in `slot`.
    fn apply(&self, slot: &mut Option<Self::Computed>, origin: &Origin);
    /// Takes away what came through a prototype.
    fn forget_prototypes(slot: &mut Option<Self::Computed>);
    /// Adds a line for each value.
    fn lines(computed: &Self::Computed, path: &str, lines: &mut Vec<Line>);
    /// Shows each secret in it to `visit`, which may put another into its place.
    fn visit_secrets(&mut self, _: &mut Visit<'_>) {}
}

/// A kind of value that has no parts: replaced as a whole.
pub trait Leaf: Clone {
    /// What must stand there, for errors: `a size with a unit, such as 8GiB`.
    const EXPECTED: &'static str;
    /// Whether errors must not repeat the value.
    const SECRET: bool = false;

    /// # Errors
    /// A hint, where there is more to say than what was expected.
    fn from_json(value: &Value) -> Result<Self, Option<String>>;
    /// What [`Leaf::from_json`] takes, as a JSON Schema.
    fn schema() -> Value;
    fn json(&self, secrets: Secrets) -> Value;

    /// As people see it, without secrets.
    fn shown(&self) -> String {
        match self.json(Secrets::Hidden) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// See [`Part::visit_secrets`].
    fn visit_secrets(&mut self, _: &mut Visit<'_>) {}
}

impl<T: Leaf> Part for T {
    type Computed = Traced<T>;

    fn read(value: &Value, at: &mut Reader) -> Option<Self> {
        match T::from_json(value) {
            Ok(value) => Some(value),
            Err(hint) => {
                let found = if T::SECRET {
                    found_secret(value).to_owned()
                } else {
                    found(value)
                };
                at.expected(T::EXPECTED, found, hint);
                None
            }
        }
    }

    fn schema(_: &mut Schemas) -> Value {
        described(T::EXPECTED, T::schema())
    }

    fn json(&self, secrets: Secrets) -> Value {
        Leaf::json(self, secrets)
    }

    fn apply(&self, slot: &mut Option<Traced<T>>, origin: &Origin) {
        *slot = Some(Traced {
            value: self.clone(),
            origin: origin.clone(),
        });
    }

    fn forget_prototypes(slot: &mut Option<Traced<T>>) {
        slot.take_if(|traced| traced.origin.via().is_some());
    }

    fn lines(computed: &Traced<T>, path: &str, lines: &mut Vec<Line>) {
        lines.push(Line {
            key: path.to_owned(),
            value: computed.value.shown(),
            origin: computed.origin.clone(),
        });
    }

    fn visit_secrets(&mut self, visit: &mut Visit<'_>) {
        Leaf::visit_secrets(self, visit);
    }
}

impl<T: Part> Written<T> {
    /// Reads `key` of `members`.
    pub(crate) fn read(members: &Map<String, Value>, key: &str, at: &mut Reader) -> Self {
        match members.get(key) {
            None => Self::Absent,
            Some(Value::Null) => Self::Unset,
            Some(value) => match at.within(key, |at| T::read(value, at)) {
                Some(value) => Self::Set(value),
                // The problem is noted; what is built here is thrown away.
                None => Self::Absent,
            },
        }
    }

    pub(crate) fn write(&self, key: &str, members: &mut Map<String, Value>, secrets: Secrets) {
        match self {
            Self::Absent => {}
            Self::Unset => {
                members.insert(key.to_owned(), Value::Null);
            }
            Self::Set(value) => {
                members.insert(key.to_owned(), value.json(secrets));
            }
        }
    }

    pub(crate) fn visit_secrets(&mut self, key: &str, visit: &mut Visit<'_>) {
        if let Self::Set(value) = self {
            visit.within(key, |visit| value.visit_secrets(visit));
        }
    }

    pub(crate) fn apply(&self, slot: &mut Option<T::Computed>, origin: &Origin) {
        match self {
            Self::Absent => {}
            Self::Unset => *slot = None,
            Self::Set(value) => value.apply(slot, origin),
        }
    }
}

impl<T> Written<T> {
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, where there is one.
    #[must_use]
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Absent | Self::Unset => None,
            Self::Set(value) => Some(value),
        }
    }
}
