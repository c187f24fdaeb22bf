//! What parts of an operation did is taken back: the last one first, one after the other.

use std::collections::BTreeMap;

use enginehouse_model::documents::{Code, Config, Problem};
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{After, Final, Operation, Phase, Spec};
use enginehouse_store::{Document, HistoryRow, Write};
use enginehouse_tree::Definition;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::disk::Disk;
use crate::ledger::{Need, Promise};
use crate::machines::hypervisor_of;
use crate::memory::Staged;
use crate::orders::{Kind, Order, Params, Undo, spec};
use crate::projected::check_projected;
use crate::protection::keep_or_revert;
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

/// What the machines of all descriptors were when their last operations ended.
pub(crate) fn last_deployed(disk: &Disk) -> BTreeMap<NodeUid, Config> {
    let mut last = BTreeMap::new();
    for row in &disk.history {
        let past = row.operation.and_then(|_| row.document.read::<Past>().ok());
        if let (Some(config), Ok(node)) = (past.and_then(|past| past.deployed), row.node.parse()) {
            last.insert(node, config);
        }
    }
    last
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

    /// `rollback --of`: what an operation did is taken back, on the machines that nobody has changed since.
    pub(crate) fn order_rollback(
        &mut self,
        order: &Order,
        staged: &mut Staged,
        node: NodeUid,
    ) -> Result<OperationId, String> {
        let now = self.now();
        let of = order.params.of.ok_or("what is to be taken back?")?;
        let whole = self.document(of).ok_or("it is not known")?;
        if whole.kind != Kind::Reconfigure.name() || whole.end.is_none() {
            return Err("only a `reconfigure` that has ended is taken back".to_owned());
        }
        let parts: Vec<OperationId> = self
            .disk
            .operations
            .keys()
            .copied()
            .filter(|number| {
                let document = self.document(*number);
                document.is_some_and(|document| {
                    document.did && (*number == of || document.parent == Some(of))
                })
            })
            .collect();
        let careless = self.has(Fault::TakesBackWhatWasChanged);
        let mut done: Vec<(NodeUid, FullName, OperationId)> = Vec::new();
        for part in parts {
            let row = self.disk.operations.get(&part);
            let target = row.and_then(|row| row.targets.first()?.parse::<NodeUid>().ok());
            let memory = self.memory().map_err(|violation| violation.to_string())?;
            let below = memory.tree.descriptors(node).map_err(|e| e.to_string())?;
            let mut below = below.map(|node| node.uid);
            let Some(target) = target.filter(|target| below.any(|node| node == *target)) else {
                continue;
            };
            drop(below);
            check_projected(memory, target, Kind::Rollback, false)?;
            let path = memory.tree.full_name(target).map_err(|e| e.to_string())?;
            let path = path.clone();
            // What comes before it may change them yet.
            let before = memory.queue.lane(target).next().map(Operation::number);
            let since = before.or_else(|| self.changed_since(target, part));
            if let Some(since) = since.filter(|_| !careless) {
                return Err(format!("{path} was changed since, by {since}"));
            }
            done.push((target, path, part));
        }
        if done.is_empty() {
            return Err("it changed nothing there".to_owned());
        }
        done.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
        let memory = self.memory().map_err(|violation| violation.to_string())?;
        let parent = memory.number();
        let mut specs: Vec<Spec> = Vec::new();
        for (target, path, part) in done {
            let number = memory.number();
            let undo = Order {
                params: Params {
                    undo: Some(Undo {
                        of: part,
                        destroy: false,
                    }),
                    ..Params::default()
                },
                ..Order::of(Kind::Undo, path)
            };
            staged.promises.push(Promise::Queued {
                number,
                node: target,
                first: false,
                needs: Vec::new(),
                automatic: false,
            });
            staged.promises.push(Promise::TakesBack {
                number,
                node: target,
                of: part,
            });
            let hypervisor = hypervisor_of(memory, target);
            specs.push(Spec {
                parent: Some(parent),
                ..spec(number, &undo, &undo.path, target, hypervisor, now)
            });
        }
        let numbers: Vec<OperationId> = specs.iter().map(|spec| spec.number).collect();
        staged
            .promises
            .push(Promise::Parts(parent, numbers.clone()));
        let whole = Spec {
            children: numbers,
            ..spec(parent, order, &order.path, node, None, now)
        };
        let all = std::iter::once(whole).chain(specs).collect();
        staged.output = memory.queue.submit(all, now);
        Ok(parent)
    }

    /// The operation that made another deployed config of a machine's after `number` did.
    fn changed_since(&self, node: NodeUid, number: OperationId) -> Option<OperationId> {
        let node = node.to_string();
        // What has ended may be on its way to the disk yet.
        let pending = self.pending.iter().flat_map(|pending| &pending.writes);
        let pending = pending.filter_map(|write| match write {
            Write::History(row) => Some(row),
            _ => None,
        });
        let rows = self.disk.history.iter().chain(pending);
        let rows = rows.filter(|row| row.node == node);
        let mut before: Option<Config> = None;
        let mut since = None;
        for row in rows {
            let past = row.document.read::<Past>().ok();
            let (Some(by), Some(config)) = (row.operation, past.and_then(|past| past.deployed))
            else {
                continue;
            };
            if by > number && before.as_ref().is_some_and(|before| *before != config) {
                since = Some(by);
            }
            before = Some(config);
        }
        since
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
        let fault = self.settings.fault;
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
        // Nobody said so: the machine goes back, its protection does not.
        let kept = |change| keep_or_revert(&mut memory.tree, change, false, fault).ok();
        let Some(change) = written.and_then(kept) else {
            return Ok(None);
        };
        let mut staged = Staged::default();
        staged.edited(&memory.tree, &change, now, "undo", false);
        self.outside.uids = uids;
        Ok(Some(staged))
    }
}
