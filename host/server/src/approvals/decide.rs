//! Whether an operation may carry out its plan, by what was approved: what the definition asks for now.

use enginehouse_approval::{Terms, Verdict};
use enginehouse_documents::Problem;
use enginehouse_model::{InstallationId, NodeUid, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::{Grounds, PlannedAction, Unit};

use super::request::asked_of;
use crate::house::State;

/// Decides by the unit of the plan; `lifetime_ms`: how long people have.
pub(crate) fn decide(
    state: &State,
    installation: InstallationId,
    operation: &Operation,
    unit: Option<&Unit>,
    lifetime_ms: u64,
    now: Timestamp,
) -> Verdict {
    let spec = &operation.spec;
    let asked = asked_of(state, spec.target, &spec.who);
    let terms = Terms {
        installation,
        epoch: state.fence.epoch.0,
        lifetime_ms,
    };
    enginehouse_approval::decide(asked.as_ref(), &terms, operation, unit, now)
}

/// Right before a step that is gated is journalled as begun.
///
/// # Errors
/// When it is not approved as it would be done now.
pub(crate) fn before_step(
    state: &State,
    operation: &Operation,
    planned: &PlannedAction,
    grounds: &Grounds<'_>,
    now: Timestamp,
) -> Result<(), Problem> {
    let spec = &operation.spec;
    let asked = asked_of(state, spec.target, &spec.who);
    let epoch = state.fence.epoch.0;
    enginehouse_approval::before_step(asked.as_ref(), epoch, operation, planned, grounds, now)
}

/// What a plan says of a machine with gated actions.
pub(crate) fn waits_in_plan(state: &State, node: NodeUid) -> Option<String> {
    let computed = state.tree.computed(node).ok()?;
    let need = computed.approvals()?.need;
    let by = computed.approvals_by()?;
    let approvals = match need {
        1 => "1 approval".to_owned(),
        need => format!("{need} approvals"),
    };
    Some(format!("{approvals}, which {by} asks for"))
}
