//! What the planner returns: a document that is stored, shown to people, and carried out as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use enginehouse_model::documents::ActionRequest;
use enginehouse_model::{FullName, HypervisorUid, MachineUid, NodeUid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::TakenOver;

/// How heavy an action is. The order is from light to heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Start, and configuration in place.
    Benign,
    /// The guest notices: stop, restart, configuration that needs a restart.
    Disruptive,
    /// Something is gone afterwards: destroy, replace, removal of a disk or nic.
    Destructive,
    /// Nothing brings it back, not even creating anew.
    Irreversible,
}

impl Class {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Disruptive => "disruptive",
            Self::Destructive => "destructive",
            Self::Irreversible => "irreversible",
        }
    }
}

impl FieldChange {
    /// The definition has it no more: it is left as it is on the machine.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.to == crate::field::UNMANAGED
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What would be done, in order, to which machines, and why.
///
/// Sorted by hypervisor; within one, numeric machine ids first by value, other ids by bytes,
/// machines without an id last by name. Its `Display` is the text for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub machines: Vec<MachinePlan>,
}

impl Plan {
    /// All actions in the order of execution.
    pub fn actions(&self) -> impl Iterator<Item = &PlannedAction> {
        self.machines.iter().flat_map(|machine| &machine.actions)
    }

    /// Whether there is nothing to do and nothing that was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machines
            .iter()
            .all(|machine| machine.actions.is_empty() && machine.refused.is_empty())
    }

    /// The class of the heaviest action; none without actions.
    #[must_use]
    pub fn heaviest(&self) -> Option<Class> {
        self.actions().map(|action| action.class).max()
    }
}

/// The part of a plan that is about one machine: the unit of approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Name and uid of the descriptor.
    pub name: FullName,
    pub node: NodeUid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUid>,
    pub hypervisor: HypervisorUid,
    pub hypervisor_name: String,
    /// The provider's id, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// In the order of execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<PlannedAction>,
    /// Observed differs from the deployed config: `from` was deployed, `to` is observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<FieldChange>,
    /// The definition differs from the deployed config: `from` was deployed, `to` is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<FieldChange>,
    /// What the deployed config becomes without a request, because the machine is that already or
    /// because the field is no longer managed: see `adopt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_step: Vec<FieldChange>,
    /// What is wanted and will not be done. Actions that stand beside a refusal are right also
    /// without what was refused; where they would not be, there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// What a person should know of how this was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why there are neither actions nor refusals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing_because: Option<Cow<'static, str>>,
    /// What has to end or be said before the actions are carried out: `operation 12, which comes
    /// before it`, `2 approvals`. The planner knows of none; who asks it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<String>,
    /// When the observation was read that this rests on; none: for this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Where the wanted values come from, by the fields of all changes: `/web via small (/)`. See
    /// [`MachinePlan::trace`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
}

impl MachinePlan {
    /// Whether there is more to say of the machine than why nothing is done.
    #[must_use]
    pub fn says_something(&self) -> bool {
        !(self.actions.is_empty()
            && self.drift.is_empty()
            && self.pending.is_empty()
            && self.in_step.is_empty()
            && self.refused.is_empty()
            && self.notes.is_empty()
            && self.waits.is_empty())
    }

    /// Writes down where the wanted values come from. `computed`: keys of the definition and their
    /// origins; a whole disk or nic has those of its members.
    pub fn trace<K: AsRef<str>, O: fmt::Display>(&mut self, computed: &[(K, O)]) {
        let acted = self.actions.iter().flat_map(|action| &action.fields);
        let refused = self.refused.iter().filter_map(|r| r.change.as_ref());
        let changes = acted.chain(refused).chain(&self.pending);
        let mut origins = BTreeMap::new();
        for change in changes {
            let field = change.field.as_str();
            if origins.contains_key(field) {
                continue;
            }
            let mut found: Vec<String> = Vec::new();
            for (key, origin) in computed {
                let rest = key.as_ref().strip_prefix(field);
                if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                    let origin = origin.to_string();
                    if !found.contains(&origin) {
                        found.push(origin);
                    }
                }
            }
            if !found.is_empty() {
                origins.insert(field.to_owned(), found.join(" and "));
            }
        }
        self.origins = origins;
    }
}

/// One minimal change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedAction {
    /// Its place in the whole plan, from 1.
    pub order: u32,
    /// What goes to the engine. What a creation before it makes known (machine, slot, version) is
    /// filled in by `still_needed`.
    pub request: ActionRequest,
    /// The definition's name of the disk that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// The definition's name of the nic that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<String>,
    pub class: Class,
    /// One line: `cores 2 -> 4, memory 2048 MiB -> 4096 MiB`.
    pub reason: String,
    /// Of an adoption: what it takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_over: Option<TakenOver>,
    /// The fields that it changes: `from` is observed, `to` is wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// A field with two of its values, as people read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// `vcpu`, `memory`, `description`, `name`, `labels.NAME`, `settings.NAME`, `disks.NAME.size`,
    /// `power`, …: the definition's key, not the word that is printed for it.
    pub field: String,
    pub from: String,
    pub to: String,
}

/// What will not be done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The field that asks for it, or the name of the action.
    pub subject: String,
    /// What it would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<FieldChange>,
    /// What it would be, were it done.
    pub class: Class,
    /// Says the way out where there is one.
    pub reason: String,
}
