//! What calls do to the disks and nics of a machine.

use crate::answer::{Answer, Refusal};
use crate::body::{AddDisk, AddNic, ChangeNic, Grow};
use crate::knobs::Verdict;
use crate::machines::{check_version, no_disk};
use crate::perform::Request;
use crate::{Nic, TaskEffect, World};

impl World {
    pub(crate) fn add_disk(
        &mut self,
        id: &str,
        request: &Request<'_>,
        body: AddDisk,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let disk = body.disk.disk(body.label)?;
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        if machine.disks.values().any(|have| have.label == disk.label) {
            let message = format!("machine {id} has a disk `{}`", disk.label);
            return Err(Refusal::new(409, "exists", message));
        }
        let task = self.begin("disk-add", number, TaskEffect::DiskAdd { disk }, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn grow_disk(
        &mut self,
        id: &str,
        request: &Request<'_>,
        body: &Grow,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let slot = request.ids.get(1).copied().unwrap_or_default();
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        let disk = machine.disks.get(slot).ok_or_else(|| no_disk(id, slot))?;
        if body.size < disk.size {
            let message = format!("{slot} has {} bytes: disks only grow", disk.size);
            return Err(Refusal::new(422, "invalid", message));
        }
        let effect = TaskEffect::DiskGrow {
            slot: slot.to_owned(),
            size: body.size,
        };
        let task = self.begin("disk-grow", number, effect, verdict);
        Ok(Answer::accepted(number, task))
    }

    /// `keep` in the query: it becomes a volume.
    pub(crate) fn remove_disk(
        &mut self,
        id: &str,
        request: &Request<'_>,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let slot = request.ids.get(1).copied().unwrap_or_default();
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        if !machine.disks.contains_key(slot) {
            return Err(no_disk(id, slot));
        }
        let effect = TaskEffect::DiskRemove {
            slot: slot.to_owned(),
            keep: request.query.get("keep").is_some_and(|keep| keep == "true"),
        };
        let task = self.begin("disk-remove", number, effect, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn add_nic(
        &mut self,
        id: &str,
        request: &Request<'_>,
        body: AddNic,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let mut nic = body.nic.nic(body.label)?;
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        if machine.nics.values().any(|have| have.label == nic.label) {
            let message = format!("machine {id} has a nic `{}`", nic.label);
            return Err(Refusal::new(409, "exists", message));
        }
        let given = nic.mac.clone();
        // Others may have been taken off in between: a number is free that nobody's address has.
        for index in 0..=machine.nics.len() {
            nic.mac.clone_from(&given);
            nic.name_itself(number, index);
            if machine.nics.values().all(|have| have.mac != nic.mac) {
                break;
            }
        }
        let task = self.begin("nic-add", number, TaskEffect::NicAdd { nic }, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn change_nic(
        &mut self,
        id: &str,
        request: &Request<'_>,
        body: ChangeNic,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let slot = request.ids.get(1).copied().unwrap_or_default();
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        let nic = machine.nics.get(slot).ok_or_else(|| no_nic(id, slot))?;
        let effect = TaskEffect::NicChange {
            slot: slot.to_owned(),
            nic: body.of(nic)?,
        };
        let task = self.begin("nic-change", number, effect, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn remove_nic(
        &mut self,
        id: &str,
        request: &Request<'_>,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let slot = request.ids.get(1).copied().unwrap_or_default();
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        if !machine.nics.contains_key(slot) {
            return Err(no_nic(id, slot));
        }
        let effect = TaskEffect::NicRemove {
            slot: slot.to_owned(),
        };
        let task = self.begin("nic-remove", number, effect, verdict);
        Ok(Answer::accepted(number, task))
    }
}

fn no_nic(id: &str, slot: &str) -> Refusal {
    Refusal::new(404, "no-nic", format!("machine {id} has no nic {slot}"))
}

impl Nic {
    /// An address of its own, where the client gave none.
    pub(crate) fn name_itself(&mut self, machine: u64, index: usize) {
        if self.mac.is_empty() {
            let [.., high, middle, low] = machine.to_be_bytes();
            self.mac = format!(
                "02:{:02x}:00:{high:02x}:{middle:02x}:{low:02x}",
                index % 256
            );
        }
    }
}
