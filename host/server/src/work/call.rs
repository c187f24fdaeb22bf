//! One call of the engine for the current step of an operation.

use std::sync::Arc;

use enginehouse_api::OperationKind;
use enginehouse_documents::{
    Action, ActionRequest, Code, Config, Machine, Outcome, PowerState, Problem,
};
use enginehouse_engines::{
    CallError, Failure, Object, Observer, Occasion, OncePolicy, Reservations, Step,
};
use enginehouse_model::{FullName, Identity, MachineRecord, OperationId};
use enginehouse_queue::{CallEnd, Event, Operation, Token};
use enginehouse_reconcile::{Needed, PlannedAction, still_needed};

use crate::approvals::{before_step, is_used};
use crate::doubt::creates;
use crate::house::{House, Staged, State};
use crate::kept_engines::StepEngine;
use crate::orders::Order;
use crate::work::Target;
use crate::work::observe;
use crate::work::occasion::{listener, occasion, token};
use crate::work::once::StepJournal;
use crate::work::plan::grounds;
use crate::work::replaced;
use crate::work::reserve::OperationReservations;
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

/// What was sent is what was achieved; but what a machine was made from stays in the definition's
/// words.
fn take_over(planned: &mut PlannedAction, mut sent: ActionRequest) {
    if let (Action::Create { desired: sent }, Action::Create { desired }) =
        (&mut sent.action, &planned.request.action)
    {
        sent.base_image.clone_from(&desired.base_image);
    }
    planned.request = sent;
}

fn planned_of(operation: &Operation) -> Result<PlannedAction, Problem> {
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
            guard_again(operation, &target, &observer).await?;
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
                        |state, staged, _| {
                            state.live.entry(number).or_default().engine = Some(engine);
                            if let Ok(planned) = &planned
                                && planned.is_gated()
                            {
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
            Filled::Outdated(problem) => return Ok(Some(Event::Outdated(problem))),
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

enum Filled {
    Send(ActionRequest),
    NotNeeded(String),
    /// It is not what was approved any more.
    Outdated(Problem),
}

/// Looks at the step again, right before it is begun.
async fn fill(
    house: &Arc<House>,
    operation: &Operation,
    target: &mut Target,
    observer: &Arc<dyn Observer>,
) -> Result<Filled, Problem> {
    let planned = planned_of(operation)?;
    let number = operation.number();
    let Some(record) = target.record.clone() else {
        return Err(Problem::new(
            Code::Conflict,
            "the machine's record is gone: nothing is done to a machine that is not on record",
        ));
    };
    let mut observed = house
        .state
        .lock()
        .live
        .get(&number)
        .and_then(|live| live.observed());
    // The plug is pulled long after the machine was last looked at: another may have its id by then.
    let guarded = planned.is_gated() || operation.state.escalated;
    if planned.is_gated()
        && let Some(by) = &target.protected_by
    {
        return Err(protected(&planned, target, by));
    }
    if let Some(identity) = &record.identity
        && (guarded || observed.is_none())
    {
        observed = observe::read(target, identity.machine_ref(), observer).await?;
        if let Some(live) = house.state.lock().live.get_mut(&number) {
            live.see(observed.as_ref());
        }
    }
    // Nothing of a step that begins is at the provider, unless a person said so.
    if operation.state.touched
        && let Action::Create { .. } = &planned.request.action
    {
        must_be_there(&record, observed.as_ref())?;
    }
    match still_needed(&planned, &record, observed.as_ref(), &target.rules) {
        Needed::Yes(mut request) => {
            let grounds = grounds(target, observed.as_ref());
            let now = house.now();
            let approved = before_step(&house.state.lock(), operation, &planned, &grounds, now);
            if let Err(problem) = approved {
                return Ok(Filled::Outdated(problem));
            }
            if let Action::Create { desired } = &mut request.action {
                name_image(house, target, desired);
            }
            Ok(Filled::Send(request))
        }
        Needed::No(reason) => Ok(Filled::NotNeeded(reason)),
        Needed::Refused(reason) => Err(Problem::new(Code::Conflict, reason)),
    }
}

/// What is tried again is looked at again, as long as nothing of it is at the provider: it may have been
/// put off for long, and by then somebody may have protected the machine, or another may have its id.
async fn guard_again(
    operation: &Operation,
    target: &Target,
    observer: &Arc<dyn Observer>,
) -> Result<(), Problem> {
    let planned = planned_of(operation)?;
    let guarded = planned.is_gated() || operation.state.escalated;
    // After its first phase something was done, also where that was a request that may be repeated: then
    // what it finds is its own doing.
    let has_moved = operation.state.phases > 0;
    if !guarded || has_moved || !operation.state.is_untouched() {
        return Ok(());
    }
    if planned.is_gated()
        && let Some(by) = &target.protected_by
    {
        return Err(protected(&planned, target, by));
    }
    let Some(record) = &target.record else {
        return Ok(());
    };
    let observed = match &record.identity {
        Some(identity) => observe::read(target, identity.machine_ref(), observer).await?,
        None => None,
    };
    // A request that may be repeated may have been sent. What is gone cannot be hurt: the engine says.
    let Some(observed) = observed else {
        return Ok(());
    };
    match still_needed(&planned, record, Some(&observed), &target.rules) {
        Needed::Yes(_) | Needed::No(_) => Ok(()),
        Needed::Refused(reason) => Err(Problem::new(Code::Conflict, reason)),
    }
}

/// Somebody protected the machine after the plan was made.
fn protected(planned: &PlannedAction, target: &Target, by: &FullName) -> Problem {
    let mut problem = Problem::new(
        Code::Conflict,
        format!(
            "{} is {}, and {by} protects {} by now",
            planned.request.action.name(),
            planned.class,
            target.name
        ),
    );
    problem.detail.hint = Some(format!(
        "if it really is to go, `enginehouse edit {by} protect=false --lower-protection`, and order it again"
    ));
    problem
}

/// A person said that the creation took effect. Nothing is made, and nobody else's machine is touched.
fn must_be_there(record: &MachineRecord, observed: Option<&Machine>) -> Result<(), Problem> {
    let id = (record.identity.as_ref()).map_or("?", |identity| identity.machine_id.as_str());
    let ours = record.mark.to_string();
    match observed.map(|machine| machine.mark.as_deref()) {
        Some(Some(mark)) if mark == ours => Ok(()),
        Some(Some(_)) => Err(Problem::new(
            Code::Conflict,
            format!("machine {id} was said to be there, and does not carry the mark {ours}"),
        )),
        Some(None) => Err(Problem::new(
            Code::Busy,
            format!("machine {id} does not show its mark yet"),
        )),
        None => Err(Problem::new(
            Code::NotFound,
            format!("machine {id} was said to be there, and is not"),
        )),
    }
}

/// A person says that the current step took effect: written down as if the engine had said so.
pub(crate) fn take_as_done(
    state: &mut State,
    staged: &mut Staged,
    number: OperationId,
    outcome: &Outcome,
    now: enginehouse_model::Timestamp,
) {
    let Some(operation) = state.queue.get(number).cloned() else {
        return;
    };
    let Ok(mut planned) = planned_of(&operation) else {
        return;
    };
    if let Some(request) = &operation.state.request
        && let Ok(request) = request.read()
    {
        take_over(&mut planned, request);
    }
    // What it looks like now has to be looked at.
    if let Some(live) = state.live.get_mut(&number) {
        live.see(None);
    }
    let node = operation.spec.target;
    take_in(state, staged, number, node, &planned, outcome, now);
}

/// A template is given by name or id. Where the newest list has one template of that name, the
/// engine gets its id and need not look for it.
fn name_image(house: &House, target: &Target, desired: &mut Config) {
    let (Some(wanted), Some(list)) = (
        desired.base_image.as_deref(),
        house.inventories.newest(target.hypervisor()),
    ) else {
        return;
    };
    let templates = || list.shown().filter(|machine| machine.template);
    if templates().any(|machine| &*machine.id == wanted) {
        return;
    }
    let mut named = templates().filter(|machine| machine.name.as_deref() == Some(wanted));
    if let (Some(template), None) = (named.next(), named.next()) {
        desired.base_image = Some(template.id.to_string());
    }
}

/// Writes what a finished step achieved.
fn take_in(
    state: &mut State,
    staged: &mut Staged,
    number: OperationId,
    node: enginehouse_model::NodeUid,
    planned: &PlannedAction,
    outcome: &Outcome,
    now: enginehouse_model::Timestamp,
) {
    if let Some(operation) = state.queue.get(number).cloned()
        && replaced::ends_the_old(&operation, planned)
    {
        replaced::change_over(state, staged, &operation, node, now);
        return;
    }
    let live = state.live.entry(number).or_default();
    match (&outcome.machine, live.observed()) {
        (Some(machine), _) => live.see(Some(machine)),
        (None, Some(before)) => live.see(Some(&after(before, &planned.request.action))),
        (None, None) => {}
    }
    with_record(state, staged, node, |record| {
        enginehouse_reconcile::apply(record, planned, outcome);
        record.last_step_ended = now;
    });
}

/// What is known of a machine after an action whose outcome does not show it.
fn after(mut machine: Machine, action: &Action) -> Machine {
    machine.version = None;
    match action {
        Action::Start | Action::Restart { .. } => machine.power = PowerState::Running,
        Action::Stop { .. } => machine.power = PowerState::Stopped,
        Action::DiskGrow { slot, size } => {
            if let Some(config) = &mut machine.config
                && let Some(disk) = config.disks.get_mut(slot)
            {
                disk.size = Some(*size);
            }
        }
        Action::DiskRemove { slot, .. } => {
            if let Some(config) = &mut machine.config {
                config.disks.remove(slot);
            }
        }
        Action::NicRemove { slot } => {
            if let Some(config) = &mut machine.config {
                config.nics.remove(slot);
            }
        }
        // What it holds now has to be looked at.
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::DiskAdd { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. } => {
            machine.config = None;
        }
        // It carries our mark now, whatever it was.
        Action::Adopt => machine.mark = None,
        Action::Destroy { .. } => {}
    }
    machine
}

/// The provider's id, as soon as it is known: a creation that breaks off leaves a trace. One that is sent
/// again makes another machine, and that is the one to remember.
pub(super) fn note_machine(
    state: &mut State,
    staged: &mut Staged,
    operation: &Operation,
    id: &str,
) {
    let creates = creates(operation);
    with_record(state, staged, operation.spec.target, |record| {
        let known = machine_id(record);
        if known.is_none() || (creates && known.as_deref() != Some(id)) {
            record.identity = Some(Identity {
                machine_id: id.to_owned(),
                kind: None,
                host: None,
                incarnation: None,
            });
        }
    });
}

fn machine_id(record: &MachineRecord) -> Option<String> {
    let identity = record.identity.as_ref()?;
    Some(identity.machine_id.clone())
}

fn with_record(
    state: &mut State,
    staged: &mut Staged,
    node: enginehouse_model::NodeUid,
    change: impl FnOnce(&mut MachineRecord),
) {
    let Some(uid) = state.record_of(node).map(|record| record.uid) else {
        return;
    };
    if let Some(record) = state.records.get_mut(&uid) {
        let was = (machine_id(record), record.deployed.clone());
        change(record);
        record.unnoted |= was != (machine_id(record), record.deployed.clone());
        staged.record(record);
    }
}
