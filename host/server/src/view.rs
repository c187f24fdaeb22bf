//! Operations as the API shows them.

use std::collections::BTreeMap;

use enginehouse_api::{
    ChildOperation, CreatedObject, ErrorCode, FailedObject, Operation as View, OperationError,
    OperationKind, OperationResult, OperationState, Problem, Step, StepState,
};
use enginehouse_model::{FullName, HypervisorUid, OperationId, Timestamp};
use enginehouse_queue::{EndedPart, Final, OnFailure, Operation, Phase, Spec, Then};

use crate::house::State;
use crate::orders::{Order, final_state, kind_of, waves_of};

/// An operation of the queue, as it is now.
pub(crate) fn of_number(state: &State, number: OperationId) -> Result<View, Problem> {
    match state.queue.get(number) {
        Some(operation) => Ok(self::operation(state, operation, true)),
        None => Err(Problem::new(
            ErrorCode::NotFound,
            format!("there is no operation {number} in the queue"),
        )),
    }
}

/// An order that was done at once.
pub(crate) fn quick(number: OperationId, order: &Order, who: &str, now: Timestamp) -> View {
    View {
        number,
        kind: order.kind,
        state: OperationState::Succeeded,
        path: order.path.clone(),
        to: order.params.to.clone(),
        node: Some(order.node),
        secret: None,
        who: who.to_owned(),
        queued_at: now,
        started_at: Some(now),
        ended_at: Some(now),
        plan: None,
        steps: Vec::new(),
        progress: None,
        waiting_for: None,
        cancel_requested: false,
        on_failure: None,
        result: Some(OperationResult::default()),
        error: None,
        doubt: None,
        parent: None,
        max_failures: None,
        children: Vec::new(),
    }
}

/// An operation of the queue; `whole` with steps and parts.
pub(crate) fn operation(state: &State, operation: &Operation, whole: bool) -> View {
    let spec = &operation.spec;
    let live = state.live.get(&spec.number);
    let ended = matches!(operation.phase, Phase::Ended { .. });
    View {
        number: spec.number,
        kind: kind_shown(spec),
        state: state_of(state, operation),
        path: spec.target_name.clone(),
        to: destination(spec),
        node: Some(spec.target),
        secret: None,
        who: spec.who.clone(),
        queued_at: spec.queued_at,
        started_at: live.and_then(|live| live.started_at),
        ended_at: None,
        plan: None,
        steps: if whole {
            steps(state, operation)
        } else {
            Vec::new()
        },
        progress: live
            .and_then(|live| live.progress.clone())
            .or_else(|| progress(operation))
            .filter(|_| !ended),
        waiting_for: waiting_for(state, operation),
        cancel_requested: operation.cancel.is_some(),
        on_failure: match spec.on_failure {
            OnFailure::Rollback => Some(enginehouse_api::OnFailure::Rollback),
            OnFailure::Keep => None,
        },
        result: (ended || !operation.created.is_empty()).then(|| result(state, operation)),
        error: match &operation.phase {
            Phase::Ended {
                problem: Some(problem),
                ..
            } => Some(crate::problem::of_operation(problem)),
            Phase::InDoubt { reason } => Some(OperationError {
                code: "in_doubt".to_owned(),
                message: reason.clone(),
                hint: Some(format!(
                    "`enginehouse ops show {0}` says what is known; then say what happened: `enginehouse ops resolve {0} --as done|failed|retry`",
                    spec.number
                )),
                lines: Vec::new(),
                errors: Vec::new(),
            }),
            _ => None,
        },
        doubt: (crate::doubt::of(state, operation).map(Box::new)).filter(|_| whole),
        parent: spec.parent,
        max_failures: spec.stop_after,
        children: if whole {
            children(state, operation)
        } else {
            Vec::new()
        },
    }
}

/// Of a later version's operation, which cannot be carried out, it is not known.
fn kind_shown(spec: &Spec) -> OperationKind {
    kind_of(spec).unwrap_or(OperationKind::Edit)
}

fn destination(spec: &Spec) -> Option<FullName> {
    spec.params.get("to")?.as_str()?.parse().ok()
}

/// What is going on, in words: what the engine said of this step, or else the step itself.
pub(crate) fn message(operation: &Operation) -> String {
    match operation.current_step() {
        Some(_) if !operation.message.is_empty() => operation.message.clone(),
        Some(step) => format!("{}: {}", step.action, step.reason),
        None => String::new(),
    }
}

fn progress(operation: &Operation) -> Option<enginehouse_api::Progress> {
    let message = message(operation);
    (!message.is_empty()).then_some(enginehouse_api::Progress {
        percent: None,
        message,
    })
}

fn state_of(state: &State, operation: &Operation) -> OperationState {
    match &operation.phase {
        Phase::Pending if operation.spec.children.is_empty() => OperationState::Pending,
        Phase::WaitingApproval => OperationState::WaitingApproval,
        // Nothing of it goes on before people have signed.
        Phase::Pending if all_wait_for_approval(state, operation) => {
            OperationState::WaitingApproval
        }
        Phase::InDoubt { .. } => OperationState::InDoubt,
        Phase::Ended { state, .. } => final_state(*state),
        Phase::Pending
        | Phase::Starting
        | Phase::Between
        | Phase::Calling
        | Phase::Settling
        | Phase::Waiting { .. }
        | Phase::Postponed { .. } => OperationState::Running,
    }
}

/// Whether all parts that have not ended wait for approval.
fn all_wait_for_approval(state: &State, operation: &Operation) -> bool {
    let mut open = operation
        .all_parts()
        .filter_map(|part| state.queue.get(part))
        .peekable();
    open.peek().is_some() && open.all(|part| part.phase == Phase::WaitingApproval)
}

fn waiting_for(state: &State, operation: &Operation) -> Option<String> {
    if state.hold.is_some()
        && !matches!(operation.phase, Phase::InDoubt { .. } | Phase::Ended { .. })
    {
        return Some(crate::hold::Hold::reason());
    }
    let lost = operation.spec.hypervisor.and_then(|uid| lost(state, uid));
    match &operation.phase {
        Phase::Pending if operation.spec.children.is_empty() => {
            if let Some(before) = operation.waits_for().next() {
                if Some(before) == operation.spec.parent {
                    return Some(format!(
                        "wave {} of operation {before}",
                        operation.spec.wave
                    ));
                }
                return Some(match state.queue.get(before) {
                    Some(other) => format!(
                        "operation {before} ({} {}), which comes before it",
                        other.spec.kind, other.spec.target_name
                    ),
                    None => format!("operation {before}, which comes before it"),
                });
            }
            if let (Some(until), Some(held)) = (operation.held_until, &operation.obstacle) {
                let at = until.utc();
                return Some(format!("{}; looked at again {at}", held.message));
            }
            let first = state.queue.lane(operation.spec.target).next()?;
            Some(
                if let (true, Some(lost)) = (first.number() == operation.number(), &lost) {
                    lost.clone()
                } else if let (true, Some(held)) =
                    (first.number() == operation.number(), held(state, operation))
                {
                    held
                } else if first.number() == operation.number() {
                    "a free slot at the hypervisor".to_owned()
                } else {
                    format!("operation {} on the same machine", first.number())
                },
            )
        }
        Phase::WaitingApproval => {
            let missing = crate::approvals::missing_of(state, operation).unwrap_or(0);
            let approvals = if missing == 1 {
                "approval"
            } else {
                "approvals"
            };
            Some(format!(
                "{missing} more {approvals}: `enginehouse approvals show {}`",
                operation.number()
            ))
        }
        Phase::Between => {
            Some(lost.unwrap_or_else(|| "other copies of the same template".to_owned()))
        }
        Phase::Waiting { .. } | Phase::Postponed { .. } if lost.is_some() => lost,
        _ => operation
            .obstacle
            .as_ref()
            .map(std::string::ToString::to_string),
    }
}

/// What the step that failed was to make or to change.
fn failed(operation: &Operation) -> Option<FailedObject> {
    let Phase::Ended {
        state: Final::Failed,
        problem,
    } = &operation.phase
    else {
        return None;
    };
    let step = operation.current_step()?;
    let planned: enginehouse_reconcile::PlannedAction = step.body.read().ok()?;
    let (kind, id) = match planned.disk {
        Some(disk) => ("disk", disk),
        None => ("machine", operation.spec.target_name.to_string()),
    };
    Some(FailedObject {
        kind: kind.to_owned(),
        id,
        reason: problem
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    })
}

/// That a hypervisor cannot be reached, since when and why.
fn lost(state: &State, hypervisor: HypervisorUid) -> Option<String> {
    let lost = state.queue.lost(hypervisor)?;
    let name = state.tree.hypervisor(hypervisor).map_or_else(
        || "its hypervisor".to_owned(),
        |found| format!("`{}`", found.name),
    );
    Some(format!("{name} does not answer: {}", lost.problem.message))
}

/// That nothing is begun at its hypervisor, and why.
fn held(state: &State, operation: &Operation) -> Option<String> {
    let hypervisor = operation.spec.hypervisor?;
    if !state.queue.is_braked(hypervisor) {
        return None;
    }
    let name = &state.tree.hypervisor(hypervisor)?.name;
    Some(format!(
        "a person: many machines of `{name}` vanished at once, see `enginehouse hypervisors missing {name}`"
    ))
}

fn result(state: &State, operation: &Operation) -> OperationResult {
    let machine_id = state
        .record_of(operation.spec.target)
        .and_then(|record| record.identity.as_ref())
        .map(|identity| identity.machine_id.clone());
    OperationResult {
        machine_id,
        created: created(operation),
        failed: failed(operation).into_iter().collect(),
        warnings: operation.warnings.clone(),
    }
}

/// What it has created, as far as the engine said so.
pub(crate) fn created(operation: &Operation) -> Vec<CreatedObject> {
    operation
        .created
        .iter()
        .map(|object| {
            let (kind, id) = object.split_once(' ').unwrap_or(("object", object));
            CreatedObject {
                kind: kind.to_owned(),
                id: id.to_owned(),
            }
        })
        .collect()
}

fn steps(state: &State, operation: &Operation) -> Vec<Step> {
    let times = state
        .live
        .get(&operation.number())
        .map(|live| live.step_times.as_slice())
        .unwrap_or_default();
    operation
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let current = at == operation.step;
            let times = times.get(at);
            Step {
                number: u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1),
                action: step.action.clone(),
                text: step.reason.clone(),
                state: step_state(operation, at),
                attempt: operation.tries.get(at).copied().unwrap_or_default(),
                task: match &operation.phase {
                    Phase::Waiting { task, .. } if current => Some(task.clone()),
                    Phase::InDoubt { .. } if current => operation.state.forgotten.clone(),
                    _ => None,
                },
                started_at: times.map(|(began, _)| *began),
                ended_at: times.and_then(|(_, ended)| *ended),
                error: match &operation.phase {
                    Phase::Ended {
                        state: Final::Failed,
                        problem: Some(problem),
                    } if current => Some(crate::problem::of_operation(problem)),
                    _ => None,
                },
            }
        })
        .collect()
}

fn step_state(operation: &Operation, at: usize) -> StepState {
    if at < operation.step {
        return StepState::Done;
    }
    let ended = operation.is_ended();
    if at > operation.step {
        return if ended {
            StepState::Skipped
        } else {
            StepState::Pending
        };
    }
    match &operation.phase {
        Phase::Pending | Phase::Starting | Phase::WaitingApproval | Phase::Between => {
            StepState::Pending
        }
        Phase::Calling | Phase::Settling => StepState::Running,
        Phase::Waiting { .. } => StepState::Waiting,
        Phase::Postponed { then, .. } => match then {
            Then::Prepare => StepState::Pending,
            Then::Call | Then::Settle => StepState::Retrying,
        },
        Phase::InDoubt { .. } => StepState::InDoubt,
        Phase::Ended { state, .. } => match state {
            Final::Succeeded => StepState::Done,
            Final::Failed => StepState::Failed,
            Final::Cancelled | Final::Superseded => StepState::Skipped,
        },
    }
}

fn children(state: &State, operation: &Operation) -> Vec<ChildOperation> {
    let ended = operation.parts.iter();
    let waves = waves(operation);
    let wave = |number: OperationId| waves.get(&number).copied();
    let mut children: Vec<ChildOperation> = operation
        .all_parts()
        .filter_map(|number| state.queue.get(number))
        .map(|part| {
            let view = self::operation(state, part, false);
            ChildOperation {
                number: view.number,
                kind: view.kind,
                path: view.path,
                state: view.state,
                wave: wave(view.number),
                progress: view.progress,
                waiting_for: view.waiting_for,
                result: view.result,
                error: view.error,
            }
        })
        .collect();
    let order = Order::of(&operation.spec).ok();
    let kind_of_part = match kind_shown(&operation.spec) {
        // What an import leaves to machines.
        OperationKind::Import => OperationKind::Reconfigure,
        OperationKind::Rollback
            if order.is_some_and(|order| order.params.of_operation.is_some()) =>
        {
            OperationKind::Undo
        }
        same => same,
    };
    children.extend(ended.map(|part| ChildOperation {
        number: part.number,
        kind: match operation.undo.as_ref() {
            Some(undo) if undo.contains(&part.number) => OperationKind::Undo,
            Some(_) | None => kind_of_part,
        },
        path: part.target.clone(),
        state: final_state(part.state),
        wave: wave(part.number),
        progress: None,
        waiting_for: None,
        result: part_result(state, part),
        error: part.problem.as_ref().map(crate::problem::of_operation),
    }));
    children.sort_by_key(|child| child.number);
    children
}

/// The wave of each part, from 1, where there are waves.
fn waves(operation: &Operation) -> BTreeMap<OperationId, u32> {
    let order = Order::of(&operation.spec).ok();
    let Some(order) = order.filter(|_| operation.spec.stop_after.is_some()) else {
        return BTreeMap::new();
    };
    let parts = &operation.spec.children;
    let waves = waves_of(&order.params, parts.len());
    parts
        .iter()
        .copied()
        .zip(waves.iter().map(|wave| wave + 1))
        .collect()
}

/// The machine that a part has left and what it warned of, for the list of parts; its own row has
/// the rest.
fn part_result(state: &State, part: &EndedPart) -> Option<OperationResult> {
    let node = state.tree.find(&part.target).ok();
    let machine_id = node
        .and_then(|node| state.record_of(node)?.identity.as_ref())
        .map(|identity| identity.machine_id.clone());
    (machine_id.is_some() || !part.warnings.is_empty()).then(|| OperationResult {
        machine_id,
        warnings: part.warnings.clone(),
        ..OperationResult::default()
    })
}
