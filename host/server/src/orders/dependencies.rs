//! What has to come before what: `depends_on`.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_model::{FullName, NodeUid, OperationId};
use enginehouse_queue::sequence;
use enginehouse_tree::Status;

use crate::house::State;
use crate::orders::kind_of;

/// A target with what has to end before it.
#[derive(Debug)]
pub(super) struct Placed {
    pub node: NodeUid,
    pub path: FullName,
    /// Others of the same order, by their place in it.
    pub after: Vec<usize>,
    /// Operations that were there before.
    pub after_queued: Vec<OperationId>,
}

/// The targets in an order in which each comes after what it needs; what takes down goes the other
/// way round.
///
/// # Errors
/// When they need each other, or one needs what is not there and will not be.
pub(super) fn place(
    state: &State,
    kind: OperationKind,
    targets: Vec<(NodeUid, FullName)>,
) -> Result<Vec<Placed>, Problem> {
    let takes_down = match kind {
        OperationKind::Undeploy | OperationKind::Stop => true,
        OperationKind::Deploy
        | OperationKind::Reconfigure
        | OperationKind::Start
        | OperationKind::Restart
        | OperationKind::Rollback => false,
        _ => return Ok(unordered(targets)),
    };
    let among: BTreeMap<NodeUid, usize> = targets
        .iter()
        .enumerate()
        .map(|(at, (node, _))| (*node, at))
        .collect();
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); targets.len()];
    let mut queued: Vec<Vec<OperationId>> = vec![Vec::new(); targets.len()];
    for (at, (node, path)) in targets.iter().enumerate() {
        for needed in needs(state, *node, path, kind)? {
            match among.get(&needed) {
                Some(other) if *other == at => {}
                Some(other) if takes_down => {
                    before[*other].insert(at);
                }
                Some(other) => {
                    before[at].insert(*other);
                }
                None if kind == OperationKind::Deploy => {
                    queued[at].extend(will_be_there(state, path, needed)?);
                }
                None => {}
            }
        }
    }
    sort(targets, before, queued)
}

fn unordered(targets: Vec<(NodeUid, FullName)>) -> Vec<Placed> {
    targets
        .into_iter()
        .map(|(node, path)| Placed {
            node,
            path,
            after: Vec::new(),
            after_queued: Vec::new(),
        })
        .collect()
}

/// The descriptors that a node needs, those below a folder that it names among them.
fn needs(
    state: &State,
    node: NodeUid,
    path: &FullName,
    kind: OperationKind,
) -> Result<Vec<NodeUid>, Problem> {
    let of_lookup = |error| crate::problem::of_lookup(&error);
    let computed = state.tree.computed(node).map_err(of_lookup)?;
    let mut needed = Vec::new();
    for name in computed.depends_on() {
        let Ok(found) = state.tree.find(name) else {
            if kind == OperationKind::Deploy {
                let detail = format!("{path} depends on {name}, which is not there");
                let hint = format!("provision {name}, or take it out of `depends_on` of {path}");
                return Err(Problem::new(ErrorCode::Invalid, detail).with_hint(hint));
            }
            continue;
        };
        let below = state.tree.descriptors(found).map_err(of_lookup)?;
        needed.extend(below.map(|node| node.uid));
    }
    Ok(needed)
}

/// What a deploy waits for of something that is not part of the same order.
fn will_be_there(
    state: &State,
    path: &FullName,
    needed: NodeUid,
) -> Result<Option<OperationId>, Problem> {
    let deploy = state
        .queue
        .lane(needed)
        .filter(|operation| kind_of(&operation.spec) == Some(OperationKind::Deploy))
        .last();
    if let Some(deploy) = deploy {
        return Ok(Some(deploy.number()));
    }
    let is_there = state
        .tree
        .descriptor(needed)
        .is_ok_and(|body| body.status != Status::Provisioned);
    if is_there {
        return Ok(None);
    }
    let name = state
        .tree
        .full_name(needed)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    Err(Problem::new(
        ErrorCode::WrongState,
        format!("{path} depends on {name}, which is not deployed"),
    )
    .with_hint(format!(
        "deploy {name} first, or the folder that both are in"
    )))
}

/// The first that waits for nothing, then the next, as they were given where nothing says otherwise.
fn sort(
    targets: Vec<(NodeUid, FullName)>,
    before: Vec<BTreeSet<usize>>,
    mut queued: Vec<Vec<OperationId>>,
) -> Result<Vec<Placed>, Problem> {
    let order = sequence(&before).map_err(|held| {
        let round: Vec<String> = held.iter().map(|at| targets[*at].1.to_string()).collect();
        Problem::new(
            ErrorCode::Invalid,
            format!("they depend on each other: {}", round.join(", ")),
        )
        .with_hint("take one of them out of the `depends_on` of another")
    })?;
    let mut place_of = vec![0; targets.len()];
    for (place, at) in order.iter().enumerate() {
        place_of[*at] = place;
    }
    let placed = order.into_iter().map(|at| {
        let (node, path) = targets[at].clone();
        Placed {
            node,
            path,
            after: before[at].iter().map(|other| place_of[*other]).collect(),
            after_queued: std::mem::take(&mut queued[at]),
        }
    });
    Ok(placed.collect())
}
