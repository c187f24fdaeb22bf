//! Reading YAML: a value, the places of its keys, or one error with its place.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Location, MessageFormatter, UserMessageFormatter};
use thiserror::Error;

use super::budget::{FILE_MAX, options};
use super::node::{Item, Node, find};
use crate::problem::{Place, shown};

const NESTED: &str = "lists and mappings are nested too deeply";

/// Why a text is no YAML document that is read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{message}", line_text(*.place))]
pub struct YamlError {
    pub place: Option<Place>,
    /// On one line, without control characters.
    pub message: String,
}

fn line_text(place: Option<Place>) -> String {
    place.map_or_else(String::new, |Place { line, column }| {
        format!("line {line}, column {column}: ")
    })
}

/// A document and where everything in it stands.
pub struct YamlDocument {
    /// Absent for an empty document.
    root: Option<Node>,
}

/// Without its values: there may be secrets among them.
impl fmt::Debug for YamlDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("YamlDocument").finish_non_exhaustive()
    }
}

impl YamlDocument {
    /// Where the value of this path stands; where it is not there, the nearest thing above it.
    #[must_use]
    pub fn place_of_value(&self, path: &[String]) -> Option<Place> {
        place(find(self.root.as_ref()?, path, false))
    }

    /// The same for the key.
    #[must_use]
    pub fn place_of_key(&self, path: &[String]) -> Option<Place> {
        place(find(self.root.as_ref()?, path, true))
    }

    /// What it says. Empty documents say `null`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.root
            .as_ref()
            .map_or(Value::Null, |root| value_of(&root.value))
    }

    /// As [`YamlDocument::to_value`], without a copy.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.root
            .map_or(Value::Null, |root| root.value.into_value())
    }
}

fn value_of(item: &Item) -> Value {
    match item {
        Item::Scalar(value) => value.clone(),
        Item::List(items) => Value::Array(items.iter().map(|item| value_of(&item.value)).collect()),
        Item::Mapping(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.value.clone(), value_of(&value.value)))
                .collect(),
        ),
    }
}

/// Reads a document of at most [`FILE_MAX`] bytes. JSON is YAML, so that works too.
///
/// # Errors
/// When it is too large, no UTF-8, no YAML, more than one document, says a key twice, has something
/// that JSON cannot say, is nested too deeply, or expands to more than a few times its length.
pub fn read_yaml(bytes: &[u8]) -> Result<YamlDocument, YamlError> {
    if bytes.len() > FILE_MAX {
        return Err(YamlError {
            place: None,
            message: format!("larger than {} MiB", FILE_MAX >> 20),
        });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(no_utf8(bytes, error.valid_up_to())),
    };
    // A mark at the beginning is what some editors leave there.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root: Option<Node> = serde_saphyr::from_str_with_options(text, options(text.len()))
        .map_err(|error| of_parser(&error))?;
    Ok(YamlDocument { root })
}

/// The value alone.
///
/// # Errors
/// As [`read_yaml`].
pub fn read_value(bytes: &[u8]) -> Result<Value, YamlError> {
    read_yaml(bytes).map(YamlDocument::into_value)
}

fn no_utf8(bytes: &[u8], valid: usize) -> YamlError {
    let before = bytes.get(..valid).unwrap_or_default();
    // What comes before is valid, so nothing is replaced here.
    let before = String::from_utf8_lossy(before);
    let line = before.matches('\n').count() as u64 + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    YamlError {
        place: Some(Place {
            line,
            column: last.chars().count() as u64 + 1,
        }),
        message: match bytes.get(valid) {
            Some(byte) => format!("no UTF-8: byte 0x{byte:02X}"),
            None => "no UTF-8".to_owned(),
        },
    }
}

fn of_parser(error: &serde_saphyr::Error) -> YamlError {
    let place_of_error = error.location().and_then(place);
    let mut error = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error: cause, .. } = error {
        error = cause;
    }
    let message = match error {
        serde_saphyr::Error::Budget { breach, .. } => Cow::Borrowed(of_budget(breach)),
        _ => UserMessageFormatter.format_message(error),
    };
    // The scanner's own limit has no error of its own.
    let message = match &*message {
        "recursion limit exceeded" => Cow::Borrowed(NESTED),
        _ => message,
    };
    YamlError {
        place: place_of_error,
        message: shown(&message),
    }
}

fn of_budget(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Documents { .. } => "a second document begins here; a file has one",
        BudgetBreach::Depth { .. } => NESTED,
        _ => "aliases make it many times larger than it is written",
    }
}

fn place(location: Location) -> Option<Place> {
    (location != Location::UNKNOWN).then(|| Place {
        line: location.line(),
        column: location.column(),
    })
}
