//! What follows from an event: the entries, as a function of state, event and time.

use enginehouse_model::Timestamp;
use enginehouse_model::documents::{Code, Problem, TaskEnd};

use crate::backoff::Backoff;
use crate::command::{CallEnd, Event, PollEnd, SettleEnd};
use crate::entry::{Entry, Final, Resolution, StepPlan, Token};
use crate::operation::{Failing, Once, Operation, Phase, Then};
use crate::queue::Limits;

/// Retries after a session expired, the first of them at once.
const SESSION_RETRIES: u32 = 3;
/// How often `settle` may break in a row before a person has to say.
const SETTLE_TRIES: u32 = 3;
/// Phases of a step after which its engine is taken to go round in circles. Each is a commit.
const PHASES_MAX: u32 = 1000;

/// Whether an event can happen to an operation that is where it is. What reports something that
/// was asked for fits only the phase that asked.
pub(crate) fn expects(operation: &Operation, event: &Event) -> bool {
    match event {
        Event::Prepared(_) | Event::Asks { .. } => operation.phase == Phase::Starting,
        Event::Held { .. } | Event::Outdated(_) => {
            operation.phase == Phase::Starting
                || (operation.phase == Phase::Calling && operation.state.once == Once::None)
        }
        Event::Refused(_) => operation.phase == Phase::WaitingApproval,
        Event::NotNeeded(_)
        | Event::Sending { .. }
        | Event::Answered(_)
        | Event::NotSent(_)
        | Event::Filled(_)
        | Event::Returned(_) => operation.phase == Phase::Calling,
        Event::Settled(_) => operation.phase == Phase::Settling,
        Event::Polled(_) => matches!(operation.phase, Phase::Waiting { .. }),
        Event::Doubt { .. } => may_be_doubted(&operation.phase),
        Event::Cancel { .. } => !operation.is_ended(),
        Event::Retry { .. }
        | Event::TakeAsDone { .. }
        | Event::GoOnWith { .. }
        | Event::Close { .. } => matches!(operation.phase, Phase::InDoubt { .. }),
    }
}

/// The entries that an event leads to.
pub(crate) fn decide(
    operation: &Operation,
    event: &Event,
    now: Timestamp,
    limits: &Limits,
) -> Vec<Entry> {
    match event.clone() {
        Event::Prepared(Ok(plan)) => after_plan(operation, plan),
        Event::Prepared(Err(problem)) => after_problem(operation, problem, now, limits),
        Event::Asks { .. } if operation.cancel.is_some() => vec![cancelled()],
        Event::Asks { request, until } => vec![Entry::Asked { request, until }],
        Event::Held { .. } if operation.cancel.is_some() => vec![cancelled()],
        Event::Held { until, problem } => vec![Entry::Held { until, problem }],
        Event::Outdated(problem) => vec![Entry::Ended {
            state: Final::Superseded,
            problem: Some(problem),
        }],
        Event::Refused(problem) => vec![failed(problem)],
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
        Event::Doubt { reason } => vec![Entry::Doubted { reason }],
        Event::Cancel { who } => {
            let mut entries = vec![Entry::CancelRequested { who }];
            if may_end_now(operation) {
                entries.push(cancelled());
            }
            entries
        }
        Event::Retry { who } => vec![
            Entry::Resolved {
                who,
                how: Resolution::Retry,
            },
            called(operation.state.attempt + 1),
        ],
        Event::GoOnWith { who } => vec![
            Entry::Resolved {
                who,
                how: Resolution::Anew,
            },
            called(operation.state.attempt + 1),
        ],
        Event::TakeAsDone { who } => {
            let mut entries = vec![
                Entry::Resolved {
                    who,
                    how: Resolution::Done,
                },
                Entry::Done {
                    created: Vec::new(),
                    outcome: Box::default(),
                },
            ];
            entries.extend(end_if_over(operation, operation.step + 1));
            entries
        }
        Event::Close { who, state } => {
            let problem = match &operation.phase {
                Phase::InDoubt { reason } if state != Final::Succeeded => {
                    Some(declared(operation, &who, state, reason))
                }
                _ => None,
            };
            vec![Entry::Ended { state, problem }]
        }
    }
}

/// Somebody ended it without knowing, or without saying, what became of its request.
fn declared(operation: &Operation, who: &str, state: Final, reason: &str) -> Problem {
    let mut message = format!(
        "declared {} by {who}; it was in doubt: {reason}",
        state.name()
    );
    if let Some(sent) = operation.doubtful() {
        message.push_str(&format!(
            "; {} {} may have taken effect",
            sent.method, sent.path
        ));
    }
    Problem::new(Code::Provider, message)
}

fn cancelled() -> Entry {
    Entry::Ended {
        state: Final::Cancelled,
        problem: None,
    }
}

/// It waits for a call that nobody can make any more.
pub(crate) fn may_be_doubted(phase: &Phase) -> bool {
    match phase {
        Phase::Waiting { .. } => true,
        Phase::Postponed { then, .. } => match then {
            Then::Call | Then::Settle => true,
            Then::Prepare => false,
        },
        Phase::Pending
        | Phase::Starting
        | Phase::WaitingApproval
        | Phase::Between
        | Phase::Calling
        | Phase::Settling
        | Phase::InDoubt { .. }
        | Phase::Ended { .. } => false,
    }
}

/// Nothing of it is at the provider or in a call.
fn may_end_now(operation: &Operation) -> bool {
    match &operation.phase {
        Phase::Pending => operation.spec.children.is_empty(),
        Phase::Between | Phase::WaitingApproval => true,
        Phase::Postponed { then, .. } => match then {
            Then::Prepare => true,
            Then::Call => operation.state.is_untouched(),
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

fn after_plan(operation: &Operation, plan: StepPlan) -> Vec<Entry> {
    let end = plan.steps.is_empty().then(|| end(plan.shortfall.clone()));
    let mut entries = vec![Entry::Planned(plan)];
    // A change of the tree alone is done when it is planned: too late to cancel.
    if let Some(end) = end {
        entries.push(end);
    } else if operation.cancel.is_some() {
        entries.push(cancelled());
    }
    entries
}

/// Everything is through, but for what could not be done at all.
pub(crate) fn end(shortfall: Option<Problem>) -> Entry {
    match shortfall {
        Some(problem) => failed(problem),
        None => Entry::Ended {
            state: Final::Succeeded,
            problem: None,
        },
    }
}

/// The end, when step `next` is behind the last one, or where somebody asked for it.
fn end_if_over(operation: &Operation, next: usize) -> Option<Entry> {
    if next >= operation.steps.len() {
        Some(end(operation.shortfall.as_deref().cloned()))
    } else if operation.cancel.is_some() {
        Some(cancelled())
    } else {
        None
    }
}

fn after_call(operation: &Operation, end: CallEnd, now: Timestamp, limits: &Limits) -> Vec<Entry> {
    if let Once::Sending { .. } = operation.state.once {
        return after_lost_answer(end);
    }
    let answered = operation.state.once != Once::None;
    let cancels = operation.cancel.is_some();
    let circles = operation.state.phases >= PHASES_MAX;
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
        } => {
            let ends = cancels && operation.state.is_untouched() && created.is_empty();
            let moved = Entry::Moved {
                token,
                created,
                note,
            };
            let then = if ends {
                cancelled()
            } else if circles {
                failed(in_circles())
            } else {
                called(1)
            };
            vec![moved, then]
        }
        CallEnd::Wait {
            task,
            token,
            created,
            note,
        } => vec![waiting(task, token, created, note, now)],
        CallEnd::Problem(problem) => after_problem_of_call(operation, problem, now, limits),
        CallEnd::Broken(problem) => {
            let second = operation.state.traps > 0;
            let then = match (second, answered) {
                (true, true) => Entry::Settling {
                    reason: problem.message.clone(),
                },
                (true, false) => failed(problem.clone()),
                (false, false) if cancels && operation.state.is_untouched() => cancelled(),
                (false, true | false) => called(operation.state.attempt + 1),
            };
            vec![Entry::Broke { problem }, then]
        }
        CallEnd::Deferred(_) if cancels && operation.state.is_untouched() => vec![cancelled()],
        CallEnd::Deferred(problem) => vec![postponed(operation, problem, now)],
    }
}

/// The call ended, and what became of its request is not known: neither does the engine know,
/// whatever it says.
fn after_lost_answer(end: CallEnd) -> Vec<Entry> {
    let settling = |reason| Entry::Settling { reason };
    match end {
        CallEnd::Done { .. } | CallEnd::Again { .. } | CallEnd::Wait { .. } => {
            vec![settling("the answer to its request was lost".to_owned())]
        }
        CallEnd::Problem(problem) | CallEnd::Deferred(problem) => vec![settling(problem.message)],
        CallEnd::Broken(problem) => {
            let reason = problem.message.clone();
            vec![Entry::Broke { problem }, settling(reason)]
        }
    }
}

fn in_circles() -> Problem {
    Problem::new(
        Code::Provider,
        format!("the engine went through {PHASES_MAX} phases of one step without an end"),
    )
}

fn called(attempt: u32) -> Entry {
    Entry::Called { attempt }
}

pub(crate) fn failed(problem: Problem) -> Entry {
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

/// Later, and each time a little later still.
fn postponed(operation: &Operation, problem: Problem, now: Timestamp) -> Entry {
    let delay = Backoff::RETRY.delay_ms(operation.number(), operation.state.retries);
    postponed_by(operation, problem, now, delay)
}

fn postponed_by(operation: &Operation, problem: Problem, now: Timestamp, ms: u64) -> Entry {
    let since = alike(operation, problem.code).map_or(now, |failing| failing.since);
    Entry::Postponed {
        until: now.plus_ms(ms),
        since,
        problem,
    }
}

/// The failures of this kind just before.
fn alike(operation: &Operation, code: Code) -> Option<Failing> {
    operation
        .state
        .failing
        .filter(|failing| failing.code == code)
}

/// The engine said what is wrong.
fn after_problem_of_call(
    operation: &Operation,
    problem: Problem,
    now: Timestamp,
    limits: &Limits,
) -> Vec<Entry> {
    let without_effect = matches!(problem.code, Code::Busy | Code::SessionExpired);
    let mut entries = Vec::new();
    if operation.state.once != Once::None && without_effect {
        entries.push(Entry::NotSent {
            reason: problem.message.clone(),
        });
        if operation.cancel.is_some() && !operation.state.touched {
            entries.push(cancelled());
            return entries;
        }
    }
    // After its task: before, the machine is locked, and the guest was not asked yet.
    let was_asked = operation.state.ended.is_some();
    let escalates = problem.code == Code::Busy
        && was_asked
        && !operation.state.escalated
        && operation.cancel.is_none()
        && operation
            .current_step()
            .is_some_and(|step| step.may_escalate);
    if escalates {
        entries.push(Entry::Escalated {
            reason: problem.message,
        });
        entries.push(called(1));
        return entries;
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
    if operation.cancel.is_some() && operation.state.is_untouched() {
        return vec![cancelled()];
    }
    let before = alike(operation, problem.code);
    let times = before.map_or(0, |failing| failing.times);
    let since = before.map_or(now, |failing| failing.since);
    let entry = match problem.code {
        // An unreachable hypervisor makes its operations wait, not fail.
        Code::Unreachable => postponed(operation, problem, now),
        // After the end of its task the engine would only be told the same end again.
        Code::Busy if operation.state.ended.is_some() => failed(problem),
        Code::Busy if now.since(since) < limits.busy_ms => postponed(operation, problem, now),
        // The host logs in again; credentials that still do not work end as `denied`.
        Code::SessionExpired if times == 0 => postponed_by(operation, problem, now, 0),
        Code::SessionExpired if times < SESSION_RETRIES => postponed(operation, problem, now),
        Code::Busy
        | Code::SessionExpired
        | Code::Invalid
        | Code::Denied
        | Code::NotFound
        | Code::Conflict
        | Code::Unsupported
        | Code::Provider => failed(problem),
    };
    vec![entry]
}

fn after_settle(operation: &Operation, end: SettleEnd, now: Timestamp) -> Vec<Entry> {
    // An engine that broke twice is not called again: what exists is recorded, and the step fails.
    let gives_up = operation.state.broken.as_deref().cloned();
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
            gives_up.map_or(called(1), failed),
        ],
        SettleEnd::Pending { task, .. } if operation.state.forgotten.as_ref() == Some(&task) => {
            vec![Entry::Doubted {
                reason: format!("the provider no longer knows task {task} of the last request"),
            }]
        }
        SettleEnd::Pending {
            task,
            token,
            created,
            note,
        } => vec![waiting(task, token, created, note, now)],
        SettleEnd::NotStarted { believable_at } if now >= believable_at => vec![
            Entry::NotSent {
                reason: "the provider shows no effect of it".to_owned(),
            },
            match gives_up {
                Some(problem) => failed(problem),
                None if operation.cancel.is_some() && !operation.state.touched => cancelled(),
                None => called(operation.state.attempt + 1),
            },
        ],
        SettleEnd::NotStarted { believable_at } => {
            let problem = Problem::new(
                Code::Unreachable,
                "the provider shows no effect of the last request yet; it is asked again until the \
                 request can no longer arrive",
            );
            let delay = Backoff::RETRY.delay_ms(operation.number(), operation.state.retries);
            let delay = delay.min(believable_at.since(now));
            vec![postponed_by(operation, problem, now, delay)]
        }
        SettleEnd::Unknown(reason) => vec![Entry::Doubted { reason }],
        SettleEnd::Problem(problem) => match problem.code {
            Code::Unreachable | Code::Busy | Code::SessionExpired => {
                vec![postponed(operation, problem, now)]
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
        SettleEnd::Broken(problem) => {
            let problem = Problem {
                code: Code::Provider,
                ..problem
            };
            let times = alike(operation, problem.code).map_or(0, |failing| failing.times);
            vec![if times + 1 < SETTLE_TRIES {
                postponed(operation, problem, now)
            } else {
                Entry::Doubted {
                    reason: problem.message,
                }
            }]
        }
    }
}

fn after_poll(operation: &Operation, end: PollEnd) -> Vec<Entry> {
    match end {
        PollEnd::Running { .. } | PollEnd::Failed(_) => Vec::new(),
        PollEnd::Ended(end) => {
            let then = (operation.state.broken.as_deref())
                .map_or(called(1), |broken| given_up(broken, &end));
            vec![Entry::TaskEnded { end }, then]
        }
        PollEnd::Lost if operation.state.origin.is_some() => vec![Entry::Settling {
            reason: "the provider no longer knows the task".to_owned(),
        }],
        PollEnd::Lost => vec![
            Entry::TaskEnded {
                end: TaskEnd {
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

/// The engine broke twice over the request that began this task, and is not called again. Only now
/// does nothing of the step go on at the provider any more.
fn given_up(broken: &Problem, end: &TaskEnd) -> Entry {
    let how = match &end.problem {
        None => "ended well".to_owned(),
        Some(failure) => format!("failed: {failure}"),
    };
    let message = format!(
        "{}; the provider's task of its last request {how}",
        broken.message
    );
    failed(Problem {
        message,
        ..broken.clone()
    })
}
