//! What exists: machines, disks, nics, images, volumes, tasks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::knobs::Chance;
use crate::{Knobs, SimConfig};

/// Everything that is durable. Sizes are bytes; times are milliseconds since the world began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct World {
    /// What outlives addresses and restarts.
    pub identity: String,
    /// Up to when the world has been lived. Tasks that were due by then have ended.
    pub now: u64,
    /// How many machines were ever made: the number of the newest one.
    pub machines_made: u64,
    pub tasks_made: u64,
    pub hosts: Vec<String>,
    pub images: Vec<Image>,
    /// By number: `m-17` is 17.
    pub machines: BTreeMap<u64, Machine>,
    /// Disks that were kept when their machine was destroyed.
    pub volumes: Vec<Volume>,
    /// By number: `t-5` is 5.
    pub tasks: BTreeMap<u64, Task>,
    /// End and number of the tasks that run.
    pub running: BTreeSet<(u64, u64)>,
    /// What each client token has made: numbers of machine and task.
    pub client_tokens: BTreeMap<String, (u64, u64)>,
    pub knobs: Knobs,
    pub(crate) chance: Chance,
    /// Counts changes; the file is written when it has moved on.
    #[serde(skip)]
    pub(crate) revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// What a machine gets that does not ask for another.
    #[serde(default)]
    pub firmware: Firmware,
    #[serde(default)]
    pub disks: Vec<Disk>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The client's name for it; the provider's own is the slot (`disk0`).
    pub label: String,
    /// Bytes.
    pub size: u64,
    #[serde(default = "local")]
    pub storage: String,
    #[serde(default = "virtio")]
    pub bus: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    #[serde(default)]
    pub label: String,
    #[serde(default = "lan")]
    pub network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Made from the machine's number where a client gives none.
    #[serde(default)]
    pub mac: String,
    #[serde(default = "virtio")]
    pub adapter: String,
    /// Inside the guest, as a client wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

pub(crate) fn local() -> String {
    "local".to_owned()
}

pub(crate) fn virtio() -> String {
    "virtio".to_owned()
}

pub(crate) fn lan() -> String {
    "lan".to_owned()
}

/// How a machine boots. Between the two kinds of `uefi` it changes with a restart; between `bios`
/// and `uefi` not at all, since the disk would not boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    #[default]
    Bios,
    Uefi,
    UefiSecure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    Running,
    Stopped,
}

/// Why a machine takes no other command now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The kind of its task: `create`, `start`, …
    pub reason: String,
    /// Number of the task.
    pub task: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: String,
    pub host: String,
    /// Made new for every machine, also for a clone.
    pub incarnation: Uuid,
    /// Free text of the client. A clone of a machine has the mark of the original.
    pub mark: String,
    pub image: Option<String>,
    pub vcpu: u32,
    /// Bytes.
    pub memory: u64,
    pub description: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub firmware: Firmware,
    /// By slot.
    pub disks: BTreeMap<String, Disk>,
    /// By slot.
    pub nics: BTreeMap<String, Nic>,
    pub power: Power,
    /// How often it was started.
    pub boots: u64,
    /// Counts changes of the configuration.
    pub version: u64,
    /// Something was changed that takes effect with the next start.
    pub restart_needed: bool,
    /// The task that made it failed and left it behind.
    pub incomplete: bool,
    pub lock: Option<Lock>,
    pub made_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Machine and slot that it was: `m-17/disk1`.
    pub id: String,
    #[serde(flatten)]
    pub disk: Disk,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// `create`, `start`, …
    pub kind: String,
    /// Number of its machine.
    pub machine: u64,
    pub began_at: u64,
    pub ends_at: u64,
    pub ended: bool,
    /// Decided when it begins, told when it ends.
    pub ending: Ending,
    pub effect: TaskEffect,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Ending {
    Done {
        warnings: Vec<String>,
    },
    Failed {
        /// `failed`, or `guest-timeout` when a guest did not stop in time.
        code: String,
        message: String,
        leave_half: bool,
    },
}

/// What a task does to its machine when it ends well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum TaskEffect {
    /// The machine is complete.
    Make,
    Power {
        to: Power,
    },
    Restart,
    Destroy {
        keep: Vec<String>,
    },
    DiskAdd {
        disk: Disk,
    },
    DiskGrow {
        slot: String,
        size: u64,
    },
    /// A disk that is kept becomes a volume.
    DiskRemove {
        slot: String,
        keep: bool,
    },
    NicAdd {
        nic: Nic,
    },
    /// The nic as it is to be.
    NicChange {
        slot: String,
        nic: Nic,
    },
    NicRemove {
        slot: String,
    },
}

impl World {
    /// A world with images and no machines.
    #[must_use]
    pub fn new(config: &SimConfig) -> Self {
        let mut hosts = config.hosts.clone();
        if hosts.is_empty() {
            hosts.push("sim-a".to_owned());
        }
        Self {
            identity: config
                .identity
                .clone()
                .unwrap_or_else(|| format!("sim-{}", Uuid::now_v7())),
            now: 0,
            machines_made: 0,
            tasks_made: 0,
            hosts,
            images: config.images.clone(),
            machines: BTreeMap::new(),
            volumes: Vec::new(),
            tasks: BTreeMap::new(),
            running: BTreeSet::new(),
            client_tokens: BTreeMap::new(),
            chance: Chance::new(config.knobs.seed),
            knobs: config.knobs.clone(),
            revision: 1,
        }
    }

    /// The machine with this id (`m-17`).
    #[must_use]
    pub fn machine(&self, id: &str) -> Option<&Machine> {
        self.machines.get(&number(id, "m-")?)
    }

    /// Machines of this name, with their ids: a name is not unique here.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<(String, &Machine)> {
        self.machines
            .iter()
            .filter(|(_, machine)| machine.name == name)
            .map(|(number, machine)| (format!("m-{number}"), machine))
            .collect()
    }

    /// Sets other knobs; chance begins anew if the seed is another.
    pub fn set_knobs(&mut self, knobs: Knobs) {
        if knobs.seed != self.knobs.seed {
            self.chance = Chance::new(knobs.seed);
        }
        self.knobs = knobs;
        self.touch();
    }

    pub(crate) fn touch(&mut self) {
        self.revision += 1;
    }
}

/// The number in an id: 17 of `m-17`. Leading zeros and signs are no id.
pub(crate) fn number(id: &str, prefix: &str) -> Option<u64> {
    let digits = id.strip_prefix(prefix)?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}
