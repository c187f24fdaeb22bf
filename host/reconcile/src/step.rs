//! Changes of disks and nics that a comparison asks for, before they become actions of the plan.

use enginehouse_model::documents::Action;

use crate::compare::Sides;
use crate::draft::{Draft, Present};
use crate::{Class, FieldChange, Ownership, owned};

/// A change of one disk or nic that is to be made.
pub(crate) struct Step {
    pub part: Part,
    pub action: Action,
    pub class: Class,
    pub reason: String,
    pub changes: Vec<FieldChange>,
    /// Fields of it that take effect with a restart, in the words of a plan.
    pub restart: Vec<String>,
}

/// What it is a change of, by the definition's name.
pub(crate) enum Part {
    Disk(String),
    Nic(String),
}

/// Steps in the order in which they are carried out: what takes something away comes last, so that a
/// failure before it leaves that where it is.
pub(crate) fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    steps.sort_by_key(|step| takes_away(&step.action));
    steps
}

/// Whether something is gone from the machine afterwards.
pub(crate) fn takes_away(action: &Action) -> bool {
    matches!(
        action,
        Action::Destroy { .. } | Action::DiskRemove { .. } | Action::NicRemove { .. }
    )
}

/// Adds the action, or why it is not done. Says which fields wait for a restart.
pub(crate) fn add(draft: &mut Draft<'_>, present: Present<'_>, step: Step) -> Vec<String> {
    let Step {
        part,
        action,
        class,
        reason,
        changes,
        restart,
    } = step;
    if takes_away(&action)
        && let Ownership::NotOurs(reason) | Ownership::Unclear(reason) =
            owned(present.record, present.observed)
    {
        draft.refuse(action.name(), class, reason);
        return Vec::new();
    }
    let keeps = matches!(action, Action::DiskRemove { keep: true, .. });
    if keeps && !draft.supports("disk-remove.keep", class) {
        return Vec::new();
    }
    if !draft.change(action, class, reason, changes, None) {
        return Vec::new();
    }
    if let Some(planned) = draft.plan.actions.last_mut() {
        match part {
            Part::Disk(name) => planned.disk = Some(name),
            Part::Nic(name) => planned.nic = Some(name),
        }
    }
    restart
}

impl Sides<'_> {
    /// Whether the machine was seen not to run: then it takes anything without noticing.
    pub(crate) fn stands_still(&self) -> bool {
        use enginehouse_model::documents::PowerState;
        self.observed
            .is_some_and(|machine| machine.power == PowerState::Stopped)
    }
}
