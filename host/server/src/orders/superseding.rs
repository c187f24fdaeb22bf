//! A newer `reconfigure` does what a pending older one was to do.
//!
//! It carries the whole definition: that which the queue would leave, with its own changes. An older
//! one of somebody else stays where it changes governed keys: who may do that is asked of each.

use enginehouse_api::{OperationKind, Params, Problem};
use enginehouse_model::OperationId;
use enginehouse_queue::{Operation, Phase};
use enginehouse_tree::Definition;
use serde_json::{Map, Value};

use crate::access::changes_governed_keys;
use crate::house::State;
use crate::orders::definition::{Written, definition_on};
use crate::orders::{Order, kind_of};

/// What becomes of an order that reconfigures one descriptor: its parameters, and the operations
/// that it makes needless.
///
/// # Errors
/// When its definition cannot be.
pub(super) fn supersede(
    state: &State,
    order: &Order,
    who: &str,
) -> Result<(Params, Vec<OperationId>), Problem> {
    let reconfigures: Vec<&Operation> = state
        .queue
        .lane(order.node)
        .filter(|operation| kind_of(&operation.spec) == Some(OperationKind::Reconfigure))
        // What was approved has written its definition already.
        .filter(|operation| operation.approval.is_none())
        .collect();
    let mut needless = Vec::new();
    let mut carries = order.changes_definition();
    for operation in &reconfigures {
        if operation.phase != Phase::Pending {
            continue;
        }
        let Ok(older) = Order::of(&operation.spec) else {
            continue;
        };
        if operation.spec.who != who && changes_governed_keys(state, &older)? {
            return Ok((order.params.clone(), Vec::new()));
        }
        carries |= older.changes_definition();
        needless.push(operation.number());
    }
    if !carries || reconfigures.is_empty() {
        return Ok((order.params.clone(), needless));
    }
    let of_lookup = |error| crate::problem::of_lookup(&error);
    let mut base = state
        .tree
        .node(order.node)
        .map_err(of_lookup)?
        .local
        .clone();
    // An edit may wait between an undeploy and a deploy that wait too.
    for operation in state.queue.lane(order.node) {
        if operation.approval.is_none()
            && let Ok(before) = Order::of(&operation.spec)
            && matches!(
                before.kind,
                OperationKind::Reconfigure | OperationKind::Edit
            )
        {
            base = definition_on(&base, &before, Written::Perhaps)?;
        }
    }
    let whole = definition_on(&base, order, Written::Not)?;
    let params = Params {
        definition: Some(members(&whole)),
        changes: Vec::new(),
        ..order.params.clone()
    };
    Ok((params, needless))
}

fn members(definition: &Definition) -> Map<String, Value> {
    match definition.to_json() {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
