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
                last_check: state.providers.get(&hypervisor.uid).map(|provider| {
                    view(&hypervisor.name, hypervisor.origin.full_name(), provider)
                }),
            }
        })
        .collect();
    Ok(Json(HypervisorList { hypervisors }))
}

/// The folders that lead to what the caller may read, when it may ask about this one.
fn on_the_way(
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
fn shows(caller: &Caller, state: &State, ways: &HashSet<NodeUid>, defined_at: &FullName) -> bool {
    let node = state.tree.find(defined_at);
    node.is_ok_and(|node| ways.contains(&node) || caller.may(state, node, Permission::Read))
}

/// Entries at or below a path, and those above that it inherits.
fn concerns(defined_at: &FullName, path: &FullName) -> bool {
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

pub(crate) async fn check(
    caller: Caller,
    Body(request): Body<CheckRequest>,
) -> Answer<Json<CheckResults>> {
    let places: Vec<(Place, FullName)> = {
        let state = caller.house().state.lock();
        let node = caller.find(&state, &request.path)?;
        caller.must(&state, node, Permission::Operate)?;
        let all: Vec<_> = state.tree.hypervisors();
        let known: Vec<String> = all
            .iter()
            .filter(|hypervisor| concerns(hypervisor.origin.full_name(), &request.path))
            .map(|hypervisor| hypervisor.name.clone())
            .collect();
        let places: Vec<_> = all
            .into_iter()
            .filter(|hypervisor| concerns(hypervisor.origin.full_name(), &request.path))
            .filter(|hypervisor| {
                request
                    .name
                    .as_ref()
                    .is_none_or(|name| *name == hypervisor.name)
            })
            .map(|hypervisor| (Place::of(hypervisor), hypervisor.origin.full_name().clone()))
            .collect();
        if let (Some(name), true) = (&request.name, places.is_empty()) {
            let problem = Problem::new(
                ErrorCode::NotFound,
                format!("there is no hypervisor `{name}` at {}", request.path),
            );
            let hint = match known.as_slice() {
                [] => "define one under `hypervisors` of a folder".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            };
            return Err(problem.with_hint(hint).into());
        }
        places
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
