//! The run state.
//!
//! It is compared with what was observed of the machine, never with its configuration. A person's
//! `start` and `stop` become the deployed run state, so a stop against `power: running` is a
//! pending change and not drift. A machine that is paused is neither running nor stopped. Of one
//! whose state is unknown nothing is changed.

use enginehouse_model::documents::{Action, Config, Power, PowerState};

use crate::draft::{Draft, Present};
use crate::{Class, FieldChange, MachinePlan};

const UNKNOWN: &str = "its run state is unknown: it is neither started nor stopped";

pub(crate) fn word(power: Power) -> &'static str {
    match power {
        Power::Running => "running",
        Power::Stopped => "stopped",
    }
}

fn state_word(state: PowerState) -> &'static str {
    match state {
        PowerState::Running => "running",
        PowerState::Stopped => "stopped",
        PowerState::Paused => "paused",
        PowerState::Unknown => "unknown",
    }
}

fn is(state: PowerState, power: Power) -> bool {
    match power {
        Power::Running => state == PowerState::Running,
        Power::Stopped => state == PowerState::Stopped,
    }
}

fn run(from: &str, to: &str) -> FieldChange {
    FieldChange {
        field: "power".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

pub(crate) fn add_start(draft: &mut Draft<'_>, from: &str) {
    let text = format!("run {from} -> running");
    let fields = vec![run(from, "running")];
    draft.change(Action::Start, Class::Benign, text, fields, None);
}

/// A machine whose run state is not managed is still switched on once.
pub(crate) fn add_first_start(draft: &mut Draft<'_>, from: &str) {
    let text = format!("run {from} -> running, once after its creation");
    let fields = vec![run(from, "running")];
    draft.change(Action::Start, Class::Benign, text, fields, None);
}

pub(crate) fn add_stop(draft: &mut Draft<'_>, from: &str, graceful: bool) {
    let action = Action::Stop {
        graceful,
        timeout_ms: draft.subject.shutdown_timeout_ms.filter(|_| graceful),
    };
    let how = if graceful {
        ""
    } else {
        ", by pulling the plug"
    };
    let text = format!("run {from} -> stopped{how}");
    let fields = vec![run(from, "stopped")];
    draft.change(action, Class::Disruptive, text, fields, None);
}

/// Fills drift, pending changes and what is in step.
pub(crate) fn compare(draft: &mut Draft<'_>, desired: Option<Power>, deployed: Option<Power>) {
    let Some(desired) = desired else { return };
    let observed = draft.subject.observed.map(|machine| machine.power);
    let before = deployed.map_or("unset", word);
    let is_pending = deployed != Some(desired);
    let known = observed.filter(|state| *state != PowerState::Unknown);
    if is_pending {
        let change = run(before, word(desired));
        match known.is_some_and(|state| is(state, desired)) {
            true => draft.plan.in_step.push(change),
            false => draft.plan.pending.push(change),
        }
    }
    if let (Some(deployed), Some(state)) = (deployed, known)
        && !is(state, deployed)
        && !is(state, desired)
    {
        let change = run(word(deployed), state_word(state));
        draft.plan.drift.push(change);
    }
}

/// The last part of bringing a machine to its definition. `restart`: fields that take effect with
/// a restart.
pub(crate) fn bring(
    draft: &mut Draft<'_>,
    desired: &Config,
    present: Present<'_>,
    first: bool,
    restart: Vec<String>,
) {
    let deployed = present.record.deployed.power;
    compare(draft, desired.power, deployed);
    let state = present.observed.power;
    let from = state_word(state);
    match (desired.power, state) {
        (Some(_), PowerState::Unknown) => draft.plan.notes.push(UNKNOWN.to_owned()),
        (Some(Power::Running), PowerState::Stopped | PowerState::Paused) => add_start(draft, from),
        (Some(Power::Stopped), PowerState::Running | PowerState::Paused) => {
            add_stop_from(draft, state);
            return;
        }
        (None, PowerState::Stopped | PowerState::Paused) if first && deployed.is_none() => {
            add_first_start(draft, from);
        }
        (Some(Power::Running) | None, PowerState::Running)
        | (Some(Power::Stopped), PowerState::Stopped)
        | (None, PowerState::Stopped | PowerState::Paused | PowerState::Unknown) => {}
    }
    if restart.is_empty() || state != PowerState::Running {
        return;
    }
    let fields = restart.join(", ");
    if draft.subject.rules.supports("restart") {
        let action = Action::Restart {
            graceful: true,
            timeout_ms: draft.subject.shutdown_timeout_ms,
        };
        let text = format!("restart, for {fields} to take effect");
        draft.act(action, Class::Disruptive, text);
    } else {
        draft
            .plan
            .notes
            .push(format!("{fields}: takes effect with the next restart"));
    }
}

/// Whether a machine that is to be destroyed has to be stopped before; refused where the engine cannot.
pub(crate) fn must_stop_first(draft: &mut Draft<'_>, present: Present<'_>) -> bool {
    match present.observed.power {
        PowerState::Running | PowerState::Paused => {
            draft.supports("stop", Class::Disruptive);
            true
        }
        PowerState::Stopped => false,
        PowerState::Unknown => {
            let text = "its run state is unknown: it is destroyed without being stopped first";
            draft.plan.notes.push(text.to_owned());
            false
        }
    }
}

/// Stops a machine that is to stand still, gracefully where the engine can.
pub(crate) fn add_stop_from(draft: &mut Draft<'_>, state: PowerState) {
    let graceful = draft.subject.rules.supports("stop.graceful");
    add_stop(draft, state_word(state), graceful);
}

/// Writes down the run state that a person asked for, where the machine has it already.
fn in_step(draft: &mut Draft<'_>, present: Present<'_>, power: Power) {
    let deployed = present.record.deployed.power;
    if deployed != Some(power) {
        let change = run(deployed.map_or("unset", word), word(power));
        draft.plan.in_step.push(change);
    }
}

pub(crate) fn start(mut draft: Draft<'_>) -> MachinePlan {
    let Some(present) = draft.present("start", Class::Benign) else {
        return draft.finish("");
    };
    if present.observed.template {
        draft.refuse("start", Class::Benign, "it is a template: it cannot run");
        return draft.finish("");
    }
    match present.observed.power {
        PowerState::Running => in_step(&mut draft, present, Power::Running),
        state @ (PowerState::Stopped | PowerState::Paused) => {
            add_start(&mut draft, state_word(state));
        }
        PowerState::Unknown => draft.refuse("start", Class::Benign, UNKNOWN),
    }
    draft.finish("it is running already")
}

pub(crate) fn stop(mut draft: Draft<'_>, graceful: bool) -> MachinePlan {
    let Some(present) = draft.present("stop", Class::Disruptive) else {
        return draft.finish("");
    };
    match present.observed.power {
        PowerState::Stopped => in_step(&mut draft, present, Power::Stopped),
        state @ (PowerState::Running | PowerState::Paused) => {
            if !graceful || draft.supports("stop.graceful", Class::Disruptive) {
                add_stop(&mut draft, state_word(state), graceful);
            }
        }
        PowerState::Unknown => draft.refuse("stop", Class::Disruptive, UNKNOWN),
    }
    draft.finish("it is stopped already")
}

pub(crate) fn restart(mut draft: Draft<'_>, graceful: bool) -> MachinePlan {
    let Some(present) = draft.present("restart", Class::Disruptive) else {
        return draft.finish("");
    };
    match present.observed.power {
        PowerState::Running | PowerState::Paused => {
            let action = Action::Restart {
                graceful,
                timeout_ms: draft.subject.shutdown_timeout_ms.filter(|_| graceful),
            };
            let how = if graceful {
                ""
            } else {
                ", by pulling the plug"
            };
            draft.act(action, Class::Disruptive, format!("restart{how}"));
        }
        PowerState::Stopped => {
            draft.refuse("restart", Class::Disruptive, "it is stopped: use `start`");
        }
        PowerState::Unknown => draft.refuse("restart", Class::Disruptive, UNKNOWN),
    }
    draft.finish("")
}
