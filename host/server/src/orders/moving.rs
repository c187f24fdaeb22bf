//! Moving a node: where to, and what must not be under way meanwhile.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::{Change, EditError, Tree};

use crate::house::State;
use crate::orders::Order;

/// Operations below a folder that an error names.
const NAMED: usize = 5;

/// Nodes that an error names.
const LISTED: usize = 100;

/// The new parent and the new name.
fn destination(tree: &Tree, order: &Order) -> Result<(NodeUid, FullName), Problem> {
    let Some(to) = &order.params.to else {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "`move` needs the parameter `to`: the full name that the node gets",
        ));
    };
    let Some(parent) = to.parent() else {
        return Err(Problem::new(
            ErrorCode::Conflict,
            format!("{} cannot take the place of the root", order.path),
        )
        .with_hint("name what it is to be called there, as in `/NAME`"));
    };
    let parent = tree.find(&parent).map_err(|error| {
        let problem = crate::problem::of_lookup(&error);
        problem.with_hint(format!(
            "`to` is the whole new name; make its folder with `enginehouse folder create {parent}`"
        ))
    })?;
    Ok((parent, to.clone()))
}

/// Whether there is such a place, and it is free, for a move that waits: the node may not be free to
/// go yet.
///
/// # Errors
/// As the move itself will have.
pub(super) fn check_destination(tree: &Tree, order: &Order) -> Result<(), Problem> {
    let (parent, to) = destination(tree, order)?;
    let error = if tree
        .full_name(parent)
        .is_ok_and(|name| name.is_within(&order.path))
    {
        EditError::BelowItself(order.path.clone())
    } else if tree.find(&to).is_ok_and(|other| other != order.node) {
        EditError::Exists(to.clone())
    } else {
        return Ok(());
    };
    Err(refused(tree, &error, &to))
}

/// Moves the node in the tree.
pub(super) fn rename(tree: &mut Tree, order: &Order) -> Result<Change, Problem> {
    let (parent, to) = destination(tree, order)?;
    tree.rename(order.node, parent, to.name())
        .map_err(|error| refused(tree, &error, &to))
}

fn refused(tree: &Tree, error: &EditError, to: &FullName) -> Problem {
    let problem = crate::problem::of_edit(error);
    match error {
        EditError::Exists(_) => {
            let is_folder = tree
                .find(to)
                .and_then(|uid| tree.node(uid))
                .is_ok_and(enginehouse_tree::Node::is_folder);
            if is_folder {
                problem.with_hint(format!(
                    "`to` is the whole new name: to move it into that folder, say `{to}/NAME`"
                ))
            } else {
                problem.with_hint("choose another name")
            }
        }
        EditError::FolderInUse { below, .. } => {
            let errors = below.iter().take(LISTED).map(|node| {
                let status = tree.find(node).and_then(|uid| tree.descriptor(uid));
                let status = status.map_or_else(|_| "gone".to_owned(), |b| b.status.to_string());
                enginehouse_api::FieldError {
                    message: Some(status),
                    ..enginehouse_api::FieldError::of(node, "")
                }
            });
            problem
                .with_errors(errors.collect())
                .with_hint("`undeploy` them first: a machine has the name of its descriptor")
        }
        _ => problem,
    }
}

/// Operations name what they are about when they are queued, and look it up as they run: a node does
/// not move while something of it, or below it, is under way or waits.
/// What waits behind the move in the lane of the node itself (`own_lane_too` is false) follows it.
///
/// # Errors
/// `wrong-state`, with the first of them.
pub(super) fn must_be_idle(
    state: &State,
    node: NodeUid,
    path: &FullName,
    own_lane_too: bool,
) -> Result<(), Problem> {
    let walk = state
        .tree
        .walk(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let mut count = 0_usize;
    let mut named = Vec::new();
    for below in walk {
        if below.uid == node && !own_lane_too {
            continue;
        }
        for operation in state.queue.lane(below.uid) {
            count += 1;
            if named.len() < NAMED {
                let spec = &operation.spec;
                named.push(format!(
                    "{} ({} {})",
                    spec.number, spec.kind, spec.target_name
                ));
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    let more = match count.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Problem::new(
        ErrorCode::WrongState,
        format!(
            "`{}` of {path} is refused while operations on it or below it have not ended: {}{more}",
            OperationKind::Move,
            named.join(", ")
        ),
    )
    .with_hint("wait for them (`enginehouse ops wait NUMBER`) or cancel them"))
}
