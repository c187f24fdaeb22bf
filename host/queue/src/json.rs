//! JSON documents that are kept and not looked into.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON document as text, read when somebody wants to know. Its tree would take about ten times the
/// memory, and there may be ten thousand operations that each keep a few. Written and read back as
/// what it says, not as a text. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are no text.
    pub fn of<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_string(value)?.into()))
    }

    /// # Errors
    /// When the document is not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

/// Without the text: a definition may say what logs must not show.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value = self.read().map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_as_what_it_says() {
        let value = json!({"action": "create", "disks": {"root": {"size": 9}}, "none": null});
        let kept = Json::from(&value);
        assert_eq!(serde_json::to_value(&kept).unwrap(), value);
        let back: Json = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(back, kept);
        assert_eq!(back.read::<Value>().unwrap(), value);
    }

    #[test]
    fn what_it_says_is_not_shown() {
        let kept = Json::from(json!({"password": "hunter2"}));
        assert_eq!(format!("{kept:?}"), "Json(22 bytes)");
    }
}
