//! Operations: order, read, wait, cancel, resolve.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use enginehouse_api::{
    ErrorCode, LogLine, LogPage, Operation, OperationPage, OperationRequest, OperationState,
    Problem, RequestPage, RequestRecord, ResolveAs, ResolveRequest, routes,
};
use enginehouse_model::{FullName, OperationId};
use enginehouse_queue::{Event, Final, Phase};
use enginehouse_store::{OperationFilter, PageCursor};
use serde::Deserialize;

use crate::house::House;
use crate::live::JournalDocument;
use crate::orders::{accept, find};
use crate::rest::answer::{Answer, Body, Params};
use crate::rest::auth::OPERATOR;

pub(crate) async fn order(
    State(house): State<Arc<House>>,
    headers: HeaderMap,
    Body(request): Body<OperationRequest>,
) -> Answer<Response> {
    if headers.contains_key(routes::IDEMPOTENCY_KEY) {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "this version does not keep idempotency keys yet, and will not pretend to",
        )
        .with_hint("leave the header out, and look for the order with GET /v1/operations before you repeat it")
        .into());
    }
    let if_match = if_match(&headers)?;
    let operation = accept(&house, request, OPERATOR, if_match).await?;
    let status = if operation.state.has_ended() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(operation)).into_response())
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

fn unreadable(error: &dyn std::error::Error) -> Problem {
    Problem::new(ErrorCode::Internal, crate::problem::with_sources(error))
}

/// The operation, from memory while it lives, from the store afterwards.
pub(super) async fn find_operation(
    house: &House,
    number: OperationId,
) -> Result<Operation, Problem> {
    {
        let state = house.state.lock();
        if let Some(operation) = state.queue.get(number) {
            return Ok(crate::view::operation(&state, operation, true));
        }
    }
    let stored = house
        .store
        .operation(number)
        .await
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| missing(number))?;
    stored.document.read().map_err(|error| unreadable(&error))
}

pub(crate) async fn show(
    State(house): State<Arc<House>>,
    Path(number): Path<u64>,
) -> Answer<Json<Operation>> {
    Ok(Json(find_operation(&house, OperationId(number)).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    timeout_ms: Option<u64>,
}

pub(crate) async fn wait(
    State(house): State<Arc<House>>,
    Path(number): Path<u64>,
    Params(query): Params<WaitQuery>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let patience = query
        .timeout_ms
        .unwrap_or(routes::WAIT_MAX_MS)
        .min(routes::WAIT_MAX_MS);
    let deadline = tokio::time::Instant::now() + Duration::from_millis(patience);
    let mut changed = house.changed.subscribe();
    let mut stopping = house.stopping.subscribe();
    loop {
        changed.mark_unchanged();
        let operation = find_operation(&house, number).await?;
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
    State(house): State<Arc<House>>,
    Params(query): Params<ListQuery>,
) -> Answer<Json<OperationPage>> {
    let limit = query
        .limit
        .unwrap_or(routes::PAGE_DEFAULT)
        .clamp(1, routes::PAGE_MAX);
    let target = match &query.path {
        None => None,
        Some(path) => {
            let state = house.state.lock();
            Some(find(&state, path)?.to_string())
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
    loop {
        let cursor = PageCursor { before, limit };
        let rows = house
            .store
            .operations(filter.clone(), cursor)
            .await
            .map_err(|error| unreadable(&error))?;
        let full = rows.len() == limit as usize;
        before = rows.last().map(|row| row.id);
        for row in rows {
            let mut operation: Operation =
                row.document.read().map_err(|error| unreadable(&error))?;
            {
                let state = house.state.lock();
                if let Some(now) = state.queue.get(row.id) {
                    operation = crate::view::operation(&state, now, false);
                }
            }
            operation.steps.clear();
            operation.children.clear();
            if query.state.is_none_or(|state| state == operation.state) {
                operations.push(operation);
            }
        }
        if !full || operations.len() >= limit as usize {
            let next = before.filter(|_| full);
            return Ok(Json(OperationPage { operations, next }));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    after: Option<u64>,
    limit: Option<u32>,
}

pub(crate) async fn log(
    State(house): State<Arc<House>>,
    Path(number): Path<u64>,
    Params(query): Params<LogQuery>,
) -> Answer<Json<LogPage>> {
    let number = OperationId(number);
    let after = query.after.unwrap_or(0);
    let limit = query
        .limit
        .unwrap_or(routes::PAGE_MAX)
        .clamp(1, routes::PAGE_MAX) as usize;
    let (lines, _) = evidence(&house, number).await?;
    let mut lines: Vec<LogLine> = lines.into_iter().filter(|line| line.seq > after).collect();
    let more = lines.len() > limit;
    lines.truncate(limit);
    Ok(Json(LogPage { lines, more }))
}

pub(crate) async fn requests(
    State(house): State<Arc<House>>,
    Path(number): Path<u64>,
) -> Answer<Json<RequestPage>> {
    let (_, requests) = evidence(&house, OperationId(number)).await?;
    Ok(Json(RequestPage { requests }))
}

/// Log and requests of an operation, from memory while it lives, from its journal afterwards.
async fn evidence(
    house: &House,
    number: OperationId,
) -> Result<(Vec<LogLine>, Vec<RequestRecord>), Problem> {
    {
        let state = house.state.lock();
        if state.queue.get(number).is_some() {
            return Ok(state
                .live
                .get(&number)
                .map(|live| (live.lines.clone(), live.requests.clone()))
                .unwrap_or_default());
        }
    }
    find_operation(house, number).await?;
    let rows = house
        .store
        .journal(number)
        .await
        .map_err(|error| unreadable(&error))?;
    let mut lines = Vec::new();
    let mut requests = Vec::new();
    for row in rows {
        let document: JournalDocument = row.document.read().map_err(|error| unreadable(&error))?;
        lines.extend(document.lines);
        requests.extend(document.requests);
    }
    Ok((lines, requests))
}

pub(crate) async fn cancel(
    State(house): State<Arc<House>>,
    Path(number): Path<u64>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let found = find_operation(&house, number).await?;
    if found.state.has_ended() {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("operation {number} has ended: {}", found.state),
        )
        .into());
    }
    house
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
            let parts = operation.spec.children.clone();
            for target in parts.into_iter().chain([number]) {
                if let Some(live) = state.live.get(&target) {
                    live.cancelling.store(true, Ordering::Relaxed);
                }
                let event = Event::Cancel {
                    who: OPERATOR.to_owned(),
                };
                if let Ok(output) = state.queue.handle(target, event, now) {
                    staged.output.append(output);
                }
            }
            Ok(())
        })
        .await?;
    Ok(Json(find_operation(&house, number).await?))
}

pub(crate) async fn resolve(
    State(house): State<Arc<House>>,
    Path(number): Path<u64>,
    Body(request): Body<ResolveRequest>,
) -> Answer<Json<Operation>> {
    let number = OperationId(number);
    let found = find_operation(&house, number).await?;
    house
        .transact(|state, staged, now| {
            let in_doubt = state
                .queue
                .get(number)
                .filter(|operation| matches!(operation.phase, Phase::InDoubt { .. }));
            let Some(operation) = in_doubt else {
                return Err(Problem::new(
                    ErrorCode::WrongState,
                    format!("operation {number} is {}, not in doubt", found.state),
                ));
            };
            let has_machine = state
                .record_of(operation.spec.target)
                .is_some_and(|record| record.identity.is_some());
            let who = OPERATOR.to_owned();
            let event = match request.verdict {
                ResolveAs::Retry => Event::Retry { who },
                ResolveAs::Failed => Event::Close {
                    who,
                    state: Final::Failed,
                },
                ResolveAs::Done if operation.spec.kind == "deploy" && !has_machine => {
                    return Err(Problem::new(
                        ErrorCode::WrongState,
                        "it cannot be called done: no machine id is known",
                    )
                    .with_hint(
                        "with `retry` the engine looks for the machine by its mark before it makes one; with `failed` the operation ends",
                    ));
                }
                ResolveAs::Done => Event::TakeAsDone { who },
            };
            if request.verdict == ResolveAs::Retry
                && let Some(live) = state.live.get(&number)
            {
                live.cancelling.store(false, Ordering::Relaxed);
            }
            if request.verdict == ResolveAs::Done {
                crate::work::take_as_done(state, staged, number, now);
            }
            staged.output = state
                .queue
                .handle(number, event, now)
                .map_err(|illegal| Problem::new(ErrorCode::WrongState, illegal.to_string()))?;
            Ok(())
        })
        .await?;
    Ok(Json(find_operation(&house, number).await?))
}
