//! What a request asks for.

use std::fmt;

/// The kinds of calls, as faults and counters name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    Info,
    ImageList,
    VolumeList,
    MachineList,
    MachineRead,
    MachineCreate,
    MachineClone,
    MachineUpdate,
    MachineDestroy,
    MachineStart,
    MachineStop,
    MachineShutdown,
    MachineRestart,
    DiskAdd,
    DiskGrow,
    DiskRemove,
    NicAdd,
    NicChange,
    NicRemove,
    TaskRead,
    TaskList,
    /// A request that fits no route.
    Unknown,
}

impl Call {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::ImageList => "image.list",
            Self::VolumeList => "volume.list",
            Self::MachineList => "machine.list",
            Self::MachineRead => "machine.read",
            Self::MachineCreate => "machine.create",
            Self::MachineClone => "machine.clone",
            Self::MachineUpdate => "machine.update",
            Self::MachineDestroy => "machine.destroy",
            Self::MachineStart => "machine.start",
            Self::MachineStop => "machine.stop",
            Self::MachineShutdown => "machine.shutdown",
            Self::MachineRestart => "machine.restart",
            Self::DiskAdd => "disk.add",
            Self::DiskGrow => "disk.grow",
            Self::DiskRemove => "disk.remove",
            Self::NicAdd => "nic.add",
            Self::NicChange => "nic.change",
            Self::NicRemove => "nic.remove",
            Self::TaskRead => "task.read",
            Self::TaskList => "task.list",
            Self::Unknown => "unknown",
        }
    }

    /// Which call a method and a path are, with the ids in the path.
    #[must_use]
    pub(crate) fn of<'a>(method: &str, path: &'a str) -> (Self, Vec<&'a str>) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["v1", "info"]) => (Self::Info, vec![]),
            ("GET", ["v1", "images"]) => (Self::ImageList, vec![]),
            ("GET", ["v1", "volumes"]) => (Self::VolumeList, vec![]),
            ("GET", ["v1", "machines"]) => (Self::MachineList, vec![]),
            ("POST", ["v1", "machines"]) => (Self::MachineCreate, vec![]),
            ("GET", ["v1", "machines", id]) => (Self::MachineRead, vec![*id]),
            ("PATCH", ["v1", "machines", id]) => (Self::MachineUpdate, vec![*id]),
            ("DELETE", ["v1", "machines", id]) => (Self::MachineDestroy, vec![*id]),
            ("POST", ["v1", "machines", id, "clone"]) => (Self::MachineClone, vec![*id]),
            ("POST", ["v1", "machines", id, "start"]) => (Self::MachineStart, vec![*id]),
            ("POST", ["v1", "machines", id, "stop"]) => (Self::MachineStop, vec![*id]),
            ("POST", ["v1", "machines", id, "shutdown"]) => (Self::MachineShutdown, vec![*id]),
            ("POST", ["v1", "machines", id, "restart"]) => (Self::MachineRestart, vec![*id]),
            ("POST", ["v1", "machines", id, "disks"]) => (Self::DiskAdd, vec![*id]),
            ("PATCH", ["v1", "machines", id, "disks", slot]) => (Self::DiskGrow, vec![*id, *slot]),
            ("DELETE", ["v1", "machines", id, "disks", slot]) => {
                (Self::DiskRemove, vec![*id, *slot])
            }
            ("POST", ["v1", "machines", id, "nics"]) => (Self::NicAdd, vec![*id]),
            ("PATCH", ["v1", "machines", id, "nics", slot]) => (Self::NicChange, vec![*id, *slot]),
            ("DELETE", ["v1", "machines", id, "nics", slot]) => (Self::NicRemove, vec![*id, *slot]),
            ("GET", ["v1", "tasks"]) => (Self::TaskList, vec![]),
            ("GET", ["v1", "tasks", id]) => (Self::TaskRead, vec![*id]),
            _ => (Self::Unknown, vec![]),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        assert_eq!(
            Call::of("PATCH", "/v1/machines/m-1/disks/disk0"),
            (Call::DiskGrow, vec!["m-1", "disk0"])
        );
        assert_eq!(Call::of("PUT", "/v1/machines/m-1").0, Call::Unknown);
        assert_eq!(Call::of("GET", "/v1/machines/m-1/x").0, Call::Unknown);
    }
}
