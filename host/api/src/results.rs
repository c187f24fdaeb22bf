//! Ended operations: `GET /v1/results`, `GET /v1/executed`.

use enginehouse_model::{FullName, NodeUid, OperationId, SecretName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{OperationError, OperationResult, OperationState};

/// A line of the executed log: there is one for each operation that has ended, also when the operation
/// itself is no longer kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutedLine {
    pub number: OperationId,
    /// An [`OperationKind`](crate::OperationKind), or one of another version.
    pub kind: String,
    /// What it was about, by the name that it had when it was queued.
    pub path: FullName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeUid>,
    pub who: String,
    pub queued_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    /// The state it ended in.
    pub outcome: OperationState,
    /// The error, or the warnings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Answer of `GET /v1/executed`: those that ended last come first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutedPage {
    pub lines: Vec<ExecutedLine>,
    /// `before` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How an operation ended, with what came out of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedOperation {
    #[serde(flatten)]
    pub line: ExecutedLine,
    /// Of a `move`: the name that it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<FullName>,
    /// The secret that it was about, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// The operation that this one was a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    /// Machine id, objects that were created, objects that failed, warnings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

/// Answer of `GET /v1/results`: in the order in which the operations ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultPage {
    pub results: Vec<EndedOperation>,
    /// `after` of the next page, also when this one is empty. Nothing can be read from its text.
    pub cursor: String,
    /// There are more now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}
