//! One call of the engine for the current step of an operation.

use std::sync::Arc;

use enginehouse_api::OperationKind;
use enginehouse_documents::{Action, ActionRequest, Code, Problem};
use enginehouse_engines::{CallError, Failure, Object, Occasion, OncePolicy, Reservations, Step};
use enginehouse_model::OperationId;
use enginehouse_queue::{CallEnd, Event, Operation, Token};
use enginehouse_reconcile::PlannedAction;

use crate::approvals::is_used;
use crate::destruction;
use crate::house::House;
use crate::kept_engines::StepEngine;
use crate::orders::Order;
use crate::work::Target;
use crate::work::before::{Filled, fill, guard_again};
use crate::work::occasion::{listener, occasion, token};
use crate::work::once::StepJournal;
use crate::work::reserve::OperationReservations;
use crate::work::taken::{note_machine, take_in, take_over, with_record};
use crate::work::target::lacks_engine;

/// Calls the engine for operation `number` and reports how that ended.
pub(crate) async fn call(house: &Arc<House>, generation: u64, number: OperationId) {
    let Some(operation) = crate::house::operation_of(&house.state.lock(), number) else {
        return;
    };
    let event = match run(house, generation, &operation).await {
        Ok(Some(event)) => event,
        // Reported on the way.
        Ok(None) => return,
        Err(problem) => Event::Returned(CallEnd::Problem(problem)),
    };
    let planned = planned_of(&operation);
    let node = operation.spec.target;
    let done = match &event {
        Event::Returned(CallEnd::Done { outcome, .. }) => Some(outcome.clone()),
        _ => None,
    };
    let found = match &event {
        Event::Returned(CallEnd::Again { note, .. } | CallEnd::Wait { note, .. }) => {
            note.machine_id.clone()
        }
        _ => None,
    };
    let request = filled_of(house, number);
    let _ = house
        .report(generation, number, event, |state, staged, now| {
            if let (Some(outcome), Ok(mut planned)) = (done, planned) {
                if let Some(request) = request {
                    take_over(&mut planned, request);
                }
                take_in(state, staged, number, node, &planned, &outcome, now);
            } else if let Some(id) = found {
                note_machine(state, staged, &operation, &id);
            }
        })
        .await;
}

pub(super) fn planned_of(operation: &Operation) -> Result<PlannedAction, Problem> {
    let Some(step) = operation.current_step() else {
        return Err(Problem::new(Code::Invalid, "there is no step to run"));
    };
    step.body.read().map_err(|error| {
        Problem::new(
            Code::Invalid,
            format!("the journalled step cannot be read: {error}"),
        )
    })
}

/// What the current step asks of the engine, as it was filled in.
fn filled_of(house: &House, number: OperationId) -> Option<ActionRequest> {
    let state = house.state.lock();
    let request = state.queue.get(number)?.state.request.as_ref()?;
    request.read().ok()
}

async fn run(
    house: &Arc<House>,
    generation: u64,
    operation: &Operation,
) -> Result<Option<Event>, Problem> {
    let number = operation.number();
    let order = Order::of(&operation.spec)?;
    let begun_with = house.engine_of_step(&house.state.lock(), number);
    let begun_with = match begun_with {
        Ok(engine) => engine,
        // It waits: no other engine may go on with the step, and it has not failed.
        Err(problem) => return Ok(Some(Event::Returned(CallEnd::Deferred(problem)))),
    };
    let mut target = match Target::with(house, order.node, begun_with) {
        Ok(target) => target,
        // Between two steps of what is half done, the engine was removed.
        Err(problem) if lacks_engine(&problem) => {
            return Ok(Some(Event::Returned(CallEnd::Deferred(problem))));
        }
        Err(problem) => return Err(problem),
    };
    let observer = listener(house, operation);
    let request = match &operation.state.request {
        Some(request) => {
            if let Some(problem) = guard_again(operation, &target, &observer).await? {
                return Ok(Some(Event::Outdated(problem)));
            }
            request
                .read()
                .map_err(|error| Problem::new(Code::Invalid, error.to_string()))?
        }
        None => match fill(house, operation, &mut target, &observer).await? {
            Filled::Send(request) => {
                let value = serde_json::to_value(&request)
                    .map_err(|error| Problem::new(Code::Invalid, error.to_string()))?;
                // Before the journal names it.
                if let Err(error) = house.kept_engines.keep(&target.engine).await {
                    return Ok(Some(Event::Returned(CallEnd::Deferred(uncopied(
                        &target, &error,
                    )))));
                }
                let engine = StepEngine::of(&target.engine);
                let planned = planned_of(operation);
                let taken = house
                    .report(
                        generation,
                        number,
                        Event::Filled(value),
                        |state, staged, now| {
                            state.live.entry(number).or_default().engine = Some(engine);
                            if let Ok(planned) = &planned
                                && planned.is_gated()
                            {
                                destruction::note(state, staged, operation, now);
                                staged.audit.gate(&operation.spec, "passed", planned);
                                // With the first of its steps that is.
                                if operation.approval.is_some() && !is_used(operation) {
                                    staged.audit.approval_used(operation);
                                }
                            }
                        },
                    )
                    .await;
                if taken.is_err() {
                    return Ok(None);
                }
                request
            }
            Filled::NotNow(event) => return Ok(Some(event)),
            Filled::NotNeeded(reason) => {
                let planned = planned_of(operation)?;
                let node = order.node;
                let _ = house
                    .report(
                        generation,
                        number,
                        Event::NotNeeded(reason),
                        |state, staged, _| {
                            let live = state.live.get(&number);
                            let observed = live.and_then(|live| live.observed());
                            with_record(state, staged, node, |record| {
                                enginehouse_reconcile::skipped(record, &planned, observed.as_ref());
                            });
                        },
                    )
                    .await;
                return Ok(None);
            }
        },
    };
    let request = as_sent(request, operation);
    let reservations: Arc<dyn Reservations> = Arc::new(OperationReservations {
        house: Arc::clone(house),
        generation,
        operation: number,
        hypervisor: target.hypervisor(),
    });
    let cancelling = house
        .state
        .lock()
        .live
        .entry(number)
        .or_default()
        .cancelling
        .clone();
    let deadline = house.config.call_deadline;
    let occasion = Occasion {
        cancelling,
        once: OncePolicy::Allowed(Arc::new(StepJournal {
            house: Arc::clone(house),
            generation,
            operation: number,
        })),
        reservations: Some(reservations),
        ..occasion(house, operation, &target, deadline, observer)
    };
    let session = target.connection.session();
    let result = target
        .engine
        .run(occasion, &target.connection, &request, token(operation))
        .await;
    Ok(Some(Event::Returned(match result {
        Ok(Step::Done(finished)) => CallEnd::Done {
            created: objects(&finished.created),
            outcome: Box::new(finished.outcome),
        },
        Ok(Step::Again(moved)) => CallEnd::Again {
            token: Token(moved.token),
            created: objects(&moved.created),
            note: moved.note,
        },
        Ok(Step::Wait(waiting)) => CallEnd::Wait {
            task: waiting.task,
            token: Token(waiting.token),
            created: objects(&waiting.created),
            note: waiting.note,
        },
        Err(error) => {
            if matches!(&error.failure, Failure::Problem(problem) if problem.code == Code::SessionExpired)
            {
                target.connection.expire_session(session);
            }
            with_way_out(failed(&error), operation, order.kind)
        }
    })))
}

fn uncopied(target: &Target, error: &std::io::Error) -> Problem {
    let mut problem = Problem::new(
        Code::Busy,
        format!(
            "the engine {} cannot be kept for as long as this step may take: {error}",
            target.engine.name()
        ),
    );
    problem.detail.hint = Some(
        "make room in the data directory; a file that was replaced is taken over when the host is started again"
            .to_owned(),
    );
    problem
}

pub(crate) fn objects(created: &[Object]) -> Vec<String> {
    created
        .iter()
        .map(|object| format!("{} {}", object.kind, object.id))
        .collect()
}

fn failed(error: &CallError) -> CallEnd {
    let problem = error.problem();
    match &error.failure {
        Failure::Problem(_) => CallEnd::Problem(problem),
        Failure::Overloaded { .. } | Failure::Quarantined { .. } => CallEnd::Deferred(problem),
        Failure::Trap { .. }
        | Failure::Deadline(_)
        | Failure::Memory { .. }
        | Failure::Contract(_) => CallEnd::Broken(Problem {
            code: Code::Provider,
            ..problem
        }),
        Failure::Replay { .. } | Failure::Journal(_) => CallEnd::Problem(Problem {
            code: Code::Provider,
            ..problem
        }),
    }
}

/// A guest that ignores a person's `stop` or `restart` is left running: the person is told how.
fn with_way_out(end: CallEnd, operation: &Operation, kind: OperationKind) -> CallEnd {
    match end {
        CallEnd::Problem(mut problem)
            if problem.code == Code::Busy
                && operation.state.ended.is_some()
                && matches!(kind, OperationKind::Stop | OperationKind::Restart) =>
        {
            problem.detail.hint.get_or_insert_with(|| {
                format!(
                    "`enginehouse {kind} {} --force` does not ask the guest",
                    operation.spec.target_name
                )
            });
            CallEnd::Problem(problem)
        }
        other => other,
    }
}

/// The step's request as it leaves: a stop that is repeated by force is a stop by force.
pub(crate) fn as_sent(mut request: ActionRequest, operation: &Operation) -> ActionRequest {
    if let Action::Stop { graceful, .. } = &mut request.action
        && operation.state.escalated
    {
        *graceful = false;
    }
    request
}
