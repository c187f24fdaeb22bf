//! What the end of an operation means for others: its lane, its parent, those that wait for it.

use enginehouse_model::documents::{Code, Problem};
use enginehouse_model::{FullName, OperationId, Timestamp};

use crate::command::{Command, Event, Output};
use crate::decide::decide;
use crate::entry::{Entry, Final};
use crate::operation::{EndedPart, Operation, Phase};
use crate::parts::end_of_parts;
use crate::position::superseded;
use crate::queue::{Limits, Queue};
use crate::spec::{OnFailure, Spec};

/// Who cancels what is left of an operation that is rolled back.
const ROLLBACK: &str = "rollback";

impl Queue {
    /// Puts the parts that take back what others of `parent` did into the queue; an answer to
    /// [`Command::RollBack`]. None of them: there was nothing to take back.
    pub fn roll_back(&mut self, parent: OperationId, specs: Vec<Spec>, now: Timestamp) -> Output {
        let parts = specs.iter().map(|spec| spec.number).collect();
        let entry = Entry::RollingBack { parts };
        let Ok(mut output) = self.take(parent, vec![entry]) else {
            return Output::default();
        };
        output.append(self.submit(specs, now));
        output.append(self.parts_ended(parent, now));
        output.append(self.schedule(now));
        output
    }

    /// An operation that has ended leaves.
    pub(crate) fn leave(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        // A chain of ten thousand that wait for each other falls without a stack of that depth.
        let mut leaving = vec![number];
        while let Some(number) = leaving.pop() {
            let Some(operation) = self.remove(number) else {
                continue;
            };
            output.commands.push(Command::Finish { operation: number });
            let part = operation.as_part();
            let dependents = self.dependents.remove(&number).unwrap_or_default();
            for waiting in operation.waits_for() {
                if let Some(others) = self.dependents.get_mut(&waiting) {
                    others.remove(&number);
                    if others.is_empty() {
                        self.dependents.remove(&waiting);
                    }
                }
            }
            for dependent in dependents {
                if let Some(entry) = self.freed_by(dependent, &operation) {
                    let ends = matches!(entry, Entry::Ended { .. });
                    output.append(self.take(dependent, vec![entry]).unwrap_or_default());
                    if ends {
                        leaving.push(dependent);
                    } else if let Some(left) = self.overtaken_by(dependent) {
                        output.append(self.take(left, vec![superseded()]).unwrap_or_default());
                        leaving.push(left);
                    }
                }
            }
            output.ended.push(operation);
            if let Some(part) = part {
                self.part_ended(part, now, output);
            }
        }
    }

    /// The operation that `number`, which may begin now, does not wait for any longer.
    fn overtaken_by(&self, number: OperationId) -> Option<OperationId> {
        let target = self.operations.get(&number)?.spec.target;
        self.first_of(target)
            .filter(|first| *first != number && self.is_overtaken(*first))
    }

    /// What the end of `before` means for one that waits for it.
    fn freed_by(&self, number: OperationId, before: &Operation) -> Option<Entry> {
        let by = before.number();
        let operation = self.operations.get(&number)?;
        let after = operation
            .spec
            .after
            .iter()
            .find(|after| after.number == by)?;
        let Phase::Ended { state, problem } = &before.phase else {
            return None;
        };
        let target = &before.spec.target_name;
        let was_done = problem.is_none();
        Some(after_end(
            by,
            target,
            *state,
            was_done,
            after.however_it_ends,
        ))
    }

    fn part_ended(&mut self, part: EndedPart, now: Timestamp, output: &mut Output) {
        let number = part.parent;
        let failed = part.has_failed();
        let Some(parent) = self.operations.get_mut(&number) else {
            return;
        };
        parent.parts.push(part);
        let rolls_back =
            failed && parent.undo.is_none() && parent.spec.on_failure == OnFailure::Rollback;
        if rolls_back {
            // The rest would only have to be taken back.
            let rest: Vec<OperationId> = parent.spec.children.clone();
            for sibling in rest {
                self.cancel_for_rollback(sibling, now, output);
            }
        }
        self.advance_waves(number, now, output);
        // Parts that ended with this one may have asked for it already.
        let mut then = self.parts_ended(number, now);
        then.commands
            .retain(|command| !output.commands.contains(command));
        output.append(then);
    }

    fn cancel_for_rollback(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        let Some(operation) = self.operations.get(&number) else {
            return;
        };
        // A person has to say what became of one that is in doubt.
        if operation.cancel.is_some() || matches!(operation.phase, Phase::InDoubt { .. }) {
            return;
        }
        let who = ROLLBACK.to_owned();
        let entries = decide(operation, &Event::Cancel { who }, now, &Limits::default());
        let mut taken = self.take(number, entries).unwrap_or_default();
        self.follow(number, now, &mut taken);
        output.append(taken);
    }

    /// The parent ends, or takes back, if all its parts are over.
    pub(crate) fn parts_ended(&mut self, number: OperationId, now: Timestamp) -> Output {
        let mut output = Output::default();
        let Some(parent) = self.operations.get(&number) else {
            return output;
        };
        if parent.spec.children.is_empty()
            || parent
                .all_parts()
                .any(|part| self.operations.contains_key(&part))
        {
            return output;
        }
        if parent.rolls_back() {
            output
                .commands
                .push(Command::RollBack { operation: number });
            return output;
        }
        let (state, problem) = end_of_parts(parent);
        self.end_with(number, Entry::Ended { state, problem }, now, &mut output);
        output
    }
}

/// What the end of operation `by` means for one that waits for it; `was_done`: of one that was superseded,
/// that a newer one does it.
pub(crate) fn after_end(
    by: OperationId,
    target: &FullName,
    state: Final,
    was_done: bool,
    however_it_ends: bool,
) -> Entry {
    let (state, how) = match state {
        Final::Succeeded => return Entry::Freed { by },
        Final::Superseded if was_done => return Entry::Freed { by },
        Final::Failed | Final::Cancelled | Final::Superseded if however_it_ends => {
            return Entry::Freed { by };
        }
        Final::Failed => (state, "failed"),
        Final::Superseded => (Final::Failed, "was given up"),
        Final::Cancelled => (state, "was cancelled"),
    };
    let message =
        format!("not begun: operation {by} on {target} has to come before it, and it {how}");
    Entry::Ended {
        state,
        problem: Some(Problem::new(Code::Conflict, message)),
    }
}
