//! How much may be destroyed within an hour, and whether there is room for more.
//!
//! Each folder that says `destruction_limit` is a [`Level`]. What was destroyed counts against every
//! level that the machine was below at that time, wherever it is moved afterwards; so does what an
//! operation is about to destroy. A level further down does not replace one above: there has to be room
//! at all of them.
//!
//! The unit is one machine's gated actions, as with approvals: either all of them go, or none does yet.
//! Where nothing else was destroyed at a level within the hour, one machine may always go, however
//! tight the limit is: a folder of three machines with `percent: 10` does not wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// The time that a limit is about, in milliseconds.
pub const LIMIT_WINDOW_MS: u64 = 60 * 60 * 1000;
/// When what is under way stands in the way: nobody knows when that ends, in milliseconds.
const AGAIN_MS: u64 = 15 * 1000;

/// A node that limits what is destroyed at it and below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    pub node: NodeUid,
    pub name: FullName,
    /// Actions.
    pub per_hour: Option<u32>,
    /// Of the machines.
    pub percent: Option<u32>,
    /// Machines that were deployed there when the hour began, whatever became of them.
    pub machines: u64,
}

/// An action that was let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    pub at: Timestamp,
    pub operation: OperationId,
    /// The descriptor of the machine.
    pub machine: NodeUid,
    /// The descriptor and all folders above it at that time.
    pub below: Vec<NodeUid>,
}

/// What an operation is about to destroy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intended {
    pub operation: Option<OperationId>,
    pub machine: NodeUid,
    /// The descriptor and all folders above it.
    pub below: Vec<NodeUid>,
    pub actions: usize,
}

/// Everything that decides whether there is room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    pub levels: BTreeMap<NodeUid, Level>,
    pub destroyed: Vec<Destroyed>,
    pub intended: Vec<Intended>,
}

/// That there is no room. Its text is what is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub by: FullName,
    /// `5 an hour`, `10 % of 40 machines`
    limit: String,
    /// What counts against it, and what of.
    used: u64,
    of: &'static str,
    /// When there may be room; none: when what is under way has ended.
    pub room_at: Option<Timestamp>,
}

impl Shortage {
    /// When it is worth looking again.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Timestamp {
        self.room_at.unwrap_or_else(|| now.plus_ms(AGAIN_MS))
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            by,
            limit,
            used,
            of,
            ..
        } = self;
        write!(
            f,
            "room within the destruction_limit of {by} ({limit}): {used} {of} before it within the hour"
        )
    }
}

impl Budget {
    /// Whether `wanted` may go now, beside what went and what is about to.
    ///
    /// # Errors
    /// With the level that lacks room for the longest time.
    pub fn room(&self, wanted: &Intended, now: Timestamp) -> Result<(), Shortage> {
        let levels = wanted.below.iter().filter_map(|at| self.levels.get(at));
        let short = levels.flat_map(|level| self.short(level, wanted, now));
        match short.max_by_key(|shortage| shortage.room_at.unwrap_or_default()) {
            None => Ok(()),
            Some(shortage) => Err(shortage),
        }
    }

    fn short(&self, level: &Level, wanted: &Intended, now: Timestamp) -> Vec<Shortage> {
        let counts = |operation: Option<OperationId>, below: &[NodeUid]| {
            below.contains(&level.node) && (operation.is_none() || operation != wanted.operation)
        };
        let mut went: Vec<&Destroyed> = (self.destroyed.iter())
            .filter(|it| it.at.plus_ms(LIMIT_WINDOW_MS) > now)
            .filter(|it| counts(Some(it.operation), &it.below))
            .collect();
        went.sort_by_key(|it| it.at);
        let goes: Vec<&Intended> = (self.intended.iter())
            .filter(|it| counts(it.operation, &it.below))
            .collect();
        if went.is_empty() && goes.is_empty() {
            return Vec::new();
        }
        let actions = level.per_hour.and_then(|most| {
            let times: Vec<Timestamp> = went.iter().map(|it| it.at).collect();
            let going = goes.iter().map(|it| it.actions).sum();
            let room = usize::try_from(most).unwrap_or(usize::MAX);
            let (used, room_at) = lack(&times, going, wanted.actions, room)?;
            Some(Shortage {
                by: level.name.clone(),
                limit: format!("{most} an hour"),
                used,
                of: plural(
                    used,
                    ["action that destroys goes", "actions that destroy go"],
                ),
                room_at,
            })
        });
        let machines = level.percent.and_then(|percent| {
            let going: BTreeSet<NodeUid> = goes.iter().map(|it| it.machine).collect();
            // A machine is free again with the last that was done to it.
            let mut last: BTreeMap<NodeUid, Timestamp> = BTreeMap::new();
            for it in &went {
                last.insert(it.machine, it.at);
            }
            last.retain(|machine, _| *machine != wanted.machine && !going.contains(machine));
            let others = going.len() - usize::from(going.contains(&wanted.machine));
            let mut times: Vec<Timestamp> = last.into_values().collect();
            times.sort();
            let of_all = level.machines.saturating_mul(u64::from(percent)) / 100;
            let room = usize::try_from(of_all.max(1)).unwrap_or(usize::MAX);
            let (used, room_at) = lack(&times, others, 1, room)?;
            Some(Shortage {
                by: level.name.clone(),
                limit: format!("{percent} % of {} machines", level.machines),
                used,
                of: plural(used, ["machine goes", "machines go"]),
                room_at,
            })
        });
        actions.into_iter().chain(machines).collect()
    }
}

/// What is used, where `wanted` more is too much, and when enough of it is an hour old. `times`: of what
/// went, the earliest first; `going`: how many are about to.
fn lack(
    times: &[Timestamp],
    going: usize,
    wanted: usize,
    room: usize,
) -> Option<(u64, Option<Timestamp>)> {
    let used = times.len() + going;
    if used + wanted <= room || used == 0 {
        return None;
    }
    // Where it alone is more than the limit, nothing else may be left.
    let too_many = (used + wanted - room).min(used);
    let free_at = |at: &Timestamp| at.plus_ms(LIMIT_WINDOW_MS);
    let room_at = times.get(too_many - 1).map(free_at);
    Some((u64::try_from(used).unwrap_or(u64::MAX), room_at))
}

fn plural(count: u64, [one, many]: [&'static str; 2]) -> &'static str {
    match count {
        1 => one,
        _ => many,
    }
}

impl Plan {
    /// Says of each machine with gated actions that would have to wait for room what for, as if they were
    /// ordered in the order of the plan. `below`: the node and all folders above it.
    pub fn wait_for_room(
        &mut self,
        mut budget: Budget,
        below: impl Fn(NodeUid) -> Vec<NodeUid>,
        now: Timestamp,
    ) {
        for machine in &mut self.machines {
            let gated = machine.actions.iter().filter(|action| action.is_gated());
            let wanted = Intended {
                operation: None,
                machine: machine.node,
                below: below(machine.node),
                actions: gated.count(),
            };
            if wanted.actions == 0 {
                continue;
            }
            match budget.room(&wanted, now) {
                Ok(()) => budget.intended.push(wanted),
                Err(shortage) => machine.waits.push(shortage.to_string()),
            }
        }
    }
}
