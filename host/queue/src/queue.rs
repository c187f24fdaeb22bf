//! Which operation goes on, and with what.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{HypervisorUid, NodeUid, OperationId, Timestamp};

use crate::breaker::{Breakers, contact};
use crate::command::{Command, Event, Output, PollEnd};
use crate::decide::{decide, expects};
use crate::entry::{Entry, Final};
use crate::lanes::{Lanes, behind, place};
use crate::operation::{Illegal, Operation, Phase, Then};
use crate::polls::Polls;
use crate::slots::Slots;
use crate::spec::Spec;
use crate::timers::Timers;
use crate::waves::Waves;

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
    /// Each in a box: half of a tree's places are empty.
    pub(crate) operations: BTreeMap<OperationId, Box<Operation>>,
    pub(crate) lanes: Lanes,
    pub(crate) slots: Slots,
    /// Those that are postponed.
    pub(crate) timers: Timers,
    /// Those that wait for a task.
    pub(crate) polls: Polls,
    pub(crate) breakers: Breakers,
    /// What is due at hypervisors that are lost.
    pub(crate) parked: BTreeSet<(HypervisorUid, OperationId)>,
    /// Operation -> those that wait for its end.
    pub(crate) dependents: BTreeMap<OperationId, BTreeSet<OperationId>>,
    pub(crate) waves: Waves,
}

impl Queue {
    #[must_use]
    pub fn new(default_limits: Limits) -> Self {
        Self {
            slots: Slots::new(default_limits),
            ..Self::default()
        }
    }

    /// Sets the limits of a hypervisor. What runs already is not stopped; what may go on now does
    /// with the next [`Queue::tick`].
    pub fn set_limits(&mut self, hypervisor: HypervisorUid, limits: Limits) {
        self.slots.set_limits(hypervisor, limits);
    }

    #[must_use]
    pub fn get(&self, number: OperationId) -> Option<&Operation> {
        self.operations.get(&number).map(AsRef::as_ref)
    }

    /// All operations that have not ended, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().map(AsRef::as_ref)
    }

    /// Operations of one lane in their order.
    pub fn lane(&self, target: NodeUid) -> impl Iterator<Item = &Operation> {
        let numbers = self.lanes.iter(target);
        numbers.filter_map(|number| self.get(number))
    }

    pub(crate) fn first_of(&self, target: NodeUid) -> Option<OperationId> {
        self.lanes.first(target)
    }

    /// When [`Queue::tick`] has something to do. A time that is past: at once.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.slots.is_stale() {
            return Some(Timestamp::default());
        }
        let due = [self.timers.next(), self.polls.next(), self.breakers.next()];
        due.into_iter().flatten().min()
    }

    /// Takes operations in, parts after their parents. Their numbers are the caller's: larger than
    /// all before.
    pub fn submit(&mut self, specs: Vec<Spec>, now: Timestamp) -> Output {
        let mut output = Output::default();
        for spec in specs {
            let number = spec.number;
            let Spec {
                overtakes,
                ref supersedes,
                ..
            } = spec;
            let superseded = supersedes.clone();
            output
                .entries
                .push((number, Entry::Queued { spec: spec.clone() }));
            let last = self.lanes.last_rank(spec.target);
            self.enter(Operation::queued(spec));
            for older in superseded {
                self.supersede(older, now, &mut output);
            }
            self.go_behind(number, last, &mut output);
            self.note_ended_before(number, &mut output);
            if overtakes {
                self.overtake(number, now, &mut output);
            }
        }
        output.append(self.schedule(now));
        output
    }

    /// The lane may end with one that was moved behind newer ones.
    fn go_behind(&mut self, number: OperationId, last: Option<u64>, output: &mut Output) {
        let Some(operation) = self.operations.get(&number) else {
            return;
        };
        let is_part_or_single = operation.spec.children.is_empty();
        if let Some(last) = last.filter(|last| is_part_or_single && *last >= operation.rank) {
            let entry = Entry::Ranked {
                rank: behind(last),
                who: operation.spec.who.clone(),
            };
            output.append(self.take(number, vec![entry]).unwrap_or_default());
        }
    }

    /// What it waits for may have ended in the moment before.
    fn note_ended_before(&mut self, number: OperationId, output: &mut Output) {
        let Some(operation) = self.operations.get(&number) else {
            return;
        };
        let over: Vec<OperationId> = operation
            .waits_for()
            .filter(|before| !self.operations.contains_key(before))
            .collect();
        for before in &over {
            self.dependents.remove(before);
        }
        let over = over.into_iter().map(|by| Entry::Freed { by }).collect();
        output.append(self.take(number, over).unwrap_or_default());
    }

    fn supersede(&mut self, older: OperationId, now: Timestamp, output: &mut Output) {
        let waits = self
            .operations
            .get(&older)
            .is_some_and(|older| older.phase == Phase::Pending && older.spec.children.is_empty());
        if waits {
            let superseded = Entry::Ended {
                state: Final::Superseded,
                problem: None,
            };
            self.end_with(older, superseded, now, output);
        }
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
        let hypervisor = operation.spec.hypervisor;
        let limits = self.slots.limits(hypervisor);
        let polled = matches!(event, Event::Polled(_));
        let entries = decide(operation, &event, now, &limits);
        let mut output = self.take(number, entries)?;
        if let (Some(hypervisor), Some(contact)) = (hypervisor, contact(&event)) {
            self.note_contact(hypervisor, contact, now, &mut output);
        }
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
                operation.obstacle = Some(Box::new(problem.clone()));
            }
            PollEnd::Ended(_) | PollEnd::Lost => {}
        }
    }

    /// Sets the time of the next poll. Only after the one before it was answered: with two under
    /// way, the later answer could be taken for that of the task which comes next.
    fn poll_again(&mut self, number: OperationId, now: Timestamp) {
        if let Some(operation) = self.operations.get(&number)
            && let Phase::Waiting { polls, .. } = &operation.phase
            && let Some(hypervisor) = operation.spec.hypervisor
        {
            self.polls.set_next(number, hypervisor, *polls, now);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp) -> Output {
        let mut output = Output::default();
        for hypervisor in self.breakers.take_due(now) {
            output.commands.push(Command::Probe { hypervisor });
        }
        for (hypervisor, operations) in self.polls.take_due(now) {
            output.commands.push(Command::Poll {
                hypervisor,
                operations,
            });
        }
        for number in self.timers.take_due(now) {
            let Some(operation) = self.operations.get(&number) else {
                continue;
            };
            if operation.phase == Phase::WaitingApproval {
                self.expire(number, now, &mut output);
                continue;
            }
            if operation.held_until.is_some() {
                self.let_go(number, now, &mut output);
                continue;
            }
            let Phase::Postponed { then, .. } = operation.phase else {
                continue;
            };
            match operation.spec.hypervisor {
                Some(hypervisor) if self.breakers.lost(hypervisor).is_some() => {
                    self.parked.insert((hypervisor, number));
                }
                _ => output.append(self.go_on(number, then, now)),
            }
        }
        output.append(self.schedule(now));
        output
    }

    pub(crate) fn enter(&mut self, operation: Operation) {
        let number = operation.number();
        for before in operation.waits_for() {
            self.dependents.entry(before).or_default().insert(number);
        }
        if let Some(parent) = operation.spec.parent
            && let Some(whole) = self.operations.get(&parent)
            && whole.spec.stop_after.is_some()
            // What takes back goes one after the other, and no failure stops it.
            && !whole.is_undo(number)
        {
            self.waves.insert(parent, &operation);
        }
        let first_before = self.lanes.first(operation.spec.target);
        if operation.spec.children.is_empty() {
            self.lanes.insert(&operation);
        }
        self.operations.insert(number, Box::new(operation));
        for number in [Some(number), first_before].into_iter().flatten() {
            self.count(number);
        }
    }

    /// Keeps the slots true to an operation.
    fn count(&mut self, number: OperationId) {
        let Some(operation) = self.operations.get(&number) else {
            return;
        };
        let is_first = self.lanes.first(operation.spec.target) == Some(number);
        self.slots.update(operation, is_first);
    }

    /// Applies entries to an operation and hands them out.
    pub(crate) fn take(
        &mut self,
        number: OperationId,
        entries: Vec<Entry>,
    ) -> Result<Output, Illegal> {
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
        let has_moved = place(&after) != place(operation);
        if has_moved {
            let target = operation.spec.target;
            let first = self.lanes.first(target);
            self.lanes.remove(operation);
            self.lanes.insert(&after);
            *operation = after;
            for other in first.into_iter().chain(self.lanes.first(target)) {
                self.count(other);
            }
        } else {
            *operation = after;
        }
        self.count(number);
        Ok(Output {
            entries: entries.into_iter().map(|entry| (number, entry)).collect(),
            ..Output::default()
        })
    }

    /// Takes an end that was not asked for by an event of the operation itself.
    pub(crate) fn end_with(
        &mut self,
        number: OperationId,
        end: Entry,
        now: Timestamp,
        output: &mut Output,
    ) {
        let mut taken = self.take(number, vec![end]).unwrap_or_default();
        self.follow(number, now, &mut taken);
        output.append(taken);
    }

    /// What the new state asks for.
    pub(crate) fn follow(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
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
        // It waits for what its phase waits for, and for nothing before.
        if !matches!(operation.phase, Phase::Waiting { .. }) {
            self.polls.clear(number);
        }
        if operation.held_until.is_none()
            && !matches!(
                operation.phase,
                Phase::Postponed { .. } | Phase::WaitingApproval
            )
        {
            self.timers.clear(number);
        }
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
                if let Some(Entry::Waiting { first_poll, .. }) = last
                    && let Some(hypervisor) = operation.spec.hypervisor
                {
                    self.polls.set(number, hypervisor, *first_poll);
                }
                self.leave_to_itself(number, now, output);
            }
            Phase::Postponed { until, .. } => {
                self.timers.set(number, *until);
                self.leave_to_itself(number, now, output);
            }
            Phase::WaitingApproval => self.set_expiry(number),
            Phase::Ended { .. } => self.leave(number, now, output),
            Phase::Pending => {
                if let Some(until) = operation.held_until {
                    self.timers.set(number, until);
                }
            }
            Phase::Starting
            | Phase::Between
            | Phase::Calling
            | Phase::Settling
            | Phase::InDoubt { .. } => {}
        }
    }

    /// It waits for no time any more.
    pub(crate) fn clear_due(&mut self, number: OperationId) {
        self.timers.clear(number);
        self.polls.clear(number);
    }

    /// Takes an operation that has ended out of everything but the story of the others.
    pub(crate) fn remove(&mut self, number: OperationId) -> Option<Operation> {
        self.clear_due(number);
        self.slots.remove(number);
        let operation = self.operations.remove(&number)?;
        if let Some(hypervisor) = operation.spec.hypervisor {
            self.parked.remove(&(hypervisor, number));
        }
        self.waves.remove(&operation);
        self.lanes.remove(&operation);
        if let Some(next) = self.lanes.first(operation.spec.target) {
            self.count(next);
        }
        Some(*operation)
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

    /// Starts what may start: the first of each lane while its hypervisor has slots, and the next
    /// step of what is between two.
    pub(crate) fn schedule(&mut self, now: Timestamp) -> Output {
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
            let shortfall = operation.shortfall.as_deref().cloned();
            let is_pending = operation.phase == Phase::Pending;
            // Ends are found here only after a journal was cut inside of a commit.
            let entry = if operation.cancel.is_some() {
                end(Final::Cancelled)
            } else if is_pending {
                Entry::Started
            } else if operation.current_step().is_some() {
                Entry::Called { attempt: 1 }
            } else {
                crate::decide::end(shortfall)
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
            && self.dependents.is_empty()
            && self.waves.is_empty()
            && self.parked.is_empty()
            && self.timers.next().is_none()
            && self.polls.is_empty()
            && self.slots.is_empty()
    }
}
