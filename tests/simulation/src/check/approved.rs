//! What holds of what people approve.

use std::collections::BTreeMap;

use enginehouse_approval::Request as Asked;
use enginehouse_model::documents::{Disk, Problem};
use enginehouse_model::{Bytes, OperationId, Timestamp};

use crate::ledger::asks_now;
use crate::provider::{Flight, Request, Vm};
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// A step of an operation is begun.
    pub(crate) fn begins_step(&mut self, number: OperationId) {
        let now = self.now();
        let operation = self
            .memory
            .as_ref()
            .and_then(|memory| memory.queue.get(number));
        if let Some(step) = operation.map(|operation| operation.step) {
            self.outside.ledger.filled.insert((number, step), now);
        }
    }

    /// What is destroyed where it was to be approved when the step was begun: enough people have signed
    /// what this operation asked, none of them who ordered it, in time; nobody refused it; and it is what
    /// they have signed.
    pub(super) fn check_signed(&self, provider: usize, flight: &Flight) -> Result<(), Violation> {
        if !flight.request.destroys() {
            return Ok(());
        }
        let number = flight.operation;
        let ledger = &self.outside.ledger;
        let node = self.disk.operations.get(&number);
        let node = node.and_then(|row| row.targets.first()?.parse().ok());
        let Some((asks, since)) = node.and_then(|node| ledger.asks.get(&node)) else {
            return Ok(());
        };
        let step = (number, flight.step);
        let begun = ledger.filled.get(&step).copied().unwrap_or_default();
        if *since >= begun {
            return Ok(());
        }
        let says = |what: String| {
            format!(
                "{} of {number} at {}: {what}",
                flight.request.name(),
                flight.node
            )
        };
        let refused = ledger.said_no.contains(&number);
        holds(!refused, Rule::Approved, || {
            says("somebody refused it".to_owned())
        })?;
        let signers = ledger.signers(number);
        let count = signers
            .iter()
            .filter(|person| asks.people.contains(*person))
            .count();
        holds(count >= asks.need, Rule::Approved, || {
            says(format!(
                "{asks:?} is asked for, and {signers:?} have signed"
            ))
        })?;
        let Some((request, _)) = ledger.requests.get(&number) else {
            return Ok(());
        };
        holds(
            begun < request.until || self.is_later_step(request, flight),
            Rule::Approved,
            || {
                says(format!(
                    "it was approved until {:?}, and begun at {begun:?}",
                    request.until
                ))
            },
        )?;
        let called = ledger.called.get(&step).copied().unwrap_or_default();
        let provider = self.outside.providers.get(provider);
        let vm = flight.id.and_then(|id| provider?.vms.get(&id));
        let is_so = vm.is_none_or(|vm| vm.plugged_at >= called || is_what_was_signed(request, vm));
        holds(is_so, Rule::Approved, || {
            let vm = vm.map(|vm| &vm.config.disks);
            says(format!(
                "{:?} was signed, and {vm:?} is there",
                request.unit.actions
            ))
        })
    }

    /// The first gated step uses the approval up; the others go on with it.
    fn is_later_step(&self, request: &Asked, flight: &Flight) -> bool {
        let first = request.unit.actions.first();
        first.is_some_and(|first| match &flight.request {
            Request::RemoveDisk { slot } => !first.guards.contains_key(&format!("disk {slot}")),
            other => first.action != other.name(),
        })
    }

    /// What was approved and is not done any more: something of it is another, and not elsewhere.
    pub(crate) fn check_outdated(
        &mut self,
        number: OperationId,
        problem: &Problem,
    ) -> Result<(), Violation> {
        let now = self.now();
        let node = self.operation(number)?.spec.target;
        self.outside.ledger.outdated.insert(number);
        let ledger = &self.outside.ledger;
        let Some((request, asked)) = ledger.requests.get(&number) else {
            return Ok(());
        };
        let since = |at: Option<&Timestamp>| at.is_some_and(|at| *at >= request.asked_at);
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let record = memory.record_of(node);
        let vm = record.and_then(|record| self.vm_of(record));
        let name = memory.tree.full_name(node);
        let asks = asks_now(&memory.tree, node);
        let excused = now >= request.until
            || !self.is_certain(node)
            || since(ledger.ended_at.get(&node))
            || since(ledger.asks.get(&node).map(|(_, since)| since))
            || asks.as_ref() != Some(asked)
            || vm.is_none_or(|vm| vm.others_at >= request.asked_at)
            || name.is_ok_and(|name| *name != request.unit.name);
        holds(excused, Rule::Approved, || {
            format!(
                "{number} was approved, and does not go on although nothing of it is another: {problem}"
            )
        })
    }
}

/// Whether the disks that go with a machine are those that people read of.
fn is_what_was_signed(request: &Asked, vm: &Vm) -> bool {
    let mut destroys = request.unit.actions.iter();
    let Some(destroy) = destroys.find(|action| action.action == "destroy") else {
        return true;
    };
    let shown = |disk: &Disk| Bytes(disk.size.unwrap_or_default()).to_string();
    let disks = vm.config.disks.iter();
    let there: BTreeMap<String, String> = disks
        .map(|(slot, disk)| (format!("disk {slot}"), shown(disk)))
        .collect();
    destroy.guards == there
}
