//! What of a plan may run without a person.

use std::collections::BTreeSet;
use std::fmt;

use enginehouse_model::documents::Action;

use crate::draft::reason;
use crate::{Class, FieldChange, MachinePlan, PlannedAction};

/// How far the host may go by itself with a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The heaviest class; none: nothing at all.
    pub most: Option<Class>,
    /// Also what the definition changed; else only what was changed on the machine.
    pub pending: bool,
    /// Fields of which the repair did not last.
    pub left: BTreeSet<String>,
}

/// A field that differs, and that nothing is done about without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBack {
    /// See [`FieldChange::field`].
    pub field: String,
    pub reason: Reason,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The policy lets nothing run alone.
    Observe,
    /// It would be of this class, and no more than `most` runs alone.
    TooHeavy { class: Class, most: Class },
    /// It was repaired again and again.
    Left,
    /// The definition wants another value than was deployed, and does not follow.
    Pending,
    /// The planner refuses it, for whoever asks.
    Refused(String),
    /// There is no action that would repair it.
    NoAction,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observe => f.write_str("policy is observe"),
            Self::TooHeavy { class, most } => write!(f, "it is {class}, and policy is {most}"),
            Self::Left => {
                write!(
                    f,
                    "it was repaired {} times and changed back each time: `reconfigure` tries again",
                    super::TIMES
                )
            }
            Self::Pending => f.write_str("its definition changed too: `reconfigure` settles both"),
            Self::Refused(reason) => f.write_str(reason),
            Self::NoAction => f.write_str("nothing repairs it"),
        }
    }
}

impl Bounds {
    /// Why this change, by an action of that class, is kept back; none: it may run.
    fn keeps(&self, plan: &Sides, field: &str, class: Class) -> Option<Reason> {
        let Some(most) = self.most else {
            return Some(Reason::Observe);
        };
        let is_pending = plan.pending.contains(field);
        if !self.pending && is_pending {
            return Some(Reason::Pending);
        }
        if !is_pending && !plan.drift.contains(field) {
            return Some(Reason::NoAction);
        }
        if !is_pending && self.left.contains(field) {
            return Some(Reason::Left);
        }
        // Whatever a policy says: what destroys is a person's.
        let most = most.min(Class::Disruptive);
        (class > most).then_some(Reason::TooHeavy { class, most })
    }
}

/// Fields that differ.
struct Sides {
    drift: BTreeSet<String>,
    pending: BTreeSet<String>,
}

impl MachinePlan {
    /// Keeps of a plan that brings the machine to its definition what may run without a person, and
    /// answers what of the differences is left, and why. Nothing is created or destroyed by it, and
    /// nothing of it is refused: what is not done is kept back.
    pub fn confine(&mut self, bounds: &Bounds) -> Vec<KeptBack> {
        let fields = |changes: &[FieldChange]| changes.iter().map(|c| c.field.clone()).collect();
        let sides = Sides {
            drift: fields(&self.drift),
            pending: fields(&self.pending),
        };
        let mut why: Vec<KeptBack> = Vec::new();
        for refusal in std::mem::take(&mut self.refused) {
            let field = refusal
                .change
                .map_or(refusal.subject, |change| change.field);
            why.push(KeptBack {
                field,
                reason: Reason::Refused(refusal.reason),
            });
        }
        // A replace is a person's, whole: what stands around a destruction is wrong without it.
        let destroys = |action: &PlannedAction| {
            let action = &action.request.action;
            matches!(action, Action::Create { .. } | Action::Destroy { .. })
        };
        if self.actions.iter().any(destroys) {
            self.actions.clear();
        }
        let mut restarts_for = false;
        let mut kept: Vec<PlannedAction> = Vec::new();
        for action in std::mem::take(&mut self.actions) {
            let is_restart = matches!(action.request.action, Action::Restart { .. });
            if let Some(action) = within(action, bounds, &sides, restarts_for, &mut why) {
                restarts_for |= !is_restart && action.class == Class::Disruptive;
                kept.push(action);
            }
        }
        self.actions = kept;
        if !bounds.pending {
            self.in_step.clear();
        }
        if self.actions.is_empty() {
            self.nothing_because = Some("nothing of it may run without a person".into());
        }
        self.left_of(bounds, &sides, why)
    }

    /// What differs and is not changed by any action.
    fn left_of(&self, bounds: &Bounds, sides: &Sides, why: Vec<KeptBack>) -> Vec<KeptBack> {
        let done: BTreeSet<&str> = (self.actions.iter())
            .flat_map(|action| &action.fields)
            .map(|change| change.field.as_str())
            .collect();
        let mut differing: Vec<&String> = sides.drift.iter().collect();
        if bounds.pending {
            differing.extend(sides.pending.iter().filter(|f| !sides.drift.contains(*f)));
        }
        let left = differing.into_iter().filter(|f| !done.contains(f.as_str()));
        left.map(|field| {
            let known = why.iter().find(|kept| kept.field == *field).cloned();
            known.unwrap_or_else(|| {
                // The planner had its reasons; of what is not even planned the first bound counts.
                let reason = bounds.keeps(sides, field, Class::Benign);
                KeptBack {
                    field: field.clone(),
                    reason: reason.unwrap_or(Reason::NoAction),
                }
            })
        })
        .collect()
    }
}

/// What of an action may run.
fn within(
    mut action: PlannedAction,
    bounds: &Bounds,
    sides: &Sides,
    restarts_for: bool,
    why: &mut Vec<KeptBack>,
) -> Option<PlannedAction> {
    let class = action.class;
    match &mut action.request.action {
        // A machine that is not there is a person's, and so is one that would be replaced.
        Action::Create { .. } | Action::Destroy { .. } => None,
        Action::Restart { .. } => {
            let allowed = bounds.most.is_some_and(|most| class <= most);
            (allowed && restarts_for).then_some(action)
        }
        request => {
            let before = action.fields.len();
            let mut fields = std::mem::take(&mut action.fields);
            fields.retain(|change| {
                let reason = bounds.keeps(sides, &change.field, class);
                if let Some(reason) = &reason {
                    why.push(KeptBack {
                        field: change.field.clone(),
                        reason: reason.clone(),
                    });
                }
                reason.is_none()
            });
            if fields.is_empty() {
                return None;
            }
            if fields.len() < before {
                // Of anything else a part would be another action.
                let Action::Configure { changed, .. } = request else {
                    return None;
                };
                changed.retain(|key| fields.iter().any(|change| change.field == *key));
                action.reason = reason(&fields);
            }
            action.fields = fields;
            Some(action)
        }
    }
}
