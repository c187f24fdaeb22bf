//! Making a machine: a clone of a template, or from nothing.
//!
//! The flow is `Choose` a VMID, `Clone` (or `Make`), and when its task has ended `Made`: one read of
//! the new configuration, then one `Write` of everything that it lacks. The mark goes with the
//! request that creates, so whatever a VMID leads to is known to be ours or not.
//!
//! A VMID is chosen and journalled before it is used. Two askers at once are told the same free one by a
//! cluster, so a taken one is refused and another chosen. An answer that says "taken" may be about
//! a request of our own that was thought lost; hence `Taken` looks at the mark first.

use enginehouse_sdk::prelude::*;

use crate::api::{self, Place};
use crate::fitting::{self, Fitting};
use crate::guest_config::GuestConfig;
use crate::phase::{Making, Phase, Write};
use crate::problem;
use crate::settings::{Connection, MachineSettings};
use crate::source;
use crate::task::{self, Task};

pub fn begin(cx: &Cx, desired: &Config) -> Result<Step<Phase>> {
    if cx.mark().is_empty() {
        return Err(Error::invalid(
            "the host gave no mark for a machine to be created",
        ));
    }
    let connection: Connection = cx.settings()?;
    let (source, node) = source::find(cx, desired, &connection)?;
    // What is wrong in the definition is said before anything exists.
    fitting::from_nothing(&checkable(desired), "", &connection)?;
    choose(cx, source, node, Vec::new())
}

/// A machine that an earlier creation left: nothing is made, only what it lacks is written.
pub fn finish_what_broke_off(cx: &Cx, desired: &Config, place: Place) -> Result<Step<Phase>> {
    let making = Making {
        place,
        source: None,
        refused: Vec::new(),
        doubtful: false,
        tries: 0,
    };
    made(cx, desired, making)
}

/// The definition without what only the template can say the rest of.
fn checkable(desired: &Config) -> Config {
    let mut config = desired.clone();
    if config.base_image.is_some() {
        config.disks.clear();
        config.nics.clear();
    }
    config
}

pub fn choose(
    cx: &Cx,
    source: Option<Place>,
    node: String,
    refused: Vec<u64>,
) -> Result<Step<Phase>> {
    let connection: Connection = cx.settings()?;
    let vmid = cx.reserve("vmid", connection.vmids(), &refused)?;
    let making = Making {
        place: Place::new(node, vmid),
        source,
        refused,
        doubtful: false,
        tries: 0,
    };
    Ok(Step::again(if making.source.is_some() {
        Phase::Clone(making)
    } else {
        Phase::Make(making)
    })
    .note(format!("VMID {vmid} is chosen")))
}

pub fn clone(cx: &Cx, desired: &Config, making: Making) -> Result<Step<Phase>> {
    let Some(source) = making.source.clone() else {
        return make(cx, desired, making);
    };
    let machine: MachineSettings = machine_settings(desired)?;
    let text = fitting::first_text(desired, &cx.mark()).join();
    let mut request = cx
        .post(source.of(&["clone"]))
        .once()
        .field("newid", making.place.vmid)
        .field("description", text);
    if let Some(name) = &desired.name {
        request = request.field("name", name);
    }
    // Proxmox VE links to a template's disks by default, and a linked disk is where its base is.
    let storage = desired
        .disks
        .get("root")
        .and_then(|disk| disk.storage.as_deref());
    match machine.full_clone.or(storage.map(|_| true)) {
        Some(true) => request = request.field("full", 1),
        Some(false) => request = request.field("full", 0),
        None => {}
    }
    if let Some(storage) = storage {
        request = request.field("storage", storage);
    }
    if making.place.node != source.node {
        request = request.field("target", &making.place.node);
    }
    if let Some(pool) = &desired.placement.pool {
        request = request.field("pool", pool);
    }
    let reply = request.send()?;
    match api::data::<String>(cx, &reply) {
        Ok(upid) => {
            let note = format!("cloning {} to {}", source.vmid, making.place.vmid);
            Ok(started(upid, making).note(note))
        }
        Err(error) if problem::is_taken(&error) => Ok(Step::again(Phase::Taken(making))),
        Err(error) if problem::is_elsewhere(&error) => {
            let found = api::locate(cx, source.vmid).map_err(|error| error.field("base_image"))?;
            if found == source {
                return Err(error);
            }
            let mut making = making;
            if desired.placement.host.is_none() {
                making.place.node.clone_from(&found.node);
            }
            making.source = Some(found);
            Ok(Step::again(Phase::Clone(making)))
        }
        Err(error) => Err(error),
    }
}

pub fn make(cx: &Cx, desired: &Config, making: Making) -> Result<Step<Phase>> {
    let connection: Connection = cx.settings()?;
    let Fitting { form, .. } = fitting::from_nothing(desired, &cx.mark(), &connection)?;
    let mut request = cx
        .post(path!("/api2/json/nodes/{}/qemu", making.place.node))
        .once()
        .field("vmid", making.place.vmid)
        .form(&form.fields(None));
    if let Some(pool) = &desired.placement.pool {
        request = request.field("pool", pool);
    }
    let reply = request.send()?;
    match api::data::<String>(cx, &reply) {
        Ok(upid) => {
            let note = format!("creating {}", making.place.vmid);
            Ok(started(upid, making).note(note))
        }
        Err(error) if problem::is_taken(&error) => Ok(Step::again(Phase::Taken(making))),
        Err(error) => Err(error),
    }
}

fn started(upid: String, making: Making) -> Step<Phase> {
    let vmid = making.place.vmid;
    Step::wait(Task::Upid(upid).to_string(), Phase::Made(making))
        .created(Object::machine(vmid))
        .machine_id(vmid)
}

/// The configuration of a machine being made, wherever it is by now.
pub fn configuration(cx: &Cx, making: &Making) -> Result<Option<(Place, GuestConfig)>> {
    let mut places = vec![making.place.clone()];
    if making.birthplace() != making.place {
        places.push(making.birthplace());
    }
    for place in places {
        match place.config(cx) {
            Ok(config) => return Ok(Some((place, config))),
            Err(error) if error.is(Code::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The VMID belongs to a guest. If it is ours, a request that was thought lost has arrived after all.
pub fn taken(cx: &Cx, mut making: Making) -> Result<Step<Phase>> {
    let vmid = making.place.vmid;
    let refused = format!("VMID {vmid} is taken, choosing another");
    match configuration(cx, &making)? {
        // While it is being copied it cannot be seen whose it is. Rather wait than make two.
        Some((place, config)) if config.is_being_made() => {
            making.doubtful = true;
            let task = Task::Lock(place).to_string();
            Ok(Step::wait(task, Phase::Made(making)).note(format!("VMID {vmid} is being made")))
        }
        Some((_, config)) if config.text().mark == cx.mark() => {
            making.doubtful = true;
            Ok(Step::again(Phase::Made(making)))
        }
        Some(_) | None => Ok(Step::again(making.choose_again()).note(refused)),
    }
}

pub fn made(cx: &Cx, desired: &Config, mut making: Making) -> Result<Step<Phase>> {
    let vmid = making.place.vmid;
    if let Some(problem) = cx.ended().unwrap_or_default().problem {
        return failed(cx, problem, making);
    }
    let Some((place, config)) = configuration(cx, &making)? else {
        return Err(Error::provider(format_args!(
            "the task that made {vmid} is over, and there is no {vmid}"
        ))
        .hint("the log of that task in Proxmox VE says why"));
    };
    if config.is_being_made() {
        let task = Task::Lock(place).to_string();
        return Ok(Step::wait(task, Phase::Made(making)));
    }
    if config.text().mark != cx.mark() {
        if making.doubtful {
            let note = format!("VMID {vmid} turned out to be another's, choosing again");
            return Ok(Step::again(making.choose_again()).note(note));
        }
        return Err(Error::conflict(format_args!(
            "{vmid} does not carry our mark although we made it: somebody has changed or replaced it"
        ))
        .hint("look at its description and history in Proxmox VE before you go on"));
    }
    making.place = place;
    let write = lacking(cx, desired, making.place, config, 0)?;
    let step = if write.form.is_empty() {
        finish(&write)
    } else {
        Step::again(Phase::Write(write))
    };
    // Only now is a machine of a lost answer known to be ours.
    Ok(if making.doubtful {
        step.created(Object::machine(vmid))
    } else {
        step
    })
}

fn failed(cx: &Cx, problem: Problem, mut making: Making) -> Result<Step<Phase>> {
    let error = Error::from(problem);
    if problem::is_taken(&error) {
        return Ok(Step::again(Phase::Taken(making)));
    }
    if !error.is(Code::Busy) {
        return Err(error);
    }
    // Proxmox VE has removed what it began, so the same VMID can be used again.
    let tries = making.tries;
    making.tries += 1;
    let then = if making.source.is_some() {
        Phase::Clone(making)
    } else {
        Phase::Make(making)
    };
    task::later(cx, error.into_problem(), tries, then)
}

/// The write that makes a new machine what the definition says.
pub fn lacking(
    cx: &Cx,
    desired: &Config,
    place: Place,
    config: GuestConfig,
    tries: u32,
) -> Result<Write> {
    let connection: Connection = cx.settings()?;
    let made = |error: Error| error.created(Object::machine(place.vmid));
    let Fitting { form, slots } =
        fitting::fit(desired, &config, &cx.mark(), &connection).map_err(made)?;
    Ok(Write {
        form,
        digest: config.digest().map(str::to_owned),
        before: Some(config),
        slots,
        place,
        tries,
    })
}

/// The new machine, as it is known to be without asking again.
pub fn finish(write: &Write) -> Step<Phase> {
    let mut config = write.before.clone().unwrap_or_default();
    if !write.form.is_empty() {
        write.form.apply(&mut config);
        config.remove("digest");
    }
    let Place { node, vmid } = &write.place;
    Step::done(Outcome {
        machine: Some(config.to_machine(*vmid, node, PowerState::Stopped)),
        slots: write.slots.clone(),
        ..Outcome::default()
    })
}
