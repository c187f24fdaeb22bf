//! Orders that change only the tree.

use enginehouse_api::{ErrorCode, Operation, OperationKind, OperationRequest, Problem};
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use uuid::Uuid;

use crate::house::{Staged, State};
use crate::orders::definition::{check_edit, edit_definition, new_definition};
use crate::orders::projected::check_projected;
use crate::orders::settings;
use crate::orders::{Order, check_revision, find, spec};

/// Carries the order out now, or queues it behind the operations on the same descriptor.
pub(super) fn order(
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
    // Who may do what does not wait for machines.
    let waits = !creates && request.kind != OperationKind::SetGrants;
    if waits && state.queue.lane(node).next().is_some() {
        check_projected(state, node, request.kind)?;
        if request.kind == OperationKind::Edit {
            check_edit(state, &order)?;
        }
        let number = state.number();
        let spec = spec(number, &order, who, now, None);
        staged.output = state.queue.submit(vec![spec], now);
        return crate::view::of_number(state, number);
    }
    let number = OperationId(state.last_operation.0 + 1);
    apply_to_tree(state, staged, &order)?;
    if creates && let Ok(made) = state.tree.find(&request.path) {
        order.node = made;
    }
    state.last_operation = number;
    let mut operation = crate::view::quick(number, &order, who, now);
    if let Some(result) = &mut operation.result
        && matches!(order.kind, OperationKind::Provision | OperationKind::Edit)
    {
        result.warnings = settings::warnings(state, order.node);
    }
    crate::conclude::quick(state, staged, &operation, order.node, now);
    Ok(operation)
}

/// Carries out an order that changes only the tree.
pub(crate) fn apply_to_tree(
    state: &mut State,
    staged: &mut Staged,
    order: &Order,
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
        OperationKind::SetGrants => {
            let grants = crate::orders::grants::changed(state, order)?;
            state.tree.set_grants(order.node, grants)
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
