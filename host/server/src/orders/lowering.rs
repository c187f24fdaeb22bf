//! Protection that an order takes away.
//!
//! By whatever route it goes, an edit, a move, an import, the removal of a node, or a rollback that
//! writes an earlier definition: what protects machines is not made less by the way. The order has to
//! say that this is wanted (`confirm_lowered`), and the audit log says that it was. An order that waited
//! is judged again when it runs, by what it finds then.
//!
//! Where approvals are asked for, that is not enough: the order waits until those who may sign have signed
//! what it lowers, by the approvals that are in force so far. It does so as an operation that leaves its
//! lane, like what destroys a machine, and is made anew and compared when its turn comes.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_reconcile::{FieldChange, Unit};
use enginehouse_tree::{Change, Guard, Touched, Tree};

use crate::house::State;
use crate::orders::tree::try_edit;
use crate::orders::{Order, protecting};

/// Nodes that an error names.
const NAMED: usize = 5;

/// What an edit that was just made lowers, one line for each node.
fn lowered(tree: &Tree, change: &Change) -> Vec<String> {
    let mut lines = Vec::new();
    for before in change.before() {
        let (Some(_), Some(was)) = (before.node, before.computed) else {
            continue;
        };
        let now = tree.computed(before.uid).ok();
        let now = now
            .as_deref()
            .map(|computed| (computed.full_name(), computed.guard()));
        let line = match now {
            Some((name, now)) => {
                difference(&was.guard(), &now).map(|what| format!("{name}: {what}"))
            }
            None => removed(was),
        };
        lines.extend(line);
    }
    lines
}

/// The same of nodes that were looked at in a preview: of what is inherited, only where it is lowered.
pub(super) fn lowered_by(touched: &[Touched]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut above: Vec<(String, String)> = Vec::new();
    for node in touched {
        let Some(was) = &node.before else { continue };
        let Some(now) = &node.after else {
            lines.extend(removed(was));
            continue;
        };
        let Some(what) = difference(&was.guard(), &now.guard()) else {
            continue;
        };
        let name = now.full_name().to_string();
        let is_inherited = above.iter().any(|(folder, of_folder)| {
            let below = name.strip_prefix(folder.trim_end_matches('/'));
            *of_folder == what && below.is_some_and(|rest| rest.starts_with('/'))
        });
        if !is_inherited {
            lines.push(format!("{name}: {what}"));
            above.push((name, what));
        }
    }
    lines
}

fn difference(was: &Guard, now: &Guard) -> Option<String> {
    let changes = was.changes(now).into_iter().filter(|change| change.lowers);
    let changes: Vec<String> = changes
        .map(|change| format!("{} {} -> {}", change.key, change.before, change.after))
        .collect();
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn removed(was: &enginehouse_tree::Computed) -> Option<String> {
    let by = was.protected_by()?;
    Some(format!(
        "{} is removed, and {by} protects it",
        was.full_name()
    ))
}

/// What an order lowers as the tree is now, to be approved; none where it lowers nothing, or cannot be
/// carried out: whoever does that says why not.
pub(crate) fn unit(state: &mut State, order: &Order) -> Option<Unit> {
    let lowered = match order.kind {
        OperationKind::Unprotect => protecting::lowered(state, order),
        _ if writes(order) => {
            let change = try_edit(&mut state.tree, order).ok()?;
            let lowered = fields(&state.tree, &change);
            if let Err(error) = state.tree.revert(change) {
                tracing::error!(%error, "an edit that was looked at was not taken back");
            }
            lowered
        }
        _ => return None,
    };
    Unit::lowering(&order.path, order.node, order.kind.as_str(), lowered)
}

/// Whether an order has to be approved, and said that it is wanted: it cannot be done at once.
pub(super) fn waits_for_approval(state: &mut State, order: &Order) -> bool {
    let asks = state.tree.computed(order.node);
    let asks = asks.is_ok_and(|computed| computed.approvals().is_some());
    asks && order.params.confirm_lowered && unit(state, order).is_some()
}

/// What an edit that was just made lowers, node by node and key by key.
fn fields(tree: &Tree, change: &Change) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    for before in change.before() {
        let (Some(_), Some(was)) = (before.node, before.computed) else {
            continue;
        };
        let uid = before.uid;
        match tree.computed(uid) {
            Ok(now) => {
                let name = now.full_name();
                let changes = was.guard().changes(&now.guard());
                let lowers = changes.into_iter().filter(|change| change.lowers);
                fields.extend(lowers.map(|change| FieldChange {
                    field: format!("{name} ({uid}) {}", change.key),
                    from: change.before,
                    to: change.after,
                }));
            }
            Err(_) => fields.extend(removed(was).map(|_| FieldChange {
                field: format!("{} ({uid}) protect", was.full_name()),
                from: "true".to_owned(),
                to: "removed".to_owned(),
            })),
        }
    }
    fields
}

/// The node that asks for approvals of some node that was looked at and is less protected afterwards.
pub(super) fn approved_by_people(touched: &[Touched]) -> Option<String> {
    touched.iter().find_map(|node| {
        let was = node.before.as_ref()?;
        let by = was.approvals_by()?;
        let is_lowered = match &node.after {
            Some(now) => difference(&was.guard(), &now.guard()).is_some(),
            None => removed(was).is_some(),
        };
        is_lowered.then(|| by.to_string())
    })
}

/// The refusal of an order that would lower this; none where there is nothing, or it was said.
pub(crate) fn refusal(lowered: &[String], confirmed: bool) -> Option<Problem> {
    if lowered.is_empty() || confirmed {
        return None;
    }
    let mut named = lowered
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if let more @ 1.. = lowered.len().saturating_sub(NAMED) {
        named.push_str(&format!("; and {more} more"));
    }
    Some(
        Problem::new(
            ErrorCode::NeedsConfirmation,
            format!("machines would be less protected: {named}"),
        )
        .with_hint(
            "if that is wanted, say so with `confirm_lowered` (command line: --lower-protection); it is written into the audit log",
        ),
    )
}

/// Keeps an edit that was just made, or takes it back and refuses it.
///
/// # Errors
/// `needs-confirmation`, with what is lowered.
pub(crate) fn keep_or_revert(
    tree: &mut Tree,
    change: Change,
    confirmed: bool,
) -> Result<Change, Problem> {
    let Some(problem) = refusal(&lowered(tree, &change), confirmed) else {
        return Ok(change);
    };
    tree.revert(change)
        .map_err(|error| crate::problem::of_edit(&error))?;
    Err(problem)
}

/// Whether it changes what protects machines, by what it writes.
fn writes(order: &Order) -> bool {
    match order.kind {
        OperationKind::Edit
        | OperationKind::Move
        | OperationKind::RemoveFolder
        | OperationKind::Deprovision => true,
        OperationKind::Reconfigure => order.changes_definition(),
        _ => false,
    }
}

/// Refuses at once what would be refused when its turn comes. What cannot be tried yet is judged then.
pub(super) fn check(state: &mut State, order: &Order) -> Result<(), Problem> {
    if !writes(order) || order.params.confirm_lowered {
        return Ok(());
    }
    let Ok(change) = try_edit(&mut state.tree, order) else {
        return Ok(());
    };
    let refused = refusal(&lowered(&state.tree, &change), false);
    state
        .tree
        .revert(change)
        .map_err(|error| crate::problem::of_edit(&error))?;
    refused.map_or(Ok(()), Err)
}
