//! A person's yes to what an order destroys beside whole machines.
//!
//! It is asked for twice: when the order is given, as far as the definition tells what goes (then
//! nothing has been written yet), and when the plan is made, which knows the rest. Without it nothing of
//! that plan is done.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_documents::{Code, Problem as EngineProblem};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_reconcile::{MachinePlan, PlannedAction, taken_away};

use crate::house::State;
use crate::orders::Order;
use crate::orders::tree::try_edit;

/// Machines that an error names.
const NAMED: usize = 5;

/// Refuses a `reconfigure` after which machines would lack what they have now, unless it says that this
/// is wanted.
///
/// # Errors
/// `needs-confirmation`, with what would go.
pub(super) fn check(
    state: &mut State,
    order: &Order,
    targets: &[(NodeUid, FullName)],
) -> Result<(), Problem> {
    if order.kind != OperationKind::Reconfigure || order.params.confirm_destructive {
        return Ok(());
    }
    if order.params.automatic.is_some() {
        // Nothing that is destroyed is part of its plan.
        return Ok(());
    }
    let change = match order.changes_definition() {
        true => match try_edit(&mut state.tree, order) {
            Ok(change) => Some(change),
            // Whoever writes it says why not.
            Err(_) => return Ok(()),
        },
        false => None,
    };
    let going: Vec<String> = targets
        .iter()
        .filter_map(|(node, path)| going(state, *node, path))
        .collect();
    if let Some(change) = change {
        state
            .tree
            .revert(change)
            .map_err(|error| crate::problem::of_edit(&error))?;
    }
    match going.is_empty() {
        true => Ok(()),
        false => Err(refusal(&going)),
    }
}

/// `disk data of /web/vm1`
fn going(state: &State, node: NodeUid, path: &FullName) -> Option<String> {
    let record = state.record_of(node)?;
    let desired = state.tree.computed(node).ok()?.config();
    let going = taken_away(&desired, record);
    (!going.is_empty()).then(|| format!("{} of {path}", going.join(", ")))
}

fn refusal(going: &[String]) -> Problem {
    let named = going.iter().take(NAMED).cloned();
    let mut named = named.collect::<Vec<_>>().join("; ");
    if let more @ 1.. = going.len().saturating_sub(NAMED) {
        named.push_str(&format!("; and of {more} more machines"));
    }
    Problem::new(
        ErrorCode::NeedsConfirmation,
        format!("the definition no longer has what would be removed: {named}"),
    )
    .with_hint("look at the plan, then confirm with `confirm_destructive` (command line: --yes)")
}

/// Why a plan is not carried out: it destroys something, and nobody has said yes to that.
pub(crate) fn missing(order: &Order, plan: &MachinePlan) -> Option<EngineProblem> {
    if order.params.confirm_destructive {
        return None;
    }
    let destroys = plan.actions.iter().filter(|action| action.is_gated());
    let destroys: Vec<String> = destroys.map(described).collect();
    if destroys.is_empty() {
        return None;
    }
    let mut problem = EngineProblem::new(
        Code::Conflict,
        format!(
            "it needs a yes, and nothing was done: {}",
            destroys.join("; ")
        ),
    );
    problem.detail.hint = Some(
        "look at the plan, then order it again with `confirm_destructive` (command line: --yes)"
            .to_owned(),
    );
    Some(problem)
}

/// `disk-remove is destructive: disk data removed, 100 GiB, with all that is on it`
fn described(planned: &PlannedAction) -> String {
    format!(
        "{} is {}: {}",
        planned.request.action.name(),
        planned.class,
        planned.reason
    )
}
