//! Disks: added, grown and removed, never shrunk or moved.
//!
//! The record's slots say which of the provider's disks is ours. One that is neither defined nor
//! deployed is not looked at. A disk that is gone is not made again: an empty one in its place
//! would hide the loss.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::Bytes;
use enginehouse_model::documents::{Action, Disk};
use serde_json::Value;

use crate::compare::{Findings, Sides, Triple};
use crate::field::{Seen, UNMANAGED, UNSET};
use crate::step::{Part, Step};
use crate::{Class, FieldChange, Refusal};

/// Compares the disks. Steps are in the order of the definition's names.
pub(crate) fn compare(
    sides: &Sides<'_>,
    slots: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Vec<Step> {
    // Most machines: their disks are where and what they are to be.
    if is_the_same(sides, slots) {
        return Vec::new();
    }
    let names: BTreeSet<&String> = sides
        .desired
        .disks
        .keys()
        .chain(sides.deployed.disks.keys())
        .collect();
    let mut steps = Vec::new();
    for name in names {
        let place = Place {
            name,
            slot: slots.get(name).filter(|_| !sides.is_shared(name)),
            deployed: sides.deployed.disks.get(name),
            sides,
        };
        match sides.desired.disks.get(name) {
            Some(desired) => steps.extend(place.defined(desired, findings)),
            None => steps.extend(place.no_longer_defined(findings)),
        }
    }
    steps
}

/// One disk, by the definition's name.
struct Place<'a> {
    name: &'a str,
    slot: Option<&'a String>,
    deployed: Option<&'a Disk>,
    sides: &'a Sides<'a>,
}

impl Place<'_> {
    fn key(&self, member: &str) -> String {
        format!("disks.{}.{member}", self.name)
    }

    /// The disk as the provider shows it: `None` when the configuration was not read.
    fn observed(&self) -> Option<Option<&Disk>> {
        let config = self.sides.observed?.config.as_ref()?;
        Some(self.slot.and_then(|slot| config.disks.get(slot)))
    }

    fn defined(&self, desired: &Disk, findings: &mut Findings) -> Option<Step> {
        if let Some(keep) = desired.keep {
            self.keep(keep, findings);
        }
        let observed = match (self.observed(), self.slot, self.deployed) {
            (None, _, None) | (Some(_), None, None) => return self.add(desired, findings),
            (Some(Some(observed)), _, _) => Some(observed),
            (None, _, Some(_)) => None,
            (Some(None), Some(slot), _) => {
                self.refuse_whole(
                    findings,
                    format!(
                        "slot {slot} is empty: the disk is gone, and an empty one is not put in its place; to have a new one, reconfigure once without it"
                    ),
                );
                return None;
            }
            (Some(None), None, Some(_)) => {
                self.refuse_whole(
                    findings,
                    "it is not known which slot of the machine holds it".to_owned(),
                );
                return None;
            }
        };
        // Most disks of most machines: nothing has to be normalised or printed for them.
        if self.deployed == Some(desired) && observed.is_none_or(|observed| same(desired, observed))
        {
            return None;
        }
        self.fixed(desired, observed, findings);
        self.grow(desired, observed, findings)
    }

    /// `keep` is the host's own: no request changes it.
    fn keep(&self, keep: bool, findings: &mut Findings) {
        let deployed = self.deployed.and_then(|disk| disk.keep);
        if self.deployed.is_some() && deployed != Some(keep) {
            findings.in_step.push(FieldChange {
                field: self.key("keep"),
                from: deployed.map_or(UNSET.to_owned(), |keep| keep.to_string()),
                to: keep.to_string(),
            });
        }
    }

    fn add(&self, desired: &Disk, findings: &mut Findings) -> Option<Step> {
        let change = FieldChange {
            field: format!("disks.{}", self.name),
            from: UNSET.to_owned(),
            to: describe(desired),
        };
        findings.pending.push(change.clone());
        // What the machine has could not be read: this disk may be there already.
        self.observed()?;
        // That both are defined is refused already.
        if self.sides.is_shared(self.name) && !self.sides.desired.nics.contains_key(self.name) {
            self.refuse_whole(
                findings,
                "a nic has this name until it is removed, and their slots are kept by name: remove that first".to_owned(),
            );
            return None;
        }
        let action = Action::DiskAdd {
            name: self.name.to_owned(),
            disk: desired.clone(),
        };
        let reason = format!("disk {} added, {}", self.name, describe(desired));
        Some(self.step(action, Class::Benign, reason, change))
    }

    fn grow(
        &self,
        desired: &Disk,
        observed: Option<&Disk>,
        findings: &mut Findings,
    ) -> Option<Step> {
        let deployed = self.deployed.and_then(|disk| disk.size);
        let Some(wanted) = desired.size else {
            if let Some(deployed) = deployed {
                findings.in_step.push(FieldChange {
                    field: self.key("size"),
                    from: Bytes(deployed).to_string(),
                    to: UNMANAGED.to_owned(),
                });
            }
            return None;
        };
        let key = self.key("size");
        let held = |size: u64| self.sides.rules.truncate(&key, size);
        let seen = observed.and_then(|disk| disk.size);
        let was_pending = findings.pending.len();
        let change = findings.sort(&Triple {
            desired: Value::from(wanted),
            deployed: deployed.map(|size| Value::from(held(size))),
            observed: seen.map_or(Seen::Unread, |size| Seen::Is(Value::from(held(size)))),
            show_desired: Bytes(wanted).to_string(),
            show_deployed: deployed.map_or(UNSET.to_owned(), |size| Bytes(size).to_string()),
            show_observed: seen.map_or("unknown".to_owned(), |size| Bytes(size).to_string()),
            key: key.clone(),
        });
        let Some(change) = change else {
            if findings.pending.len() > was_pending && observed.is_some() {
                findings.notes.push(format!(
                    "the size of disk {} is not shown by the hypervisor, and what cannot be read is not written",
                    self.name
                ));
            }
            return None;
        };
        let (Some(slot), Some(seen)) = (self.slot, seen) else {
            return None;
        };
        if wanted < held(seen) {
            findings.refused.push(Refusal {
                subject: key,
                change: Some(change),
                class: Class::Destructive,
                reason: "disks only grow".to_owned(),
            });
            return None;
        }
        let action = Action::DiskGrow {
            slot: slot.clone(),
            size: wanted,
        };
        let reason = format!("disk {} {} -> {}", self.name, change.from, change.to);
        Some(self.step(action, Class::Benign, reason, change))
    }

    fn step(&self, action: Action, class: Class, reason: String, change: FieldChange) -> Step {
        Step {
            part: Part::Disk(self.name.to_owned()),
            action,
            class,
            reason,
            changes: vec![change],
            restart: Vec::new(),
        }
    }

    /// Members that say where and how a disk is made.
    fn fixed(&self, desired: &Disk, observed: Option<&Disk>, findings: &mut Findings) {
        type Member = (&'static str, fn(&Disk) -> Option<&String>);
        let members: [Member; 3] = [
            ("storage", |disk| disk.storage.as_ref()),
            ("storage_class", |disk| disk.storage_class.as_ref()),
            ("bus", |disk| disk.bus.as_ref()),
        ];
        for (member, read) in members {
            let Some(wanted) = read(desired) else {
                continue;
            };
            let deployed = self.deployed.and_then(read);
            let observed = observed.and_then(read);
            let key = self.key(member);
            let same = |other: &String| {
                let canonical =
                    |text: &String| self.sides.rules.canonical(&key, &Value::from(text.clone()));
                canonical(other) == canonical(wanted)
            };
            let change = FieldChange {
                field: key.clone(),
                from: deployed.map_or(UNSET.to_owned(), Clone::clone),
                to: wanted.clone(),
            };
            match (deployed.is_some_and(same), observed.map(same)) {
                (true, Some(true) | None) => {}
                (false, Some(true)) => findings.in_step.push(change),
                (true, Some(false)) => {
                    // Somebody moved it; it is not moved back, and not silently either.
                    let to = observed.map_or(UNSET.to_owned(), Clone::clone);
                    findings.drift.push(FieldChange { to, ..change });
                }
                (false, Some(false) | None) => {
                    findings.pending.push(change.clone());
                    findings.refused.push(Refusal {
                        subject: key,
                        change: Some(change),
                        class: Class::Destructive,
                        reason: format!(
                            "{member} of a disk counts when it is made, and moving one is not done by reconfigure yet"
                        ),
                    });
                }
            }
        }
    }

    fn no_longer_defined(&self, findings: &mut Findings) -> Option<Step> {
        let deployed = self.deployed?;
        let change = FieldChange {
            field: format!("disks.{}", self.name),
            from: describe(deployed),
            to: UNSET.to_owned(),
        };
        let (slot, seen) = match (self.observed(), self.slot) {
            (Some(None), Some(_)) => {
                findings.in_step.push(change);
                return None;
            }
            (Some(Some(seen)), Some(slot)) => (slot, seen),
            (None, _) => {
                findings.pending.push(change);
                return None;
            }
            (Some(_), None) => {
                findings.pending.push(change.clone());
                let reason = "it is not known which slot of the machine holds it";
                self.refuse_removal(findings, change, reason.to_owned());
                return None;
            }
        };
        findings.pending.push(change.clone());
        if let Some(reason) = is_another(slot, deployed, seen) {
            self.refuse_removal(findings, change, reason);
            return None;
        }
        let keep = deployed.keep == Some(true);
        let action = Action::DiskRemove {
            slot: slot.clone(),
            keep,
        };
        let (name, disk) = (self.name, describe(deployed));
        let reason = match keep {
            true => format!("disk {name} taken off, {disk}; what is on it is kept"),
            false => format!("disk {name} removed, {disk}, with all that is on it"),
        };
        Some(self.step(action, Class::Destructive, reason, change))
    }

    fn refuse_removal(&self, findings: &mut Findings, change: FieldChange, reason: String) {
        findings.refused.push(Refusal {
            subject: change.field.clone(),
            change: Some(change),
            class: Class::Destructive,
            reason,
        });
    }

    fn refuse_whole(&self, findings: &mut Findings, reason: String) {
        findings.refused.push(Refusal {
            subject: format!("disks.{}", self.name),
            change: None,
            class: Class::Destructive,
            reason,
        });
    }
}

/// Why the disk in a slot is not the one that was deployed there: disks only grow, so a smaller one is
/// somebody else's.
pub(crate) fn is_another(slot: &str, deployed: &Disk, seen: &Disk) -> Option<String> {
    let (deployed, seen) = deployed.size.zip(seen.size)?;
    (seen < deployed).then(|| {
        format!(
            "slot {slot} holds another disk than was deployed, of {} and not {}: it is left alone",
            Bytes(seen),
            Bytes(deployed)
        )
    })
}

/// Whether all disks are as deployed, and seen to be, to the letter.
fn is_the_same(sides: &Sides<'_>, slots: &BTreeMap<String, String>) -> bool {
    let (desired, deployed) = (&sides.desired.disks, &sides.deployed.disks);
    let Some(config) = sides.observed.and_then(|machine| machine.config.as_ref()) else {
        return false;
    };
    let seen = |name| config.disks.get(slots.get(name)?);
    (std::ptr::eq(desired, deployed) || desired == deployed)
        && desired
            .iter()
            .all(|(name, disk)| seen(name).is_some_and(|observed| same(disk, observed)))
}

/// Whether a disk shows all that the definition says of it, to the letter. `keep` is the host's own.
fn same(desired: &Disk, observed: &Disk) -> bool {
    fn shown<T: PartialEq>(desired: &Option<T>, observed: &Option<T>) -> bool {
        desired.is_none() || desired == observed
    }
    shown(&desired.size, &observed.size)
        && shown(&desired.storage, &observed.storage)
        && shown(&desired.storage_class, &observed.storage_class)
        && shown(&desired.bus, &observed.bus)
}

/// `16 GiB on local-lvm`
pub(crate) fn describe(disk: &Disk) -> String {
    let size = disk
        .size
        .map_or("no size given".to_owned(), |size| Bytes(size).to_string());
    match (&disk.storage, &disk.storage_class) {
        (Some(storage), _) => format!("{size} on {storage}"),
        (None, Some(class)) => format!("{size} on storage of class {class}"),
        (None, None) => size,
    }
}
