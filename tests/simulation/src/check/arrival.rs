//! What holds of each request that reaches a provider.

use std::collections::BTreeSet;

use enginehouse_model::OperationId;
use enginehouse_queue::Final;

use crate::orders::{Kind, params_of};
use crate::provider::{Flight, Request};
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// Before the request is carried out.
    pub(crate) fn check_arrival(&self, provider: usize, flight: &Flight) -> Result<(), Violation> {
        let number = flight.operation;
        let ledger = &self.outside.ledger;
        ledger.may_work(number)?;
        let superseded = ledger.ended.get(&number) == Some(&Final::Superseded);
        let began = ledger.begun.contains(&number);
        holds(began || !superseded, Rule::Superseded, || {
            format!(
                "{number} was superseded, and sends {}",
                flight.request.name()
            )
        })?;
        let copies = matches!(flight.request, Request::Clone { .. });
        let gone_on = ledger.gone_on.get(&number).filter(|_| copies);
        holds(gone_on.is_none(), Rule::Adopted, || {
            format!("{number} was to go on with machine {gone_on:?}, and makes another")
        })?;
        self.check_protected(flight)?;
        self.check_signed(provider, flight)?;
        self.check_alone(flight)?;
        self.check_managed(provider, flight)?;
        self.check_taken_back(provider, flight)
    }

    /// What the definition says when an operation is planned.
    pub(crate) fn note_managed(&mut self, number: OperationId) {
        let Some(memory) = &self.memory else { return };
        let Some(operation) = memory.queue.get(number) else {
            return;
        };
        let node = operation.spec.target;
        let undo = params_of(&operation.spec).undo;
        let desired = match undo.filter(|undo| !undo.destroy) {
            Some(undo) => self.earlier(node, undo.of).ok(),
            None => memory.tree.computed(node).ok().map(|found| found.config()),
        };
        let deployed = memory.record_of(node).map(|record| &record.deployed);
        let mut managed: BTreeSet<String> = BTreeSet::new();
        if let Some(desired) = &desired {
            managed.extend(desired.vcpu.map(|_| "vcpu".to_owned()));
            managed.extend(desired.memory.map(|_| "memory".to_owned()));
            let description = desired.description.as_ref();
            managed.extend(description.map(|_| "description".to_owned()));
            managed.extend(desired.disks.keys().map(|name| format!("disks.{name}")));
            managed.extend(desired.name.as_ref().map(|_| "name".to_owned()));
        }
        // A label that was ours is taken away with its key.
        for config in desired.iter().chain(deployed) {
            managed.extend(config.labels.keys().map(|label| format!("labels.{label}")));
        }
        self.outside.ledger.managed.insert(number, managed);
    }

    /// What is written is what the definition says.
    fn check_managed(&self, provider: usize, flight: &Flight) -> Result<(), Violation> {
        let managed = self.outside.ledger.managed.get(&flight.operation);
        let provider = self.outside.providers.get(provider);
        if let Request::RemoveDisk { slot } = &flight.request {
            let vm = flight.id.and_then(|id| provider?.vms.get(&id));
            let mut names = vm.iter().flat_map(|vm| &vm.slots);
            let defined = names.find(|(name, ours)| {
                *ours == slot && managed.is_some_and(|all| all.contains(&format!("disks.{name}")))
            });
            return holds(defined.is_none(), Rule::Unmanaged, || {
                format!(
                    "{} removes disk {defined:?} of {}, which is defined",
                    flight.operation, flight.node
                )
            });
        }
        let Request::Configure { changed, .. } = &flight.request else {
            return Ok(());
        };
        let strange = changed
            .iter()
            .find(|key| managed.is_none_or(|managed| !managed.contains(*key)));
        holds(strange.is_none(), Rule::Unmanaged, || {
            format!("{} writes {strange:?} of {}", flight.operation, flight.node)
        })
    }

    /// Who was protected when it was decided is not destroyed, and nothing of what leads up to it is
    /// done.
    fn check_protected(&self, flight: &Flight) -> Result<(), Violation> {
        let number = flight.operation;
        let ledger = &self.outside.ledger;
        let Some(row) = self.disk.operations.get(&number) else {
            return Ok(());
        };
        let node = row.targets.first().and_then(|node| node.parse().ok());
        let Some(since) = node.and_then(|node| ledger.protected_since(node)) else {
            return Ok(());
        };
        let begun = ledger.called.get(&(number, flight.step));
        let late = flight.request.destroys() && begun.is_none_or(|begun| since < *begun);
        let looked = ledger.looked.get(&number);
        let is_to_destroy = self.takes_down(number);
        let planned = is_to_destroy && looked.is_none_or(|looked| since < *looked);
        holds(!late && !planned, Rule::Protected, || {
            format!(
                "{} of {number} at {}, which is protected since {}",
                flight.request.name(),
                flight.node,
                since.0
            )
        })
    }

    fn takes_down(&self, number: OperationId) -> bool {
        let operation = self.memory.as_ref().and_then(|m| m.queue.get(number));
        operation.is_some_and(|operation| {
            let kind = Kind::of(&operation.spec);
            kind.is_some_and(|kind| kind.destroys(&params_of(&operation.spec)))
        })
    }

    /// A rollback destroys only what its own operation made.
    fn check_taken_back(&self, provider: usize, flight: &Flight) -> Result<(), Violation> {
        let Some(part) = self.outside.ledger.undoes.get(&flight.operation) else {
            return Ok(());
        };
        if flight.request != Request::Destroy {
            return Ok(());
        }
        let provider = self.outside.providers.get(provider);
        let vm = flight.id.and_then(|id| provider?.vms.get(&id));
        let made_by = vm.map(|vm| vm.made_by);
        holds(
            made_by.is_none_or(|by| by == Some(*part)),
            Rule::Rollback,
            || {
                format!(
                    "{} takes {part} back, and destroys machine {:?} of {}, which {made_by:?} made",
                    flight.operation, flight.id, flight.node,
                )
            },
        )
    }
}
