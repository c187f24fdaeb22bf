//! Whether an operation may carry out its plan, by what was approved.

use enginehouse_model::documents::{Code, Problem};
use enginehouse_model::{InstallationId, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::{Grounds, PlannedAction, Unit};

use crate::asked::Asked;
use crate::quorum::Signer;
use crate::request::{Request, Signed, request_of, signed_of};

/// Under what people are asked.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub installation: InstallationId,
    /// The life of the installation: what was signed in another does not count.
    pub epoch: u64,
    /// How long people have, milliseconds.
    pub lifetime_ms: u64,
}

/// What becomes of an operation whose plan was just made.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on: nothing of it is to be approved, or it was.
    Go,
    /// People are asked.
    Ask(Box<Request>),
    /// What was approved is another now.
    Outdated(Problem),
    /// It cannot be approved by anybody.
    Never(Problem),
}

/// Decides by the unit of the plan. `asked`: who may sign now; none where nobody is asked.
#[must_use]
pub fn decide(
    asked: Option<&Asked>,
    terms: &Terms,
    operation: &Operation,
    unit: Option<&Unit>,
    now: Timestamp,
) -> Verdict {
    let spec = &operation.spec;
    let (Some(unit), Some(asked)) = (unit, asked) else {
        return Verdict::Go;
    };
    let epoch = terms.epoch;
    let is_granted = (operation.approval.as_ref()).is_some_and(|approval| approval.granted);
    // What lowers protection and what destroys are two questions of one operation.
    let request = request_of(operation)
        .filter(|request| is_granted && request.epoch == epoch)
        .filter(|request| request.unit.is_lowering() == unit.is_lowering());
    if let Some(request) = request {
        return match stale(&request, unit, operation, asked, now) {
            Some(problem) => Verdict::Outdated(problem),
            None => Verdict::Go,
        };
    }
    if !asked.quorum.can_be_met() {
        return Verdict::Never(cannot_be_met(asked, &spec.who));
    }
    Verdict::Ask(Box::new(Request {
        installation: terms.installation,
        epoch,
        kind: spec.kind.clone(),
        author: spec.who.clone(),
        asked_at: now,
        until: now.plus_ms(terms.lifetime_ms),
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
pub fn before_step(
    asked: Option<&Asked>,
    epoch: u64,
    operation: &Operation,
    planned: &PlannedAction,
    grounds: &Grounds<'_>,
    now: Timestamp,
) -> Result<(), Problem> {
    let Some(asked) = asked.filter(|_| planned.is_gated()) else {
        return Ok(());
    };
    let granted = operation.approval.as_ref().filter(|it| it.granted);
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
    covers(&request, planned, grounds)?;
    match missing(operation, asked) {
        0 => Ok(()),
        missing => Err(outdated(&format!(
            "{missing} of the signatures do not count any more: the keys of {} were changed",
            asked.by
        ))),
    }
}

/// Before a step is tried again that was begun, and of which nothing is at the provider: it may have been put
/// off for long. What was approved is used by then, so neither keys nor time count any more; what it rests
/// on does.
///
/// # Errors
/// When it would be another than was approved.
pub fn still_covers(
    operation: &Operation,
    planned: &PlannedAction,
    grounds: &Grounds<'_>,
) -> Result<(), Problem> {
    let granted = operation.approval.as_ref().filter(|it| it.granted);
    match granted.and_then(|_| request_of(operation)) {
        Some(request) => covers(&request, planned, grounds),
        None => Ok(()),
    }
}

fn covers(
    request: &Request,
    planned: &PlannedAction,
    grounds: &Grounds<'_>,
) -> Result<(), Problem> {
    let covered = request.unit.covers(planned, grounds);
    covered.map_err(|difference| {
        outdated(&format!(
            "it is not what was approved any more: {difference}"
        ))
    })
}

/// Whether a gated step of the operation was begun before the current one.
#[must_use]
pub fn is_used(operation: &Operation) -> bool {
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
