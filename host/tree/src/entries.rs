//! Maps that are inherited entry by entry.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::Line;
use crate::by_name::ByName;
use crate::key_path::below;
use crate::origin::Origin;
use crate::problem::{Reader, found};
use crate::schema::{Schemas, entries, or_null};
use crate::secret::{HIDDEN, Secrets, Visit, is_secret_key, without_secrets};
use crate::written::Part;

/// Entries as they were written, in that order; `None` is `null`: the inherited entry does not
/// count here.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T>(pub IndexMap<Arc<str>, Option<T>>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<T: Part> Part for Entries<T> {
    /// Shared with the parent until a level says something of it.
    type Computed = Arc<ByName<T::Computed>>;

    fn read(value: &Value, at: &mut Reader) -> Option<Self> {
        let members = at.members(value, "an object of named entries")?;
        let mut read = IndexMap::with_capacity(members.len());
        for (name, value) in members {
            at.within(name, |at| {
                if let Some(expected) = wrong_name(name, T::NAMED) {
                    at.expected(expected, found(&Value::String(name.clone())), None);
                }
                if value.is_null() {
                    read.insert(Arc::from(name.as_str()), None);
                } else if let Some(value) = T::read(value, at) {
                    read.insert(Arc::from(name.as_str()), Some(value));
                }
            });
        }
        Some(Self(read))
    }

    fn schema(schemas: &mut Schemas) -> Value {
        entries(T::NAMED, or_null(T::schema(schemas)))
    }

    fn json(&self, secrets: Secrets) -> Value {
        let members: Map<String, Value> = self
            .0
            .iter()
            .map(|(name, entry)| {
                let value = entry
                    .as_ref()
                    .map_or(Value::Null, |entry| entry.json(secrets));
                (name.to_string(), value)
            })
            .collect();
        let object = Value::Object(members);
        match secrets {
            Secrets::Hidden if T::SECRET_BY_KEY => without_secrets(&object),
            Secrets::Hidden | Secrets::Shown => object,
        }
    }

    fn apply(&self, slot: &mut Option<Self::Computed>, origin: &Origin) {
        if self.0.is_empty() {
            return;
        }
        let computed = Arc::make_mut(slot.get_or_insert_default());
        for (name, entry) in &self.0 {
            computed.update(name, |inherited| match entry {
                None => *inherited = None,
                Some(entry) => entry.apply(inherited, origin),
            });
        }
        if computed.is_empty() {
            *slot = None;
        }
    }

    fn forget_prototypes(slot: &mut Option<Self::Computed>) {
        let Some(shared) = slot else { return };
        let kept = shared.filter_map(T::forget_prototypes);
        *slot = if kept.is_empty() {
            None
        } else {
            Some(Arc::new(kept))
        };
    }

    fn lines(computed: &Self::Computed, path: &str, lines: &mut Vec<Line>) {
        for (name, value) in computed.iter() {
            let first = lines.len();
            T::lines(value, &below(path, name), lines);
            if T::SECRET_BY_KEY && is_secret_key(name) {
                for line in lines.iter_mut().skip(first) {
                    line.value = HIDDEN.to_owned();
                }
            }
        }
    }

    fn visit_secrets(&mut self, visit: &mut Visit<'_>) {
        for (name, entry) in &mut self.0 {
            if let Some(entry) = entry {
                visit.within(name, |visit| entry.visit_secrets(visit));
            }
        }
    }
}

/// What a key should have been, where it is none.
pub(crate) fn wrong_name(name: &str, named: bool) -> Option<&'static str> {
    const LONGEST: usize = 253;
    let length_fits = (1..=LONGEST).contains(&name.chars().count());
    if !named {
        let plain = length_fits && !name.chars().any(char::is_control);
        return (!plain).then_some("a key of 1 to 253 characters");
    }
    let fits = length_fits
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    (!fits)
        .then_some("a name of letters, digits, `-`, `_` and `.`, beginning with a letter or digit")
}
