//! What holds of all that the queue asks for.

use enginehouse_queue::{Command, Entry, Operation, Output, Phase};

use crate::memory::Memory;
use crate::orders::params_of;
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

fn is_automatic(operation: &Operation) -> bool {
    params_of(&operation.spec).automatic
}

/// Whether nothing but a slot keeps it from beginning.
fn waits_for_a_slot(memory: &Memory, operation: &Operation) -> bool {
    let mut lane = memory.queue.lane(operation.spec.target);
    let first = lane.next().map(Operation::number);
    operation.phase == Phase::Pending
        && operation.spec.children.is_empty()
        && !operation.is_blocked()
        && first == Some(operation.number())
}

impl Simulation {
    /// What holds of each output of the queue.
    pub(crate) fn check_output(&self, output: &Output) -> Result<(), Violation> {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        for (number, entry) in &output.entries {
            if *entry == Entry::Started
                && let Some(operation) = memory.queue.get(*number)
            {
                self.check_people_first(memory, operation)?;
            }
        }
        for command in &output.commands {
            self.check_reachable(memory, output, command)?;
        }
        Ok(())
    }

    /// People before automatic: where the host begins something by itself, no person waits.
    fn check_people_first(&self, memory: &Memory, operation: &Operation) -> Result<(), Violation> {
        let place = operation.spec.hypervisor;
        // One that tries again has kept its slot.
        let tries_again = self.outside.ledger.begun.contains(&operation.number());
        let begins = matches!(operation.phase, Phase::Starting) && !tries_again;
        if !begins || place.is_none() || !is_automatic(operation) {
            return Ok(());
        }
        let mut others = memory.queue.iter();
        let waiting = others.find(|other| {
            other.spec.hypervisor == place
                && waits_for_a_slot(memory, other)
                && !is_automatic(other)
        });
        holds(waiting.is_none(), Rule::People, || {
            let waiting = waiting.map(Operation::number);
            format!(
                "{} began by itself while {waiting:?} waits",
                operation.number()
            )
        })
    }

    /// While a hypervisor is lost it is asked whether it is back, and nothing else is begun; what
    /// was under way goes on until it notices.
    fn check_reachable(
        &self,
        memory: &Memory,
        output: &Output,
        command: &Command,
    ) -> Result<(), Violation> {
        let (number, place) = match command {
            Command::Prepare { operation } | Command::Call { operation } => {
                let found = memory.queue.get(*operation);
                let place = found.and_then(|found| found.spec.hypervisor);
                (Some(*operation), place)
            }
            Command::Poll { hypervisor, .. } => (None, Some(*hypervisor)),
            Command::Settle { .. }
            | Command::RollBack { .. }
            | Command::Probe { .. }
            | Command::Finish { .. } => return Ok(()),
        };
        // A person who decides about one does not wait either.
        let judged = number.is_some_and(|number| self.outside.ledger.judged.contains(&number));
        let entries = output.entries.iter();
        let goes_on = entries.filter(|(of, _)| Some(*of) == number).count() > 1;
        let lost = place.is_some_and(|place| memory.queue.lost(place).is_some());
        holds(judged || goes_on || !lost, Rule::Breaker, || {
            format!("{command:?} at a hypervisor that is lost")
        })
    }
}
