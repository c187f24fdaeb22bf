//! Another place in its lane for an operation that has not begun.

use axum::Json;
use enginehouse_api::{ErrorCode, MoveRequest, Operation, Problem};
use enginehouse_audit::Action;
use enginehouse_model::OperationId;
use enginehouse_queue::{Place, PlaceError};

use crate::access::Caller;
use crate::audit::Note;
use crate::orders::check_order_of_lane;
use crate::rest::answer::{Answer, Body, InPath};
use crate::rest::operations::{find_operation, must_operate};

pub(crate) async fn give(
    caller: Caller,
    InPath(number): InPath<u64>,
    Body(request): Body<MoveRequest>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let found = find_operation(&caller, number).await?;
    must_operate(&caller, &found)?;
    if found.state.has_ended() {
        let detail = format!("operation {number} has ended: {}", found.state);
        return Err(Problem::new(ErrorCode::WrongState, detail).into());
    }
    let place = match request {
        MoveRequest::First => Place::First,
        MoveRequest::Last => Place::Last,
        MoveRequest::Before(other) => Place::Before(other),
        MoveRequest::After(other) => Place::After(other),
    };
    caller
        .house()
        .transact(|state, staged, now| {
            let order = state
                .queue
                .order_with(number, place)
                .map_err(|error| refused(&error))?;
            if let Some(node) = state.queue.get(number).map(|found| found.spec.target) {
                check_order_of_lane(state, node, &order)?;
            }
            staged.output = state
                .queue
                .reposition(number, place, caller.who(), now)
                .map_err(|error| refused(&error))?;
            let note = Note::new(Action::Move, caller.who())
                .about(found.node, &found.path)
                .operation(Some(number));
            staged.audit.push(match place {
                Place::First => note.with("place", "first"),
                Place::Last => note.with("place", "last"),
                Place::Before(other) => note.with("before", other),
                Place::After(other) => note.with("after", other),
            });
            Ok(())
        })
        .await?;
    Ok(Json(find_operation(&caller, number).await?))
}

fn refused(error: &PlaceError) -> Problem {
    let hint = match error {
        PlaceError::Unknown(_) => "see `enginehouse ops list`",
        PlaceError::HasParts(_) => "move the parts of it that have not begun",
        PlaceError::HasBegun(_) => "only what has not begun can be moved; `ops cancel` ends it",
        PlaceError::OtherLane(_) => {
            "operations on different machines do not wait for each other: there is no order to change"
        }
        PlaceError::Cycle(_) => "move what comes before it first, or cancel one of them",
    };
    Problem::new(ErrorCode::WrongState, error.to_string()).with_hint(hint)
}
