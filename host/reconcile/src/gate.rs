//! The gate: what a plan has, and is not done.
//!
//! A machine that is protected keeps what it has: no action that is destructive or worse is carried
//! out on it, whoever asks and by whatever route. What is held stands in the plan as refused, with who
//! protects it and the way out, so a person sees it before anything is ordered. The rest of that
//! machine's plan is held with it: what leads up to a destruction is wrong without it.

use enginehouse_model::{FullName, Protected};

use crate::plan::{Class, MachinePlan, Plan, PlannedAction, Refusal};

/// What a refusal of the gate is about.
pub const PROTECT: &str = "protect";

impl PlannedAction {
    /// Whether protection holds it.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.class >= Class::Destructive
    }
}

impl MachinePlan {
    /// Holds it back where something of it is gated and the node, or a folder above it, protects it.
    pub fn gate(&mut self, protected_by: Option<&FullName>) {
        if let Some(by) = protected_by {
            let name = &self.name;
            let why = format!(
                "{by} protects {name}: set `protect: false` there first, if it really is to go"
            );
            self.hold(&why);
        }
    }

    /// Holds it back where something of it is gated and the machine is protected on its record.
    pub fn gate_record(&mut self, protected: Option<&Protected>) {
        if let Some(protected) = protected {
            let (name, by) = (&self.name, &protected.by);
            let why = format!(
                "{by} protects the machine of {name}: `enginehouse unprotect {name} --lower-protection` first, if it really is to go"
            );
            self.hold(&why);
        }
    }

    fn hold(&mut self, why: &str) {
        if !self.actions.iter().any(PlannedAction::is_gated) {
            return;
        }
        for held in std::mem::take(&mut self.actions) {
            if held.is_gated() {
                self.refused.push(Refusal {
                    subject: PROTECT.to_owned(),
                    change: None,
                    class: held.class,
                    reason: format!(
                        "{} is {}, and {why}",
                        held.request.action.name(),
                        held.class
                    ),
                });
            }
        }
        self.nothing_because = None;
    }

    /// What the gate has held of it, by the reasons.
    pub fn held(&self) -> impl Iterator<Item = &Refusal> {
        self.refused
            .iter()
            .filter(|refusal| refusal.subject == PROTECT)
    }
}

impl Plan {
    /// Numbers the actions anew, after some of them were held.
    pub fn renumber(&mut self) {
        let actions = self
            .machines
            .iter_mut()
            .flat_map(|machine| &mut machine.actions);
        for (order, action) in (1..).zip(actions) {
            action.order = order;
        }
    }
}
