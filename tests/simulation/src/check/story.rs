//! What holds of a rollback when its operation ends, and of definitions when all is over.

use std::collections::BTreeSet;

use enginehouse_model::documents::Config;
use enginehouse_model::{NodeUid, OperationId};
use enginehouse_queue::{Final, Operation, Phase};
use serde_json::{Map, Value};

use crate::memory::Memory;
use crate::orders::{Kind, Params, definition_on};
use crate::run::Simulation;
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// What could not be taken back is named, and what is named as taken back is gone.
    pub(crate) fn check_story(&self, operation: &Operation) -> Result<(), Violation> {
        let (Some(undo), Phase::Ended { problem, .. }) = (&operation.undo, &operation.phase) else {
            return Ok(());
        };
        let told = problem.as_ref().map_or("", |problem| &problem.message);
        for part in operation.to_take_back() {
            let undoing = self.undoing(part.number);
            // It may have another name by then.
            let mut parts = operation.parts.iter();
            let undone = parts.find(|other| Some(other.number) == undoing);
            let name = &undone.unwrap_or(part).target;
            if self.is_unsure(part.number) || undoing.is_some_and(|number| self.is_unsure(number)) {
                continue;
            }
            let mut providers = self.outside.providers.iter();
            let is_left = providers.any(|provider| {
                let mut vms = provider.vms.values();
                vms.any(|vm| vm.made_by == Some(part.number))
            });
            let owned_up = told.contains(&format!("not taken back: {name}: "));
            holds(!is_left || owned_up, Rule::Rollback, || {
                format!(
                    "what {} made is left, and {} does not say so: {told}",
                    part.number,
                    operation.number()
                )
            })?;
        }
        // Each that did not end well is named with the reason.
        for part in operation
            .parts
            .iter()
            .filter(|part| undo.contains(&part.number))
        {
            let named = told.contains(&format!("not taken back: {}: ", part.target));
            let well = part.state == Final::Succeeded;
            holds(well || named, Rule::Rollback, || {
                format!(
                    "{} was not taken back, and nobody says so: {told}",
                    part.target
                )
            })?;
        }
        Ok(())
    }

    /// What was not begun after failures is counted, and nothing was done to it.
    pub(crate) fn check_rollout(&self, operation: &Operation) -> Result<(), Violation> {
        let number = operation.number();
        let Phase::Ended { state, problem } = &operation.phase else {
            return Ok(());
        };
        if operation.spec.stop_after.is_none() || operation.undo.is_some() {
            return Ok(());
        }
        let parts = operation.parts.iter();
        let failed = parts.filter(|part| part.state == Final::Failed).count();
        if failed == 0 || operation.cancel.is_some() {
            return Ok(());
        }
        let told = problem.as_ref().map_or("", |problem| &problem.message);
        let ledger = &self.outside.ledger;
        let parts = operation.parts.iter();
        let left = parts
            .filter(|part| part.state == Final::Cancelled && !ledger.begun.contains(&part.number));
        let left = left.count();
        let says = left == 0 || told.contains("not begun");
        holds(*state == Final::Failed && says, Rule::Waves, || {
            format!(
                "{failed} of {number} failed and {left} were not begun; it says {state:?}: {told}"
            )
        })
    }

    fn undoing(&self, part: OperationId) -> Option<OperationId> {
        let mut undoes = self.outside.ledger.undoes.iter();
        undoes
            .find(|(_, of)| **of == part)
            .map(|(number, _)| *number)
    }

    /// A person decided about it, or its engine was given up, so nobody knows what it left; or
    /// somebody did something to its machine.
    fn is_unsure(&self, number: OperationId) -> bool {
        let ledger = &self.outside.ledger;
        let row = self.disk.operations.get(&number);
        let node = row.and_then(|row| row.targets.first()?.parse::<NodeUid>().ok());
        ledger.judged.contains(&number)
            || ledger.gave_up.contains_key(&number)
            || node.is_none_or(|node| !self.is_certain(node))
    }

    /// What was brought back is what it was.
    pub(crate) fn check_brought_back(
        &self,
        number: OperationId,
        node: NodeUid,
        of: OperationId,
    ) -> Result<(), Violation> {
        let memory = self.memory.as_ref();
        let record = memory.and_then(|memory| memory.record_of(node));
        let (Some(record), Ok(before)) = (record, self.earlier(node, of)) else {
            return Ok(());
        };
        let now = Config {
            power: None,
            ..record.deployed.clone()
        };
        let same = now.vcpu == before.vcpu
            && now.memory == before.memory
            && now.description == before.description
            && now.labels == before.labels;
        holds(same, Rule::Rollback, || {
            format!("{number} took {of} back: {before:?} was before, {now:?} is there now")
        })
    }

    /// What was accepted and not taken back is written: the newest value of each member, also where
    /// a newer order took the place of an older one.
    pub(crate) fn check_definitions(&self, memory: &Memory) -> Result<(), Violation> {
        let ledger = &self.outside.ledger;
        let nodes: BTreeSet<NodeUid> = ledger.changes.iter().map(|change| change.node).collect();
        for node in nodes {
            let changes = ledger.changes.iter().filter(|change| change.node == node);
            let all_well = changes.clone().all(|change| {
                let end = ledger.ended.get(&change.by);
                let well = matches!(end, Some(Final::Succeeded | Final::Superseded));
                (change.at_once || well) && !ledger.judged.contains(&change.by)
            });
            let Ok(found) = memory.tree.node(node) else {
                continue;
            };
            if !all_well || ledger.reordered.contains(&node) {
                continue;
            }
            let mut members = Map::new();
            for change in changes {
                if let Value::Object(newer) = &change.members {
                    members.extend(newer.clone());
                }
            }
            let params = Params {
                change: Some(Value::Object(members.clone())),
                ..Params::default()
            };
            let again = definition_on(&found.local, &params);
            let same = again.is_ok_and(|again| again == found.local);
            holds(same, Rule::Superseded, || {
                let local = found.local.to_json();
                format!("{node} was to have {members:?}, and has {local}")
            })?;
        }
        Ok(())
    }

    /// The kind of an operation that destroys, or brings back.
    pub(crate) fn check_undo_end(
        &self,
        number: OperationId,
        node: NodeUid,
        kind: Kind,
        params: &Params,
    ) -> Result<(), Violation> {
        match params.undo {
            Some(undo) if kind == Kind::Undo && !undo.destroy => {
                self.check_brought_back(number, node, undo.of)
            }
            _ => Ok(()),
        }
    }
}
