//! How deep things may be within each other.
//!
//! What is accepted is stored, journalled and answered as JSON, which its readers take at most 127
//! levels deep. A definition that is deeper could be written and never be read again: the host
//! would not start. So the bound is far below that, and is asked before anything is built.

use serde_json::Value;

use crate::key_path::KeyPath;
use crate::problem::{Problem, ProblemKind};

/// Levels of lists and objects within each other that a definition may have, itself included.
pub const DEFINITION_DEPTH_MAX: usize = 64;

/// Folders within each other that a tree may have, with what is in the last of them.
pub const LEVELS_MAX: usize = 64;

/// What is wrong with a document that is too deep: the members that are.
pub(crate) fn too_deep(document: &Value) -> Vec<Problem> {
    let members = document.as_object().into_iter().flatten();
    members
        .filter(|(_, value)| !is_within(value, DEFINITION_DEPTH_MAX - 1))
        .map(|(key, _)| problem(KeyPath::from_keys(vec![key.clone()])))
        .collect()
}

/// The same of a path to a key, before it is walked.
pub(crate) fn too_long(path: &KeyPath) -> Option<Problem> {
    let top = path.keys().iter().take(1).cloned().collect();
    (path.keys().len() > DEFINITION_DEPTH_MAX).then(|| problem(KeyPath::from_keys(top)))
}

fn problem(key: KeyPath) -> Problem {
    Problem {
        key,
        kind: ProblemKind::Expected {
            expected: format!("at most {DEFINITION_DEPTH_MAX} lists and objects within each other"),
            found: "more".to_owned(),
            hint: None,
        },
    }
}

/// Looks no deeper than it asks for.
fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(members) => {
            depth > 0 && members.values().all(|value| is_within(value, depth - 1))
        }
        Value::Array(items) => depth > 0 && items.iter().all(|value| is_within(value, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use enginehouse_model::FullName;
    use serde_json::json;

    use super::*;
    use crate::{Definition, KeyEdit};

    /// Settings that make a definition of so many levels.
    fn nested(levels: usize) -> Value {
        (2..levels).fold(json!(1), |inner, level| match level % 2 {
            0 => json!({ "a": inner }),
            _ => json!([inner]),
        })
    }

    #[test]
    fn a_definition_is_as_deep_as_what_is_stored_of_it_can_be_read() {
        let fits = json!({"settings": {"x": nested(DEFINITION_DEPTH_MAX)}});
        assert!(Definition::from_json(&fits).is_ok());
        let deeper = json!({"vcpu": 1, "settings": {"x": nested(DEFINITION_DEPTH_MAX + 1)}});
        let problems = Definition::from_json(&deeper).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "`settings`: expected at most 64 lists and objects within each other, found more"
        );
    }

    #[test]
    fn a_path_of_a_million_keys_is_refused_before_anything_is_built() {
        let keys = vec!["settings".to_owned(); 1_000_000];
        let edit = (KeyPath::from_keys(keys), KeyEdit::Set(json!(1)));
        let error = Definition::default()
            .edited(&FullName::root(), &[edit])
            .unwrap_err();
        assert!(error.to_string().contains("at most 64"), "{error}");
        assert!(error.to_string().len() < 300);
    }
}
