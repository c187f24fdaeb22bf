//! The part of a schema that speaks of one value.

use serde_json::{Map, Value};

/// References followed and forms entered on the way to one part.
const DEPTH_MAX: usize = 16;

/// What a schema says of one value: the schema that stands there, and those it consists of (the target
/// of its `$ref`, the only form beside `null`). What is said nearer counts before what is said farther.
#[derive(Clone, Debug)]
pub(crate) struct Part<'s> {
    root: &'s Value,
    layers: Vec<&'s Map<String, Value>>,
}

impl<'s> Part<'s> {
    /// The whole of a schema.
    pub(crate) fn root(root: &'s Value) -> Self {
        Self::of(root, root)
    }

    fn of(root: &'s Value, schema: &'s Value) -> Self {
        let mut layers = Vec::new();
        let mut next = schema.as_object();
        while let Some(layer) = next.filter(|_| layers.len() < DEPTH_MAX) {
            layers.push(layer);
            next = referred(root, layer).or_else(|| only_form(layer));
        }
        Self { root, layers }
    }

    /// What it says by a keyword.
    pub(crate) fn get(&self, keyword: &str) -> Option<&'s Value> {
        self.layers.iter().find_map(|layer| layer.get(keyword))
    }

    pub(crate) fn text(&self, keyword: &str) -> Option<&'s str> {
        self.get(keyword)?.as_str()
    }

    pub(crate) fn description(&self) -> Option<&'s str> {
        self.text("description").map(str::trim)
    }

    /// Values that must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        self.get("writeOnly") == Some(&Value::Bool(true)) || self.text("format") == Some("password")
    }

    /// The part that speaks of a member, or of an item.
    pub(crate) fn below(&self, step: &str) -> Option<Self> {
        self.below_in(step, DEPTH_MAX)
    }

    fn below_in(&self, step: &str, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let named = self
            .layers
            .iter()
            .find_map(|layer| layer.get("properties")?.get(step));
        let item = || {
            let index: usize = step.parse().ok()?;
            let first = self.get("prefixItems").and_then(|items| items.get(index));
            first.or_else(|| self.get("items"))
        };
        let other = || {
            let any = self.get("additionalProperties")?;
            any.is_object().then_some(any)
        };
        match named.or_else(item) {
            Some(schema) => Some(Self::of(self.root, schema)),
            None => self
                .forms()
                .find_map(|form| form.below_in(step, depth))
                .or_else(|| other().map(|schema| Self::of(self.root, schema))),
        }
    }

    /// The parts on the way along a path, the whole first; ends where nothing is said any more.
    pub(crate) fn along(&self, path: &[String]) -> Vec<Self> {
        let mut parts = vec![self.clone()];
        for step in path {
            match parts.last().and_then(|part| part.below(step)) {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        parts
    }

    /// The forms that a value may have, or that together describe it; without `null`.
    pub(crate) fn forms(&self) -> impl Iterator<Item = Self> {
        let root = self.root;
        self.layers
            .iter()
            // The only form is a layer already.
            .filter(|layer| only_form(layer).is_none())
            .flat_map(|layer| FORMS.into_iter().filter_map(|keyword| layer.get(keyword)))
            .filter_map(Value::as_array)
            .flatten()
            .filter(|form| !is_null(form))
            .map(move |form| Self::of(root, form))
    }

    /// Names of members that it speaks of, in its order.
    pub(crate) fn members(&self) -> Vec<&'s str> {
        self.members_in(DEPTH_MAX)
    }

    fn members_in(&self, depth: usize) -> Vec<&'s str> {
        let Some(depth) = depth.checked_sub(1) else {
            return Vec::new();
        };
        let mut names: Vec<&str> = self
            .layers
            .iter()
            .filter_map(|layer| layer.get("properties")?.as_object())
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        for form in self.forms() {
            for name in form.members_in(depth) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// The values there are, where it names them all.
    pub(crate) fn choices(&self) -> Option<Vec<&'s Value>> {
        self.choices_in(DEPTH_MAX)
    }

    fn choices_in(&self, depth: usize) -> Option<Vec<&'s Value>> {
        let depth = depth.checked_sub(1)?;
        if let Some(only) = self.get("const") {
            return Some(vec![only]);
        }
        if let Some(values) = self.get("enum").and_then(Value::as_array) {
            return Some(values.iter().filter(|value| !value.is_null()).collect());
        }
        let mut values = Vec::new();
        for form in self.forms() {
            values.extend(form.choices_in(depth)?);
        }
        (!values.is_empty()).then_some(values)
    }
}

const FORMS: [&str; 3] = ["anyOf", "oneOf", "allOf"];

/// The target of a reference into the schema itself.
fn referred<'s>(root: &'s Value, layer: &Map<String, Value>) -> Option<&'s Map<String, Value>> {
    let pointer = layer.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)?.as_object()
}

/// The only form a value may have, beside `null`.
fn only_form(layer: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let mut forms = FORMS
        .into_iter()
        .filter_map(|keyword| layer.get(keyword)?.as_array())
        .flatten()
        .filter(|form| !is_null(form));
    match (forms.next(), forms.next()) {
        (Some(only), None) => only.as_object(),
        (None, _) | (Some(_), Some(_)) => None,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
        || schema.get("const").is_some_and(Value::is_null)
}
