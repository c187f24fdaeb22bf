//! Operations as text.

use enginehouse_api::{
    ChildOperation, Operation, OperationKind, OperationResult, OperationState, Step, StepState,
};

use crate::doubt_text;
use crate::report::field_error;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::{date_time, span};

/// The colour of a state.
#[must_use]
pub fn state_style(state: OperationState) -> Style {
    match state {
        OperationState::Succeeded => Style::Good,
        OperationState::Failed | OperationState::InDoubt => Style::Bad,
        OperationState::WaitingApproval
        | OperationState::Cancelled
        | OperationState::Superseded => Style::Warning,
        OperationState::Pending | OperationState::Running => Style::Plain,
    }
}

/// How long it has taken, if it has ended.
#[must_use]
pub fn took(operation: &Operation) -> Option<u64> {
    let ended = operation.ended_at?;
    Some(ended.since(operation.started_at.unwrap_or(operation.queued_at)))
}

fn done(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::CreateFolder => "created",
        OperationKind::RemoveFolder => "removed",
        OperationKind::Provision => "provisioned",
        OperationKind::Deprovision => "deprovisioned",
        OperationKind::Protect => "protected",
        OperationKind::Unprotect => "unprotected",
        OperationKind::Edit => "edited",
        OperationKind::Move => "moved",
        OperationKind::Reconfigure => "reconfigured",
        OperationKind::Deploy => "deployed",
        OperationKind::Undeploy => "undeployed",
        OperationKind::Start => "started",
        OperationKind::Stop => "stopped",
        OperationKind::Restart => "restarted",
        OperationKind::Rollback => "rolled back",
        OperationKind::Undo => "took back",
        OperationKind::SetGrants => "set the grants of",
        OperationKind::SetSecret => "set",
        OperationKind::RemoveSecret => "removed",
        OperationKind::RotateKey => "encrypted anew",
        OperationKind::Import => "imported",
        OperationKind::Adopt => "adopted",
    }
}

/// What a person reads after a command that went well.
#[must_use]
pub fn success(operation: &Operation, paint: Painter) -> String {
    let mut facts = Vec::new();
    if let Some(id) = operation
        .result
        .as_ref()
        .and_then(|result| result.machine_id.as_ref())
    {
        facts.push(format!("machine {}", one_line(id)));
    }
    if let Some(ms) = took(operation)
        && !operation.steps.is_empty() | !operation.children.is_empty()
    {
        facts.push(span(ms));
    }
    facts.push(format!("operation {}", operation.number));
    let mut text = format!(
        "{} {} ({})\n",
        paint.paint(Style::Good, done(operation.kind)),
        named(operation),
        facts.join(", ")
    );
    for step in &operation.steps {
        text.push_str(&format!("  {}\n", one_line(&step_text(step))));
    }
    if operation.steps.is_empty()
        && operation.children.is_empty()
        && operation.kind.works_on_machine()
    {
        text.push_str("  nothing to do\n");
    }
    text.push_str(&children(operation, paint));
    if let Some(result) = &operation.result {
        text.push_str(&warnings(result, paint));
    }
    text
}

/// What it is about; of a move also what it is called then.
#[must_use]
pub fn named(operation: &Operation) -> String {
    match (&operation.secret, &operation.to, operation.kind) {
        (Some(secret), _, _) => format!("secret {secret}"),
        (None, _, OperationKind::RotateKey) => "all secrets".to_owned(),
        (None, Some(to), _) => format!("{} to {to}", operation.path),
        (None, None, _) => operation.path.to_string(),
    }
}

/// A line for each part of an operation on a folder.
#[must_use]
pub fn children(operation: &Operation, paint: Painter) -> String {
    let mut table = Table::new();
    let mut not_begun = 0;
    for child in &operation.children {
        // Of a rollout that was stopped: it is in the error how many there are.
        if operation.max_failures.is_some() && was_not_begun(child) {
            not_begun += 1;
            continue;
        }
        let wave = child.wave.map(|wave| format!("wave {wave}"));
        let row = [
            Some((Style::Plain, format!("  {}", child.path))),
            wave.map(|wave| (Style::Faint, wave)),
            Some((state_style(child.state), child.state.to_string())),
            Some((Style::Plain, child_note(child))),
        ];
        table.row(row.into_iter().flatten());
    }
    let mut text = table.render(paint);
    if not_begun > 0 {
        text.push_str(&format!("  {not_begun} were not begun\n"));
    }
    text
}

fn was_not_begun(child: &ChildOperation) -> bool {
    child.state == OperationState::Cancelled && child.error.is_some()
}

fn child_note(child: &ChildOperation) -> String {
    if let Some(error) = &child.error {
        return error.message.clone();
    }
    let mut notes = Vec::new();
    if let Some(result) = &child.result {
        notes.extend(result.machine_id.as_ref().map(|id| format!("machine {id}")));
        notes.extend(
            result
                .warnings
                .iter()
                .map(|text| format!("warning: {text}")),
        );
    }
    if !child.state.has_ended() {
        notes.extend(child.waiting_for.clone());
    }
    notes.join(", ")
}

fn warnings(result: &OperationResult, paint: Painter) -> String {
    let line = |text: &String| {
        format!(
            "{} {}\n",
            paint.paint(Style::Warning, "warning:"),
            one_line(text)
        )
    };
    result.warnings.iter().map(line).collect()
}

/// What is worth knowing of an operation that did not go well, beside its error's message.
#[must_use]
pub fn failure_details(operation: &Operation) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(error) = &operation.error {
        details.extend(error.errors.iter().map(field_error));
        details.extend(
            error
                .lines
                .iter()
                .map(|line| format!("| {}", one_line(line))),
        );
    }
    for step in &operation.steps {
        match step.state {
            StepState::Failed | StepState::InDoubt => {
                details.push(format!(
                    "{} in step {}: {}",
                    step.state,
                    step.number,
                    step_text(step)
                ));
            }
            StepState::Skipped => details.push(format!("not reached: {}", step_text(step))),
            StepState::Pending
            | StepState::Running
            | StepState::Waiting
            | StepState::Retrying
            | StepState::Done => {}
        }
    }
    if let Some(result) = &operation.result {
        for object in &result.created {
            details.push(format!("exists now: {} {}", object.kind, object.id));
        }
        for object in &result.failed {
            details.push(format!("{} {}: {}", object.kind, object.id, object.reason));
        }
        details.extend(
            result
                .warnings
                .iter()
                .map(|text| format!("warning: {text}")),
        );
    }
    details
}

fn step_text(step: &Step) -> String {
    if step.text.is_empty() {
        step.action.clone()
    } else {
        format!("{}: {}", step.action, step.text)
    }
}

/// An operation whole, for `ops show`.
#[must_use]
pub fn whole(operation: &Operation, paint: Painter) -> String {
    let mut text = format!(
        "operation {}: {} {}\n",
        operation.number, operation.kind, operation.path
    );
    let mut facts = Table::new();
    let mut fact = |name: &str, style, value: String| {
        facts.row([(Style::Faint, format!("  {name}")), (style, value)]);
    };
    let mut state = operation.state.to_string();
    if operation.cancel_requested && !operation.state.has_ended() {
        state.push_str(" (cancel requested)");
    }
    fact("state", state_style(operation.state), state);
    if let Some(progress) = &operation.progress
        && !operation.state.has_ended()
        && operation.doubt.is_none()
    {
        let percent = progress.percent.map(|percent| format!("{percent} % "));
        let percent = percent.unwrap_or_default();
        fact("progress", Style::Plain, percent + &progress.message);
    }
    if let Some(reason) = &operation.waiting_for {
        fact("waits for", Style::Plain, reason.clone());
    }
    fact("ordered by", Style::Plain, operation.who.clone());
    fact("queued", Style::Plain, date_time(operation.queued_at));
    if let Some(at) = operation.started_at {
        fact("started", Style::Plain, date_time(at));
    }
    if let Some(at) = operation.ended_at {
        fact("ended", Style::Plain, date_time(at));
    }
    if let Some(ms) = took(operation) {
        fact("took", Style::Plain, span(ms));
    }
    if let Some(plan) = &operation.plan {
        fact("plan", Style::Plain, plan.to_string());
    }
    if let Some(parent) = operation.parent {
        fact("part of", Style::Plain, format!("operation {parent}"));
    }
    if let Some(id) = operation
        .result
        .as_ref()
        .and_then(|result| result.machine_id.as_ref())
    {
        fact("machine", Style::Plain, id.clone());
    }
    text.push_str(&facts.render(paint));
    text.push_str(&steps(operation, paint));
    text.push_str(&parts(operation, paint));
    if let Some(error) = &operation.error {
        text.push_str(&format!(
            "{} {}\n",
            paint.paint(Style::Bad, "error:"),
            one_line(&format!("{}: {}", error.code, error.message))
        ));
    }
    if let Some(doubt) = &operation.doubt {
        text.push_str(&doubt_text::doubt(doubt, paint));
        return text;
    }
    if !matches!(operation.state, OperationState::Succeeded) {
        for detail in failure_details(operation) {
            text.push_str(&format!("  {}\n", one_line(&detail)));
        }
    } else if let Some(result) = &operation.result {
        text.push_str(&warnings(result, paint));
    }
    if let Some(hint) = operation
        .error
        .as_ref()
        .and_then(|error| error.hint.as_ref())
    {
        text.push_str(&format!(
            "{} {}\n",
            paint.paint(Style::Warning, "hint:"),
            one_line(hint)
        ));
    }
    let doubtful = (operation.children.iter())
        .filter(|child| child.state == OperationState::InDoubt && !operation.state.has_ended());
    for child in doubtful {
        text.push_str(&format!(
            "{} `enginehouse ops show {}` says what is known of {}\n",
            paint.paint(Style::Warning, "hint:"),
            child.number,
            child.path
        ));
    }
    text
}

fn steps(operation: &Operation, paint: Painter) -> String {
    if operation.steps.is_empty() {
        return String::new();
    }
    let mut table = Table::with_header(&["STEP", "ACTION", "STATE", "TOOK", "WHAT"]);
    for step in &operation.steps {
        let took = match (step.started_at, step.ended_at) {
            (Some(from), Some(to)) => span(to.since(from)),
            (Some(_) | None, None) | (None, Some(_)) => String::new(),
        };
        let style = match step.state {
            StepState::Done => Style::Good,
            StepState::Failed | StepState::InDoubt => Style::Bad,
            StepState::Retrying => Style::Warning,
            StepState::Skipped => Style::Faint,
            StepState::Pending | StepState::Running | StepState::Waiting => Style::Plain,
        };
        let mut state = step.state.to_string();
        if step.attempt > 1 {
            state.push_str(&format!(", attempt {}", step.attempt));
        }
        table.row([
            (Style::Plain, step.number.to_string()),
            (Style::Plain, step.action.clone()),
            (style, state),
            (Style::Plain, took),
            (Style::Plain, step.text.clone()),
        ]);
    }
    table.render(paint)
}

fn parts(operation: &Operation, paint: Painter) -> String {
    if operation.children.is_empty() {
        return String::new();
    }
    let mut table = Table::with_header(&["OPERATION", "PATH", "STATE", "NOTE"]);
    for child in &operation.children {
        table.row([
            (Style::Plain, child.number.to_string()),
            (Style::Plain, child.path.to_string()),
            (state_style(child.state), child.state.to_string()),
            (Style::Plain, child_note(child)),
        ]);
    }
    table.render(paint)
}
