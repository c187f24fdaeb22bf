//! A plan in the words of the API.

use enginehouse_api::{ActionClass, ClassCounts, PlanAction, PlanMachine, PlanPreview};
use enginehouse_reconcile::{Class, FieldChange, Layout, MachinePlan, Plan, PlannedAction, render};

/// How many machines a text describes that nobody asked for by itself.
pub(crate) const SHOWN: Layout = Layout {
    now: None,
    limit: Some(50),
};

pub(crate) fn preview(plan: &Plan, layout: Layout) -> PlanPreview {
    let mut counts = ClassCounts::default();
    for action in plan.actions() {
        let count = match action.class {
            Class::Benign => &mut counts.benign,
            Class::Disruptive => &mut counts.disruptive,
            Class::Destructive => &mut counts.destructive,
            Class::Irreversible => &mut counts.irreversible,
        };
        *count += 1;
    }
    PlanPreview {
        text: render(plan, layout),
        machines: plan.machines.iter().map(machine).collect(),
        counts,
    }
}

fn machine(machine: &MachinePlan) -> PlanMachine {
    PlanMachine {
        path: machine.name.clone(),
        hypervisor: Some(machine.hypervisor_name.clone()),
        machine_id: machine.machine_id.clone(),
        actions: machine.actions.iter().map(action).collect(),
        refused: machine
            .refused
            .iter()
            .map(|refusal| format!("{}: {}", refusal.subject, refusal.reason))
            .collect(),
        drift: changes(&machine.drift),
        pending: changes(&machine.pending),
        waits_for: machine.waits.clone(),
        nothing_because: machine.nothing_because.as_deref().map(str::to_owned),
        observed_at: machine.observed_at,
    }
}

/// `cores 2 -> 4`, by the definition's keys.
fn changes(changes: &[FieldChange]) -> Vec<String> {
    let changes = changes.iter();
    changes
        .map(|change| format!("{} {} -> {}", change.field, change.from, change.to))
        .collect()
}

fn action(action: &PlannedAction) -> PlanAction {
    PlanAction {
        action: action.request.action.name().to_owned(),
        text: action.reason.clone(),
        class: match action.class {
            Class::Benign => ActionClass::Benign,
            Class::Disruptive => ActionClass::Disruptive,
            Class::Destructive => ActionClass::Destructive,
            Class::Irreversible => ActionClass::Irreversible,
        },
    }
}
