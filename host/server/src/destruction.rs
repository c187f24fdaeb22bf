//! What was destroyed within the hour, and whether a limit lets more go.
//!
//! Each action that destroys is noted in the commit that begins its step, before anything of it is
//! sent: whatever becomes of it, it counts. The rows are among the settings, so they survive a restart,
//! and a restore takes over those of the database that it replaces. What is about to be destroyed is
//! known from the queue's journal: the steps of those that were planned and have not come to it.
//!
//! The question is asked in the commit that has the plan, so two operations cannot take the same room,
//! and once more right before the first step that destroys: a limit may have been set since.

use std::collections::BTreeSet;

use enginehouse_documents::{Code, Problem};
use enginehouse_model::{NodeUid, Timestamp};
use enginehouse_queue::{Event, Operation};
use enginehouse_reconcile::{
    Budget, Destroyed, Intended, LIMIT_WINDOW_MS, Level, PlannedAction, Shortage,
};
use enginehouse_store::{DocumentError, Row, Table, Write};
use enginehouse_tree::{Status, Tree};

use crate::approvals::is_used;
use crate::house::{Staged, State};

/// Where the rows are among the settings.
pub(crate) const PREFIX: &str = "destroyed/";
const VERSION: u16 = 1;

/// What was let through within the last hour, with the key of its row, the earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger(Vec<(String, Destroyed)>);

impl Ledger {
    /// What is stored.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub(crate) fn load(meta: &[Row]) -> Result<Self, DocumentError> {
        let rows = meta.iter().filter(|row| row.key.starts_with(PREFIX));
        let rows = rows.map(|row| Ok((row.key.clone(), row.document.read()?)));
        let mut entries = rows.collect::<Result<Vec<(String, Destroyed)>, DocumentError>>()?;
        entries.sort_by_key(|(_, it)| it.at);
        Ok(Self(entries))
    }

    fn since(&self, now: Timestamp) -> impl Iterator<Item = &Destroyed> {
        let entries = self.0.iter().map(|(_, it)| it);
        entries.filter(move |it| it.at.plus_ms(LIMIT_WINDOW_MS) > now)
    }
}

/// Notes the current step of an operation, which begins now and destroys something.
pub(crate) fn note(state: &mut State, staged: &mut Staged, operation: &Operation, now: Timestamp) {
    let old: Vec<(String, Destroyed)> = (state.destroyed.0)
        .extract_if(.., |(_, it)| it.at.plus_ms(LIMIT_WINDOW_MS) <= now)
        .collect();
    staged
        .writes
        .extend(old.into_iter().map(|(key, _)| Write::Delete {
            table: Table::Meta,
            key,
        }));
    let number = operation.number();
    let it = Destroyed {
        at: now,
        operation: number,
        machine: operation.spec.target,
        below: chain(&state.tree, operation.spec.target),
    };
    // Planned again, an operation comes to a step of the same place once more.
    let key = format!("{PREFIX}{number}/{}/{}", now.0, operation.step);
    staged.put(Table::Meta, key.clone(), VERSION, &it);
    state.destroyed.0.push((key, it));
}

/// What becomes of an operation that would destroy with so many actions: none: there is room.
pub(crate) fn held(
    state: &State,
    operation: &Operation,
    actions: usize,
    now: Timestamp,
) -> Option<Event> {
    if actions == 0 {
        return None;
    }
    let wanted = wanted(state, operation, actions);
    let budget = budget(state, [wanted.machine], now)?;
    let shortage = budget.room(&wanted, now).err()?;
    Some(waits(&shortage, now))
}

/// The same right before a step: what others are about to destroy does not count, since each of them
/// found room beside this one.
pub(crate) fn before_step(
    state: &State,
    operation: &Operation,
    planned: &PlannedAction,
    now: Timestamp,
) -> Option<Event> {
    // Once one of its actions went, the rest goes as well: the unit is the machine.
    if !planned.is_gated() || is_used(operation) {
        return None;
    }
    let wanted = wanted(state, operation, gated_left(operation));
    let mut budget = budget(state, [wanted.machine], now)?;
    budget.intended.clear();
    let shortage = budget.room(&wanted, now).err()?;
    Some(waits(&shortage, now))
}

fn waits(shortage: &Shortage, now: Timestamp) -> Event {
    let mut problem = Problem::new(Code::Busy, shortage.to_string());
    problem.detail.hint = Some(format!(
        "it goes on by itself; or raise the limit: `enginehouse edit {} destruction_limit.per_hour=N --lower-protection`",
        shortage.by
    ));
    Event::Held {
        until: shortage.until(now),
        problem,
    }
}

fn wanted(state: &State, operation: &Operation, actions: usize) -> Intended {
    Intended {
        operation: Some(operation.number()),
        machine: operation.spec.target,
        below: chain(&state.tree, operation.spec.target),
        actions,
    }
}

/// What operations that were planned are about to destroy.
fn intended(state: &State) -> Vec<Intended> {
    let planned = state.queue.iter().filter(|it| !it.steps.is_empty());
    planned
        .map(|operation| wanted(state, operation, gated_left(operation)))
        .filter(|intended| intended.actions > 0)
        .collect()
}

/// Gated steps that were not begun.
fn gated_left(operation: &Operation) -> usize {
    let begun = operation.step + usize::from(operation.state.request.is_some());
    let left = operation.steps.iter().skip(begun);
    left.filter(|step| {
        let planned = step.body.read::<PlannedAction>();
        planned.is_ok_and(|planned| planned.is_gated())
    })
    .count()
}

/// The limits that hold for machines, and what counts against them; none where there are none.
pub(crate) fn budget(
    state: &State,
    machines: impl IntoIterator<Item = NodeUid>,
    now: Timestamp,
) -> Option<Budget> {
    let mut budget = Budget::default();
    for machine in machines {
        let Ok(computed) = state.tree.computed(machine) else {
            continue;
        };
        for limit in computed.destruction_limits() {
            let node = limit.origin.node();
            budget.levels.entry(node).or_insert_with(|| Level {
                node,
                name: limit.origin.full_name().clone(),
                per_hour: limit.value.per_hour,
                percent: limit.value.percent,
                machines: match limit.value.percent {
                    Some(_) => machines_of(state, node, now),
                    None => 0,
                },
            });
        }
    }
    if budget.levels.is_empty() {
        return None;
    }
    budget.intended = intended(state);
    budget.destroyed = state.destroyed.since(now).cloned().collect();
    Some(budget)
}

/// Machines that were deployed at a node and below when the hour began: those that are now, and those
/// that are not any more because something was destroyed since.
fn machines_of(state: &State, node: NodeUid, now: Timestamp) -> u64 {
    let is_deployed = |machine: NodeUid| {
        let body = state.tree.descriptor(machine);
        body.is_ok_and(|body| body.status != Status::Provisioned)
    };
    let descriptors = state.tree.descriptors(node).into_iter().flatten();
    let now_there = descriptors.filter(|it| is_deployed(it.uid)).count();
    let gone: BTreeSet<NodeUid> = (state.destroyed.since(now))
        .filter(|it| it.below.contains(&node) && !is_deployed(it.machine))
        .map(|it| it.machine)
        .collect();
    (now_there + gone.len()) as u64
}

/// A node and all folders above it.
pub(crate) fn chain(tree: &Tree, node: NodeUid) -> Vec<NodeUid> {
    std::iter::successors(Some(node), |uid| tree.node(*uid).ok()?.parent).collect()
}

#[cfg(test)]
#[path = "destruction_tests.rs"]
mod tests;
