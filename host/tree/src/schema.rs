//! The JSON Schema of a definition, for editors and for those who write files by hand.
//!
//! Each [`Part`](crate::written::Part) and [`Leaf`](crate::written::Leaf) says its schema beside
//! how it is read; this is what they are put together with. What the parser accepts the schema
//! accepts. The other way round these rules are the parser's alone, a schema cannot say them:
//!
//! - a size is below 16 EiB, and a whole number is written without a fraction (`4`, not `4.0`);
//! - of an address, of a nic's addresses and of a gateway only the shape is described;
//! - no more signatures are needed than there are keys;
//! - what output shows in the place of a secret is no secret;
//! - names that a definition uses must be defined: that depends on the node.

use serde_json::{Map, Value, json};

use crate::definition::Definition;
use crate::written::Part;

/// Draft 2020-12.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Name of a disk, nic, hypervisor or prototype: see [`wrong_name`](crate::entries::wrong_name).
pub(crate) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// Key of a label or a setting.
pub(crate) const KEY: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// Text on one line that is not blank. White space and control characters are spelled out, since
/// validators differ in what `\s` is.
pub(crate) const FILLED: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u001f\u007f-\u009f]*$";

/// JSON Schema (draft 2020-12) of a definition, the same for a folder and a descriptor.
///
/// It names no defaults of engines: what is below `settings` is described by theirs.
#[must_use]
pub fn definition_schema() -> Value {
    let mut schemas = Schemas::default();
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!(DIALECT));
    schema.insert("title".to_owned(), json!("Definition"));
    schema.insert(
        "description".to_owned(),
        json!("What is written on a folder or a descriptor. Nothing said of a key: inherited; `null`: what is inherited does not count here."),
    );
    schema.extend(object(Definition::schema_members(&mut schemas)));
    schema.insert("$defs".to_owned(), Value::Object(schemas.0));
    Value::Object(schema)
}

/// Schemas that are said once and referred to by name.
#[derive(Default)]
pub struct Schemas(Map<String, Value>);

impl Schemas {
    /// A reference to the schema `name`, which `make` says the first time.
    pub(crate) fn shared(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.0.contains_key(name) {
            // Reserves the place, also where a schema would speak of itself.
            self.0.insert(name.to_owned(), Value::Bool(true));
            let made = make(self);
            self.0.insert(name.to_owned(), made);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// The schema of a key that is read as [`Written`](crate::Written).
    pub(crate) fn key<T: Part>(&mut self, description: &str) -> Value {
        described(description, or_null(T::schema(self)))
    }
}

/// An object with these keys and no others.
pub(crate) fn object(properties: Map<String, Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

/// An object of named values.
pub(crate) fn entries(named: bool, value: Value) -> Value {
    json!({
        "type": "object",
        "propertyNames": {
            "minLength": 1,
            "maxLength": 253,
            "pattern": if named { NAME } else { KEY },
        },
        "additionalProperties": value,
    })
}

/// `schema`, or `null`. Said within the schema where that is possible: editors understand it
/// better than two alternatives. None of ours has both `type` and `enum`.
pub(crate) fn or_null(schema: Value) -> Value {
    let Value::Object(mut members) = schema else {
        // `true` allows null.
        return schema;
    };
    if let Some(kind) = members.get_mut("type") {
        match kind {
            Value::Array(kinds) => kinds.push(json!("null")),
            kind => *kind = json!([kind, "null"]),
        }
        return Value::Object(members);
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.push(Value::Null);
        return Value::Object(members);
    }
    let description = members.shift_remove("description");
    let mut either = Map::new();
    if let Some(description) = description {
        either.insert("description".to_owned(), description);
    }
    either.insert("anyOf".to_owned(), json!([members, { "type": "null" }]));
    Value::Object(either)
}

/// `schema` with `text` before what it says of itself.
pub(crate) fn described(text: &str, schema: Value) -> Value {
    let text = text.trim();
    let own = match &schema {
        Value::Object(members) => members.get("description").and_then(Value::as_str),
        _ => None,
    };
    let description = match own {
        Some(own) if text.is_empty() => own.to_owned(),
        Some(own) => format!("{text} Expected: {own}."),
        None => text.to_owned(),
    };
    let mut with = Map::new();
    with.insert("description".to_owned(), json!(description));
    match schema {
        Value::Object(members) => {
            with.extend(members.into_iter().filter(|(key, _)| key != "description"));
        }
        Value::Bool(true) => {}
        other => {
            with.insert("allOf".to_owned(), json!([other]));
        }
    }
    Value::Object(with)
}

/// `schema` with examples.
pub(crate) fn with_examples(mut schema: Value, examples: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert("examples".to_owned(), examples);
    }
    schema
}
