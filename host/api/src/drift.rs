//! Drift, and where people have paused its repair.

use enginehouse_model::{FullName, NodeUid, Timestamp};
use serde::{Deserialize, Serialize};

/// A field of a machine that was found otherwise than it was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The definition's key: `vcpu`, `disks.root.size`, `power`.
    pub field: String,
    pub deployed: String,
    pub observed: String,
    /// When it was seen so for the first time.
    pub since: Timestamp,
    /// Why it is not repaired without a person; absent: it is going to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_repaired: Option<String>,
}

/// A machine that has drifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftedMachine {
    pub node: NodeUid,
    pub path: FullName,
    pub drift: Vec<Drift>,
}

/// A page of machines that have drifted, in the order of their names. Answer of `GET /v1/drift`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftPage {
    pub machines: Vec<DriftedMachine>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<FullName>,
}

/// The drift of a machine appeared, changed, or is gone: then it is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftEvent {
    pub node: NodeUid,
    pub path: FullName,
    pub drift: Vec<Drift>,
}

/// Nothing is repaired and no definition followed here without a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The node on which it was said: this one, or a folder above.
    pub at: FullName,
    pub since: Timestamp,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST /v1/nodes/pause` and `POST /v1/nodes/resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    pub path: FullName,
    /// `pause`: why, in one line of at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a node is paused now, after the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseState {
    pub path: FullName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
}
