//! Machines that are missing, and turn up again.

use enginehouse_model::{FullName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Status;

/// The machine that a descriptor has lost is seen again; it can be linked to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedMachine {
    /// The provider's id.
    pub id: String,
    pub hypervisor: String,
    pub lost_at: Timestamp,
    pub seen_at: Timestamp,
}

/// Body of `POST /v1/nodes/missing`: the machine of a descriptor that cannot be reached is gone for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingNodeRequest {
    pub path: FullName,
    /// Nothing brings it back on record but the machine itself.
    #[serde(default)]
    pub confirm: bool,
}

/// Body of `POST /v1/nodes/link`: the machine that the descriptor has lost is its machine again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    pub path: FullName,
}

/// A descriptor as it is afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relinked {
    pub path: FullName,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
}
