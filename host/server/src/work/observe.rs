//! Looks at a machine before something is done to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Code, Machine, MachineRef, Problem};
use enginehouse_engines::{Observer, Occasion};
use enginehouse_model::{HypervisorUid, MachineRecord, Mark, Timestamp};
use enginehouse_reconcile::inventory::{List, Observation, Shown};

use crate::house::House;
use crate::work::Target;

/// Time for `read`.
const READ_DEADLINE: Duration = Duration::from_secs(120);

/// Reads one machine. `None`: the provider says that it is not there.
pub(crate) async fn read(
    target: &Target,
    machine: MachineRef,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Machine>, Problem> {
    let occasion = Occasion::reading(READ_DEADLINE, Arc::clone(observer));
    let mut found = target
        .engine
        .read(occasion, &target.connection, std::slice::from_ref(&machine))
        .await
        .map_err(|error| error.problem())?;
    match found.pop() {
        Some(Ok(machine)) => Ok(Some(machine)),
        Some(Err(problem)) if problem.code == Code::NotFound => Ok(None),
        Some(Err(problem)) => Err(problem),
        None => Err(Problem::new(
            Code::Provider,
            "the engine answered nothing about the machine",
        )),
    }
}

/// What a plan may rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What was read in full within `observe.full_s`, under a list that is made now.
    Kept,
    /// Each machine is read.
    Now,
}

/// A machine as a plan sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// `None`: there is no machine, on record or on the provider.
    pub machine: Option<Machine>,
    /// When it was read in full, where that was before the plan was asked for.
    pub kept_since: Option<Timestamp>,
}

/// Machines of one hypervisor that are read rather than taken from a list: it would show no more of
/// them and cost as much.
const FEW: usize = 3;

/// Looks at the machines on record of many targets, those of one hypervisor together.
pub(crate) async fn see_all(
    house: &Arc<House>,
    targets: &[Target],
    freshness: Freshness,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<Seen>, Problem> {
    let mut seen: Vec<Seen> = vec![Seen::default(); targets.len()];
    let mut by_hypervisor: BTreeMap<HypervisorUid, Vec<OnRecord>> = BTreeMap::new();
    for (at, target) in targets.iter().enumerate() {
        if let Some(record) = &target.record
            && let Some(identity) = &record.identity
        {
            let on_record = OnRecord {
                at,
                machine: identity.machine_ref(),
                since: record.last_step_ended,
            };
            let machines = by_hypervisor.entry(target.hypervisor()).or_default();
            machines.push(on_record);
        }
    }
    for wanted in by_hypervisor.values() {
        let Some(target) = wanted.first().and_then(|one| targets.get(one.at)) else {
            continue;
        };
        let unseen = match freshness {
            Freshness::Kept if wanted.len() > FEW => {
                take_kept(house, target, wanted, &mut seen, observer).await
            }
            Freshness::Kept | Freshness::Now => wanted.iter().collect(),
        };
        read_now(house, target, &unseen, &mut seen, observer).await?;
    }
    Ok(seen)
}

/// A machine that is on record.
struct OnRecord {
    /// Its place among the targets.
    at: usize,
    machine: MachineRef,
    /// What began before does not count.
    since: Timestamp,
}

/// Fills in what is kept of machines, under a list that is made now; returns those of which too little
/// is known.
async fn take_kept<'a>(
    house: &Arc<House>,
    target: &Target,
    wanted: &'a [OnRecord],
    seen: &mut [Seen],
    observer: &Arc<dyn Observer>,
) -> Vec<&'a OnRecord> {
    let now = house.now();
    let (engine, connection) = (&target.engine, &target.connection);
    let inventories = &house.inventories;
    let list = inventories.since(now, engine, connection, &house.clock, observer);
    if list.await.is_err() {
        // Whoever reads them finds out what it is.
        return wanted.iter().collect();
    }
    let oldest = Timestamp(now.0.saturating_sub(target.observed_full_ms));
    let lag_ms = engine.description().visibility_lag_ms;
    let mut unseen = Vec::new();
    for one in wanted {
        let since = one.since.max(oldest);
        let kept = inventories.observation(target.hypervisor(), &one.machine.id, since, lag_ms);
        match (kept.filter(Observation::is_whole), seen.get_mut(one.at)) {
            (Some(kept), Some(slot)) => {
                *slot = Seen {
                    kept_since: kept.read_at,
                    machine: Some(kept.machine),
                };
            }
            _ => unseen.push(one),
        }
    }
    unseen
}

/// Reads machines of one hypervisor, and keeps what is seen.
async fn read_now(
    house: &Arc<House>,
    target: &Target,
    wanted: &[&OnRecord],
    seen: &mut [Seen],
    observer: &Arc<dyn Observer>,
) -> Result<(), Problem> {
    let refs: Vec<MachineRef> = wanted.iter().map(|one| one.machine.clone()).collect();
    if refs.is_empty() {
        return Ok(());
    }
    let occasion = Occasion::reading(READ_DEADLINE, Arc::clone(observer));
    let began_at = house.now();
    let found = target
        .engine
        .read(occasion, &target.connection, &refs)
        .await
        .map_err(|error| error.problem())?;
    for (one, machine) in wanted.iter().zip(found) {
        match machine {
            Ok(machine) => {
                let inventories = &house.inventories;
                inventories.with(target.hypervisor(), |kept| {
                    kept.take_read(&one.machine.id, began_at, &machine);
                });
                if let Some(slot) = seen.get_mut(one.at) {
                    slot.machine = Some(machine);
                }
            }
            Err(problem) if problem.code == Code::NotFound => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}

/// What is in the way of a new machine, or already there of it.
pub(crate) enum Room {
    Free,
    /// A machine that carries a mark of ours for this descriptor.
    Ours(Machine, Mark),
}

/// Since when a list says what an operation finds: since it was queued, and since what came before it in
/// its lane has ended.
fn shown_since(house: &House, target: &Target, queued_at: Timestamp) -> Timestamp {
    let state = house.state.lock();
    let before = state.tree.descriptor(target.node).ok();
    let before = before.and_then(|body| Some(body.last_operation.as_ref()?.when));
    before.map_or(queued_at, |ended| ended.max(queued_at))
}

/// Is there room for a machine of this name? Looks at a list that is no older than [`shown_since`]; one
/// list serves all that wait.
///
/// # Errors
/// `conflict` when a machine of that name is there that is not ours.
pub(crate) async fn room(
    house: &Arc<House>,
    target: &Target,
    queued_at: Timestamp,
    observer: &Arc<dyn Observer>,
) -> Result<Room, Problem> {
    let list = house
        .inventories
        .since(
            shown_since(house, target, queued_at),
            &target.engine,
            &target.connection,
            &house.clock,
            observer,
        )
        .await?;
    let name = target.desired.name.as_deref().unwrap_or(target.name.name());
    for machine in named(&list, name) {
        // Lists may be without marks; then this one machine is read.
        let machine = match &machine.mark {
            Some(_) => machine.machine(),
            None => match read(target, machine.machine_ref(), observer).await? {
                Some(machine) => machine,
                None => continue,
            },
        };
        let mark = machine
            .mark
            .as_deref()
            .and_then(|mark| mark.parse::<Mark>().ok())
            .filter(|mark| mark.installation == house.installation);
        let record = target.record.as_ref().map(|record| record.uid);
        return match mark {
            Some(mark) if Some(mark.machine) == record => Ok(Room::Ours(machine, mark)),
            _ => Err(taken(target, name, &machine)),
        };
    }
    Ok(Room::Free)
}

/// Whether there is room for a machine that is made in the place of the one on record.
///
/// # Errors
/// `conflict` when another of that name is there.
pub(crate) async fn room_beside(
    house: &Arc<House>,
    target: &Target,
    queued_at: Timestamp,
    observer: &Arc<dyn Observer>,
) -> Result<(), Problem> {
    let list = house
        .inventories
        .since(
            shown_since(house, target, queued_at),
            &target.engine,
            &target.connection,
            &house.clock,
            observer,
        )
        .await?;
    let record = target.record.as_ref();
    let own = record.and_then(|record| record.identity.as_ref());
    let name = target.desired.name.as_deref().unwrap_or(target.name.name());
    let mut others = named(&list, name)
        .filter(|machine| own.is_none_or(|identity| *machine.id != *identity.machine_id));
    match others.next() {
        Some(other) => Err(taken(target, name, &other.machine())),
        None => Ok(()),
    }
}

/// The machines of a list that have this name.
fn named<'l>(list: &'l List, name: &'l str) -> impl Iterator<Item = &'l Shown> {
    list.shown()
        .filter(move |machine| !machine.template && machine.name.as_deref() == Some(name))
}

/// The machine that an unfinished creation may have made, whose id is not on record: found by its mark, in
/// a list that is no older than [`shown_since`].
///
/// # Errors
/// `busy` while one of its name does not show its mark; `conflict` when several carry it: a copy by hand
/// carries it, too.
pub(crate) async fn begun(
    house: &Arc<House>,
    target: &Target,
    record: &MachineRecord,
    queued_at: Timestamp,
    observer: &Arc<dyn Observer>,
) -> Result<Option<Machine>, Problem> {
    let inventories = &house.inventories;
    let (engine, connection) = (&target.engine, &target.connection);
    let since = shown_since(house, target, queued_at);
    let list = inventories
        .since(since, engine, connection, &house.clock, observer)
        .await?;
    let ours = record.mark.to_string();
    let name = target.desired.name.as_deref().unwrap_or(target.name.name());
    let mut found: Vec<Machine> = Vec::new();
    for machine in list.shown().filter(|machine| !machine.template) {
        let is_named_so = machine.name.as_deref().is_none_or(|named| named == name);
        match &machine.mark {
            Some(mark) if **mark == *ours => found.push(machine.machine()),
            Some(_) => {}
            // Lists may be without marks; then those are read that may be it.
            None if is_named_so => match read(target, machine.machine_ref(), observer).await? {
                Some(seen) if seen.mark.as_deref() == Some(&*ours) => found.push(seen),
                Some(seen) if seen.mark.is_none() => {
                    return Err(Problem::new(
                        Code::Busy,
                        format!(
                            "machine {} may be the one, and does not show its mark yet",
                            machine.id
                        ),
                    ));
                }
                Some(_) | None => {}
            },
            None => {}
        }
    }
    if let [first, second, ..] = found.as_slice() {
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "machines {} and {} both carry the mark of {}: it cannot be known which was made for it",
                first.id, second.id, target.name
            ),
        ));
    }
    Ok(found.pop())
}

fn taken(target: &Target, name: &str, machine: &Machine) -> Problem {
    let mut problem = Problem::new(
        Code::Conflict,
        format!(
            "a machine named `{name}` is already on {}, with id {}, and it was not made for {}",
            target.hypervisor_name, machine.id, target.name
        ),
    );
    problem.detail.hint =
        Some("rename or remove that machine, or provision under another name".to_owned());
    problem
}
