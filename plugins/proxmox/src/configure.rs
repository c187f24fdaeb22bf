//! Changing a machine that exists, in one write that fails when somebody else was faster.

use std::collections::BTreeSet;

use enginehouse_sdk::prelude::*;

use crate::api::{self, Place};
use crate::cards;
use crate::create;
use crate::drive;
use crate::fitting;
use crate::form::Form;
use crate::guest_config::GuestConfig;
use crate::phase::{Phase, Write};
use crate::problem;
use crate::settings::Connection;
use crate::trailer::Text;

/// How often somebody else may be faster.
const TRIES: u32 = 4;

/// The text below a description, as far as an observation shows it.
fn observed_text(observed: &Machine) -> Option<Text> {
    let config = observed.config.as_ref()?;
    Some(Text {
        description: config.description.clone()?,
        labels: config.labels.clone(),
        mark: observed.mark.clone()?,
    })
}

pub fn begin(
    cx: &Cx,
    place: Place,
    desired: &Config,
    changed: &[String],
    observed: Option<&Machine>,
) -> Result<Step<Phase>> {
    let known = observed.and_then(|machine| Some((machine, machine.version.clone()?)));
    let from_observed = known.and_then(|(machine, digest)| Some((observed_text(machine)?, digest)));
    let write = match from_observed {
        Some((text, digest)) => Write {
            form: fitting::changes(desired, changed, &text)?,
            digest: Some(digest),
            before: None,
            slots: Default::default(),
            place,
            tries: 0,
        },
        None => {
            let (place, config) = read(cx, place)?;
            again(desired, changed, place, config, 0)?
        }
    };
    Ok(go_on(write, observed, desired, changed))
}

fn again(
    desired: &Config,
    changed: &[String],
    place: Place,
    config: GuestConfig,
    tries: u32,
) -> Result<Write> {
    Ok(Write {
        form: fitting::changes(desired, changed, &config.text())?,
        digest: config.digest().map(str::to_owned),
        before: Some(config),
        slots: Default::default(),
        place,
        tries,
    })
}

fn go_on(
    write: Write,
    observed: Option<&Machine>,
    desired: &Config,
    changed: &[String],
) -> Step<Phase> {
    if write.form.is_empty() {
        finish(&write, observed, desired, changed)
    } else {
        Step::again(Phase::Write(write))
    }
}

/// The configuration, also of a machine that has moved.
pub fn read(cx: &Cx, place: Place) -> Result<(Place, GuestConfig)> {
    match place.config(cx) {
        Ok(config) => Ok((place, config)),
        Err(error) => {
            let place = elsewhere(cx, &place, error)?;
            let config = place.config(cx)?;
            Ok((place, config))
        }
    }
}

/// The node that a machine is on now, if an error says that it is not where it was thought to be.
///
/// # Errors
/// The same error, if it says something else or the machine is there after all; `not-found` if it is
/// nowhere.
pub fn elsewhere(cx: &Cx, place: &Place, error: Error) -> Result<Place> {
    if !problem::is_elsewhere(&error) {
        return Err(error);
    }
    let found = api::locate(cx, place.vmid)?;
    if found == *place {
        Err(error)
    } else {
        Ok(found)
    }
}

/// Sends the one write of an action.
pub fn write(cx: &Cx, action: &Action, write: Write) -> Result<Step<Phase>> {
    let reply = cx
        .put(write.place.of(&["config"]))
        .once()
        .form(&write.form.fields(write.digest.as_deref()))
        .send()?;
    let error = match api::nothing(cx, &reply) {
        Ok(()) => return written(action, write),
        Err(error) => error,
    };
    if problem::is_stale(&error) {
        if write.tries >= TRIES {
            return Err(error.hint("somebody else changes this machine again and again"));
        }
        return Ok(Step::again(Phase::Reread(Write {
            tries: write.tries + 1,
            ..write
        })));
    }
    let vmid = write.place.vmid;
    match elsewhere(cx, &write.place, error) {
        Ok(place) => Ok(Step::again(Phase::Write(Write { place, ..write }))),
        Err(error) if matches!(action, Action::Create { .. }) => {
            Err(error.created(Object::machine(vmid)))
        }
        Err(error) => Err(error),
    }
}

/// It was written: the end of whatever wrote.
pub fn written(action: &Action, write: Write) -> Result<Step<Phase>> {
    Ok(match action {
        Action::Create { .. } => create::finish(&write),
        Action::Configure {
            desired,
            changed,
            observed,
        } => finish(&write, observed.as_deref(), desired, changed),
        Action::DiskAdd { .. } => {
            let disks = write.slots.values();
            let disks = disks.map(|slot| Object::disk(format!("{}/{slot}", write.place.vmid)));
            let disks: Vec<_> = disks.collect();
            let step = Step::done(Outcome {
                slots: write.slots.clone(),
                ..Outcome::default()
            });
            disks.into_iter().fold(step, Step::created)
        }
        Action::Adopt => Step::done(Outcome::default()),
        Action::NicAdd { .. } | Action::NicChange { .. } | Action::NicRemove { .. } => {
            cards::finish(&write)
        }
        Action::Start
        | Action::Stop { .. }
        | Action::Restart { .. }
        | Action::Destroy { .. }
        | Action::DiskGrow { .. }
        | Action::DiskRemove { .. } => {
            return Err(Error::invalid(format_args!(
                "{} writes no configuration",
                action.name()
            )));
        }
    })
}

/// Somebody else was faster: look again, and go on if what they changed is not what we change.
pub fn reread(cx: &Cx, action: &Action, write: Write) -> Result<Step<Phase>> {
    let (place, config) = read(cx, write.place)?;
    match action {
        Action::Create { desired } => {
            if config.text().mark != cx.mark() {
                return Err(Error::conflict(format_args!(
                    "{} lost our mark while it was being configured",
                    place.vmid
                )));
            }
            let write = create::lacking(cx, desired, place, config, write.tries)?;
            Ok(if write.form.is_empty() {
                create::finish(&write)
            } else {
                Step::again(Phase::Write(write))
            })
        }
        Action::Configure {
            desired,
            changed,
            observed,
        } => {
            let next = again(desired, changed, place, config.clone(), write.tries)?;
            if !next.form.is_in(&config) {
                let was = match &write.before {
                    Some(before) => Some(before.to_config()),
                    None => observed.as_ref().and_then(|machine| machine.config.clone()),
                };
                guard(changed, was.as_ref(), &config.to_config())?;
            }
            Ok(go_on(next, observed.as_deref(), desired, changed))
        }
        Action::Adopt => {
            let was = write.before.map(|before| before.text().mark);
            let is = config.text().mark;
            if was.is_some_and(|was| was != is) && is != cx.mark() {
                return Err(Error::conflict(format_args!(
                    "somebody else has put a mark on {} since it was looked at",
                    place.vmid
                )));
            }
            Ok(mark(cx, place, config, write.tries))
        }
        Action::DiskAdd { name, disk } => {
            let next = disk_write(cx, name, disk, place, config, write.tries)?;
            Ok(Step::again(Phase::Write(next)))
        }
        Action::NicAdd { .. } | Action::NicChange { .. } | Action::NicRemove { .. } => {
            cards::guard(action, write.before.as_ref(), &config)?;
            cards::again(cx, action, place, config, write.tries)
        }
        Action::Start
        | Action::Stop { .. }
        | Action::Restart { .. }
        | Action::Destroy { .. }
        | Action::DiskGrow { .. }
        | Action::DiskRemove { .. } => written(action, Write { place, ..write }),
    }
}

/// What is about to be written was decided against `was`. Is it still so?
fn guard(changed: &[String], was: Option<&Config>, is: &Config) -> Result<()> {
    let Some(was) = was else { return Ok(()) };
    for field in changed {
        let same = match field.split_once('.') {
            None if field == "vcpu" => was.vcpu == is.vcpu,
            None if field == "memory" => was.memory == is.memory,
            None if field == "name" => was.name == is.name,
            None if field == "description" => {
                let text = |config: &Config| {
                    let text = config.description.clone().unwrap_or_default();
                    text.strip_suffix('\n').unwrap_or(&text).to_owned()
                };
                text(was) == text(is)
            }
            Some(("labels", label)) => was.labels.get(label) == is.labels.get(label),
            Some(("settings", name)) => was.settings.get(name) == is.settings.get(name),
            _ => true,
        };
        if !same {
            return Err(Error::conflict(format_args!(
                "somebody else has changed {field} since it was looked at"
            ))
            .field(field)
            .hint("look at the new plan, and decide again"));
        }
    }
    Ok(())
}

/// Settings that a running machine takes at once.
fn takes_effect_at_once(field: &str) -> bool {
    matches!(
        field,
        "name" | "description" | "settings.tags" | "settings.onboot" | "settings.full_clone"
    ) || field.starts_with("labels.")
}

fn finish(
    write: &Write,
    observed: Option<&Machine>,
    desired: &Config,
    changed: &[String],
) -> Step<Phase> {
    let power = observed.map_or(PowerState::Unknown, |machine| machine.power);
    let running = matches!(power, PowerState::Running | PowerState::Paused);
    let Place { node, vmid } = &write.place;
    let machine = match (&write.before, observed) {
        (Some(before), _) => {
            let mut config = before.clone();
            if !write.form.is_empty() {
                write.form.apply(&mut config);
                config.remove("digest");
            }
            Some(config.to_machine(*vmid, node, power))
        }
        (None, Some(observed)) => Some(changed_machine(observed, &write.place, desired, changed)),
        (None, None) => None,
    };
    Step::done(Outcome {
        machine,
        restart_needed: running && changed.iter().any(|field| !takes_effect_at_once(field)),
        ..Outcome::default()
    })
}

/// What was observed, with what was written since.
fn changed_machine(
    observed: &Machine,
    place: &Place,
    desired: &Config,
    changed: &[String],
) -> Machine {
    let mut machine = observed.clone();
    machine.version = None;
    machine.host = Some(place.node.clone());
    let mut config = machine.config.take().unwrap_or_default();
    for field in changed {
        match field.split_once('.') {
            None if field == "vcpu" => config.vcpu = Some(desired.vcpu.unwrap_or(1)),
            None if field == "memory" => {
                let bytes = desired.memory.unwrap_or(512 * drive::MIB);
                config.memory = Some(bytes / drive::MIB * drive::MIB);
            }
            None if field == "name" => {
                config.name.clone_from(&desired.name);
                machine.name.clone_from(&desired.name);
            }
            None if field == "description" => {
                config.description = Some(desired.description.clone().unwrap_or_default());
            }
            Some(("labels", label)) => match desired.labels.get(label) {
                Some(value) => {
                    config.labels.insert(label.to_owned(), value.clone());
                }
                None => {
                    config.labels.remove(label);
                }
            },
            Some(("settings", name)) => match desired.settings.get(name) {
                Some(value) => {
                    config.settings.insert(name.to_owned(), value.clone());
                }
                None => {
                    config.settings.remove(name);
                }
            },
            _ => {}
        }
    }
    machine.config = Some(config);
    machine
}

/// Writes our mark below the description of a machine that was found.
pub fn adopt(cx: &Cx, place: Place) -> Result<Step<Phase>> {
    let (place, config) = read(cx, place)?;
    if config.is_being_made() {
        return Err(Error::busy(format_args!(
            "{} is being made, and does not show its description yet",
            place.vmid
        )));
    }
    Ok(mark(cx, place, config, 0))
}

fn mark(cx: &Cx, place: Place, config: GuestConfig, tries: u32) -> Step<Phase> {
    let text = config.text();
    let marked = Text {
        mark: cx.mark(),
        ..text.clone()
    };
    if text == marked {
        return Step::done(Outcome::default());
    }
    let mut form = Form::default();
    form.set("description", marked.join());
    Step::again(Phase::Write(Write {
        form,
        digest: config.digest().map(str::to_owned),
        before: Some(config),
        slots: Default::default(),
        place,
        tries,
    }))
}

/// Adds a disk in the next free slot of its bus.
pub fn add_disk(cx: &Cx, place: Place, name: &str, disk: &Disk) -> Result<Step<Phase>> {
    let (place, config) = read(cx, place)?;
    let write = disk_write(cx, name, disk, place, config, 0)?;
    Ok(Step::again(Phase::Write(write)))
}

fn disk_write(
    cx: &Cx,
    name: &str,
    disk: &Disk,
    place: Place,
    config: GuestConfig,
    tries: u32,
) -> Result<Write> {
    let connection: Connection = cx.settings()?;
    let taken: BTreeSet<drive::Slot> = config.drives().map(|(slot, _)| slot).collect();
    let slot = match name.parse::<drive::Slot>() {
        Ok(slot) if taken.contains(&slot) => {
            return Err(
                Error::conflict(format_args!("slot {slot} already holds a drive"))
                    .field(format_args!("disks.{name}"))
                    .hint("give the disk a name that is no slot, and the next free one is taken"),
            );
        }
        Ok(slot) => slot,
        Err(drive::NoSlot) => fitting::free_slot(name, disk, &taken)?,
    };
    let storage = fitting::default_storage(&config, &connection);
    let mut form = Form::default();
    form.set(
        &slot.to_string(),
        drive::new_disk(name, disk, storage.as_deref())?,
    );
    Ok(Write {
        form,
        digest: config.digest().map(str::to_owned),
        before: Some(config),
        slots: [(name.to_owned(), slot.to_string())].into(),
        place,
        tries,
    })
}
