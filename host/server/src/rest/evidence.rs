//! Log and requests of an operation: from its journal, and from memory what is not in it yet.

use std::sync::Arc;

use axum::Json;
use enginehouse_api::{ErrorCode, LogLine, LogPage, Problem, RequestPage, RequestRecord, routes};
use enginehouse_model::OperationId;
use serde::Deserialize;

use crate::access::Caller;
use crate::disk::READS;
use crate::house::House;
use crate::live::{Counts, JournalDocument};
use crate::rest::answer::{Answer, InPath, Params};
use crate::rest::operations::{find_operation, unreadable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    after: Option<u64>,
    limit: Option<u32>,
}

pub(crate) async fn log(
    caller: Caller,
    InPath(number): InPath<u64>,
    Params(query): Params<LogQuery>,
) -> Answer<Json<LogPage>> {
    let number = OperationId(number);
    let after = query.after.unwrap_or(0);
    let limit = query
        .limit
        .unwrap_or(routes::PAGE_MAX)
        .clamp(1, routes::PAGE_MAX) as usize;
    find_operation(&caller, number).await?;
    let (lines, _) = evidence(caller.house(), number).await?;
    let mut lines: Vec<LogLine> = lines.into_iter().filter(|line| line.seq > after).collect();
    let more = lines.len() > limit;
    lines.truncate(limit);
    Ok(Json(LogPage { lines, more }))
}

pub(crate) async fn requests(
    caller: Caller,
    InPath(number): InPath<u64>,
) -> Answer<Json<RequestPage>> {
    let number = OperationId(number);
    find_operation(&caller, number).await?;
    let (_, requests) = evidence(caller.house(), number).await?;
    Ok(Json(RequestPage { requests }))
}

/// What memory has beside the journal.
struct Newer {
    journalled: Counts,
    lines: Vec<LogLine>,
    requests: Vec<RequestRecord>,
}

/// Log and requests of an operation, oldest first.
///
/// # Errors
/// `busy` while the database cannot be written, `internal` when the journal cannot be read.
pub(super) async fn evidence(
    house: &Arc<House>,
    number: OperationId,
) -> Result<(Vec<LogLine>, Vec<RequestRecord>), Problem> {
    for _ in 0..READS {
        let (fence, newer) = {
            let state = house.state.lock();
            let newer = state.live.get(&number).map(|live| Newer {
                journalled: live.journalled(),
                lines: live.lines.clone(),
                requests: live.newest_requests(),
            });
            (state.fence, newer)
        };
        // Memory is ahead: what it gave to the journal may still be on its way there.
        if house.stands(fence).await {
            return journalled(house, number, newer).await;
        }
        house.reloaded().await;
    }
    Err(Problem::new(
        ErrorCode::Busy,
        "the database cannot be written: it is not known what is in the log",
    )
    .with_hint("see the host's log; ask again"))
}

async fn journalled(
    house: &Arc<House>,
    number: OperationId,
    newer: Option<Newer>,
) -> Result<(Vec<LogLine>, Vec<RequestRecord>), Problem> {
    let rows = house.store.journal(number).await;
    let mut lines = Vec::new();
    let mut requests = Vec::new();
    for row in rows.map_err(|error| unreadable(&error))? {
        let document: JournalDocument = row.document.read().map_err(|error| unreadable(&error))?;
        lines.extend(document.lines);
        requests.extend(document.requests);
    }
    if let Some(newer) = newer {
        // Rows that were written meanwhile say what `newer` says, and perhaps more.
        lines.truncate(newer.journalled.lines);
        requests.truncate(newer.journalled.requests);
        lines.extend(newer.lines);
        requests.extend(newer.requests);
    }
    Ok((lines, requests))
}
