//! Adoption: a machine that somebody else has made becomes a descriptor's.
//!
//! Nothing of it is changed but the mark. What its definition says of it is on record from then on as
//! if it had been deployed so, and the first plan afterwards has nothing to do.

use enginehouse_model::documents::{Action, ActionRequest, Config, Machine, Power, PowerState};
use enginehouse_model::{MachineRecord, Mark};
use serde::{Deserialize, Serialize};

use crate::draft::{Draft, as_held, machine_ref};
use crate::{Class, MachinePlan, Needed, PlannedAction};

/// The action's name.
const ADOPT: &str = "adopt";

/// What an adoption takes over, kept with its action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TakenOver {
    /// What is on record as deployed afterwards.
    pub config: Box<Config>,
    /// The mark that the machine carried when it was looked at: only that one is written over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mark: String,
}

/// Writes our mark onto the machine that the record names.
pub(crate) fn plan(mut draft: Draft<'_>) -> MachinePlan {
    let hypervisor = draft.subject.hypervisor_name;
    let (Some(record), Some(desired)) = (draft.subject.record, draft.subject.desired) else {
        draft.refuse(ADOPT, Class::Benign, "it is not said which machine it is");
        return draft.finish("");
    };
    let Some(observed) = draft.subject.observed else {
        let id = record.identity.as_ref().map(|known| &*known.machine_id);
        let reason = format!("machine {} is not on {hypervisor}", id.unwrap_or("?"));
        draft.refuse(ADOPT, Class::Benign, reason);
        return draft.finish("");
    };
    if let Err(reason) = may_be_adopted(record, observed) {
        draft.refuse(ADOPT, Class::Benign, reason);
        return draft.finish("");
    }
    if !draft.supports(ADOPT, Class::Benign) {
        return draft.finish("");
    }
    if let Some(lock) = &observed.lock {
        let note = format!("the hypervisor holds it locked: {lock}");
        draft.plan.notes.push(note);
    }
    let mut config = Config::clone(&as_held(&mut draft, desired));
    // A machine is started once after its creation, and this one was made long ago.
    config.power = config.power.or(Some(match observed.power {
        PowerState::Stopped => Power::Stopped,
        PowerState::Running | PowerState::Paused | PowerState::Unknown => Power::Running,
    }));
    let taken_over = TakenOver {
        config: Box::new(config),
        mark: observed.mark.clone().unwrap_or_default(),
    };
    let shown = observed.name.as_deref().unwrap_or("without a name");
    let text = match taken_over.mark.is_empty() {
        true => format!("{shown}, as it is: our mark is written onto it"),
        false => format!("{shown}, as it is: our mark is written over the one it carries"),
    };
    draft.act(Action::Adopt, Class::Benign, text);
    if let Some(action) = draft.plan.actions.last_mut() {
        action.takes_over = Some(taken_over);
    }
    draft.finish("")
}

/// The question right before the mark is written.
pub(crate) fn still_needed(
    planned: &PlannedAction,
    record: &MachineRecord,
    observed: Option<&Machine>,
) -> Needed {
    let Some(observed) = observed else {
        return Needed::Refused("it has to be seen again before it is adopted".to_owned());
    };
    if let Err(reason) = is_the_same(record, observed) {
        return Needed::Refused(reason);
    }
    let mark = observed.mark.as_deref().unwrap_or_default();
    if mark.parse() == Ok(record.mark) {
        return Needed::No("it carries our mark already".to_owned());
    }
    let before = planned.takes_over.as_ref();
    let before = before.map_or("", |taken_over| &taken_over.mark);
    if mark != before {
        return Needed::Refused(format!(
            "the mark of machine {} has changed since it was looked at: somebody else has taken it",
            observed.id
        ));
    }
    Needed::Yes(ActionRequest {
        machine: machine_ref(Some(record), Some(observed)),
        action: Action::Adopt,
    })
}

/// Whether a machine that carries this mark may be taken. One of this installation's is the caller's to
/// judge, who knows whose it is.
fn may_be_adopted(record: &MachineRecord, observed: &Machine) -> Result<(), String> {
    is_the_same(record, observed)?;
    let id = &observed.id;
    if observed.template {
        return Err(format!("machine {id} is a template: it cannot run"));
    }
    let Some(mark) = &observed.mark else {
        return Err(format!(
            "machine {id} does not show whether it carries a mark, so it may be somebody else's"
        ));
    };
    if observed.config.is_none() {
        return Err(format!(
            "the configuration of machine {id} could not be read"
        ));
    }
    match mark.parse::<Mark>() {
        Ok(mark) if mark.installation != record.mark.installation => Err(format!(
            "machine {id} carries the mark of another installation of Enginehouse, {}: two that manage one machine undo each other's work; remove the mark there first, if nobody else wants it",
            mark.installation
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether it is the machine that was chosen.
fn is_the_same(record: &MachineRecord, observed: &Machine) -> Result<(), String> {
    let Some(chosen) = &record.identity else {
        return Err("it is not said which machine it is".to_owned());
    };
    let id = &observed.id;
    if chosen.machine_id != *id {
        return Err(format!(
            "machine {} was chosen, this is {id}",
            chosen.machine_id
        ));
    }
    match (&chosen.incarnation, &observed.incarnation) {
        (Some(chosen), Some(seen)) if chosen != seen => Err(format!(
            "machine {id} is another one than was chosen: its incarnation is {seen}, that of the other was {chosen}"
        )),
        _ => Ok(()),
    }
}

/// Writes what was taken over onto the record.
pub(crate) fn apply(record: &mut MachineRecord, planned: &PlannedAction) {
    if let Some(taken_over) = &planned.takes_over {
        record.deployed = Config::clone(&taken_over.config);
    }
}
