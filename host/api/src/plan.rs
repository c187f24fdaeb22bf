//! Plans: what would be done, stored and readable.

use std::fmt;
use std::str::FromStr;

use enginehouse_model::{FullName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{OperationKind, Params};

/// Names a stored plan: the same plan has the same id. Lower case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub String);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PlanId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Body of `POST /v1/plans`: the order that is to be planned and not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    #[serde(default = "deploy")]
    pub kind: OperationKind,
    pub path: FullName,
    #[serde(default)]
    pub params: Params,
    /// How many machines the answer's `text` describes, those with the heaviest actions before the
    /// others; the rest is counted. Absent: all. Nothing else depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Read each machine now, and do not rest on what was seen before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh: bool,
}

fn deploy() -> OperationKind {
    OperationKind::Deploy
}

/// A stored plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    pub kind: OperationKind,
    pub path: FullName,
    pub made_at: Timestamp,
    /// The plan as a person reads it.
    pub text: String,
    pub machines: Vec<PlanMachine>,
    pub counts: ClassCounts,
    /// Of an order that goes through a folder in waves: the machines of each, in the order in which they
    /// are begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Vec<FullName>>,
    /// Where there are waves: so many machines may fail until nothing more is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
}

/// What a change would do to machines, planned and not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPreview {
    /// As a person reads it: up to 50 machines, those with the heaviest actions before the others.
    pub text: String,
    pub machines: Vec<PlanMachine>,
    pub counts: ClassCounts,
}

/// What is to be done with one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMachine {
    pub path: FullName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// In the order they are carried out; empty: nothing to do.
    pub actions: Vec<PlanAction>,
    /// Why nothing can be done: `disks only grow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What was changed behind our back: `vcpu 2 -> 4`, as deployed and as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// What the definition says otherwise than was deployed: `vcpu 2 -> 4`, as deployed and as wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// What comes before the actions: `operation 12 (restart), which comes before it`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Why there are neither actions nor refusals: `it is as it is defined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing_because: Option<String>,
    /// When the machine was read in full, where the plan rests on what was seen before it was made;
    /// absent: it was read for this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAction {
    /// `create`, `configure`, `start`, …
    pub action: String,
    /// `cores 2 -> 4, memory 2048 MiB -> 4096 MiB`
    pub text: String,
    pub class: ActionClass,
}

/// How heavy an action is, from light to heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionClass {
    Benign,
    Disruptive,
    Destructive,
    Irreversible,
}

/// How many actions of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassCounts {
    pub benign: u32,
    pub disruptive: u32,
    pub destructive: u32,
    pub irreversible: u32,
}

impl ClassCounts {
    /// Whether anything would be destroyed.
    #[must_use]
    pub fn destroys(&self) -> bool {
        self.destructive > 0 || self.irreversible > 0
    }
}
