//! Operations: order, read, wait, cancel, resolve.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enginehouse_api::{
    ErrorCode, Operation, OperationPage, OperationRequest, OperationState, Problem, routes,
};
use enginehouse_audit::Action;
use enginehouse_model::{FullName, OperationId};
use enginehouse_queue::{Event, Phase};
use enginehouse_store::{OperationFilter, PageCursor, StoredOperation};
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::audit::Note;
use crate::idempotency::{OrderKey, Taken, replayed};
use crate::orders::accept;
use crate::rest::answer::{Answer, Body, InPath, Params};

/// Rows that a list reads at a time.
const SCAN_PAGE: u32 = 200;

/// A list looks at no more rows than this for one answer: who may see few of very many operations
/// gets a short page, and where to go on.
const SCAN_MAX: u32 = 20_000;

pub(crate) async fn order(
    caller: Caller,
    headers: HeaderMap,
    Body(request): Body<OperationRequest>,
) -> Answer<Response> {
    let if_match = if_match(&headers)?;
    let key = OrderKey::of(&caller, &headers, "POST /v1/operations", &request)?;
    let taken = accept(&caller, request, if_match, key).await?;
    ordered(&caller, taken, Permission::Operate).await
}

/// The answer to an order.
pub(super) async fn ordered(
    caller: &Caller,
    taken: Taken<Operation>,
    permission: Permission,
) -> Answer<Response> {
    let (operation, again) = match taken {
        Taken::New(operation) => (operation, false),
        Taken::Before(before) => (replayed(caller, before, permission).await?, true),
    };
    let status = status_of(&operation);
    let mut answer = (status, Json(operation)).into_response();
    if again {
        say_replayed(&mut answer);
    }
    Ok(answer)
}

/// 200: it is over; 202: it goes on.
pub(super) fn status_of(operation: &Operation) -> StatusCode {
    if operation.state.has_ended() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

pub(super) fn say_replayed(answer: &mut Response) {
    let name = HeaderName::from_static(routes::IDEMPOTENT_REPLAYED);
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static("true"));
}

fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .map(|text| text.trim().trim_matches('"'))
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Problem::new(
                ErrorCode::BadRequest,
                "`If-Match` is no revision: send the node's ETag, as in \"3\"",
            )
        })
}

fn missing(number: OperationId) -> Problem {
    Problem::new(
        ErrorCode::NotFound,
        format!("there is no operation {number}"),
    )
    .with_hint("see `enginehouse ops list`")
}

pub(crate) fn unreadable(error: &dyn std::error::Error) -> Problem {
    Problem::new(ErrorCode::Internal, crate::problem::with_sources(error))
}

/// The operation, from memory while it lives, from the store afterwards.
pub(crate) async fn find_operation(
    caller: &Caller,
    number: OperationId,
) -> Result<Operation, Problem> {
    let house = caller.house();
    {
        let state = house.state.lock();
        if let Some(operation) = state.queue.get(number) {
            let spec = &operation.spec;
            if !caller.sees(&state, Some(spec.target), &spec.target_name) {
                return Err(missing(number));
            }
            return Ok(crate::view::operation(&state, operation, true));
        }
    }
    let mut stored = stored(caller, number).await?;
    if stored.ended_at.is_none() {
        // It ended since it was looked for, and the commit of its end is on its way.
        let fence = house.state.lock().fence;
        house.settled(fence).await?;
        stored = self::stored(caller, number).await?;
    }
    let operation: Operation = stored.document.read().map_err(|error| unreadable(&error))?;
    if !caller.sees(&house.state.lock(), operation.node, &operation.path) {
        return Err(missing(number));
    }
    Ok(operation)
}

async fn stored(caller: &Caller, number: OperationId) -> Result<StoredOperation, Problem> {
    let stored = caller.house().store.operation(number).await;
    match stored.map_err(|error| unreadable(&error))? {
        Some(stored) => Ok(stored),
        None => Err(absent(caller, number).await?),
    }
}

/// Why there is no such operation: it never was, or it is no longer kept. Only who could have seen it is
/// told that.
async fn absent(caller: &Caller, number: OperationId) -> Result<Problem, Problem> {
    let house = caller.house();
    let was_given = (1..=house.state.lock().last_operation.0).contains(&number.0);
    if !was_given {
        return Ok(missing(number));
    }
    let line = house.store.executed_of(number).await;
    let line = line.map_err(|error| unreadable(&error))?;
    let state = house.state.lock();
    let Some(entry) = line else {
        // What it was about is not known any more.
        return Ok(if caller.may(&state, state.tree.root(), Permission::Read) {
            Problem::new(
                ErrorCode::Gone,
                format!(
                    "operation {number} is no longer kept, nor is its line in the executed log"
                ),
            )
            .with_hint("`enginehouse serve --help` says how long what is kept")
        } else {
            missing(number)
        });
    };
    let line = crate::results::shown(&entry);
    if !caller.sees(&state, line.node, &line.path) {
        return Ok(missing(number));
    }
    Ok(Problem::new(
        ErrorCode::Gone,
        format!(
            "operation {number} is no longer kept: it was `{} {}`, ordered by {}, and ended {}",
            line.kind, line.path, line.who, line.outcome
        ),
    )
    .with_hint(format!(
        "its line in the executed log is: `enginehouse ops executed --path {}`",
        line.path
    )))
}

/// Whether the caller may say what becomes of an operation.
pub(super) fn must_operate(caller: &Caller, operation: &Operation) -> Result<(), Problem> {
    let state = caller.house().state.lock();
    // Of a node that is gone, nothing can be changed any more: what follows says so.
    match operation.node.filter(|node| state.tree.node(*node).is_ok()) {
        Some(node) => caller.must(&state, node, Permission::Operate),
        None => Ok(()),
    }
}

pub(crate) async fn show(caller: Caller, InPath(number): InPath<u64>) -> Answer<Json<Operation>> {
    Ok(Json(find_operation(&caller, OperationId(number)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    timeout_ms: Option<u64>,
}

pub(crate) async fn wait(
    caller: Caller,
    InPath(number): InPath<u64>,
    Params(query): Params<WaitQuery>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let patience = query
        .timeout_ms
        .unwrap_or(routes::WAIT_MAX_MS)
        .min(routes::WAIT_MAX_MS);
    let deadline = tokio::time::Instant::now() + Duration::from_millis(patience);
    let mut changed = caller.house().changed.subscribe();
    let mut stopping = caller.house().stopping.subscribe();
    loop {
        changed.mark_unchanged();
        let house = caller.house();
        caller.must_still_be_good(&house.state.lock(), house.now())?;
        let operation = find_operation(&caller, number).await?;
        if operation.state.has_ended() || operation.state.needs_person() {
            return Ok(Json(operation));
        }
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => return Ok(Json(operation)),
            _ = changed.changed() => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(Json(operation)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    state: Option<OperationState>,
    path: Option<FullName>,
    before: Option<OperationId>,
    limit: Option<u32>,
}

pub(crate) async fn list(
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Answer<Json<OperationPage>> {
    let house = caller.house();
    let limit = query
        .limit
        .unwrap_or(routes::PAGE_DEFAULT)
        .clamp(1, routes::PAGE_MAX) as usize;
    caller.asks_of_each(Permission::Read);
    let target = match &query.path {
        None => None,
        Some(path) => {
            let state = house.state.lock();
            Some(caller.find(&state, path)?.to_string())
        }
    };
    // A row says `pending` until the operation ends: memory knows better.
    let states = match query.state {
        None => Vec::new(),
        Some(state) if state.has_ended() => vec![state.as_str().to_owned()],
        Some(_) => vec!["pending".to_owned(), "running".to_owned()],
    };
    let filter = OperationFilter { states, target };
    let mut before = query.before;
    let mut operations = Vec::new();
    let mut looked_at = 0;
    loop {
        let cursor = PageCursor {
            before,
            limit: SCAN_PAGE,
        };
        let rows = house
            .store
            .operations(filter.clone(), cursor)
            .await
            .map_err(|error| unreadable(&error))?;
        let last_page = rows.len() < SCAN_PAGE as usize;
        for row in rows {
            if operations.len() == limit {
                return Ok(Json(OperationPage {
                    operations,
                    next: before,
                }));
            }
            before = Some(row.id);
            if let Some(operation) = listed(&caller, &row)?
                && query.state.is_none_or(|state| state == operation.state)
            {
                operations.push(operation);
            }
        }
        looked_at += SCAN_PAGE;
        if last_page || looked_at >= SCAN_MAX {
            let next = before.filter(|_| !last_page);
            return Ok(Json(OperationPage { operations, next }));
        }
    }
}

/// An operation as a list has it; none that the caller may not see.
fn listed(caller: &Caller, row: &StoredOperation) -> Result<Option<Operation>, Problem> {
    let house = caller.house();
    let mut operation = {
        let state = house.state.lock();
        match state.queue.get(row.id) {
            Some(now) => crate::view::operation(&state, now, false),
            None => {
                // Most rows of others are left out without being read.
                let target = row.targets.first().and_then(|uid| uid.parse().ok());
                let there = target.filter(|node| state.tree.node(*node).is_ok());
                if there.is_some_and(|node| !caller.may(&state, node, Permission::Read)) {
                    return Ok(None);
                }
                drop(state);
                row.document.read().map_err(|error| unreadable(&error))?
            }
        }
    };
    operation.steps.clear();
    operation.children.clear();
    let sees = caller.sees(&house.state.lock(), operation.node, &operation.path);
    Ok(sees.then_some(operation))
}

pub(crate) async fn cancel(caller: Caller, InPath(number): InPath<u64>) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let found = find_operation(&caller, number).await?;
    must_operate(&caller, &found)?;
    if found.state.has_ended() {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("operation {number} has ended: {}", found.state),
        )
        .into());
    }
    caller
        .house()
        .transact(|state, staged, now| {
            let Some(operation) = state.queue.get(number) else {
                return Ok(());
            };
            if matches!(operation.phase, Phase::InDoubt { .. }) {
                return Err(Problem::new(
                    ErrorCode::WrongState,
                    format!("operation {number} is in doubt: cancelling would hide what happened"),
                )
                .with_hint(format!(
                    "say what happened: `enginehouse ops resolve {number} --as done|failed|retry`"
                )));
            }
            let parts: Vec<OperationId> = operation.all_parts().collect();
            for target in parts.into_iter().chain([number]) {
                if let Err(missing) = caller.house().engine_of_step(state, target) {
                    // Nobody can be asked any more: a person has to say what happened.
                    let reason = missing.message;
                    if let Ok(output) = state.queue.handle(target, Event::Doubt { reason }, now) {
                        staged.output.append(output);
                        continue;
                    }
                }
                let event = Event::Cancel {
                    who: caller.who().to_owned(),
                };
                if let Ok(output) = state.queue.handle(target, event, now) {
                    staged.output.append(output);
                }
            }
            let note = Note::new(Action::Cancel, caller.who());
            staged
                .audit
                .push(note.about(found.node, &found.path).operation(Some(number)));
            Ok(())
        })
        .await?;
    Ok(Json(find_operation(&caller, number).await?))
}
