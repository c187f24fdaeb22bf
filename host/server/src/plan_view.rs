//! A plan in the words of the API.

use enginehouse_api::{ActionClass, ClassCounts, PlanAction, PlanMachine, PlanPreview};
use enginehouse_reconcile::{Class, MachinePlan, Plan, PlannedAction};

pub(crate) fn preview(plan: &Plan) -> PlanPreview {
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
        text: plan.to_string(),
        machines: plan.machines.iter().map(machine).collect(),
        counts,
    }
}

fn machine(machine: &MachinePlan) -> PlanMachine {
    PlanMachine {
        path: machine.name.clone(),
        hypervisor: Some(machine.hypervisor_name.clone()),
        machine_id: machine.machine_id.clone(),
        observed_at: machine.observed_at,
        actions: machine.actions.iter().map(action).collect(),
        refused: machine
            .refused
            .iter()
            .map(|refusal| format!("{}: {}", refusal.subject, refusal.reason))
            .collect(),
    }
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
