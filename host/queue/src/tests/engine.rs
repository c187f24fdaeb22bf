//! What an engine does for the simulated host, and the person who looks after it.
//!
//! A step's body is the list of its phases: `plain` sends nothing, `once` sends a request, `task` a
//! request that starts a task, and `free` a task without a request that counts. The token is the
//! number of the phase.

use enginehouse_model::documents::{Code, Note, Outcome, Problem, Sent, TaskEnd};
use enginehouse_model::{HypervisorUid, OperationId};
use serde_json::{Value, json};

use super::fixture::{prepared, problem};
use super::provider::{LAG, REQUEST_TIMEOUT, Seen};
use super::shell::{Shell, Work};
use crate::{CallEnd, Event, Final, Once, Operation, Phase, PollEnd, SettleEnd, StepSpec, Token};

/// Names one request of one phase of one step.
pub(super) fn digest(number: OperationId, step: usize, phase: usize, escalated: bool) -> String {
    let force = if escalated { "!" } else { "" };
    format!("{number}/{step}/{phase}{force}")
}

pub(super) fn phases(step: &StepSpec) -> Vec<String> {
    step.body.read().unwrap()
}

fn phase_of(operation: &Operation) -> usize {
    operation
        .state
        .token
        .as_ref()
        .map_or(0, |token| usize::from(token.0[0]))
}

fn digest_of(operation: &Operation) -> String {
    digest(
        operation.number(),
        operation.step,
        phase_of(operation),
        operation.state.escalated,
    )
}

fn token(phase: usize) -> Token {
    Token(vec![u8::try_from(phase).unwrap()])
}

pub(super) fn prepare(shell: &mut Shell, number: OperationId) {
    let event = match shell.random.below(20) {
        0 => Event::Prepared(Err(problem(Code::Unreachable))),
        1 => Event::Prepared(Err(problem(Code::Busy))),
        2 => Event::Prepared(Err(problem(Code::Conflict))),
        3 => prepared(Vec::new()),
        _ => {
            let steps = 1 + shell.random.below(3);
            prepared((0..steps).map(|_| step(shell)).collect())
        }
    };
    shell.tell(number, event);
}

fn step(shell: &mut Shell) -> StepSpec {
    let scripts: [&[&str]; 6] = [
        &["once"],
        &["plain", "task", "once"],
        &["task"],
        &["free"],
        &["once", "plain", "task"],
        &["plain"],
    ];
    let pick = usize::try_from(shell.random.below(6)).unwrap();
    StepSpec {
        action: "act".to_owned(),
        reason: String::new(),
        template: (pick == 1).then(|| "9000".to_owned()),
        may_escalate: pick == 2,
        may_be_left: false,
        body: json!(scripts[pick]).into(),
    }
}

fn failing(shell: &mut Shell) -> Event {
    let code = match shell.random.below(4) {
        0 => Code::Unreachable,
        1 => Code::Busy,
        2 => Code::SessionExpired,
        _ => Code::Provider,
    };
    Event::Returned(CallEnd::Problem(problem(code)))
}

fn trap() -> Event {
    Event::Returned(CallEnd::Broken(problem(Code::Provider)))
}

/// One call of `run`.
pub(super) fn call(shell: &mut Shell, number: OperationId) {
    let operation = shell.queue.get(number).unwrap().clone();
    assert_eq!(operation.phase, Phase::Calling);
    assert!(
        !matches!(operation.state.once, Once::Sending { .. }),
        "called although a request may be under way"
    );
    if operation.state.request.is_none() {
        if shell.random.chance(5) {
            let reason = "it is so".to_owned();
            shell.tell(number, Event::NotNeeded(reason));
            return;
        }
        if !shell.tell(number, Event::Filled(json!({"step": operation.step}))) {
            return;
        }
    }
    let event = match shell.random.below(20) {
        0 => Event::Returned(CallEnd::Deferred(problem(Code::Busy))),
        1 => trap(),
        2 if operation.state.once == Once::None => {
            let code = Code::Unreachable;
            Event::Returned(CallEnd::Problem(problem(code)))
        }
        _ => match run(shell, &operation) {
            Some(event) => event,
            None => return,
        },
    };
    let delay = shell.random.below(500);
    shell.later(delay, Work::Report(number, event));
}

/// How the call ends. `None`: killed, or reported later.
fn run(shell: &mut Shell, operation: &Operation) -> Option<Event> {
    let step = operation.current_step().unwrap();
    let script = phases(step);
    let phase = phase_of(operation);
    if let Some(bad) = operation
        .state
        .ended
        .as_ref()
        .and_then(|e| e.problem.clone())
    {
        return Some(Event::Returned(CallEnd::Problem(bad)));
    }
    let digest = digest_of(operation);
    let Some(kind) = script.get(phase) else {
        return Some(Event::Returned(CallEnd::Done {
            created: vec![format!("thing {digest}")],
            outcome: Box::new(Outcome::default()),
        }));
    };
    match (kind.as_str(), &operation.state.once) {
        ("plain", _) => Some(moved(phase)),
        ("free", _) => Some(waiting(format!("free {digest}"), phase)),
        (
            kind,
            Once::Answered {
                response,
                digest: journalled,
                ..
            },
        ) => {
            assert_eq!(journalled, &digest);
            Some(after_answer(
                shell,
                kind,
                phase,
                &digest,
                &response.read().unwrap(),
            ))
        }
        (kind, _) => send(shell, operation, kind, phase, digest),
    }
}

fn moved(phase: usize) -> Event {
    Event::Returned(CallEnd::Again {
        token: token(phase + 1),
        created: Vec::new(),
        note: Note::default(),
    })
}

fn waiting(task: String, phase: usize) -> Event {
    Event::Returned(CallEnd::Wait {
        task,
        token: token(phase + 1),
        created: Vec::new(),
        note: Note::default(),
    })
}

fn after_answer(
    shell: &mut Shell,
    kind: &str,
    phase: usize,
    digest: &str,
    response: &Value,
) -> Event {
    if shell.random.chance(10) {
        return trap();
    }
    match response.as_str() {
        Some("busy") => Event::Returned(CallEnd::Problem(problem(Code::Busy))),
        Some("expired") => Event::Returned(CallEnd::Problem(problem(Code::SessionExpired))),
        _ if kind == "task" => waiting(digest.to_owned(), phase),
        _ => moved(phase),
    }
}

fn send(
    shell: &mut Shell,
    operation: &Operation,
    kind: &str,
    phase: usize,
    digest: String,
) -> Option<Event> {
    let number = operation.number();
    let sending = Event::Sending {
        sent: Sent {
            deadline: shell.now.plus_ms(REQUEST_TIMEOUT).0,
            after: operation.state.ended.as_deref().cloned(),
            ..Sent::default()
        },
        digest: digest.clone(),
    };
    if !shell.tell(number, sending) {
        return None;
    }
    let (arrives, late, answer) = match shell.random.below(20) {
        0..=10 => (true, false, Some("done")),
        11 | 12 => (false, false, Some("busy")),
        13 => (false, false, Some("expired")),
        14 | 15 => {
            let reason = "no connection".to_owned();
            if !shell.tell(number, Event::NotSent(reason)) {
                return None;
            }
            let code = Code::Unreachable;
            return Some(Event::Returned(CallEnd::Problem(problem(code))));
        }
        16 | 17 => (true, true, None),
        _ => (false, false, None),
    };
    let (now, random) = (shell.now, &mut shell.random);
    if arrives {
        shell.provider.send(&digest, now, random, late);
    }
    let Some(answer) = answer else {
        // Whatever it says now, it cannot know.
        return Some(match shell.random.below(4) {
            0 => trap(),
            1 => moved(phase),
            _ => failing(shell),
        });
    };
    let takes = shell.random.below(2_000);
    let answer = Value::from(answer);
    shell.later(takes, Work::Report(number, Event::Answered(answer.clone())));
    let end = after_answer(shell, kind, phase, &digest, &answer);
    shell.later(takes + 1, Work::Report(number, end));
    None
}

pub(super) fn settle(shell: &mut Shell, number: OperationId) {
    let operation = shell.queue.get(number).unwrap().clone();
    let Once::Sending { sent, .. } = &operation.state.once else {
        panic!("there is nothing to settle: {operation:?}");
    };
    let phase = phase_of(&operation);
    let digest = digest_of(&operation);
    let kind = phases(operation.current_step().unwrap())[phase].clone();
    let over = SettleEnd::Done {
        token: token(phase + 1),
        created: vec![format!("thing {digest}")],
        note: Note::default(),
    };
    let end = match shell.random.below(20) {
        0 | 1 => SettleEnd::Problem(problem(Code::Unreachable)),
        2 => SettleEnd::Problem(problem(Code::Busy)),
        3 => SettleEnd::Broken(problem(Code::Provider)),
        4 => SettleEnd::Unknown("no trace".to_owned()),
        _ => match shell.provider.look(&digest, shell.now) {
            Seen::Nothing => SettleEnd::NotStarted {
                believable_at: enginehouse_model::Timestamp(sent.deadline).plus_ms(LAG),
            },
            Seen::Running if kind == "task" && !sent.lost => SettleEnd::Pending {
                task: digest,
                token: token(phase + 1),
                created: Vec::new(),
                note: Note::default(),
            },
            Seen::Running | Seen::Over => over,
        },
    };
    shell.tell(number, Event::Settled(end));
}

pub(super) fn poll(shell: &mut Shell, place: HypervisorUid, numbers: &[OperationId]) {
    let crashes = shell.crashes;
    let fails = shell.random.chance(10);
    for number in numbers {
        let operation = shell.queue.get(*number).unwrap();
        assert_eq!(operation.spec.hypervisor, Some(place));
        let Phase::Waiting { task, .. } = &operation.phase else {
            panic!("no task to poll: {operation:?}");
        };
        let task = task.clone();
        let stops = operation.current_step().unwrap().may_escalate && !operation.state.escalated;
        let end = if fails {
            PollEnd::Failed(problem(Code::Unreachable))
        } else if task.starts_with("free") {
            match shell.random.below(10) {
                0 => PollEnd::Lost,
                1..=4 => PollEnd::Ended(TaskEnd::default()),
                _ => running(),
            }
        } else {
            poll_task(shell, &task, stops)
        };
        shell.tell(*number, Event::Polled(end));
        if shell.crashes > crashes {
            return;
        }
    }
}

fn running() -> PollEnd {
    PollEnd::Running {
        cursor: "1".to_owned(),
    }
}

fn poll_task(shell: &mut Shell, task: &str, stops: bool) -> PollEnd {
    if shell
        .provider
        .effects
        .get(task)
        .is_some_and(|e| e.forgotten)
    {
        return PollEnd::Lost;
    }
    match shell.provider.task(task, shell.now) {
        None => running(),
        Some(bad) => {
            let problem: Option<Problem> = match (stops && shell.random.chance(50), bad) {
                (true, _) => Some(problem(Code::Busy)),
                (false, true) => Some(problem(Code::Provider)),
                (false, false) => None,
            };
            let warnings = Vec::new();
            PollEnd::Ended(TaskEnd { warnings, problem })
        }
    }
}

/// A person looks at the hypervisor, and says what became of the operations in doubt.
pub(super) fn judge(shell: &mut Shell) {
    if shell.queue.iter().next().is_none() {
        return;
    }
    shell.later(7_000, Work::LookAround);
    let doubted: Vec<Operation> = shell
        .queue
        .iter()
        .filter(|operation| matches!(operation.phase, Phase::InDoubt { .. }))
        .cloned()
        .collect();
    for operation in doubted {
        let Once::Sending { sent, .. } = &operation.state.once else {
            panic!("in doubt about nothing: {operation:?}");
        };
        if shell.now.0 < sent.deadline + LAG {
            continue;
        }
        let number = operation.number();
        let who = "tester".to_owned();
        let event = if shell.provider.has(&digest_of(&operation)) || shell.random.chance(30) {
            let state = Final::Failed;
            Event::Close { who, state }
        } else {
            Event::Retry { who }
        };
        shell.judged.insert(number);
        if !shell.tell(number, event) {
            return;
        }
    }
}
