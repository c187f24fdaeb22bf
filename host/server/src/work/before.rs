//! What is asked right before a step is sent.

use std::sync::Arc;

use enginehouse_documents::{Action, ActionRequest, Code, Config, Machine, Problem};
use enginehouse_engines::Observer;
use enginehouse_model::MachineRecord;
use enginehouse_queue::{Event, Operation};
use enginehouse_reconcile::{Needed, PlannedAction, still_needed};

use crate::approvals::{before_step, still_covers};
use crate::destruction;
use crate::house::House;
use crate::work::call::planned_of;
use crate::work::plan::grounds;
use crate::work::{Target, observe};

pub(super) enum Filled {
    Send(ActionRequest),
    NotNeeded(String),
    /// It does not go on now: it is not what was approved any more, or a limit holds it.
    NotNow(Event),
}

/// Looks at the step again, right before it is begun.
pub(super) async fn fill(
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
        && let Some(problem) = protected(&planned, target)
    {
        return Err(problem);
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
            let state = house.state.lock();
            let approved = before_step(&state, operation, &planned, &grounds, now);
            if let Err(problem) = approved {
                return Ok(Filled::NotNow(Event::Outdated(problem)));
            }
            if let Some(held) = destruction::before_step(&state, operation, &planned, now) {
                return Ok(Filled::NotNow(held));
            }
            drop(state);
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
/// put off for long, and by then somebody may have protected the machine, or another may have its id. What it
/// gives is why it is not what was approved any more.
pub(super) async fn guard_again(
    operation: &Operation,
    target: &Target,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Problem>, Problem> {
    let planned = planned_of(operation)?;
    let guarded = planned.is_gated() || operation.state.escalated;
    // After its first phase something was done, also where that was a request that may be repeated: then
    // what it finds is its own doing.
    let has_moved = operation.state.phases > 0;
    if !guarded || has_moved || !operation.state.is_untouched() {
        return Ok(None);
    }
    if planned.is_gated()
        && let Some(problem) = protected(&planned, target)
    {
        return Err(problem);
    }
    let Some(record) = &target.record else {
        return Ok(None);
    };
    let observed = match &record.identity {
        Some(identity) => observe::read(target, identity.machine_ref(), observer).await?,
        None => None,
    };
    // A request that may be repeated may have been sent. What is gone cannot be hurt: the engine says.
    let Some(observed) = observed else {
        return Ok(None);
    };
    match still_needed(&planned, record, Some(&observed), &target.rules) {
        Needed::Yes(_) => {
            let grounds = grounds(target, Some(&observed));
            Ok(still_covers(operation, &planned, &grounds).err())
        }
        Needed::No(_) => Ok(None),
        Needed::Refused(reason) => Err(Problem::new(Code::Conflict, reason)),
    }
}

/// Somebody protected the machine after the plan was made.
fn protected(planned: &PlannedAction, target: &Target) -> Option<Problem> {
    let name = &target.name;
    let record = target.record.as_ref();
    let (by, way_out) = match (&target.protected_by, record?.protected.as_ref()) {
        (Some(by), _) => (
            format!("{by} protects {name}"),
            format!("enginehouse edit {by} protect=false --lower-protection"),
        ),
        (None, Some(protected)) => (
            format!("{} protects the machine of {name}", protected.by),
            format!("enginehouse unprotect {name} --lower-protection"),
        ),
        (None, None) => return None,
    };
    let mut problem = Problem::new(
        Code::Conflict,
        format!(
            "{} is {}, and {by} by now",
            planned.request.action.name(),
            planned.class
        ),
    );
    problem.detail.hint = Some(format!(
        "if it really is to go, `{way_out}`, and order it again"
    ));
    Some(problem)
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
