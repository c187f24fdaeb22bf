//! What clients order: checked against what the queue will leave, numbered, taken in.

use enginehouse_model::{FullName, HypervisorUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{After, Final, OnFailure, Spec};
use enginehouse_reconcile::{Intent, KeepDisks};
use enginehouse_store::{Document, ExecutedRow, OperationRow, Write};
use enginehouse_tree::{Definition, Event, Status, next};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::memory::{Memory, OperationDocument, Staged};
use crate::run::Simulation;
use crate::violation::Violation;
use crate::work::{HostWork, WorldWork};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Deploy,
    Undeploy,
    Reconfigure,
    Start,
    Stop,
    Restart,
    Provision,
    Deprovision,
    Edit,
    Move,
    /// Takes back what a part of an operation did. Nobody orders it.
    Undo,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub kind: Kind,
    pub path: FullName,
    pub params: Params,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Members that the node's own definition gets.
    #[serde(default)]
    pub change: Option<Value>,
    #[serde(default)]
    pub to: Option<FullName>,
    #[serde(default)]
    pub force: bool,
    /// Of a folder: when one of its parts fails, all are taken back.
    #[serde(default)]
    pub rollback: bool,
}

impl Kind {
    pub(crate) fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    pub(crate) fn of(spec: &Spec) -> Option<Self> {
        serde_json::from_value(Value::String(spec.kind.clone())).ok()
    }

    pub(crate) fn works_on_machine(self) -> bool {
        match self {
            Self::Deploy
            | Self::Undeploy
            | Self::Reconfigure
            | Self::Start
            | Self::Stop
            | Self::Restart
            | Self::Undo => true,
            Self::Provision | Self::Deprovision | Self::Edit | Self::Move => false,
        }
    }

    pub(crate) fn intent(self, params: &Params) -> Intent {
        let graceful = !params.force;
        match self {
            Self::Deploy => Intent::Deploy,
            Self::Reconfigure => Intent::Reconfigure,
            Self::Start => Intent::Start,
            Self::Stop => Intent::Stop { graceful },
            Self::Restart => Intent::Restart { graceful },
            Self::Undeploy | Self::Undo => Intent::Undeploy {
                keep: KeepDisks::Marked,
            },
            Self::Provision | Self::Deprovision | Self::Edit | Self::Move => Intent::Observe,
        }
    }
}

/// Parameters of an operation of the queue.
pub(crate) fn params_of(spec: &Spec) -> Params {
    serde_json::from_value(spec.params.clone()).unwrap_or_default()
}

/// The state that the operations in a lane will leave must fit the kind.
fn check_projected(memory: &Memory, node: NodeUid, kind: Kind) -> Result<(), String> {
    let body = memory
        .tree
        .descriptor(node)
        .map_err(|error| error.to_string())?;
    let mut status = Some(body.status);
    let mut machine = body.machine.is_some();
    for operation in memory.queue.lane(node) {
        match Kind::of(&operation.spec) {
            Some(Kind::Deploy) => (status, machine) = (Some(Status::Deployed), true),
            Some(Kind::Undeploy | Kind::Undo) => {
                (status, machine) = (Some(Status::Provisioned), false);
            }
            Some(Kind::Deprovision) => status = None,
            _ => {}
        }
    }
    let Some(status) = status else {
        return Err("it is about to be deprovisioned".to_owned());
    };
    let event = match kind {
        Kind::Deploy => Event::Deploy,
        Kind::Undeploy => Event::Undeploy,
        Kind::Deprovision => Event::Deprovision,
        Kind::Provision => return Ok(()),
        Kind::Edit | Kind::Move if status == Status::Provisioned => return Ok(()),
        Kind::Reconfigure | Kind::Start | Kind::Stop | Kind::Restart
            if status == Status::Deployed =>
        {
            return Ok(());
        }
        Kind::Edit
        | Kind::Move
        | Kind::Reconfigure
        | Kind::Start
        | Kind::Stop
        | Kind::Restart
        | Kind::Undo => {
            return Err(format!("{kind:?} is refused while {status}"));
        }
    };
    next(status, machine, event)
        .map(|_| ())
        .map_err(|refused| refused.to_string())
}

/// A node does not move while something of it, or below it, is under way.
fn must_be_idle(memory: &Memory, node: NodeUid, own_lane_too: bool) -> Result<(), String> {
    let below = memory.tree.walk(node).map_err(|error| error.to_string())?;
    for node_below in below {
        if node_below.uid == node && !own_lane_too {
            continue;
        }
        if let Some(operation) = memory.queue.lane(node_below.uid).next() {
            return Err(format!("{} has not ended", operation.number()));
        }
    }
    Ok(())
}

/// The hypervisor whose slots an operation on a node counts against.
pub(crate) fn hypervisor_of(memory: &Memory, node: NodeUid) -> Option<HypervisorUid> {
    let recorded = memory.record_of(node).map(|record| record.hypervisor);
    recorded.or_else(|| Some(memory.tree.computed(node).ok()?.hypervisor()?.uid))
}

/// The node's own definition with these members in place of its own; `null` takes one away.
pub(crate) fn changed(
    memory: &Memory,
    node: NodeUid,
    change: &Value,
) -> Result<Definition, String> {
    let local = &memory.tree.node(node).map_err(|e| e.to_string())?.local;
    let mut document = local.to_json();
    if let (Some(document), Some(change)) = (document.as_object_mut(), change.as_object()) {
        for (key, value) in change {
            document.insert(key.clone(), value.clone());
        }
    }
    Definition::from_json(&document).map_err(|problems| format!("{problems:?}"))
}

impl Simulation {
    /// A client sends an order; where the host is down it tries again.
    pub(crate) fn order(&mut self, order: Order) -> Result<(), Violation> {
        if self.memory.is_none() {
            self.later_outside(1_500, WorldWork::Order(Box::new(order)));
            return Ok(());
        }
        let text = format!("{} {}", order.kind.name(), order.path);
        let mut staged = Staged::default();
        match self.accept(&order, &mut staged) {
            Ok(number) => {
                let what = text.clone();
                self.commit(staged, vec![HostWork::Acknowledge(number, text)])?;
                if self.mishap(150) {
                    let after = self.below(40_000);
                    self.later_outside(after, WorldWork::Cancel(number));
                }
                if order.kind == Kind::Undeploy && self.mishap(300) {
                    // While it stops, before it is destroyed.
                    let after = self.below(8_000);
                    self.later_outside(after, WorldWork::Meddle);
                }
                self.note(|| format!("{number} is ordered: {what}"));
            }
            Err(reason) => {
                self.outside.ledger.refused += 1;
                self.note(|| format!("refused: {text}: {reason}"));
            }
        }
        Ok(())
    }

    fn accept(&mut self, order: &Order, staged: &mut Staged) -> Result<OperationId, String> {
        let now = self.now();
        let down = |violation: Violation| violation.to_string();
        let memory = self.memory().map_err(down)?;
        let path = match order.kind {
            Kind::Provision => order.path.parent().ok_or("the root is there")?,
            _ => order.path.clone(),
        };
        let node = memory.tree.find(&path).map_err(|e| e.to_string())?;
        if order.kind.works_on_machine() {
            return queue_on_machines(memory, staged, order, node, now);
        }
        let waits = order.kind != Kind::Provision && memory.queue.lane(node).next().is_some();
        if waits {
            check_projected(memory, node, order.kind)?;
            let number = memory.number();
            let spec = spec(number, order, &order.path, node, None, now);
            staged.output = memory.queue.submit(vec![spec], now);
            return Ok(number);
        }
        self.apply_to_tree(staged, order, node, true)?;
        let memory = self.memory().map_err(down)?;
        let number = memory.number();
        let document = OperationDocument {
            kind: order.kind.name(),
            path: order.path.clone(),
            parent: None,
            end: Some(Final::Succeeded),
            problem: None,
            created: Vec::new(),
            warnings: Vec::new(),
            machine_id: None,
        };
        operation_row(staged, number, &document, node, now, Some(now));
        Ok(number)
    }

    /// Carries out what changes only the tree. Nothing has changed when it fails.
    pub(crate) fn apply_to_tree(
        &mut self,
        staged: &mut Staged,
        order: &Order,
        node: NodeUid,
        own_lane_too: bool,
    ) -> Result<(), String> {
        let now = self.now();
        let mut uids = self.outside.uids;
        let mut uid = || {
            uids += 1;
            uuid::Uuid::from_u128(uids)
        };
        let memory = self.memory().map_err(|violation| violation.to_string())?;
        let change = match order.kind {
            Kind::Provision => {
                let document = order.params.change.clone().unwrap_or_default();
                let definition =
                    Definition::from_json(&document).map_err(|error| format!("{error:?}"))?;
                memory
                    .tree
                    .provision(node, order.path.name(), definition, &mut uid)
            }
            Kind::Edit => {
                let change = order.params.change.clone().unwrap_or_default();
                let definition = changed(memory, node, &change)?;
                memory.tree.set_definition(node, definition, None, &mut uid)
            }
            Kind::Deprovision => memory.tree.deprovision(node),
            Kind::Move => {
                must_be_idle(memory, node, own_lane_too)?;
                let to = order.params.to.clone().ok_or("where to?")?;
                let parent = to.parent().ok_or("not to the root")?;
                let parent = memory.tree.find(&parent).map_err(|e| e.to_string())?;
                memory.tree.rename(node, parent, to.name())
            }
            Kind::Deploy
            | Kind::Undeploy
            | Kind::Reconfigure
            | Kind::Start
            | Kind::Stop
            | Kind::Restart
            | Kind::Undo => return Err("it is no change of the tree".to_owned()),
        };
        let change = change.map_err(|error| error.to_string())?;
        staged.nodes(&memory.tree, &change, now, &order.kind.name());
        self.outside.uids = uids;
        Ok(())
    }
}

fn queue_on_machines(
    memory: &mut Memory,
    staged: &mut Staged,
    order: &Order,
    node: NodeUid,
    now: Timestamp,
) -> Result<OperationId, String> {
    let is_folder = memory.tree.node(node).is_ok_and(|node| node.is_folder());
    if !is_folder {
        check_projected(memory, node, order.kind)?;
        check_deploy(memory, node, order.kind)?;
        let number = memory.number();
        let hypervisor = hypervisor_of(memory, node);
        let spec = spec(number, order, &order.path, node, hypervisor, now);
        staged.output = memory.queue.submit(vec![spec], now);
        return Ok(number);
    }
    let below: Vec<NodeUid> = memory
        .tree
        .descriptors(node)
        .map_err(|error| error.to_string())?
        .map(|node| node.uid)
        .filter(|node| check_projected(memory, *node, order.kind).is_ok())
        .filter(|node| check_deploy(memory, *node, order.kind).is_ok())
        .collect();
    if below.is_empty() {
        return Err("nothing below is in a state for it".to_owned());
    }
    let parent = memory.number();
    let mut parts = Vec::new();
    for target in below {
        let name = memory.tree.full_name(target).map_err(|e| e.to_string())?;
        let name = name.clone();
        let number = memory.number();
        let hypervisor = hypervisor_of(memory, target);
        let mut part = spec(number, order, &name, target, hypervisor, now);
        part.parent = Some(parent);
        parts.push(part);
    }
    let mut whole = spec(parent, order, &order.path, node, None, now);
    whole.children = parts.iter().map(|part| part.number).collect();
    if order.params.rollback {
        whole.on_failure = OnFailure::Rollback;
    }
    let specs = std::iter::once(whole).chain(parts).collect();
    staged.output = memory.queue.submit(specs, now);
    Ok(parent)
}

impl Simulation {
    /// Numbers what takes the parts of an operation back, the last one first, one after the other:
    /// machines that the parts themselves made are destroyed.
    pub(crate) fn roll_back(&mut self, parent: OperationId) -> Result<(), Violation> {
        let now = self.now();
        // Parts that end together may each ask for it; it is done once.
        let operation = self.memory()?.queue.get(parent).cloned();
        let Some(operation) = operation.filter(|operation| operation.undo.is_none()) else {
            return Ok(());
        };
        let mut parts: Vec<OperationId> = operation.forward_parts().map(|p| p.number).collect();
        parts.sort_by_key(|number| std::cmp::Reverse(*number));
        let mut specs: Vec<Spec> = Vec::new();
        for part in parts {
            let made = self
                .document(part)
                .is_some_and(|made| !made.created.is_empty());
            let row = self.disk.operations.get(&part);
            let node = row.and_then(|row| row.targets.first()?.parse::<NodeUid>().ok());
            let Some(node) = node.filter(|_| made) else {
                continue;
            };
            let memory = self.memory()?;
            let ours = memory.record_of(node);
            let Ok(path) = memory.tree.full_name(node) else {
                continue;
            };
            if ours.is_none_or(|record| record.mark.operation != part) {
                continue;
            }
            let order = Order {
                kind: Kind::Undo,
                path: path.clone(),
                params: Params::default(),
            };
            let path = order.path.clone();
            let hypervisor = hypervisor_of(memory, node);
            let number = memory.number();
            let before = specs.last().map(|spec| After {
                number: spec.number,
                however_it_ends: true,
            });
            specs.push(Spec {
                parent: Some(parent),
                after: before.into_iter().collect(),
                ..spec(number, &order, &path, node, hypervisor, now)
            });
        }
        let output = self.memory()?.queue.roll_back(parent, specs, now);
        let staged = Staged {
            output,
            ..Staged::default()
        };
        self.commit(staged, Vec::new())
    }
}

fn check_deploy(memory: &Memory, node: NodeUid, kind: Kind) -> Result<(), String> {
    if kind == Kind::Deploy && hypervisor_of(memory, node).is_none() {
        return Err("no hypervisor to be deployed on".to_owned());
    }
    Ok(())
}

fn spec(
    number: OperationId,
    order: &Order,
    path: &FullName,
    node: NodeUid,
    hypervisor: Option<HypervisorUid>,
    now: Timestamp,
) -> Spec {
    Spec {
        params: serde_json::to_value(&order.params).unwrap_or_default(),
        hypervisor,
        ..Spec::new(
            number,
            &order.kind.name(),
            node,
            path.clone(),
            "client",
            now,
        )
    }
}

/// The row of an operation, and once it has ended its line in the executed log.
pub(crate) fn operation_row(
    staged: &mut Staged,
    number: OperationId,
    document: &OperationDocument,
    node: NodeUid,
    queued_at: Timestamp,
    ended_at: Option<Timestamp>,
) {
    let state = document.end.map_or("pending", Final::name);
    if let Ok(body) = Document::of(1, document) {
        staged.writes.push(Write::Operation(OperationRow {
            id: number,
            state: state.to_owned(),
            targets: vec![node.to_string()],
            queued_at,
            ended_at,
            plan: None,
            document: body,
        }));
    }
    if let Some(ended_at) = ended_at {
        staged.writes.push(Write::Executed(ExecutedRow {
            operation: number,
            kind: document.kind.clone(),
            node: Some(node.to_string()),
            targets: vec![document.path.to_string()],
            who: "client".to_owned(),
            queued_at,
            started_at: None,
            ended_at,
            outcome: state.to_owned(),
            message: document.problem.as_ref().map(|p| p.message.clone()),
            result: None,
        }));
    }
}
