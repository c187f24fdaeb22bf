//! What the host does by itself: how far it may go, what it remembers, and where people have paused it.

use std::collections::BTreeSet;

use enginehouse_model::{MachineUid, NodeUid};
use enginehouse_queue::{Final, Operation};
use enginehouse_reconcile::{
    Bounds, Class, Drifted, FieldChange, MachinePlan, PlannedAction, Repairs, remember,
};
use enginehouse_store::Table;
use enginehouse_tree::{Policy, Tree};
use serde::{Deserialize, Serialize};

use crate::ledger::Promise;
use crate::memory::{Memory, Staged};
use crate::orders::{Kind, Params};
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::Violation;

/// Milliseconds until the same is tried again, after it came to nothing.
const AGAIN: u64 = 60_000;

/// What is remembered of a machine that has drifted, or had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    pub drift: Vec<Drifted>,
    pub repairs: Repairs,
    /// When a repair was ordered last, and of what.
    pub tried: Option<(u64, Vec<FieldChange>)>,
}

/// The policies of all descriptors.
pub(crate) fn policies(tree: &Tree) -> Vec<(NodeUid, Policy)> {
    let nodes = tree.nodes().filter(|node| !node.is_folder());
    let computed =
        nodes.filter_map(|node| Some((node.uid, tree.computed(node.uid).ok()?.policy())));
    computed.collect()
}

/// Whether a node, or a folder above it, is one of these.
pub(crate) fn is_below(tree: &Tree, node: NodeUid, folders: &BTreeSet<NodeUid>) -> bool {
    let Ok(name) = tree.full_name(node) else {
        return false;
    };
    let mut names = std::iter::successors(Some(name.clone()), |name| name.parent());
    names.any(|name| tree.find(&name).is_ok_and(|found| folders.contains(&found)))
}

impl Memory {
    /// How far the host may go by itself with the machine of a node.
    fn bounds(&self, node: NodeUid, fault: Option<Fault>) -> Bounds {
        if is_below(&self.tree, node, &self.paused) && fault != Some(Fault::RepairsInAPause) {
            return Bounds::default();
        }
        let policy = self.tree.computed(node).map(|computed| computed.policy());
        let watched = self
            .record_of(node)
            .and_then(|record| self.watched.get(&record.uid));
        let most = match policy {
            _ if fault == Some(Fault::RepairsAgainstPolicy) => Some(Class::Disruptive),
            Ok(Policy::Observe) | Err(_) => None,
            Ok(Policy::Benign) => Some(Class::Benign),
            Ok(Policy::Disruptive) => Some(Class::Disruptive),
        };
        let left = watched.map(|watched| watched.repairs.all_left());
        let left = left.filter(|_| fault != Some(Fault::RepairsForEver));
        Bounds {
            most,
            pending: false,
            left: left.unwrap_or_default(),
        }
    }

    pub(crate) fn put_watched(
        &mut self,
        staged: &mut Staged,
        machine: MachineUid,
        watched: Watched,
    ) {
        let key = format!("watched/{machine}");
        if watched == Watched::default() {
            if self.watched.remove(&machine).is_some() {
                staged.delete(Table::Meta, key);
            }
        } else if self.watched.get(&machine) != Some(&watched) {
            staged.put(Table::Meta, key, &watched);
            self.watched.insert(machine, watched);
        }
    }
}

impl Simulation {
    /// Keeps of a plan what may run without a person now.
    pub(crate) fn confine(&self, node: NodeUid, plan: &mut MachinePlan) {
        if let Some(memory) = &self.memory {
            plan.confine(&memory.bounds(node, self.settings.fault));
        }
    }

    /// Takes in what was found of a machine, and says whether something is to be ordered about it.
    pub(crate) fn note_drift(
        &mut self,
        staged: &mut Staged,
        node: NodeUid,
        plan: &MachinePlan,
        seen_at: enginehouse_model::Timestamp,
    ) -> Result<bool, Violation> {
        let now = self.now();
        let fault = self.settings.fault;
        let memory = self.memory()?;
        let Some(machine) = memory.record_of(node).map(|record| record.uid) else {
            return Ok(false);
        };
        let mut watched = memory.watched.get(&machine).cloned().unwrap_or_default();
        let (drift, _) = remember(&watched.drift, &plan.drift, seen_at);
        watched.drift = drift;
        watched.repairs.judge(&watched.drift, now);
        memory.put_watched(staged, machine, watched.clone());
        let mut confined = plan.clone();
        confined.confine(&memory.bounds(node, fault));
        let is_over = watched.tried.as_ref().is_none_or(|(at, changes)| {
            now.0.saturating_sub(*at) >= AGAIN || *changes != plan.drift
        });
        if plan.drift.is_empty() || confined.actions.is_empty() || !is_over {
            return Ok(false);
        }
        watched.tried = Some((now.0, plan.drift.clone()));
        memory.put_watched(staged, machine, watched);
        Ok(true)
    }

    /// What the end of an operation says of what was repaired.
    pub(crate) fn after_repair(
        &mut self,
        staged: &mut Staged,
        operation: &Operation,
        kind: Kind,
        params: &Params,
        end: Final,
    ) -> Result<(), Violation> {
        let now = self.now();
        let node = operation.spec.target;
        let memory = self.memory()?;
        let Some(machine) = memory.record_of(node).map(|record| record.uid) else {
            return Ok(());
        };
        let Some(mut watched) = memory.watched.get(&machine).cloned() else {
            return Ok(());
        };
        let brings = matches!(kind, Kind::Reconfigure | Kind::Deploy | Kind::Undo);
        match end {
            Final::Succeeded if params.repair => {
                let steps = operation.steps.iter();
                let planned = steps.filter_map(|step| step.body.read::<PlannedAction>().ok());
                let fields = planned.flat_map(|planned| planned.fields);
                let fields = fields.map(|change| change.field);
                let drifted: Vec<String> = fields
                    .filter(|field| watched.drift.iter().any(|drifted| drifted.field == *field))
                    .collect();
                if drifted.is_empty() {
                    return Ok(());
                }
                watched
                    .repairs
                    .repaired(drifted.iter().map(String::as_str), now);
                watched.tried = None;
                staged.promises.push(Promise::Repaired(node, drifted));
            }
            Final::Succeeded | Final::Failed if brings && !params.repair => {
                watched.repairs.forget();
                watched.tried = None;
            }
            _ => return Ok(()),
        }
        let memory = self.memory()?;
        memory.put_watched(staged, machine, watched);
        Ok(())
    }

    /// A person lets nothing run by itself below a folder, or takes that back.
    pub(crate) fn pause(&mut self, path: &enginehouse_model::FullName) -> Result<(), Violation> {
        if self.memory.is_none() {
            return Ok(());
        }
        let memory = self.memory()?;
        let Ok(node) = memory.tree.find(path) else {
            return Ok(());
        };
        let mut staged = Staged::default();
        let key = format!("pause/{node}");
        if memory.paused.insert(node) {
            staged.put(Table::Meta, key, &node);
        } else {
            memory.paused.remove(&node);
            staged.delete(Table::Meta, key);
        }
        staged.promises.push(Promise::Pauses(memory.paused.clone()));
        self.note(|| format!("somebody pauses {path}, or no longer"));
        self.commit(staged, Vec::new())
    }
}
