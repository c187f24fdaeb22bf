//! Time passes: tasks that are due end, in the order of their ends.

use crate::{Disk, Ending, Machine, Power, Task, TaskEffect, Volume, World};

/// So many ended tasks are remembered; a poll for an older one is answered with 404.
const REMEMBERED: usize = 10_000;

impl World {
    /// Lets every task end that is due at `now`. Time that runs backwards is ignored.
    pub fn advance(&mut self, now: u64) {
        while let Some((ends_at, number)) = self.running.first().copied() {
            if ends_at > now {
                break;
            }
            self.running.pop_first();
            self.now = self.now.max(ends_at);
            self.end(number);
            self.touch();
        }
        self.now = self.now.max(now);
        while self.tasks.len() > REMEMBERED + self.running.len() {
            let Some(oldest) = self.tasks.iter().find(|(_, task)| task.ended) else {
                break;
            };
            let oldest = *oldest.0;
            self.tasks.remove(&oldest);
        }
    }

    fn end(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else {
            return;
        };
        task.ended = true;
        let task = task.clone();
        let id = task.machine;
        let Some(machine) = self.machines.get_mut(&id) else {
            return;
        };
        machine.lock = None;
        match &task.ending {
            Ending::Done { .. } => self.take_effect(&task),
            Ending::Failed { leave_half, .. } => match task.effect {
                TaskEffect::Make if *leave_half => machine.incomplete = true,
                TaskEffect::Make => {
                    self.machines.remove(&id);
                }
                TaskEffect::Power { .. }
                | TaskEffect::Restart
                | TaskEffect::Destroy { .. }
                | TaskEffect::DiskAdd { .. }
                | TaskEffect::DiskGrow { .. }
                | TaskEffect::DiskRemove { .. }
                | TaskEffect::NicAdd { .. }
                | TaskEffect::NicChange { .. }
                | TaskEffect::NicRemove { .. } => {}
            },
        }
    }

    fn take_effect(&mut self, task: &Task) {
        let id = task.machine;
        let Some(machine) = self.machines.get_mut(&id) else {
            return;
        };
        match &task.effect {
            TaskEffect::Make => {}
            TaskEffect::Power { to } => {
                machine.power = *to;
                if *to == Power::Running {
                    machine.boot();
                }
            }
            TaskEffect::Restart => machine.boot(),
            TaskEffect::DiskAdd { disk } => {
                let slot = free_slot("disk", |slot| machine.disks.contains_key(slot));
                machine.disks.insert(slot, disk.clone());
                machine.version += 1;
            }
            TaskEffect::DiskGrow { slot, size } => {
                if let Some(disk) = machine.disks.get_mut(slot) {
                    disk.size = *size;
                    machine.version += 1;
                }
            }
            TaskEffect::DiskRemove { slot, keep } => {
                if let Some(disk) = machine.disks.remove(slot) {
                    machine.version += 1;
                    if *keep {
                        self.keep(id, slot, disk);
                    }
                }
            }
            TaskEffect::NicAdd { nic } => {
                let slot = free_slot("nic", |slot| machine.nics.contains_key(slot));
                machine.nics.insert(slot, nic.clone());
                machine.version += 1;
            }
            TaskEffect::NicChange { slot, nic } => {
                machine.nics.insert(slot.clone(), nic.clone());
                machine.version += 1;
            }
            TaskEffect::NicRemove { slot } => {
                if machine.nics.remove(slot).is_some() {
                    machine.version += 1;
                }
            }
            TaskEffect::Destroy { keep } => {
                if let Some(machine) = self.machines.remove(&id) {
                    for (slot, disk) in machine.disks {
                        if keep.contains(&slot) {
                            self.keep(id, &slot, disk);
                        }
                    }
                }
            }
        }
    }

    fn keep(&mut self, machine: u64, slot: &str, disk: Disk) {
        self.volumes.push(Volume {
            id: format!("m-{machine}/{slot}"),
            disk,
        });
    }
}

impl Machine {
    fn boot(&mut self) {
        self.boots += 1;
        self.restart_needed = false;
    }
}

/// The lowest slot with this prefix that is not taken.
pub(crate) fn free_slot(prefix: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut index = 0_u32;
    loop {
        let slot = format!("{prefix}{index}");
        if !taken(&slot) {
            return slot;
        }
        index += 1;
    }
}
