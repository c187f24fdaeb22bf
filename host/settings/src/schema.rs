//! A schema of settings, compiled.

use enginehouse_tree::SettingFault;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::fault;

/// An engine's schema of the settings of its machines, or of its hypervisors.
#[derive(Debug)]
pub struct SettingsSchema {
    document: Value,
    /// Absent: the engine says nothing of its settings, so everything is taken.
    validator: Option<Validator>,
}

/// A document that is no schema, or one that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no JSON Schema that can be used: {reason}")]
pub struct SchemaError {
    reason: String,
}

impl SettingsSchema {
    /// `null` stands for no schema.
    ///
    /// # Errors
    /// When it is no JSON Schema, or refers to something outside of itself.
    pub fn compile(document: &Value) -> Result<Self, SchemaError> {
        let validator = if document.is_null() {
            None
        } else {
            let options = jsonschema::options()
                .should_validate_formats(true)
                .with_pattern_options(PatternOptions::regex());
            let validator = options.build(document).map_err(|error| SchemaError {
                reason: crate::words::cut(&error.to_string(), 300),
            })?;
            Some(validator)
        };
        Ok(Self {
            document: document.clone(),
            validator,
        })
    }

    /// All that is wrong with settings, in the order of the keys; at most 100.
    #[must_use]
    pub fn faults(&self, settings: &Map<String, Value>) -> Vec<SettingFault> {
        let Some(validator) = &self.validator else {
            return Vec::new();
        };
        let settings = Value::Object(settings.clone());
        if validator.is_valid(&settings) {
            return Vec::new();
        }
        fault::faults(&self.document, validator.iter_errors(&settings))
    }
}
