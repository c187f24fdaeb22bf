//! Between the plan and the engine: what is sent, and what is written down afterwards.
//!
//! The executor makes no choices. Before each action it asks [`still_needed`] with the newest
//! observation it has, and sends exactly the request that it is given; after each it calls
//! [`apply`], or [`skipped`] where nothing had to be sent.

use enginehouse_model::documents::{
    Action, ActionRequest, Config, Machine, Nic, Outcome, Power, PowerState,
};
use enginehouse_model::{Identity, MachineRecord};

use crate::draft::machine_ref;
use crate::field::{Field, Seen};
use crate::nics::Member;
use crate::planner::is_unfinished;
use crate::{MachinePlan, Ownership, PlannedAction, Rules, adoption, disks, owned};

/// Whether an action of a plan is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Needed {
    /// Send this: the planned request with machine, slot and version as they are known now.
    Yes(ActionRequest),
    /// The machine is that already; the text says how. Call [`skipped`].
    No(String),
    /// It must not be sent; the text says why. The operation fails.
    Refused(String),
}

/// Looks at an action again, right before it would be sent.
///
/// `observed`: the newest observation that counts for this machine, also the one that the action
/// before it ended with; none if there is none newer than the plan. A destroy needs one: its
/// guards are read again.
#[must_use]
pub fn still_needed(
    planned: &PlannedAction,
    record: &MachineRecord,
    observed: Option<&Machine>,
    rules: &Rules,
) -> Needed {
    if let Action::Adopt = planned.request.action {
        return adoption::still_needed(planned, record, observed);
    }
    if let Some(Ownership::NotOurs(reason)) = observed.map(|machine| owned(record, machine)) {
        return Needed::Refused(reason);
    }
    if let Action::Create { .. } = planned.request.action {
        return match &record.identity {
            Some(identity) if !is_unfinished(record) => {
                Needed::No(format!("machine {} has been made", identity.machine_id))
            }
            // A machine that was begun after the plan was made, and is there, is gone on with.
            Some(identity) => Needed::Yes(ActionRequest {
                machine: planned
                    .request
                    .machine
                    .clone()
                    .or_else(|| observed.map(|_| identity.machine_ref())),
                ..planned.request.clone()
            }),
            None => Needed::Yes(planned.request.clone()),
        };
    }
    let machine = machine_ref(Some(record), observed).or_else(|| planned.request.machine.clone());
    if machine.is_none() {
        return Needed::Refused(
            "it is not known which machine this is about: its creation has not ended".to_owned(),
        );
    }
    let send = |action: Action| {
        Needed::Yes(ActionRequest {
            machine: machine.clone(),
            action,
        })
    };
    let action = &planned.request.action;
    let power = observed.map(|machine| machine.power);
    match action {
        Action::Create { .. } | Action::Adopt => Needed::Yes(planned.request.clone()),
        Action::Configure {
            desired,
            changed,
            observed: before,
        } => {
            let left = differing(desired, changed, observed, rules);
            if left.is_empty() {
                return Needed::No("the machine is configured so already".to_owned());
            }
            send(Action::Configure {
                desired: desired.clone(),
                changed: left,
                observed: observed.cloned().map(Box::new).or_else(|| before.clone()),
            })
        }
        Action::Start if power == Some(PowerState::Running) => {
            Needed::No("it is running already".to_owned())
        }
        Action::Stop { .. } if power == Some(PowerState::Stopped) => {
            Needed::No("it is stopped already".to_owned())
        }
        Action::Restart { .. } if power == Some(PowerState::Stopped) => {
            Needed::Refused("it was stopped meanwhile: use `start`".to_owned())
        }
        Action::Start | Action::Stop { .. } | Action::Restart { .. } => send(action.clone()),
        Action::Destroy { .. } => match observed.map(|machine| owned(record, machine)) {
            Some(Ownership::Ours) => send(action.clone()),
            Some(Ownership::NotOurs(reason) | Ownership::Unclear(reason)) => {
                Needed::Refused(reason)
            }
            None => Needed::Refused("it has to be seen again before it is destroyed".to_owned()),
        },
        Action::DiskAdd { name, .. } => match record.slots.get(name) {
            Some(slot) if has_disk(observed, slot) => {
                Needed::No(format!("disk {name} is there, in {slot}"))
            }
            Some(_) | None => send(action.clone()),
        },
        Action::DiskGrow { slot, size } => grow(planned, slot, *size, record, observed, &send),
        Action::DiskRemove { slot, keep } => {
            let slot = slot_of(planned.disk.as_ref(), slot, record);
            let deployed = planned.disk.as_ref();
            let deployed = deployed.and_then(|name| record.deployed.disks.get(name));
            let seen = config_of(observed).map(|config| config.disks.get(slot));
            if let Some(Some(seen)) = seen
                && let Some(reason) =
                    deployed.and_then(|deployed| disks::is_another(slot, deployed, seen))
            {
                return Needed::Refused(reason);
            }
            let is_gone = seen.map(|seen| seen.is_none());
            removal(record, observed, is_gone, slot).unwrap_or_else(|| {
                send(Action::DiskRemove {
                    slot: slot.to_owned(),
                    keep: *keep,
                })
            })
        }
        Action::NicAdd { name, .. } => match record.slots.get(name) {
            Some(slot) if nic_of(observed, slot).is_some() => {
                Needed::No(format!("nic {name} is there, in {slot}"))
            }
            Some(_) | None => send(action.clone()),
        },
        Action::NicChange { slot, nic, changed } => {
            let slot = slot_of(planned.nic.as_ref(), slot, record);
            let seen = nic_of(observed, slot);
            if seen.is_none() && config_of(observed).is_some() {
                return Needed::Refused(format!("there is no nic in slot {slot} any more"));
            }
            let name = planned.nic.as_deref().unwrap_or_default();
            let differs = |member: &&String| {
                let key = format!("nics.{name}.{member}");
                !Member::of(member)
                    .zip(seen)
                    .is_some_and(|(member, seen)| member.is_so(&key, nic, seen, rules))
            };
            let left: Vec<String> = changed.iter().filter(differs).cloned().collect();
            if left.is_empty() {
                return Needed::No("the nic is so already".to_owned());
            }
            send(Action::NicChange {
                slot: slot.to_owned(),
                nic: nic.clone(),
                changed: left,
            })
        }
        Action::NicRemove { slot } => {
            let slot = slot_of(planned.nic.as_ref(), slot, record);
            let is_gone = config_of(observed).map(|config| !config.nics.contains_key(slot));
            removal(record, observed, is_gone, slot).unwrap_or_else(|| {
                send(Action::NicRemove {
                    slot: slot.to_owned(),
                })
            })
        }
    }
}

/// The slot of a disk or nic as it is known now.
fn slot_of<'a>(name: Option<&String>, planned: &'a str, record: &'a MachineRecord) -> &'a str {
    let known = name.and_then(|name| record.slots.get(name));
    known.map_or(planned, String::as_str)
}

/// Why nothing is sent to take away what is in a slot: the guards are read again, as before a destroy.
/// None: it is to be sent.
fn removal(
    record: &MachineRecord,
    observed: Option<&Machine>,
    is_gone: Option<bool>,
    slot: &str,
) -> Option<Needed> {
    match observed.map(|machine| owned(record, machine)) {
        Some(Ownership::Ours) => match is_gone {
            Some(true) => Some(Needed::No(format!("slot {slot} is empty already"))),
            Some(false) => None,
            None => Some(Needed::Refused(format!(
                "what is in slot {slot} could not be read, so it is not removed"
            ))),
        },
        Some(Ownership::NotOurs(reason) | Ownership::Unclear(reason)) => {
            Some(Needed::Refused(reason))
        }
        None => Some(Needed::Refused(
            "the machine has to be seen again before something is taken off it".to_owned(),
        )),
    }
}

fn grow(
    planned: &PlannedAction,
    slot: &str,
    size: u64,
    record: &MachineRecord,
    observed: Option<&Machine>,
    send: &dyn Fn(Action) -> Needed,
) -> Needed {
    let disk = planned.disk.as_deref().unwrap_or_default();
    let known = record.slots.get(disk).map(String::as_str);
    let Some(slot) = known.or(Some(slot).filter(|slot| !slot.is_empty())) else {
        return Needed::Refused(format!(
            "the engine did not say which slot of the machine holds disk {disk}"
        ));
    };
    match size_of(observed, slot) {
        Some(seen) if seen >= size => Needed::No(format!(
            "disk {disk} has {} already",
            enginehouse_model::Bytes(seen)
        )),
        Some(_) | None => send(Action::DiskGrow {
            slot: slot.to_owned(),
            size,
        }),
    }
}

/// Those of the fields that are not yet as wanted, or of which that is not known.
fn differing(
    desired: &Config,
    changed: &[String],
    observed: Option<&Machine>,
    rules: &Rules,
) -> Vec<String> {
    let differs = |key: &&String| {
        let Some(field) = Field::parse(key) else {
            return true;
        };
        match field.observe(observed) {
            Seen::Unread => true,
            Seen::Is(seen) => {
                let wanted = field.read(desired).unwrap_or_default();
                rules.canonical(key, &seen) != rules.canonical(key, &wanted)
            }
        }
    };
    changed.iter().filter(differs).cloned().collect()
}

fn config_of(observed: Option<&Machine>) -> Option<&Config> {
    observed?.config.as_ref()
}

fn has_disk(observed: Option<&Machine>, slot: &str) -> bool {
    config_of(observed).is_some_and(|config| config.disks.contains_key(slot))
}

fn nic_of<'m>(observed: Option<&'m Machine>, slot: &str) -> Option<&'m Nic> {
    config_of(observed)?.nics.get(slot)
}

fn size_of(observed: Option<&Machine>, slot: &str) -> Option<u64> {
    config_of(observed)?.disks.get(slot)?.size
}

/// Writes what a successful action achieved onto the record: identity, slots, and exactly the
/// fields that it set. After a destroy the record knows no machine any more.
///
/// `last_step_ended` is the caller's, who has the clock.
pub fn apply(record: &mut MachineRecord, planned: &PlannedAction, outcome: &Outcome) {
    identify(record, &planned.request.action, outcome.machine.as_ref());
    record.slots.extend(outcome.slots.clone());
    let observed = outcome.machine.as_ref();
    match &planned.request.action {
        Action::Create { desired } => created(record, desired, observed),
        Action::Configure {
            desired, changed, ..
        } => {
            for field in changed.iter().filter_map(|key| Field::parse(key)) {
                field.copy(desired, &mut record.deployed);
            }
        }
        Action::Adopt => adoption::apply(record, planned),
        Action::Start | Action::Restart { .. } => record.deployed.power = Some(Power::Running),
        Action::Stop { .. } => record.deployed.power = Some(Power::Stopped),
        Action::Destroy { .. } => {
            record.identity = None;
            record.slots.clear();
            record.deployed = Config::default();
        }
        Action::DiskAdd { name, disk } => {
            record.deployed.disks.insert(name.clone(), disk.clone());
        }
        Action::DiskGrow { slot, size } => {
            let Some(disk) = &planned.disk else { return };
            let slot = record.slots.get(disk).unwrap_or(slot);
            // A disk may have become larger than asked for; an answer that still shows the old
            // size is late, not right.
            let seen = size_of(observed, slot).unwrap_or(0);
            let deployed = record.deployed.disks.entry(disk.clone()).or_default();
            deployed.size = Some(seen.max(*size));
        }
        Action::DiskRemove { .. } => {
            let Some(disk) = &planned.disk else { return };
            record.deployed.disks.remove(disk);
            record.slots.remove(disk);
        }
        Action::NicAdd { name, nic } => {
            record.deployed.nics.insert(name.clone(), nic.clone());
        }
        Action::NicChange { nic, changed, .. } => {
            let Some(name) = &planned.nic else { return };
            let deployed = record.deployed.nics.entry(name.clone()).or_default();
            for member in changed.iter().filter_map(|member| Member::of(member)) {
                (member.copy)(nic, deployed);
            }
        }
        Action::NicRemove { .. } => {
            let Some(nic) = &planned.nic else { return };
            record.deployed.nics.remove(nic);
            record.slots.remove(nic);
        }
    }
}

/// Writes what is known when [`still_needed`] said no: the machine is so already.
pub fn skipped(record: &mut MachineRecord, planned: &PlannedAction, observed: Option<&Machine>) {
    let outcome = Outcome {
        machine: observed.cloned(),
        ..Outcome::default()
    };
    match planned.request.action {
        // Its own success has been written down, with more than is known now.
        Action::Create { .. } => {}
        Action::Configure { .. }
        | Action::Adopt
        | Action::Start
        | Action::Stop { .. }
        | Action::Restart { .. }
        | Action::Destroy { .. }
        | Action::DiskAdd { .. }
        | Action::DiskGrow { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => apply(record, planned, &outcome),
    }
}

/// Everything desired but the run state, and the sizes of disks as they came.
fn created(record: &mut MachineRecord, desired: &Config, observed: Option<&Machine>) {
    let from_image = desired.base_image.is_some();
    let mut deployed = desired.clone();
    deployed.power = desired.power.filter(|power| *power == Power::Stopped);
    for (name, disk) in &mut deployed.disks {
        let seen = record
            .slots
            .get(name)
            .and_then(|slot| size_of(observed, slot));
        // A size that nobody asked for is not managed.
        disk.size = disk
            .size
            .and_then(|wanted| seen.or((!from_image).then_some(wanted)));
    }
    record.deployed = deployed;
}

/// What the provider calls it. The incarnation is settled by its creation and never overwritten.
fn identify(record: &mut MachineRecord, action: &Action, machine: Option<&Machine>) {
    let Some(machine) = machine.filter(|machine| !machine.id.is_empty()) else {
        return;
    };
    let creates = matches!(action, Action::Create { .. });
    match &mut record.identity {
        Some(identity) if !creates => {
            if identity.machine_id == machine.id {
                identity.kind = machine.kind.clone().or(identity.kind.take());
                identity.host = machine.host.clone().or(identity.host.take());
            }
        }
        identity => {
            *identity = Some(Identity {
                machine_id: machine.id.clone(),
                kind: machine.kind.clone(),
                host: machine.host.clone(),
                incarnation: machine.incarnation.clone(),
            });
        }
    }
}

/// Makes the deployed config what a plan found in step: no request is behind it. `desired` is the
/// definition that the plan was made with.
pub fn adopt(record: &mut MachineRecord, plan: &MachinePlan, desired: &Config, rules: &Rules) {
    for change in &plan.in_step {
        let key = change.field.as_str();
        if key == "power" {
            record.deployed.power = match change.to.as_str() {
                "running" => Some(Power::Running),
                "stopped" => Some(Power::Stopped),
                _ => record.deployed.power,
            };
        } else if let Some(name) = key.strip_prefix("disks.") {
            adopt_disk(record, name, desired, rules);
        } else if let Some(name) = key.strip_prefix("nics.") {
            adopt_nic(record, name, desired);
        } else if let Some(field) = Field::parse(key) {
            field.copy(desired, &mut record.deployed);
            if field == Field::Memory {
                let held = |bytes| rules.truncate(key, bytes);
                record.deployed.memory = record.deployed.memory.map(held);
            }
        }
    }
}

/// `name` is a disk that is gone, or `DISK.MEMBER`.
fn adopt_disk(record: &mut MachineRecord, name: &str, desired: &Config, rules: &Rules) {
    if record.deployed.disks.contains_key(name) && !desired.disks.contains_key(name) {
        record.deployed.disks.remove(name);
        record.slots.remove(name);
        return;
    }
    let Some((name, member)) = name.rsplit_once('.') else {
        return;
    };
    let Some(wanted) = desired.disks.get(name) else {
        return;
    };
    let disk = record.deployed.disks.entry(name.to_owned()).or_default();
    match member {
        "size" => {
            let key = format!("disks.{name}.size");
            disk.size = wanted.size.map(|size| rules.truncate(&key, size));
        }
        "keep" => disk.keep = wanted.keep,
        "storage" => disk.storage.clone_from(&wanted.storage),
        "storage_class" => disk.storage_class.clone_from(&wanted.storage_class),
        "bus" => disk.bus.clone_from(&wanted.bus),
        _ => {}
    }
}

/// `name` is a nic that is gone, one whose creation was not written down, or `NIC.MEMBER`.
fn adopt_nic(record: &mut MachineRecord, name: &str, desired: &Config) {
    if let Some(wanted) = desired.nics.get(name) {
        let nics = &mut record.deployed.nics;
        nics.entry(name.to_owned())
            .or_insert_with(|| wanted.clone());
        return;
    }
    if record.deployed.nics.contains_key(name) {
        record.deployed.nics.remove(name);
        record.slots.remove(name);
        return;
    }
    let Some((name, member)) = name.rsplit_once('.') else {
        return;
    };
    let (Some(wanted), Some(member)) = (desired.nics.get(name), Member::of(member)) else {
        return;
    };
    let nic = record.deployed.nics.entry(name.to_owned()).or_default();
    (member.copy)(wanted, nic);
}
