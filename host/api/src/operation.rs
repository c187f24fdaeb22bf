//! Operations as they are read.

use std::fmt;

use enginehouse_model::{FullName, NodeUid, OperationId, SecretName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Doubt, FieldError, OnFailure, OperationKind, PlanId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    Pending,
    WaitingApproval,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Superseded,
    /// What became of a request cannot be known; a person has to say (`resolve`).
    InDoubt,
}

impl OperationState {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::WaitingApproval,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
        Self::InDoubt,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::WaitingApproval => "waiting_approval",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::InDoubt => "in_doubt",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Over for good.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Superseded => true,
            Self::Pending | Self::WaitingApproval | Self::Running | Self::InDoubt => false,
        }
    }

    /// Goes on only when a person does something.
    #[must_use]
    pub fn needs_person(self) -> bool {
        match self {
            Self::WaitingApproval | Self::InDoubt => true,
            Self::Pending
            | Self::Running
            | Self::Succeeded
            | Self::Failed
            | Self::Cancelled
            | Self::Superseded => false,
        }
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An operation. In lists, `steps`, `children` and `doubt` are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub number: OperationId,
    pub kind: OperationKind,
    pub state: OperationState,
    /// What it is about, by the name that it had when it was queued.
    pub path: FullName,
    /// Of a `move`: the name that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<FullName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeUid>,
    /// The secret that it is about, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    pub who: String,
    pub queued_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The plan that it carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Of the step that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it does not go on now, in words: `operation 12 on the same machine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// What becomes of what was done should it fail; absent: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Once it has ended; of a failed one, too: what exists now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// While it is in doubt: everything that a person needs to decide it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Box<Doubt>>,
    /// The operation that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    /// Its parts go in waves: so many of them may fail until nothing more is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildOperation>,
}

/// A part of an operation on a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildOperation {
    pub number: OperationId,
    pub kind: OperationKind,
    pub path: FullName,
    pub state: OperationState,
    /// Its wave, from 1, where the whole goes in waves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100, where the provider says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    pub message: String,
}

/// One journalled piece of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub number: u32,
    /// The action: `create`, `configure`, `start`.
    pub action: String,
    /// The same for people: `cores 2 -> 4, memory 2048 MiB -> 4096 MiB`.
    pub text: String,
    pub state: StepState,
    /// How often it was tried: 1 and every repetition of something in it; 0 before the first time.
    pub attempt: u32,
    /// The provider's task that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Pending,
    Running,
    /// The provider works on a task.
    Waiting,
    /// Failed for now; tried again later.
    Retrying,
    Done,
    Failed,
    InDoubt,
    /// Not reached: one before it failed, or the operation was cancelled.
    Skipped,
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::InDoubt => "in_doubt",
            Self::Skipped => "skipped",
        })
    }
}

/// What came out of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<CreatedObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Something that exists on the provider because of the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedObject {
    /// `machine`, `disk`, …
    pub kind: String,
    pub id: String,
}

/// Something that could not be made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedObject {
    pub kind: String,
    pub id: String,
    pub reason: String,
}

/// Why an operation or a step failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationError {
    /// One of the engine contract's (`denied`, `busy`, …), or the host's own (`timeout`, `trap`, …).
    pub code: String,
    /// In the provider's own words where it said any.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Last lines of the provider's task log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// What is wrong with a definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// Answer of `GET /v1/operations`: newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationPage {
    pub operations: Vec<Operation>,
    /// `before` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<OperationId>,
}

/// Answer of `GET /v1/operations/{number}/log`: oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogPage {
    pub lines: Vec<LogLine>,
    /// There are more now: ask again with `after` the last line's `seq`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts up within the operation, from 1.
    pub seq: u64,
    pub at: Timestamp,
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    pub source: LogSource,
    pub text: String,
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    Engine,
    /// The log of the provider's task.
    Task,
    Host,
}

/// Answer of `GET /v1/operations/{number}/requests`: oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestPage {
    pub requests: Vec<RequestRecord>,
}

/// A request that was sent to the provider, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    pub at: Timestamp,
    /// The step it belongs to; absent for what the host itself sent (a login, a shared list).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Name of the endpoint: `host`.
    pub endpoint: String,
    pub method: String,
    /// Path and query, secrets as [`HIDDEN`](crate::HIDDEN).
    pub path: String,
    /// `read`, `repeat`, `once`.
    pub effect: String,
    /// HTTP status; absent when no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds until the answer's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Of a poll: how often it was sent. Polls are counted and not listed; what else is said here is of
    /// the last one, its path cut off where it names many tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}
