//! One machine of a provider, and how it is shown.

use std::collections::BTreeMap;

use enginehouse_model::documents::{Config, Disk, Machine, PowerState};
use enginehouse_model::{MachineUid, OperationId, Timestamp};

/// The slot of a disk that somebody else plugs in.
const THEIRS: &str = "scsi9";

#[derive(Clone, Debug, Default)]
pub struct Vm {
    pub name: Option<String>,
    pub incarnation: u64,
    pub mark: Option<String>,
    pub config: Config,
    /// Our names of disks -> slots.
    pub slots: BTreeMap<String, String>,
    pub nics: Vec<String>,
    pub initialized: bool,
    pub power: PowerState,
    pub boots: u64,
    pub version: u64,
    /// The record that it was made for; none: it is somebody else's.
    pub made_for: Option<MachineUid>,
    pub made_by: Option<OperationId>,
    /// When somebody else has changed it last, or a request of ours that came too late.
    pub others_at: Timestamp,
    /// When somebody else has changed its disks last.
    pub plugged_at: Timestamp,
    /// Lists and reads show it from then on.
    pub seen_from: Timestamp,
    /// They show whose it is from then on.
    pub marked_from: Timestamp,
    /// A lost change of the configuration can be seen from then on.
    pub changed_from: Timestamp,
}

impl Vm {
    pub(crate) fn show(&self, id: u64, now: Timestamp, lock: Option<String>) -> Machine {
        let is_marked = self.marked_from <= now;
        Machine {
            id: id.to_string(),
            kind: Some("vm".to_owned()),
            name: self.shown_name(),
            incarnation: Some(format!("i{}", self.incarnation)),
            // What is being copied does not show yet whose it is.
            mark: is_marked.then(|| self.mark.clone().unwrap_or_default()),
            power: self.power,
            lock,
            host: Some("n1".to_owned()),
            config: is_marked.then(|| self.shown_config()),
            version: Some(self.version.to_string()),
            ..Machine::default()
        }
    }

    fn shown_name(&self) -> Option<String> {
        Some(self.name.clone().unwrap_or_else(|| "a-copy".to_owned()))
    }

    fn shown_config(&self) -> Config {
        let disk = |slot: &String| Some((slot.clone(), self.config.disks.get(slot)?.clone()));
        let mut slots: Vec<&String> = self.config.disks.keys().collect();
        slots.sort();
        let disks: BTreeMap<String, Disk> = slots.into_iter().filter_map(disk).collect();
        Config {
            name: self.shown_name(),
            power: None,
            base_image: None,
            vcpu: self.config.vcpu.or(Some(1)),
            memory: self.config.memory.or(Some(512 << 20)),
            description: Some(self.config.description.clone().unwrap_or_default()),
            disks,
            nics: BTreeMap::new(),
            ..self.config.clone()
        }
    }

    /// Somebody changes it, in one of several ways.
    pub(crate) fn drift(&mut self, how: u64) {
        let config = &mut self.config;
        match how {
            4 | 5 => config.vcpu = Some(7),
            6 => config.memory = Some(7 << 30),
            7 => drop(config.labels.insert("theirs".to_owned(), "x".to_owned())),
            _ => config.description = Some("theirs".to_owned()),
        }
        self.version += 1;
    }

    /// Where the next disk goes.
    pub(crate) fn free_slot(&self) -> String {
        let slots = (0..).map(|nth| format!("scsi{nth}"));
        let mut free = slots.filter(|slot| !self.config.disks.contains_key(slot));
        free.next().unwrap_or_default()
    }

    /// Somebody gives it a disk that is nobody's here, or takes that away again.
    pub(crate) fn plug(&mut self, now: Timestamp) {
        let theirs = Disk {
            size: Some(1 << 30),
            ..Disk::default()
        };
        if self.config.disks.remove(THEIRS).is_none() {
            self.config.disks.insert(THEIRS.to_owned(), theirs);
        }
        self.version += 1;
        self.others_at = now;
        self.plugged_at = now;
    }

    /// Writes one plain field; a field that is not known is left alone.
    pub(crate) fn write(&mut self, key: &str, desired: &Config) {
        match key {
            "vcpu" => self.config.vcpu = desired.vcpu,
            "memory" => self.config.memory = desired.memory,
            "description" => self.config.description.clone_from(&desired.description),
            "name" => self.name.clone_from(&desired.name),
            _ => {
                if let Some(label) = key.strip_prefix("labels.") {
                    match desired.labels.get(label) {
                        Some(value) => {
                            let value = value.clone();
                            self.config.labels.insert(label.to_owned(), value);
                        }
                        None => {
                            self.config.labels.remove(label);
                        }
                    }
                }
            }
        }
    }

    /// Whether it has been written.
    #[must_use]
    pub fn has(&self, key: &str, desired: &Config) -> bool {
        match key {
            "vcpu" => self.config.vcpu == desired.vcpu,
            "memory" => self.config.memory == desired.memory,
            "description" => self.config.description == desired.description,
            "name" => self.name == desired.name,
            _ => key
                .strip_prefix("labels.")
                .is_none_or(|label| self.config.labels.get(label) == desired.labels.get(label)),
        }
    }
}
