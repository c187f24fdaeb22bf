//! From the validator's errors to faults in words.

use enginehouse_tree::{
    SettingFault, SettingFaultKind, found, found_secret, is_secret_key, is_secret_reference,
    nearest,
};
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use crate::part::Part;
use crate::words;

/// More than this many are not said.
const KEPT: usize = 100;
/// Longest name of an unknown setting that is repeated, in characters.
const NAME_MAX: usize = 40;
/// Forms within forms that are looked into.
const DEPTH_MAX: usize = 8;

/// One for each value that is wrong, by path.
pub(crate) fn faults<'i>(
    schema: &Value,
    errors: impl Iterator<Item = ValidationError<'i>>,
) -> Vec<SettingFault> {
    let mut faults = Faults {
        schema: Part::root(schema),
        found: Vec::new(),
    };
    for error in errors {
        if faults.found.len() >= KEPT {
            break;
        }
        faults.take(&error, DEPTH_MAX);
    }
    faults.found.sort_by(|a, b| a.path.cmp(&b.path));
    faults.found.truncate(KEPT);
    faults.found
}

struct Faults<'s> {
    schema: Part<'s>,
    found: Vec<SettingFault>,
}

impl Faults<'_> {
    fn take(&mut self, error: &ValidationError<'_>, depth: usize) {
        let path = path(error);
        match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    self.unknown(&path, name);
                }
            }
            Kind::FalseSchema if !path.is_empty() => {
                let (way, name) = path.split_at(path.len() - 1);
                if let [name] = name {
                    self.unknown(way, name);
                }
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                self.missing(path, name);
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                let depth = depth.saturating_sub(1);
                match meant(context, error).filter(|_| depth > 0) {
                    Some(form) => {
                        for error in form {
                            self.take(error, depth);
                        }
                    }
                    None => self.wrong(path, error),
                }
            }
            _ => self.wrong(path, error),
        }
    }

    fn unknown(&mut self, way: &[String], name: &str) {
        let parts = self.schema.along(way);
        let Some(part) = parts.last().filter(|_| parts.len() > way.len()) else {
            return;
        };
        let known = part.members();
        let mut path = way.to_vec();
        path.push(words::cut(name, NAME_MAX));
        self.note(SettingFault {
            path,
            kind: SettingFaultKind::Unknown {
                nearest: nearest(name, known.iter().copied()).map(str::to_owned),
                known: known.into_iter().map(|name| words::cut(name, 80)).collect(),
            },
            description: None,
        });
    }

    fn missing(&mut self, way: Vec<String>, name: &str) {
        let mut path = way;
        path.push(name.to_owned());
        let parts = self.schema.along(&path);
        let part = parts.last().filter(|_| parts.len() > path.len());
        let expected = part.map_or_else(|| "a value".to_owned(), words::expected);
        let description = part.and_then(words::description);
        self.note(SettingFault {
            path,
            kind: SettingFaultKind::Missing { expected },
            description,
        });
    }

    fn wrong(&mut self, path: Vec<String>, error: &ValidationError<'_>) {
        let value = error.instance();
        let parts = self.schema.along(&path);
        let secret = path.iter().any(|key| is_secret_key(key)) || parts.iter().any(Part::is_secret);
        // It stands for a text that only the host will know.
        if secret && is_secret_reference(value) {
            return;
        }
        let part = parts.last().filter(|_| parts.len() > path.len());
        let expected = match (error.kind(), part) {
            (Kind::UniqueItems, _) => "a list that has nothing twice".to_owned(),
            (Kind::OneOfMultipleValid { .. }, _) => "only one of the forms it may have".to_owned(),
            (Kind::Not { .. } | Kind::Contains, _) | (_, None) => {
                "what the engine's schema allows".to_owned()
            }
            (_, Some(part)) => words::expected(part),
        };
        // An item is described by its list.
        let description = (parts.iter().skip(1).rev()).find_map(words::description);
        let kind = if secret {
            SettingFaultKind::Expected {
                expected,
                found: found_secret(value).to_owned(),
                hint: None,
            }
        } else {
            SettingFaultKind::Expected {
                expected,
                found: found(value),
                hint: part.and_then(|part| hint(part, error, value)),
            }
        };
        self.note(SettingFault {
            path,
            kind,
            description,
        });
    }

    /// One value may be wrong in several ways; what is expected there says it all.
    fn note(&mut self, fault: SettingFault) {
        if self.found.iter().all(|other| other.path != fault.path) {
            self.found.push(fault);
        }
    }
}

fn path(error: &ValidationError<'_>) -> Vec<String> {
    error
        .instance_path()
        .as_str()
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// The form that was meant: the only one that fits in its type.
fn meant<'c>(
    forms: &'c [Vec<ValidationError<'static>>],
    at: &ValidationError<'_>,
) -> Option<&'c Vec<ValidationError<'static>>> {
    let mut fitting = forms.iter().filter(|errors| {
        !errors.iter().any(|error| {
            matches!(
                error.kind(),
                Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. }
            ) && error.instance_path() == at.instance_path()
        })
    });
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only),
        (None, _) | (Some(_), Some(_)) => None,
    }
}

/// What may help to write it right.
fn hint(part: &Part<'_>, error: &ValidationError<'_>, value: &Value) -> Option<String> {
    if let (Some(choices), Value::String(text)) = (part.choices(), value) {
        let names = choices.iter().filter_map(|choice| choice.as_str());
        return nearest(text, names).map(|near| format!("did you mean `{near}`?"));
    }
    if !matches!(error.kind(), Kind::Type { .. }) {
        return None;
    }
    let takes = |name: &str| match part.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(some)) => some.iter().any(|one| one.as_str() == Some(name)),
        _ => false,
    };
    match value {
        Value::String(text) => {
            let bare: Value = serde_json::from_str(text).ok()?;
            let fits = match &bare {
                Value::Bool(_) => takes("boolean"),
                Value::Number(number) => {
                    takes("number") || takes("integer") && (number.is_i64() || number.is_u64())
                }
                Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => false,
            };
            fits.then(|| format!("write it without quotes: {bare}"))
        }
        Value::Bool(_) | Value::Number(_) if takes("string") => {
            Some(format!("write it in quotes: \"{value}\""))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
