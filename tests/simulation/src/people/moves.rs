//! Somebody gives an operation that waits another place in its lane.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{NodeUid, OperationId};
use enginehouse_queue::{Operation, Phase, Place, PlaceError};

use crate::ledger::Promise;
use crate::memory::{Memory, Staged};
use crate::projected::check_order;
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::{Rule, Violation, holds};

/// Whether operations would wait for each other, were this the order of a lane: those that can go
/// on are taken away until none can.
pub(crate) fn wait_for_each_other(memory: &Memory, node: NodeUid, order: &[OperationId]) -> bool {
    let mut waits: BTreeMap<OperationId, BTreeSet<OperationId>> = BTreeMap::new();
    for operation in memory.queue.iter() {
        let number = operation.number();
        let mut before: BTreeSet<OperationId> = operation.waits_for().collect();
        let lane: Vec<OperationId> = match operation.spec.target == node {
            true => {
                let lane = memory.queue.lane(node);
                let begun = lane.filter(|other| other.phase != Phase::Pending);
                begun
                    .map(Operation::number)
                    .chain(order.iter().copied())
                    .collect()
            }
            false => memory
                .queue
                .lane(operation.spec.target)
                .map(Operation::number)
                .collect(),
        };
        if operation.spec.children.is_empty() {
            before.extend(lane.iter().take_while(|other| **other != number));
        }
        waits.insert(number, before);
    }
    loop {
        let known: BTreeSet<OperationId> = waits.keys().copied().collect();
        let mut all = waits.iter();
        let free = all.find(|(_, before)| before.is_disjoint(&known));
        let Some(free) = free.map(|(number, _)| *number) else {
            return !waits.is_empty();
        };
        waits.remove(&free);
    }
}

/// The lane as it would be, by what the words say.
fn as_asked(memory: &Memory, operation: &Operation, place: Place) -> Option<Vec<OperationId>> {
    let number = operation.number();
    let lane = memory.queue.lane(operation.spec.target);
    let pending = lane.filter(|other| other.phase == Phase::Pending);
    let mut order: Vec<OperationId> = pending.map(Operation::number).collect();
    order.retain(|other| *other != number);
    let at = |other: OperationId| order.iter().position(|number| *number == other);
    let at = match place {
        Place::First => 0,
        Place::Last => order.len(),
        Place::Before(other) => at(other)?,
        Place::After(other) => at(other)? + 1,
    };
    order.insert(at, number);
    Some(order)
}

impl Simulation {
    pub(crate) fn reposition(&mut self) -> Result<(), Violation> {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        // Where there is an order to change, and anywhere else.
        let all: Vec<OperationId> = memory.queue.iter().map(Operation::number).collect();
        let waiting: Vec<OperationId> = memory
            .queue
            .iter()
            .filter(|operation| operation.phase == Phase::Pending)
            .filter(|operation| operation.spec.children.is_empty())
            .filter(|operation| memory.queue.lane(operation.spec.target).nth(1).is_some())
            .map(Operation::number)
            .collect();
        let random = &mut self.outside.random;
        let strange = waiting.is_empty() || random.chance(100);
        let from = if strange { &all } else { &waiting };
        let Some(number) = random.pick(from).copied() else {
            return Ok(());
        };
        let Some(target) = memory.queue.get(number).map(|found| found.spec.target) else {
            return Ok(());
        };
        let lane: Vec<OperationId> = memory.queue.lane(target).map(Operation::number).collect();
        let from = if random.chance(900) { &lane } else { &all };
        let other = random.pick(from).copied().unwrap_or(number);
        let place = match random.below(4) {
            0 => Place::First,
            1 => Place::Last,
            2 => Place::Before(other),
            _ => Place::After(other),
        };
        self.move_to(number, target, place)
    }

    fn move_to(
        &mut self,
        number: OperationId,
        node: NodeUid,
        place: Place,
    ) -> Result<(), Violation> {
        let now = self.now();
        let blindly = self.has(Fault::MovesBlindly);
        let memory = self.memory()?;
        let asked = memory.queue.get(number).cloned();
        let asked = asked.and_then(|operation| as_asked(memory, &operation, place));
        let stuck = asked
            .as_ref()
            .map(|order| wait_for_each_other(memory, node, order));
        let order = match memory.queue.order_with(number, place) {
            Ok(order) => order,
            Err(refused) => {
                // Only where it is so.
                let why = match &refused {
                    PlaceError::Unknown(_) => "unknown",
                    PlaceError::HasParts(_) => "has parts",
                    PlaceError::HasBegun(_) => "has begun",
                    PlaceError::OtherLane(_) => "other lane",
                    PlaceError::Cycle(_) => "cycle",
                };
                let is_so = why != "cycle" || stuck != Some(false);
                self.note(|| format!("{number} to {place:?} is refused: {refused}"));
                self.outside.ledger.refuse(why);
                return holds(is_so, Rule::Moves, || {
                    format!("{number} to {place:?} is refused without need: {refused}")
                });
            }
        };
        holds(stuck == Some(false), Rule::Moves, || {
            format!("{number} to {place:?} is taken; they wait for each other: {order:?}")
        })?;
        holds(asked.as_ref() == Some(&order), Rule::Moves, || {
            format!("{number} to {place:?} makes {order:?} of {asked:?}")
        })?;
        if !blindly && check_order(memory, node, &order).is_err() {
            self.outside.ledger.refuse("impossible there");
            return Ok(());
        }
        let output = memory.queue.reposition(number, place, "client", now);
        let output = output.map_err(|e| Violation::new(Rule::Moves, e.to_string()))?;
        self.note(|| format!("{number} is moved to {place:?}: {order:?}"));
        let promises = vec![Promise::Moved { node, order }];
        let staged = Staged {
            output,
            promises,
            ..Staged::default()
        };
        self.commit(staged, Vec::new())
    }
}
