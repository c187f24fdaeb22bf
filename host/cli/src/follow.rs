//! Watching an operation until it is over.
//!
//! The server tells what happens as it happens; where it does not, it is asked, and answers as soon as
//! the operation has ended, or after [`LOOK`] with what it does now.
//! On a terminal that is one line, drawn over again; elsewhere a line for each new message, so that
//! a log file stays readable.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use enginehouse_api::{
    ChildOperation, Client, Operation, OperationEvent, OperationState, OperationStream, Progress,
};
use enginehouse_model::{FullName, OperationId};

use crate::error::CommandError;
use crate::output::Output;
use crate::style::one_line;

/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(250);

/// Elsewhere than on a terminal, per cent that pass before the same message is written again.
const PERCENT_STEP: u8 = 25;

/// Watches until the operation has ended, or goes on only when a person does something.
///
/// # Errors
/// When the server cannot be asked, or somebody presses Ctrl-C ([`CommandError::Left`]).
pub async fn follow(
    client: &Client,
    operation: Operation,
    output: &Output,
    limit: Option<Duration>,
) -> Result<Operation, CommandError> {
    let number = operation.number;
    let began = Instant::now();
    let mut line = ProgressLine::new(output);
    let mut operation = operation;
    let mut events = if is_over(&operation) || limit == Some(Duration::ZERO) {
        None
    } else {
        client.operation_events(number, false).await.ok()
    };
    loop {
        if is_over(&operation) {
            line.clear();
            return Ok(operation);
        }
        line.show(&operation);
        let look = match limit.map(|limit| limit.saturating_sub(began.elapsed())) {
            Some(Duration::ZERO) => {
                line.clear();
                return Err(CommandError::StillRunning(number));
            }
            Some(left) => left.min(LOOK),
            None => LOOK,
        };
        tokio::select! {
            next = next(&mut events, client, number, look, limit.is_some()) => match next? {
                Some(next) => operation = next,
                None => events = None,
            },
            pressed = tokio::signal::ctrl_c() => {
                line.clear();
                pressed.map_err(CommandError::Signal)?;
                return Err(CommandError::Left(number));
            }
        }
    }
}

/// The operation when something of it has changed, or the time to look again has come. `None`: the
/// events have ended, and it is to be asked for from now on.
async fn next(
    events: &mut Option<OperationStream>,
    client: &Client,
    number: OperationId,
    look: Duration,
    is_limited: bool,
) -> Result<Option<Operation>, CommandError> {
    let Some(stream) = events else {
        return look_again(client, number, look).await.map(Some);
    };
    loop {
        let event = if is_limited {
            match tokio::time::timeout(look, stream.next()).await {
                Ok(event) => event,
                Err(_) => return look_again(client, number, Duration::ZERO).await.map(Some),
            }
        } else {
            stream.next().await
        };
        match event {
            Ok(Some(OperationEvent::Operation(operation))) => return Ok(Some(*operation)),
            Ok(Some(OperationEvent::Log(_) | OperationEvent::Reset(_))) => {}
            // Whatever the reason is, the next question finds it.
            Ok(Some(OperationEvent::End(_)) | None) | Err(_) => return Ok(None),
        }
    }
}

/// Asks for the operation, and never more often than `look`, also when the server does not wait.
async fn look_again(
    client: &Client,
    number: OperationId,
    look: Duration,
) -> Result<Operation, CommandError> {
    let asked = tokio::time::Instant::now();
    let operation = client
        .wait(number, look)
        .await
        .map_err(|source| CommandError::Lost { number, source })?;
    if !is_over(&operation) {
        tokio::time::sleep_until(asked + look).await;
    }
    Ok(operation)
}

/// Nothing more happens without a person.
fn is_over(operation: &Operation) -> bool {
    let over = |state: OperationState| state.has_ended() || state.needs_person();
    let children = &operation.children;
    over(operation.state)
        || (!children.is_empty()
            && children.iter().all(|child| over(child.state))
            && children.iter().any(|child| child.state.needs_person()))
}

/// What one machine's operation does now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doing {
    path: FullName,
    percent: Option<u8>,
    message: String,
}

impl Doing {
    fn text(&self) -> String {
        match self.percent {
            Some(percent) => format!("{}: {percent} % {}", self.path, self.message),
            None => format!("{}: {}", self.path, self.message),
        }
    }
}

/// What the operation, or each part of it, does now.
fn doings(operation: &Operation) -> Vec<Doing> {
    if operation.children.is_empty() {
        let message = operation
            .steps
            .iter()
            .find(|step| step.ended_at.is_none() && step.started_at.is_some())
            .map(|step| step.action.as_str());
        return vec![doing(
            &operation.path,
            operation.state,
            operation.progress.as_ref(),
            operation.waiting_for.as_deref(),
            message,
        )];
    }
    let child = |child: &ChildOperation| {
        doing(
            &child.path,
            child.state,
            child.progress.as_ref(),
            child.waiting_for.as_deref(),
            None,
        )
    };
    operation.children.iter().map(child).collect()
}

fn doing(
    path: &FullName,
    state: OperationState,
    progress: Option<&Progress>,
    waiting_for: Option<&str>,
    otherwise: Option<&str>,
) -> Doing {
    let of_state = |message: &str| Doing {
        path: path.clone(),
        percent: None,
        message: message.to_owned(),
    };
    if state.has_ended() {
        return of_state(state.as_str());
    }
    if let Some(reason) = waiting_for {
        return of_state(&format!("waits for {}", one_line(reason)));
    }
    match progress {
        Some(progress) => Doing {
            path: path.clone(),
            percent: progress.percent,
            message: one_line(&progress.message),
        },
        None => of_state(otherwise.unwrap_or(state.as_str())),
    }
}

/// The line, or the lines.
struct ProgressLine<'a> {
    output: &'a Output,
    drawn: bool,
    written: BTreeMap<FullName, Doing>,
}

impl<'a> ProgressLine<'a> {
    fn new(output: &'a Output) -> Self {
        Self {
            output,
            drawn: false,
            written: BTreeMap::new(),
        }
    }

    fn show(&mut self, operation: &Operation) {
        if self.output.is_json() {
            return;
        }
        let doings = doings(operation);
        if self.output.redraws() {
            let width = terminal_size::terminal_size_of(io::stderr())
                .map_or(80, |(width, _)| usize::from(width.0));
            let text = fitted(&one_line_of(operation, &doings), width);
            // Progress that cannot be drawn is no reason to stop.
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K{text}");
            let _ = io::stderr().flush();
            self.drawn = true;
            return;
        }
        for doing in doings {
            if self.is_news(&doing) {
                self.output.note(&doing.text());
                self.written.insert(doing.path.clone(), doing);
            }
        }
    }

    fn is_news(&self, doing: &Doing) -> bool {
        let Some(before) = self.written.get(&doing.path) else {
            return true;
        };
        let advanced = match (before.percent, doing.percent) {
            (Some(before), Some(now)) => now.saturating_sub(before) >= PERCENT_STEP,
            (None, Some(_)) => true,
            (Some(_) | None, None) => false,
        };
        before.message != doing.message || advanced
    }

    fn clear(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
            let _ = io::stderr().flush();
            self.drawn = false;
        }
    }
}

impl Drop for ProgressLine<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn one_line_of(operation: &Operation, doings: &[Doing]) -> String {
    let head = format!("{} {}", operation.kind, operation.path);
    if operation.children.is_empty() {
        let rest = doings.iter().map(|doing| match doing.percent {
            Some(percent) => format!("{percent:>3} % {}", doing.message),
            None => doing.message.clone(),
        });
        return format!("{head}: {}", rest.collect::<Vec<_>>().join(", "));
    }
    let children = &operation.children;
    let count = |is: fn(&ChildOperation) -> bool| children.iter().filter(|c| is(c)).count();
    let mut text = format!(
        "{head}: {} of {} done",
        count(|child| child.state.has_ended()),
        children.len()
    );
    for (number, what) in [
        (count(|c| c.state == OperationState::Failed), "failed"),
        (count(|c| c.state.needs_person()), "need a person"),
        (
            count(|c| !c.state.has_ended() && c.waiting_for.is_some()),
            "waiting",
        ),
    ] {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    for (doing, child) in doings.iter().zip(children) {
        if child.state == OperationState::Running && child.waiting_for.is_none() {
            text.push_str(&format!(" · {}", doing.text()));
        }
    }
    text
}

/// Cut to what fits into a line, so that it can be drawn over.
fn fitted(text: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn operation(more: Value) -> Operation {
        let mut value = json!({
            "number": 12, "kind": "deploy", "state": "running", "path": "/web",
            "who": "local", "queued_at": 0,
        });
        let fields = more.as_object().unwrap().clone();
        value.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(value).unwrap()
    }

    fn child(name: &str, state: &str, percent: Value) -> Value {
        json!({
            "number": 13, "kind": "deploy", "state": state, "path": format!("/web/{name}"),
            "progress": {"percent": percent, "message": "copying disk\nroot"},
        })
    }

    fn line(operation: &Operation) -> String {
        one_line_of(operation, &doings(operation))
    }

    #[test]
    fn one_machine_shows_its_task_or_why_it_waits() {
        let running = operation(json!({"progress": {"percent": 7, "message": "copying"}}));
        assert_eq!(line(&running), "deploy /web:   7 % copying");
        let waiting = operation(json!({"waiting_for": "operation 11 on the same machine"}));
        assert_eq!(
            line(&waiting),
            "deploy /web: waits for operation 11 on the same machine"
        );
        let pending = operation(json!({"state": "pending"}));
        assert_eq!(line(&pending), "deploy /web: pending");
    }

    #[test]
    fn a_folder_shows_how_many_are_done_and_what_runs() {
        let mut waiting = child("d", "running", json!(null));
        waiting["waiting_for"] = json!("a hypervisor that does not answer, for a long time now");
        let operation = operation(json!({"children": [
            child("a", "succeeded", json!(100)),
            child("b", "failed", json!(100)),
            child("c", "pending", json!(null)),
            waiting,
            child("e", "running", json!(40)),
        ]}));
        assert_eq!(
            line(&operation),
            "deploy /web: 2 of 5 done, 1 failed, 1 waiting · /web/e: 40 % copying disk root"
        );
    }

    #[test]
    fn a_part_that_needs_a_person_ends_the_watch_only_when_the_others_are_over() {
        let of = |a: &str, b: &str| {
            operation(json!({"children": [
                child("a", a, json!(null)),
                child("b", b, json!(null)),
            ]}))
        };
        assert!(is_over(&of("in_doubt", "succeeded")));
        assert!(!is_over(&of("in_doubt", "running")));
        assert!(
            !is_over(&of("succeeded", "failed")),
            "the parent ends by itself"
        );
        assert!(is_over(&operation(json!({"state": "in_doubt"}))));
    }

    #[test]
    fn without_a_terminal_the_same_message_is_written_every_quarter() {
        let output = Output::new(crate::args::Format::Text);
        let mut lines = ProgressLine::new(&output);
        let mut at = |percent: Value| {
            let operation = operation(json!({"children": [child("a", "running", percent)]}));
            let doing = doings(&operation).remove(0);
            let news = lines.is_news(&doing);
            if news {
                lines.written.insert(doing.path.clone(), doing);
            }
            news
        };
        let news: Vec<bool> = [
            json!(null),
            json!(1),
            json!(20),
            json!(26),
            json!(50),
            json!(51),
        ]
        .into_iter()
        .map(&mut at)
        .collect();
        assert_eq!(news, [true, true, false, true, false, true]);
    }

    #[test]
    fn a_long_line_is_cut_to_the_terminal() {
        assert_eq!(fitted("abcdef", 7), "abcdef");
        assert_eq!(fitted("abcdef", 6), "abcd…");
        assert_eq!(fitted("größe", 5), "grö…");
    }
}
