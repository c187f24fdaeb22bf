//! Server-Sent Events: `GET /v1/events`, `GET /v1/operations/{number}/events`.
//!
//! | event | data | where |
//! | --- | --- | --- |
//! | `ready` | `{}` | both: the stream has begun, and from its id on nothing is missed |
//! | `operation` | [`Operation`] | both: as it is now; of one operation with steps and parts, else as lists have it |
//! | `log` | [`LogLine`] | one operation |
//! | `node` | [`NodeEvent`] | all |
//! | `drift` | [`DriftEvent`](crate::DriftEvent) | all |
//! | `hypervisor` | [`HypervisorEvent`] | all |
//! | `reset` | [`Reset`] | both: something was missed, read the state again |
//! | `end` | [`End`] | both: nothing more comes, and why |

use enginehouse_model::{FullName, HypervisorUid, NodeUid};
use serde::{Deserialize, Serialize};

use crate::{LogLine, NodeKind, Operation, Status};

/// A node that was made, changed or removed. What is below one that was moved has moved with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvent {
    pub node: NodeUid,
    pub path: FullName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<NodeKind>,
    /// Of a descriptor only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// There is nothing at this path any more: it was removed, or moved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// Too many machines of a hypervisor vanished at once, or that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HypervisorEvent {
    pub uid: HypervisorUid,
    pub name: String,
    pub defined_at: FullName,
    /// Nothing is begun there until a person agrees, or the machines are there again.
    pub held: bool,
    /// Machines on record that lists do not show.
    pub absent: u64,
    /// Machines on record.
    pub machines: u64,
}

/// Events were missed, or a log has to be read again from its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// Why, for people.
    pub reason: String,
}

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub reason: EndReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The operation has ended.
    Over,
    /// The token has expired or was revoked.
    Token,
    /// The operation may not be read any more, or is no longer kept.
    Hidden,
    /// The host stops.
    Stopping,
    /// The time that was asked for is over.
    Time,
    #[serde(other)]
    Unknown,
}

/// What a stream of one operation tells.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationEvent {
    /// As it is now, with steps and parts.
    Operation(Box<Operation>),
    Log(LogLine),
    /// The log comes again from its first line.
    Reset(Reset),
    End(End),
}
