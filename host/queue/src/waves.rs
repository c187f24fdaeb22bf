//! Parts that go in waves: the next begins when the one before is over, unless too many have failed.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::{Code, Problem};
use enginehouse_model::{OperationId, Timestamp};

use crate::command::Output;
use crate::entry::{Entry, Final};
use crate::operation::{Operation, Phase};
use crate::queue::Queue;

/// Parts of operations with waves that have not ended: operation, wave, part.
#[derive(Debug, Default)]
pub(crate) struct Waves {
    open: BTreeMap<OperationId, BTreeMap<u32, BTreeSet<OperationId>>>,
}

impl Waves {
    pub(crate) fn insert(&mut self, parent: OperationId, part: &Operation) {
        let waves = self.open.entry(parent).or_default();
        let wave = waves.entry(part.spec.wave).or_default();
        wave.insert(part.number());
    }

    pub(crate) fn remove(&mut self, part: &Operation) {
        let Some(parent) = part.spec.parent else {
            return;
        };
        let Some(waves) = self.open.get_mut(&parent) else {
            return;
        };
        if let Some(wave) = waves.get_mut(&part.spec.wave) {
            wave.remove(&part.number());
            if wave.is_empty() {
                waves.remove(&part.spec.wave);
            }
        }
        if waves.is_empty() {
            self.open.remove(&parent);
        }
    }

    /// Operations that have waves.
    pub(crate) fn parents(&self) -> Vec<OperationId> {
        self.open.keys().copied().collect()
    }

    /// The wave whose turn it is.
    fn first(&self, parent: OperationId) -> Option<&BTreeSet<OperationId>> {
        let (_, parts) = self.open.get(&parent)?.first_key_value()?;
        Some(parts)
    }

    fn all(&self, parent: OperationId) -> Vec<OperationId> {
        let waves = self.open.get(&parent).into_iter().flatten();
        waves.flat_map(|(_, parts)| parts).copied().collect()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Queue {
    /// Begins the wave whose turn it is, or ends what has not begun after too many failures.
    pub(crate) fn advance_waves(
        &mut self,
        parent: OperationId,
        now: Timestamp,
        output: &mut Output,
    ) {
        let Some(operation) = self.operations.get(&parent) else {
            return;
        };
        let Some(stop_after) = operation.spec.stop_after else {
            return;
        };
        let failed = operation.forward_parts();
        let failed = failed.filter(|part| part.has_failed()).count();
        if failed >= usize::try_from(stop_after).unwrap_or(usize::MAX) {
            let not_begun = Problem::new(
                Code::Conflict,
                format!("not begun: {failed} of operation {parent} had failed"),
            );
            for part in self.waves.all(parent) {
                self.end_if_pending(part, &not_begun, now, output);
            }
            return;
        }
        let Some(wave) = self.waves.first(parent) else {
            return;
        };
        // They are let go in their order: where the last may begin, all may.
        if wave.last().is_none_or(|last| !self.is_held(*last, parent)) {
            return;
        }
        for part in wave.clone() {
            if self.is_held(part, parent) {
                let freed = vec![Entry::Freed { by: parent }];
                output.append(self.take(part, freed).unwrap_or_default());
            }
        }
    }

    fn is_held(&self, part: OperationId, parent: OperationId) -> bool {
        let part = self.operations.get(&part);
        part.is_some_and(|part| part.waits_for().any(|before| before == parent))
    }

    fn end_if_pending(
        &mut self,
        number: OperationId,
        problem: &Problem,
        now: Timestamp,
        output: &mut Output,
    ) {
        let operation = self.operations.get(&number);
        if operation.is_some_and(|operation| operation.phase == Phase::Pending) {
            let end = Entry::Ended {
                state: Final::Cancelled,
                problem: Some(problem.clone()),
            };
            self.end_with(number, end, now, output);
        }
    }
}
