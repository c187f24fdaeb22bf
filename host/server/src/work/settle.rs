//! Finds out what became of a `once` request whose answer is not known.

use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{ActionRequest, Code, Problem, Sent};
use enginehouse_engines::{Failure, Occasion, Settled};
use enginehouse_model::{OperationId, Timestamp};
use enginehouse_queue::{Event, Json, Once, Operation, SettleEnd, Token};

use crate::house::House;
use crate::orders::Order;
use crate::work::Target;
use crate::work::call::{as_sent, objects};
use crate::work::occasion::{listener, occasion, token};
use crate::work::taken::note_machine;

/// Time for `settle`.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);

/// Asks the engine, for operation `number`, and reports what it says.
pub(crate) async fn settle(house: &Arc<House>, generation: u64, number: OperationId) {
    let Some(operation) = crate::house::operation_of(&house.state.lock(), number) else {
        return;
    };
    let end = match ask(house, &operation).await {
        Ok(end) => end,
        Err(problem) => SettleEnd::Problem(problem),
    };
    let found = match &end {
        SettleEnd::Done { note, .. } | SettleEnd::Pending { note, .. } => note.machine_id.clone(),
        SettleEnd::NotStarted { .. }
        | SettleEnd::Unknown(_)
        | SettleEnd::Problem(_)
        | SettleEnd::Broken(_) => None,
    };
    let _ = house
        .report(
            generation,
            number,
            Event::Settled(end),
            |state, staged, _| {
                if let Some(id) = found {
                    note_machine(state, staged, &operation, &id);
                }
            },
        )
        .await;
}

/// From when on "not started" is believed: see [`crate::steady`].
fn believable_at(house: &House, number: OperationId, sent: &Sent, lag_ms: u64) -> Timestamp {
    let state = house.state.lock();
    let left_at = state
        .live
        .get(&number)
        .and_then(|live| live.sent_at.as_ref());
    let left_ms = house.steady.until_believable(sent, lag_ms, left_at);
    house.now().plus_ms(left_ms)
}

async fn ask(house: &Arc<House>, operation: &Operation) -> Result<SettleEnd, Problem> {
    let (Once::Sending { sent, .. } | Once::Answered { sent, .. }) = &operation.state.once else {
        return Err(Problem::new(Code::Invalid, "there is no request to settle"));
    };
    let order = Order::of(&operation.spec)?;
    // Where it is not there any more, this is asked again later.
    let begun_with = house.engine_of_step(&house.state.lock(), operation.number())?;
    let target = Target::with(house, order.node, begun_with)?;
    let request: ActionRequest = operation
        .state
        .request
        .as_ref()
        .map(Json::read)
        .transpose()
        .map_err(|error| Problem::new(Code::Invalid, error.to_string()))?
        .ok_or_else(|| Problem::new(Code::Invalid, "the step's request was not journalled"))?;
    let request = as_sent(request, operation);
    let observer = listener(house, operation);
    let occasion = Occasion {
        sent: Some(Sent::clone(sent)),
        ..occasion(house, operation, &target, SETTLE_DEADLINE, observer)
    };
    let lag = target.engine.description().visibility_lag_ms;
    let result = target
        .engine
        .settle(occasion, &target.connection, &request, token(operation))
        .await;
    Ok(match result {
        Ok(Settled::Done(moved)) => SettleEnd::Done {
            token: Token(moved.token),
            created: objects(&moved.created),
            note: moved.note,
        },
        Ok(Settled::Pending(waiting)) => SettleEnd::Pending {
            task: waiting.task,
            token: Token(waiting.token),
            created: objects(&waiting.created),
            note: waiting.note,
        },
        Ok(Settled::NotStarted) => SettleEnd::NotStarted {
            believable_at: believable_at(house, operation.number(), sent, lag),
        },
        Ok(Settled::Unknown(reason)) => SettleEnd::Unknown(reason),
        Err(error) => match &error.failure {
            Failure::Problem(_) | Failure::Overloaded { .. } | Failure::Quarantined { .. } => {
                SettleEnd::Problem(error.problem())
            }
            Failure::Trap { .. }
            | Failure::Deadline(_)
            | Failure::Memory { .. }
            | Failure::Contract(_)
            | Failure::Replay { .. }
            | Failure::Journal(_) => SettleEnd::Broken(error.problem()),
        },
    })
}
