//! Drift that may be repaired without a person is.

use std::sync::Arc;

use enginehouse_api::{Automatic, OnFailure, OperationKind, OperationRequest, Params};
use enginehouse_model::{HypervisorUid, MachineUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Final, Operation};
use enginehouse_reconcile::{Bounds, Class, FieldChange, PlannedAction};
use enginehouse_tree::{Policy, Status};

use crate::continuous::RECONCILER;
use crate::continuous::watched::{Tried, Watched, put};
use crate::house::{House, Staged, State};
use crate::orders::Order;

/// Automatic operations of one hypervisor that are open at a time.
const AT_ONCE: usize = 4;
/// Milliseconds until the same is tried again, after it came to nothing.
pub(super) const AGAIN_MS: u64 = 3_600_000;

/// How far the host may go by itself with the machine of a node: `pending`, also for what its definition
/// changed.
pub(crate) fn bounds(state: &State, node: NodeUid, pending: bool) -> Bounds {
    let policy = state.tree.computed(node).map(|computed| computed.policy());
    let watched = state.record_of(node);
    let watched = watched.and_then(|record| state.watched.get(&record.uid));
    Bounds {
        most: match policy {
            Ok(Policy::Observe) | Err(_) => None,
            Ok(Policy::Benign) => Some(Class::Benign),
            Ok(Policy::Disruptive) => Some(Class::Disruptive),
        },
        pending,
        left: watched.map_or_else(Default::default, |watched| watched.repairs.all_left()),
    }
}

/// Whether anything may be begun by itself at a machine now.
pub(super) fn may_begin(state: &State, hypervisor: HypervisorUid, node: NodeUid) -> bool {
    let body = state.tree.descriptor(node);
    body.is_ok_and(|body| body.status == Status::Deployed)
        && state.queue.lane(node).next().is_none()
        && !state.queue.is_braked(hypervisor)
        && state.queue.lost(hypervisor).is_none()
        && state.pauses.of(&state.tree, node).is_none()
}

/// Orders what is due at a hypervisor, some at a time, what has drifted longest first.
pub(super) async fn order(house: &Arc<House>, hypervisor: HypervisorUid) {
    for _ in 0..AT_ONCE {
        let ordered = house
            .transact(|state, staged, now| Ok(order_next(house, state, staged, hypervisor, now)))
            .await;
        if !ordered.is_ok_and(|ordered| ordered) {
            return;
        }
    }
}

fn order_next(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    hypervisor: HypervisorUid,
    now: Timestamp,
) -> bool {
    let here = state.queue.iter().filter(|operation| {
        operation.spec.who == RECONCILER && operation.spec.hypervisor == Some(hypervisor)
    });
    if here.count() >= AT_ONCE {
        return false;
    }
    let Some((machine, node)) = next(state, hypervisor, now) else {
        return false;
    };
    let Ok(path) = state.tree.full_name(node).cloned() else {
        return false;
    };
    let request = OperationRequest {
        kind: OperationKind::Reconfigure,
        path,
        params: params(Automatic::Repair),
    };
    let ordered = crate::orders::automatic(house, state, staged, &request, None, now);
    let number = match ordered {
        Ok(operation) => operation.number,
        Err(problem) => {
            tracing::warn!(path = %request.path, "drift is not repaired: {}", problem.detail);
            OperationId(0)
        }
    };
    let mut watched = state.watched.get(&machine).cloned().unwrap_or_default();
    watched.tried = Some(Tried {
        at: now,
        operation: number,
        changes: changes(&watched),
    });
    put(&mut state.watched, staged, machine, watched);
    true
}

/// What an automatic order says.
pub(super) fn params(automatic: Automatic) -> Params {
    Params {
        automatic: Some(automatic),
        // What is right by now stays, whatever becomes of the rest.
        on_failure: Some(OnFailure::Keep),
        ..Params::default()
    }
}

/// The machine whose turn it is.
fn next(state: &State, hypervisor: HypervisorUid, now: Timestamp) -> Option<(MachineUid, NodeUid)> {
    let due = state.watched.iter().filter_map(|(machine, watched)| {
        let record = state.records.get(machine)?;
        let kept_back = watched.kept_back.as_ref()?;
        let is_due = |field: &str| {
            kept_back.iter().all(|kept| kept.field != field)
                && watched.repairs.left(field).is_none()
        };
        let drift = watched.drift(record).iter();
        let since = drift
            .filter(|drifted| is_due(&drifted.field))
            .map(|drifted| drifted.since)
            .min()?;
        let tried = watched.tried.as_ref();
        let is_over = tried.is_none_or(|tried| {
            now.since(tried.at) >= AGAIN_MS || tried.changes != changes(watched)
        });
        let here = record.hypervisor == hypervisor && is_over;
        (here && may_begin(state, hypervisor, record.node)).then_some((
            since,
            *machine,
            record.node,
        ))
    });
    due.min().map(|(_, machine, node)| (machine, node))
}

fn changes(watched: &Watched) -> Vec<FieldChange> {
    let drift = watched.drift.iter();
    drift
        .map(|drifted| FieldChange {
            field: drifted.field.clone(),
            from: drifted.deployed.clone(),
            to: drifted.observed.clone(),
        })
        .collect()
}

/// What the end of an operation on one machine says of what was repaired.
pub(crate) fn ended(
    state: &mut State,
    staged: &mut Staged,
    operation: &Operation,
    order: &Order,
    end: Final,
    now: Timestamp,
) {
    let Some(machine) = state.record_of(order.node).map(|record| record.uid) else {
        return;
    };
    let Some(mut watched) = state.watched.get(&machine).cloned() else {
        return;
    };
    let brings_to_definition = matches!(
        order.kind,
        OperationKind::Reconfigure | OperationKind::Deploy | OperationKind::Rollback
    );
    match (order.params.automatic, end) {
        (Some(_), Final::Succeeded) if !operation.steps.is_empty() => {
            let planned = operation.steps.iter();
            let planned: Vec<PlannedAction> =
                planned.filter_map(|step| step.body.read().ok()).collect();
            let fields = planned.iter().flat_map(|planned| &planned.fields);
            let drifted = fields.filter(|change| {
                let mut drift = watched.drift.iter();
                drift.any(|drifted| drifted.field == change.field)
            });
            watched
                .repairs
                .repaired(drifted.map(|change| change.field.as_str()), now);
            watched.tried = None;
        }
        (None, Final::Succeeded | Final::Failed) if brings_to_definition => {
            watched.repairs.forget();
            watched.tried = None;
        }
        (Some(_) | None, _) => return,
    }
    put(&mut state.watched, staged, machine, watched);
}
