//! What clients order: checked against what the queue will leave, numbered, and taken in.
//!
//! Orders that change only the tree are done in the commit that numbers them, unless operations on
//! the same descriptor come before: then they wait in its lane like everything else.

use std::sync::Arc;

use enginehouse_api::{
    Change as KeyChange, ErrorCode, Operation, OperationKind, OperationRequest, OperationState,
    Params, Problem,
};
use enginehouse_documents::Code;
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Limits, Spec};
use enginehouse_reconcile::Intent;
use enginehouse_tree::{Definition, Event, KeyEdit, KeyPath, Status, next};
use uuid::Uuid;

use crate::house::{House, Staged, State};

/// An order with its target found.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub kind: OperationKind,
    pub node: NodeUid,
    pub path: FullName,
    pub params: Params,
}

impl Order {
    /// The order behind an operation of the queue.
    pub(crate) fn of(spec: &Spec) -> Result<Self, enginehouse_documents::Problem> {
        let broken = |error: serde_json::Error| {
            enginehouse_documents::Problem::new(Code::Invalid, error.to_string())
        };
        Ok(Self {
            kind: kind_of(&spec.kind).map_err(broken)?,
            node: spec.target,
            path: spec.target_name.clone(),
            params: serde_json::from_value(spec.params.clone()).map_err(broken)?,
        })
    }

    pub(crate) fn changes_definition(&self) -> bool {
        self.params.definition.is_some() || !self.params.changes.is_empty()
    }

    /// What the planner is asked for.
    pub(crate) fn intent(&self) -> Intent {
        intent(self.kind, &self.params)
    }
}

pub(crate) fn kind_of(name: &str) -> Result<OperationKind, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
}

pub(crate) fn intent(kind: OperationKind, params: &Params) -> Intent {
    let graceful = !params.force;
    match kind {
        OperationKind::Deploy => Intent::Deploy,
        OperationKind::Reconfigure => Intent::Reconfigure,
        OperationKind::Start => Intent::Start,
        OperationKind::Stop => Intent::Stop { graceful },
        OperationKind::Restart => Intent::Restart { graceful },
        OperationKind::Undeploy => Intent::Undeploy {
            keep: crate::work::keep(params.keep_disks),
        },
        OperationKind::CreateFolder
        | OperationKind::RemoveFolder
        | OperationKind::Provision
        | OperationKind::Deprovision
        | OperationKind::Edit => Intent::Observe,
    }
}

pub(crate) fn works_on_machine(kind: OperationKind) -> bool {
    match kind {
        OperationKind::Deploy
        | OperationKind::Undeploy
        | OperationKind::Reconfigure
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::Restart => true,
        OperationKind::CreateFolder
        | OperationKind::RemoveFolder
        | OperationKind::Provision
        | OperationKind::Deprovision
        | OperationKind::Edit => false,
    }
}

/// Takes an order in. The answer is durable: ended for quick kinds, pending for the others.
pub(crate) async fn accept(
    house: &Arc<House>,
    request: OperationRequest,
    who: &str,
    if_match: Option<u64>,
) -> Result<Operation, Problem> {
    check_params(&request)?;
    house
        .transact(|state, staged, now| {
            if works_on_machine(request.kind) {
                queue_machine_order(house, state, staged, &request, who, if_match, now)
            } else {
                tree_order(state, staged, &request, who, if_match, now)
            }
        })
        .await
}

fn check_params(request: &OperationRequest) -> Result<(), Problem> {
    let params = &request.params;
    let kind = request.kind;
    let defines = matches!(
        kind,
        OperationKind::CreateFolder
            | OperationKind::Provision
            | OperationKind::Edit
            | OperationKind::Reconfigure
    );
    let stops = matches!(
        kind,
        OperationKind::Undeploy | OperationKind::Stop | OperationKind::Restart
    );
    let undeploys = kind == OperationKind::Undeploy;
    for (name, given, allowed) in [
        ("definition", params.definition.is_some(), defines),
        ("changes", !params.changes.is_empty(), defines),
        ("keep_disks", params.keep_disks, undeploys),
        ("force", params.force, stops),
        (
            "shutdown_timeout_s",
            params.shutdown_timeout_s.is_some(),
            stops,
        ),
    ] {
        if given && !allowed {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                format!("`{kind}` has no parameter `{name}`"),
            ));
        }
    }
    Ok(())
}

fn tree_order(
    state: &mut State,
    staged: &mut Staged,
    request: &OperationRequest,
    who: &str,
    if_match: Option<u64>,
    now: Timestamp,
) -> Result<Operation, Problem> {
    let creates = matches!(
        request.kind,
        OperationKind::CreateFolder | OperationKind::Provision
    );
    let node = if creates {
        parent_of(state, &request.path)?
    } else {
        find(state, &request.path)?
    };
    if let Some(expected) = if_match {
        check_revision(state, node, &request.path, expected)?;
    }
    let mut order = Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    if !creates && state.queue.lane(node).next().is_some() {
        check_projected(state, node, request.kind)?;
        if request.kind == OperationKind::Edit {
            // Wrong definitions are told at once, not when their turn comes.
            edit_definition(state, &order)?;
        }
        let number = state.number();
        let spec = spec(number, &order, who, now, None);
        staged.output = state.queue.submit(vec![spec], now);
        return crate::view::of_number(state, number);
    }
    let number = OperationId(state.last_operation.0 + 1);
    apply_to_tree(state, staged, &order, number)?;
    if creates && let Ok(made) = state.tree.find(&request.path) {
        order.node = made;
    }
    state.last_operation = number;
    let operation = crate::view::quick(number, &order, who, now);
    crate::conclude::quick(state, staged, &operation, order.node, now);
    Ok(operation)
}

/// Carries out an order that changes only the tree.
pub(crate) fn apply_to_tree(
    state: &mut State,
    staged: &mut Staged,
    order: &Order,
    _number: OperationId,
) -> Result<(), Problem> {
    let uids = &mut Uuid::now_v7;
    let change = match order.kind {
        OperationKind::CreateFolder | OperationKind::Provision => {
            let definition = new_definition(order)?;
            let name = order.path.name().to_owned();
            if order.kind == OperationKind::CreateFolder {
                state
                    .tree
                    .create_folder(order.node, &name, definition, uids)
            } else {
                state.tree.provision(order.node, &name, definition, uids)
            }
        }
        OperationKind::RemoveFolder => state.tree.remove_folder(order.node),
        OperationKind::Deprovision => state.tree.deprovision(order.node),
        OperationKind::Edit => {
            let definition = edit_definition(state, order)?;
            state
                .tree
                .set_definition(order.node, definition, None, uids)
        }
        OperationKind::Deploy
        | OperationKind::Undeploy
        | OperationKind::Reconfigure
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::Restart => {
            return Err(Problem::new(
                ErrorCode::Internal,
                format!("`{}` is no change of the tree", order.kind),
            ));
        }
    }
    .map_err(|error| crate::problem::of_edit(&error))?;
    staged.nodes(&state.tree, &change);
    Ok(())
}

fn new_definition(order: &Order) -> Result<Definition, Problem> {
    let document = serde_json::Value::Object(order.params.definition.clone().unwrap_or_default());
    let definition = Definition::parse(&order.path, &document)
        .map_err(|errors| crate::problem::of_definition(&errors))?;
    edited(definition, order)
}

/// The definition that an `edit` or `reconfigure` leaves.
pub(crate) fn edit_definition(state: &State, order: &Order) -> Result<Definition, Problem> {
    let node = state
        .tree
        .node(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let base = match &order.params.definition {
        Some(document) => {
            let mut document = serde_json::Value::Object(document.clone());
            keep_secrets(&mut document, &node.local.to_json());
            Definition::parse(&order.path, &document)
                .map_err(|errors| crate::problem::of_definition(&errors))?
        }
        None => node.local.clone(),
    };
    edited(base, order)
}

fn edited(base: Definition, order: &Order) -> Result<Definition, Problem> {
    let edits: Vec<(KeyPath, KeyEdit)> = order
        .params
        .changes
        .iter()
        .map(|change| match change {
            KeyChange::Set { key, value } => {
                (KeyPath::from_keys(key.clone()), KeyEdit::Set(value.clone()))
            }
            KeyChange::Unset { key } => (KeyPath::from_keys(key.clone()), KeyEdit::Remove),
        })
        .collect();
    base.edited(&order.path, &edits)
        .map_err(|errors| crate::problem::of_definition(&errors))
}

/// Puts the secrets of `before` where `document` has what output shows in their place.
fn keep_secrets(document: &mut serde_json::Value, before: &serde_json::Value) {
    match (document, before) {
        (serde_json::Value::Object(members), serde_json::Value::Object(before)) => {
            for (key, value) in members {
                if let Some(before) = before.get(key) {
                    keep_secrets(value, before);
                }
            }
        }
        (document, before) if document.as_str() == Some(enginehouse_api::HIDDEN) => {
            *document = before.clone();
        }
        _ => {}
    }
}

fn queue_machine_order(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    request: &OperationRequest,
    who: &str,
    if_match: Option<u64>,
    now: Timestamp,
) -> Result<Operation, Problem> {
    let node = find(state, &request.path)?;
    if let Some(expected) = if_match {
        check_revision(state, node, &request.path, expected)?;
    }
    let order = Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    let is_folder = state.tree.node(node).is_ok_and(|node| node.is_folder());
    let targets = if is_folder {
        if order.changes_definition() {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                "a folder is not reconfigured with changes",
            )
            .with_hint("`edit` the folder first, then `reconfigure` it"));
        }
        folder_targets(state, &order)?
    } else {
        check_projected(state, node, order.kind)?;
        vec![(node, order.path.clone())]
    };
    for (node, path) in &targets {
        check_machine_order(state, *node, path, &order)?;
    }
    if order.kind == OperationKind::Undeploy && !order.params.confirm_destructive {
        return Err(Problem::new(
            ErrorCode::NeedsConfirmation,
            match targets.as_slice() {
                [(_, path)] => format!("undeploy destroys the machine of {path}"),
                _ => format!(
                    "undeploy destroys {} machines below {}",
                    targets.len(),
                    order.path
                ),
            },
        )
        .with_hint(
            "look at the plan, then confirm with `confirm_destructive` (command line: --yes)",
        ));
    }
    let specs = if is_folder {
        let parent = state.number();
        let children: Vec<Spec> = targets
            .into_iter()
            .map(|(node, path)| {
                let part = Order {
                    node,
                    path,
                    ..order.clone()
                };
                let number = state.number();
                let hypervisor = slot_of(house, state, node);
                let mut spec = spec(number, &part, who, now, hypervisor);
                spec.parent = Some(parent);
                spec
            })
            .collect();
        let mut whole = spec(parent, &order, who, now, None);
        whole.children = children.iter().map(|child| child.number).collect();
        std::iter::once(whole).chain(children).collect()
    } else {
        let number = state.number();
        let hypervisor = slot_of(house, state, node);
        vec![spec(number, &order, who, now, hypervisor)]
    };
    let first = specs.first().map_or(OperationId(0), |spec| spec.number);
    staged.output = state.queue.submit(specs, now);
    crate::view::of_number(state, first)
}

fn spec(
    number: OperationId,
    order: &Order,
    who: &str,
    now: Timestamp,
    hypervisor: Option<enginehouse_model::HypervisorUid>,
) -> Spec {
    Spec {
        number,
        kind: order.kind.as_str().to_owned(),
        target: order.node,
        target_name: order.path.clone(),
        who: who.to_owned(),
        queued_at: now,
        params: serde_json::to_value(&order.params).unwrap_or_default(),
        parent: None,
        children: Vec::new(),
        hypervisor,
    }
}

/// The hypervisor whose slots an operation on `node` counts against; its limits are told to the
/// queue on the way.
fn slot_of(
    house: &House,
    state: &mut State,
    node: NodeUid,
) -> Option<enginehouse_model::HypervisorUid> {
    let recorded = state.record_of(node).map(|record| record.hypervisor);
    let uid = recorded.or_else(|| {
        let computed = state.tree.computed(node).ok()?;
        computed.hypervisor().map(|hypervisor| hypervisor.uid)
    })?;
    let limits = limits_of(&house.config, state, uid);
    state.queue.set_limits(uid, limits);
    Some(uid)
}

/// The limits that a hypervisor's entry gives, and the host's own for the rest.
fn limits_of(
    config: &crate::ServeConfig,
    state: &State,
    uid: enginehouse_model::HypervisorUid,
) -> Limits {
    let mut limits = default_limits(config);
    if let Some(hypervisor) = state.tree.hypervisor(uid) {
        let written = hypervisor.entry.limits;
        if let Some(operations) = written.concurrent {
            limits.operations = (operations as usize).max(1);
        }
        if let Some(copies) = written.clones_per_template {
            limits.copies_per_template = (copies as usize).max(1);
        }
        if let Some(seconds) = written.busy_timeout_s {
            limits.busy_ms = u64::from(seconds) * 1000;
        }
    }
    limits
}

/// Tells the queue the limits of every hypervisor of the tree.
pub(crate) fn set_all_limits(config: &crate::ServeConfig, state: &mut State) {
    let uids: Vec<_> = state.tree.hypervisors().iter().map(|h| h.uid).collect();
    for uid in uids {
        let limits = limits_of(config, state, uid);
        state.queue.set_limits(uid, limits);
    }
}

pub(crate) fn default_limits(config: &crate::ServeConfig) -> Limits {
    Limits {
        busy_ms: u64::try_from(config.busy_timeout.as_millis()).unwrap_or(u64::MAX),
        ..Limits::default()
    }
}

fn check_machine_order(
    state: &State,
    node: NodeUid,
    path: &FullName,
    order: &Order,
) -> Result<(), Problem> {
    let computed = state
        .tree
        .computed(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    match order.kind {
        OperationKind::Deploy if computed.hypervisor().is_none() => Err(Problem::new(
            ErrorCode::Invalid,
            format!("{path} has no hypervisor to be deployed on"),
        )
        .with_hint(
            "name one with `use_hypervisor`, here or on a folder above, and define it under `hypervisors`",
        )),
        OperationKind::Undeploy if computed.protect() => Err(Problem::new(
            ErrorCode::Forbidden,
            format!("{path} is protected: it is not undeployed"),
        )
        .with_hint("set `protect: false` on it first, if it really is to go")),
        OperationKind::Reconfigure if order.changes_definition() => {
            edit_definition(state, order).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// The descriptors below a folder that the order can be about, in the order of their names.
fn folder_targets(state: &State, order: &Order) -> Result<Vec<(NodeUid, FullName)>, Problem> {
    let below: Vec<NodeUid> = state
        .tree
        .descriptors(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?
        .map(|node| node.uid)
        .collect();
    let all = below.len();
    let targets: Vec<(NodeUid, FullName)> = below
        .into_iter()
        .filter(|node| check_projected(state, *node, order.kind).is_ok())
        .filter_map(|node| {
            let name = state.tree.full_name(node).ok()?;
            Some((node, name.clone()))
        })
        .collect();
    if targets.is_empty() {
        let problem = Problem::new(
            ErrorCode::WrongState,
            match all {
                0 => format!("there is no descriptor below {}", order.path),
                _ => format!(
                    "none of the {all} descriptors below {} is in a state for `{}`",
                    order.path, order.kind
                ),
            },
        );
        return Err(problem.with_hint(format!("see `enginehouse tree {}`", order.path)));
    }
    Ok(targets)
}

/// Is the kind possible in the state that the operations in the lane will leave?
fn check_projected(state: &State, node: NodeUid, kind: OperationKind) -> Result<(), Problem> {
    let full_name = state
        .tree
        .full_name(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let body = state
        .tree
        .descriptor(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let mut status = Some(body.status);
    let mut machine = body.machine.is_some();
    for operation in state.queue.lane(node) {
        match operation.spec.kind.as_str() {
            "deploy" => (status, machine) = (Some(Status::Deployed), true),
            "undeploy" => (status, machine) = (Some(Status::Provisioned), false),
            "deprovision" => status = None,
            _ => {}
        }
    }
    let Some(status) = status else {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("{full_name} is about to be deprovisioned"),
        ));
    };
    let event = match kind {
        OperationKind::Deploy => Event::Deploy,
        OperationKind::Undeploy => Event::Undeploy,
        OperationKind::Deprovision => Event::Deprovision,
        OperationKind::Reconfigure
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::Restart => {
            return match status {
                Status::Deployed => Ok(()),
                Status::Provisioned => Err(Problem::new(
                    ErrorCode::WrongState,
                    format!("`{kind}` of {full_name} is refused while {status}"),
                )
                .with_hint("`deploy` makes the machine; `edit` changes the definition before")),
                Status::Unreachable => Err(Problem::new(
                    ErrorCode::WrongState,
                    format!("`{kind}` of {full_name} is refused while {status}"),
                )
                .with_hint("wait until its hypervisor is reachable again")),
            };
        }
        OperationKind::CreateFolder
        | OperationKind::RemoveFolder
        | OperationKind::Provision
        | OperationKind::Edit => return Ok(()),
    };
    next(status, machine, event).map(|_| ()).map_err(|refused| {
        Problem::new(
            ErrorCode::WrongState,
            format!(
                "`{}` of {full_name} is refused while {}",
                refused.event, refused.status
            ),
        )
        .with_hint(refused.instead)
    })
}

fn check_revision(
    state: &State,
    node: NodeUid,
    path: &FullName,
    expected: u64,
) -> Result<(), Problem> {
    let found = state
        .tree
        .node(node)
        .map_err(|error| crate::problem::of_lookup(&error))?
        .revision;
    let waits = state
        .queue
        .lane(node)
        .any(|operation| matches!(operation.spec.kind.as_str(), "reconfigure" | "edit"));
    if found == expected && !waits {
        return Ok(());
    }
    Err(Problem::new(
        ErrorCode::Stale,
        if waits {
            format!("a change of {path} is waiting in the queue")
        } else {
            format!("{path} has revision {found}, the order was made for {expected}")
        },
    )
    .with_hint("read it again and decide anew"))
}

pub(crate) fn find(state: &State, path: &FullName) -> Result<NodeUid, Problem> {
    state
        .tree
        .find(path)
        .map_err(|error| crate::problem::of_lookup(&error))
}

fn parent_of(state: &State, path: &FullName) -> Result<NodeUid, Problem> {
    let Some(parent) = path.parent() else {
        return Err(Problem::new(
            ErrorCode::Conflict,
            "the root is always there",
        ));
    };
    find(state, &parent).map_err(|problem| {
        let hint = format!("make it with `enginehouse folder create {parent}`");
        match problem.hint {
            Some(_) => problem,
            None => problem.with_hint(hint),
        }
    })
}

/// The state of an operation that ended, as the API says it.
pub(crate) fn final_state(state: enginehouse_queue::Final) -> OperationState {
    match state {
        enginehouse_queue::Final::Succeeded => OperationState::Succeeded,
        enginehouse_queue::Final::Failed => OperationState::Failed,
        enginehouse_queue::Final::Cancelled => OperationState::Cancelled,
    }
}
