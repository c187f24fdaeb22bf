//! Folders that follow their definition: what was edited there runs without a person, in waves.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enginehouse_api::{Automatic, OperationKind, OperationRequest};
use enginehouse_model::{FullName, HypervisorUid, MachineUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::FieldChange;

use crate::continuous::RECONCILER;
use crate::continuous::repairing::{AGAIN_MS, may_begin, params};
use crate::continuous::watched::{Tried, put};
use crate::house::{House, Staged, State};

/// Machines of one folder whose definition is ahead of them, with what it changed.
type Due = BTreeMap<NodeUid, (MachineUid, Vec<FieldChange>)>;

/// Orders what is due in folders that have machines on this hypervisor.
pub(super) async fn order(house: &Arc<House>, hypervisor: HypervisorUid) {
    let folders: BTreeSet<FullName> = {
        let state = house.state.lock();
        let here = state.records.values();
        let here = here.filter(|record| record.hypervisor == hypervisor);
        here.filter_map(|record| follows(&state, record.node))
            .collect()
    };
    for folder in folders {
        // What is not taken in is due again in the next round.
        let _ = house
            .transact(|state, staged, now| {
                order_folder(house, state, staged, &folder, now);
                Ok(())
            })
            .await;
    }
}

/// The node that says that this one follows, where something of it is pending.
fn follows(state: &State, node: NodeUid) -> Option<FullName> {
    let computed = state.tree.computed(node).ok()?;
    let by = computed.followed_by()?;
    let record = state.record_of(node)?;
    let is_ahead = matches!(computed.config_or(&record.deployed), Cow::Owned(_));
    is_ahead.then(|| by.clone())
}

fn order_folder(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    folder: &FullName,
    now: Timestamp,
) {
    let Ok(node) = state.tree.find(folder) else {
        return;
    };
    let is_ours =
        |operation: &Operation| operation.spec.who == RECONCILER && operation.spec.target == node;
    if state.queue.iter().any(is_ours) {
        return;
    }
    let due = due(house, state, node, folder, now);
    if due.is_empty() {
        return;
    }
    let request = OperationRequest {
        kind: OperationKind::Reconfigure,
        path: folder.clone(),
        params: params(Automatic::Follow),
    };
    let only: BTreeSet<NodeUid> = due.keys().copied().collect();
    let ordered = crate::orders::automatic(house, state, staged, &request, Some(&only), now);
    let number = match ordered {
        Ok(operation) => operation.number,
        Err(problem) => {
            tracing::warn!(path = %folder, "its definition is not followed: {}", problem.detail);
            OperationId(0)
        }
    };
    for (machine, changes) in due.into_values() {
        let mut watched = state.watched.get(&machine).cloned().unwrap_or_default();
        watched.tried = Some(Tried {
            at: now,
            operation: number,
            changes,
        });
        put(&mut state.watched, staged, machine, watched);
    }
}

/// The machines at and below a node that follow because of it, and that may be begun with now.
fn due(house: &House, state: &State, node: NodeUid, folder: &FullName, now: Timestamp) -> Due {
    let below = state.tree.descriptors(node).into_iter().flatten();
    below
        .filter_map(|node| {
            let node = node.uid;
            if follows(state, node).as_ref() != Some(folder) {
                return None;
            }
            let record = state.record_of(node)?;
            let computed = state.tree.computed(node).ok()?;
            let policy_lets = super::bounds(state, node, true).most.is_some();
            if !policy_lets || !may_begin(state, record.hypervisor, node) {
                return None;
            }
            let pending = crate::rest::pending_changes_of(house, state, node, &computed);
            let tried = state.watched.get(&record.uid);
            let tried = tried.and_then(|watched| watched.tried.as_ref());
            let is_over = tried
                .is_none_or(|tried| now.since(tried.at) >= AGAIN_MS || tried.changes != pending);
            (!pending.is_empty() && is_over).then_some((node, (record.uid, pending)))
        })
        .collect()
}
