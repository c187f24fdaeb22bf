//! The beginning of an operation: look, then plan, then journal the plan as its steps.

use std::sync::Arc;

use enginehouse_api::{Adopts, Automatic, OperationKind, Whose};
use enginehouse_documents::{Action, Code, Machine, MachineRef, Problem};
use enginehouse_engines::Observer;
use enginehouse_model::{
    Identity, MachineRecord, MachineUid, Mark, NodeUid, OperationId, Timestamp,
};
use enginehouse_queue::{Event, Json, Operation, StepPlan, StepSpec};
use enginehouse_reconcile::{Bounds, MachinePlan, Unit, recognise};
use enginehouse_tree::Event as TreeEvent;
use uuid::Uuid;

use crate::approvals::{Verdict, decide};
use crate::destruction;
use crate::house::{House, Staged, State};
use crate::inventory::Records;
use crate::orders::{Order, agreement_missing, check_settings_now};
use crate::work::definition::{change_tree, write_definition};
use crate::work::earlier;
use crate::work::observe::{self, Room};
use crate::work::observer::listen;
use crate::work::plan::{grounds, plan_automatic, plan_target};
use crate::work::{Target, check_provider};

/// What a plan of one machine was made from, and the plan.
struct Prepared {
    plan: MachinePlan,
    record: Option<MachineRecord>,
    observed: Option<Machine>,
    /// The record that was there is of a machine that never came to be.
    forgets: Option<MachineUid>,
    warnings: Vec<String>,
    /// What of the plan is to be approved where its folder asks for that.
    unit: Option<Unit>,
}

/// How the beginning of an operation ended.
enum Begun {
    Planned(Box<Prepared>),
    /// Before anything was looked at: people are asked, or what they approved is another.
    Instead(Event),
}

/// Runs the beginning of operation `number` and reports it.
pub(crate) async fn prepare(house: &Arc<House>, generation: u64, number: OperationId) {
    let Some(operation) = crate::house::operation_of(&house.state.lock(), number) else {
        return;
    };
    let order = Order::of(&operation.spec);
    if operation.holds > 0 && order.as_ref().is_ok_and(Order::destroys) {
        // It would destroy, and that there is no room for it yet needs no look at the hypervisor.
        let held = destruction::held(&house.state.lock(), &operation, 1, house.now());
        if let Some(held) = held {
            let _ = house.report(generation, number, held, |_, _, _| {}).await;
            return;
        }
    }
    let mut held = Vec::new();
    let result = match order {
        Err(problem) => Err(problem),
        Ok(order) if !order.kind.works_on_machine() => {
            change_tree(house, generation, number, &operation.spec.who, &order).await;
            return;
        }
        Ok(order) => {
            let observer = listen(house, vec![(number, None)]);
            match begin(house, generation, &operation, &order, &observer).await {
                Ok(Begun::Instead(event)) => {
                    let _ = house.report(generation, number, event, |_, _, _| {}).await;
                    return;
                }
                Ok(Begun::Planned(prepared)) => {
                    held = prepared.plan.held().cloned().collect();
                    steps(&prepared.plan, &order).map(|steps| (steps, prepared))
                }
                Err(problem) => Err(problem),
            }
        }
    };
    let node = operation.spec.target;
    let (planned, prepared) = match result {
        Ok((mut plan, mut prepared)) => {
            plan.warnings = std::mem::take(&mut prepared.warnings);
            (Ok(plan), Some(prepared))
        }
        Err(problem) => (Err(problem), None),
    };
    let unit = prepared.as_ref().and_then(|it| it.unit.clone());
    let _ = house
        .report_by(
            generation,
            number,
            |state, now| match planned {
                Ok(plan) => gated(house, state, &operation, unit.as_ref(), plan, now),
                Err(problem) => Event::Prepared(Err(problem)),
            },
            |state, staged, _| {
                staged.audit.held(&operation.spec, &held);
                if let Some(prepared) = prepared {
                    take_in(state, staged, number, node, *prepared);
                }
            },
        )
        .await;
}

/// What becomes of a plan that was made: it is carried out, people are asked before, or it waits until
/// the limits on destruction have room for it.
pub(super) fn gated(
    house: &House,
    state: &State,
    operation: &Operation,
    unit: Option<&Unit>,
    plan: StepPlan,
    now: Timestamp,
) -> Event {
    let lifetime = house.config.approval_lifetime.as_millis();
    let lifetime_ms = u64::try_from(lifetime).unwrap_or(u64::MAX);
    let installation = house.installation;
    match decide(state, installation, operation, unit, lifetime_ms, now) {
        Verdict::Go => {
            let destroys = unit.filter(|unit| !unit.is_lowering());
            let actions = destroys.map_or(0, |unit| unit.actions.len());
            let held = destruction::held(state, operation, actions, now);
            held.unwrap_or(Event::Prepared(Ok(plan)))
        }
        Verdict::Outdated(problem) => Event::Outdated(problem),
        Verdict::Never(problem) => Event::Prepared(Err(problem)),
        Verdict::Ask(request) => match serde_json::to_value(&request) {
            Ok(document) => Event::Asks {
                request: document,
                until: request.until,
            },
            Err(error) => Event::Prepared(Err(Problem::new(Code::Invalid, error.to_string()))),
        },
    }
}

/// Keeps the record, and what was seen, beside the plan.
fn take_in(
    state: &mut State,
    staged: &mut Staged,
    number: OperationId,
    node: NodeUid,
    prepared: Prepared,
) {
    if let Some(operation) = state.queue.get(number) {
        staged.because_of(&operation.spec);
    }
    if let Some(forgotten) = prepared.forgets {
        crate::conclude::forget_machine(state, staged, node, forgotten);
    }
    if let Some(mut record) = prepared.record {
        let was = state.records.get(&record.uid);
        record.unnoted |= match was {
            Some(was) => was.deployed != record.deployed || was.unnoted,
            None => record.identity.is_some(),
        };
        if state.record_of(node).is_none() {
            match state.tree.set_machine(node, Some(record.uid)) {
                Ok(change) => staged.nodes(&state.tree, &change),
                Err(error) => tracing::error!(%error, "a machine was not put on record"),
            }
        }
        staged.record(&record);
        state.records.insert(record.uid, Box::new(record));
    }
    let live = state.live.entry(number).or_default();
    live.see(prepared.observed.as_ref());
}

async fn begin(
    house: &Arc<House>,
    generation: u64,
    operation: &Operation,
    order: &Order,
    observer: &Arc<dyn Observer>,
) -> Result<Begun, Problem> {
    let (number, spec) = (operation.number(), &operation.spec);
    let (queued_at, hypervisor) = (spec.queued_at, spec.hypervisor);
    // It was written before people were asked; others may have changed it since.
    let asked = crate::approvals::request_of(operation);
    let is_written = asked.is_some_and(|asked| !asked.unit.is_lowering());
    if order.kind == OperationKind::Reconfigure
        && order.changes_definition()
        && !is_written
        && let Some(event) = write_definition(house, generation, spec, order).await?
    {
        return Ok(Begun::Instead(event));
    }
    check_state(house, order)?;
    check_settings_now(&house.state.lock(), &order.path, order.node, order.intent())?;
    let mut target = Target::of(house, order.node)?;
    if hypervisor != Some(target.hypervisor()) {
        // Slots, limits and polls are those of the hypervisor that it was ordered for.
        let mut problem = Problem::new(
            Code::Conflict,
            format!(
                "{} uses another hypervisor now, `{}`, than when this was ordered",
                target.name, target.hypervisor_name
            ),
        );
        problem.detail.hint = Some(format!("order it again: `{}`", order.kind));
        return Err(problem);
    }
    if let Some(seconds) = order.params.shutdown_timeout_s {
        target.shutdown_timeout_ms = u64::from(seconds) * 1000;
    }
    if target.connection.is_insecure() {
        // No warning of the result: it says nothing of the machine, and would be its last one for
        // ever.
        let now = house.now();
        house.state.lock().log(
            number,
            now,
            "warn",
            &format!(
                "the certificate of {} is not verified (tls.verify is false)",
                target.hypervisor_name
            ),
        );
    }
    let identity = check_provider(house, &target, observer).await?;
    let mut forgets = None;
    let mut warnings = Vec::new();
    let mut observed = None;
    if let Some(mut record) = target.record.take() {
        if let Some(known) = record.identity.clone() {
            observed = observe::read(&target, known.machine_ref(), observer).await?;
            if let Some(machine) = &observed {
                recognise(&mut record, machine);
            }
        } else if order.destroys()
            && let Some(machine) =
                observe::begun(house, &target, &record, queued_at, observer).await?
        {
            // A creation of which it was never known what became of it.
            recognise(&mut record, &machine);
            observed = Some(machine);
        }
        target.record = Some(record);
        let gone = observed.is_none();
        let never_reported = !is_deployed(house, order.node);
        if gone && order.destroys() {
            // Gone is what was asked for.
            warnings.push("the machine was not there any more".to_owned());
        } else if gone && never_reported && order.kind == OperationKind::Deploy {
            // What an unfinished creation made is known by the mark on record alone.
            let record = target.record.take_if(|record| record.identity.is_some());
            forgets = record.map(|record| record.uid);
        }
    }
    if let Some(adopts) = &order.params.adopts {
        let (record, machine) =
            chosen(house, &target, number, identity.clone(), adopts, observer).await?;
        (target.record, observed) = (Some(record), Some(machine));
    }
    if order.kind == OperationKind::Deploy && observed.is_none() {
        if let Room::Ours(machine, mark) =
            observe::room(house, &target, queued_at, observer).await?
        {
            warnings.push(format!(
                "goes on with machine {}, made by operation {}",
                machine.id, mark.operation
            ));
            if let Some(record) = &mut target.record {
                record.identity = Some(Identity {
                    machine_id: machine.id.clone(),
                    kind: machine.kind.clone(),
                    host: machine.host.clone(),
                    incarnation: None,
                });
                recognise(record, &machine);
            }
            observed = Some(machine);
        } else if let Some(record) = target.record.take_if(|record| record.identity.is_none()) {
            forgets = Some(record.uid);
        }
        if target.record.is_none() {
            target.record = Some(new_record(house, &target, number, identity));
        }
    }
    if takes_back(order) {
        target.desired = earlier::config(house, &target, order).await?;
        warnings.extend(earlier::restore_definition(house, spec, order).await?);
    }
    let taken_back = order.was_taken_back(target.record.as_ref());
    let mut plan = match order.params.automatic {
        Some(automatic) => {
            let bounds = bounds_now(house, order.node, automatic);
            let planned = plan_automatic(&target, &bounds, observed.as_ref()).await?;
            let (plan, kept_back) = planned;
            // No warning of the result: the node shows it as drift or as pending.
            let now = house.now();
            let mut state = house.state.lock();
            for kept in kept_back {
                let text = format!("{} is left: {}", kept.field, kept.reason);
                state.log(number, now, "info", &text);
            }
            plan
        }
        None => plan_target(&target, order.intent(), observed.as_ref()).await?,
    };
    if let Some(problem) = agreement_missing(order, &plan) {
        return Err(problem);
    }
    if makes_another(&plan) {
        observe::room_beside(house, &target, queued_at, observer).await?;
    }
    if takes_back(order) {
        warnings.extend(earlier::left_as_it_is(&plan));
    }
    if let (Some(record), true) = (&mut target.record, !order.destroys()) {
        enginehouse_reconcile::adopt(record, &plan, &target.desired, &target.rules);
    }
    if taken_back {
        warnings = vec!["the machine that it made was not there any more".to_owned()];
    }
    if order.destroys() && (observed.is_none() || taken_back) {
        plan.refused.clear();
        plan.actions.clear();
    }
    let unit = Unit::of(&grounds(&target, observed.as_ref()), &plan.actions);
    Ok(Begun::Planned(Box::new(Prepared {
        plan,
        record: target.record,
        observed,
        forgets,
        warnings,
        unit,
    })))
}

/// How far an automatic order may go now: nowhere, where it was paused since it was given.
fn bounds_now(house: &House, node: NodeUid, automatic: Automatic) -> Bounds {
    let state = house.state.lock();
    match state.pauses.of(&state.tree, node) {
        Some(_) => Bounds::default(),
        None => crate::continuous::bounds(&state, node, automatic == Automatic::Follow),
    }
}

/// Whether the machine is destroyed and made anew.
fn makes_another(plan: &MachinePlan) -> bool {
    let makes = |action: &Action| matches!(action, Action::Create { .. });
    let mut actions = plan.actions.iter().map(|planned| &planned.request.action);
    let destroys = |action: &Action| matches!(action, Action::Destroy { .. });
    actions.clone().any(destroys) && actions.any(makes)
}

/// Whether it brings a machine back to what it was.
fn takes_back(order: &Order) -> bool {
    matches!(order.kind, OperationKind::Rollback | OperationKind::Undo) && !order.destroys()
}

fn is_deployed(house: &House, node: NodeUid) -> bool {
    let state = house.state.lock();
    state
        .tree
        .descriptor(node)
        .is_ok_and(|body| body.status != enginehouse_tree::Status::Provisioned)
}

/// The state may be another now than when the operation was accepted: an operation before it may
/// have failed.
fn check_state(house: &House, order: &Order) -> Result<(), Problem> {
    let state = house.state.lock();
    let Ok(body) = state.tree.descriptor(order.node) else {
        return Err(Problem::new(Code::NotFound, "the descriptor is gone"));
    };
    let event = match order.kind {
        OperationKind::Deploy | OperationKind::Adopt => TreeEvent::Deploy,
        _ if order.was_taken_back(state.record_of(order.node)) => return Ok(()),
        _ if order.destroys() => TreeEvent::Undeploy,
        OperationKind::Undo if body.machine.is_some() => return Ok(()),
        _ if body.status == enginehouse_tree::Status::Deployed => return Ok(()),
        kind => {
            return Err(Problem::new(
                Code::Conflict,
                format!("`{kind}` is refused while {}: deploy it first", body.status),
            ));
        }
    };
    enginehouse_tree::next(body.status, body.machine.is_some(), event)
        .map(|_| ())
        .map_err(|refused| Problem::new(Code::Conflict, refused.to_string()))
}

/// The machine that an adoption is about, and its record from now on.
///
/// # Errors
/// `not-found` when it is gone, `conflict` when it became another descriptor's.
async fn chosen(
    house: &House,
    target: &Target,
    number: OperationId,
    provider_identity: String,
    adopts: &Adopts,
    observer: &Arc<dyn Observer>,
) -> Result<(MachineRecord, Machine), Problem> {
    let id = &adopts.id;
    let at = MachineRef {
        id: id.clone(),
        kind: adopts.kind.clone(),
        host: adopts.host.clone(),
    };
    let Some(machine) = observe::read(target, at, observer).await? else {
        let name = &target.hypervisor_name;
        let gone = format!("machine {id} is not on {name} any more");
        return Err(Problem::new(Code::NotFound, gone));
    };
    let mut record = new_record(house, target, number, provider_identity);
    record.identity = Some(Identity {
        machine_id: id.clone(),
        kind: machine.kind.clone(),
        host: machine.host.clone(),
        incarnation: adopts.incarnation.clone(),
    });
    record.slots = enginehouse_reconcile::slots_of(&machine);
    record.slots.retain(|name, _| {
        let desired = &target.desired;
        desired.disks.contains_key(name) || desired.nics.contains_key(name)
    });
    let state = house.state.lock();
    let records = Records::of(&state, house.installation, target.hypervisor());
    let (whose, owner, _) = records.whose(&state, &machine);
    if whose == Whose::Ours {
        let owner = owner.and_then(|owner| state.tree.full_name(owner.node).ok());
        let owner = owner.map_or_else(|| "another descriptor".to_owned(), ToString::to_string);
        let taken = format!("machine {id} is that of {owner} by now");
        return Err(Problem::new(Code::Conflict, taken));
    }
    drop(state);
    Ok((record, machine))
}

fn new_record(
    house: &House,
    target: &Target,
    number: OperationId,
    provider_identity: String,
) -> MachineRecord {
    let uid = MachineUid::from_uuid(Uuid::now_v7());
    MachineRecord {
        uid,
        node: target.node,
        hypervisor: target.hypervisor(),
        provider_identity,
        mark: Mark {
            installation: house.installation,
            machine: uid,
            operation: number,
        },
        created_by: number,
        identity: None,
        slots: std::collections::BTreeMap::new(),
        deployed: enginehouse_documents::Config::default(),
        last_step_ended: Timestamp::default(),
        unnoted: false,
        protected: None,
    }
}

/// The plan's actions as steps of the queue.
fn steps(plan: &MachinePlan, order: &Order) -> Result<StepPlan, Problem> {
    let mut shortfall = None;
    if !plan.refused.is_empty() {
        let reasons: Vec<String> = plan
            .refused
            .iter()
            .map(|refusal| format!("{}: {}", refusal.subject, refusal.reason))
            .collect();
        let problem = Problem::new(Code::Conflict, reasons.join("; "));
        // What can be taken back is, and the rest is said.
        if !takes_back(order) {
            return Err(problem);
        }
        shortfall = Some(problem);
    }
    let steps: Result<Vec<StepSpec>, Problem> = plan
        .actions
        .iter()
        .map(|planned| {
            let template = match &planned.request.action {
                Action::Create { desired } => desired.base_image.clone(),
                Action::Configure { .. }
                | Action::Adopt
                | Action::Start
                | Action::Stop { .. }
                | Action::Restart { .. }
                | Action::Destroy { .. }
                | Action::DiskAdd { .. }
                | Action::DiskGrow { .. }
                | Action::DiskRemove { .. }
                | Action::NicAdd { .. }
                | Action::NicChange { .. }
                | Action::NicRemove { .. } => None,
            };
            let body = Json::of(planned)
                .map_err(|error| Problem::new(Code::Invalid, error.to_string()))?;
            let asks_the_guest =
                matches!(&planned.request.action, Action::Stop { graceful: true, .. });
            Ok(StepSpec {
                action: planned.request.action.name().to_owned(),
                reason: planned.reason.clone(),
                template,
                // Who only stops a machine may not want to pull its plug; who removes it does.
                may_escalate: asks_the_guest && order.destroys(),
                may_be_left: asks_the_guest && order.kind == OperationKind::Stop,
                body,
            })
        })
        .collect();
    Ok(StepPlan {
        steps: steps?,
        shortfall,
        ..StepPlan::default()
    })
}
