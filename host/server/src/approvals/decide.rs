//! Whether an operation may carry out its plan, by what was approved.

use enginehouse_approval::Signer;
use enginehouse_documents::{Code, Problem};
use enginehouse_model::{InstallationId, NodeUid, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::{Grounds, PlannedAction, Unit};

use super::request::{Asked, Request, Signed, asked_of, request_of, signed_of};
use crate::house::State;

/// What becomes of an operation whose plan was just made.
pub(crate) enum Verdict {
    /// It goes on: nothing of it is to be approved, or it was.
    Go,
    /// People are asked.
    Ask(Box<Request>),
    /// What was approved is another now.
    Outdated(Problem),
    /// It cannot be approved by anybody.
    Never(Problem),
}

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
    let Some(unit) = unit else {
        return Verdict::Go;
    };
    let Some(asked) = asked_of(state, spec.target, &spec.who) else {
        return Verdict::Go;
    };
    let epoch = state.fence.epoch.0;
    let is_granted = (operation.approval.as_ref()).is_some_and(|approval| approval.granted);
    let request = request_of(operation).filter(|request| is_granted && request.epoch == epoch);
    if let Some(request) = request {
        return match stale(&request, unit, operation, &asked, now) {
            Some(problem) => Verdict::Outdated(problem),
            None => Verdict::Go,
        };
    }
    if !asked.quorum.can_be_met() {
        return Verdict::Never(cannot_be_met(&asked, &spec.who));
    }
    Verdict::Ask(Box::new(Request {
        installation,
        epoch,
        kind: spec.kind.clone(),
        author: spec.who.clone(),
        asked_at: now,
        until: now.plus_ms(lifetime_ms),
        unit: unit.clone(),
    }))
}

/// Why what was approved may not be begun now.
fn stale(
    request: &Request,
    unit: &Unit,
    operation: &Operation,
    asked: &Asked,
    now: Timestamp,
) -> Option<Problem> {
    if now >= request.until {
        return Some(outdated("it was approved, and its turn came too late"));
    }
    if let Some(difference) = request.unit.difference(unit) {
        return Some(outdated(&format!(
            "it is not what was approved any more: {difference}"
        )));
    }
    let missing = missing(operation, asked);
    (missing > 0).then(|| {
        outdated(&format!(
            "{missing} of the signatures do not count any more: the keys of {} were changed",
            asked.by
        ))
    })
}

fn missing(operation: &Operation, asked: &Asked) -> u32 {
    let signed = signed_of(operation);
    let signers: Vec<Signer> = signed.iter().map(Signed::signer).collect();
    asked.quorum.missing(&signers)
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
    if !planned.is_gated() {
        return Ok(());
    }
    let spec = &operation.spec;
    let Some(asked) = asked_of(state, spec.target, &spec.who) else {
        return Ok(());
    };
    let granted = operation.approval.as_ref().filter(|it| it.granted);
    let epoch = state.fence.epoch.0;
    let request = granted.and_then(|_| request_of(operation));
    let Some(request) = request.filter(|request| request.epoch == epoch) else {
        return Err(outdated(&format!(
            "{} asks for approvals by now, and this was not approved",
            asked.by
        )));
    };
    // Once it was used, the rest of the operation goes on with it.
    if !is_used(operation) && now >= request.until {
        return Err(outdated("it was approved, and its turn came too late"));
    }
    request
        .unit
        .covers(planned, grounds)
        .map_err(|difference| {
            outdated(&format!(
                "it is not what was approved any more: {difference}"
            ))
        })?;
    match missing(operation, &asked) {
        0 => Ok(()),
        missing => Err(outdated(&format!(
            "{missing} of the signatures do not count any more: the keys of {} were changed",
            asked.by
        ))),
    }
}

/// Whether a gated step of the operation was begun before the current one.
pub(crate) fn is_used(operation: &Operation) -> bool {
    operation.steps.iter().take(operation.step).any(|step| {
        let planned = step.body.read::<PlannedAction>();
        planned.is_ok_and(|planned| planned.is_gated())
    })
}

fn outdated(message: &str) -> Problem {
    let mut problem = Problem::new(Code::Conflict, message);
    problem.detail.hint =
        Some("order it again to see what it would do now, and to have that approved".to_owned());
    problem
}

fn cannot_be_met(asked: &Asked, author: &str) -> Problem {
    let quorum = &asked.quorum;
    let (need, by) = (quorum.need(), &asked.by);
    let may_sign = quorum.may_sign();
    let who = match may_sign.as_slice() {
        [] => "nobody can sign".to_owned(),
        names => format!("only {} can sign", names.join(", ")),
    };
    let mut message = format!(
        "{by} asks for {need} approvals of what {author} orders, and {who}, with the keys that it has"
    );
    if !asked.unusable.is_empty() {
        message.push_str(&format!(" ({})", asked.unusable.join("; ")));
    }
    let mut problem = Problem::new(Code::Denied, message);
    problem.detail.hint = Some(format!(
        "who governs {by} gives it keys of more people: `approvals: {{need, keys}}`; who orders does not count"
    ));
    problem
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
