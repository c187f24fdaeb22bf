//! What the engine is told of the step of an operation that it is called for.

use std::sync::Arc;
use std::time::Duration;

use enginehouse_engines::{Observer, Occasion};
use enginehouse_queue::Operation;

use crate::house::House;
use crate::work::Target;
use crate::work::observer::listen;

/// The current step, counted from 1.
pub(super) fn step_number(operation: &Operation) -> u32 {
    u32::try_from(operation.step)
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// Who listens to calls for the current step.
pub(super) fn listener(house: &Arc<House>, operation: &Operation) -> Arc<dyn Observer> {
    listen(
        house,
        vec![(operation.number(), Some(step_number(operation)))],
    )
}

/// A call for the current step that changes nothing: who sends a `once` request, reserves or can be
/// cancelled says so itself.
pub(super) fn occasion(
    house: &House,
    operation: &Operation,
    target: &Target,
    deadline: Duration,
    observer: Arc<dyn Observer>,
) -> Occasion {
    let number = operation.number();
    let step = step_number(operation);
    Occasion {
        operation: number,
        attempt: operation.state.attempt,
        mark: target.record.as_ref().map(|record| record.mark),
        key_seed: format!("{}/{number}/{step}", house.installation),
        clock: house.clock.clone(),
        ended: operation.state.ended.as_deref().cloned(),
        ..Occasion::reading(deadline, observer)
    }
}

/// The memory of the step: what the engine is called with.
pub(super) fn token(operation: &Operation) -> Option<&[u8]> {
    operation
        .state
        .token
        .as_ref()
        .map(|token| token.0.as_slice())
}
