//! Previews: what an order would change.

use std::sync::Arc;

use axum::Json;
use enginehouse_api::{
    KeyChange, OperationRequest, PendingChange, Preview, PreviewCounts, PreviewNode, RightsChange,
    TracedValue, routes,
};
use enginehouse_tree::{Difference, Line, Permission, Permissions, Touched};
use serde::Deserialize;

use crate::access::Caller;
use crate::house::House;
use crate::orders::preview;
use crate::rest::answer::{Answer, Body, Params};
use crate::rest::tree::{origin, pending_of};

/// So many machines are compared before others get at the tree again.
const AT_ONCE: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewQuery {
    limit: Option<u32>,
}

pub(crate) async fn make(
    caller: Caller,
    Params(query): Params<PreviewQuery>,
    Body(request): Body<OperationRequest>,
) -> Answer<Json<Preview>> {
    let most = query
        .limit
        .unwrap_or(routes::PREVIEW_DEFAULT)
        .min(routes::PAGE_MAX) as usize;
    let looked = preview(&caller, &request)?;
    let house = Arc::clone(caller.house());
    // From here on the tree is free: what was computed is compared without it.
    let found = tokio::task::spawn_blocking(move || {
        let pending = pending(&house, &looked.touched);
        (looked.differences(most), looked.rights, pending)
    })
    .await
    .map_err(|_| {
        enginehouse_api::Problem::new(
            enginehouse_api::ErrorCode::Internal,
            "the comparison broke off",
        )
    })?;
    let (differences, rights, mut pending) = found;
    let counts = PreviewCounts {
        made: differences.counts.made as u64,
        removed: differences.counts.removed as u64,
        changed: differences.counts.changed as u64,
        origins_only: differences.counts.origins_only as u64,
        renamed: differences.counts.renamed as u64,
        rights: rights.len() as u64,
        pending: pending.len() as u64,
    };
    pending.truncate(most);
    let nodes = differences.nodes.into_iter().map(|node| PreviewNode {
        before: node.before,
        after: node.after,
        keys: node.keys.into_iter().map(key).collect(),
    });
    let rights = rights.into_iter().take(most).map(|change| RightsChange {
        path: change.full_name,
        subject: change.subject.to_string(),
        before: permissions(change.before),
        after: permissions(change.after),
    });
    Ok(Json(Preview {
        kind: request.kind,
        path: request.path,
        to: request.params.to,
        counts,
        nodes: nodes.collect(),
        rights: rights.collect(),
        pending,
    }))
}

fn key(found: Difference) -> KeyChange {
    let side = |line: Option<Line>| {
        line.map(|line| TracedValue {
            origin: origin(&line.origin),
            value: line.value,
        })
    };
    KeyChange {
        key: found.key,
        before: side(found.before),
        after: side(found.after),
    }
}

fn permissions(given: Permissions) -> Vec<String> {
    given
        .iter()
        .map(Permission::as_str)
        .map(str::to_owned)
        .collect()
}

/// Machines for which something else would be pending.
fn pending(house: &House, touched: &[Touched]) -> Vec<PendingChange> {
    let mut found = Vec::new();
    let deployed: Vec<&Touched> = touched
        .iter()
        .filter(|touched| {
            let body = touched.node.body();
            body.is_some_and(|body| body.status != enginehouse_tree::Status::Provisioned)
        })
        .collect();
    for some in deployed.chunks(AT_ONCE) {
        let state = house.state.lock();
        for touched in some {
            let (Some(before), Some(after)) = (&touched.before, &touched.after) else {
                continue;
            };
            let is = pending_of(house, &state, touched.uid, before);
            let would = pending_of(house, &state, touched.uid, after);
            if is != would {
                found.push(PendingChange {
                    path: after.full_name().clone(),
                    before: is,
                    after: would,
                });
            }
        }
    }
    found
}
