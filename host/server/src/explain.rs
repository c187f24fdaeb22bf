//! What the journal's entries mean, said in the operation's log for people.

use enginehouse_model::{OperationId, Timestamp};
use enginehouse_queue::{Entry, Resolution, StepPlan};

use crate::house::State;

/// Says in the operation's log what an entry means, where a person wants to know it.
pub(crate) fn explain(state: &mut State, number: OperationId, now: Timestamp, entry: &Entry) {
    // Steps that were called so far; the operation itself may have left the queue with this entry.
    let live = state.live.get(&number);
    let step = live.map_or(0, |live| live.step_times.len());
    let said = match (live, entry) {
        (Some(live), Entry::Done { .. }) => live.warned().to_vec(),
        _ => Vec::new(),
    };
    let mut say = |level: &str, text: String| state.log(number, now, level, &text);
    match entry {
        Entry::Planned(StepPlan {
            steps, warnings, ..
        }) => {
            for warning in warnings {
                say("warn", warning.clone());
            }
            if steps.is_empty() {
                say("info", "nothing to do".to_owned());
            }
            for (at, step) in steps.iter().enumerate() {
                say(
                    "info",
                    format!(
                        "step {} of {}: {}: {}",
                        at + 1,
                        steps.len(),
                        step.action,
                        step.reason
                    ),
                );
            }
        }
        Entry::Asked { .. } => say(
            "info",
            format!("waits for approval: `enginehouse approvals show {number}`"),
        ),
        Entry::Signed { signature } => {
            let owner = signature.get("owner").and_then(|owner| owner.as_str());
            say(
                "info",
                format!("{} approved it", owner.unwrap_or("somebody")),
            );
        }
        Entry::Approved { .. } => say(
            "info",
            "enough have approved it: it is planned again, and goes on if that is what they signed"
                .to_owned(),
        ),
        Entry::Held { problem, .. } => say("info", format!("waits for {}", problem.message)),
        Entry::Skipped { reason } => {
            say("info", format!("step {step} is not needed: {reason}"));
        }
        Entry::NotSent { reason } => say("info", format!("the request had no effect: {reason}")),
        Entry::Settling { reason } => say(
            "warn",
            format!("finding out what became of the last request: {reason}"),
        ),
        Entry::Broke { problem } => say("warn", format!("the engine failed: {}", problem.message)),
        Entry::Moved { note, created, .. } | Entry::Waiting { note, created, .. } => {
            if let Entry::Waiting { task, .. } = entry {
                say("debug", format!("waits for task {task}"));
            }
            if !note.message.is_empty() {
                say("info", note.message.clone());
            }
            for object in created {
                say("info", format!("created {object}"));
            }
            for warning in &note.warnings {
                say("warn", warning.clone());
            }
        }
        Entry::TaskEnded { end } => {
            for warning in &end.warnings {
                say("warn", warning.clone());
            }
            if let Some(problem) = &end.problem {
                say("warn", format!("the task failed: {problem}"));
            }
        }
        Entry::Done { created, outcome } => {
            for object in created {
                say("info", format!("created {object}"));
            }
            // What its task said was said when that ended.
            for warning in outcome.warnings.iter().filter(|it| !said.contains(it)) {
                say("warn", warning.clone());
            }
            say("info", format!("step {step} is done"));
        }
        Entry::Escalated { reason } => say(
            "warn",
            format!("the guest did not shut down ({reason}): switching it off"),
        ),
        Entry::Postponed { problem, until, .. } => say(
            "warn",
            format!(
                "waiting {:.1} s: {problem}",
                until.since(now) as f64 / 1000.0
            ),
        ),
        Entry::CancelRequested { who } => say("info", format!("{who} asked to cancel")),
        Entry::Ranked { who, .. } => say("info", format!("{who} gave it another place")),
        Entry::RollingBack { parts } => match parts.len() {
            0 => say("info", "there is nothing to take back".to_owned()),
            parts => say("warn", format!("taking back what {parts} parts did")),
        },
        Entry::BegunAnew { who } => say(
            "warn",
            format!(
                "the host was restored from a backup and {who} let it go on: what was done since the backup is not known, so this begins again"
            ),
        ),
        Entry::Doubted { reason } => say("warn", format!("in doubt: {reason}")),
        Entry::Resolved { who, how } => say(
            "info",
            match how {
                Resolution::Retry => format!("{who} said: try again"),
                Resolution::Done => format!("{who} said: it is done"),
                Resolution::Anew => format!("{who} said: it is there, go on with it"),
            },
        ),
        Entry::Ended {
            state: end,
            problem,
        } => match problem {
            Some(problem) => say("error", format!("{}: {problem}", end.name())),
            None => say("info", end.name().to_owned()),
        },
        Entry::Queued { .. }
        | Entry::Started
        | Entry::Released
        | Entry::Called { .. }
        | Entry::Filled { .. }
        | Entry::Sending { .. }
        | Entry::Answered { .. }
        | Entry::Freed { .. } => {}
    }
}
