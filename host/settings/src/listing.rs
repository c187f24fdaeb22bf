//! What settings there are.

use serde_json::Value;

use crate::part::Part;
use crate::words;

/// One setting, as its schema describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `cpu`, or `network.bridge` of one within another.
    pub name: String,
    /// `a whole number, 1 to 1000`
    pub takes: String,
    /// As one would write it.
    pub default: Option<String>,
    /// The first one that the engine gives.
    pub example: Option<String>,
    pub description: Option<String>,
    pub required: bool,
    /// Its value is never shown.
    pub secret: bool,
}

/// How deep settings within settings are listed.
const DEPTH_MAX: usize = 4;
/// More than this many are not listed.
const SETTINGS_MAX: usize = 500;

/// The settings that a schema names, in its order; those within another after it.
#[must_use]
pub fn listing(schema: &Value) -> Vec<Setting> {
    let mut settings = Vec::new();
    list(&Part::root(schema), "", DEPTH_MAX, &mut settings);
    settings
}

fn list(part: &Part<'_>, prefix: &str, depth: usize, settings: &mut Vec<Setting>) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    let required: Vec<&str> = part
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for member in part.members() {
        if settings.len() >= SETTINGS_MAX {
            return;
        }
        let Some(below) = part.below(member) else {
            continue;
        };
        let name = format!("{prefix}{}", words::cut(member, 80));
        let secret = below.is_secret() || enginehouse_tree::is_secret_key(member);
        let shown = |value: &Value| {
            (!secret && !value.is_null()).then(|| words::cut(&value.to_string(), 120))
        };
        settings.push(Setting {
            name: name.clone(),
            takes: words::expected(&below),
            default: below.get("default").and_then(shown),
            example: below
                .get("examples")
                .and_then(|examples| examples.get(0))
                .and_then(shown),
            description: words::description(&below),
            required: required.contains(&member),
            secret,
        });
        list(&below, &format!("{name}."), depth, settings);
    }
}
