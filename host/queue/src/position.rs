//! Another place in its lane for an operation that has not begun.

use std::collections::BTreeSet;

use enginehouse_model::{OperationId, Timestamp};
use thiserror::Error;

use crate::command::Output;
use crate::entry::{Entry, Final};
use crate::lanes::ranks;
use crate::operation::{Operation, Phase};
use crate::queue::Queue;

/// Where an operation is to go, among those of its lane that have not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    First,
    Last,
    Before(OperationId),
    After(OperationId),
}

/// Why an operation stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlaceError {
    #[error("operation {0} is not in the queue")]
    Unknown(OperationId),
    #[error("operation {0} has parts: they have places, not it")]
    HasParts(OperationId),
    #[error("operation {0} has begun")]
    HasBegun(OperationId),
    #[error("operation {0} works on another resource")]
    OtherLane(OperationId),
    #[error("they would wait for each other: {}", Chain(.0))]
    Cycle(Vec<OperationId>),
}

struct Chain<'c>(&'c [OperationId]);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            let arrow = if at == 0 { "" } else { " -> " };
            write!(f, "{arrow}{number}")?;
        }
        Ok(())
    }
}

/// The end of what another takes the place of.
pub(crate) fn superseded() -> Entry {
    Entry::Ended {
        state: Final::Superseded,
        problem: None,
    }
}

impl Queue {
    /// The order in which a lane's operations that have not begun would go on, were `number` moved.
    ///
    /// # Errors
    /// When one of them has begun, is of another lane, or they would wait for each other.
    pub fn order_with(
        &self,
        number: OperationId,
        place: Place,
    ) -> Result<Vec<OperationId>, PlaceError> {
        let operation = self.waiting(number)?;
        let mut order: Vec<OperationId> = self
            .lane(operation.spec.target)
            .filter(|other| other.phase == Phase::Pending && other.number() != number)
            .map(Operation::number)
            .collect();
        let at = match place {
            Place::First => 0,
            Place::Last => order.len(),
            Place::Before(other) | Place::After(other) => {
                let found = order.iter().position(|number| *number == other);
                let Some(found) = found else {
                    let of_lane = self.waiting(other)?.spec.target == operation.spec.target;
                    // The only one of the lane that is not in the order is the moved one itself.
                    return match of_lane {
                        true => Err(PlaceError::Cycle(vec![number, other])),
                        false => Err(PlaceError::OtherLane(other)),
                    };
                };
                match place {
                    Place::After(_) => found + 1,
                    Place::First | Place::Last | Place::Before(_) => found,
                }
            }
        };
        order.insert(at, number);
        match self.cycle(&order) {
            Some(chain) => Err(PlaceError::Cycle(chain)),
            None => Ok(order),
        }
    }

    /// Gives an operation that has not begun another place in its lane.
    ///
    /// # Errors
    /// As [`Queue::order_with`]. Nothing has changed then.
    pub fn reposition(
        &mut self,
        number: OperationId,
        place: Place,
        who: &str,
        now: Timestamp,
    ) -> Result<Output, PlaceError> {
        let order = self.order_with(number, place)?;
        let mut output = self.rank(&order, number, who);
        output.append(self.schedule(now));
        Ok(output)
    }

    /// What a new operation that overtakes changes: its place, and what waits for a guest before it.
    pub(crate) fn overtake(&mut self, number: OperationId, now: Timestamp, output: &mut Output) {
        if let Ok(order) = self.order_with(number, Place::First)
            && let Some(who) = self.get(number).map(|operation| operation.spec.who.clone())
        {
            output.append(self.rank(&order, number, &who));
        }
        if let Some(target) = self.get(number).map(|operation| operation.spec.target)
            && let Some(first) = self.first_of(target)
        {
            self.leave_to_itself(first, now, output);
        }
    }

    /// Ends `number` where it is, if that may be and the next of its lane overtakes.
    pub(crate) fn leave_to_itself(
        &mut self,
        number: OperationId,
        now: Timestamp,
        output: &mut Output,
    ) {
        if self.is_overtaken(number) {
            self.end_with(number, superseded(), now, output);
        }
    }

    /// Whether it may be left to itself, and the next of its lane overtakes. Who has to wait for others
    /// itself overtakes nobody yet: it may never begin.
    pub(crate) fn is_overtaken(&self, number: OperationId) -> bool {
        let Some(operation) = self.get(number).filter(|operation| operation.may_be_left()) else {
            return false;
        };
        let next = self.lane(operation.spec.target).nth(1);
        next.is_some_and(|next| next.spec.overtakes && next.waits_for().next().is_none())
    }

    fn waiting(&self, number: OperationId) -> Result<&Operation, PlaceError> {
        let operation = self.get(number).ok_or(PlaceError::Unknown(number))?;
        if !operation.spec.children.is_empty() {
            return Err(PlaceError::HasParts(number));
        }
        if operation.phase != Phase::Pending {
            return Err(PlaceError::HasBegun(number));
        }
        Ok(operation)
    }

    pub(crate) fn rank(&mut self, order: &[OperationId], moved: OperationId, who: &str) -> Output {
        let mut output = Output::default();
        let ranked: Vec<(OperationId, u64)> = order
            .iter()
            .filter_map(|number| Some((*number, self.get(*number)?.rank)))
            .collect();
        for (number, rank) in ranks(&ranked, moved) {
            let entry = Entry::Ranked {
                rank,
                who: who.to_owned(),
            };
            output.append(self.take(number, vec![entry]).unwrap_or_default());
        }
        output
    }

    /// Operations that would wait for each other, were `order` that of their lane. Each waits for the
    /// one before it in its lane, and for those of its [`after`](crate::Spec::after).
    fn cycle(&self, order: &[OperationId]) -> Option<Vec<OperationId>> {
        let mut over = BTreeSet::new();
        for number in order {
            // A walk in depth: the path to where it is, and what is still to be looked at there.
            let mut path = vec![(*number, self.waits_on(*number, order))];
            while let Some((here, next)) = path.last_mut() {
                let Some(next) = next.pop() else {
                    over.insert(*here);
                    path.pop();
                    continue;
                };
                if let Some(at) = path.iter().position(|(number, _)| *number == next) {
                    let round = path.iter().skip(at).map(|(number, _)| *number);
                    return Some(round.chain([next]).collect());
                }
                if !over.contains(&next) {
                    path.push((next, self.waits_on(next, order)));
                }
            }
        }
        None
    }

    fn waits_on(&self, number: OperationId, order: &[OperationId]) -> Vec<OperationId> {
        let Some(operation) = self.get(number) else {
            return Vec::new();
        };
        let mut waits: Vec<OperationId> = operation
            .waits_for()
            .filter(|number| self.get(*number).is_some())
            .collect();
        let before = match order.iter().position(|other| *other == number) {
            Some(at) => at.checked_sub(1).and_then(|at| order.get(at).copied()),
            None => self
                .lane(operation.spec.target)
                .map(Operation::number)
                .take_while(|other| *other != number)
                .last(),
        };
        waits.extend(before);
        waits
    }
}
