//! What the planner is asked about.

use enginehouse_model::documents::{Assessment, Config, Machine};
use enginehouse_model::{FullName, HypervisorUid, MachineRecord, MachineUid, NodeUid};
use serde::{Deserialize, Serialize};

use crate::Rules;

/// One machine, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Name and uid of the descriptor.
    pub name: &'a FullName,
    pub node: NodeUid,
    /// The machine's own uid, once it has one.
    pub machine: Option<MachineUid>,
    pub hypervisor: HypervisorUid,
    pub hypervisor_name: &'a str,
    pub intent: Intent,
    /// Milliseconds that a guest is given wherever the plan stops it gracefully; none: the
    /// engine's own default.
    pub shutdown_timeout_ms: Option<u64>,
    /// The computed definition, disks and nics by its own names. Absent where it does not matter.
    pub desired: Option<&'a Config>,
    /// Its `slots` say which of the provider's slots hold our disks and nics.
    pub record: Option<&'a MachineRecord>,
    /// Disks and nics by the provider's slots. Absent: not seen.
    pub observed: Option<&'a Machine>,
    pub rules: &'a Rules,
    /// What the engine's `assess` said about this machine's changes.
    pub assessment: Option<&'a Assessment>,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Make the machine where it is not there, or go on with one whose creation did not end, and
    /// bring it to the definition.
    Deploy,
    /// Bring the machine to the definition. Nothing is created.
    Reconfigure,
    /// Take over the machine that the record names, as it is.
    Adopt,
    /// Only compare.
    Observe,
    Start,
    Stop {
        graceful: bool,
    },
    Restart {
        graceful: bool,
    },
    /// Stop and destroy.
    Undeploy {
        keep: KeepDisks,
    },
}

/// Which disks survive their machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepDisks {
    /// Those that the definition marks with `keep`.
    Marked,
    All,
    /// None, whatever the definition says.
    None,
}
