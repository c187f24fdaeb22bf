//! What waits for approval, and the yes and no of people.

use axum::Json;
use enginehouse_api::{
    Approval, ApprovalPage, ApprovalRequest, ApproveRequest, Operation, RefuseRequest, routes,
};
use enginehouse_model::{FullName, OperationId};
use enginehouse_queue::Phase;
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::approvals::{self, Request};
use crate::rest::answer::{Answer, Body, InPath, Params};
use crate::rest::operations::find_operation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    path: Option<FullName>,
    after: Option<OperationId>,
    limit: Option<u32>,
}

pub(crate) async fn list(
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Answer<Json<ApprovalPage>> {
    let limit = query
        .limit
        .unwrap_or(routes::PAGE_DEFAULT)
        .clamp(1, routes::PAGE_MAX) as usize;
    caller.asks_of_each(Permission::Read);
    let state = caller.house().state.lock();
    if let Some(path) = &query.path {
        caller.find(&state, path)?;
    }
    let mut approvals: Vec<Approval> = Vec::new();
    for operation in state.queue.waiting_approval() {
        let spec = &operation.spec;
        if query.after.is_some_and(|after| spec.number <= after) {
            continue;
        }
        let is_below = query.path.as_ref().is_none_or(|above| {
            let name = state.tree.full_name(spec.target);
            name.is_ok_and(|name| name.is_within(above))
        });
        if !is_below || !caller.sees(&state, Some(spec.target), &spec.target_name) {
            continue;
        }
        if approvals.len() == limit {
            let next = approvals.last().map(|last| last.operation);
            return Ok(Json(ApprovalPage { approvals, next }));
        }
        approvals.extend(approvals::shown(&state, operation));
    }
    let next = None;
    Ok(Json(ApprovalPage { approvals, next }))
}

pub(crate) async fn show(
    caller: Caller,
    InPath(number): InPath<u64>,
) -> Answer<Json<ApprovalRequest>> {
    let number = OperationId(number);
    // Whether there is such an operation, and whether the caller may see it.
    find_operation(&caller, number).await?;
    let state = caller.house().state.lock();
    let whole = state.queue.get(number);
    let parts = whole
        .into_iter()
        .flat_map(|operation| operation.all_parts());
    let mut operations: Vec<_> = parts.filter_map(|part| state.queue.get(part)).collect();
    operations.extend(whole.filter(|operation| operation.spec.children.is_empty()));
    operations.sort_by_key(|operation| operation.number());
    operations.retain(|operation| {
        let spec = &operation.spec;
        caller.sees(&state, Some(spec.target), &spec.target_name)
    });
    let not_yet = operations.iter().filter(|operation| match operation.phase {
        Phase::Pending => operation.approval.is_none(),
        Phase::Starting => true,
        _ => false,
    });
    let not_yet = u32::try_from(not_yet.count()).unwrap_or(u32::MAX);
    let units: Vec<(OperationId, Request)> = operations
        .iter()
        .filter(|operation| operation.phase == Phase::WaitingApproval)
        .filter_map(|operation| Some((operation.number(), approvals::request_of(operation)?)))
        .collect();
    let shown = operations
        .iter()
        .filter_map(|operation| approvals::shown(&state, operation))
        .collect();
    Ok(Json(ApprovalRequest {
        text: approvals::text(&units),
        approvals: shown,
        not_yet,
    }))
}

pub(crate) async fn approve(
    caller: Caller,
    InPath(number): InPath<u64>,
    Body(request): Body<ApproveRequest>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    must_approve(&caller, &find_operation(&caller, number).await?)?;
    let given = request.text.as_deref();
    let signed = caller
        .house()
        .transact(|state, staged, now| {
            let signature = &request.signature;
            approvals::sign(state, staged, &caller, number, signature, given, now)?;
            crate::view::of_number(state, number)
        })
        .await?;
    // What was approved may be done by now, and have moved the node out of the caller's sight.
    let now = find_operation(&caller, number).await;
    Ok(Json(now.unwrap_or(signed)))
}

pub(crate) async fn refuse(
    caller: Caller,
    InPath(number): InPath<u64>,
    Body(request): Body<RefuseRequest>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    must_approve(&caller, &find_operation(&caller, number).await?)?;
    caller
        .house()
        .transact(|state, staged, now| {
            approvals::refuse(state, staged, &caller, number, &request.reason, now)
        })
        .await?;
    Ok(Json(find_operation(&caller, number).await?))
}

/// Before anything is said of what waits.
fn must_approve(caller: &Caller, operation: &Operation) -> Result<(), enginehouse_api::Problem> {
    let state = caller.house().state.lock();
    // Of a node that is gone, nothing waits any more: what follows says so.
    match operation.node.filter(|node| state.tree.node(*node).is_ok()) {
        Some(node) => caller.must(&state, node, Permission::Approve),
        None => {
            caller.asks_of_each(Permission::Approve);
            Ok(())
        }
    }
}
