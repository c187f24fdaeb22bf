//! What holds of machines that unfinished creations made.

use enginehouse_model::Mark;
use enginehouse_model::documents::Machine;
use enginehouse_queue::{Final, Operation};

use crate::prepare::Target;
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// An operation that went on with a machine ends, before its end changes anything: the machine is
    /// on record, and there is no second one.
    pub(super) fn check_gone_on(&self, operation: &Operation, end: Final) -> Result<(), Violation> {
        let number = operation.number();
        let node = operation.spec.target;
        let Some(id) = self.outside.ledger.gone_on.get(&number) else {
            return Ok(());
        };
        let memory = self.memory.as_ref();
        let Some(record) = memory.and_then(|memory| memory.record_of(node)) else {
            return Err(Violation::new(
                Rule::Adopted,
                format!("{number} went on with machine {id}, and there is no record"),
            ));
        };
        let known = record.identity.as_ref().map(|found| &found.machine_id);
        holds(known == Some(&id.to_string()), Rule::Adopted, || {
            format!("{number} went on with machine {id}, and {known:?} is on record")
        })?;
        let providers = self.outside.providers.iter();
        let machines: usize = providers.map(|p| p.made_for(record.uid).count()).sum();
        holds(machines <= 1, Rule::Adopted, || {
            format!("{number} went on with machine {id}, and there are {machines}")
        })?;
        let whole = record.identity.as_ref().is_some_and(|found| {
            found.incarnation.is_some() && self.vm_of(record).is_some() && machines == 1
        });
        let well = end == Final::Succeeded && self.is_certain(node);
        // Without its incarnation it could never be undeployed.
        holds(!well || whole, Rule::Adopted, || {
            format!("{number} went on with machine {id} and succeeded: {record:?}")
        })
    }

    /// A machine is in the way of a new one: it is not what a creation of the same descriptor left, and
    /// not one that an operation before this has removed.
    pub(crate) fn check_stranger(&mut self, target: &Target, machine: &Machine) {
        let mark = machine.mark.as_deref();
        let mark = mark.and_then(|mark| mark.parse::<Mark>().ok());
        let made_by = mark.and_then(|mark| self.disk.operations.get(&mark.operation));
        let own = made_by.is_some_and(|row| row.targets.contains(&target.node.to_string()));
        if !own || !self.is_certain(target.node) {
            return;
        }
        let provider = self.outside.providers.get(target.provider);
        let id = machine.id.parse::<u64>().unwrap_or_default();
        let vm = provider.and_then(|provider| provider.vms.get(&id));
        let is = match vm.is_some_and(|vm| vm.mark == machine.mark) {
            true => "which it made itself",
            false => "which is not there any more",
        };
        let text = format!("{}: in the way is machine {id}, {is}", target.name);
        let violation = Violation::new(Rule::Adopted, text);
        self.found.get_or_insert(violation);
    }
}
