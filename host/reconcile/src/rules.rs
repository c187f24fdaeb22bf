//! How values of one engine are compared, and how heavy their change is.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::{Assessment, ChangeClass, Description, FieldRule};
use serde_json::{Map, Value};

/// What an engine said of itself, as far as a plan depends on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    engine: String,
    actions: BTreeSet<String>,
    fields: BTreeMap<String, FieldRule>,
    /// Every granularity that some field has.
    units: BTreeSet<u64>,
    secrets: BTreeSet<String>,
}

/// What a change of a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    InPlace,
    Restart,
    /// Nobody said: written in place, but destructive until somebody has looked.
    Unknown,
    Replace,
}

impl From<ChangeClass> for Weight {
    fn from(class: ChangeClass) -> Self {
        match class {
            ChangeClass::InPlace => Self::InPlace,
            ChangeClass::Restart => Self::Restart,
            ChangeClass::Replace => Self::Replace,
        }
    }
}

impl Rules {
    #[must_use]
    pub fn new(description: &Description) -> Self {
        Self {
            engine: description.name.clone(),
            actions: description.actions.iter().cloned().collect(),
            fields: description.fields.clone(),
            units: description
                .fields
                .values()
                .filter_map(|rule| rule.granularity)
                .filter(|unit| *unit > 0)
                .collect(),
            secrets: secrets(&description.machine_settings_schema),
        }
    }

    /// The engine's name.
    #[must_use]
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Whether the engine has an action, by the names of a description's `actions`.
    #[must_use]
    pub fn supports(&self, action: &str) -> bool {
        self.actions.contains(action)
    }

    /// Whether the schema of settings marks this one as secret (`writeOnly`): it is compared, but
    /// never printed.
    pub(crate) fn is_secret(&self, field: &str) -> bool {
        field
            .strip_prefix("settings.")
            .is_some_and(|name| self.secrets.contains(name))
    }

    /// Common fields have a floor here, which an engine can only raise. For settings the engine
    /// alone says it.
    pub(crate) fn weight(&self, field: &str, assessment: Option<&Assessment>) -> Weight {
        match (floor(field), self.said(field, assessment)) {
            (Some(floor), Some(said)) => floor.max(said),
            (Some(floor), None) => floor,
            (None, Some(said)) => said,
            (None, None) => Weight::Unknown,
        }
    }

    /// What the engine itself says of a change of a field; none: nothing.
    pub(crate) fn said(&self, field: &str, assessment: Option<&Assessment>) -> Option<Weight> {
        let assessed = assessment
            .and_then(|assessment| assessment.fields.get(field))
            .map(|answer| answer.class);
        assessed
            .or_else(|| self.rule(field).and_then(|rule| rule.class))
            .map(Weight::from)
    }

    /// Whether a size stays as it is, whatever field it is of. That it does not only means that
    /// [`Rules::truncate`] has to be asked.
    pub(crate) fn holds(&self, bytes: u64) -> bool {
        bytes > 0 && self.units.iter().all(|unit| bytes.is_multiple_of(*unit))
    }

    /// A size as the provider can hold it.
    pub(crate) fn truncate(&self, field: &str, bytes: u64) -> u64 {
        match self.rule(field).and_then(|rule| rule.granularity) {
            Some(unit) if unit > 0 => bytes - bytes % unit,
            Some(_) | None => bytes,
        }
    }

    /// The form of a value in which two that mean the same are equal.
    pub(crate) fn canonical(&self, field: &str, value: &Value) -> Value {
        match self.rule(field) {
            Some(rule) => canonical(value, rule),
            None => canonical(value, &FieldRule::default()),
        }
    }

    /// The rule of this very field, or of the map it lies in (`labels.env`: `labels`;
    /// `disks.root.size`: `disks.size`).
    fn rule(&self, field: &str) -> Option<&FieldRule> {
        if let Some(rule) = self.fields.get(field) {
            return Some(rule);
        }
        let (map, rest) = field.split_once('.')?;
        match map {
            "labels" => self.fields.get(map),
            "disks" | "nics" => {
                let (_, member) = rest.rsplit_once('.')?;
                self.fields.get(&format!("{map}.{member}"))
            }
            _ => None,
        }
    }
}

/// The host's own class of common fields; none for settings of the engine.
fn floor(field: &str) -> Option<Weight> {
    match field.split('.').next().unwrap_or(field) {
        "settings" => None,
        "base_image" | "placement" => Some(Weight::Replace),
        _ => Some(Weight::InPlace),
    }
}

/// Top-level properties of a schema that are never shown.
fn secrets(schema: &Value) -> BTreeSet<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter(|(_, property)| property.get("writeOnly").and_then(Value::as_bool) == Some(true))
        .map(|(name, _)| name.clone())
        .collect()
}

fn canonical(value: &Value, rule: &FieldRule) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64(), rule.granularity) {
            (Some(whole), _, Some(unit)) if unit > 0 => Value::from(whole - whole % unit),
            (Some(_), _, _) => value.clone(),
            // 2.0 is 2: JSON does not tell them apart, and providers send either.
            (None, Some(float), _) if float.fract() == 0.0 && float.abs() < 9.0e15 => {
                Value::from(float as i64)
            }
            (None, _, _) => value.clone(),
        },
        Value::String(text) => {
            let text = match rule.ignore_trailing_newline {
                true => text.strip_suffix('\n').unwrap_or(text),
                false => text,
            };
            Value::String(match rule.ignore_case {
                true => text.to_lowercase(),
                false => text.to_owned(),
            })
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| canonical(item, rule)).collect();
            if rule.unordered {
                // Members of objects are in order by now, so equal values have equal texts.
                items.sort_by_cached_key(Value::to_string);
            }
            Value::Array(items)
        }
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members
                .iter()
                .map(|(name, value)| (name.clone(), canonical(value, rule)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(members))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_model::documents::FieldAssessment;
    use serde_json::json;

    fn rules(fields: &[(&str, FieldRule)]) -> Rules {
        Rules::new(&Description {
            name: "test".to_owned(),
            fields: fields
                .iter()
                .map(|(name, rule)| ((*name).to_owned(), rule.clone()))
                .collect(),
            machine_settings_schema: json!({"properties": {"key": {"writeOnly": true}, "x": {}}}),
            ..Description::default()
        })
    }

    fn class(class: ChangeClass) -> FieldRule {
        FieldRule {
            class: Some(class),
            ..FieldRule::default()
        }
    }

    #[test]
    fn an_engine_can_raise_the_class_of_a_common_field_but_not_lower_it() {
        let rules = rules(&[
            ("vcpu", class(ChangeClass::Restart)),
            ("base_image", class(ChangeClass::InPlace)),
        ]);
        assert_eq!(rules.weight("vcpu", None), Weight::Restart);
        assert_eq!(rules.weight("memory", None), Weight::InPlace);
        assert_eq!(rules.weight("base_image", None), Weight::Replace);
        assert_eq!(rules.weight("placement.host", None), Weight::Replace);
    }

    #[test]
    fn a_setting_of_which_nobody_says_the_class_is_unknown() {
        let rules = rules(&[("settings.bios", class(ChangeClass::Restart))]);
        assert_eq!(rules.weight("settings.bios", None), Weight::Restart);
        assert_eq!(rules.weight("settings.other", None), Weight::Unknown);
        let assessment = Assessment {
            fields: BTreeMap::from([(
                "settings.other".to_owned(),
                FieldAssessment {
                    class: ChangeClass::InPlace,
                    reason: String::new(),
                },
            )]),
        };
        assert_eq!(
            rules.weight("settings.other", Some(&assessment)),
            Weight::InPlace
        );
    }

    #[test]
    fn values_that_mean_the_same_have_one_form() {
        let rules = rules(&[(
            "settings.x",
            FieldRule {
                ignore_trailing_newline: true,
                ignore_case: true,
                unordered: true,
                ..FieldRule::default()
            },
        )]);
        let same = |field: &str, a: Value, b: Value| {
            rules.canonical(field, &a) == rules.canonical(field, &b)
        };
        assert!(same("settings.x", json!("On\n"), json!("on")));
        assert!(!same("settings.x", json!("on\n\n"), json!("on")));
        assert!(same("settings.x", json!(["b", "a"]), json!(["A", "b"])));
        assert!(!same("settings.x", json!(["a", "a"]), json!(["a"])));
        assert!(same(
            "settings.y",
            json!({"a": 1, "b": 2.0}),
            json!({"b": 2, "a": 1})
        ));
        assert!(!same("settings.y", json!("On"), json!("on")));
        assert!(!same("settings.y", json!(["b", "a"]), json!(["a", "b"])));
        assert!(!same("settings.y", json!(1.5), json!(1)));
    }

    #[test]
    fn a_rule_for_disks_holds_for_each_of_them() {
        let unit = FieldRule {
            granularity: Some(1 << 30),
            ..FieldRule::default()
        };
        let rules = rules(&[("disks.size", unit)]);
        assert_eq!(rules.truncate("disks.a.b.size", (1 << 30) + 5), 1 << 30);
        assert_eq!(rules.truncate("memory", 5), 5);
    }

    #[test]
    fn write_only_settings_are_secret() {
        let rules = rules(&[]);
        assert!(rules.is_secret("settings.key"));
        assert!(!rules.is_secret("settings.x"));
        assert!(!rules.is_secret("key"));
    }
}
