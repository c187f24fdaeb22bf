//! What the beginning and the end of an operation write: its row, its line in the executed log, and
//! what its end means for the descriptor and the machine's record.

use enginehouse_api::{Operation as View, OperationKind};
use enginehouse_documents::{Action, Config};
use enginehouse_model::{Identity, MachineUid, NodeUid, Timestamp};
use enginehouse_queue::{Final, Operation, Phase};
use enginehouse_store::{Document, OperationRow, Table, Write};
use enginehouse_tree::{Event, LastOperation, Status};

use crate::history::MachineEvent;
use crate::house::{Staged, State};
use crate::orders::Order;
use crate::work::replaces;

/// Version of the stored view of an operation.
pub(crate) const OPERATION_VERSION: u16 = 1;

/// The row of an operation that was just queued.
pub(crate) fn queued(state: &State, operation: &Operation, staged: &mut Staged) {
    let view = crate::view::operation(state, operation, true);
    // A part is ordered with the whole.
    if operation.spec.parent.is_none() {
        let order = Order::of(&operation.spec);
        let params = order.map(|order| order.params).unwrap_or_default();
        staged.audit.order(&view, &params);
    }
    row(staged, &view, operation.spec.target, None);
}

/// An order that was done in the commit that numbered it.
pub(crate) fn quick(
    state: &mut State,
    staged: &mut Staged,
    view: &View,
    order: &Order,
    now: Timestamp,
) {
    let node = order.node;
    staged.audit.order(view, &order.params);
    note_on_node(state, staged, view, node, now, None);
    row(staged, view, node, Some(now));
    executed(staged, view, now);
}

/// The end of an operation of the queue.
pub(crate) fn ended(state: &mut State, operation: &Operation, staged: &mut Staged, now: Timestamp) {
    let Phase::Ended { state: end, .. } = &operation.phase else {
        return;
    };
    let mut view = crate::view::operation(state, operation, true);
    view.ended_at = Some(now);
    staged.because_of(&operation.spec);
    note_approval(operation, staged, now);
    release(state, operation, staged);
    if operation.spec.children.is_empty()
        && let Ok(order) = Order::of(&operation.spec)
    {
        settle_machine(state, staged, operation, &order, *end);
        end_step(state, staged, operation, *end, now);
        crate::continuous::ended(state, staged, operation, &order, *end, now);
        let trouble = view
            .error
            .as_ref()
            .map(|error| error.message.clone())
            .or_else(|| {
                let warnings = &view.result.as_ref()?.warnings;
                (!warnings.is_empty()).then(|| warnings.join("; "))
            });
        note_on_node(state, staged, &view, order.node, now, trouble);
    }
    row(staged, &view, operation.spec.target, Some(now));
    executed(staged, &view, now);
}

/// Why what waited for approval, or had it, was not carried out. That somebody refused it is told by who
/// did.
fn note_approval(operation: &Operation, staged: &mut Staged, now: Timestamp) {
    let Phase::Ended {
        state,
        problem: Some(problem),
    } = &operation.phase
    else {
        return;
    };
    let asked = operation.approval.as_ref();
    let is_late = asked.is_some_and(|asked| !asked.granted && now >= asked.until);
    let decision = match state {
        Final::Superseded => "stale",
        Final::Failed if is_late => "expired",
        Final::Failed | Final::Succeeded | Final::Cancelled => return,
    };
    let spec = &operation.spec;
    staged.audit.approval_void(spec, decision, &problem.message);
}

/// Numbers that the operation had reserved are free again: what it made is in the lists now.
fn release(state: &mut State, operation: &Operation, staged: &mut Staged) {
    let number = operation.number();
    let held: Vec<_> = state
        .reservations
        .iter()
        .filter(|(_, holder)| **holder == number)
        .map(|(key, _)| key.clone())
        .collect();
    for key in held {
        state.reservations.remove(&key);
        let (hypervisor, space, value) = key;
        staged.writes.push(Write::Delete {
            table: Table::Reservation,
            key: crate::work::reservation_key(hypervisor, &space, value),
        });
    }
}

/// The machine that an operation has destroyed, as its plan names it.
fn destroyed(operation: &Operation) -> Option<Identity> {
    let planned = (operation.steps.iter()).filter_map(|step| {
        step.body
            .read::<enginehouse_reconcile::PlannedAction>()
            .ok()
    });
    planned
        .filter(|planned| matches!(planned.request.action, Action::Destroy { .. }))
        .find_map(|planned| planned.request.machine)
        .map(|machine| Identity {
            machine_id: machine.id,
            kind: machine.kind,
            host: machine.host,
            incarnation: None,
        })
}

/// The edges of the descriptor's state, and the record.
fn settle_machine(
    state: &mut State,
    staged: &mut Staged,
    operation: &Operation,
    order: &Order,
    end: Final,
) {
    let result = match (order.kind, end) {
        (OperationKind::Deploy | OperationKind::Adopt, Final::Succeeded) => {
            state.tree.transition(order.node, Event::Deploy)
        }
        (_, Final::Succeeded) if order.was_taken_back(state.record_of(order.node)) => return,
        (_, Final::Succeeded) if order.destroys() => {
            let machine = state
                .tree
                .descriptor(order.node)
                .ok()
                .and_then(|body| body.machine);
            let result = state.tree.transition(order.node, Event::Undeploy);
            if let Some(machine) = machine {
                if let Some(mut record) = state.records.remove(&machine) {
                    // The step that destroyed it has taken its id off the record.
                    if record.identity.is_none() {
                        record.identity = destroyed(operation);
                    }
                    let event = match &record.identity {
                        Some(_) => MachineEvent::Removed,
                        None => MachineEvent::NeverMade,
                    };
                    staged.history.machine(state, &record, event);
                }
                staged.writes.push(Write::Delete {
                    table: Table::Machine,
                    key: machine.to_string(),
                });
            }
            result
        }
        (OperationKind::Adopt, Final::Failed | Final::Cancelled | Final::Superseded) => {
            let not_taken = state.record_of(order.node).filter(|record| {
                record.mark.operation == operation.number() && record.deployed == Config::default()
            });
            if let Some(uid) = not_taken.map(|record| record.uid) {
                forget(state, staged, order.node, uid, Some(MachineEvent::NotTaken));
            }
            return;
        }
        // Another machine was made in the place of the one that the descriptor had.
        (_, Final::Succeeded) if is_between(state, order.node) && replaces(operation) => {
            state.tree.transition(order.node, Event::Deploy)
        }
        (_, Final::Failed | Final::Cancelled | Final::Superseded)
            if order.kind == OperationKind::Deploy || replaces(operation) =>
        {
            // Of another operation's record this one knows nothing: it may never have begun, or the
            // other may be at work.
            let never_was = state.record_of(order.node).filter(|record| {
                record.mark.operation == operation.number()
                    && record.identity.is_none()
                    && record.deployed == Config::default()
                    && operation.created.is_empty()
                    && operation.state.made_nothing()
            });
            if let Some(uid) = never_was.map(|record| record.uid) {
                forget_machine(state, staged, order.node, uid);
            }
            note_deployed(state, staged, order.node);
            return;
        }
        _ => {
            note_deployed(state, staged, order.node);
            return;
        }
    };
    match result {
        Ok(change) => staged.nodes(&state.tree, &change),
        Err(error) => {
            tracing::error!(operation = %operation.number(), %error, "the descriptor's state was not changed")
        }
    }
    note_deployed(state, staged, order.node);
}

/// A step that has begun and did not succeed has ended as well, and may have had an effect all the same:
/// what was seen of the machine before does not count any more.
fn end_step(
    state: &mut State,
    staged: &mut Staged,
    operation: &Operation,
    end: Final,
    now: Timestamp,
) {
    if end == Final::Succeeded || operation.state.request.is_none() {
        return;
    }
    let uid = state.record_of(operation.spec.target).map(|it| it.uid);
    if let Some(record) = uid.and_then(|uid| state.records.get_mut(&uid)) {
        record.last_step_ended = now;
        staged.record(record);
    }
}

/// Whether the old machine of a replace is gone.
fn is_between(state: &State, node: NodeUid) -> bool {
    let body = state.tree.descriptor(node);
    body.is_ok_and(|body| body.status == Status::Provisioned)
}

/// Keeps what the machine is now in the node's history, if that has changed.
fn note_deployed(state: &mut State, staged: &mut Staged, node: NodeUid) {
    let Some(uid) = state.record_of(node).map(|record| record.uid) else {
        return;
    };
    let Some(record) = state.records.get_mut(&uid).filter(|record| record.unnoted) else {
        return;
    };
    record.unnoted = false;
    let record = record.clone();
    staged.record(&record);
    staged.history.machine(state, &record, MachineEvent::Linked);
}

/// Takes a machine that does not exist off the record of a provisioned descriptor.
pub(crate) fn forget_machine(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    machine: MachineUid,
) {
    forget(state, staged, node, machine, None);
}

/// `event`: what is noted of it; none: that it was lost or never made.
fn forget(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    machine: MachineUid,
    event: Option<MachineEvent>,
) {
    match state.tree.set_machine(node, None) {
        Ok(change) => staged.nodes(&state.tree, &change),
        Err(error) => {
            tracing::error!(%error, "a machine was not taken off the record");
            return;
        }
    }
    if let Some(record) = state.records.remove(&machine) {
        let event = event.unwrap_or(match &record.identity {
            Some(_) => MachineEvent::Lost,
            None => MachineEvent::NeverMade,
        });
        staged.history.machine(state, &record, event);
    }
    staged.writes.push(Write::Delete {
        table: Table::Machine,
        key: machine.to_string(),
    });
}

fn note_on_node(
    state: &mut State,
    staged: &mut Staged,
    view: &View,
    node: NodeUid,
    now: Timestamp,
    trouble: Option<String>,
) {
    if state.tree.descriptor(node).is_err() {
        return;
    }
    let last = LastOperation {
        number: view.number,
        kind: view.kind.as_str().to_owned(),
        who: view.who.clone(),
        when: now,
        outcome: view.state.as_str().to_owned(),
    };
    match state.tree.set_last_operation(node, last, trouble) {
        Ok(change) => staged.nodes(&state.tree, &change),
        Err(error) => tracing::error!(%error, "the last operation was not noted"),
    }
}

fn row(staged: &mut Staged, view: &View, node: NodeUid, ended_at: Option<Timestamp>) {
    match Document::of(OPERATION_VERSION, view) {
        Ok(document) => staged.writes.push(Write::Operation(OperationRow {
            id: view.number,
            state: view.state.as_str().to_owned(),
            targets: vec![node.to_string()],
            queued_at: view.queued_at,
            ended_at,
            plan: view.plan.as_ref().map(|plan| plan.0.clone()),
            document,
        })),
        Err(error) => tracing::error!(%error, "an operation was not written"),
    }
}

fn executed(staged: &mut Staged, view: &View, now: Timestamp) {
    staged.told.ended(view);
    let row = crate::results::line(view, now);
    staged.writes.push(Write::Executed(row));
}
