//! How much may be destroyed below a folder.
//!
//! A limit counts at the node that says it, for that node and everything below. One further down does
//! not replace it: all of them hold, so nobody can widen what a folder above allows.

use serde_json::{Value, json};

use crate::computed::Computed;
use crate::origin::Traced;
use crate::schema::described;
use crate::secret::Secrets;
use crate::written::Leaf;

/// What may be destroyed at a node and below within an hour. At least one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestructionLimit {
    /// Actions that destroy; 1 or more.
    pub per_hour: Option<u32>,
    /// Machines, of those that are deployed there; 1 to 100.
    pub percent: Option<u32>,
}

impl DestructionLimit {
    /// Whether nothing is allowed by this that `other` does not allow.
    #[must_use]
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        let within = |here: Option<u32>, there: Option<u32>| match (here, there) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(here), Some(there)) => here <= there,
        };
        within(self.per_hour, other.per_hour) && within(self.percent, other.percent)
    }
}

impl Leaf for DestructionLimit {
    const EXPECTED: &'static str =
        "an object with per_hour (a number), percent (a number up to 100), or both";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let members = value.as_object().ok_or(None)?;
        if let Some(other) = members
            .keys()
            .find(|key| !["per_hour", "percent"].contains(&key.as_str()))
        {
            return Err(Some(format!(
                "not `{}`",
                other.chars().take(40).collect::<String>()
            )));
        }
        let number = |key: &str, most: u32| match members.get(key) {
            None => Ok(None),
            Some(value) if value.as_u64() == Some(0) => Err(Some(format!(
                "{key} is 1 or more: where nothing may go, set `protect: true`"
            ))),
            Some(value) => match u32::from_json(value) {
                Ok(number) if number <= most => Ok(Some(number)),
                Ok(_) | Err(_) => Err(Some(format!("{key} is a number from 1 to {most}"))),
            },
        };
        let limit = Self {
            per_hour: number("per_hour", u32::MAX)?,
            percent: number("percent", 100)?,
        };
        if limit.per_hour.is_none() && limit.percent.is_none() {
            return Err(Some("one of them is needed".to_owned()));
        }
        Ok(limit)
    }

    fn schema() -> Value {
        let number = |most: u32| json!({ "type": "integer", "minimum": 1, "maximum": most });
        json!({
            "type": "object",
            "properties": {
                "per_hour": described("Actions that destroy, within an hour.", number(u32::MAX)),
                "percent": described(
                    "Machines on which something is destroyed within an hour, of those that are deployed there.",
                    number(100),
                ),
            },
            "minProperties": 1,
            "additionalProperties": false,
        })
    }

    fn json(&self, _: Secrets) -> Value {
        let mut members = serde_json::Map::new();
        for (key, number) in [("per_hour", self.per_hour), ("percent", self.percent)] {
            if let Some(number) = number {
                members.insert(key.to_owned(), json!(number));
            }
        }
        Value::Object(members)
    }

    fn shown(&self) -> String {
        let parts = [
            self.per_hour.map(|number| format!("{number} an hour")),
            self.percent
                .map(|number| format!("{number} % of the machines")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(" and ")
    }
}

impl Computed {
    /// The limits on destruction that hold for a node, the root's first.
    #[must_use]
    pub fn destruction_limits(&self) -> &[Traced<DestructionLimit>] {
        self.destruction
            .as_ref()
            .map_or(&[], |limits| limits.as_slice())
    }
}

/// Whether some limit of `before` has nothing as strict in `after`: each stands for one.
pub(crate) fn is_less(before: &[DestructionLimit], after: &[DestructionLimit]) -> bool {
    let mut left: Vec<&DestructionLimit> = after.iter().collect();
    !before.iter().all(|limit| {
        let same = left.iter().position(|other| *other == limit);
        let strict = || left.iter().position(|other| other.is_as_strict_as(limit));
        match same.or_else(strict) {
            Some(at) => {
                left.swap_remove(at);
                true
            }
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(
        per_hour: impl Into<Option<u32>>,
        percent: impl Into<Option<u32>>,
    ) -> DestructionLimit {
        DestructionLimit {
            per_hour: per_hour.into(),
            percent: percent.into(),
        }
    }

    #[test]
    fn what_is_written_reads_back_and_says_what_is_wrong() {
        for (written, expected) in [
            (json!({"per_hour": 5}), limit(5, None)),
            (json!({"percent": 10}), limit(None, 10)),
            (json!({"per_hour": 1, "percent": 100}), limit(1, 100)),
        ] {
            let read = DestructionLimit::from_json(&written).unwrap();
            assert_eq!(read, expected);
            assert_eq!(read.json(Secrets::Hidden), written);
        }
        for (written, said) in [
            (json!({}), "one of them is needed"),
            (
                json!({"per_hour": 0}),
                "where nothing may go, set `protect: true`",
            ),
            (json!({"percent": 101}), "percent is a number from 1 to 100"),
            (json!({"per_hour": "5"}), "per_hour is a number"),
            (json!({"hours": 5}), "not `hours`"),
        ] {
            let problem = DestructionLimit::from_json(&written).unwrap_err().unwrap();
            assert!(problem.contains(said), "{written}: {problem}");
        }
        assert_eq!(DestructionLimit::from_json(&json!(5)), Err(None));
        let shown = limit(5, 10).shown();
        assert_eq!(shown, "5 an hour and 10 % of the machines");
    }

    #[test]
    fn a_limit_is_less_where_one_of_the_two_is_wider_or_gone() {
        let (five, ten) = (limit(5, None), limit(None, 10));
        assert!(limit(5, 10).is_as_strict_as(&five));
        assert!(!five.is_as_strict_as(&limit(5, 10)));
        assert!(!is_less(&[five], &[limit(4, None)]));
        assert!(is_less(&[five], &[limit(6, None)]));
        assert!(is_less(&[five], &[]));
        assert!(is_less(&[five], &[ten]));
        assert!(!is_less(&[], &[five]));
        // Out from under a folder that has a limit of its own, with the same one further down.
        assert!(is_less(&[five, five], &[five]));
        assert!(!is_less(&[five, ten], &[ten, five, five]));
    }
}
