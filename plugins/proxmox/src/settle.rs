//! What became of a request whose answer was lost.
//!
//! A guest that is to be made is looked for under its VMID, which was chosen before: Proxmox VE writes a
//! configuration with `lock: clone` before it starts the task, so one that is not there was not begun.
//! Until the first disk is copied the lock is all that is shown, and the clone's UPID names the
//! *template*: whose clone it is shows later, by the mark, and `Made` is told to doubt until then.
//!
//! For the others the state of the machine is looked at, then the node's tasks. A task found is
//! named as pending also when it has failed: the poll then says why.

use enginehouse_sdk::prelude::*;
use serde_json::Value;

use crate::api::{self, Place};
use crate::configure;
use crate::create;
use crate::describe::VISIBILITY_LAG_MS;
use crate::errand::part;
use crate::phase::{Errand, Making, Phase, Write};
use crate::removal;
use crate::task::Task;

/// How far the clocks of host and node may differ, in seconds, for a task to be taken for ours.
const SKEW: u64 = 5;

pub fn settle(cx: &Cx, action: &Action, phase: Phase, sent: &Sent) -> Result<Settled<Phase>> {
    match phase {
        Phase::Clone(making) | Phase::Make(making) => making_of(cx, making, sent),
        Phase::Write(write) => write_of(cx, write),
        Phase::Send(errand) => errand_of(cx, action, errand, sent),
        Phase::Detach(removal) => removal::settle_detach(cx, removal),
        Phase::Revert(removal) => removal::settle_revert(cx, removal),
        Phase::Erase(removal) => removal::settle_erase(cx, removal),
        // These send nothing that could be lost.
        Phase::Choose { .. }
        | Phase::Taken(_)
        | Phase::Made(_)
        | Phase::Written(_)
        | Phase::Reread(_)
        | Phase::Sent(_)
        | Phase::NotDetached(_)
        | Phase::Detached(_)
        | Phase::Reverted(_)
        | Phase::Erased(_) => Ok(Settled::not_started()),
    }
}

/// An item of `GET /nodes/{node}/tasks`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeTask {
    pub upid: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "loose::number")]
    pub starttime: u64,
    #[serde(deserialize_with = "loose::maybe_number")]
    pub endtime: Option<u64>,
    /// How it ended; absent, or `RUNNING`, while it runs.
    pub status: Option<String>,
}

impl NodeTask {
    pub fn is_running(&self) -> bool {
        self.endtime.is_none() && matches!(self.status.as_deref(), None | Some("" | "RUNNING"))
    }

    fn ended_well(&self) -> bool {
        let status = self.status.as_deref().unwrap_or_default();
        status == "OK" || status.starts_with("WARNINGS")
    }
}

/// Tasks about a guest that may have been started by the lost request, the newest first.
fn tasks(cx: &Cx, node: &str, vmid: u64, kinds: &[&str], sent: &Sent) -> Result<Vec<NodeTask>> {
    let reply = cx
        .get(path!("/api2/json/nodes/{}/tasks", node))
        .param("source", "all")
        .param("vmid", vmid)
        .param("limit", 100)
        .send()?;
    let mut tasks: Vec<NodeTask> = api::data(cx, &reply)?;
    let since = (sent.at / 1000).saturating_sub(SKEW);
    tasks.retain(|task| kinds.contains(&task.kind.as_str()) && task.starttime >= since);
    // Of those of one second the one with the higher process id is the later one, nearly always.
    tasks.sort_by(|a, b| (b.starttime, &b.upid).cmp(&(a.starttime, &a.upid)));
    Ok(tasks)
}

fn making_of(cx: &Cx, mut making: Making, sent: &Sent) -> Result<Settled<Phase>> {
    let vmid = making.place.vmid;
    let Some((place, config)) = create::configuration(cx, &making)? else {
        return Ok(if sent.lost {
            // It was begun, and Proxmox VE has removed what a failed task leaves.
            Settled::done(Phase::Made(making))
        } else {
            Settled::not_started()
        });
    };
    making.doubtful = true;
    if config.is_being_made() {
        let task = match running(cx, &making, sent)? {
            Some(upid) => Task::Upid(upid),
            None => Task::Lock(place),
        };
        return Ok(Settled::pending(task.to_string(), Phase::Made(making))
            .note(format!("{vmid} is being made")));
    }
    if config.text().mark == cx.mark() {
        return Ok(Settled::done(Phase::Made(making)));
    }
    // Another's guest holds the VMID. The lost request can only have failed, or will when it comes;
    // sent once more it is told that the VMID is taken, and another is chosen.
    Ok(if sent.lost {
        Settled::done(Phase::Made(making))
    } else {
        Settled::not_started()
    })
}

/// The running task, if it can be only one.
fn running(cx: &Cx, making: &Making, sent: &Sent) -> Result<Option<String>> {
    if sent.lost {
        return Ok(None);
    }
    let (about, kind) = match &making.source {
        Some(source) => (source, "qmclone"),
        None => (&making.place, "qmcreate"),
    };
    let mut tasks = tasks(cx, &about.node, about.vmid, &[kind], sent)?;
    tasks.retain(NodeTask::is_running);
    Ok(match tasks.as_slice() {
        [one] => Some(one.upid.clone()),
        [] | [_, ..] => None,
    })
}

fn write_of(cx: &Cx, write: Write) -> Result<Settled<Phase>> {
    let (place, config) = configure::read(cx, write.place)?;
    let write = Write { place, ..write };
    if write.form.is_in(&config) {
        return Ok(Settled::done(Phase::Written(write)));
    }
    // Whether nobody wrote or somebody else did: with its digest the write is refused if it is late.
    Ok(Settled::not_started())
}

/// Whether something of the configuration takes effect only with the next restart: then there was
/// none since it was written. (API viewer, `GET /nodes/{node}/qemu/{vmid}/config`: `current` gets the
/// current values instead of pending ones.)
fn waits_for_restart(cx: &Cx, place: &Place) -> Result<bool> {
    let config = || cx.get(place.of(&["config"]));
    let written: Value = api::data(cx, &config().send()?)?;
    let in_effect: Value = api::data(cx, &config().param("current", 1).send()?)?;
    Ok(written != in_effect)
}

fn errand_of(cx: &Cx, whole: &Action, errand: Errand, sent: &Sent) -> Result<Settled<Phase>> {
    let action = &*part(whole, &errand);
    let kinds: &[&str] = match action {
        Action::Start => &["qmstart", "hastart"],
        Action::Stop { .. } => &["qmshutdown", "qmstop", "hastop"],
        Action::Restart { .. } => &["qmreboot"],
        Action::Destroy { .. } => &["qmdestroy"],
        // Sent again rather than settled.
        Action::DiskGrow { .. } => return Ok(Settled::not_started()),
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::Adopt
        | Action::DiskAdd { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => {
            return Ok(Settled::unknown(format!(
                "{} is not a single request",
                action.name()
            )));
        }
    };
    let status = match errand.place.status(cx) {
        Ok(status) => status,
        Err(error) => match configure::elsewhere(cx, &errand.place, error) {
            Ok(place) => place.status(cx)?,
            Err(error) if error.is(Code::NotFound) && matches!(action, Action::Destroy { .. }) => {
                return Ok(Settled::done(Phase::Sent(errand)));
            }
            Err(error) => return Err(error),
        },
    };
    let age = cx.now().saturating_sub(sent.at) as f64 / 1000.0;
    let uptime = status
        .uptime
        .filter(|_| status.power() == PowerState::Running);
    let reached = match action {
        Action::Start => status.power() == PowerState::Running,
        Action::Stop { .. } => status.power() == PowerState::Stopped,
        // An uptime is in whole seconds: this one is below the age whatever was cut off.
        Action::Restart { .. } => uptime.is_some_and(|uptime| uptime + 1.0 <= age),
        Action::Destroy { .. }
        | Action::Create { .. }
        | Action::Configure { .. }
        | Action::Adopt
        | Action::DiskAdd { .. }
        | Action::DiskGrow { .. }
        | Action::DiskRemove { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. }
        | Action::NicRemove { .. } => false,
    };
    if reached {
        return Ok(Settled::done(Phase::Sent(errand)));
    }
    if sent.lost {
        // Its task is over and has not reached it: ask for it anew.
        return Ok(Settled::done(Phase::Send(errand)));
    }
    let Place { node, vmid } = &errand.place;
    let mut tasks = tasks(cx, node, *vmid, kinds, sent)?;
    // A restart that took less than a second: the uptime does not contradict it, and its task says so.
    // Only at the last look: before, the request may be on its way still, and the restart be that of
    // an action of the same second.
    let time_of_request = sent.deadline.saturating_sub(sent.at);
    let is_last_look = cx.now().saturating_sub(sent.at) + 1_000
        >= time_of_request.saturating_add(VISIBILITY_LAG_MS);
    let newest = tasks.first();
    if matches!(action, Action::Restart { .. })
        && is_last_look
        && uptime.is_some_and(|uptime| uptime <= age)
        && newest.is_some_and(NodeTask::ended_well)
        && !waits_for_restart(cx, &errand.place)?
    {
        return Ok(Settled::done(Phase::Sent(errand)));
    }
    // One that ended well cannot be ours, or the machine would be where it was to be brought: it is
    // that of an action just before.
    tasks.retain(|task| !task.ended_well());
    match tasks.into_iter().next() {
        Some(task) => {
            let task = Task::Upid(task.upid).to_string();
            Ok(Settled::pending(task, Phase::Sent(errand)))
        }
        None => Ok(Settled::not_started()),
    }
}
