//! The order of the operations on each resource.

use std::collections::BTreeMap;

use enginehouse_model::{NodeUid, OperationId};

use crate::operation::{Operation, Phase};

/// Distance between ranks that are given out anew.
const STEP: u64 = 1 << 20;

/// Operations by lane: what has begun first, then the lowest rank. Most lanes have one, and a sorted list
/// of one takes a tenth of the memory that a set of one does.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<NodeUid, Vec<(u64, OperationId)>>,
}

impl Lanes {
    pub(crate) fn insert(&mut self, operation: &Operation) {
        let Some(place) = place(operation) else {
            return;
        };
        let lane = self.lanes.entry(operation.spec.target).or_default();
        let entry = (place, operation.number());
        if let Err(at) = lane.binary_search(&entry) {
            lane.reserve_exact(1);
            lane.insert(at, entry);
        }
    }

    pub(crate) fn remove(&mut self, operation: &Operation) {
        let target = operation.spec.target;
        if let (Some(lane), Some(place)) = (self.lanes.get_mut(&target), place(operation)) {
            if let Ok(at) = lane.binary_search(&(place, operation.number())) {
                lane.remove(at);
            }
            if lane.is_empty() {
                self.lanes.remove(&target);
            }
        }
    }

    pub(crate) fn first(&self, target: NodeUid) -> Option<OperationId> {
        let lane = self.lanes.get(&target)?;
        lane.first().map(|(_, number)| *number)
    }

    pub(crate) fn last_rank(&self, target: NodeUid) -> Option<u64> {
        let lane = self.lanes.get(&target)?;
        lane.last().map(|(rank, _)| *rank)
    }

    pub(crate) fn iter(&self, target: NodeUid) -> impl Iterator<Item = OperationId> {
        let lane = self.lanes.get(&target).into_iter().flatten();
        lane.map(|(_, number)| *number)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// What its lane is sorted by; none of one that has left it, to wait for people.
pub(crate) fn place(operation: &Operation) -> Option<u64> {
    match operation.phase {
        Phase::Pending => Some(operation.rank),
        Phase::WaitingApproval => None,
        _ => Some(0),
    }
}

/// A rank after all others.
pub(crate) fn behind(last: u64) -> u64 {
    last.saturating_add(STEP)
}

/// New ranks for the fewest of `order`: the one operation that moved, if there is room between its
/// neighbours, else all.
pub(crate) fn ranks(order: &[(OperationId, u64)], moved: OperationId) -> Vec<(OperationId, u64)> {
    let Some(at) = order.iter().position(|(number, _)| *number == moved) else {
        return Vec::new();
    };
    let before = match at.checked_sub(1).and_then(|at| order.get(at)) {
        Some((_, rank)) => *rank,
        None => 0,
    };
    let room = match order.get(at + 1) {
        Some((_, after)) => after.checked_sub(before).map(|gap| gap / 2),
        None => Some(STEP),
    };
    match room {
        Some(room) if room > 0 => vec![(moved, before.saturating_add(room))],
        _ => {
            let numbers = order.iter().map(|(number, _)| *number);
            let ranks = (1_u64..).map(|nth| nth.saturating_mul(STEP));
            numbers.zip(ranks).collect()
        }
    }
}
