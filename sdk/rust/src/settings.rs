//! An engine's own settings as Rust types: their schema, and reading them.

use enginehouse_documents::Config;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Result};

/// JSON Schema of a settings type, for [`enginehouse_documents::Description`].
///
/// The operator sees the type's doc comments, defaults and bounds in errors and in `engines show`.
///
/// ```
/// # use enginehouse_sdk::prelude::*;
/// #[derive(JsonSchema, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Settings {
///     /// Lowest VMID for new machines.
///     #[serde(default)]
///     lowest_vmid: Option<u32>,
/// }
/// let schema = settings_schema::<Settings>();
/// assert_eq!(schema["properties"]["lowest_vmid"]["description"], "Lowest VMID for new machines.");
/// ```
#[must_use]
pub fn settings_schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// The settings of a machine, as the type behind the description's `machine_settings_schema`.
///
/// # Errors
/// `invalid`, with the field (`settings.NAME`).
pub fn machine_settings<T: DeserializeOwned>(config: &Config) -> Result<T> {
    decode(Value::Object(config.settings.clone()))
}

/// # Errors
/// `invalid`, with the field (`settings.NAME`).
pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T> {
    let value = if text.is_empty() { "{}" } else { text };
    let value = serde_json::from_str(value)
        .map_err(|error| Error::invalid(format_args!("no JSON object: {error}")))?;
    decode(value)
}

fn decode<T: DeserializeOwned>(settings: Value) -> Result<T> {
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => Error::invalid(error.inner()).field("settings"),
            path => Error::invalid(format_args!("{path}: {}", error.inner()))
                .field(format_args!("settings.{path}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Settings {
        #[serde(default)]
        vmid: Option<Range>,
    }

    #[derive(Debug, Deserialize)]
    struct Range {
        lowest: u64,
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let error = from_text::<Settings>(r#"{"vmid":{"lowest":"x"}}"#).unwrap_err();
        assert_eq!(
            error.message(),
            "vmid.lowest: invalid type: string \"x\", expected u64"
        );
        assert_eq!(
            error.detail().field.as_deref(),
            Some("settings.vmid.lowest")
        );
        let error = from_text::<Settings>("[1]").unwrap_err();
        assert!(error.message().contains("invalid type"), "{error}");
        assert!(from_text::<Settings>("{").is_err());
    }

    #[test]
    fn settings_are_read() {
        assert!(from_text::<Settings>("").unwrap().vmid.is_none());
        let mut config = Config::default();
        config
            .settings
            .insert("vmid".to_owned(), serde_json::json!({"lowest": 100}));
        let settings: Settings = machine_settings(&config).unwrap();
        assert_eq!(settings.vmid.unwrap().lowest, 100);
    }
}
