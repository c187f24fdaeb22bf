//! What an operation writes into the tree when its turn comes: an edit that had to wait, and the definition
//! of a reconfigure. What lowers protection is approved first, where that is asked for.

use std::sync::Arc;

use enginehouse_api::{ErrorCode, OperationKind};
use enginehouse_documents::{Code, Problem};
use enginehouse_model::{OperationId, Timestamp};
use enginehouse_queue::{Event, Spec, StepPlan};
use uuid::Uuid;

use crate::house::{House, Staged, State};
use crate::orders::{
    Order, edit_definition, keep_or_revert, lowering_unit, must_keep_machines, without_literals,
};
use crate::work::prepare::gated;

/// Kinds that change only the tree, when they had to wait in a lane.
pub(super) async fn change_tree(
    house: &Arc<House>,
    generation: u64,
    number: OperationId,
    who: &str,
    order: &Order,
) {
    let _ = house
        .transact(|state, staged, now| {
            if state.generation != generation {
                return Ok(());
            }
            if let Some(operation) = state.queue.get(number) {
                staged.because_of(&operation.spec);
            }
            let allowed = match order.kind {
                OperationKind::Move => crate::access::still_may_move(state, who, order),
                _ => crate::access::still_governs(state, who, order),
            };
            let instead = match allowed {
                Ok(()) => approved_lowering(house, state, staged, number, order, now),
                Err(_) => None,
            };
            let event = instead.unwrap_or_else(|| {
                let result = allowed.and_then(|()| {
                    crate::orders::apply_to_tree(state, staged, order, Some(number), now)
                });
                Event::Prepared(match result {
                    Ok(()) => Ok(StepPlan::default()),
                    Err(problem) => Err(crate::problem::in_operation(problem, Code::Conflict)),
                })
            });
            match state.queue.handle(number, event, now) {
                Ok(output) => staged.output = output,
                Err(illegal) => tracing::error!(%illegal, "an edit was not taken in"),
            }
            Ok(())
        })
        .await;
}

/// What happens instead of a change that lowers protection, where it was not approved as it would be made
/// now. With `None` it goes on, and uses its approval up.
fn approved_lowering(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    number: OperationId,
    order: &Order,
    now: Timestamp,
) -> Option<Event> {
    if !order.params.confirm_lowered {
        // It is refused for that.
        return None;
    }
    let unit = lowering_unit(state, order)?;
    let operation = state.queue.get(number)?.clone();
    let event = gated(
        house,
        state,
        &operation,
        Some(&unit),
        StepPlan::default(),
        now,
    );
    if let Event::Prepared(Ok(_)) = event {
        if operation.approval.is_some() {
            staged.audit.approval_used(&operation);
        }
        return None;
    }
    Some(event)
}

/// The definition of a `reconfigure` is written when it starts to run: what fails after that stays
/// as a pending change. Writing it twice, after a pause or a restart, changes nothing.
pub(super) async fn write_definition(
    house: &Arc<House>,
    generation: u64,
    spec: &Spec,
    order: &Order,
) -> Result<Option<Event>, Problem> {
    house
        .transact(|state, staged, now| {
            state.must_be(generation)?;
            crate::access::still_governs(state, &spec.who, order)?;
            let instead = approved_lowering(house, state, staged, spec.number, order, now);
            if instead.is_some() {
                return Ok(instead);
            }
            let definition = edit_definition(state, order)?;
            must_keep_machines(state, order.node, &definition)?;
            let definition = without_literals(state, staged, order, definition, now)?;
            let change = state
                .tree
                .apply_reconfigure(order.node, definition, None, &mut Uuid::now_v7)
                .map_err(|error| crate::problem::of_edit(&error))?;
            let confirmed = order.params.confirm_lowered;
            let change = keep_or_revert(&mut state.tree, change, confirmed)?;
            staged.because_of(spec);
            staged.nodes(&state.tree, &change);
            Ok(None)
        })
        .await
        .map_err(|problem| {
            let code = match problem.code {
                ErrorCode::Busy | ErrorCode::Internal | ErrorCode::Stale => Code::Busy,
                _ => Code::Invalid,
            };
            crate::problem::in_operation(problem, code)
        })
}
