//! The tree, one node, and what the host says of itself.

use std::collections::HashSet;

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use enginehouse_api::{
    ComputedValue, ErrorCode, Healthz, Info, LastError, LastOperation, Node, NodeKind,
    OperationKind, OperationState, Origin, OriginVia, Problem, ProtectedMachine, Status, TreeNode,
};
use enginehouse_model::{FullName, NodeUid, OperationId};
use enginehouse_reconcile::{FieldChange, Intent, MachinePlan, Rules, Subject};
use enginehouse_tree::{Computed, Permission};
use serde::Deserialize;
use serde_json::Value;

use crate::access::Caller;
use crate::hold::Hold;
use crate::house::{House, State as HouseState};
use crate::rest::answer::{Answer, Params};

/// Levels that a listing shows at most. Each is two of JSON, and what reads that takes 127 of them.
const DEPTH_MAX: u32 = 60;

pub(crate) async fn healthz() -> Json<Healthz> {
    Json(Healthz {
        status: "ok".to_owned(),
    })
}

pub(crate) async fn info(caller: Caller) -> Json<Info> {
    let house = caller.house();
    let (epoch, on_hold) = {
        let state = house.state.lock();
        (state.fence.epoch.0, state.hold.as_ref().map(Hold::view))
    };
    Json(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installation: house.installation,
        epoch,
        on_hold,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TreeQuery {
    #[serde(default = "FullName::root")]
    path: FullName,
    depth: Option<u32>,
}

pub(crate) async fn tree(
    caller: Caller,
    Params(query): Params<TreeQuery>,
) -> Answer<Json<TreeNode>> {
    let state = caller.house().state.lock();
    let depth = query.depth.map_or(DEPTH_MAX, |depth| depth.min(DEPTH_MAX));
    let ways = caller.ways(&state);
    let listing = Listing {
        caller: &caller,
        house: caller.house(),
        state: &state,
        ways: &ways,
    };
    let found = state.tree.find(&query.path);
    let way = found.ok().filter(|uid| listing.is_way(*uid));
    let node = match way {
        Some(way) => listing.way(way, depth)?,
        None => listing.node(caller.find(&state, &query.path)?, depth)?,
    };
    Ok(Json(node))
}

/// A listing for one caller.
struct Listing<'a> {
    caller: &'a Caller,
    house: &'a House,
    state: &'a HouseState,
    /// Folders that lead to what the caller may read.
    ways: &'a HashSet<NodeUid>,
}

impl Listing<'_> {
    /// Whether a folder is shown only because it leads to what the caller may read.
    fn is_way(&self, uid: NodeUid) -> bool {
        self.ways.contains(&uid) && !self.caller.may(self.state, uid, Permission::Read)
    }

    /// A folder that the caller may not read: its name, and what of it leads on.
    fn way(&self, uid: NodeUid, depth: u32) -> Result<TreeNode, Problem> {
        let of_lookup = |error| crate::problem::of_lookup(&error);
        let below = self.state.tree.children(uid).map_err(of_lookup)?;
        let mut shown: Vec<(bool, NodeUid)> = below
            .filter(|child| {
                self.ways.contains(&child.uid)
                    || self.caller.may(self.state, child.uid, Permission::Read)
            })
            .map(|child| (!child.is_folder(), child.uid))
            .collect();
        shown.sort_by_key(|(is_descriptor, _)| *is_descriptor);
        let cut = depth == 0 && !shown.is_empty();
        let children = if depth == 0 { Vec::new() } else { shown };
        Ok(TreeNode {
            uid,
            full_name: self.state.tree.full_name(uid).map_err(of_lookup)?.clone(),
            kind: NodeKind::Folder,
            status: None,
            machine_id: None,
            hypervisor: None,
            busy: None,
            pending_change: false,
            drifted: false,
            paused: false,
            last_error: None,
            children: children
                .into_iter()
                .map(|(_, child)| {
                    if self.is_way(child) {
                        self.way(child, depth - 1)
                    } else {
                        self.node(child, depth - 1)
                    }
                })
                .collect::<Result<_, _>>()?,
            cut,
            way: true,
        })
    }

    /// A node that the caller may read, and with it all below.
    fn node(&self, uid: NodeUid, depth: u32) -> Result<TreeNode, Problem> {
        tree_node(self.house, self.state, uid, depth)
    }
}

fn tree_node(
    house: &House,
    state: &HouseState,
    uid: NodeUid,
    depth: u32,
) -> Result<TreeNode, Problem> {
    let of_lookup = |error| crate::problem::of_lookup(&error);
    let node = state.tree.node(uid).map_err(of_lookup)?;
    let computed = state.tree.computed(uid).map_err(of_lookup)?;
    let body = node.body();
    let mut below: Vec<(bool, NodeUid)> = state
        .tree
        .children(uid)
        .map_err(of_lookup)?
        .map(|child| (!child.is_folder(), child.uid))
        .collect();
    // Folders first; the tree has them by name already.
    below.sort_by_key(|(is_descriptor, _)| *is_descriptor);
    let cut = depth == 0 && !below.is_empty();
    let children = if depth == 0 {
        Vec::new()
    } else {
        below
            .into_iter()
            .map(|(_, child)| tree_node(house, state, child, depth - 1))
            .collect::<Result<_, _>>()?
    };
    Ok(TreeNode {
        uid,
        full_name: computed.full_name().clone(),
        kind: kind(node),
        status: body.map(|body| status(body.status)),
        machine_id: machine_id(state, uid),
        hypervisor: body.and(computed.hypervisor()).map(|h| h.name.clone()),
        busy: busy(state, uid),
        pending_change: body.is_some() && !pending(house, state, uid).is_empty(),
        drifted: crate::continuous::is_drifted(state, uid),
        paused: state.pauses.is_on(uid),
        last_error: body.and_then(|body| body.last_error.clone()),
        children,
        cut,
        way: false,
    })
}

fn kind(node: &enginehouse_tree::Node) -> NodeKind {
    if node.is_folder() {
        NodeKind::Folder
    } else {
        NodeKind::Descriptor
    }
}

pub(crate) fn status(status: enginehouse_tree::Status) -> Status {
    match status {
        enginehouse_tree::Status::Provisioned => Status::Provisioned,
        enginehouse_tree::Status::Deployed => Status::Deployed,
        enginehouse_tree::Status::Unreachable => Status::Unreachable,
    }
}

fn machine_id(state: &HouseState, uid: NodeUid) -> Option<String> {
    let record = state.record_of(uid)?;
    Some(record.identity.as_ref()?.machine_id.clone())
}

/// The operation that works on it now: the first of its lane that has left the queue.
fn busy(state: &HouseState, uid: NodeUid) -> Option<OperationId> {
    state
        .queue
        .lane(uid)
        .find(|operation| operation.phase != enginehouse_queue::Phase::Pending)
        .map(enginehouse_queue::Operation::number)
}

/// What a `reconfigure` would change, in words: the definition against the deployed config.
fn pending(house: &House, state: &HouseState, uid: NodeUid) -> Vec<String> {
    let computed = state.tree.computed(uid).ok();
    computed
        .map(|computed| pending_of(house, state, uid, &computed))
        .unwrap_or_default()
}

/// The same, were this the node's definition.
pub(crate) fn pending_of(
    house: &House,
    state: &HouseState,
    uid: NodeUid,
    computed: &Computed,
) -> Vec<String> {
    pending_plan(house, state, uid, computed)
        .map(|plan| {
            plan.pending
                .iter()
                .map(|change| format!("{} {} -> {}", change.field, change.from, change.to))
                .collect()
        })
        .unwrap_or_default()
}

/// What the definition has changed of a machine.
pub(crate) fn pending_changes_of(
    house: &House,
    state: &HouseState,
    uid: NodeUid,
    computed: &Computed,
) -> Vec<FieldChange> {
    let plan = pending_plan(house, state, uid, computed);
    plan.map(|plan| plan.pending).unwrap_or_default()
}

fn pending_plan(
    house: &House,
    state: &HouseState,
    uid: NodeUid,
    computed: &Computed,
) -> Option<MachinePlan> {
    let body = state.tree.descriptor(uid).ok()?;
    if body.status == enginehouse_tree::Status::Provisioned {
        return None;
    }
    let record = state.record_of(uid)?;
    let hypervisor = state.tree.hypervisor(record.hypervisor)?;
    let kind = hypervisor.entry.kind.as_ref()?;
    let engine = house
        .engines
        .iter()
        .find(|engine| engine.is_called(&kind.0));
    let rules = engine.map_or_else(Rules::default, |engine| Rules::new(engine.description()));
    let config = computed.config_or(&record.deployed);
    let subject = Subject {
        name: computed.full_name(),
        node: uid,
        machine: Some(record.uid),
        hypervisor: record.hypervisor,
        hypervisor_name: &hypervisor.name,
        intent: Intent::Observe,
        shutdown_timeout_ms: None,
        desired: Some(&config),
        record: Some(record),
        observed: None,
        rules: &rules,
        assessment: None,
    };
    Some(enginehouse_reconcile::plan_one(&subject))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeQuery {
    path: FullName,
}

pub(crate) async fn node(
    caller: Caller,
    Params(query): Params<NodeQuery>,
) -> Answer<impl IntoResponse> {
    let mut node = whole(&caller, &query.path)?;
    if let Some(last) = &mut node.last_error {
        explain(&caller, last).await;
    }
    let etag = format!("\"{}\"", node.revision);
    Ok(([(header::ETAG, etag)], Json(node)))
}

fn whole(caller: &Caller, path: &FullName) -> Result<Node, Problem> {
    let house = caller.house();
    let state = house.state.lock();
    let of_lookup = |error| crate::problem::of_lookup(&error);
    let uid = caller.find(&state, path)?;
    let node = state.tree.node(uid).map_err(of_lookup)?;
    let computed = state.tree.computed(uid).map_err(of_lookup)?;
    let Value::Object(local_definition) = node.local.redacted() else {
        return Err(Problem::new(
            ErrorCode::Internal,
            "the definition is no object",
        ));
    };
    let body = node.body();
    Ok(Node {
        uid,
        full_name: computed.full_name().clone(),
        kind: kind(node),
        revision: node.revision,
        status: body.map(|body| status(body.status)),
        machine_id: machine_id(&state, uid),
        local_definition,
        computed_definition: computed
            .origins()
            .into_iter()
            .map(|line| ComputedValue {
                origin: origin(&line.origin),
                key: line.key,
                value: Value::String(line.value),
            })
            .collect(),
        deployed_config: state.record_of(uid).map(|record| record.deployed.clone()),
        pending_changes: pending(house, &state, uid),
        drift: crate::continuous::drift_of(house, &state, uid),
        returned: crate::inventory::returned(house, &state, uid),
        protected: (crate::orders::protected(&state, uid)).map(|protected| ProtectedMachine {
            since: protected.since,
            by: protected.by.clone(),
        }),
        paused: (state.pauses.of(&state.tree, uid)).and_then(|pause| pause.view(&state.tree)),
        last_error: body.and_then(last_error),
        last_operation: body.and_then(last_operation),
        busy: busy(&state, uid),
    })
}

pub(super) fn origin(origin: &enginehouse_tree::Origin) -> Origin {
    Origin {
        node: origin.full_name().clone(),
        via: origin.via().map(|via| OriginVia {
            name: via.name.clone(),
            defined_at: via.full_name.clone(),
        }),
    }
}

fn last_error(body: &enginehouse_tree::DescriptorBody) -> Option<LastError> {
    let message = body.last_error.clone()?;
    let last = body.last_operation.as_ref();
    Some(LastError {
        operation: last.map(|last| last.number),
        at: last.map(|last| last.when).unwrap_or_default(),
        code: last.map(|last| last.outcome.clone()).unwrap_or_default(),
        message,
        hint: None,
    })
}

/// Code and hint of a last error, as the operation's own row has them.
async fn explain(caller: &Caller, last: &mut LastError) {
    let Some(number) = last.operation else {
        return;
    };
    let Ok(operation) = super::operations::find_operation(caller, number).await else {
        return;
    };
    match operation.error {
        Some(error) => {
            last.code = error.code;
            last.hint = error.hint;
        }
        None => "warnings".clone_into(&mut last.code),
    }
}

fn last_operation(body: &enginehouse_tree::DescriptorBody) -> Option<LastOperation> {
    let last = body.last_operation.as_ref()?;
    Some(LastOperation {
        number: last.number,
        kind: OperationKind::from_name(&last.kind)?,
        who: last.who.clone(),
        at: last.when,
        outcome: OperationState::from_name(&last.outcome)?,
    })
}
