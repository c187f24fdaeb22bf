//! Ended operations: results in the order of the ends, and the executed log.

use std::time::Duration;

use axum::Json;
use enginehouse_api::{
    EndedOperation, ErrorCode, ExecutedPage, OperationKind, OperationState, Problem, ResultPage,
    routes,
};
use enginehouse_model::{FullName, Timestamp};
use enginehouse_store::{About, ExecutedEntry, ExecutedFilter};
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::rest::answer::{Answer, Params};
use crate::rest::operations::unreadable;
use crate::results::{Cursor, ended, shown};

/// Lines that are read at a time.
const SCAN_PAGE: u32 = 200;
/// No more lines than this are looked at for one answer: who may see few of very many gets a short
/// page, and where to go on.
const SCAN_MAX: u32 = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultsQuery {
    after: Option<String>,
    limit: Option<u32>,
    wait_ms: Option<u64>,
}

pub(crate) async fn results(
    caller: Caller,
    Params(query): Params<ResultsQuery>,
) -> Answer<Json<ResultPage>> {
    let house = caller.house();
    caller.asks_of_each(Permission::Read);
    let limit = page_limit(query.limit);
    let patience = query.wait_ms.unwrap_or(0).min(routes::WAIT_MAX_MS);
    let deadline = tokio::time::Instant::now() + Duration::from_millis(patience);
    let epoch = house.state.lock().fence.epoch;
    let mut at = match &query.after {
        Some(text) => Some(text.parse::<Cursor>()?),
        None => None,
    };
    let mut changed = house.ended.subscribe();
    let mut stopping = house.stopping.subscribe();
    loop {
        changed.mark_unchanged();
        caller.must_still_be_good(&house.state.lock(), house.now())?;
        let mut results = Vec::new();
        let mut looked_at = 0;
        let more = loop {
            let after = at.map_or(0, |cursor| cursor.seq);
            let page = house.store.results(after, SCAN_PAGE).await;
            let page = page.map_err(|error| unreadable(&error))?;
            let cursor = match at {
                Some(cursor) => cursor.checked(epoch, &page)?,
                None => Cursor::before_oldest(epoch, &page),
            };
            at = Some(take(&caller, &page.lines, cursor, limit, &mut results)?);
            let is_last = at.is_some_and(|cursor| cursor.seq >= page.newest);
            looked_at += SCAN_PAGE;
            if is_last || results.len() == limit || looked_at >= SCAN_MAX {
                break !is_last;
            }
        };
        let answer = |at: Option<Cursor>| ResultPage {
            results,
            cursor: at.map(|cursor| cursor.to_string()).unwrap_or_default(),
            more,
        };
        let goes_on = house.state.lock().fence.epoch == epoch && !*stopping.borrow();
        if more || patience == 0 || !goes_on {
            return Ok(Json(answer(at)));
        }
        let page = answer(at);
        if !page.results.is_empty() {
            return Ok(Json(page));
        }
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => return Ok(Json(page)),
            _ = changed.changed() => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(Json(page)),
        }
    }
}

fn page_limit(asked: Option<u32>) -> usize {
    let limit = asked.unwrap_or(routes::PAGE_DEFAULT);
    limit.clamp(1, routes::PAGE_MAX) as usize
}

/// Takes lines that the caller may see, until there are `limit` of them; answers where it stopped.
fn take(
    caller: &Caller,
    lines: &[ExecutedEntry],
    mut cursor: Cursor,
    limit: usize,
    results: &mut Vec<EndedOperation>,
) -> Result<Cursor, Problem> {
    for entry in lines {
        if results.len() == limit {
            break;
        }
        cursor.seq = entry.seq;
        let line = shown(entry);
        let sees = caller.sees(&caller.house().state.lock(), line.node, &line.path);
        if sees {
            results.push(ended(entry, line).map_err(|error| unreadable(&error))?);
        }
    }
    Ok(cursor)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecutedQuery {
    path: Option<FullName>,
    who: Option<String>,
    kind: Option<OperationKind>,
    outcome: Option<OperationState>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<String>,
    limit: Option<u32>,
}

pub(crate) async fn executed(
    caller: Caller,
    Params(query): Params<ExecutedQuery>,
) -> Answer<Json<ExecutedPage>> {
    let house = caller.house();
    caller.asks_of_each(Permission::Read);
    if let Some(outcome) = query.outcome.filter(|outcome| !outcome.has_ended()) {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            format!("`{outcome}` is no outcome: the executed log has ended operations"),
        )
        .with_hint("`GET /v1/operations?state=` lists those that have not ended")
        .into());
    }
    let limit = page_limit(query.limit);
    let epoch = house.state.lock().fence.epoch;
    let mut before = match &query.before {
        Some(text) => Some(text.parse::<Cursor>()?.seq),
        None => None,
    };
    let about = query.path.map(|path| {
        let state = house.state.lock();
        // One that is gone has its lines, too; which of them the caller sees is asked of each.
        let node = caller.find(&state, &path).ok();
        About {
            node: node.map(|node| node.to_string()),
            path: path.to_string(),
        }
    });
    let filter = ExecutedFilter {
        about,
        who: query.who,
        kind: query.kind.map(|kind| kind.as_str().to_owned()),
        outcome: query.outcome.map(|outcome| outcome.as_str().to_owned()),
        since: query.since,
        until: query.until,
    };
    let next = |seq: Option<u64>| seq.map(|seq| Cursor { epoch, seq }.to_string());
    let mut lines = Vec::new();
    let mut looked_at = 0;
    loop {
        let page = house
            .store
            .executed(filter.clone(), before, SCAN_PAGE)
            .await
            .map_err(|error| unreadable(&error))?;
        let last_page = page.len() < SCAN_PAGE as usize;
        for entry in &page {
            if lines.len() == limit {
                let next = next(before);
                return Ok(Json(ExecutedPage { lines, next }));
            }
            before = Some(entry.seq);
            let line = shown(entry);
            if caller.sees(&house.state.lock(), line.node, &line.path) {
                lines.push(line);
            }
        }
        looked_at += SCAN_PAGE;
        if last_page || looked_at >= SCAN_MAX {
            let next = next(before.filter(|_| !last_page));
            return Ok(Json(ExecutedPage { lines, next }));
        }
    }
}
