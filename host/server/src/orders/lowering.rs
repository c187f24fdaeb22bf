//! Protection that an order takes away.
//!
//! By whatever route it goes, an edit, a move, an import, the removal of a node, or a rollback that
//! writes an earlier definition: what protects machines is not made less by the way. The order has to
//! say that this is wanted (`confirm_lowered`), and the audit log says that it was. An order that waited
//! is judged again when it runs, by what it finds then.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_tree::{Change, Guard, Touched, Tree};

use crate::house::State;
use crate::orders::Order;
use crate::orders::tree::try_edit;

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

/// Refuses at once what would be refused when its turn comes. What cannot be tried yet is judged then.
pub(super) fn check(state: &mut State, order: &Order) -> Result<(), Problem> {
    let writes = match order.kind {
        OperationKind::Edit
        | OperationKind::Move
        | OperationKind::RemoveFolder
        | OperationKind::Deprovision => true,
        OperationKind::Reconfigure => order.changes_definition(),
        _ => false,
    };
    if !writes || order.params.confirm_lowered {
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
