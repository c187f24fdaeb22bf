//! What parts of an operation did is taken back: the last one first, one after the other.

use enginehouse_model::documents::{Code, Config, Problem};
use enginehouse_model::{NodeUid, OperationId, Timestamp};
use enginehouse_queue::{After, Final, Operation, Phase, Spec};
use enginehouse_store::{Document, HistoryRow, Write};
use enginehouse_tree::Definition;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::ledger::{Need, Promise};
use crate::machines::hypervisor_of;
use crate::memory::Staged;
use crate::orders::{Kind, Order, Params, Undo, spec};
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::Violation;

/// What is kept of a node's past.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Past {
    /// The machine's deployed config after an operation.
    #[serde(default)]
    pub deployed: Option<Config>,
    /// The definition that an operation wrote, and the one before it.
    #[serde(default)]
    pub written: Option<(Value, Value)>,
}

impl Staged {
    pub(crate) fn past(
        &mut self,
        node: NodeUid,
        operation: OperationId,
        at: Timestamp,
        past: &Past,
    ) {
        if let Ok(document) = Document::of(1, past) {
            self.writes.push(Write::History(HistoryRow {
                node: node.to_string(),
                name: String::new(),
                at,
                operation: Some(operation),
                who: "simulation".to_owned(),
                kind: "past".to_owned(),
                document,
            }));
        }
    }
}

fn without_power(config: &Config) -> Config {
    Config {
        power: None,
        ..config.clone()
    }
}

/// Whether anything may be different because of it.
pub(crate) fn did_something(operation: &Operation) -> bool {
    let Phase::Ended { state, .. } = &operation.phase else {
        return false;
    };
    let failed_in_a_step = *state == Final::Failed && operation.current_step().is_some();
    let wrote = operation.spec.kind == Kind::Reconfigure.name() && *state == Final::Failed;
    operation.step > 0 || failed_in_a_step || wrote || !operation.created.is_empty()
}

impl Simulation {
    /// Numbers what takes the parts of an operation back.
    pub(crate) fn roll_back(&mut self, parent: OperationId) -> Result<(), Violation> {
        let now = self.now();
        // Parts that end together may each ask for it; it is done once.
        let operation = self.memory()?.queue.get(parent).cloned();
        let Some(operation) = operation.filter(|operation| operation.undo.is_none()) else {
            return Ok(());
        };
        let mut parts: Vec<OperationId> = operation
            .to_take_back()
            .iter()
            .map(|part| part.number)
            .collect();
        if self.has(Fault::TakesBackForwards) {
            parts.reverse();
        }
        let mut staged = Staged::default();
        let mut specs: Vec<Spec> = Vec::new();
        for part in parts {
            let Some((node, order)) = self.undo_of(part) else {
                continue;
            };
            let memory = self.memory()?;
            let hypervisor = hypervisor_of(memory, node);
            let number = memory.number();
            let before = specs.last().map(|spec| spec.number);
            staged.promises.push(Promise::Queued {
                number,
                node,
                first: false,
                needs: before.into_iter().map(Need::any).collect(),
                automatic: false,
            });
            staged.promises.push(Promise::Undoes { number, node, part });
            let after = before.map(|number| After {
                number,
                however_it_ends: true,
            });
            specs.push(Spec {
                parent: Some(parent),
                after: after.into_iter().collect(),
                ..spec(number, &order, &order.path, node, hypervisor, now)
            });
        }
        staged.output = self.memory()?.queue.roll_back(parent, specs, now);
        self.commit(staged, Vec::new())
    }

    fn undo_of(&mut self, part: OperationId) -> Option<(NodeUid, Order)> {
        let document = self.document(part).filter(|document| document.did)?;
        let row = self.disk.operations.get(&part)?;
        let node: NodeUid = row.targets.first()?.parse().ok()?;
        let all = self.has(Fault::TakesBackAll);
        let memory = self.memory.as_ref()?;
        let path = memory.tree.full_name(node).ok()?.clone();
        let made = memory.record_of(node)?.mark.operation == part;
        let destroy = document.kind == Kind::Deploy.name() && (made || all);
        let params = Params {
            undo: Some(Undo { of: part, destroy }),
            ..Params::default()
        };
        let kind = Kind::Undo;
        Some((
            node,
            Order {
                params,
                ..Order::of(kind, path)
            },
        ))
    }

    /// The config that a machine had before an operation. Whether it runs is not part of it.
    pub(crate) fn earlier(&self, node: NodeUid, of: OperationId) -> Result<Config, Problem> {
        let node = node.to_string();
        let mut rows = self.disk.history.iter().rev();
        let found = rows.find_map(|row| {
            let before = row.node == node && row.operation.is_some_and(|number| number < of);
            let past: Past = row.document.read().ok().filter(|_| before)?;
            past.deployed
        });
        let nothing = || Problem::new(Code::Conflict, "what it was before is not on record");
        found
            .map(|config| without_power(&config))
            .ok_or_else(nothing)
    }

    /// Gives a node the definition that it had before the operation that is taken back, unless
    /// somebody has changed it since: what is to be durable before it goes on.
    pub(crate) fn restore_definition(
        &mut self,
        node: NodeUid,
        of: OperationId,
    ) -> Result<Option<Staged>, Violation> {
        let wanted = node.to_string();
        let mut rows = self.disk.history.iter().rev();
        let written = rows.find_map(|row| {
            let by_it = row.node == wanted && row.operation == Some(of);
            let past: Past = row.document.read().ok().filter(|_| by_it)?;
            past.written
        });
        let Some((before, after)) = written else {
            return Ok(None);
        };
        let now = self.now();
        let mut uids = self.outside.uids;
        let mut uid = || {
            uids += 1;
            Uuid::from_u128(uids)
        };
        let memory = self.memory()?;
        let local = memory.tree.node(node).map(|node| node.local.to_json());
        if local.is_ok_and(|local| local != after || local == before) {
            return Ok(None);
        }
        let written = Definition::from_json(&before).ok().and_then(|definition| {
            let tree = &mut memory.tree;
            tree.apply_reconfigure(node, definition, None, &mut uid)
                .ok()
        });
        let Some(change) = written else {
            return Ok(None);
        };
        let mut staged = Staged::default();
        staged.nodes(&memory.tree, &change, now, "undo");
        self.outside.uids = uids;
        Ok(Some(staged))
    }
}
