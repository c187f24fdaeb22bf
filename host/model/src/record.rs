//! The machine's record: what we know of a machine on a hypervisor, apart from the tree's node.

use std::collections::BTreeMap;

use enginehouse_documents::{Config, MachineRef};
use serde::{Deserialize, Serialize};

use crate::{HypervisorUid, MachineUid, Mark, NodeUid, OperationId, Timestamp};

/// A machine that we made, from the moment its creation began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    pub uid: MachineUid,
    /// The descriptor it belongs to.
    pub node: NodeUid,
    pub hypervisor: HypervisorUid,
    /// Provider's identity as `check` reported it when the creation began.
    pub provider_identity: String,
    pub mark: Mark,
    pub created_by: OperationId,
    /// What the provider calls it; absent until the creation got that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The definition's names of disks and nics -> the provider's slots.
    #[serde(default)]
    pub slots: BTreeMap<String, String>,
    /// What was applied, field by field as steps succeed. Disks and nics by the definition's names.
    #[serde(default)]
    pub deployed: Config,
    /// Observations that began before this moment do not count for this machine.
    #[serde(default)]
    pub last_step_ended: Timestamp,
    /// Its id or what was applied has changed since the descriptor's history noted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unnoted: bool,
    /// A person protects the machine itself, whatever its definition says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<Protected>,
}

/// Who protected a machine on its record, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protected {
    pub since: Timestamp,
    pub by: String,
}

/// The provider's own identity of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub machine_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Node or host it was last seen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// See `Machine::incarnation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
}

impl Identity {
    #[must_use]
    pub fn machine_ref(&self) -> MachineRef {
        MachineRef {
            id: self.machine_id.clone(),
            kind: self.kind.clone(),
            host: self.host.clone(),
        }
    }
}
