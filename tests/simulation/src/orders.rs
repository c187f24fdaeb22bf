//! What clients order: checked against what the queue will leave, numbered, taken in.

use enginehouse_model::{FullName, HypervisorUid, MachineRecord, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Final, OnFailure, Spec};
use enginehouse_reconcile::{Intent, KeepDisks};
use enginehouse_store::{Document, ExecutedRow, OperationRow, Write};
use enginehouse_tree::Definition;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::{Change, Promise};
use crate::machines::queue_on_machines;
use crate::memory::{Memory, OperationDocument, Staged};
use crate::projected::check_projected;
use crate::protection::keep_or_revert;
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
    /// Takes back what an operation did, machine by machine.
    Rollback,
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

impl Order {
    pub(crate) fn of(kind: Kind, path: FullName) -> Self {
        Self {
            kind,
            path,
            params: Params::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Members that the node's own definition gets.
    #[serde(default)]
    pub change: Option<Value>,
    /// The whole of it, before those members.
    #[serde(default)]
    pub definition: Option<Value>,
    #[serde(default)]
    pub to: Option<FullName>,
    #[serde(default)]
    pub force: bool,
    /// When a part of it fails, all are taken back.
    #[serde(default)]
    pub rollback: bool,
    #[serde(default)]
    pub undo: Option<Undo>,
    /// The host itself wants it.
    #[serde(default)]
    pub automatic: bool,
    /// It brings a machine back, as far as that may be done without a person.
    #[serde(default)]
    pub repair: bool,
    /// Machines in each wave of a folder; what is left comes in one more. Empty: all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<usize>,
    /// Of what goes in waves: nothing more is begun after so many failures.
    #[serde(default)]
    pub max_failures: u32,
    /// Of a rollback: what that operation did is taken back.
    #[serde(default)]
    pub of: Option<OperationId>,
    /// Machines may be less protected after it.
    #[serde(default)]
    pub confirm_lowered: bool,
}

/// What is taken back, and whether that made the machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    pub of: OperationId,
    pub destroy: bool,
}

impl Params {
    /// Whether it is to destroy a machine that is gone: the one on record, if any, was made by
    /// another operation.
    pub(crate) fn was_taken_back(&self, now: Option<&MachineRecord>) -> bool {
        let undo = self.undo.filter(|undo| undo.destroy);
        undo.is_some_and(|undo| now.is_none_or(|record| record.mark.operation != undo.of))
    }
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
            | Self::Rollback
            | Self::Undo => true,
            Self::Provision | Self::Deprovision | Self::Edit | Self::Move => false,
        }
    }

    /// Whether the machine is gone afterwards.
    pub(crate) fn destroys(self, params: &Params) -> bool {
        matches!(self.intent(params), Intent::Undeploy { .. })
    }

    pub(crate) fn intent(self, params: &Params) -> Intent {
        let graceful = !params.force;
        match self {
            Self::Deploy => Intent::Deploy,
            Self::Reconfigure => Intent::Reconfigure,
            Self::Start => Intent::Start,
            Self::Stop => Intent::Stop { graceful },
            Self::Restart => Intent::Restart { graceful },
            Self::Undeploy => Intent::Undeploy {
                keep: KeepDisks::Marked,
            },
            Self::Undo if params.undo.is_some_and(|undo| undo.destroy) => Intent::Undeploy {
                keep: KeepDisks::None,
            },
            Self::Rollback | Self::Undo => Intent::Reconfigure,
            Self::Provision | Self::Deprovision | Self::Edit | Self::Move => Intent::Observe,
        }
    }
}

/// Parameters of an operation of the queue.
pub(crate) fn params_of(spec: &Spec) -> Params {
    serde_json::from_value(spec.params.clone()).unwrap_or_default()
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

/// The node's own definition as an order leaves it.
pub(crate) fn changed(
    memory: &Memory,
    node: NodeUid,
    params: &Params,
) -> Result<Definition, String> {
    let local = &memory.tree.node(node).map_err(|e| e.to_string())?.local;
    definition_on(local, params)
}

/// What an order makes of a definition: the one that it has, or that before, with the members of
/// its change in place of its own; `null` takes one away.
pub(crate) fn definition_on(before: &Definition, params: &Params) -> Result<Definition, String> {
    let whole = params.definition.clone();
    let mut document = whole.unwrap_or_else(|| before.to_json());
    let change = params.change.as_ref().and_then(Value::as_object);
    if let (Some(document), Some(change)) = (document.as_object_mut(), change) {
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
                self.follow_up(&order);
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
        let fault = self.settings.fault;
        let memory = self.memory().map_err(down)?;
        let path = match order.kind {
            Kind::Provision => order.path.parent().ok_or("the root is there")?,
            _ => order.path.clone(),
        };
        let node = memory.tree.find(&path).map_err(|e| e.to_string())?;
        if order.kind == Kind::Rollback {
            return self.order_rollback(order, staged, node);
        }
        let memory = self.memory().map_err(down)?;
        if order.kind.works_on_machine() {
            return queue_on_machines(memory, staged, order, node, now, fault);
        }
        let waits = order.kind != Kind::Provision && memory.queue.lane(node).next().is_some();
        if waits {
            check_projected(memory, node, order.kind, false)?;
            let number = memory.number();
            let spec = spec(number, order, &order.path, node, None, now);
            staged.promises.push(Promise::Queued {
                number,
                node,
                first: false,
                needs: Vec::new(),
                automatic: false,
            });
            staged.promises.extend(changes(order, node, number, false));
            staged.output = memory.queue.submit(vec![spec], now);
            return Ok(number);
        }
        self.apply_to_tree(staged, order, node, true)?;
        let memory = self.memory().map_err(down)?;
        let number = memory.number();
        staged.promises.extend(changes(order, node, number, true));
        let document = OperationDocument {
            kind: order.kind.name(),
            path: order.path.clone(),
            parent: None,
            end: Some(Final::Succeeded),
            problem: None,
            created: Vec::new(),
            warnings: Vec::new(),
            machine_id: None,
            did: true,
            on_failure: OnFailure::Keep,
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
        let fault = self.settings.fault;
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
                let definition = changed(memory, node, &order.params)?;
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
            | Kind::Rollback
            | Kind::Undo => return Err("it is no change of the tree".to_owned()),
        };
        let change = change.map_err(|error| error.to_string())?;
        let said = order.params.confirm_lowered;
        let change = keep_or_revert(&mut memory.tree, change, said, fault)?;
        staged.edited(&memory.tree, &change, now, &order.kind.name(), said);
        self.outside.uids = uids;
        Ok(())
    }
}

pub(crate) fn spec(
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

fn changes(order: &Order, node: NodeUid, by: OperationId, at_once: bool) -> Option<Promise> {
    let members = order.params.change.clone()?;
    let edits = order.kind == Kind::Edit;
    edits.then_some(Promise::Changes(Change {
        node,
        by,
        members,
        at_once,
    }))
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
