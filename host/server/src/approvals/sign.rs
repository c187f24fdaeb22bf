//! Yes and no of people.

use enginehouse_api::{ErrorCode, Problem};
use enginehouse_approval::{
    Refused, Request, Signature, SignatureError, Signed, Signer, request_of, signed_of, text,
    units_in,
};
use enginehouse_audit::Action;
use enginehouse_documents::Code;
use enginehouse_model::{OperationId, Timestamp};
use enginehouse_queue::{Event, Operation, Phase};
use enginehouse_tree::Permission;

use super::request::asked_of;
use crate::access::Caller;
use crate::audit::Note;
use crate::house::{Staged, State};

/// Longest reason of a refusal, characters.
const REASON_MAX: usize = 500;

/// An operation that waits for approval, or those parts of it that do.
pub(crate) fn waiting(state: &State, number: OperationId) -> Vec<&Operation> {
    let whole = state.queue.get(number);
    let parts = whole
        .into_iter()
        .flat_map(|operation| operation.all_parts());
    let waits = |operation: &&Operation| operation.phase == Phase::WaitingApproval;
    let parts = parts.filter_map(|part| state.queue.get(part)).filter(waits);
    let mut found: Vec<&Operation> = whole.into_iter().filter(waits).chain(parts).collect();
    found.sort_by_key(|operation| operation.number());
    found
}

/// Takes a signature in for all of `number` that waits, or for what the given text names.
///
/// # Errors
/// When it is not a signature of that text by somebody who may approve it. Nothing has changed then.
pub(crate) fn sign(
    state: &mut State,
    staged: &mut Staged,
    caller: &Caller,
    number: OperationId,
    armoured: &str,
    given: Option<&str>,
    now: Timestamp,
) -> Result<(), Problem> {
    let signature = Signature::parse(armoured).map_err(|error| unreadable(&error))?;
    let units = asked_for(state, caller, number, given)?;
    let signed_text = text(&units).unwrap_or_default();
    if let Some(given) = given
        && given != signed_text
    {
        return Err(Problem::new(
            ErrorCode::Stale,
            "the text is not the one that is to be signed now",
        )
        .with_hint(way_to_sign(number)));
    }
    let mut taken: Vec<(OperationId, Signed, bool)> = Vec::new();
    for (number, request) in &units {
        let operation = state.queue.get(*number);
        let before = operation.map(signed_of).unwrap_or_default();
        let signer = signer(state, *number, request, &signature, &signed_text, now)?;
        let mut signers: Vec<Signer> = before.iter().map(Signed::signer).collect();
        let target = operation.map(|operation| operation.spec.target);
        let asked = target.and_then(|node| asked_of(state, node, &request.author));
        let missing = |signers: &[Signer]| {
            asked
                .as_ref()
                .map_or(0, |asked| asked.quorum.missing(signers))
        };
        let before = missing(&signers);
        signers.push(signer.clone());
        let after = missing(&signers);
        if after == before {
            continue;
        }
        let signed = Signed {
            owner: signer.owner,
            fingerprint: signer.fingerprint,
            by: caller.who().to_owned(),
            at: now,
            signature: armoured.trim().to_owned(),
        };
        taken.push((*number, signed, after == 0));
    }
    if taken.is_empty() {
        return Err(Problem::new(
            ErrorCode::Conflict,
            format!("whose key it is has approved operation {number} already"),
        )
        .with_hint(format!(
            "the others have to sign: `enginehouse approvals show {number}`"
        )));
    }
    for (number, signed, enough) in taken {
        if let Some(operation) = state.queue.get(number) {
            let note = Note::new(Action::Approval, caller.who())
                .about(Some(operation.spec.target), &operation.spec.target_name)
                .operation(Some(number))
                .with("decision", "signed")
                .with("owner", &signed.owner)
                .with("key", &signed.fingerprint);
            staged.audit.push(match enough {
                true => note.with("enough", true),
                false => note,
            });
        }
        let document = serde_json::to_value(&signed)
            .map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
        let output = state
            .queue
            .sign(number, document, enough, now)
            .map_err(|illegal| Problem::new(ErrorCode::WrongState, illegal.to_string()))?;
        staged.output.append(output);
    }
    Ok(())
}

/// Whose signature it is, of one unit.
fn signer(
    state: &State,
    number: OperationId,
    request: &Request,
    signature: &Signature,
    text: &str,
    now: Timestamp,
) -> Result<Signer, Problem> {
    if now >= request.until || request.epoch != state.fence.epoch.0 {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("it is too late to approve operation {number}"),
        )
        .with_hint("order it again"));
    }
    let target = state
        .queue
        .get(number)
        .map(|operation| operation.spec.target);
    let asked = target.and_then(|node| asked_of(state, node, &request.author));
    let Some(asked) = asked else {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("no approval is asked for {} any more", request.unit.name),
        )
        .with_hint(format!(
            "`enginehouse ops cancel {number}`, and order it again"
        )));
    };
    let counted = asked.quorum.sign(signature, text.as_bytes());
    counted.map_err(|refused| not_counted(&refused, number, &asked.by.to_string()))
}

/// The units that are meant, all of them waiting, and all of them the caller's to approve.
fn asked_for(
    state: &State,
    caller: &Caller,
    number: OperationId,
    given: Option<&str>,
) -> Result<Vec<(OperationId, Request)>, Problem> {
    let mut waits = waiting(state, number);
    if let Some(given) = given {
        let named = units_in(given);
        waits.retain(|operation| named.contains(&operation.number()));
    }
    if waits.is_empty() {
        return Err(nothing_waits(state, number));
    }
    let mut units = Vec::new();
    for operation in waits {
        caller.must(state, operation.spec.target, Permission::Approve)?;
        if operation.spec.who == caller.who() {
            return Err(Problem::new(
                ErrorCode::Forbidden,
                format!(
                    "{} ordered operation {}: who orders something does not approve it, nor hands the approval in",
                    caller.who(),
                    operation.number()
                ),
            )
            .with_hint("somebody else with the role approver or admin there has to do it"));
        }
        units.extend(request_of(operation).map(|request| (operation.number(), request)));
    }
    Ok(units)
}

/// A person says no to all of `number` that waits.
///
/// # Errors
/// When nothing of it waits, or the caller may not.
pub(crate) fn refuse(
    state: &mut State,
    staged: &mut Staged,
    caller: &Caller,
    number: OperationId,
    reason: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            format!("a refusal has a reason, of at most {REASON_MAX} characters"),
        ));
    }
    let mut refused = Vec::new();
    for operation in waiting(state, number) {
        caller.must(state, operation.spec.target, Permission::Approve)?;
        let spec = &operation.spec;
        staged.audit.push(
            Note::new(Action::Approval, caller.who())
                .about(Some(spec.target), &spec.target_name)
                .operation(Some(spec.number))
                .with("decision", "refused")
                .with("reason", reason),
        );
        refused.push(spec.number);
    }
    if refused.is_empty() {
        return Err(nothing_waits(state, number));
    }
    for number in refused {
        let message = format!("{} refused it: {reason}", caller.who());
        let problem = enginehouse_documents::Problem::new(Code::Denied, message);
        let output = state
            .queue
            .handle(number, Event::Refused(problem), now)
            .map_err(|illegal| Problem::new(ErrorCode::WrongState, illegal.to_string()))?;
        staged.output.append(output);
    }
    Ok(())
}

fn nothing_waits(state: &State, number: OperationId) -> Problem {
    let is = match state.queue.get(number) {
        Some(operation) => operation.state_name(),
        None => "over",
    };
    Problem::new(
        ErrorCode::WrongState,
        format!("operation {number} is {is}, and does not wait for approval"),
    )
    .with_hint("`enginehouse approvals list` says what does")
}

fn way_to_sign(number: OperationId) -> String {
    format!(
        "get it anew with `enginehouse approvals text {number} > FILE`, and sign exactly that: `ssh-keygen -Y sign -n enginehouse -f KEY FILE`"
    )
}

fn unreadable(error: &SignatureError) -> Problem {
    Problem::new(ErrorCode::BadRequest, format!("the signature: {error}"))
        .with_hint("send what `ssh-keygen -Y sign -n enginehouse -f KEY FILE` writes into FILE.sig")
}

fn not_counted(refused: &Refused, number: OperationId, by: &str) -> Problem {
    let problem = Problem::new(ErrorCode::Forbidden, refused.to_string());
    match refused {
        Refused::Signature(_) => problem.with_hint(way_to_sign(number)),
        Refused::Stranger(_) => problem.with_hint(format!(
            "`enginehouse approvals show {number}` says who may sign; who governs {by} gives keys the right"
        )),
        Refused::Author { .. } => {
            problem.with_hint("somebody else whose key is on the list has to sign")
        }
    }
}
