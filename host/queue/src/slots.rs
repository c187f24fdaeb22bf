//! Who may go on: slots taken and copies under way at each hypervisor, and who waits for one.
//!
//! Kept up to date with every change of an operation instead of being counted anew: with ten
//! thousand operations in line, an event costs what it changes.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{HypervisorUid, OperationId};

use crate::operation::{Operation, Phase};
use crate::queue::Limits;
use crate::spec::Urgency;

/// What each operation counts for, and what that adds up to.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    default_limits: Limits,
    limits: BTreeMap<HypervisorUid, Limits>,
    places: BTreeMap<Option<HypervisorUid>, Place>,
    shares: BTreeMap<OperationId, Share>,
    /// Places where somebody may be able to go on.
    stale: BTreeSet<Option<HypervisorUid>>,
    /// Places where nobody can.
    lost: BTreeSet<HypervisorUid>,
    /// Places where nobody begins.
    held: BTreeSet<HypervisorUid>,
}

#[derive(Debug, Default)]
struct Place {
    taken: usize,
    copies: BTreeMap<String, usize>,
    /// First of their lanes, waiting for a slot; people's first.
    pending: BTreeSet<(Urgency, OperationId)>,
    /// Between two steps, with the template that the next one copies from.
    between: BTreeMap<OperationId, Option<String>>,
}

/// What one operation counts for.
#[derive(Debug, PartialEq)]
struct Share {
    place: Option<HypervisorUid>,
    holds_slot: bool,
    copies: Option<String>,
    wants: Wants,
}

#[derive(Debug, PartialEq)]
enum Wants {
    Nothing,
    Slot(Urgency),
    Step(Option<String>),
}

impl Share {
    fn of(operation: &Operation, is_first: bool) -> Self {
        let wants = match operation.phase {
            Phase::Pending
                if is_first
                    && operation.spec.children.is_empty()
                    && operation.held_until.is_none()
                    && !operation.is_blocked() =>
            {
                Wants::Slot(operation.spec.urgency)
            }
            Phase::Between => Wants::Step(
                operation
                    .current_step()
                    .filter(|_| operation.cancel.is_none())
                    .and_then(|step| step.template.clone()),
            ),
            Phase::Pending
            | Phase::Starting
            | Phase::WaitingApproval
            | Phase::Calling
            | Phase::Settling
            | Phase::Waiting { .. }
            | Phase::Postponed { .. }
            | Phase::InDoubt { .. }
            | Phase::Ended { .. } => Wants::Nothing,
        };
        Self {
            place: operation.spec.hypervisor,
            holds_slot: operation.holds_slot(),
            copies: operation.copies().map(str::to_owned),
            wants,
        }
    }
}

impl Slots {
    pub(crate) fn new(default_limits: Limits) -> Self {
        Self {
            default_limits,
            ..Self::default()
        }
    }

    pub(crate) fn set_limits(&mut self, hypervisor: HypervisorUid, limits: Limits) {
        if self.limits.insert(hypervisor, limits) != Some(limits) {
            self.stale.insert(Some(hypervisor));
        }
    }

    /// While a hypervisor is lost, nobody goes on there.
    pub(crate) fn set_lost(&mut self, hypervisor: HypervisorUid, lost: bool) {
        if lost {
            self.lost.insert(hypervisor);
        } else if self.lost.remove(&hypervisor) {
            self.stale.insert(Some(hypervisor));
        }
    }

    /// While a hypervisor is held, nobody begins there; who has begun goes on.
    pub(crate) fn set_held(&mut self, hypervisor: HypervisorUid, held: bool) {
        if held {
            self.held.insert(hypervisor);
        } else if self.held.remove(&hypervisor) {
            self.stale.insert(Some(hypervisor));
        }
    }

    pub(crate) fn is_braked(&self, hypervisor: HypervisorUid) -> bool {
        self.held.contains(&hypervisor)
    }

    pub(crate) fn limits(&self, place: Option<HypervisorUid>) -> Limits {
        place
            .and_then(|uid| self.limits.get(&uid))
            .copied()
            .unwrap_or(self.default_limits)
    }

    /// Whether somebody may be able to go on.
    pub(crate) fn is_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Counts an operation as it is now; `is_first`: of its lane.
    pub(crate) fn update(&mut self, operation: &Operation, is_first: bool) {
        let number = operation.number();
        let share = Share::of(operation, is_first);
        if self.shares.get(&number) == Some(&share) {
            return;
        }
        self.remove(number);
        let place = self.places.entry(share.place).or_default();
        if share.holds_slot {
            place.taken += 1;
        }
        if let Some(template) = &share.copies {
            *place.copies.entry(template.clone()).or_default() += 1;
        }
        match &share.wants {
            Wants::Nothing => {}
            Wants::Slot(urgency) => {
                place.pending.insert((*urgency, number));
            }
            Wants::Step(template) => {
                place.between.insert(number, template.clone());
            }
        }
        self.stale.insert(share.place);
        self.shares.insert(number, share);
    }

    /// Counts an operation no longer.
    pub(crate) fn remove(&mut self, number: OperationId) {
        let Some(share) = self.shares.remove(&number) else {
            return;
        };
        let Some(place) = self.places.get_mut(&share.place) else {
            return;
        };
        if share.holds_slot {
            place.taken -= 1;
        }
        if let Some(template) = share.copies
            && let Some(count) = place.copies.get_mut(&template)
        {
            *count -= 1;
            if *count == 0 {
                place.copies.remove(&template);
            }
        }
        match share.wants {
            Wants::Nothing => {}
            Wants::Slot(urgency) => {
                place.pending.remove(&(urgency, number));
            }
            Wants::Step(_) => {
                place.between.remove(&number);
            }
        }
        if place.taken == 0 && place.pending.is_empty() && place.between.is_empty() {
            self.places.remove(&share.place);
        }
        self.stale.insert(share.place);
    }

    /// The next operation that may go on. It is found again until its change was told by
    /// [`Slots::update`] or [`Slots::remove`].
    pub(crate) fn next(&mut self) -> Option<OperationId> {
        while let Some(uid) = self.stale.first().copied() {
            let limits = self.limits(uid);
            let is_lost = uid.is_some_and(|uid| self.lost.contains(&uid));
            if !is_lost && let Some(place) = self.places.get(&uid) {
                let is_held = uid.is_some_and(|uid| self.held.contains(&uid));
                let next = place.next(uid.is_some(), is_held, &limits);
                if next.is_some() {
                    return next;
                }
            }
            self.stale.remove(&uid);
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.shares.is_empty()
    }
}

impl Place {
    /// Those between two steps come first: they hold a slot already.
    fn next(&self, is_limited: bool, is_held: bool, limits: &Limits) -> Option<OperationId> {
        let has_room = |template: &Option<String>| match template {
            Some(template) if is_limited => {
                let under_way = self.copies.get(template).copied().unwrap_or_default();
                under_way < limits.copies_per_template
            }
            Some(_) | None => true,
        };
        let between = self.between.iter().find(|(_, template)| has_room(template));
        between.map(|(number, _)| *number).or_else(|| {
            match is_held || is_limited && self.taken >= limits.operations {
                true => None,
                false => self.pending.first().map(|(_, number)| *number),
            }
        })
    }
}
