//! What it means for descriptors that their hypervisor is lost or found again.

use std::collections::BTreeSet;

use enginehouse_documents::{Code, Problem};
use enginehouse_model::{HypervisorUid, NodeUid, Timestamp};
use enginehouse_tree::{Event, Status};

use crate::house::{Staged, State};

/// Moves the descriptors of its machines along the edge, in one commit with what showed it.
pub(crate) fn turned(
    state: &mut State,
    staged: &mut Staged,
    hypervisor: HypervisorUid,
    is_lost: bool,
) {
    let (from, event) = match is_lost {
        true => (Status::Deployed, Event::ConnectionLost),
        false => (Status::Unreachable, Event::Reconnected),
    };
    let nodes: Vec<NodeUid> = state
        .records
        .values()
        .filter(|record| record.hypervisor == hypervisor)
        .map(|record| record.node)
        .filter(|node| {
            let body = state.tree.descriptor(*node);
            body.is_ok_and(|body| body.status == from)
        })
        .collect();
    for node in nodes {
        match state.tree.transition(node, event) {
            Ok(change) => staged.nodes(&state.tree, &change),
            Err(error) => tracing::error!(%error, "a descriptor's state was not changed"),
        }
    }
}

/// Hypervisors whose descriptors are stored as unreachable are looked at before anything is tried.
pub(crate) fn suspect_lost(state: &mut State, now: Timestamp) {
    let lost: BTreeSet<HypervisorUid> = state
        .records
        .values()
        .filter(|record| {
            let body = state.tree.descriptor(record.node);
            body.is_ok_and(|body| body.status == Status::Unreachable)
        })
        .map(|record| record.hypervisor)
        .collect();
    let problem = Problem::new(Code::Unreachable, "it did not answer before the host ended");
    for hypervisor in lost {
        state.queue.suspect(hypervisor, &problem, now);
    }
}
