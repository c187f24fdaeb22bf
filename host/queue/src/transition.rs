//! The one table of what may follow what.

use enginehouse_model::documents::Note;

use crate::entry::{Entry, Token};
use crate::operation::{Once, Operation, Phase, StepState, Then};

/// Takes `entry` into `operation`, or leaves it alone when it does not fit.
pub(crate) fn apply(operation: &mut Operation, entry: &Entry) -> Result<(), ()> {
    if operation.is_ended() {
        return Err(());
    }
    match entry {
        Entry::Queued { .. } => return Err(()),
        Entry::Started => {
            fits(operation, |phase| {
                matches!(phase, Phase::Pending)
                    || matches!(phase, Phase::Postponed { then, .. } if *then == Then::Prepare)
            })?;
            operation.phase = Phase::Starting;
        }
        Entry::Planned { steps } => {
            fits(operation, |phase| matches!(phase, Phase::Starting))?;
            operation.steps.clone_from(steps);
            operation.step = 0;
            operation.state = StepState::default();
            operation.obstacle = None;
            operation.phase = Phase::Between;
        }
        Entry::Skipped { .. } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Calling | Phase::Between)
            })?;
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
            operation.state.attempt = *attempt;
            operation.phase = Phase::Calling;
        }
        Entry::Filled { request } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            operation.state.request = Some(request.clone());
        }
        Entry::Sending { sent, digest } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            if operation.state.once != Once::None {
                return Err(());
            }
            operation.state.once = Once::Sending {
                sent: sent.clone(),
                digest: digest.clone(),
            };
        }
        Entry::Answered { response } => {
            let Once::Sending { sent, digest } = &operation.state.once else {
                return Err(());
            };
            operation.state.once = Once::Answered {
                sent: sent.clone(),
                digest: digest.clone(),
                response: response.clone(),
            };
        }
        Entry::NotSent { .. } => {
            if operation.state.once == Once::None {
                return Err(());
            }
            operation.state.once = Once::None;
            if operation.phase == Phase::Settling {
                operation.phase = Phase::Calling;
            }
        }
        Entry::Settling { .. } => {
            fits(operation, |phase| {
                matches!(
                    phase,
                    Phase::Calling | Phase::Waiting { .. } | Phase::Settling
                ) || matches!(phase, Phase::Postponed { then, .. } if *then == Then::Settle)
            })?;
            if let Phase::Waiting { .. } = operation.phase {
                let Some((token, mut sent)) = operation.state.origin.take() else {
                    return Err(());
                };
                sent.lost = true;
                operation.state.token = token;
                operation.state.ended = sent.after.clone();
                operation.state.once = Once::Sending {
                    sent,
                    digest: String::new(),
                };
            } else if let Once::Answered { sent, digest, .. } = &operation.state.once {
                operation.state.once = Once::Sending {
                    sent: sent.clone(),
                    digest: digest.clone(),
                };
            }
            operation.phase = Phase::Settling;
        }
        Entry::Broke { problem } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            operation.state.traps += 1;
            if operation.state.traps > 1 {
                operation.state.broken = Some(problem.clone());
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
            leave_phase(operation, token, created, note);
            operation.phase = Phase::Waiting {
                task: task.clone(),
                cursor: String::new(),
                polls: 0,
            };
        }
        Entry::TaskEnded { end } => {
            fits(operation, |phase| matches!(phase, Phase::Waiting { .. }))?;
            operation.warnings.extend(end.warnings.iter().cloned());
            operation.state.ended = Some(end.clone());
            operation.obstacle = None;
            operation.phase = Phase::Calling;
        }
        Entry::Escalated { .. } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
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
                Phase::Calling => Then::Call,
                Phase::Settling => Then::Settle,
                Phase::Pending
                | Phase::Between
                | Phase::Waiting { .. }
                | Phase::Postponed { .. }
                | Phase::InDoubt { .. }
                | Phase::Ended { .. } => return Err(()),
            };
            operation.state.retries += 1;
            operation.state.failing_since = Some(*since);
            operation.obstacle = Some(problem.clone());
            operation.phase = Phase::Postponed {
                until: *until,
                then,
            };
        }
        Entry::Done { created, outcome } => {
            fits(operation, |phase| matches!(phase, Phase::Calling))?;
            operation.created.extend(created.iter().cloned());
            operation.warnings.extend(outcome.warnings.iter().cloned());
            next_step(operation);
        }
        Entry::CancelRequested { who } => operation.cancel = Some(who.clone()),
        Entry::Doubted { reason } => {
            fits(operation, |phase| {
                matches!(phase, Phase::Settling | Phase::Calling)
            })?;
            operation.phase = Phase::InDoubt {
                reason: reason.clone(),
            };
        }
        Entry::Resolved { .. } => {
            fits(operation, |phase| matches!(phase, Phase::InDoubt { .. }))?;
            operation.state.once = Once::None;
            operation.state.traps = 0;
            operation.state.retries = 0;
            operation.phase = Phase::Calling;
        }
        Entry::Ended { state, problem } => {
            operation.obstacle = None;
            operation.phase = Phase::Ended {
                state: *state,
                problem: problem.clone(),
            };
        }
    }
    Ok(())
}

fn fits(operation: &Operation, allowed: impl Fn(&Phase) -> bool) -> Result<(), ()> {
    if allowed(&operation.phase) {
        Ok(())
    } else {
        Err(())
    }
}

/// A phase of the step ended: what belonged to it goes, but for the way back to its request.
fn leave_phase(operation: &mut Operation, token: &Token, created: &[String], note: &Note) {
    let before = std::mem::take(&mut operation.state);
    let origin = match before.once {
        Once::Sending { sent, .. } | Once::Answered { sent, .. } => Some((before.token, sent)),
        Once::None => before.origin,
    };
    operation.state = StepState {
        request: before.request,
        token: Some(token.clone()),
        escalated: before.escalated,
        origin,
        ..StepState::default()
    };
    operation.created.extend(created.iter().cloned());
    operation.warnings.extend(note.warnings.iter().cloned());
    operation.obstacle = None;
    operation.message.clone_from(&note.message);
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
