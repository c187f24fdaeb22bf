//! What was asked for.

use enginehouse_model::{FullName, HypervisorUid, NodeUid, OperationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was asked for. Never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    pub number: OperationId,
    /// `deploy`, `undeploy`, `reconfigure`, …
    pub kind: String,
    pub target: NodeUid,
    /// The target's full name when it was asked for.
    pub target_name: FullName,
    pub who: String,
    pub queued_at: Timestamp,
    /// Parameters of the kind.
    #[serde(default)]
    pub params: Value,
    /// The operation that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    /// Parts of this operation. One that has parts has no lane and no slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<OperationId>,
    /// Where it runs; absent: it needs no slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<HypervisorUid>,
    /// What has to end first, all of it numbered before this one. While it waits for them it holds
    /// no slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// Operations of the same lane that have not begun and need not any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<OperationId>,
    /// It goes before everything in its lane that has not begun, and what waits for a guest there
    /// is left to itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overtakes: bool,
    #[serde(default, skip_serializing_if = "Urgency::is_default")]
    pub urgency: Urgency,
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
    /// Of an operation with parts: they go in waves, and after this many that failed nothing more is
    /// begun. Absent: there are no waves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u32>,
    /// Of a part: its wave, from 0. Those of a later one than the first have their parent in `after`,
    /// which lets them go when the wave before is over.
    #[serde(default, skip_serializing_if = "is_first")]
    pub wave: u32,
}

fn is_first(wave: &u32) -> bool {
    *wave == 0
}

impl Spec {
    /// An operation on one target that waits for nothing but its lane.
    #[must_use]
    pub fn new(
        number: OperationId,
        kind: &str,
        target: NodeUid,
        target_name: FullName,
        who: &str,
        queued_at: Timestamp,
    ) -> Self {
        Self {
            number,
            kind: kind.to_owned(),
            target,
            target_name,
            who: who.to_owned(),
            queued_at,
            params: Value::Null,
            parent: None,
            children: Vec::new(),
            hypervisor: None,
            after: Vec::new(),
            supersedes: Vec::new(),
            overtakes: false,
            urgency: Urgency::default(),
            on_failure: OnFailure::default(),
            stop_after: None,
            wave: 0,
        }
    }
}

/// An operation that has to end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    pub number: OperationId,
    /// It need not have succeeded. Otherwise, what waits for one that failed is not begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub however_it_ends: bool,
}

/// Who goes first where slots are short.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// A person, or a program for one, waits for it.
    #[default]
    Person,
    /// The host itself wants it: it comes after all that people want.
    Automatic,
}

impl Urgency {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a failure leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// What was done stays.
    #[default]
    Keep,
    /// What was done is taken back. Only parts of an operation are: see
    /// [`Command::RollBack`](crate::Command::RollBack).
    Rollback,
}

impl OnFailure {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
