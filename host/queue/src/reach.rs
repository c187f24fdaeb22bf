//! What it means for operations that their hypervisor does not answer, or does again.

use enginehouse_model::documents::{Code, Problem};
use enginehouse_model::{HypervisorUid, OperationId, Timestamp};

use crate::breaker::Lost;
use crate::command::Output;
use crate::operation::{Phase, Then};
use crate::queue::Queue;

impl Queue {
    /// A hypervisor that does not answer: its operations wait until it does.
    #[must_use]
    pub fn lost(&self, hypervisor: HypervisorUid) -> Option<&Lost> {
        self.breakers.lost(hypervisor)
    }

    /// Lets nothing begin at a hypervisor, or lets it again; what has begun goes on. Kept in memory
    /// only: after a restart whoever held it says so again.
    pub fn brake(&mut self, hypervisor: HypervisorUid, held: bool, now: Timestamp) -> Output {
        self.slots.set_held(hypervisor, held);
        self.schedule(now)
    }

    /// Whether nothing begins there.
    #[must_use]
    pub fn is_braked(&self, hypervisor: HypervisorUid) -> bool {
        self.slots.is_braked(hypervisor)
    }

    pub(crate) fn note_contact(
        &mut self,
        hypervisor: HypervisorUid,
        contact: Result<(), &Problem>,
        now: Timestamp,
        output: &mut Output,
    ) {
        match contact {
            Ok(()) if self.breakers.answered(hypervisor) => self.found(hypervisor, now, output),
            Ok(()) => {}
            Err(problem) => {
                if self.breakers.failed(hypervisor, problem, now) {
                    self.set_lost(hypervisor, true);
                    output.turned.push((hypervisor, true));
                }
            }
        }
    }

    /// Told by who asked a hypervisor something that belongs to no operation: it counts as if one had.
    pub fn contact(
        &mut self,
        hypervisor: HypervisorUid,
        contact: Result<(), &Problem>,
        now: Timestamp,
    ) -> Output {
        let mut output = Output::default();
        self.note_contact(hypervisor, contact, now, &mut output);
        output.append(self.schedule(now));
        output
    }

    /// Takes a hypervisor for lost until a probe, which is due at once, says otherwise.
    pub fn suspect(&mut self, hypervisor: HypervisorUid, problem: &Problem, now: Timestamp) {
        if self.breakers.lost(hypervisor).is_none() {
            self.breakers.lose(hypervisor, problem, now, now);
            self.set_lost(hypervisor, true);
        }
    }

    fn set_lost(&mut self, hypervisor: HypervisorUid, lost: bool) {
        self.slots.set_lost(hypervisor, lost);
        self.polls.set_lost(hypervisor, lost);
    }

    /// What [`Command::Probe`](crate::Command::Probe) found; also told when somebody else reached the hypervisor.
    pub fn probed(
        &mut self,
        hypervisor: HypervisorUid,
        found: Result<(), Problem>,
        now: Timestamp,
    ) -> Output {
        let mut output = Output::default();
        match found {
            Ok(()) => self.note_contact(hypervisor, Ok(()), now, &mut output),
            Err(problem) => self.breakers.still_lost(hypervisor, problem, now),
        }
        output.append(self.schedule(now));
        output
    }

    /// Everything that was due meanwhile is due now.
    fn found(&mut self, hypervisor: HypervisorUid, now: Timestamp, output: &mut Output) {
        self.set_lost(hypervisor, false);
        output.turned.push((hypervisor, false));
        let parked: Vec<(HypervisorUid, OperationId)> = self
            .parked
            .iter()
            .filter(|(at, _)| *at == hypervisor)
            .copied()
            .collect();
        for one in parked {
            self.parked.remove(&one);
            self.timers.set(one.1, now);
        }
        // The back-off that its operations are in was for what is over now.
        let postponed: Vec<OperationId> = self
            .operations
            .values()
            .filter(|operation| operation.spec.hypervisor == Some(hypervisor))
            .filter(|operation| {
                let unreachable = operation
                    .obstacle
                    .as_ref()
                    .is_some_and(|problem| problem.code == Code::Unreachable);
                // A settlement waits for a time, not for the hypervisor.
                unreachable
                    && matches!(
                        &operation.phase,
                        Phase::Postponed {
                            then: Then::Prepare | Then::Call,
                            ..
                        }
                    )
            })
            .map(|operation| operation.number())
            .collect();
        for number in postponed {
            self.timers.set(number, now);
        }
    }
}
