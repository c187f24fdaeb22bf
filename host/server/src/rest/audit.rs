//! The audit log, for who governs the root: it tells of everybody, and only the whole of it can be
//! checked.

use axum::Json;
use enginehouse_api::{AuditHead, AuditLine, AuditPage, ErrorCode, Problem, routes};
use enginehouse_model::{FullName, OperationId, Timestamp};
use enginehouse_store::{About, AuditFilter, AuditFrom};
use serde::Deserialize;

use crate::access::Caller;
use crate::rest::answer::{Answer, Params};
use crate::rest::operations::unreadable;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    path: Option<FullName>,
    who: Option<String>,
    action: Option<String>,
    operation: Option<OperationId>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<u64>,
    after: Option<u64>,
    limit: Option<u32>,
}

pub(crate) async fn page(caller: Caller, Params(query): Params<Query>) -> Answer<Json<AuditPage>> {
    let house = caller.house();
    caller.must_govern_all(&house.state.lock())?;
    let from = match (query.before, query.after) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                "`before` and `after` are two ways to read the log: ask for one of them",
            )
            .into());
        }
        (before, None) => AuditFrom::Before(before),
        (None, Some(after)) => AuditFrom::After(after),
    };
    let about = query.path.map(|path| About {
        node: house
            .state
            .lock()
            .tree
            .find(&path)
            .ok()
            .map(|node| node.to_string()),
        path: path.to_string(),
    });
    let filter = AuditFilter {
        about,
        who: query.who,
        action: query.action,
        operation: query.operation,
        since: query.since,
        until: query.until,
    };
    let limit = query.limit.unwrap_or(routes::PAGE_DEFAULT);
    let limit = limit.clamp(1, routes::PAGE_MAX);
    // One more than asked for says whether there are more.
    let found = house.store.audit(filter, from, limit + 1).await;
    let mut found = found.map_err(|error| unreadable(&error))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().map(|last| last.entry.number);
    Ok(Json(AuditPage {
        entries: found
            .into_iter()
            .map(|found| AuditLine {
                entry: found.entry,
                hash: found.hash,
            })
            .collect(),
        next: next.filter(|_| more),
    }))
}

pub(crate) async fn head(caller: Caller) -> Answer<Json<AuditHead>> {
    let house = caller.house();
    caller.must_govern_all(&house.state.lock())?;
    let head = house.store.audit_head().await;
    Ok(Json(AuditHead {
        installation: house.installation,
        head: head.map_err(|error| unreadable(&error))?,
    }))
}
