//! Machines that have drifted, and pauses of what would be done about it.

use axum::Json;
use enginehouse_api::routes::{PAGE_DEFAULT, PAGE_MAX};
use enginehouse_api::{DriftPage, DriftedMachine, ErrorCode, PauseRequest, PauseState, Problem};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::continuous::{Pause, drift_of, drifted_below};
use crate::house::State;
use crate::rest::answer::{Answer, Body, Params};

/// Characters of a reason.
const REASON_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriftQuery {
    #[serde(default = "FullName::root")]
    path: FullName,
    after: Option<FullName>,
    limit: Option<u32>,
}

pub(crate) async fn page(
    caller: Caller,
    Params(query): Params<DriftQuery>,
) -> Answer<Json<DriftPage>> {
    let house = caller.house();
    let state = house.state.lock();
    caller.asks_of_each(Permission::Read);
    // Who reads only something below sees that.
    let node = match state.tree.find(&query.path) {
        Ok(node) if caller.ways(&state).contains(&node) => node,
        Ok(_) | Err(_) => caller.find(&state, &query.path)?,
    };
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX) as usize;
    let mut found: Vec<(FullName, NodeUid)> = drifted_below(&state, node)
        .into_iter()
        .filter(|node| caller.may(&state, *node, Permission::Read))
        .filter_map(|node| Some((state.tree.full_name(node).ok()?.clone(), node)))
        .filter(|(path, _)| query.after.as_ref().is_none_or(|after| path > after))
        .collect();
    found.sort();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(path, _)| path.clone());
    let machines = found.into_iter().map(|(path, node)| DriftedMachine {
        node,
        path,
        drift: drift_of(house, &state, node),
    });
    Ok(Json(DriftPage {
        machines: machines.collect(),
        next,
    }))
}

pub(crate) async fn pause(
    caller: Caller,
    Body(request): Body<PauseRequest>,
) -> Answer<Json<PauseState>> {
    let reason = request.reason.as_deref().map(str::trim);
    let reason = reason.filter(|reason| !reason.is_empty());
    let is_wrong =
        |reason: &str| reason.chars().count() > REASON_MAX || reason.contains(char::is_control);
    if reason.is_some_and(is_wrong) {
        let problem = Problem::new(
            ErrorCode::BadRequest,
            format!("a reason is one line of at most {REASON_MAX} characters"),
        );
        return Err(problem.with_hint("say it shorter").into());
    }
    let who = caller.who().to_owned();
    let reason = reason.map(str::to_owned);
    caller
        .house()
        .transact(|state, staged, now| {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)?;
            let pause = Pause {
                since: now,
                by: who,
                reason,
            };
            crate::continuous::pause(state, staged, node, &request.path, pause);
            Ok(())
        })
        .await?;
    now(&caller, request.path)
}

pub(crate) async fn resume(
    caller: Caller,
    Body(request): Body<PauseRequest>,
) -> Answer<Json<PauseState>> {
    let who = caller.who().to_owned();
    caller
        .house()
        .transact(|state, staged, _| {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)?;
            if crate::continuous::resume(state, staged, node, &request.path, &who) {
                return Ok(());
            }
            Err(not_paused(state, node, &request.path))
        })
        .await?;
    now(&caller, request.path)
}

/// It may be a folder above that is paused.
fn not_paused(state: &State, node: NodeUid, path: &FullName) -> Problem {
    let above = state.pauses.of(&state.tree, node);
    let above = above.and_then(|pause| state.tree.full_name(pause.at).ok());
    match above {
        Some(above) => Problem::new(
            ErrorCode::WrongState,
            format!("{path} is paused because {above} is"),
        )
        .with_hint(format!("`enginehouse resume {above}`")),
        None => Problem::new(ErrorCode::WrongState, format!("{path} is not paused"))
            .with_hint("`enginehouse tree` shows what is"),
    }
}

fn now(caller: &Caller, path: FullName) -> Answer<Json<PauseState>> {
    let state = caller.house().state.lock();
    let node = caller.find(&state, &path)?;
    let pause = state.pauses.of(&state.tree, node);
    let paused = pause.and_then(|pause| pause.view(&state.tree));
    Ok(Json(PauseState { path, paused }))
}
