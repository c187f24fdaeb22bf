//! A hypervisor that does what providers do: later, not at all, twice where it is asked twice.
//!
//! It knows what the host cannot know: whose a machine really is, and how often each request took
//! effect. A request that changes a machine which the host did not make is written down in
//! [`Provider::wrongs`], whatever the host believes.

mod perform;
mod vm;

use std::collections::BTreeMap;

use enginehouse_model::documents::{Config, Disk, Machine, PowerState};
use enginehouse_model::{FullName, HypervisorUid, MachineUid, Mark, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::random::Random;

pub use vm::Vm;

/// How long an effect may be invisible to reads, milliseconds: what the engine declares.
pub const LAG: u64 = 3_000;
/// How long a request may be under way, milliseconds.
pub const REQUEST_TIMEOUT: u64 = 5_000;
/// What machines are made from.
pub const TEMPLATE: &str = "9000";
/// Bytes of the one disk of the template, in slot `scsi0`.
pub const TEMPLATE_DISK: u64 = 8 << 30;

/// How a new machine can be found again when the answer to its creation is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By its id, which the client chooses.
    ChosenId,
    /// By its mark, which the lists show.
    Marked,
    /// Not at all: mark and name are written only when the id is known.
    Blind,
}

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Clone {
        id: Option<u64>,
        name: Option<String>,
        mark: Option<Mark>,
    },
    AddDisk {
        name: String,
        disk: Disk,
    },
    RemoveDisk {
        slot: String,
    },
    AddNics {
        names: Vec<String>,
    },
    /// Name, mark, configuration and guest, absolute.
    Initialize {
        name: Option<String>,
        mark: Mark,
        desired: Box<Config>,
    },
    Configure {
        version: Option<u64>,
        desired: Box<Config>,
        changed: Vec<String>,
    },
    Grow {
        slot: String,
        size: u64,
    },
    Start,
    Stop {
        graceful: bool,
    },
    Restart,
    Destroy,
}

impl Request {
    /// Whether something is gone afterwards.
    #[must_use]
    pub fn destroys(&self) -> bool {
        match self {
            Self::Destroy | Self::RemoveDisk { .. } => true,
            Self::Clone { .. }
            | Self::AddDisk { .. }
            | Self::AddNics { .. }
            | Self::Initialize { .. }
            | Self::Configure { .. }
            | Self::Grow { .. }
            | Self::Start
            | Self::Stop { .. }
            | Self::Restart => false,
        }
    }

    /// What a list of tasks shows: a guest that is asked is not one whose plug is pulled.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stop { graceful: true } => "shutdown",
            other => other.name(),
        }
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clone { .. } => "clone",
            Self::AddDisk { .. } => "disk-add",
            Self::RemoveDisk { .. } => "disk-remove",
            Self::AddNics { .. } => "nics",
            Self::Initialize { .. } => "initialize",
            Self::Configure { .. } => "configure",
            Self::Grow { .. } => "grow",
            Self::Start => "start",
            Self::Stop { .. } => "stop",
            Self::Restart => "restart",
            Self::Destroy => "destroy",
        }
    }
}

/// A request with what its sender is, for those who count.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    /// The machine it is about; none: it makes one.
    pub id: Option<u64>,
    pub request: Request,
    /// Names the one effect that it is to have: `7/0/clone`.
    pub digest: String,
    pub operation: OperationId,
    /// Its step that sends it, from 0.
    pub step: usize,
    /// The record in whose name it is sent.
    pub machine: MachineUid,
    pub node: FullName,
    /// Whether it may take effect only once.
    pub once: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Done,
    Task {
        task: String,
        id: u64,
    },
    /// The id is taken.
    Taken,
    Busy(String),
    SessionExpired,
    NotFound,
    Conflict(String),
    Error(String),
}

/// What it does to requests.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    /// Tasks that fail, of a thousand.
    pub fails: u64,
    /// Tasks that it forgets.
    pub forgets: u64,
    /// Guests that do not stop when asked.
    pub deaf: u64,
    /// Requests that it refuses as busy.
    pub busy: u64,
    /// Looks at what became of a request that it does not allow.
    pub denies: u64,
    /// Longest time of a task, milliseconds.
    pub slow: u64,
    /// Longest time until an effect is visible, milliseconds; at most 3,000.
    pub lag: u64,
}

impl Temper {
    pub const GOOD: Self = Self {
        fails: 0,
        forgets: 0,
        deaf: 0,
        busy: 0,
        denies: 0,
        slow: 2_000,
        lag: 0,
    };
    pub const BAD: Self = Self {
        fails: 40,
        forgets: 40,
        deaf: 300,
        busy: 60,
        denies: 30,
        slow: 15_000,
        lag: LAG,
    };
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub vm: u64,
    pub incarnation: u64,
    pub flight: Flight,
    pub seen_from: Timestamp,
    pub ends: Timestamp,
    pub error: Option<String>,
    pub forgotten: bool,
    pub over: bool,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskView {
    Running,
    Ended(Option<String>),
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    pub uid: HypervisorUid,
    pub naming: Naming,
    pub temper: Temper,
    pub vms: BTreeMap<u64, Vm>,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Requests are not answered before.
    pub down_until: Timestamp,
    /// How often each `once` request took effect, or has a task that may, by its digest.
    pub effects: BTreeMap<String, u32>,
    /// All requests that arrived, by the name of what they ask for.
    pub arrived: BTreeMap<&'static str, u32>,
    /// It refuses requests of these names, about this machine or about any.
    pub refuses: Vec<(&'static str, Option<u64>)>,
    /// Changes of machines that are not ours.
    pub wrongs: Vec<String>,
    /// Most copies of the template that were under way at once.
    pub copies_most: usize,
    incarnations: u64,
    next_id: u64,
}

impl Provider {
    #[must_use]
    pub fn new(name: &str, uid: HypervisorUid, naming: Naming, temper: Temper) -> Self {
        Self {
            name: name.to_owned(),
            uid,
            naming,
            temper,
            vms: BTreeMap::new(),
            tasks: BTreeMap::new(),
            down_until: Timestamp::default(),
            effects: BTreeMap::new(),
            arrived: BTreeMap::new(),
            refuses: Vec::new(),
            wrongs: Vec::new(),
            copies_most: 0,
            incarnations: 0,
            next_id: 100,
        }
    }

    #[must_use]
    pub fn is_up(&self, now: Timestamp) -> bool {
        now >= self.down_until
    }

    /// A machine that a client asks for by its id.
    #[must_use]
    pub fn read(&self, id: u64, now: Timestamp) -> Option<Machine> {
        let vm = self.vms.get(&id).filter(|vm| vm.seen_from <= now)?;
        Some(vm.show(id, now, self.lock(id, now)))
    }

    /// All machines that can be seen.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> Vec<Machine> {
        let ids = self.vms.keys();
        ids.filter_map(|id| self.read(*id, now)).collect()
    }

    /// The same, as a list shows them that does not look into each: without configuration and mark.
    #[must_use]
    pub fn list_thin(&self, now: Timestamp) -> Vec<Machine> {
        let mut list = self.list(now);
        if self.naming == Naming::ChosenId {
            for machine in &mut list {
                machine.config = None;
                machine.mark = None;
                machine.version = None;
            }
        }
        list
    }

    /// The task that has a machine locked, as far as that can be seen, and what it does.
    #[must_use]
    pub fn running_task(&self, id: u64, now: Timestamp) -> Option<(&str, &'static str)> {
        let mut tasks = self.tasks.iter();
        tasks
            .find(|(_, task)| task.vm == id && task.seen_from <= now && !task.over)
            .map(|(name, task)| (name.as_str(), task.flight.request.kind()))
    }

    fn lock(&self, id: u64, now: Timestamp) -> Option<String> {
        let (_, what) = self.running_task(id, now)?;
        Some(what.to_owned())
    }

    #[must_use]
    pub fn task(&self, name: &str) -> TaskView {
        match self.tasks.get(name) {
            None => TaskView::Unknown,
            Some(task) if task.forgotten => TaskView::Unknown,
            Some(task) if task.over => TaskView::Ended(task.error.clone()),
            Some(_) => TaskView::Running,
        }
    }

    /// Whether something goes on that this operation has begun.
    #[must_use]
    pub fn works_for(&self, operation: OperationId) -> Option<&'static str> {
        let mut tasks = self.tasks.values();
        tasks
            .find(|task| !task.over && task.flight.operation == operation)
            .map(|task| task.flight.request.name())
    }

    /// The machine that was made for this record, whatever can be seen of it.
    pub fn made_for(&self, machine: MachineUid) -> impl Iterator<Item = (u64, &Vm)> {
        self.vms
            .iter()
            .filter(move |(_, vm)| vm.made_for == Some(machine))
            .map(|(id, vm)| (*id, vm))
    }

    fn incarnation(&mut self) -> u64 {
        self.incarnations += 1;
        self.incarnations
    }

    /// Somebody else's machine, perhaps in the place of one of ours, and perhaps with its mark.
    pub fn add_stranger(&mut self, id: u64, name: &str, mark: Option<String>) {
        let incarnation = self.incarnation();
        let vm = Vm {
            name: Some(name.to_owned()),
            incarnation,
            mark,
            power: match incarnation.is_multiple_of(2) {
                true => PowerState::Running,
                false => PowerState::Stopped,
            },
            ..Vm::default()
        };
        self.vms.insert(id, vm);
    }

    /// An id that nothing has.
    #[must_use]
    pub fn free_id(&self) -> u64 {
        (100..)
            .find(|id| !self.vms.contains_key(id))
            .unwrap_or_default()
    }

    fn time(random: &mut Random, most: u64) -> u64 {
        random.below(most + 1)
    }
}
