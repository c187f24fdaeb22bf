//! Hypervisors of the tree, and how they are.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use enginehouse_api::{
    CheckRequest, CheckResults, ErrorCode, Hypervisor, HypervisorCheck, HypervisorList, Problem,
};
use enginehouse_engines::{Observer, Silent};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::{Permission, Secrets};
use serde::Deserialize;

use crate::access::Caller;
use crate::house::{Provider, State};
use crate::rest::answer::{Answer, Body, Params};
use crate::work::{Place, check as check_place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    #[serde(default = "FullName::root")]
    path: FullName,
}

pub(crate) async fn list(
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Answer<Json<HypervisorList>> {
    let state = caller.house().state.lock();
    let ways = on_the_way(&caller, &state, &query.path)?;
    let hypervisors = state
        .tree
        .hypervisors()
        .into_iter()
        .filter(|hypervisor| concerns(hypervisor.origin.full_name(), &query.path))
        .filter(|hypervisor| shows(&caller, &state, &ways, hypervisor.origin.full_name()))
        .map(|hypervisor| {
            let machines = state
                .records
                .values()
                .filter(|record| record.hypervisor == hypervisor.uid && record.identity.is_some())
                .filter(|record| caller.may(&state, record.node, Permission::Read))
                .count();
            Hypervisor {
                uid: hypervisor.uid,
                name: hypervisor.name.clone(),
                defined_at: hypervisor.origin.full_name().clone(),
                engine: hypervisor
                    .entry
                    .kind
                    .as_ref()
                    .map(|kind| kind.0.to_string())
                    .unwrap_or_default(),
                host: hypervisor
                    .entry
                    .host
                    .as_ref()
                    .map(std::string::ToString::to_string)
                    .unwrap_or_default(),
                from: if hypervisor.origin.full_name().is_root() {
                    let entry = hypervisor.entry.json(Secrets::Shown);
                    state.defaults.sources(&hypervisor.name, &entry)
                } else {
                    Vec::new()
                },
                machines: machines as u64,
                inventory: crate::rest::inventory::state_of(caller.house(), hypervisor.uid),
                last_check: state.providers.get(&hypervisor.uid).map(|provider| {
                    view(&hypervisor.name, hypervisor.origin.full_name(), provider)
                }),
            }
        })
        .collect();
    Ok(Json(HypervisorList { hypervisors }))
}

/// The folders that lead to what the caller may read, when it may ask about this one.
pub(crate) fn on_the_way(
    caller: &Caller,
    state: &State,
    path: &FullName,
) -> Result<HashSet<NodeUid>, Problem> {
    let ways = caller.ways(state);
    match state.tree.find(path) {
        Ok(node) if ways.contains(&node) => {}
        Ok(_) | Err(_) => {
            caller.find(state, path)?;
        }
    }
    Ok(ways)
}

/// Whether an entry is defined where the caller may read, or is inherited by what it may read.
pub(crate) fn shows(
    caller: &Caller,
    state: &State,
    ways: &HashSet<NodeUid>,
    defined_at: &FullName,
) -> bool {
    let node = state.tree.find(defined_at);
    node.is_ok_and(|node| ways.contains(&node) || caller.may(state, node, Permission::Read))
}

/// Entries at or below a path, and those above that it inherits.
pub(crate) fn concerns(defined_at: &FullName, path: &FullName) -> bool {
    defined_at.is_within(path) || path.is_within(defined_at)
}

fn view(name: &str, defined_at: &FullName, provider: &Provider) -> HypervisorCheck {
    HypervisorCheck {
        name: name.to_owned(),
        defined_at: defined_at.clone(),
        at: provider.checked_at,
        took_ms: provider.took_ms,
        health: provider.health.clone(),
        problem: provider.problem.as_ref().map(crate::problem::of_operation),
    }
}

/// Those that hold for a path, of this name or all, each with the node that defines it.
///
/// # Errors
/// `not-found` when there is none of that name.
pub(crate) fn named(
    state: &State,
    path: &FullName,
    name: Option<&str>,
) -> Result<Vec<(Place, FullName)>, Problem> {
    let mut all = state.tree.hypervisors();
    all.retain(|hypervisor| concerns(hypervisor.origin.full_name(), path));
    let wanted = all
        .iter()
        .filter(|hypervisor| name.is_none_or(|name| name == hypervisor.name));
    let places: Vec<_> = wanted
        .map(|hypervisor| (Place::of(hypervisor), hypervisor.origin.full_name().clone()))
        .collect();
    match name {
        Some(name) if places.is_empty() => {
            let known = all.iter().map(|one| one.name.as_str()).collect();
            Err(no_such(name, path, known))
        }
        Some(_) | None => Ok(places),
    }
}

pub(crate) fn no_such(name: &str, path: &FullName, known: Vec<&str>) -> Problem {
    let problem = Problem::new(
        ErrorCode::NotFound,
        format!("there is no hypervisor `{name}` at {path}"),
    );
    problem.with_hint(match known.as_slice() {
        [] => "define one under `hypervisors` of a folder".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    })
}

pub(crate) async fn check(
    caller: Caller,
    Body(request): Body<CheckRequest>,
) -> Answer<Json<CheckResults>> {
    let places = {
        let state = caller.house().state.lock();
        let node = caller.find(&state, &request.path)?;
        caller.must(&state, node, Permission::Operate)?;
        named(&state, &request.path, request.name.as_deref())?
    };
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let asked = places.into_iter().map(|(place, defined_at)| {
        let (house, observer) = (Arc::clone(caller.house()), Arc::clone(&observer));
        async move {
            let began = std::time::Instant::now();
            let result = match place.reach(&house) {
                Ok((engine, connection)) => {
                    check_place(&house, &engine, &connection, &observer).await
                }
                Err(problem) => Err(problem),
            };
            let (health, problem) = match result {
                Ok(health) => (Some(health), None),
                Err(problem) => (None, Some(crate::problem::of_operation(&problem))),
            };
            HypervisorCheck {
                name: place.name,
                defined_at,
                at: house.now(),
                took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                health,
                problem,
            }
        }
    });
    let checks = futures_util::future::join_all(asked).await;
    Ok(Json(CheckResults { checks }))
}
