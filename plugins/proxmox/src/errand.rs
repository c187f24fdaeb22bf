//! Actions that are one request and its task: start, stop, restart, destroy, and growing a disk.
//!
//! A restart without asking the guest is two of them, a stop and a start: Proxmox VE's `reset` leaves the
//! process running, and with it every change of the configuration that waits for a restart.

use std::borrow::Cow;
use std::time::Duration;

use enginehouse_sdk::prelude::*;

use crate::api;
use crate::configure::elsewhere;
use crate::drive;
use crate::phase::{Errand, Phase};
use crate::problem;
use crate::task::{self, Task};
use crate::upid::Upid;

/// How long a guest is given to shut down when nobody says.
const GRACE: Duration = Duration::from_secs(60);
/// How long the HA manager is given to do what it was asked.
const MANAGED: Duration = Duration::from_secs(600);

/// Seconds for the guest, at least one.
fn seconds(timeout_ms: Option<u64>) -> u64 {
    timeout_ms
        .unwrap_or(GRACE.as_secs() * 1000)
        .div_ceil(1000)
        .max(1)
}

/// The part of an action that an errand is.
pub fn part<'a>(action: &'a Action, errand: &Errand) -> Cow<'a, Action> {
    match action {
        Action::Restart {
            graceful: false, ..
        } => Cow::Owned(if errand.starting {
            Action::Start
        } else {
            Action::Stop {
                graceful: false,
                timeout_ms: None,
            }
        }),
        whole => Cow::Borrowed(whole),
    }
}

/// The errand is done: so is the action, or its first half.
fn done(whole: &Action, errand: Errand) -> Step<Phase> {
    match whole {
        Action::Restart {
            graceful: false, ..
        } if !errand.starting => Step::again(Phase::Send(Errand {
            starting: true,
            ..Errand::at(errand.place)
        })),
        _ => Step::done(Outcome::default()),
    }
}

pub fn send(cx: &Cx, whole: &Action, errand: Errand) -> Result<Step<Phase>> {
    let action = &*part(whole, &errand);
    let place = &errand.place;
    let request = match action {
        Action::Start => cx.post(place.of(&["status", "start"])).once(),
        Action::Stop {
            graceful: true,
            timeout_ms,
        } => cx
            .post(place.of(&["status", "shutdown"]))
            .once()
            .field("timeout", seconds(*timeout_ms)),
        Action::Stop { .. } => cx.post(place.of(&["status", "stop"])).once(),
        Action::Restart { timeout_ms, .. } => cx
            .post(place.of(&["status", "reboot"]))
            .once()
            .field("timeout", seconds(*timeout_ms)),
        Action::Destroy { keep } => {
            if !keep.is_empty() {
                return Err(Error::unsupported(format_args!(
                    "Proxmox VE cannot keep disks ({}) of a guest that it destroys",
                    keep.join(", ")
                ))
                .hint("move the disks to another guest first (`qm move-disk`), or give them up"));
            }
            cx.delete(place.path())
                .once()
                .param("purge", 1)
                .param("destroy-unreferenced-disks", 1)
        }
        // An absolute size: sent again it changes nothing.
        Action::DiskGrow { slot, size } => cx
            .put(place.of(&["resize"]))
            .repeat()
            .field("disk", slot)
            .field("size", drive::show_size(*size)),
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::Adopt
        | Action::DiskAdd { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => {
            return Err(Error::invalid(format_args!(
                "{} is not a single request",
                action.name()
            )));
        }
    };
    let reply = request.send()?;
    // Proxmox VE 6 grows a disk before it answers, and names no task.
    let error = match api::data::<Option<String>>(cx, &reply) {
        Ok(Some(upid)) if !upid.is_empty() => return Ok(started(action, upid, errand)),
        Ok(_) => return Ok(done(whole, errand)),
        Err(error) => error,
    };
    if is_so_already(action, &error) {
        return Ok(done(whole, errand));
    }
    match elsewhere(cx, &errand.place, error) {
        Ok(place) => Ok(Step::again(Phase::Send(Errand { place, ..errand }))),
        Err(error) if is_gone(action, &error) => Ok(done(whole, errand)),
        Err(error) => Err(error),
    }
}

fn started(action: &Action, upid: String, mut errand: Errand) -> Step<Phase> {
    errand.managed = Upid::parse(&upid).is_some_and(|upid| upid.kind.starts_with("ha"));
    let vmid = errand.place.vmid;
    let doing = match action {
        Action::Start => format!("starting {vmid}"),
        Action::Stop { graceful: true, .. } => format!("asking {vmid} to shut down"),
        Action::Stop { .. } => format!("stopping {vmid}"),
        Action::Restart { .. } => format!("restarting {vmid}"),
        Action::Destroy { .. } => format!("destroying {vmid}"),
        Action::DiskGrow { slot, .. } => format!("growing {slot} of {vmid}"),
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::Adopt
        | Action::DiskAdd { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => String::new(),
    };
    Step::wait(Task::Upid(upid).to_string(), Phase::Sent(errand)).note(doing)
}

/// What was to be reached is so already.
fn is_so_already(action: &Action, error: &Error) -> bool {
    match action {
        Action::Start => problem::is_already_running(error),
        Action::Stop { .. } => problem::is_not_running(error),
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::Adopt
        | Action::Restart { .. }
        | Action::Destroy { .. }
        | Action::DiskAdd { .. }
        | Action::DiskGrow { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => false,
    }
}

/// Nowhere in the cluster: what `destroy` is for. Only said after the whole cluster was looked at, or
/// by the task itself.
fn is_gone(action: &Action, error: &Error) -> bool {
    matches!(action, Action::Destroy { .. }) && error.is(Code::NotFound)
}

pub fn sent(cx: &Cx, whole: &Action, mut errand: Errand) -> Result<Step<Phase>> {
    let action = &*part(whole, &errand);
    let Some(problem) = cx.ended().unwrap_or_default().problem else {
        return Ok(match action {
            Action::Start if errand.managed => wait_for_manager(cx, true, errand),
            Action::Stop { .. } if errand.managed => wait_for_manager(cx, false, errand),
            _ => done(whole, errand),
        });
    };
    let error = Error::from(problem);
    if is_so_already(action, &error) || is_gone(action, &error) {
        return Ok(done(whole, errand));
    }
    // The guest ignores its shutdown: that is for the host to decide, at once.
    let ignored = matches!(
        action,
        Action::Stop { graceful: true, .. } | Action::Restart { graceful: true, .. }
    );
    if !error.is(Code::Busy) || ignored {
        return Err(error);
    }
    let tries = errand.tries;
    errand.tries += 1;
    task::later(cx, error.into_problem(), tries, Phase::Send(errand))
}

/// The task of a guest that the HA manager looks after only hands over the wish.
fn wait_for_manager(cx: &Cx, running: bool, mut errand: Errand) -> Step<Phase> {
    errand.managed = false;
    let millis = u64::try_from(MANAGED.as_millis()).unwrap_or(u64::MAX);
    let task = Task::Power {
        place: errand.place.clone(),
        running,
        until: cx.now().saturating_add(millis),
    };
    Step::wait(task.to_string(), Phase::Sent(errand))
        .note("the cluster's HA manager was asked")
        .poll_after(Duration::from_secs(5))
}
