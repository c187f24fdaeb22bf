//! What of a definition is written to the provider, as the body of one request.

use enginehouse_documents::{Action, Machine};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The fields that a provider can change, so that every other one is refused by its name before
/// anything is sent. `labels` or `settings` stands for all of them, `settings.firmware` for one.
///
/// ```
/// # use enginehouse_sdk::prelude::*;
/// # use serde_json::json;
/// const CHANGEABLE: Changeable = Changeable {
///     with_value: &["vcpu", "memory"],
///     or_unset: &["description", "labels"],
/// };
/// let configure = |field: &str| Action::Configure {
///     desired: Box::new(Config { vcpu: Some(4), ..Config::default() }),
///     changed: vec!["vcpu".to_owned(), field.to_owned()],
///     observed: None,
/// };
/// let patch = CHANGEABLE.patch(&configure("labels.tier"))?;
/// assert_eq!(serde_json::to_value(&patch)?, json!({"vcpu": 4, "labels": {"tier": null}}));
///
/// let refused = CHANGEABLE.patch(&configure("memory")).unwrap_err();
/// assert_eq!(refused.message(), "memory cannot be unset: give it a value");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Changeable {
    /// Always have a value.
    pub with_value: &'static [&'static str],
    /// May also be unset.
    pub or_unset: &'static [&'static str],
}

impl Changeable {
    /// What an action writes: of `configure` the changed fields; of a `create` that goes on with a
    /// machine that is there, everything changeable that the definition says; of others nothing.
    ///
    /// # Errors
    /// `unsupported` for a changed field that is not changeable, `invalid` for one that cannot be
    /// unset; both name the field.
    pub fn patch(&self, action: &Action) -> Result<Patch> {
        let desired = serde_json::to_value(action.desired())?;
        match action {
            Action::Configure { changed, .. } => self.changed(&desired, changed),
            _ => Ok(self.whole(&desired)),
        }
    }

    fn changed(&self, desired: &Value, changed: &[String]) -> Result<Patch> {
        let mut fields = Vec::with_capacity(changed.len());
        for field in changed {
            let value = at(desired, field);
            if lists(self.with_value, field) {
                if value.is_null() {
                    let message = format_args!("{field} cannot be unset: give it a value");
                    return Err(Error::invalid(message).field(field));
                }
            } else if !lists(self.or_unset, field) {
                let message = format_args!("{field} cannot be changed here");
                return Err(Error::unsupported(message).field(field));
            }
            fields.push((field.clone(), value.clone()));
        }
        Ok(Patch { fields })
    }

    fn whole(&self, desired: &Value) -> Patch {
        let mut fields = Vec::new();
        for (name, value) in desired.as_object().into_iter().flatten() {
            match value {
                Value::Object(members) => fields.extend(
                    members
                        .iter()
                        .map(|(member, value)| (format!("{name}.{member}"), value.clone())),
                ),
                value => fields.push((name.clone(), value.clone())),
            }
        }
        fields.retain(|(field, _)| lists(self.with_value, field) || lists(self.or_unset, field));
        Patch { fields }
    }
}

/// Fields with their new values. As JSON it is a merge patch (RFC 7396) of a configuration: `null`
/// unsets.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    fields: Vec<(String, Value)>,
}

impl Patch {
    /// Does the machine show all these values? An unset text may be shown as an empty one. Where the
    /// configuration is not shown, nothing but an empty patch is there.
    #[must_use]
    pub fn is_in(&self, observed: &Machine) -> bool {
        let Some(Ok(observed)) = observed.config.as_ref().map(serde_json::to_value) else {
            return self.fields.is_empty();
        };
        self.fields.iter().all(|(field, value)| {
            let seen = at(&observed, field);
            seen == value || (value.is_null() && seen == "")
        })
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut patch = Map::new();
        for (field, value) in &self.fields {
            match field.split_once('.') {
                None => patch.insert(field.clone(), value.clone()),
                Some((group, member)) => patch
                    .entry(group)
                    .or_insert_with(|| Value::Object(Map::new()))
                    .as_object_mut()
                    .and_then(|group| group.insert(member.to_owned(), value.clone())),
            };
        }
        patch.serialize(to)
    }
}

/// A label may have dots in its name; groups are one level deep.
fn at<'a>(config: &'a Value, field: &str) -> &'a Value {
    const ABSENT: &Value = &Value::Null;
    let value = match field.split_once('.') {
        None => config.get(field),
        Some((group, member)) => config.get(group).and_then(|group| group.get(member)),
    };
    value.unwrap_or(ABSENT)
}

fn lists(names: &[&str], field: &str) -> bool {
    let group = field.split_once('.').map(|(group, _)| group);
    names
        .iter()
        .any(|name| *name == field || Some(*name) == group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_documents::{Code, Config};
    use serde_json::json;

    const CHANGEABLE: Changeable = Changeable {
        with_value: &["name", "vcpu", "settings.firmware"],
        or_unset: &["description", "labels"],
    };

    fn config(json: Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    fn patch(desired: Value, changed: &[&str]) -> Result<Patch> {
        CHANGEABLE.patch(&Action::Configure {
            desired: Box::new(config(desired)),
            changed: changed.iter().map(|&field| field.to_owned()).collect(),
            observed: None,
        })
    }

    #[test]
    fn changed_fields_become_a_merge_patch() {
        let desired = json!({"vcpu": 2, "labels": {"a.b": "1", "same": "2"}, "memory": 5});
        let fields = ["vcpu", "description", "labels.a.b", "labels.old"];
        let body = serde_json::to_value(patch(desired, &fields).unwrap()).unwrap();
        let expected = json!({"vcpu": 2, "description": null, "labels": {"a.b": "1", "old": null}});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_cannot_be_changed_or_unset_is_named() {
        for (field, code) in [
            ("vcpu", Code::Invalid),
            ("settings.firmware", Code::Invalid),
            ("settings.color", Code::Unsupported),
            ("placement.host", Code::Unsupported),
            ("memory", Code::Unsupported),
        ] {
            let error = patch(json!({}), &[field]).unwrap_err();
            assert_eq!(error.code(), code, "{field}");
            assert_eq!(error.detail().field.as_deref(), Some(field));
        }
    }

    #[test]
    fn the_whole_is_what_is_said_and_changeable() {
        let desired = config(json!({
            "name": "web", "memory": 5, "labels": {"a": "1"}, "disks": {"root": {"size": 1}},
            "settings": {"firmware": "uefi", "color": "red"},
        }));
        let desired = Box::new(desired);
        let whole = CHANGEABLE.patch(&Action::Create { desired }).unwrap();
        let whole = serde_json::to_value(whole).unwrap();
        let expected =
            json!({"name": "web", "labels": {"a": "1"}, "settings": {"firmware": "uefi"}});
        assert_eq!(whole, expected);
    }

    #[test]
    fn a_patch_is_in_a_configuration_that_shows_all_of_it() {
        let patch = patch(
            json!({"vcpu": 2, "labels": {"a": "1"}}),
            &["vcpu", "labels.a", "labels.old", "description"],
        )
        .unwrap();
        for (observed, is_in) in [
            (json!({"vcpu": 2, "labels": {"a": "1", "b": "2"}}), true),
            (
                json!({"vcpu": 2, "labels": {"a": "1"}, "description": ""}),
                true,
            ),
            (
                json!({"vcpu": 2, "labels": {"a": "1"}, "description": "x"}),
                false,
            ),
            (json!({"vcpu": 2, "labels": {"a": "1", "old": "2"}}), false),
            (json!({"vcpu": 4, "labels": {"a": "1"}}), false),
            (json!({}), false),
        ] {
            let machine = Machine {
                config: Some(config(observed.clone())),
                ..Machine::default()
            };
            assert_eq!(patch.is_in(&machine), is_in, "{observed}");
        }
    }
}
