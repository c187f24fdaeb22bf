//! Takes back what the parts of an operation did: the last one first, one after the other.
//!
//! **What is taken back.** A machine that the part itself made is destroyed; any other is brought back
//! to what it was before the part, and so is its definition, if the part changed that and nobody has
//! since. What nothing was done to is left alone.

use std::sync::Arc;

use enginehouse_api::{
    ErrorCode, Operation as View, OperationKind, OperationState, Params, Problem, StepState, Undo,
};
use enginehouse_model::OperationId;
use enginehouse_queue::{After, Spec};

use crate::house::{House, State};
use crate::orders::{Order, slot_of, spec};

/// Numbers what takes the parts of `parent` back and hands it to the queue.
pub(crate) async fn roll_back(house: &Arc<House>, generation: u64, parent: OperationId) {
    let Some(operation) = crate::house::operation_of(&house.state.lock(), parent) else {
        return;
    };
    let mut parts = Vec::new();
    for part in operation.to_take_back() {
        match house.store.operation(part.number).await {
            Ok(Some(stored)) => match stored.document.read::<View>() {
                Ok(view) if did_something(&view) => parts.push(view),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(operation = %part.number, %error, "it cannot be read, and is not taken back")
                }
            },
            Ok(None) => {
                tracing::error!(operation = %part.number, "it is not on record, and is not taken back")
            }
            Err(error) => {
                tracing::error!(operation = %part.number, %error, "it cannot be read, and is not taken back")
            }
        }
    }
    let _ = house
        .transact(|state, staged, now| {
            if state.generation != generation {
                return Err(Problem::new(
                    ErrorCode::Stale,
                    "the host has loaded its state again",
                ));
            }
            // Asked for once more after a restart, while the answer to the first is on its way.
            let is_open = state
                .queue
                .get(parent)
                .is_some_and(|now| now.undo.is_none());
            if !is_open {
                return Ok(());
            }
            let mut specs: Vec<Spec> = Vec::new();
            for part in &parts {
                let Some(order) = undo_of(state, part) else {
                    continue;
                };
                let number = state.number();
                let hypervisor = slot_of(house, state, order.node);
                let before = specs.last().map(|spec| After {
                    number: spec.number,
                    however_it_ends: true,
                });
                specs.push(Spec {
                    parent: Some(parent),
                    after: before.into_iter().collect(),
                    ..spec(number, &order, &operation.spec.who, now, hypervisor)
                });
            }
            staged.output = state.queue.roll_back(parent, specs, now);
            Ok(())
        })
        .await;
}

/// Whether anything may be different because of it.
pub(crate) fn did_something(part: &View) -> bool {
    let made = part
        .result
        .as_ref()
        .is_some_and(|result| !result.created.is_empty());
    let changed = part.steps.iter().any(|step| match step.state {
        StepState::Done | StepState::Failed => true,
        StepState::Pending
        | StepState::Running
        | StepState::Waiting
        | StepState::Retrying
        | StepState::InDoubt
        | StepState::Skipped => false,
    });
    // A reconfigure that failed has written its definition.
    let wrote = part.kind == OperationKind::Reconfigure && part.state == OperationState::Failed;
    made || changed || wrote
}

fn undo_of(state: &State, part: &View) -> Option<Order> {
    let node = part.node?;
    let path = state.tree.full_name(node).ok()?.clone();
    // Without a machine on record there is nothing to take back.
    let made = state.record_of(node)?.mark.operation == part.number;
    Some(Order {
        kind: OperationKind::Undo,
        node,
        path,
        params: Params {
            undo: Some(Undo {
                of: part.number,
                destroy: part.kind == OperationKind::Deploy && made,
            }),
            // What goes is what the part itself has added.
            confirm_destructive: true,
            ..Params::default()
        },
    })
}
