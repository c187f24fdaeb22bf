//! Looks at a machine before something is done to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Code, Machine, MachineRef, Problem};
use enginehouse_engines::{Observer, Occasion};
use enginehouse_model::{HypervisorUid, MachineRecord, Mark, Timestamp};

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

/// Reads the machines on record of many targets, those of one hypervisor together. `None`: there is
/// no machine, on record or on the provider.
pub(crate) async fn read_all(
    targets: &[Target],
    observer: &Arc<dyn Observer>,
) -> Result<Vec<Option<Machine>>, Problem> {
    let mut machines: Vec<Option<Machine>> = vec![None; targets.len()];
    let mut by_hypervisor: BTreeMap<HypervisorUid, Vec<(usize, MachineRef)>> = BTreeMap::new();
    for (at, target) in targets.iter().enumerate() {
        let identity = target.record.as_ref().and_then(|r| r.identity.as_ref());
        if let Some(identity) = identity {
            by_hypervisor
                .entry(target.hypervisor())
                .or_default()
                .push((at, identity.machine_ref()));
        }
    }
    for wanted in by_hypervisor.values() {
        let Some(target) = wanted.first().and_then(|(at, _)| targets.get(*at)) else {
            continue;
        };
        let refs: Vec<MachineRef> = wanted.iter().map(|(_, machine)| machine.clone()).collect();
        let occasion = Occasion::reading(READ_DEADLINE, Arc::clone(observer));
        let found = target
            .engine
            .read(occasion, &target.connection, &refs)
            .await
            .map_err(|error| error.problem())?;
        for ((at, _), machine) in wanted.iter().zip(found) {
            match machine {
                Ok(machine) => machines[*at] = Some(machine),
                Err(problem) if problem.code == Code::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
    }
    Ok(machines)
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
    let same_name = list
        .machines
        .iter()
        .filter(|machine| !machine.template && machine.name.as_deref() == Some(name));
    for machine in same_name {
        // Lists may be without marks; then this one machine is read.
        let machine = match &machine.mark {
            Some(_) => machine.clone(),
            None => {
                let machine_ref = MachineRef {
                    id: machine.id.clone(),
                    kind: machine.kind.clone(),
                    host: machine.host.clone(),
                };
                match read(target, machine_ref, observer).await? {
                    Some(machine) => machine,
                    None => continue,
                }
            }
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
    for machine in list.machines.iter().filter(|machine| !machine.template) {
        let is_named_so = machine.name.as_deref().is_none_or(|named| named == name);
        match &machine.mark {
            Some(mark) if *mark == ours => found.push(machine.clone()),
            Some(_) => {}
            // Lists may be without marks; then those are read that may be it.
            None if is_named_so => {
                let machine_ref = MachineRef {
                    id: machine.id.clone(),
                    kind: machine.kind.clone(),
                    host: machine.host.clone(),
                };
                match read(target, machine_ref, observer).await? {
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
                }
            }
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
