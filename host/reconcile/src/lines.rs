//! One machine of a plan, as lines of text.

use enginehouse_model::documents::Action;

use crate::field::word;
use crate::{FieldChange, MachinePlan, PlannedAction};

/// The lines of a machine, without the one that names it.
pub(crate) fn lines(machine: &MachinePlan) -> Vec<String> {
    let mut lines = Vec::new();
    for wait in &machine.waits {
        lines.push(format!("waits for {wait}"));
    }
    let mut told: Vec<&str> = Vec::new();
    for action in &machine.actions {
        let PlannedAction { class, reason, .. } = action;
        let (symbol, verb) = (symbol(action), action.request.action.name());
        lines.push(format!("{symbol} {verb}: {reason}   {class}"));
        lines.extend(reasons(machine, &action.fields, makes(action)));
        told.extend(action.fields.iter().map(|change| change.field.as_str()));
    }
    for refusal in &machine.refused {
        let what = refusal
            .change
            .as_ref()
            .map_or_else(|| word(&refusal.subject), changed);
        lines.push(format!("! {what}: refused, {}", refusal.reason));
        if let Some(change) = &refusal.change {
            lines.extend(reasons(machine, std::slice::from_ref(change), false));
            told.push(&change.field);
        }
    }
    // Of what is done or refused it has been said what it repairs.
    let left = |changes: &[FieldChange]| -> Vec<FieldChange> {
        let left = changes.iter().filter(|c| !told.contains(&c.field.as_str()));
        left.cloned().collect()
    };
    for change in left(&machine.drift) {
        lines.push(format!("drift: {}", changed(&change)));
    }
    for change in left(&machine.pending) {
        let from = machine.origins.get(&change.field);
        let from = from.map_or(String::new(), |origin| format!(", from {origin}"));
        lines.push(format!("pending: {}{from}", changed(&change)));
    }
    for change in &machine.in_step {
        lines.push(match change.is_let_go() {
            true => format!(
                "no longer managed: {} stays as it is, {}",
                word(&change.field),
                change.from
            ),
            false => format!("on record only: {}", changed(change)),
        });
    }
    lines.extend(machine.notes.iter().cloned());
    if let Some(because) = &machine.nothing_because {
        lines.push(format!("nothing is done, because {because}"));
    }
    lines
}

fn makes(action: &PlannedAction) -> bool {
    matches!(action.request.action, Action::Create { .. })
}

/// Below an action: what it repairs, and where the wanted values come from. One line for all values
/// of the same answer. `creates`: they are those of a new machine.
fn reasons(machine: &MachinePlan, changes: &[FieldChange], creates: bool) -> Vec<String> {
    let of = |changes: &[FieldChange], field: &str| {
        let change = changes.iter().find(|change| change.field == field);
        change.map(|change| change.from.clone())
    };
    let is_new = machine.actions.iter().any(makes);
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for change in changes {
        let field = change.field.as_str();
        let mut what = word(field);
        let why = match (of(&machine.drift, field), of(&machine.pending, field)) {
            (Some(deployed), Some(_)) => {
                what.push_str(&format!(" (deployed {deployed})"));
                "drift and pending"
            }
            (Some(_), None) => "drift",
            (None, Some(_)) => "pending",
            (None, None) => "",
        };
        let origin = machine.origins.get(field);
        let head = match (why, origin) {
            // Said by the action itself: its name is the descriptor's.
            ("", _) if field == "name" => continue,
            ("", Some(origin)) if is_new => format!("from {origin}"),
            ("", None) if creates => "as defined".to_owned(),
            // What a person ordered does not come from the definition.
            ("", _) => continue,
            (why, Some(origin)) => format!("{why}, from {origin}"),
            (why, None) => why.to_owned(),
        };
        if creates {
            what.push_str(&format!(" {}", change.to));
        }
        match groups.iter_mut().find(|(other, _)| *other == head) {
            Some((_, fields)) => fields.push(what),
            None => groups.push((head, vec![what])),
        }
    }
    let lines = groups.into_iter();
    lines
        .map(|(head, fields)| format!("    {head}: {}", fields.join(", ")))
        .collect()
}

fn symbol(action: &PlannedAction) -> char {
    match action.request.action {
        Action::Create { .. } | Action::DiskAdd { .. } | Action::NicAdd { .. } => '+',
        Action::Configure { .. }
        | Action::Adopt
        | Action::Start
        | Action::Stop { .. }
        | Action::Restart { .. }
        | Action::DiskGrow { .. }
        | Action::NicChange { .. } => '~',
        Action::Destroy { .. } | Action::DiskRemove { .. } | Action::NicRemove { .. } => '-',
    }
}

fn changed(change: &FieldChange) -> String {
    format!("{} {} -> {}", word(&change.field), change.from, change.to)
}
