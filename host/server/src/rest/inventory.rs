//! The machines of hypervisors: looked at now, and as they were seen.

use std::sync::Arc;

use axum::Json;
use enginehouse_api::routes::{PAGE_DEFAULT, PAGE_MAX};
use enginehouse_api::{
    AbsentMachine, ErrorCode, FoundMachine, HypervisorRefresh, InventoryState, MachinePage,
    MissingRequest, Problem, Reading, RefreshRequest, RefreshResults,
};
use enginehouse_audit::Action;
use enginehouse_model::{FullName, HypervisorUid, NodeUid, Timestamp};
use enginehouse_reconcile::inventory::{Entry, List};
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::audit::Note;
use crate::house::{House, State};
use crate::inventory::{Depth, Kept, Records, Round, round};
use crate::rest::answer::{Answer, Body, Params};
use crate::rest::hypervisors::{concerns, named, shows};
use crate::work::Place;

pub(crate) async fn refresh(
    caller: Caller,
    Body(request): Body<RefreshRequest>,
) -> Answer<Json<RefreshResults>> {
    let places = {
        let state = caller.house().state.lock();
        let node = caller.find(&state, &request.path)?;
        caller.must(&state, node, Permission::Operate)?;
        if state.hold.is_some() {
            let problem = Problem::new(
                ErrorCode::Conflict,
                "the host is on hold after a restore and looks at nothing",
            );
            return Err(problem
                .with_hint("`enginehouse resume` ends the hold")
                .into());
        }
        named(&state, &request.path, request.name.as_deref())?
    };
    let depth = match request.full {
        true => Depth::Everything,
        false => Depth::Urgent,
    };
    let looks = places.into_iter().map(|(place, defined_at)| {
        let house = Arc::clone(caller.house());
        async move { look(&house, &place, defined_at, depth).await }
    });
    let hypervisors = futures_util::future::join_all(looks).await;
    Ok(Json(RefreshResults { hypervisors }))
}

async fn look(
    house: &Arc<House>,
    place: &Place,
    defined_at: FullName,
    depth: Depth,
) -> HypervisorRefresh {
    let began = std::time::Instant::now();
    let result = round(house, place, house.now(), depth).await;
    let problem = result.as_ref().err().map(crate::problem::of_operation);
    let Round {
        new,
        changed,
        gone,
        reads,
    } = result.unwrap_or_default();
    HypervisorRefresh {
        uid: place.uid,
        name: place.name.clone(),
        defined_at,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        new: new as u64,
        changed: changed as u64,
        gone: gone as u64,
        read: reads.read as u64,
        failed: reads.failed as u64,
        inventory: state_of(house, place.uid),
        problem,
    }
}

pub(crate) async fn missing(
    caller: Caller,
    Body(request): Body<MissingRequest>,
) -> Answer<Json<HypervisorRefresh>> {
    let house = caller.house();
    let (place, defined_at) = {
        let state = house.state.lock();
        caller.find(&state, &request.path)?;
        let (place, defined_at) = the_one(&caller, &state, &request.name, &request.path)?;
        let node = state
            .tree
            .find(&defined_at)
            .map_err(|error| crate::problem::of_lookup(&error))?;
        caller.must(&state, node, Permission::Govern)?;
        (place, defined_at)
    };
    let agreed = house
        .transact(|state, staged, _| {
            let agreed = house.inventories.with(place.uid, |kept| {
                for absence in kept.absences.of.values_mut() {
                    absence.agreed = true;
                }
                kept.absences.of.len()
            });
            let node = state.tree.find(&defined_at).ok();
            let note = Note::new(Action::Missing, caller.who())
                .about(node, &defined_at)
                .with("hypervisor", &place.name)
                .with("machines", agreed);
            staged.audit.push(note);
            Ok(agreed)
        })
        .await?;
    tracing::warn!(by = caller.who(), hypervisor = %place.name, machines = agreed, "agreed that machines may be gone");
    Ok(Json(look(house, &place, defined_at, Depth::Urgent).await))
}

/// What is known of a hypervisor's machines as a whole.
pub(crate) fn state_of(house: &House, hypervisor: HypervisorUid) -> InventoryState {
    house.inventories.with(hypervisor, |kept| summary(kept))
}

fn summary(kept: &Kept) -> InventoryState {
    let (read, oldest_read_at) = kept.full_reads();
    let list = kept.list();
    InventoryState {
        listed_at: list.map(|list| list.began_at),
        machines: list.map_or(0, |list| list.entries().len() as u64),
        gaps: list.map_or_else(Vec::new, |list| list.coverage.gaps.clone()),
        read: read as u64,
        oldest_read_at,
        reading: kept.reading.map(|(done, of)| Reading {
            done: done as u64,
            of: of as u64,
        }),
        absent: kept.absences.of.len() as u64,
        held: kept.absences.held.is_some(),
        problem: (kept.problem.as_ref()).map(|(_, problem)| crate::problem::of_operation(problem)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachinesQuery {
    name: String,
    #[serde(default = "FullName::root")]
    path: FullName,
    after: Option<String>,
    limit: Option<u32>,
}

pub(crate) async fn machines(
    caller: Caller,
    Params(query): Params<MachinesQuery>,
) -> Answer<Json<MachinePage>> {
    let house = caller.house();
    let state = house.state.lock();
    let (place, defined_at) = the_one(&caller, &state, &query.name, &query.path)?;
    let reads_all =
        (state.tree.find(&defined_at)).is_ok_and(|node| caller.may(&state, node, Permission::Read));
    let records = Records::of(&state, house.installation, place.uid);
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX) as usize;
    let after = query.after.as_deref();
    let page = house.inventories.with(place.uid, |kept| {
        let list = kept.list().cloned();
        let entries = list.iter().flat_map(|list| list.entries());
        let mut found: Vec<FoundMachine> = entries
            .filter(|entry| after.is_none_or(|after| &*entry.shown.id > after))
            .filter_map(|entry| {
                let list = list.as_ref()?;
                let (node, found) = found(&records, &state, kept, list, entry);
                let may = |node| caller.may(&state, node, Permission::Read);
                (reads_all || node.is_some_and(may)).then_some(found)
            })
            .take(limit + 1)
            .collect();
        let more = found.len() > limit;
        found.truncate(limit);
        let mut absent = Vec::new();
        if after.is_none() {
            for (machine, absence) in &kept.absences.of {
                let Some(record) = state.records.get(machine) else {
                    continue;
                };
                let id = record.identity.as_ref().map(|id| id.machine_id.clone());
                if let (Some(id), Ok(path)) = (id, state.tree.full_name(record.node))
                    && (reads_all || caller.may(&state, record.node, Permission::Read))
                {
                    absent.push(AbsentMachine {
                        path: path.clone(),
                        id,
                        since: absence.since,
                        lists: absence.lists,
                        agreed: absence.agreed,
                    });
                }
            }
            absent.sort_by(|a, b| a.path.cmp(&b.path));
        }
        let next = found.last().filter(|_| more).map(|last| last.id.clone());
        MachinePage {
            uid: place.uid,
            name: place.name,
            defined_at,
            inventory: summary(kept),
            machines: found,
            absent,
            next,
        }
    });
    Ok(Json(page))
}

/// The one hypervisor of that name that the caller may see there.
fn the_one(
    caller: &Caller,
    state: &State,
    name: &str,
    path: &FullName,
) -> Result<(Place, FullName), Problem> {
    let ways = crate::rest::hypervisors::on_the_way(caller, state, path)?;
    let seen = state.tree.hypervisors().into_iter().filter(|hypervisor| {
        let defined_at = hypervisor.origin.full_name();
        concerns(defined_at, path) && shows(caller, state, &ways, defined_at)
    });
    let seen: Vec<_> = seen.collect();
    let mut named = seen.iter().filter(|one| one.name == name);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok((Place::of(one), one.origin.full_name().clone())),
        (None, _) => {
            let names = seen.iter().map(|one| one.name.as_str()).collect();
            Err(crate::rest::hypervisors::no_such(name, path, names))
        }
        (Some(first), Some(second)) => Err(Problem::new(
            ErrorCode::BadRequest,
            format!(
                "hypervisors named `{}` are defined at {} and {}",
                name,
                first.origin.full_name(),
                second.origin.full_name()
            ),
        )
        .with_hint("say which with `--path`, the folder that defines it")),
    }
}

/// A machine, and the descriptor whose it is.
fn found(
    records: &Records<'_>,
    state: &State,
    kept: &Kept,
    list: &List,
    entry: &Entry,
) -> (Option<NodeUid>, FoundMachine) {
    let id = &*entry.shown.id;
    let seen = kept.observation(id, Timestamp(0), 0);
    let machine = seen.map_or_else(|| entry.shown.machine(), |seen| seen.machine);
    let (whose, record, contradiction) = records.whose(state, &machine);
    let unseen =
        (!list.is_shown(entry)).then(|| "the newest list could not look where it was".to_owned());
    let refused = kept.refused(id).map(|refused| {
        format!(
            "not read: {}: {}",
            refused.problem.code.as_str(),
            refused.problem.message
        )
    });
    let found = FoundMachine {
        id: machine.id,
        kind: machine.kind,
        name: machine.name,
        power: machine.power,
        host: machine.host,
        whose,
        path: record.and_then(|record| state.tree.full_name(record.node).ok().cloned()),
        listed_at: entry.at,
        read_at: kept.read(id).map(|read| read.at),
        problem: contradiction.or(unseen).or(refused),
    };
    (record.map(|record| record.node), found)
}
