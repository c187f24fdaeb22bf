//! The machine: what it is to be ([`Config`]) and what it is ([`Machine`]).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The run state that a definition asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    Running,
    Stopped,
}

/// The run state that a provider reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    Running,
    Stopped,
    /// Suspended or paused: neither running nor stopped.
    Paused,
    #[default]
    #[serde(other)]
    Unknown,
}

/// A machine's configuration. A member that is absent is not managed (in a definition) or not
/// known (in an observation).
///
/// The same shape serves three purposes. In *desired* and *deployed*, disks and nics are keyed by
/// the names of the definition; in *observed*, by the provider's own slots (`scsi0`). The host
/// keeps the map between the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Template or image that the machine is made from. Used at creation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_image: Option<String>,
    /// Virtual processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Always absent in an observation: see [`Machine::power`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    #[serde(skip_serializing_if = "Placement::is_empty")]
    pub placement: Placement,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, Disk>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nics: BTreeMap<String, Nic>,
    /// Configuration inside the guest.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub guest: Map<String, Value>,
    /// The engine's own settings, by the schema in its description.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

/// Where a machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Placement {
    /// Node or host of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

impl Placement {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Disk {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Storage or datastore that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// How it is attached: `scsi`, `virtio`, `sata`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Survives the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Nic {
    /// Bridge, network or port group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// VLAN tag, 1 to 4094.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// `02:00:00:00:00:01`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The virtual card: `virtio`, `e1000`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// With prefix length: `192.0.2.10/24`, or `dhcp`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// A machine as the provider shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Machine {
    /// The provider's id, unique on the hypervisor.
    pub id: String,
    /// The kind in the provider's words: `qemu`, `lxc`, `container`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A value that the provider makes new for every machine, also for a copy (smbios uuid,
    /// container id). Absent when this observation does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// The host's mark, as written at creation. `""`: it has none. Absent: not shown here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Something to make machines from; it cannot run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub template: bool,
    pub power: PowerState,
    /// The provider holds it locked; its own word why (`backup`, `clone`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Node or host that it is on now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Absent when the configuration was not read, or could not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// The provider's version of the configuration (digest, changeVersion, ETag).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Which machine an action or a reading is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MachineRef {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where it was last seen; it may have moved since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}
