//! What follows from an event: the entries, as a function of state, event and time.

use enginehouse_model::Timestamp;
use enginehouse_model::documents::{Code, Problem};

use crate::backoff::Backoff;
use crate::command::{CallEnd, Event, PollEnd, SettleEnd};
use crate::entry::{Entry, Final, StepSpec, Token};
use crate::operation::{Once, Operation, Phase, Then};
use crate::queue::Limits;

/// The entries that an event leads to.
pub(crate) fn decide(
    operation: &Operation,
    event: Event,
    now: Timestamp,
    limits: &Limits,
) -> Vec<Entry> {
    match event {
        Event::Prepared(Ok(steps)) => after_plan(operation, steps),
        Event::Prepared(Err(problem)) => after_problem(operation, problem, now, limits),
        Event::NotNeeded(reason) => {
            let mut entries = vec![Entry::Skipped { reason }];
            entries.extend(end_if_over(operation, operation.step + 1));
            entries
        }
        Event::Sending { sent, digest } => vec![Entry::Sending { sent, digest }],
        Event::Answered(response) => vec![Entry::Answered { response }],
        Event::NotSent(reason) => vec![Entry::NotSent { reason }],
        Event::Filled(request) => vec![Entry::Filled { request }],
        Event::Returned(end) => after_call(operation, end, now, limits),
        Event::Settled(end) => after_settle(operation, end, now),
        Event::Polled(end) => after_poll(operation, end),
        Event::Cancel { who } => {
            let mut entries = vec![Entry::CancelRequested { who }];
            if may_end_now(operation) {
                entries.push(cancelled());
            }
            entries
        }
        Event::Retry { who } => vec![
            Entry::Resolved { who },
            Entry::Called {
                attempt: operation.state.attempt + 1,
            },
        ],
        Event::Close { who, state } => {
            let problem = match &operation.phase {
                Phase::InDoubt { reason } if state != Final::Succeeded => Some(Problem::new(
                    Code::Provider,
                    format!(
                        "declared {} by {who}; it was in doubt: {reason}",
                        state.name()
                    ),
                )),
                _ => None,
            };
            vec![Entry::Ended { state, problem }]
        }
    }
}

fn cancelled() -> Entry {
    Entry::Ended {
        state: Final::Cancelled,
        problem: None,
    }
}

/// Nothing of it is at the provider or in a call.
fn may_end_now(operation: &Operation) -> bool {
    match &operation.phase {
        Phase::Pending => operation.spec.children.is_empty(),
        Phase::Between => true,
        Phase::Postponed { then, .. } => match then {
            Then::Prepare => true,
            Then::Call => operation.state.once == Once::None && operation.state.token.is_none(),
            Then::Settle => false,
        },
        Phase::Starting
        | Phase::Calling
        | Phase::Settling
        | Phase::Waiting { .. }
        | Phase::InDoubt { .. }
        | Phase::Ended { .. } => false,
    }
}

fn after_plan(operation: &Operation, steps: Vec<StepSpec>) -> Vec<Entry> {
    let nothing = steps.is_empty();
    let mut entries = vec![Entry::Planned { steps }];
    if operation.cancel.is_some() {
        entries.push(cancelled());
    } else if nothing {
        entries.push(succeeded());
    }
    entries
}

fn succeeded() -> Entry {
    Entry::Ended {
        state: Final::Succeeded,
        problem: None,
    }
}

/// The end, when step `next` is behind the last one, or where somebody asked for it.
fn end_if_over(operation: &Operation, next: usize) -> Option<Entry> {
    if next >= operation.steps.len() {
        Some(succeeded())
    } else if operation.cancel.is_some() {
        Some(cancelled())
    } else {
        None
    }
}

fn after_call(operation: &Operation, end: CallEnd, now: Timestamp, limits: &Limits) -> Vec<Entry> {
    let once = &operation.state.once;
    let again = |attempt| Entry::Called { attempt };
    match end {
        CallEnd::Done { created, outcome } => {
            let mut entries = vec![Entry::Done { created, outcome }];
            entries.extend(end_if_over(operation, operation.step + 1));
            entries
        }
        CallEnd::Again {
            token,
            created,
            note,
        } => vec![
            Entry::Moved {
                token,
                created,
                note,
            },
            again(1),
        ],
        CallEnd::Wait {
            task,
            token,
            created,
            note,
        } => vec![waiting(task, token, created, note, now)],
        CallEnd::Problem(problem) => after_problem_of_call(operation, problem, now, limits),
        CallEnd::Broken(problem) => {
            let second = operation.state.traps > 0;
            let mut entries = vec![Entry::Broke {
                problem: problem.clone(),
            }];
            entries.push(match (once, second) {
                (Once::Sending { .. }, _) | (Once::Answered { .. }, true) => Entry::Settling {
                    reason: problem.message,
                },
                (Once::None | Once::Answered { .. }, false) => again(operation.state.attempt + 1),
                (Once::None, true) => failed(problem),
            });
            entries
        }
        CallEnd::Deferred(problem) => vec![postponed(operation, problem, now, 0)],
    }
}

fn failed(problem: Problem) -> Entry {
    Entry::Ended {
        state: Final::Failed,
        problem: Some(problem),
    }
}

fn waiting(
    task: String,
    token: Token,
    created: Vec<String>,
    note: enginehouse_model::documents::Note,
    now: Timestamp,
) -> Entry {
    let first_poll = now.plus_ms(note.poll_after_ms.unwrap_or(Backoff::POLL.first_ms));
    Entry::Waiting {
        task,
        token,
        created,
        note,
        first_poll,
    }
}

fn postponed(operation: &Operation, problem: Problem, now: Timestamp, least_ms: u64) -> Entry {
    let delay = Backoff::RETRY
        .delay_ms(operation.number(), operation.state.retries)
        .max(least_ms);
    Entry::Postponed {
        until: now.plus_ms(delay),
        since: operation.state.failing_since.unwrap_or(now),
        problem,
    }
}

/// The engine said what is wrong.
fn after_problem_of_call(
    operation: &Operation,
    problem: Problem,
    now: Timestamp,
    limits: &Limits,
) -> Vec<Entry> {
    let once = &operation.state.once;
    let without_effect = matches!(problem.code, Code::Busy | Code::SessionExpired);
    let escalates = problem.code == Code::Busy
        && !operation.state.escalated
        && operation
            .current_step()
            .is_some_and(|step| step.may_escalate);
    if escalates {
        return vec![
            Entry::Escalated {
                reason: problem.message,
            },
            Entry::Called { attempt: 1 },
        ];
    }
    if matches!(once, Once::Sending { .. }) && !without_effect {
        return vec![Entry::Settling {
            reason: problem.message,
        }];
    }
    let mut entries = Vec::new();
    if *once != Once::None && without_effect {
        entries.push(Entry::NotSent {
            reason: problem.message.clone(),
        });
    }
    entries.extend(after_problem(operation, problem, now, limits));
    entries
}

/// Waits for what may pass, ends with what will not.
fn after_problem(
    operation: &Operation,
    problem: Problem,
    now: Timestamp,
    limits: &Limits,
) -> Vec<Entry> {
    if operation.cancel.is_some() && operation.state.once == Once::None {
        return vec![cancelled()];
    }
    let since = operation.state.failing_since.unwrap_or(now);
    let patient = match problem.code {
        // An unreachable hypervisor makes its operations wait, not fail.
        Code::Unreachable => true,
        Code::Busy => now.since(since) < limits.busy_ms,
        // The host logs in again; credentials that still do not work end as `denied`.
        Code::SessionExpired => operation.state.retries < 3,
        Code::Invalid
        | Code::Denied
        | Code::NotFound
        | Code::Conflict
        | Code::Unsupported
        | Code::Provider => false,
    };
    if patient {
        vec![postponed(operation, problem, now, 0)]
    } else {
        vec![failed(problem)]
    }
}

fn after_settle(operation: &Operation, end: SettleEnd, now: Timestamp) -> Vec<Entry> {
    // An engine that broke twice is not called again: what exists is recorded, and the step fails.
    let gives_up = operation.state.broken.clone();
    match end {
        SettleEnd::Done {
            token,
            created,
            note,
        } => vec![
            Entry::Moved {
                token,
                created,
                note,
            },
            gives_up.map_or(Entry::Called { attempt: 1 }, failed),
        ],
        SettleEnd::Pending {
            task,
            token,
            created,
            note,
        } => match gives_up {
            None => vec![waiting(task, token, created, note, now)],
            Some(problem) => vec![
                Entry::Moved {
                    token,
                    created,
                    note,
                },
                failed(problem),
            ],
        },
        SettleEnd::NotStarted { believable_at } if now >= believable_at => vec![
            Entry::NotSent {
                reason: "the provider shows no effect of it".to_owned(),
            },
            gives_up.map_or(
                Entry::Called {
                    attempt: operation.state.attempt + 1,
                },
                failed,
            ),
        ],
        SettleEnd::NotStarted { believable_at } => {
            let problem = Problem::new(
                Code::Unreachable,
                "the provider shows no effect of the last request yet; it is asked again when the \
                 request can no longer arrive",
            );
            vec![postponed(operation, problem, now, believable_at.since(now))]
        }
        SettleEnd::Unknown(reason) => vec![Entry::Doubted { reason }],
        SettleEnd::Problem(problem) => match problem.code {
            Code::Unreachable | Code::Busy | Code::SessionExpired => {
                vec![postponed(operation, problem, now, 0)]
            }
            Code::Invalid
            | Code::Denied
            | Code::NotFound
            | Code::Conflict
            | Code::Unsupported
            | Code::Provider => vec![Entry::Doubted {
                reason: problem.to_string(),
            }],
        },
        SettleEnd::Broken(problem) => vec![Entry::Doubted {
            reason: problem.message,
        }],
    }
}

fn after_poll(operation: &Operation, end: PollEnd) -> Vec<Entry> {
    match end {
        PollEnd::Running { .. } | PollEnd::Failed(_) => Vec::new(),
        PollEnd::Ended(end) => vec![Entry::TaskEnded { end }, Entry::Called { attempt: 1 }],
        PollEnd::Lost if operation.state.origin.is_some() => vec![Entry::Settling {
            reason: "the provider no longer knows the task".to_owned(),
        }],
        PollEnd::Lost => vec![
            Entry::TaskEnded {
                end: enginehouse_model::documents::TaskEnd {
                    warnings: vec![
                        "the provider no longer knows the task; its result was looked at instead"
                            .to_owned(),
                    ],
                    problem: None,
                },
            },
            Entry::Called { attempt: 1 },
        ],
    }
}
