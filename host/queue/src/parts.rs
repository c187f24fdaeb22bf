//! How an operation with parts ends.

use enginehouse_model::documents::{Code, Problem};

use crate::entry::Final;
use crate::operation::{EndedPart, Operation};
use crate::spec::Spec;

/// When all its parts have: as the worst of them.
pub(crate) fn end_of_parts(operation: &Operation) -> (Final, Option<Problem>) {
    let known = operation.forward_parts().count();
    let unknown = operation.spec.children.len().saturating_sub(known);
    let failed: Vec<&EndedPart> = (operation.forward_parts())
        .filter(|part| part.has_failed())
        .collect();
    if let Some(first) = failed.first() {
        let code = first.problem.as_ref().map_or(Code::Provider, |p| p.code);
        let mut message = format!(
            "{} of {known} failed, first {}: {}",
            failed.len(),
            first.target,
            words(first)
        );
        let not_begun = not_begun(operation);
        if not_begun > 0 {
            message.push_str(&format!("; {not_begun} were not begun"));
        }
        if let Some(story) = taken_back(operation) {
            message.push_str("; ");
            message.push_str(&story);
        }
        let mut problem = Problem::new(code, message);
        if not_begun > 0 && operation.spec.stop_after.is_some() {
            let Spec {
                number,
                kind,
                target_name,
                ..
            } = &operation.spec;
            problem.detail.hint = Some(format!(
                "mend what failed, then `{kind} {target_name}` goes on; `rollback {target_name} --of {number}` goes back"
            ));
        }
        return (Final::Failed, Some(problem));
    }
    if unknown > 0 {
        let message = format!("how {unknown} of its parts ended is not on record");
        return (Final::Failed, Some(Problem::new(Code::Provider, message)));
    }
    if !in_state(operation, Final::Cancelled).is_empty() {
        return (Final::Cancelled, None);
    }
    if known > 0 && in_state(operation, Final::Superseded).len() == known {
        return (Final::Superseded, None);
    }
    (Final::Succeeded, None)
}

fn in_state(operation: &Operation, state: Final) -> Vec<&EndedPart> {
    let parts = operation.forward_parts();
    parts.filter(|part| part.state == state).collect()
}

/// Parts that something else kept from beginning.
fn not_begun(operation: &Operation) -> usize {
    let cancelled = in_state(operation, Final::Cancelled);
    cancelled
        .iter()
        .filter(|part| part.problem.is_some())
        .count()
}

fn words(part: &EndedPart) -> &str {
    let problem = part.problem.as_ref();
    problem.map_or(part.state.name(), |problem| problem.message.as_str())
}

/// What was taken back, and what could not be, in the order in which it was tried.
fn taken_back(operation: &Operation) -> Option<String> {
    let undo = operation.undo.as_ref()?;
    let tried: Vec<&EndedPart> = undo
        .iter()
        .filter_map(|number| operation.parts.iter().find(|part| part.number == *number))
        .collect();
    let names = |state: fn(Final) -> bool| -> Vec<String> {
        let parts = tried.iter().filter(|part| state(part.state));
        parts.map(|part| part.target.to_string()).collect()
    };
    let undone = names(|state| state == Final::Succeeded);
    let mut story = match (undone.as_slice(), undo.as_slice()) {
        (_, []) => "there was nothing to take back".to_owned(),
        ([], _) => "nothing was taken back".to_owned(),
        (names, _) => format!("taken back: {}", names.join(", ")),
    };
    for part in tried.iter().filter(|part| part.state != Final::Succeeded) {
        story.push_str(&format!(
            "; not taken back: {}: {}",
            part.target,
            words(part)
        ));
    }
    Some(story)
}
