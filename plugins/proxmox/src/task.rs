//! Tasks as they are named to the host: Proxmox VE's own, and things to wait for that are none.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use enginehouse_sdk::prelude::*;

use crate::api::Place;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A task of Proxmox VE.
    Upid(String),
    /// A clone whose UPID was lost: over when its lock is gone.
    Lock(Place),
    /// What the HA manager was asked for: over when it is so, or at `until` (milliseconds since 1970).
    Power {
        place: Place,
        running: bool,
        until: u64,
    },
    /// Time to wait before asking again, until then (milliseconds since 1970).
    Pause(u64),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upid(upid) => write!(f, "upid:{upid}"),
            Self::Lock(place) => write!(f, "lock:{}/{}", place.node, place.vmid),
            Self::Power {
                place,
                running,
                until,
            } => {
                let state = if *running { "running" } else { "stopped" };
                write!(f, "power:{}/{}:{state}:{until}", place.node, place.vmid)
            }
            Self::Pause(until) => write!(f, "pause:{until}"),
        }
    }
}

/// Not a task of this engine.
#[derive(Debug, PartialEq, Eq)]
pub struct NoTask;

impl FromStr for Task {
    type Err = NoTask;

    fn from_str(text: &str) -> Result<Self, NoTask> {
        let place = |text: &str| {
            let (node, vmid) = text.split_once('/').ok_or(NoTask)?;
            Ok(Place::new(node, vmid.parse().map_err(|_| NoTask)?))
        };
        let (kind, rest) = text.split_once(':').ok_or(NoTask)?;
        match kind {
            "upid" => Ok(Self::Upid(rest.to_owned())),
            "lock" => Ok(Self::Lock(place(rest)?)),
            "power" => {
                let mut parts = rest.splitn(3, ':');
                let mut next = || parts.next().ok_or(NoTask);
                Ok(Self::Power {
                    place: place(next()?)?,
                    running: next()? == "running",
                    until: next()?.parse().map_err(|_| NoTask)?,
                })
            }
            "pause" => Ok(Self::Pause(rest.parse().map_err(|_| NoTask)?)),
            _ => Err(NoTask),
        }
    }
}

/// How often a task that found something locked is asked for again before the action gives up.
const TRIES: u32 = 8;

/// Waits a while before `then` when a task ended because something was locked. Only a task says so
/// too late for the host, which repeats requests and not tasks.
///
/// # Errors
/// `problem`, once it was tried often enough.
pub fn later<P>(cx: &Cx, problem: Problem, tries: u32, then: P) -> Result<Step<P>> {
    if tries >= TRIES {
        return Err(problem.into());
    }
    let pause = Duration::from_secs(5 << tries.min(4)).min(Duration::from_secs(60));
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let task = Task::Pause(cx.now().saturating_add(millis));
    Ok(Step::wait(task.to_string(), then)
        .note(format!(
            "{}; trying again in {} s",
            problem.message,
            pause.as_secs()
        ))
        .poll_after(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_known_by_its_name() {
        let place = Place::new("pve1", 105);
        for task in [
            Task::Upid("UPID:pve1:1:2:3:qmclone:9000:root@pam!x:".to_owned()),
            Task::Lock(place.clone()),
            Task::Power {
                place,
                running: true,
                until: 7,
            },
            Task::Pause(9),
        ] {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
        for wrong in [
            "",
            "upid",
            "lock:x",
            "power:pve1/1:running",
            "pause:x",
            "x:y",
        ] {
            assert_eq!(wrong.parse::<Task>(), Err(NoTask), "{wrong}");
        }
    }
}
