//! Actions on machines, what they end with, and questions about them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChangeClass, Config, Disk, Machine, MachineRef, Nic, TaskEnd};

/// Argument `action` of `run` and `settle`. It stays the same through all phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRequest {
    /// The machine. For `create`: absent, or the one that an earlier creation left unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineRef>,
    #[serde(flatten)]
    pub action: Action,
}

impl ActionRequest {
    /// The machine's id; `None` for a `create` that begins from nothing.
    #[must_use]
    pub fn machine_id(&self) -> Option<&str> {
        self.machine.as_ref().map(|machine| machine.id.as_str())
    }
}

/// One change of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Make the machine, from `base_image` or from nothing, with everything `desired` says but its
    /// run state: it stays stopped. Disks that come with the image keep their size; a disk that
    /// the image lacks is added.
    ///
    /// With `machine`, nothing is made: that machine carries our mark already, but its creation
    /// broke off. It is brought to `desired`, and its slots are said.
    Create {
        /// Disks and nics are keyed by the definition's names. Boxed for its size.
        desired: Box<Config>,
    },
    /// Change `changed` to what `desired` says, all in one request where the provider can.
    Configure {
        desired: Box<Config>,
        /// Fields to write: `vcpu`, `memory`, `description`, `name`, `labels.NAME`,
        /// `settings.NAME`. One that `desired` lacks is to be unset.
        changed: Vec<String>,
        /// What the machine looked like, with its version.
        #[serde(default)]
        observed: Option<Box<Machine>>,
    },
    /// Write the call's mark onto a machine that somebody else has made, in the place of whatever mark
    /// it carries. Nothing else of it changes, and it goes on running.
    Adopt,
    Start,
    /// Graceful: ask the guest, and give up with `busy` when it has not stopped in time. Otherwise
    /// pull the plug.
    Stop {
        graceful: bool,
        /// Milliseconds for the guest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    Restart {
        graceful: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// Remove the machine, with its disks but those in `keep`.
    Destroy {
        /// Slots of disks that must survive. Refused with `unsupported` when the provider cannot.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keep: Vec<String>,
    },
    DiskAdd {
        /// The definition's name for it.
        name: String,
        disk: Disk,
    },
    DiskGrow {
        /// The provider's slot.
        slot: String,
        /// Bytes, absolute.
        size: u64,
    },
    /// Take the disk off the machine, and destroy it with all that is on it. One that is not there
    /// any more is as it should be.
    DiskRemove {
        /// The provider's slot.
        slot: String,
        /// Only take it off: what is on it survives. Refused with `unsupported` when the provider
        /// cannot.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keep: bool,
    },
    NicAdd {
        /// The definition's name for it.
        name: String,
        nic: Nic,
    },
    /// Change `changed` of the nic in this slot to what `nic` says; the rest of it stays.
    NicChange {
        /// The provider's slot.
        slot: String,
        nic: Nic,
        /// Members to write: `network`, `vlan`, `mac`, `adapter`, `addresses`, `gateway`.
        changed: Vec<String>,
    },
    /// Take the nic off the machine. One that is not there any more is as it should be.
    NicRemove {
        /// The provider's slot.
        slot: String,
    },
}

impl Action {
    /// The action's name, as in the document and in a description's `actions`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Configure { .. } => "configure",
            Self::Adopt => "adopt",
            Self::Start => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Destroy { .. } => "destroy",
            Self::DiskAdd { .. } => "disk-add",
            Self::DiskGrow { .. } => "disk-grow",
            Self::DiskRemove { .. } => "disk-remove",
            Self::NicAdd { .. } => "nic-add",
            Self::NicChange { .. } => "nic-change",
            Self::NicRemove { .. } => "nic-remove",
        }
    }
}

impl Action {
    /// What the machine is to be, of `create` and `configure`.
    #[must_use]
    pub fn desired(&self) -> Option<&Config> {
        match self {
            Self::Create { desired } | Self::Configure { desired, .. } => Some(desired),
            _ => None,
        }
    }

    /// The same, to bring it to what a provider takes.
    #[must_use]
    pub fn desired_mut(&mut self) -> Option<&mut Config> {
        match self {
            Self::Create { desired } | Self::Configure { desired, .. } => Some(desired),
            _ => None,
        }
    }

    /// The version that the change is based on, of `configure`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Configure { observed, .. } => observed.as_ref()?.version.as_deref(),
            _ => None,
        }
    }

    /// Milliseconds for the guest, of `stop` and `restart`.
    #[must_use]
    pub fn timeout_ms(&self) -> Option<u64> {
        match self {
            Self::Stop { timeout_ms, .. } | Self::Restart { timeout_ms, .. } => *timeout_ms,
            _ => None,
        }
    }
}

/// Detail of `finished`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Outcome {
    /// The machine as it is now, where the engine knows it without asking again. Required after
    /// `create`, with id, incarnation and mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The definition's names for disks and nics -> the provider's slots, for those this action
    /// made or found.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The change is written, but takes effect with the next restart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restart_needed: bool,
}

/// Detail of `moved` and `waiting`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Note {
    /// What is going on, for people: `cloning template 9000 to 105`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Milliseconds until the first poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_after_ms: Option<u64>,
    /// The provider's id of the machine, as soon as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The request whose answer was lost: what `call.sent` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sent {
    pub endpoint: String,
    pub method: String,
    pub path: String,
    /// Milliseconds since 1970 when it was journalled, before it left.
    pub at: u64,
    /// Milliseconds since 1970 after which it can no longer arrive.
    pub deadline: u64,
    /// How the task ended, if the call it belongs to came after one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<TaskEnd>,
    /// Its answer was known and named a task, but the provider no longer knows that task.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// Argument of `assess`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Question {
    pub desired: Config,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Machine>,
    pub changed: Vec<String>,
}

impl Question {
    /// The configuration that is to change: as observed, or else as deployed.
    #[must_use]
    pub fn current(&self) -> Option<&Config> {
        let observed = self.observed.as_ref();
        observed
            .and_then(|machine| machine.config.as_ref())
            .or(self.deployed.as_ref())
    }

    /// Is this field among the changed ones?
    #[must_use]
    pub fn changes(&self, field: &str) -> bool {
        self.changed.iter().any(|changed| changed == field)
    }
}

/// Answer of `assess`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Assessment {
    pub fields: BTreeMap<String, FieldAssessment>,
}

impl Assessment {
    /// Says the class of one field, and why.
    #[must_use]
    pub fn field(mut self, name: &str, class: ChangeClass, reason: &str) -> Self {
        let reason = reason.to_owned();
        self.fields
            .insert(name.to_owned(), FieldAssessment { class, reason });
        self
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldAssessment {
    pub class: ChangeClass,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
