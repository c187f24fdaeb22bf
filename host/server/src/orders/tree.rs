//! Orders that change only the tree.

use enginehouse_api::{ErrorCode, Operation, OperationKind, OperationRequest, Problem};
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use enginehouse_tree::{Change, Definition, EditError, Preview, Tree};
use uuid::Uuid;

use crate::access::{Caller, check_order};
use crate::house::{Staged, State};
use crate::orders::definition::{changed_definition, check_edit, new_definition};
use crate::orders::hypervisors::must_keep_machines;
use crate::orders::lowering::{self, keep_or_revert};
use crate::orders::projected::check_projected;
use crate::orders::protecting;
use crate::orders::settings;
use crate::orders::{Order, check_params, check_revision, find, moving, spec};

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
    let node = target(state, request)?;
    if let Some(expected) = if_match {
        check_revision(state, node, &request.path, expected)?;
    }
    let mut order = Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    // Who may do what does not wait for machines, and least of all does what protects them.
    let at_once = matches!(
        request.kind,
        OperationKind::SetGrants | OperationKind::Protect | OperationKind::Unprotect
    );
    let waits = !creates && !at_once;
    // What lowers protection where people are asked waits for them.
    let asks = !creates && lowering::waits_for_approval(state, &order);
    if asks && at_once {
        let number = state.number();
        let spec = spec(number, &order, who, now, None);
        staged.output = state.queue.submit(vec![spec], now);
        return crate::view::of_number(state, number);
    }
    if waits && (asks || state.queue.lane(node).next().is_some()) {
        if state.tree.descriptor(node).is_ok() {
            check_projected(state, node, request.kind)?;
        }
        if request.kind == OperationKind::Edit {
            check_edit(state, &order)?;
        }
        if request.kind == OperationKind::Move {
            // So are wrong names. What the operations before it leave was looked at already.
            moving::check_destination(&state.tree, &order)?;
        }
        lowering::check(state, &order)?;
        let number = state.number();
        let spec = spec(number, &order, who, now, None);
        staged.output = state.queue.submit(vec![spec], now);
        return crate::view::of_number(state, number);
    }
    let number = OperationId(state.last_operation.0 + 1);
    staged.because(Some(number), who, order.kind);
    apply_to_tree(state, staged, &order, None, now)?;
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
    crate::conclude::quick(state, staged, &operation, &order, now);
    Ok(operation)
}

/// Carries out an order that changes only the tree. `number` is the operation that waited with it.
pub(crate) fn apply_to_tree(
    state: &mut State,
    staged: &mut Staged,
    order: &Order,
    number: Option<OperationId>,
    now: Timestamp,
) -> Result<(), Problem> {
    if order.kind == OperationKind::Move {
        moving::must_be_idle(state, order.node, &order.path, number.is_none())?;
    }
    if let OperationKind::Protect | OperationKind::Unprotect = order.kind {
        return protecting::carry_out(state, staged, order, now);
    }
    let definition = match definition_of(&state.tree, order)? {
        Some(definition) => Some(without_literals(state, staged, order, definition, now)?),
        None => None,
    };
    takes_no_hypervisor(state, order, definition.as_ref())?;
    let change = edit(&mut state.tree, order, definition)?;
    let change = keep_or_revert(&mut state.tree, change, order.params.confirm_lowered)?;
    staged.nodes(&state.tree, &change);
    Ok(())
}

/// What a client's order would do to the tree as it is now.
///
/// # Errors
/// Those of the order.
pub(crate) fn preview(caller: &Caller, request: &OperationRequest) -> Result<Preview, Problem> {
    check_params(request)?;
    let mut state = caller.house().state.lock();
    check_order(caller, &mut state, request)?;
    let node = target(&state, request)?;
    let order = Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    let waits = state.queue.lane(node).next().is_some();
    if order.kind == OperationKind::Move {
        moving::must_be_idle(&state, order.node, &order.path, false)?;
        if waits {
            check_projected(&state, node, order.kind)?;
        }
    }
    look_at(&mut state, &order)
}

/// The node that an order is about; where one is to be made, its folder.
fn target(state: &State, request: &OperationRequest) -> Result<NodeUid, Problem> {
    match request.kind {
        OperationKind::CreateFolder | OperationKind::Provision => parent_of(state, &request.path),
        _ => find(state, &request.path),
    }
}

/// What an order would do to the tree; nothing is changed. Of a `reconfigure`: what the change of
/// its definition would do.
///
/// # Errors
/// Those of the order; and when it changes nothing but machines.
pub(crate) fn look_at(state: &mut State, order: &Order) -> Result<Preview, Problem> {
    let definition = definition_of(&state.tree, order)?;
    takes_no_hypervisor(state, order, definition.as_ref())?;
    let looked = state
        .tree
        .preview(|tree| edit(tree, order, definition).map_err(Refusal));
    looked.map_err(|Refusal(problem)| problem)
}

/// Makes the change of an order, for who looks at it and takes it back.
pub(super) fn try_edit(tree: &mut Tree, order: &Order) -> Result<Change, Problem> {
    let definition = definition_of(tree, order)?;
    edit(tree, order, definition)
}

/// An order that the tree does not take.
struct Refusal(Problem);

impl From<EditError> for Refusal {
    fn from(error: EditError) -> Self {
        Self(crate::problem::of_edit(&error))
    }
}

/// The definition that an order writes; `None` for one that writes none.
fn definition_of(tree: &Tree, order: &Order) -> Result<Option<Definition>, Problem> {
    match order.kind {
        OperationKind::CreateFolder | OperationKind::Provision => new_definition(order).map(Some),
        OperationKind::Edit => changed_definition(tree, order).map(Some),
        OperationKind::Reconfigure if order.changes_definition() => {
            changed_definition(tree, order).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether the machines on record keep their hypervisors.
fn takes_no_hypervisor(
    state: &State,
    order: &Order,
    definition: Option<&Definition>,
) -> Result<(), Problem> {
    match (order.kind, definition) {
        (OperationKind::Edit | OperationKind::Reconfigure, Some(definition)) => {
            must_keep_machines(state, order.node, definition)
        }
        (OperationKind::RemoveFolder | OperationKind::Deprovision, _) => {
            must_keep_machines(state, order.node, &Definition::default())
        }
        _ => Ok(()),
    }
}

fn edit(tree: &mut Tree, order: &Order, definition: Option<Definition>) -> Result<Change, Problem> {
    let uids = &mut Uuid::now_v7;
    let name = order.path.name();
    match (order.kind, definition) {
        (OperationKind::CreateFolder, Some(definition)) => {
            tree.create_folder(order.node, name, definition, uids)
        }
        (OperationKind::Provision, Some(definition)) => {
            tree.provision(order.node, name, definition, uids)
        }
        (OperationKind::Edit, Some(definition)) => {
            tree.set_definition(order.node, definition, None, uids)
        }
        (OperationKind::Reconfigure, Some(definition)) => {
            tree.apply_reconfigure(order.node, definition, None, uids)
        }
        (OperationKind::RemoveFolder, _) => tree.remove_folder(order.node),
        (OperationKind::Deprovision, _) => tree.deprovision(order.node),
        (OperationKind::Move, _) => return moving::rename(tree, order),
        (OperationKind::SetGrants, _) => {
            let grants = crate::orders::grants::changed(tree, order)?;
            tree.set_grants(order.node, grants)
        }
        _ => {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                format!("`{}` is no change of the tree", order.kind),
            )
            .with_hint("`enginehouse plan` shows what it would do to machines"));
        }
    }
    .map_err(|error| crate::problem::of_edit(&error))
}

/// An order that an older version queued may still carry a password.
pub(crate) fn without_literals(
    state: &State,
    staged: &mut Staged,
    order: &Order,
    mut definition: Definition,
    now: Timestamp,
) -> Result<Definition, Problem> {
    crate::secrets::seal_definition(state, staged, &order.path, &mut definition, "upgrade", now)?;
    Ok(definition)
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
