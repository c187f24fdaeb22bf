//! A plan as text for people: what they read before they say yes.
//!
//! ```text
//! pve1
//!   ~ configure 9 (/web/vm9): cores 2 -> 4, memory 2048 MiB -> 4096 MiB   benign
//!   ~ start 9 (/web/vm9): run stopped -> running   benign
//!
//! 2 actions: 2 benign
//! ```
//!
//! Names and messages come from providers and engines: control characters in them are replaced, so
//! that a line is one line and cannot repaint a terminal.

use std::fmt;

use enginehouse_model::documents::Action;

use crate::field::word;
use crate::{Class, FieldChange, MachinePlan, Plan, PlannedAction};

/// The text of a plan, with a line break at the end.
#[must_use]
pub fn render(plan: &Plan) -> String {
    plan.to_string()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hypervisor = None;
        for machine in self
            .machines
            .iter()
            .filter(|machine| says_something(machine))
        {
            let here = (machine.hypervisor, &machine.hypervisor_name);
            if hypervisor != Some(here) {
                line(f, &machine.hypervisor_name)?;
                hypervisor = Some(here);
            }
            describe(f, machine)?;
        }
        if hypervisor.is_some() {
            writeln!(f)?;
        }
        line(f, &self.summary())
    }
}

impl Plan {
    /// `3 actions: 2 benign, 1 disruptive; 1 refused`
    #[must_use]
    pub fn summary(&self) -> String {
        let refused: usize = self.machines.iter().map(|m| m.refused.len()).sum();
        let total = self.actions().count();
        let classes = [
            Class::Benign,
            Class::Disruptive,
            Class::Destructive,
            Class::Irreversible,
        ];
        let counts: Vec<String> = classes
            .into_iter()
            .map(|class| (class, self.actions().filter(|a| a.class == class).count()))
            .filter(|(_, count)| *count > 0)
            .map(|(class, count)| format!("{count} {class}"))
            .collect();
        let mut text = match total {
            0 => "nothing to do".to_owned(),
            1 => format!("1 action: {}", counts.join(", ")),
            _ => format!("{total} actions: {}", counts.join(", ")),
        };
        if refused > 0 {
            text.push_str(&format!("; {refused} refused"));
        }
        text
    }
}

/// What has no actions still says what drifts, what waits, and what is in the way.
fn says_something(machine: &MachinePlan) -> bool {
    !(machine.actions.is_empty()
        && machine.drift.is_empty()
        && machine.pending.is_empty()
        && machine.in_step.is_empty()
        && machine.refused.is_empty()
        && machine.notes.is_empty())
}

fn describe(f: &mut fmt::Formatter<'_>, machine: &MachinePlan) -> fmt::Result {
    let who = match &machine.machine_id {
        Some(id) => format!("{id} ({})", machine.name),
        None => machine.name.to_string(),
    };
    for action in &machine.actions {
        let PlannedAction { class, reason, .. } = action;
        let (symbol, verb) = (symbol(action), action.request.action.name());
        line(f, &format!("  {symbol} {verb} {who}: {reason}   {class}"))?;
    }
    for refusal in &machine.refused {
        let what = match &refusal.change {
            Some(change) => changed(change),
            None => word(&refusal.subject),
        };
        line(
            f,
            &format!("  ! {who}: {what}: refused, {}", refusal.reason),
        )?;
    }
    // With actions, drift and pending changes are what they repair.
    if machine.actions.is_empty() {
        for (kind, changes) in [("drift", &machine.drift), ("pending", &machine.pending)] {
            for change in changes {
                line(f, &format!("    {who}: {kind}: {}", changed(change)))?;
            }
        }
    }
    for change in &machine.in_step {
        line(
            f,
            &format!("    {who}: on record only: {}", changed(change)),
        )?;
    }
    for note in &machine.notes {
        line(f, &format!("    {who}: {note}"))?;
    }
    Ok(())
}

fn symbol(action: &PlannedAction) -> char {
    match action.request.action {
        Action::Create { .. } | Action::DiskAdd { .. } => '+',
        Action::Configure { .. }
        | Action::Start
        | Action::Stop { .. }
        | Action::Restart { .. }
        | Action::DiskGrow { .. } => '~',
        Action::Destroy { .. } => '-',
    }
}

fn changed(change: &FieldChange) -> String {
    format!("{} {} -> {}", word(&change.field), change.from, change.to)
}

fn line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    writeln!(f, "{clean}")
}
