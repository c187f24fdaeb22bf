//! Kinds of single values: how each is read, written and shown.

use std::net::IpAddr;
use std::sync::Arc;

use enginehouse_model::Bytes;
use enginehouse_model::documents::Power;
use serde_json::{Value, json};

use crate::schema::{FILLED, Schemas, with_examples};
use crate::secret::{Secrets, Visit, without_secrets};
use crate::written::{Leaf, Part};
use crate::{Line, Origin, Traced};

/// Any text, also an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub Arc<str>);

impl Leaf for Text {
    const EXPECTED: &'static str = "a text";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        value.as_str().map(|text| Self(text.into())).ok_or(None)
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

/// A text that is not empty and has no control characters: names of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled(pub Arc<str>);

impl Leaf for Filled {
    const EXPECTED: &'static str = "a text that is not empty, on one line";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some(text) if is_filled(text) => Ok(Self(text.into())),
            _ => Err(None),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": FILLED })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

fn is_filled(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// A list of such texts; it may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts(pub Arc<[String]>);

impl Leaf for Texts {
    const EXPECTED: &'static str = "a list of texts";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        texts(value, is_filled).map(Self)
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": { "type": "string", "pattern": FILLED } })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }

    fn shown(&self) -> String {
        format!("[{}]", self.0.join(", "))
    }
}

fn texts(value: &Value, fits: impl Fn(&str) -> bool) -> Result<Arc<[String]>, Option<String>> {
    let items = value.as_array().ok_or(None)?;
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(text) if fits(text) => Ok(text.to_owned()),
            _ => Err(Some(format!(
                "not this one: {}",
                crate::problem::found(item)
            ))),
        })
        .collect()
}

/// `true` or `false`.
impl Leaf for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        value.as_bool().ok_or(None)
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self)
    }
}

/// How many, at least one.
impl Leaf for u32 {
    const EXPECTED: &'static str = "a whole number, 1 or more";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        value
            .as_u64()
            .and_then(|number| Self::try_from(number).ok())
            .filter(|number| *number > 0)
            .ok_or(None)
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": Self::MAX })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self)
    }
}

/// More than nothing, a whole number with a unit: what [`Bytes`] reads.
const SIZE: &str =
    r"^[ \t\n\f\r]*0*[1-9][0-9]*[ \t\n\f\r]*([Bb]|[KkMmGgTt]([Ii]?[Bb])?)[ \t\n\f\r]*$";

/// A size of memory or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub Bytes);

impl Leaf for Size {
    const EXPECTED: &'static str = "a size with a unit, such as 8GiB";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        match value {
            Value::String(text) => match text.parse::<Bytes>() {
                Ok(Bytes(0)) => Err(Some("a size is more than nothing".to_owned())),
                Ok(bytes) => Ok(Self(bytes)),
                Err(error) => Err(Some(error.to_string())),
            },
            Value::Number(number) => match number.as_u64() {
                Some(number) => Err(Some(format!(
                    "write {number}MiB or {number}GiB for one of these"
                ))),
                None => Err(None),
            },
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(None),
        }
    }

    fn schema() -> Value {
        with_examples(
            json!({ "type": "string", "pattern": SIZE }),
            json!(["8GiB", "512MiB", "1TiB"]),
        )
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0.to_string())
    }
}

impl Leaf for Power {
    const EXPECTED: &'static str = "`running` or `stopped`";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("running") => Ok(Self::Running),
            Some("stopped") => Ok(Self::Stopped),
            _ => Err(None),
        }
    }

    fn schema() -> Value {
        json!({ "enum": ["running", "stopped"] })
    }

    fn json(&self, _: Secrets) -> Value {
        match self {
            Self::Running => json!("running"),
            Self::Stopped => json!("stopped"),
        }
    }
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan(pub u16);

impl Leaf for Vlan {
    const EXPECTED: &'static str = "a VLAN tag, 1 to 4094";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        value
            .as_u64()
            .and_then(|tag| u16::try_from(tag).ok())
            .filter(|tag| (1..=4094).contains(tag))
            .map(Self)
            .ok_or(None)
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": 4094 })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

/// A hardware address: lower case, with colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mac(pub Arc<str>);

impl Leaf for Mac {
    const EXPECTED: &'static str = "a hardware address, such as 02:00:00:00:00:01";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        let parts: Vec<&str> = text.split([':', '-']).collect();
        let fits = parts.len() == 6
            && parts
                .iter()
                .all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()));
        if fits {
            Ok(Self(parts.join(":").to_ascii_lowercase().into()))
        } else {
            Err(None)
        }
    }

    fn schema() -> Value {
        with_examples(
            json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$" }),
            json!(["02:00:00:00:00:01"]),
        )
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

const V4: &str = r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/// Its shape alone.
const V6: &str = "[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*";
const UP_TO_32: &str = "0*([12]?[0-9]|3[0-2])";
const UP_TO_128: &str = "0*([1-9]?[0-9]|1[01][0-9]|12[0-8])";

/// Addresses of a nic with prefix lengths, or `dhcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicAddresses(pub Arc<[String]>);

impl Leaf for NicAddresses {
    const EXPECTED: &'static str =
        "a list of addresses with prefix length, such as 192.0.2.10/24, or `dhcp`";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        texts(value, |text| text == "dhcp" || is_network_address(text)).map(Self)
    }

    fn schema() -> Value {
        with_examples(
            json!({
                "type": "array",
                "items": { "type": "string", "pattern": format!("^(dhcp|{V4}/{UP_TO_32}|{V6}/{UP_TO_128})$") },
            }),
            json!([["192.0.2.10/24", "2001:db8::10/64"], ["dhcp"]]),
        )
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }

    fn shown(&self) -> String {
        format!("[{}]", self.0.join(", "))
    }
}

fn is_network_address(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.chars().all(|c| c.is_ascii_digit())
        && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

/// Where a nic's default route goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway(pub IpAddr);

impl Leaf for Gateway {
    const EXPECTED: &'static str = "an IP address";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .map(Self)
            .ok_or(None)
    }

    fn schema() -> Value {
        with_examples(
            json!({ "type": "string", "pattern": format!("^({V4}|{V6})$") }),
            json!(["192.0.2.1", "2001:db8::1"]),
        )
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }
}

/// A value whose form the engine's schema decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Arc<Value>);

impl Part for Json {
    type Computed = Traced<Self>;
    const SECRET_BY_KEY: bool = true;

    fn read(value: &Value, _: &mut crate::problem::Reader) -> Option<Self> {
        Some(Self(Arc::new(value.clone())))
    }

    fn schema(_: &mut Schemas) -> Value {
        json!(true)
    }

    fn json(&self, secrets: Secrets) -> Value {
        match secrets {
            Secrets::Shown => self.0.as_ref().clone(),
            Secrets::Hidden => without_secrets(&self.0),
        }
    }

    fn apply(&self, slot: &mut Option<Traced<Self>>, origin: &Origin) {
        *slot = Some(Traced {
            value: self.clone(),
            origin: origin.clone(),
        });
    }

    fn forget_prototypes(slot: &mut Option<Traced<Self>>) {
        slot.take_if(|traced| traced.origin.via().is_some());
    }

    fn lines(computed: &Traced<Self>, path: &str, lines: &mut Vec<Line>) {
        let value = match computed.value.json(Secrets::Hidden) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        lines.push(Line {
            key: path.to_owned(),
            value,
            origin: computed.origin.clone(),
        });
    }

    fn visit_secrets(&mut self, visit: &mut Visit<'_>) {
        if let Some(value) = visit.free_form(&self.0) {
            self.0 = Arc::new(value);
        }
    }
}
