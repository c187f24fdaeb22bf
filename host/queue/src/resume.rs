//! The queue again from its journal, and how everything goes on.

use enginehouse_model::{OperationId, Timestamp};
use thiserror::Error;

use crate::backoff::Backoff;
use crate::command::{Command, Output};
use crate::endings::after_end;
use crate::entry::Entry;
use crate::operation::{EndedPart, Illegal, Once, Operation, Phase};
use crate::queue::{Limits, Queue};

/// A journal that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    #[error("operation {0} has no first entry")]
    NoBeginning(OperationId),
    #[error("the journal does not add up")]
    Illegal(#[source] Illegal),
}

impl Queue {
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
        parts.extend(ended_parts);
        let mut output = Output::default();
        queue.free_after_restart(&parts, now, &mut output);
        for part in parts {
            if let Some(parent) = queue.operations.get_mut(&part.parent)
                && parent.parts.iter().all(|other| other.number != part.number)
            {
                parent.parts.push(part);
            }
        }
        // A wave begins in the commit in which the one before ends, unless a journal was cut in it.
        for parent in queue.waves.parents() {
            queue.advance_waves(parent, now, &mut output);
        }
        let numbers: Vec<OperationId> = queue.operations.keys().copied().collect();
        for number in numbers {
            output.append(queue.resume(number, now));
        }
        Ok((queue, output))
    }

    /// What waits for an operation that is not in the queue any more. Its end and what that means
    /// for others are one commit: there is something to do only where a journal was cut in it.
    fn free_after_restart(&mut self, ended: &[EndedPart], now: Timestamp, output: &mut Output) {
        let gone: Vec<(OperationId, OperationId)> = self
            .dependents
            .iter()
            .filter(|(before, _)| !self.operations.contains_key(before))
            .flat_map(|(before, waiting)| waiting.iter().map(|number| (*before, *number)))
            .collect();
        for (by, number) in gone {
            self.dependents.remove(&by);
            let how = ended.iter().find(|part| part.number == by);
            let Some(operation) = self.operations.get(&number) else {
                continue;
            };
            let mut after = operation.spec.after.iter();
            let however_it_ends = after.any(|after| after.number == by && after.however_it_ends);
            let entry = match how {
                None => Entry::Freed { by },
                Some(part) => after_end(
                    by,
                    &part.target,
                    part.state,
                    part.problem.is_none(),
                    however_it_ends,
                ),
            };
            self.end_with(number, entry, now, output);
        }
    }

    /// After the database was restored from a backup, and somebody says that it may go on. What had
    /// begun by then may have gone on after the backup, to an end that is not known here: neither its
    /// plan nor its requests say any more what is the case. All of it begins again by looking. What is
    /// in doubt stays so.
    pub fn begin_anew(&mut self, who: &str, now: Timestamp) -> Output {
        let mut output = Output::default();
        let numbers: Vec<OperationId> = self.operations.keys().copied().collect();
        for number in numbers {
            let Some(operation) = self.operations.get(&number) else {
                continue;
            };
            match &operation.phase {
                // What is asked for when the last part has ended is asked for again.
                Phase::Pending => output.append(self.parts_ended(number, now)),
                Phase::WaitingApproval | Phase::InDoubt { .. } | Phase::Ended { .. } => {}
                Phase::Starting
                | Phase::Between
                | Phase::Calling
                | Phase::Settling
                | Phase::Waiting { .. }
                | Phase::Postponed { .. } => {
                    let hypervisor = operation.spec.hypervisor;
                    let entry = Entry::BegunAnew {
                        who: who.to_owned(),
                    };
                    output.append(self.take(number, vec![entry]).unwrap_or_default());
                    self.clear_due(number);
                    if let Some(hypervisor) = hypervisor {
                        self.parked.remove(&(hypervisor, number));
                    }
                    output.commands.push(Command::Prepare { operation: number });
                }
            }
        }
        output.append(self.schedule(now));
        output
    }

    fn resume(&mut self, number: OperationId, now: Timestamp) -> Output {
        let Some(operation) = self.operations.get(&number) else {
            return Output::default();
        };
        let mut output = Output::default();
        match &operation.phase {
            Phase::Pending if !operation.spec.children.is_empty() => {
                output.append(self.parts_ended(number, now));
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
            Phase::Waiting { .. } => {
                if let Some(hypervisor) = operation.spec.hypervisor {
                    self.polls.set(number, hypervisor, now);
                }
            }
            Phase::Postponed { until, .. } => {
                // A clock that was ahead when it was written does not delay it for long.
                let latest = now.plus_ms(Backoff::RETRY.most_ms);
                self.timers.set(number, (*until).min(latest));
            }
            Phase::WaitingApproval => self.set_expiry(number),
            Phase::Pending if operation.held_until.is_some() => self.set_release(number, now),
            Phase::Pending | Phase::Between | Phase::InDoubt { .. } | Phase::Ended { .. } => {}
        }
        output
    }
}
