//! Keys that say how the host treats a machine. The planner and the queue carry them out.

use std::sync::Arc;

use serde_json::{Value, json};

use enginehouse_model::{FullName, NameError};

use crate::leaf::Texts;
use crate::problem::found;
use crate::record::record;
use crate::schema::{described, with_examples};
use crate::secret::Secrets;
use crate::written::Leaf;

record! {
    /// What one level says of the treatment of its machines.
    RuleValues as "rules",
    RuleComputed,
    "an object of rules",
    {
        /// Full names of descriptors that must be deployed before.
        depends_on: FullNames,
        /// Destroying the machine needs signatures. Unset: no.
        protect: bool,
        /// Which repair of drift may run without a person.
        policy: Policy,
        /// Pending changes run without a person, under the same policy. Unset: no.
        follow: bool,
        /// Signatures that gated actions need, replaced as a whole.
        approvals: Approvals,
        /// What becomes of what a failed operation has made.
        on_failure: OnFailure,
    }
}

/// Full names of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullNames(pub Arc<[FullName]>);

impl Leaf for FullNames {
    const EXPECTED: &'static str = "a list of full names, such as /web/db";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let items = value.as_array().ok_or(None)?;
        let names = items
            .iter()
            .map(|item| match item.as_str().map(str::parse) {
                Some(Ok(name)) => Ok(name),
                Some(Err(error)) => Err(Some(NameError::to_string(&error))),
                None => Err(Some(format!("not this one: {}", found(item)))),
            });
        names.collect::<Result<_, _>>().map(Self)
    }

    fn schema() -> Value {
        with_examples(
            json!({ "type": "array", "items": { "type": "string", "pattern": FULL_NAME } }),
            json!([["/web/db"]]),
        )
    }

    fn json(&self, _: Secrets) -> Value {
        json!(self.0)
    }

    fn shown(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(FullName::as_str).collect();
        format!("[{}]", names.join(", "))
    }
}

/// Form of a [`FullName`].
const FULL_NAME: &str =
    "^/([A-Za-z0-9][A-Za-z0-9._-]{0,62}(/[A-Za-z0-9][A-Za-z0-9._-]{0,62})*/?)?$";

/// Which repair of drift may run without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    Observe,
    #[default]
    Benign,
    Disruptive,
}

impl Leaf for Policy {
    const EXPECTED: &'static str = "`observe`, `benign` or `disruptive`";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("observe") => Ok(Self::Observe),
            Some("benign") => Ok(Self::Benign),
            Some("disruptive") => Ok(Self::Disruptive),
            Some("destructive") => {
                Err(Some("what destroys never runs without a person".to_owned()))
            }
            _ => Err(None),
        }
    }

    fn schema() -> Value {
        json!({ "enum": ["observe", "benign", "disruptive"], "default": "benign" })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(match self {
            Self::Observe => "observe",
            Self::Benign => "benign",
            Self::Disruptive => "disruptive",
        })
    }
}

/// What becomes of what a failed operation has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFailure {
    #[default]
    Keep,
    Rollback,
}

impl Leaf for OnFailure {
    const EXPECTED: &'static str = "`keep` or `rollback`";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("keep") => Ok(Self::Keep),
            Some("rollback") => Ok(Self::Rollback),
            _ => Err(None),
        }
    }

    fn schema() -> Value {
        json!({ "enum": ["keep", "rollback"], "default": "keep" })
    }

    fn json(&self, _: Secrets) -> Value {
        json!(match self {
            Self::Keep => "keep",
            Self::Rollback => "rollback",
        })
    }
}

/// Signatures that gated actions need. Inherited as a whole: the number means nothing without the
/// keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// At least 1, at most as many as there are keys.
    pub need: u32,
    /// Public keys as in `authorized_keys`.
    pub keys: Arc<[String]>,
}

impl Leaf for Approvals {
    const EXPECTED: &'static str =
        "an object with need (a number) and keys (a list of public keys)";

    fn from_json(value: &Value) -> Result<Self, Option<String>> {
        let members = value.as_object().ok_or(None)?;
        if let Some(other) = members
            .keys()
            .find(|key| !["need", "keys"].contains(&key.as_str()))
        {
            return Err(Some(format!(
                "not `{}`",
                other.chars().take(40).collect::<String>()
            )));
        }
        let (Some(need), Some(keys)) = (members.get("need"), members.get("keys")) else {
            return Err(Some("both are needed".to_owned()));
        };
        let need =
            u32::from_json(need).map_err(|_| Some("need is a number, 1 or more".to_owned()))?;
        let Texts(keys) = Texts::from_json(keys)?;
        if usize::try_from(need).is_ok_and(|need| need > keys.len()) {
            return Err(Some(format!(
                "{need} signatures cannot come from {} keys",
                keys.len()
            )));
        }
        Ok(Self { need, keys })
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "need": described("Signatures that are needed, at most as many as there are keys.", u32::schema()),
                "keys": described("Public keys as in `authorized_keys`.", Texts::schema()),
            },
            "required": ["need", "keys"],
            "additionalProperties": false,
        })
    }

    fn json(&self, _: Secrets) -> Value {
        json!({ "need": self.need, "keys": self.keys })
    }

    fn shown(&self) -> String {
        format!("{} of {} keys", self.need, self.keys.len())
    }
}
