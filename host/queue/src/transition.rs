//! The one table of what may follow what.

use enginehouse_model::documents::Note;

use crate::entry::{Entry, Final, Resolution, Token};
use crate::json::Json;
use crate::operation::{Approval, Failing, Once, Operation, Origin, Phase, StepState, Then};

/// Takes `entry` into `operation`, or leaves it alone when it does not fit.
pub(crate) fn apply(operation: &mut Operation, entry: &Entry) -> Result<(), ()> {
    if operation.is_ended() {
        return Err(());
    }
    match entry {
        Entry::Queued { .. } => return Err(()),
        Entry::Started => {
            if operation.is_blocked() || has_parts(operation) || operation.held_until.is_some() {
                return Err(());
            }
            fits(operation, |phase| {
                matches!(phase, Phase::Pending)
                    || matches!(phase, Phase::Postponed { then, .. } if *then == Then::Prepare)
            })?;
            operation.obstacle = None;
            operation.phase = Phase::Starting;
        }
        Entry::Asked { request, until } => {
            fits(operation, |phase| matches!(phase, Phase::Starting))?;
            operation.approval = Some(Box::new(Approval {
                request: Json::from(request),
                until: *until,
                signatures: Vec::new(),
                granted: false,
            }));
            operation.state = StepState::default();
            operation.obstacle = None;
            operation.phase = Phase::WaitingApproval;
        }
        Entry::Signed { signature } => {
            fits(operation, |phase| matches!(phase, Phase::WaitingApproval))?;
            let approval = operation.approval.as_mut().ok_or(())?;
            approval.signatures.push(Json::from(signature));
        }
        Entry::Approved { rank } => {
            fits(operation, |phase| matches!(phase, Phase::WaitingApproval))?;
            let approval = operation.approval.as_mut().ok_or(())?;
            approval.granted = true;
            operation.rank = *rank;
            operation.phase = Phase::Pending;
        }
        Entry::Held { until, problem } => {
            match operation.phase {
                Phase::Starting => {}
                Phase::Calling if operation.state.once == Once::None => {}
                _ => return Err(()),
            }
            forget_plan(operation);
            operation.obstacle = Some(Box::new(problem.clone()));
            operation.held_until = Some(*until);
            operation.holds = operation.holds.saturating_add(1);
            operation.phase = Phase::Pending;
        }
        Entry::Released => {
            operation.held_until.take().ok_or(())?;
            operation.obstacle = None;
        }
        Entry::Planned(plan) => {
            fits(operation, |phase| matches!(phase, Phase::Starting))?;
            operation.steps.clone_from(&plan.steps);
            operation.tries = vec![0; plan.steps.len()];
            note_warnings(operation, &plan.warnings);
            operation.shortfall = plan.shortfall.clone().map(Box::new);
            operation.step = 0;
            operation.state = StepState::default();
            operation.obstacle = None;
            operation.phase = Phase::Between;
        }
        Entry::Skipped { .. } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            if operation.state.once != Once::None {
                return Err(());
            }
            next_step(operation);
        }
        Entry::Called { attempt } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Between | Phase::Calling)
                    || matches!(phase, Phase::Postponed { then, .. } if *then == Then::Call)
            })?;
            if operation.current_step().is_none() {
                return Err(());
            }
            knows_its_request(operation)?;
            if let Some(tries) = operation.tries.get_mut(operation.step)
                && (*tries == 0 || *attempt > 1)
            {
                *tries = tries.saturating_add(1);
            }
            operation.state.attempt = *attempt;
            operation.obstacle = None;
            operation.phase = Phase::Calling;
        }
        Entry::Filled { request } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            if operation.state.request.is_some() {
                return Err(());
            }
            operation.state.request = Some(Json::from(request));
        }
        Entry::Sending { sent, digest } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            if operation.state.once != Once::None {
                return Err(());
            }
            operation.state.once = Once::Sending {
                sent: Box::new(sent.clone()),
                digest: digest.clone(),
            };
        }
        Entry::Answered { response } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            let Once::Sending { sent, digest } = &operation.state.once else {
                return Err(());
            };
            operation.state.once = Once::Answered {
                sent: sent.clone(),
                digest: digest.clone(),
                response: Json::from(response),
            };
        }
        Entry::NotSent { .. } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Calling | Phase::Settling)
            })?;
            if operation.state.once == Once::None {
                return Err(());
            }
            operation.state.once = Once::None;
            if operation.phase == Phase::Settling {
                operation.state.begin_anew();
                operation.state.forgotten = None;
                operation.phase = Phase::Calling;
            }
        }
        Entry::Settling { .. } => {
            settling(operation)?;
        }
        Entry::Broke { problem } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            operation.state.traps += 1;
            if operation.state.traps > 1 {
                operation.state.broken = Some(Box::new(problem.clone()));
            }
        }
        Entry::Moved {
            token,
            created,
            note,
        } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Calling | Phase::Settling)
            })?;
            if operation.phase == Phase::Calling {
                knows_its_request(operation)?;
            }
            leave_phase(operation, token, created, note);
            operation.phase = Phase::Calling;
        }
        Entry::Waiting {
            task,
            token,
            created,
            note,
            ..
        } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Calling | Phase::Settling)
            })?;
            if operation.phase == Phase::Calling {
                knows_its_request(operation)?;
            }
            leave_phase(operation, token, created, note);
            operation.phase = Phase::Waiting {
                task: task.clone(),
                cursor: String::new(),
                polls: 0,
            };
        }
        Entry::TaskEnded { end } => {
            fits(operation, |phase| matches!(phase, Phase::Waiting { .. }))?;
            note_warnings(operation, &end.warnings);
            operation.state.ended = Some(Box::new(end.clone()));
            operation.obstacle = None;
            operation.phase = Phase::Calling;
        }
        Entry::Escalated { .. } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            knows_its_request(operation)?;
            let may = operation
                .current_step()
                .is_some_and(|step| step.may_escalate);
            if !may || operation.state.escalated {
                return Err(());
            }
            operation.state = StepState {
                escalated: true,
                ..StepState::default()
            };
        }
        Entry::Postponed {
            until,
            since,
            problem,
        } => {
            let then = match &operation.phase {
                Phase::Starting => Then::Prepare,
                Phase::Calling => {
                    knows_its_request(operation)?;
                    Then::Call
                }
                Phase::Settling => Then::Settle,
                Phase::Pending
                | Phase::WaitingApproval
                | Phase::Between
                | Phase::Waiting { .. }
                | Phase::Postponed { .. }
                | Phase::InDoubt { .. }
                | Phase::Ended { .. } => return Err(()),
            };
            operation.state.retries += 1;
            let before = operation.state.failing;
            operation.state.failing = Some(Failing {
                code: problem.code,
                since: *since,
                times: before
                    .filter(|before| before.code == problem.code)
                    .map_or(1, |before| before.times.saturating_add(1)),
            });
            operation.obstacle = Some(Box::new(problem.clone()));
            operation.phase = Phase::Postponed {
                until: *until,
                then,
            };
        }
        Entry::Done { created, outcome } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            knows_its_request(operation)?;
            note_created(operation, created);
            note_warnings(operation, &outcome.warnings);
            next_step(operation);
        }
        Entry::Freed { by } => {
            fits(operation, |phase| matches!(phase, Phase::Pending))?;
            if !operation.waits_for().any(|number| number == *by) {
                return Err(());
            }
            operation.freed.push(*by);
        }
        Entry::Ranked { rank, .. } => {
            fits(operation, |phase| matches!(phase, Phase::Pending))?;
            if has_parts(operation) {
                return Err(());
            }
            operation.rank = *rank;
        }
        Entry::RollingBack { parts } => {
            fits(operation, |phase| matches!(phase, Phase::Pending))?;
            if !has_parts(operation) || operation.undo.is_some() {
                return Err(());
            }
            operation.undo = Some(parts.clone());
        }
        Entry::BegunAnew { .. } => {
            fits(operation, |phase| {
                !matches!(
                    phase,
                    Phase::Pending | Phase::WaitingApproval | Phase::InDoubt { .. }
                )
            })?;
            forget_plan(operation);
            operation.obstacle = None;
            operation.phase = Phase::Starting;
        }
        Entry::CancelRequested { who } => operation.cancel = Some(who.clone()),
        Entry::Doubted { reason } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Settling) || crate::decide::may_be_doubted(phase)
            })?;
            operation.obstacle = None;
            if let Phase::Waiting { task, .. } = &operation.phase {
                operation.state.forgotten = Some(task.clone());
            }
            operation.phase = Phase::InDoubt {
                reason: reason.clone(),
            };
        }
        Entry::Resolved { how, .. } => {
            fits(operation, |phase| matches!(phase, Phase::InDoubt { .. }))?;
            match how {
                Resolution::Retry | Resolution::Done => {
                    operation.state.once = Once::None;
                    operation.state.traps = 0;
                    operation.state.broken = None;
                    operation.state.forgotten = None;
                    operation.state.begin_anew();
                }
                Resolution::Anew => {
                    operation.state = StepState {
                        attempt: operation.state.attempt,
                        touched: true,
                        ..StepState::default()
                    };
                }
            }
            operation.phase = Phase::Calling;
        }
        Entry::Ended { state, problem } => {
            match &operation.phase {
                Phase::Pending | Phase::WaitingApproval => {}
                // What it was decided on is another now.
                Phase::Starting if *state == Final::Superseded && problem.is_some() => {}
                Phase::Calling if *state == Final::Superseded && problem.is_some() => {
                    knows_its_request(operation)?;
                }
                _ if *state == Final::Superseded => {
                    if !operation.may_be_left() {
                        return Err(());
                    }
                }
                Phase::Starting | Phase::Between | Phase::InDoubt { .. } => {}
                Phase::Calling => knows_its_request(operation)?,
                Phase::Postponed {
                    then: Then::Prepare | Then::Call,
                    ..
                } => {}
                Phase::Waiting { .. } if *state == Final::Superseded && operation.may_be_left() => {
                }
                // Something goes on at the provider, or may.
                Phase::Settling
                | Phase::Waiting { .. }
                | Phase::Postponed {
                    then: Then::Settle, ..
                }
                | Phase::Ended { .. } => return Err(()),
            }
            if let Some(problem) = problem {
                note_created(operation, &problem.detail.created);
            }
            operation.obstacle = None;
            operation.phase = Phase::Ended {
                state: *state,
                problem: problem.clone(),
            };
        }
    }
    Ok(())
}

/// It is planned again from what it finds then.
fn forget_plan(operation: &mut Operation) {
    operation.steps.clear();
    operation.tries.clear();
    operation.step = 0;
    operation.state = StepState::default();
    operation.shortfall = None;
    operation.message.clear();
}

fn has_parts(operation: &Operation) -> bool {
    !operation.spec.children.is_empty()
}

fn fits(operation: &Operation, allowed: impl Fn(&Phase) -> bool) -> Result<(), ()> {
    if allowed(&operation.phase) {
        Ok(())
    } else {
        Err(())
    }
}

/// Nothing goes on while it is not known what became of a request.
fn knows_its_request(operation: &Operation) -> Result<(), ()> {
    match operation.state.once {
        Once::Sending { .. } => Err(()),
        Once::None | Once::Answered { .. } => Ok(()),
    }
}

fn settling(operation: &mut Operation) -> Result<(), ()> {
    match &operation.phase {
        Phase::Calling => {
            match &operation.state.once {
                Once::None => return Err(()),
                Once::Sending { .. } => {}
                Once::Answered { sent, digest, .. } => {
                    operation.state.once = Once::Sending {
                        sent: sent.clone(),
                        digest: digest.clone(),
                    };
                }
            }
            operation.state.begin_anew();
        }
        Phase::Waiting { task, .. } => {
            let Some(origin) = operation.state.origin.take() else {
                return Err(());
            };
            let Origin {
                token,
                attempt,
                mut sent,
                touched,
            } = *origin;
            sent.lost = true;
            operation.state.forgotten = Some(task.clone());
            operation.state.token = token;
            operation.state.attempt = attempt;
            operation.state.touched = touched;
            operation.state.ended = sent.after.clone().map(Box::new);
            operation.state.once = Once::Sending {
                sent,
                digest: String::new(),
            };
        }
        Phase::Postponed {
            then: Then::Settle, ..
        } => {}
        Phase::Pending
        | Phase::Starting
        | Phase::WaitingApproval
        | Phase::Between
        | Phase::Settling
        | Phase::Postponed {
            then: Then::Prepare | Then::Call,
            ..
        }
        | Phase::InDoubt { .. }
        | Phase::Ended { .. } => return Err(()),
    }
    operation.obstacle = None;
    operation.phase = Phase::Settling;
    Ok(())
}

/// A phase of the step ended: what belonged to it goes, but for the way back to its request.
fn leave_phase(operation: &mut Operation, token: &Token, created: &[String], note: &Note) {
    let before = std::mem::take(&mut operation.state);
    let touched = before.touched || before.once != Once::None || !created.is_empty();
    let origin = match before.once {
        Once::Sending { sent, .. } | Once::Answered { sent, .. } => Some(Box::new(Origin {
            token: before.token,
            attempt: before.attempt,
            sent,
            touched: before.touched,
        })),
        Once::None => before.origin,
    };
    operation.state = StepState {
        request: before.request,
        token: Some(token.clone()),
        escalated: before.escalated,
        broken: before.broken,
        phases: before.phases.saturating_add(1),
        origin,
        touched,
        ..StepState::default()
    };
    note_created(operation, created);
    note_warnings(operation, &note.warnings);
    operation.obstacle = None;
    operation.message.clone_from(&note.message);
}

/// An object is named once, although a phase that ran again names it again.
fn note_created(operation: &mut Operation, created: &[String]) {
    for object in created {
        if !operation.created.contains(object) {
            operation.created.push(object.clone());
        }
    }
}

/// A warning is said once: an engine that looks at the end of its task says again what the task said.
fn note_warnings(operation: &mut Operation, warnings: &[String]) {
    for warning in warnings {
        if !operation.warnings.contains(warning) {
            operation.warnings.push(warning.clone());
        }
    }
}

fn next_step(operation: &mut Operation) {
    operation.step += 1;
    operation.state = StepState::default();
    operation.obstacle = None;
    operation.phase = Phase::Between;
}

pub(crate) fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Starting => "starting",
        Phase::WaitingApproval => "waiting-approval",
        Phase::Between => "between",
        Phase::Calling => "calling",
        Phase::Settling => "settling",
        Phase::Waiting { .. } => "waiting",
        Phase::Postponed { .. } => "postponed",
        Phase::InDoubt { .. } => "in-doubt",
        Phase::Ended { .. } => "ended",
    }
}

/// The entry's tag, as in the journal.
pub(crate) fn entry_name(entry: &Entry) -> String {
    match serde_json::to_value(entry) {
        Ok(serde_json::Value::Object(map)) => map
            .get("entry")
            .and_then(|tag| tag.as_str())
            .unwrap_or("?")
            .to_owned(),
        _ => "?".to_owned(),
    }
}
