//! A person looks at what is in doubt and at the hypervisor, and says what became of it.

use enginehouse_model::documents::PowerState;
use enginehouse_queue::{Once, Operation, Phase};
use enginehouse_reconcile::PlannedAction;

use crate::call::{digest, planned_of};
use crate::orders::{Kind, Order};
use crate::provider::LAG;
use crate::resolve::{Verdict, creates};
use crate::run::Simulation;
use crate::violation::{Rule, Violation};
use crate::work::WorldWork;

impl Simulation {
    /// A person looks at what is in doubt, and at the hypervisor.
    pub(super) fn look_around(&mut self) -> Result<(), Violation> {
        let operations: Vec<Operation> = match &self.memory {
            None => {
                self.later_outside(7_000, WorldWork::LookAround);
                return Ok(());
            }
            Some(memory) => memory.queue.iter().cloned().collect(),
        };
        let expected = !self.outside.world.is_empty() || !self.work.is_empty();
        let goes_on = !operations.is_empty() || expected;
        if goes_on {
            self.later_outside(7_000, WorldWork::LookAround);
        }
        for operation in operations {
            if let Phase::InDoubt { .. } = operation.phase {
                self.judge(&operation)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, operation: &Operation) -> Result<(), Violation> {
        let number = operation.number();
        let Once::Sending { sent, .. } = &operation.state.once else {
            return Err(Violation::new(
                Rule::Protocol,
                format!("{number} is in doubt about nothing"),
            ));
        };
        let busy = self.outside.providers.iter().any(|provider| {
            provider.works_for(number).is_some() || !provider.is_up(self.outside.now)
        });
        if self.now().0 < sent.deadline + LAG || busy {
            return Ok(());
        }
        let digest = digest(operation, &sent.path);
        let mut providers = self.outside.providers.iter();
        let happened = providers.any(|provider| {
            provider
                .effects
                .get(&digest)
                .is_some_and(|times| *times > 0)
        });
        let verdict = match creates(operation) {
            true => self.of_creation(operation, happened),
            false => self.of_change(operation, happened),
        };
        let taken = self.resolve(number, verdict)?;
        if taken && verdict == Verdict::Failed && creates(operation) && self.below(2) == 0 {
            // It is still wanted.
            let after = self.below(6_000);
            let deploy = Order::of(Kind::Deploy, operation.spec.target_name.clone());
            self.later_outside(after, WorldWork::Order(Box::new(deploy)));
        }
        Ok(())
    }

    /// Where our machine is there it is gone on with, mostly.
    fn of_creation(&mut self, operation: &Operation, happened: bool) -> Verdict {
        let machine = self.machine_of(operation);
        let is_there = machine.is_some_and(|(at, id)| self.shows_our_mark(operation, at, id));
        let done = match (machine, is_there) {
            (Some(_), true) => self.below(4) > 0,
            // People err, but not where they would have to clean up.
            (Some(_), false) => self.below(4) == 0 && self.out_of_sight(operation).is_empty(),
            // It would be refused.
            (None, _) => false,
        };
        if done {
            return Verdict::Done;
        }
        if !happened && self.below(3) > 0 {
            return Verdict::Retry;
        }
        self.clean_up(operation);
        Verdict::Failed
    }

    fn of_change(&mut self, operation: &Operation, happened: bool) -> Verdict {
        let machine = self.machine_of(operation);
        let planned = planned_of(operation);
        let took_effect = planned.is_some_and(|planned| self.is_so(&planned, machine));
        match happened {
            false if self.below(3) > 0 => Verdict::Retry,
            true if machine.is_some() && took_effect => Verdict::Done,
            false | true => Verdict::Failed,
        }
    }

    fn shows_our_mark(&self, operation: &Operation, at: usize, id: u64) -> bool {
        let memory = self.memory.as_ref();
        let record = memory.and_then(|memory| memory.record_of(operation.spec.target));
        let provider = self.outside.providers.get(at);
        let machine = provider.and_then(|provider| provider.read(id, self.outside.now));
        let ours = record.map(|record| record.mark.to_string());
        ours.is_some() && machine.and_then(|machine| machine.mark) == ours
    }

    /// The machine on record: its provider, and its id there.
    pub(crate) fn machine_of(&self, operation: &Operation) -> Option<(usize, u64)> {
        let memory = self.memory.as_ref()?;
        let record = memory.record_of(operation.spec.target)?;
        let id = record.identity.as_ref()?.machine_id.parse().ok()?;
        let mut providers = self.outside.providers.iter();
        let at = providers.position(|provider| provider.uid == record.hypervisor)?;
        Some((at, id))
    }

    /// Whether a machine is what an action was to make of it.
    fn is_so(&self, planned: &PlannedAction, machine: Option<(usize, u64)>) -> bool {
        let Some((at, id)) = machine else {
            return false;
        };
        let provider = self.outside.providers.get(at);
        let vm = provider.and_then(|provider| provider.vms.get(&id));
        match (planned.request.action.name(), vm) {
            ("destroy", vm) => vm.is_none(),
            (_, None) => false,
            ("start" | "restart", Some(vm)) => vm.power == PowerState::Running,
            ("stop", Some(vm)) => vm.power == PowerState::Stopped,
            _ => false,
        }
    }

    /// Whether a machine cannot be found again by who made it: another is on record, or none is and it does
    /// not carry its mark.
    fn is_out_of_sight(&self, operation: &Operation, at: usize, id: u64) -> bool {
        let provider = self.outside.providers.get(at);
        let vm = provider.and_then(|provider| provider.vms.get(&id));
        let made = vm.filter(|vm| vm.made_by == Some(operation.number()));
        let known = self.machine_of(operation);
        made.is_some_and(|vm| match known {
            Some(known) => known != (at, id),
            None => vm.mark.is_none(),
        })
    }

    fn out_of_sight(&self, operation: &Operation) -> Vec<(usize, u64)> {
        let providers = self.outside.providers.iter().enumerate();
        let all = providers.flat_map(|(at, provider)| provider.vms.keys().map(move |id| (at, *id)));
        all.filter(|(at, id)| self.is_out_of_sight(operation, *at, *id))
            .collect()
    }

    /// Removes by hand what a creation left that nobody can find again. What can be is for the next operation
    /// to find.
    fn clean_up(&mut self, operation: &Operation) {
        for (at, id) in self.out_of_sight(operation) {
            if let Some(provider) = self.outside.providers.get_mut(at) {
                provider.vms.remove(&id);
            }
        }
    }
}
