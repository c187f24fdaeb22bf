//! Machines that are missing: a person says so, or links one that has turned up again.

use axum::Json;
use enginehouse_api::{ErrorCode, LinkRequest, MissingNodeRequest, Problem, Relinked};
use enginehouse_tree::Permission;

use crate::access::Caller;
use crate::rest::answer::{Answer, Body};

pub(crate) async fn missing(
    caller: Caller,
    Body(request): Body<MissingNodeRequest>,
) -> Answer<Json<Relinked>> {
    let who = caller.who().to_owned();
    let path = request.path;
    caller
        .house()
        .transact(|state, staged, now| {
            let node = caller.find(state, &path)?;
            caller.must(state, node, Permission::Operate)?;
            if !request.confirm {
                return Err(Problem::new(
                    ErrorCode::NeedsConfirmation,
                    format!("the machine of {path} would be off the record, and nothing looks after it any more"),
                )
                .with_hint("where it is gone for good, confirm it with `confirm` (command line: --confirm)"));
            }
            crate::inventory::said_missing(state, staged, node, &path, &who, now)
        })
        .await?;
    Ok(Json(state_of(&caller, &path)?))
}

pub(crate) async fn link(
    caller: Caller,
    Body(request): Body<LinkRequest>,
) -> Answer<Json<Relinked>> {
    let path = request.path;
    let node = {
        let state = caller.house().state.lock();
        let node = caller.find(&state, &path)?;
        caller.must(&state, node, Permission::Operate)?;
        node
    };
    crate::inventory::link(caller.house(), node, &path, caller.who()).await?;
    Ok(Json(state_of(&caller, &path)?))
}

fn state_of(caller: &Caller, path: &enginehouse_model::FullName) -> Result<Relinked, Problem> {
    let state = caller.house().state.lock();
    let node = caller.find(&state, path)?;
    let body = state.tree.descriptor(node);
    let body = body.map_err(|error| crate::problem::of_lookup(&error))?;
    let record = state.record_of(node);
    Ok(Relinked {
        path: path.clone(),
        status: crate::rest::status(body.status),
        machine_id: record.and_then(|record| Some(record.identity.as_ref()?.machine_id.clone())),
    })
}
