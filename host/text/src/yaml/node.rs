//! A YAML document with the place of each key and value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// A value and where it stands.
pub(super) type Node = Spanned<Item>;

#[derive(Debug)]
pub(super) enum Item {
    /// `null`, a truth value, a number or a text.
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<(Spanned<String>, Node)>),
}

impl Item {
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| item.value.into_value())
                    .collect(),
            ),
            Self::Mapping(entries) => {
                let mut members = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    members.insert(key.value, value.value.into_value());
                }
                Value::Object(members)
            }
        }
    }
}

/// Where the value with this path stands, or where its key does. Of what is not there: the nearest
/// that is there above it.
pub(super) fn find(document: &Node, path: &[String], key: bool) -> Location {
    let mut here = document.referenced;
    let mut node = document;
    for part in path {
        let next = match &node.value {
            Item::Scalar(_) => None,
            Item::List(items) => part
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get(at))
                .map(|item| (item.referenced, item)),
            Item::Mapping(entries) => entries
                .iter()
                .find(|(name, _)| is_called(&name.value, part))
                .map(|(name, value)| {
                    // A value that is not there has no place of its own.
                    let own = value.referenced;
                    let at = if key || own == Location::UNKNOWN {
                        name.referenced
                    } else {
                        own
                    };
                    (at, value)
                }),
        };
        let Some((at, found)) = next else { break };
        (here, node) = (at, found);
    }
    here
}

/// Messages cut long keys short.
fn is_called(name: &str, part: &str) -> bool {
    name == part
        || part
            .strip_suffix('…')
            .is_some_and(|begin| name.starts_with(begin))
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Item, E> {
        Ok(Item::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Item, E> {
        Ok(Item::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Item, E> {
        Ok(Item::Scalar(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Item, E> {
        Ok(Item::Scalar(Value::Number(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Item, E> {
        Number::from_f64(value)
            .map(|number| Item::Scalar(Value::Number(number)))
            .ok_or_else(|| E::custom("no finite number; quote it if it is a text"))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Item, E> {
        // What JSON does with a whole number that is too large.
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Item, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E>(self, value: &str) -> Result<Item, E> {
        Ok(Item::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Item, E> {
        Ok(Item::Scalar(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Item::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Item, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
        }
        Ok(Item::Mapping(entries))
    }
}
