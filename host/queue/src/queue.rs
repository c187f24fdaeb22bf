//! Lanes and slots: which operation goes on, and with what.

use std::collections::{BTreeMap, VecDeque};

use enginehouse_model::{HypervisorUid, NodeUid, OperationId, Timestamp};
use thiserror::Error;

use crate::backoff::Backoff;
use crate::command::{Command, Event, Output, PollEnd};
use crate::decide::{decide, expects};
use crate::entry::{Entry, Final};
use crate::operation::{EndedPart, Illegal, Once, Operation, Phase, Spec, Then};
use crate::slots::Slots;
use crate::timers::Timers;

/// Polls that fall due within this many milliseconds of each other are made together.
const POLL_TOGETHER_MS: u64 = 150;
/// Tasks in one batch of polls: what the contract allows.
const POLL_BATCH: usize = 200;

/// How much may go on at once at one hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations between their start and their end, tasks of the provider included.
    pub operations: usize,
    /// Copies of one template at the same time.
    pub copies_per_template: usize,
    /// How long something may be `busy` before the operation fails, milliseconds.
    pub busy_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 16,
            copies_per_template: 4,
            busy_ms: 15 * 60 * 1000,
        }
    }
}

/// All operations that have not ended.
#[derive(Debug, Default)]
pub struct Queue {
    operations: BTreeMap<OperationId, Operation>,
    lanes: BTreeMap<NodeUid, VecDeque<OperationId>>,
    slots: Slots,
    timers: Timers,
}

/// A journal that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    #[error("operation {0} has no first entry")]
    NoBeginning(OperationId),
    #[error("the journal does not add up")]
    Illegal(#[source] Illegal),
}

impl Queue {
    #[must_use]
    pub fn new(default_limits: Limits) -> Self {
        Self {
            slots: Slots::new(default_limits),
            ..Self::default()
        }
    }

    /// The queue that the journal adds up to, and how everything goes on: what was being called is
    /// called again, or settled when its request may have left; tasks are polled. What waits for a
    /// slot goes on with the first [`Queue::tick`], which is due at once: the limits can be told
    /// before.
    ///
    /// `journal` has all operations that have not ended, by number; `ended_parts` how those parts
    /// ended whose parent has not.
    ///
    /// # Errors
    /// When an entry does not fit the ones before it.
    pub fn load(
        default_limits: Limits,
        journal: impl IntoIterator<Item = (OperationId, Vec<Entry>)>,
        ended_parts: impl IntoIterator<Item = EndedPart>,
        now: Timestamp,
    ) -> Result<(Self, Output), LoadError> {
        let mut queue = Self::new(default_limits);
        let mut parts = Vec::new();
        for (number, entries) in journal {
            let mut entries = entries.iter();
            let Some(Entry::Queued { spec }) = entries.next() else {
                return Err(LoadError::NoBeginning(number));
            };
            let mut operation = Operation::queued(spec.clone());
            for entry in entries {
                operation.apply(entry).map_err(LoadError::Illegal)?;
            }
            if operation.is_ended() {
                parts.extend(operation.as_part());
            } else {
                queue.enter(operation);
            }
        }
        for part in parts.into_iter().chain(ended_parts) {
            if let Some(parent) = queue.operations.get_mut(&part.parent)
                && parent.parts.iter().all(|other| other.number != part.number)
            {
                parent.parts.push(part);
            }
        }
        let mut output = Output::default();
        let numbers: Vec<OperationId> = queue.operations.keys().copied().collect();
        for number in numbers {
            output.append(queue.resume(number, now));
        }
        Ok((queue, output))
    }

    /// Sets the limits of a hypervisor. What runs already is not stopped; what may go on now does
    /// with the next [`Queue::tick`].
    pub fn set_limits(&mut self, hypervisor: HypervisorUid, limits: Limits) {
        self.slots.set_limits(hypervisor, limits);
    }

    #[must_use]
    pub fn get(&self, number: OperationId) -> Option<&Operation> {
        self.operations.get(&number)
    }

    /// All operations that have not ended, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }

    /// Operations of one lane in their order.
    pub fn lane(&self, target: NodeUid) -> impl Iterator<Item = &Operation> {
        self.lanes
            .get(&target)
            .into_iter()
            .flatten()
            .filter_map(|number| self.operations.get(number))
    }

    /// When [`Queue::tick`] has something to do. A time that is past: at once.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.slots.is_stale() {
            return Some(Timestamp::default());
        }
        self.timers.next()
    }

    /// Takes operations in, parts after their parents. Their numbers are the caller's: larger than
    /// all before.
    pub fn submit(&mut self, specs: Vec<Spec>, now: Timestamp) -> Output {
        let mut output = Output::default();
        for spec in specs {
            let number = spec.number;
            output
                .entries
                .push((number, Entry::Queued { spec: spec.clone() }));
            self.enter(Operation::queued(spec));
        }
        output.append(self.schedule(now));
        output
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// When the operation is not in a state in which this can happen. Nothing has changed then.
    pub fn handle(
        &mut self,
        number: OperationId,
        event: Event,
        now: Timestamp,
    ) -> Result<Output, Illegal> {
        let Some(operation) = self.operations.get(&number) else {
            return Err(Illegal {
                operation: number,
                entry: "any".to_owned(),
                phase: "ended".to_owned(),
            });
        };
        if !expects(operation, &event) {
            return Err(operation.illegal(event.name()));
        }
        let limits = self.slots.limits(operation.spec.hypervisor);
        let polled = matches!(event, Event::Polled(_));
        let entries = decide(operation, &event, now, &limits);
        let mut output = self.take(number, entries)?;
        if let Event::Polled(end) = &event {
            self.note_poll(number, end);
        }
        self.follow(number, now, &mut output);
        if polled {
            self.poll_again(number, now);
        }
        output.append(self.schedule(now));
        Ok(output)
    }

    /// What a poll found is evidence that is not journalled: the next poll finds it again.
    fn note_poll(&mut self, number: OperationId, end: &PollEnd) {
        let Some(operation) = self.operations.get_mut(&number) else {
            return;
        };
        let Phase::Waiting { cursor, polls, .. } = &mut operation.phase else {
            return;
        };
        match end {
            PollEnd::Running { cursor: next } => {
                cursor.clone_from(next);
                *polls = polls.saturating_add(1);
                operation.obstacle = None;
            }
            PollEnd::Failed(problem) => {
                *polls = polls.saturating_add(1);
                operation.obstacle = Some(problem.clone());
            }
            PollEnd::Ended(_) | PollEnd::Lost => {}
        }
    }

    /// Sets the time of the next poll. Only after the one before it was answered: with two under
    /// way, the later answer could be taken for that of the task which comes next.
    fn poll_again(&mut self, number: OperationId, now: Timestamp) {
        if let Some(operation) = self.operations.get(&number)
            && let Phase::Waiting { polls, .. } = &operation.phase
        {
            let delay = Backoff::POLL.delay_ms(number, polls.saturating_sub(1));
            self.timers.set(number, now.plus_ms(delay));
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp) -> Output {
        let mut output = Output::default();
        let mut polls: BTreeMap<Option<HypervisorUid>, Vec<OperationId>> = BTreeMap::new();
        let mut early = Vec::new();
        for number in self.timers.take_due(now.plus_ms(POLL_TOGETHER_MS)) {
            let Some(operation) = self.operations.get(&number) else {
                continue;
            };
            match &operation.phase {
                Phase::Waiting { .. } => polls
                    .entry(operation.spec.hypervisor)
                    .or_default()
                    .push(number),
                Phase::Postponed { until, .. } if *until > now => early.push((number, *until)),
                Phase::Postponed { then, .. } => {
                    let then = *then;
                    output.append(self.go_on(number, then, now));
                }
                Phase::Pending
                | Phase::Starting
                | Phase::Between
                | Phase::Calling
                | Phase::Settling
                | Phase::InDoubt { .. }
                | Phase::Ended { .. } => {}
            }
        }
        for (number, until) in early {
            self.timers.set(number, until);
        }
        for (hypervisor, numbers) in polls {
            let Some(hypervisor) = hypervisor else {
                continue;
            };
            for batch in numbers.chunks(POLL_BATCH) {
                output.commands.push(Command::Poll {
                    hypervisor,
                    operations: batch.to_vec(),
                });
            }
        }
        output.append(self.schedule(now));
        output
    }

    fn enter(&mut self, operation: Operation) {
        let number = operation.number();
        if operation.spec.children.is_empty() {
            self.lanes
                .entry(operation.spec.target)
                .or_default()
                .push_back(number);
        }
        self.operations.insert(number, operation);
        self.count(number);
    }

    /// Keeps the slots true to an operation.
    fn count(&mut self, number: OperationId) {
        let Some(operation) = self.operations.get(&number) else {
            return;
        };
        let lane = self.lanes.get(&operation.spec.target);
        let is_first = lane.and_then(VecDeque::front) == Some(&number);
        self.slots.update(operation, is_first);
    }

    /// Applies entries to an operation and hands them out.
    fn take(&mut self, number: OperationId, entries: Vec<Entry>) -> Result<Output, Illegal> {
        if entries.is_empty() {
            return Ok(Output::default());
        }
        let Some(operation) = self.operations.get_mut(&number) else {
            return Ok(Output::default());
        };
        // All or nothing: a copy takes them first.
        let mut after = operation.clone();
        for entry in &entries {
            after.apply(entry)?;
        }
        *operation = after;
        self.count(number);
        Ok(Output {
            entries: entries.into_iter().map(|entry| (number, entry)).collect(),
            ..Output::default()
        })
    }

    /// What the new state asks for.
    fn follow(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        let Some(operation) = self.operations.get(&number) else {
            return;
        };
        let last = output
            .entries
            .iter()
            .rev()
            .find(|(of, _)| *of == number)
            .map(|(_, entry)| entry);
        let starts_now = matches!(last, Some(Entry::Started));
        let calls_now = matches!(last, Some(Entry::Called { .. }));
        let settles_now = matches!(last, Some(Entry::Settling { .. }));
        match &operation.phase {
            Phase::Starting if starts_now => {
                output.commands.push(Command::Prepare { operation: number });
            }
            Phase::Calling if calls_now => {
                output.commands.push(Command::Call { operation: number })
            }
            Phase::Settling if settles_now => {
                output.commands.push(Command::Settle { operation: number });
            }
            Phase::Waiting { .. } => {
                if let Some(Entry::Waiting { first_poll, .. }) = last {
                    self.timers.set(number, *first_poll);
                }
            }
            Phase::Postponed { until, .. } => self.timers.set(number, *until),
            Phase::Ended { .. } => self.leave(number, now, output),
            Phase::Pending
            | Phase::Starting
            | Phase::Between
            | Phase::Calling
            | Phase::Settling
            | Phase::InDoubt { .. } => self.timers.clear(number),
        }
    }

    /// An ended operation leaves; its parent may end with it.
    fn leave(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        self.timers.clear(number);
        output.commands.push(Command::Finish { operation: number });
        self.slots.remove(number);
        let Some(operation) = self.operations.remove(&number) else {
            return;
        };
        let target = operation.spec.target;
        let mut next = None;
        if let Some(lane) = self.lanes.get_mut(&target) {
            lane.retain(|other| *other != number);
            next = lane.front().copied();
        }
        match next {
            Some(next) => self.count(next),
            None => {
                self.lanes.remove(&target);
            }
        }
        let part = operation.as_part();
        output.ended.push(operation);
        let Some(part) = part else {
            return;
        };
        let parent = part.parent;
        let Some(parent_operation) = self.operations.get_mut(&parent) else {
            return;
        };
        parent_operation.parts.push(part);
        if self.parts_are_over(parent) {
            output.append(self.end_parent(parent, now));
        }
    }

    fn parts_are_over(&self, parent: OperationId) -> bool {
        self.operations.get(&parent).is_some_and(|operation| {
            operation
                .spec
                .children
                .iter()
                .all(|child| !self.operations.contains_key(child))
        })
    }

    fn end_parent(&mut self, parent: OperationId, now: Timestamp) -> Output {
        let Some(operation) = self.operations.get(&parent) else {
            return Output::default();
        };
        let (state, problem) = operation.end_of_parts();
        let mut output = self
            .take(parent, vec![Entry::Ended { state, problem }])
            .unwrap_or_default();
        self.follow(parent, now, &mut output);
        output
    }

    /// Continues a postponed operation.
    fn go_on(&mut self, number: OperationId, then: Then, now: Timestamp) -> Output {
        let Some(operation) = self.operations.get(&number) else {
            return Output::default();
        };
        let entry = match then {
            Then::Prepare => Entry::Started,
            Then::Call => Entry::Called {
                attempt: operation.state.attempt + 1,
            },
            Then::Settle => Entry::Settling {
                reason: "asked again".to_owned(),
            },
        };
        let mut output = self.take(number, vec![entry]).unwrap_or_default();
        self.follow(number, now, &mut output);
        output
    }

    /// After a restart.
    fn resume(&mut self, number: OperationId, now: Timestamp) -> Output {
        let Some(operation) = self.operations.get(&number) else {
            return Output::default();
        };
        let mut output = Output::default();
        match &operation.phase {
            Phase::Pending if !operation.spec.children.is_empty() => {
                if self.parts_are_over(number) {
                    output.append(self.end_parent(number, now));
                }
            }
            Phase::Starting => output.commands.push(Command::Prepare { operation: number }),
            Phase::Calling => {
                let entry = match &operation.state.once {
                    Once::Sending { .. } => Entry::Settling {
                        reason: "the host ended before the answer".to_owned(),
                    },
                    Once::None | Once::Answered { .. } => Entry::Called {
                        attempt: operation.state.attempt + 1,
                    },
                };
                output.append(self.take(number, vec![entry]).unwrap_or_default());
                self.follow(number, now, &mut output);
            }
            Phase::Settling => output.commands.push(Command::Settle { operation: number }),
            Phase::Waiting { .. } => self.timers.set(number, now),
            Phase::Postponed { until, .. } => self.timers.set(number, *until),
            Phase::Pending | Phase::Between | Phase::InDoubt { .. } | Phase::Ended { .. } => {}
        }
        output
    }

    /// Starts what may start: the first of each lane while its hypervisor has slots, and the next
    /// step of what is between two.
    fn schedule(&mut self, now: Timestamp) -> Output {
        let mut output = Output::default();
        while let Some(number) = self.slots.next() {
            let Some(operation) = self.operations.get(&number) else {
                self.slots.remove(number);
                continue;
            };
            let end = |state| Entry::Ended {
                state,
                problem: None,
            };
            let is_pending = operation.phase == Phase::Pending;
            // Ends are found here only after a journal was cut inside of a commit.
            let entry = if operation.cancel.is_some() {
                end(Final::Cancelled)
            } else if is_pending {
                Entry::Started
            } else if operation.current_step().is_some() {
                Entry::Called { attempt: 1 }
            } else {
                end(Final::Succeeded)
            };
            match self.take(number, vec![entry]) {
                Ok(mut taken) => {
                    self.follow(number, now, &mut taken);
                    output.append(taken);
                }
                // It cannot be: each of them fits. Never again is better than for ever.
                Err(_) => self.slots.remove(number),
            }
        }
        output
    }

    /// Whether nothing is left behind.
    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.operations.is_empty()
            && self.lanes.is_empty()
            && self.timers.next().is_none()
            && self.slots.is_empty()
    }
}
