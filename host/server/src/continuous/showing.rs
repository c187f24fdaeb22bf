//! Drift as people are shown it.

use enginehouse_api::Drift;
use enginehouse_model::{MachineRecord, NodeUid};
use enginehouse_reconcile::Drifted;

use crate::continuous::Watched;
use crate::house::{House, State};

/// What is known of the machine of a descriptor.
fn watched(state: &State, node: NodeUid) -> Option<(&MachineRecord, &Watched)> {
    let record = state.record_of(node)?;
    Some((record, state.watched.get(&record.uid)?))
}

pub(crate) fn is_drifted(state: &State, node: NodeUid) -> bool {
    watched(state, node).is_some_and(|(record, watched)| !watched.drift(record).is_empty())
}

/// What differs of the machine of a descriptor.
pub(crate) fn drift_of(house: &House, state: &State, node: NodeUid) -> Vec<Drift> {
    let Some((record, watched)) = watched(state, node) else {
        return Vec::new();
    };
    let drift = watched.drift(record);
    if drift.is_empty() {
        return Vec::new();
    }
    let all = not_at_all(house, state, record);
    let shown = drift.iter().map(|drifted| Drift {
        field: drifted.field.clone(),
        deployed: drifted.deployed.clone(),
        observed: drifted.observed.clone(),
        since: drifted.since,
        not_repaired: all.clone().or_else(|| why(state, watched, drifted)),
    });
    shown.collect()
}

/// Why nothing of the machine is repaired.
fn not_at_all(house: &House, state: &State, record: &MachineRecord) -> Option<String> {
    if house.config.no_repair {
        return Some("the host was started with --no-repair".to_owned());
    }
    if state.queue.is_braked(record.hypervisor) {
        return Some("many machines of its hypervisor vanished at once".to_owned());
    }
    let pause = state.pauses.of(&state.tree, record.node)?;
    Some(pause.reason(&state.tree))
}

/// Why a field is not.
fn why(state: &State, watched: &Watched, drifted: &Drifted) -> Option<String> {
    if watched.repairs.left(&drifted.field).is_some() {
        return Some(enginehouse_reconcile::Reason::Left.to_string());
    }
    let Some(kept_back) = &watched.kept_back else {
        return Some("it was not looked at since the host started".to_owned());
    };
    let kept = kept_back.iter().find(|kept| kept.field == drifted.field);
    if let Some(kept) = kept {
        return Some(kept.reason.to_string());
    }
    let tried = watched.tried.as_ref()?;
    let is_over = state.queue.get(tried.operation).is_none();
    is_over.then(|| {
        format!(
            "operation {} came to nothing; it is tried again after an hour",
            tried.operation
        )
    })
}

/// The descriptors below a node, itself included, whose machines have drifted.
pub(crate) fn drifted_below(state: &State, node: NodeUid) -> Vec<NodeUid> {
    let below = state.tree.descriptors(node);
    let below = below.into_iter().flatten().map(|node| node.uid);
    below.filter(|node| is_drifted(state, *node)).collect()
}
