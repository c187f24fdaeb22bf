//! Hypervisors of the tree, and how they are.

use enginehouse_model::documents::Health;
use enginehouse_model::{FullName, HypervisorUid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{InventoryState, OperationError};

/// Answer of `GET /v1/hypervisors`: by the node that defines them, then by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HypervisorList {
    pub hypervisors: Vec<Hypervisor>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hypervisor {
    pub uid: HypervisorUid,
    pub name: String,
    pub defined_at: FullName,
    /// Which engine: `proxmox`.
    #[serde(rename = "type")]
    pub engine: String,
    /// Where it is, as it was written; never with credentials.
    pub host: String,
    /// Where it came from, when people did not write it: `PROXMOX_HOST`, `engines.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Machines on record there.
    #[serde(default)]
    pub machines: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<HypervisorCheck>,
    /// What is known of its machines.
    #[serde(default)]
    pub inventory: InventoryState,
}

/// Body of `POST /v1/hypervisors/check`: those defined at or below `path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    #[serde(default = "FullName::root")]
    pub path: FullName,
    /// Those of this name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Answer of `POST /v1/hypervisors/check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResults {
    pub checks: Vec<HypervisorCheck>,
}

/// How a hypervisor was when it was asked: `health` or `problem`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HypervisorCheck {
    pub name: String,
    pub defined_at: FullName,
    pub at: Timestamp,
    pub took_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<OperationError>,
}
