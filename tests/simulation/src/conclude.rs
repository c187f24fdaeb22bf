//! What the beginning and the end of an operation write, and what its end means for the descriptor
//! and the machine's record.

use enginehouse_model::OperationId;
use enginehouse_model::documents::Config;
use enginehouse_queue::{Final, Operation, Phase};
use enginehouse_store::Table;
use enginehouse_tree::Event;

use crate::ledger::Promise;
use crate::memory::{OperationDocument, Staged};
use crate::orders::{Kind, operation_row, params_of};
use crate::rollback::{Past, did_something};
use crate::run::Simulation;
use crate::violation::Violation;

fn document_of(operation: &Operation, machine_id: Option<String>) -> OperationDocument {
    let (end, problem) = match &operation.phase {
        Phase::Ended { state, problem } => (Some(*state), problem.clone()),
        _ => (None, None),
    };
    OperationDocument {
        kind: operation.spec.kind.clone(),
        path: operation.spec.target_name.clone(),
        parent: operation.spec.parent,
        end,
        problem,
        created: operation.created.clone(),
        warnings: operation.warnings.clone(),
        machine_id,
        did: did_something(operation),
        on_failure: operation.spec.on_failure,
    }
}

impl Simulation {
    pub(crate) fn queued(
        &mut self,
        number: OperationId,
        staged: &mut Staged,
    ) -> Result<(), Violation> {
        let operation = self.memory()?.queue.get(number).cloned();
        if let Some(operation) = operation {
            let spec = &operation.spec;
            let document = document_of(&operation, None);
            operation_row(staged, number, &document, spec.target, spec.queued_at, None);
        }
        Ok(())
    }

    /// The end of an operation.
    pub(crate) fn conclude(
        &mut self,
        operation: &Operation,
        staged: &mut Staged,
    ) -> Result<(), Violation> {
        let Phase::Ended { state: end, .. } = &operation.phase else {
            return Ok(());
        };
        self.release(operation, staged)?;
        let node = operation.spec.target;
        let machine_id = self
            .memory()?
            .record_of(node)
            .and_then(|record| Some(record.identity.as_ref()?.machine_id.clone()));
        if operation.spec.children.is_empty()
            && let Some(kind) = Kind::of(&operation.spec)
        {
            self.check_end(operation, kind, *end)?;
            let outdated = self.outside.ledger.outdated.contains(&operation.number());
            let gave_way = *end == Final::Superseded && !outdated;
            if *end != Final::Succeeded && !gave_way {
                self.outside.ledger.upset.insert(node);
            }
            let params = params_of(&operation.spec);
            self.after_repair(staged, operation, kind, &params, *end)?;
            let brings = matches!(kind, Kind::Reconfigure | Kind::Deploy | Kind::Undo);
            if brings && !params.repair {
                staged.promises.push(Promise::Brought(node));
            }
            self.settle_machine(staged, operation, kind, *end)?;
            self.end_step(staged, operation, *end)?;
        }
        self.check_story(operation)?;
        self.check_rollout(operation)?;
        let now = self.now();
        self.memory()?.last_ended.insert(node, now);
        self.outside.ledger.ended_at.insert(node, now);
        let number = operation.number();
        let queued_at = operation.spec.queued_at;
        let document = document_of(operation, machine_id);
        operation_row(staged, number, &document, node, queued_at, Some(now));
        Ok(())
    }

    fn release(&mut self, operation: &Operation, staged: &mut Staged) -> Result<(), Violation> {
        let number = operation.number();
        let memory = self.memory()?;
        let held: Vec<_> = memory
            .reservations
            .iter()
            .filter(|(_, holder)| **holder == number)
            .map(|(key, _)| *key)
            .collect();
        for key in held {
            memory.reservations.remove(&key);
            staged.delete(Table::Reservation, format!("{}/{}", key.0, key.1));
        }
        Ok(())
    }

    /// A step that did not succeed has ended as well, and may have had an effect all the same.
    fn end_step(
        &mut self,
        staged: &mut Staged,
        operation: &Operation,
        end: Final,
    ) -> Result<(), Violation> {
        if end == Final::Succeeded || operation.state.request.is_none() {
            return Ok(());
        }
        let now = self.now();
        let node = operation.spec.target;
        self.memory()?
            .with_record(staged, node, |record| record.last_step_ended = now);
        Ok(())
    }

    fn settle_machine(
        &mut self,
        staged: &mut Staged,
        operation: &Operation,
        kind: Kind,
        end: Final,
    ) -> Result<(), Violation> {
        let node = operation.spec.target;
        let params = params_of(&operation.spec);
        let now = self.now();
        let memory = self.memory()?;
        match (kind, end) {
            (Kind::Deploy, Final::Succeeded) => {
                if let Ok(change) = memory.tree.transition(node, Event::Deploy) {
                    staged.nodes(&memory.tree, &change, now, "deploy");
                }
            }
            (_, Final::Succeeded) if params.was_taken_back(memory.record_of(node)) => {}
            (_, Final::Succeeded) if kind.destroys(&params) => {
                let machine = memory.tree.descriptor(node).ok().and_then(|b| b.machine);
                if let Ok(change) = memory.tree.transition(node, Event::Undeploy) {
                    staged.nodes(&memory.tree, &change, now, "undeploy");
                }
                if let Some(machine) = machine {
                    memory.records.remove(&machine);
                    staged.delete(Table::Machine, machine.to_string());
                }
            }
            (Kind::Deploy, Final::Failed | Final::Cancelled) => {
                let never_was = memory.record_of(node).filter(|record| {
                    record.mark.operation == operation.number()
                        && record.identity.is_none()
                        && record.deployed == Config::default()
                        && operation.created.is_empty()
                        && operation.state.made_nothing()
                });
                if let Some(uid) = never_was.map(|record| record.uid) {
                    memory.forget_machine(staged, node, uid, now);
                }
            }
            _ => {}
        }
        if let Some(record) = memory.record_of(node)
            && record.identity.is_some()
        {
            let deployed = record.deployed.clone();
            let known = memory.deployed.insert(node, deployed.clone());
            if known.is_some_and(|known| known != deployed) {
                let by = operation.number();
                staged.promises.push(Promise::Deploys(node, by));
            }
            let past = Past {
                deployed: Some(deployed),
                written: None,
            };
            staged.past(node, operation.number(), now, &past);
        }
        Ok(())
    }
}
