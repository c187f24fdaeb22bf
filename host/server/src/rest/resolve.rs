//! A person says what became of an operation that is in doubt.

use std::sync::atomic::Ordering;

use axum::Json;
use enginehouse_api::{ErrorCode, Operation, Problem, ResolveAs, ResolveRequest};
use enginehouse_audit::Action;
use enginehouse_documents::Outcome;
use enginehouse_model::OperationId;
use enginehouse_queue::{Event, Final, Phase};

use crate::access::Caller;
use crate::audit::Note;
use crate::doubt::{Taken, as_done};
use crate::house::State;
use crate::rest::answer::{Answer, Body, InPath};
use crate::rest::operations::{find_operation, must_operate};

pub(crate) async fn resolve(
    caller: Caller,
    InPath(number): InPath<u64>,
    Body(request): Body<ResolveRequest>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let found = find_operation(&caller, number).await?;
    must_operate(&caller, &found)?;
    let outcome = match request.verdict {
        ResolveAs::Done => crate::work::outcome_of(caller.house(), number)
            .await
            .map_err(not_done)?,
        ResolveAs::Failed | ResolveAs::Retry => Outcome::default(),
    };
    caller
        .house()
        .transact(|state, staged, now| {
            let in_doubt = state
                .queue
                .get(number)
                .filter(|operation| matches!(operation.phase, Phase::InDoubt { .. }));
            let Some(operation) = in_doubt else {
                return Err(not_in_doubt(state, &found));
            };
            let who = caller.who().to_owned();
            let (event, goes_on) = match request.verdict {
                ResolveAs::Retry => (Event::Retry { who }, true),
                ResolveAs::Failed => {
                    let state = Final::Failed;
                    (Event::Close { who, state }, false)
                }
                ResolveAs::Done => match as_done(state, operation)? {
                    Taken::Machine => (Event::GoOnWith { who }, true),
                    Taken::Step => {
                        crate::work::take_as_done(state, staged, number, &outcome, now);
                        (Event::TakeAsDone { who }, false)
                    }
                },
            };
            if goes_on && let Some(live) = state.live.get_mut(&number) {
                live.cancelling.store(false, Ordering::Relaxed);
                // What it looks like now has to be looked at.
                live.see(None);
            }
            staged.output = state
                .queue
                .handle(number, event, now)
                .map_err(|illegal| Problem::new(ErrorCode::WrongState, illegal.to_string()))?;
            let note = Note::new(Action::Resolve, caller.who())
                .about(found.node, &found.path)
                .operation(Some(number));
            staged.audit.push(note.with("as", request.verdict.as_str()));
            Ok(())
        })
        .await?;
    Ok(Json(find_operation(&caller, number).await?))
}

/// The provider does not show what a person says.
fn not_done(reason: String) -> Problem {
    Problem::new(
        ErrorCode::WrongState,
        format!("it cannot be called done: {reason}"),
    )
    .with_hint("say `retry` where it was not done, or `failed` to end it")
}

/// Whoever was faster may have ended it since it was looked for.
fn not_in_doubt(state: &State, found: &Operation) -> Problem {
    let number = found.number;
    let operation = state.queue.get(number);
    let is = match operation {
        Some(operation) => operation.state_name(),
        None if found.state.has_ended() => found.state.as_str(),
        None => "over",
    };
    let problem = Problem::new(
        ErrorCode::WrongState,
        format!("operation {number} is {is}, not in doubt"),
    );
    let mut parts = operation.iter().flat_map(|operation| operation.all_parts());
    let doubtful = parts.find(|part| {
        let part = state.queue.get(*part);
        part.is_some_and(|part| matches!(part.phase, Phase::InDoubt { .. }))
    });
    problem.with_hint(match doubtful {
        Some(part) => format!("its part {part} is: `enginehouse ops show {part}`"),
        None => format!("`enginehouse ops show {number}` says how it is"),
    })
}
