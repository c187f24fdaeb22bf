//! Orders that work on machines: what they are about, what comes before what, and which older ones
//! they make needless.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{FullName, HypervisorUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{After, OnFailure, Operation, Phase, Spec, Urgency, sequence};
use enginehouse_tree::{Definition, Status};
use serde_json::{Value, json};

use crate::ledger::{Change, Need, Promise};
use crate::memory::{Memory, Staged};
use crate::orders::{Kind, Order, Params, definition_on, params_of, spec};
use crate::projected::check_projected;
use crate::protection::must_not_be_protected;
use crate::settings::Fault;
use crate::waves::Rollout;

/// The hypervisor whose slots an operation on a node counts against.
pub(crate) fn hypervisor_of(memory: &Memory, node: NodeUid) -> Option<HypervisorUid> {
    let recorded = memory.record_of(node).map(|record| record.hypervisor);
    recorded.or_else(|| Some(memory.tree.computed(node).ok()?.hypervisor()?.uid))
}

/// A target, with what has to end before it.
struct Placed {
    node: NodeUid,
    path: FullName,
    /// Others of the same order, by their place in it.
    after: Vec<usize>,
    /// Operations that were there before.
    after_queued: Vec<OperationId>,
}

/// Puts an order into the queue: alone, or as a whole with its parts.
pub(crate) fn queue_on_machines(
    memory: &mut Memory,
    staged: &mut Staged,
    order: &Order,
    node: NodeUid,
    now: Timestamp,
    fault: Option<Fault>,
) -> Result<OperationId, String> {
    let overtakes = order.kind == Kind::Stop && order.params.force;
    let is_folder = memory.tree.node(node).is_ok_and(|node| node.is_folder());
    let targets = match is_folder {
        true => below(memory, node, order.kind, overtakes)?,
        false => {
            check_projected(memory, node, order.kind, overtakes)?;
            check_deploy(memory, node, order.kind)?;
            vec![(node, order.path.clone())]
        }
    };
    if order.kind == Kind::Undeploy {
        must_not_be_protected(memory, &targets)?;
    }
    let placed = place(memory, order.kind, targets)?;
    let whole = on_failure(memory, node, order);
    let has_parts = is_folder || whole == OnFailure::Rollback;
    let parent = has_parts.then(|| memory.number());
    let rollout = Rollout::of(order, is_folder, placed.len());
    let mut parts: Vec<Spec> = Vec::new();
    for (at, target) in placed.into_iter().enumerate() {
        let (params, supersedes, change) = match order.kind {
            // One of a later wave may never begin, and would take what it has made needless with it.
            Kind::Reconfigure if rollout.is_none() => supersede(memory, target.node, order, fault)?,
            _ => (order.params.clone(), Vec::new(), None),
        };
        let number = memory.number();
        let needed: Vec<OperationId> = target
            .after
            .iter()
            .filter_map(|at| Some(parts.get(*at)?.number))
            .chain(target.after_queued)
            .collect();
        let after = needed.iter().map(|number| After {
            number: *number,
            however_it_ends: false,
        });
        let mut after: Vec<After> = match fault {
            Some(Fault::IgnoresNeeds) => Vec::new(),
            _ => after.collect(),
        };
        let wave = rollout.as_ref().map_or(0, |rollout| rollout.wave_of(at));
        let held = parent.filter(|_| wave > 0 && fault != Some(Fault::BeginsAllWaves));
        after.extend(held.map(|number| After {
            number,
            however_it_ends: true,
        }));
        let urgency = match order.params.automatic && fault != Some(Fault::AllAreAlike) {
            true => Urgency::Automatic,
            false => Urgency::Person,
        };
        let part = Order {
            path: target.path.clone(),
            params,
            ..order.clone()
        };
        staged.promises.push(Promise::Queued {
            number,
            node: target.node,
            first: overtakes,
            needs: needed.iter().map(|number| Need::good(*number)).collect(),
            automatic: order.params.automatic,
        });
        if order.params.repair {
            staged.promises.push(Promise::Alone(number, target.node));
        }
        staged.promises.extend(change.map(|members| {
            Promise::Changes(Change {
                node: target.node,
                by: number,
                members,
                at_once: false,
            })
        }));
        let hypervisor = hypervisor_of(memory, target.node);
        parts.push(Spec {
            parent,
            after,
            supersedes,
            overtakes: overtakes && fault != Some(Fault::WaitsInLine),
            urgency,
            wave,
            on_failure: on_failure(memory, target.node, order),
            ..spec(number, &part, &target.path, target.node, hypervisor, now)
        });
    }
    let numbers: Vec<OperationId> = parts.iter().map(|part| part.number).collect();
    let first = parent.or(numbers.first().copied()).unwrap_or_default();
    let specs = match parent {
        None => parts,
        Some(parent) => {
            staged
                .promises
                .push(Promise::Parts(parent, numbers.clone()));
            let promised = rollout.as_ref().map(|rollout| rollout.promise(&numbers));
            let goes = |rollout| Promise::GoesInWaves(parent, rollout);
            staged.promises.extend(promised.map(goes));
            let whole = Spec {
                children: numbers,
                on_failure: whole,
                stop_after: rollout.map(|rollout| rollout.stop_after(fault)),
                ..spec(parent, order, &order.path, node, None, now)
            };
            std::iter::once(whole).chain(parts).collect()
        }
    };
    staged.output = memory.queue.submit(specs, now);
    for promise in &mut staged.promises {
        // What waits for others may have to stay behind what these wait for.
        if let Promise::Queued {
            number,
            node,
            first,
            needs,
            ..
        } = promise
            && *first
            && !needs.is_empty()
        {
            let mut waiting = memory.queue.lane(*node);
            let ahead = waiting.find(|other| other.phase == Phase::Pending);
            *first = ahead.is_none_or(|ahead| ahead.number() == *number);
        }
    }
    Ok(first)
}

fn below(
    memory: &Memory,
    node: NodeUid,
    kind: Kind,
    overtakes: bool,
) -> Result<Vec<(NodeUid, FullName)>, String> {
    let wrong = |error: &dyn std::error::Error| error.to_string();
    let below = memory.tree.descriptors(node).map_err(|e| wrong(&e))?;
    let fits = |node: &NodeUid| {
        check_projected(memory, *node, kind, overtakes).is_ok()
            && check_deploy(memory, *node, kind).is_ok()
    };
    let nodes = below.map(|node| node.uid).filter(fits);
    let named = nodes.filter_map(|node| Some((node, memory.tree.full_name(node).ok()?.clone())));
    let targets: Vec<(NodeUid, FullName)> = named.collect();
    match targets.is_empty() {
        true => Err("nothing below is in a state for it".to_owned()),
        false => Ok(targets),
    }
}

fn check_deploy(memory: &Memory, node: NodeUid, kind: Kind) -> Result<(), String> {
    if kind == Kind::Deploy && hypervisor_of(memory, node).is_none() {
        return Err("no hypervisor to be deployed on".to_owned());
    }
    Ok(())
}

/// What becomes of what was done: as the order says, else the definition of what it is about.
fn on_failure(memory: &Memory, node: NodeUid, order: &Order) -> OnFailure {
    if !matches!(order.kind, Kind::Deploy | Kind::Reconfigure) {
        return OnFailure::Keep;
    }
    let defined = memory
        .tree
        .computed(node)
        .map(|computed| computed.on_failure());
    let rolls_back = defined.is_ok_and(|d| d == enginehouse_tree::OnFailure::Rollback);
    match rolls_back || order.params.rollback {
        true => OnFailure::Rollback,
        false => OnFailure::Keep,
    }
}

/// The targets in an order in which each comes after what it needs; what takes down goes the other
/// way round.
fn place(
    memory: &Memory,
    kind: Kind,
    targets: Vec<(NodeUid, FullName)>,
) -> Result<Vec<Placed>, String> {
    let takes_down = matches!(kind, Kind::Undeploy | Kind::Stop);
    let places = targets.iter().enumerate();
    let among: BTreeMap<NodeUid, usize> = places.map(|(at, (node, _))| (*node, at)).collect();
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); targets.len()];
    let mut queued: Vec<Vec<OperationId>> = vec![Vec::new(); targets.len()];
    for (at, (node, path)) in targets.iter().enumerate() {
        for needed in needs(memory, *node, path, kind)? {
            match among.get(&needed) {
                Some(other) if *other == at => {}
                Some(other) if takes_down => {
                    before[*other].insert(at);
                }
                Some(other) => {
                    before[at].insert(*other);
                }
                None if kind == Kind::Deploy => {
                    queued[at].extend(will_be_there(memory, path, needed)?);
                }
                None => {}
            }
        }
    }
    let order = sequence(&before).map_err(|held| {
        let round: Vec<String> = held.iter().map(|at| targets[*at].1.to_string()).collect();
        format!("they depend on each other: {}", round.join(", "))
    })?;
    let mut place_of = vec![0; targets.len()];
    for (place, at) in order.iter().enumerate() {
        place_of[*at] = place;
    }
    let placed = order.into_iter().map(|at| Placed {
        node: targets[at].0,
        path: targets[at].1.clone(),
        after: before[at].iter().map(|other| place_of[*other]).collect(),
        after_queued: std::mem::take(&mut queued[at]),
    });
    Ok(placed.collect())
}

fn needs(
    memory: &Memory,
    node: NodeUid,
    path: &FullName,
    kind: Kind,
) -> Result<Vec<NodeUid>, String> {
    let computed = memory.tree.computed(node).map_err(|e| e.to_string())?;
    let mut needed = Vec::new();
    for name in computed.depends_on() {
        let Ok(found) = memory.tree.find(name) else {
            if kind == Kind::Deploy {
                return Err(format!("{path} depends on {name}, which is not there"));
            }
            continue;
        };
        let below = memory.tree.descriptors(found).map_err(|e| e.to_string())?;
        needed.extend(below.map(|node| node.uid));
    }
    Ok(needed)
}

/// What a deploy waits for of something that is not part of the same order.
fn will_be_there(
    memory: &Memory,
    path: &FullName,
    needed: NodeUid,
) -> Result<Option<OperationId>, String> {
    let lane = memory.queue.lane(needed);
    let deploys = lane.filter(|operation| Kind::of(&operation.spec) == Some(Kind::Deploy));
    if let Some(deploy) = deploys.last() {
        return Ok(Some(deploy.number()));
    }
    let body = memory.tree.descriptor(needed);
    match body.is_ok_and(|body| body.status != Status::Provisioned) {
        true => Ok(None),
        false => Err(format!("{path} depends on what is not deployed")),
    }
}

/// What becomes of an order that reconfigures one descriptor: its parameters, the operations that it
/// makes needless, and what it changes itself.
fn supersede(
    memory: &Memory,
    node: NodeUid,
    order: &Order,
    fault: Option<Fault>,
) -> Result<(Params, Vec<OperationId>, Option<Value>), String> {
    let own = order.params.change.clone();
    if order.params.automatic {
        return Ok((order.params.clone(), Vec::new(), own));
    }
    let lane = memory.queue.lane(node);
    let reconfigures: Vec<&Operation> = lane
        .filter(|operation| Kind::of(&operation.spec) == Some(Kind::Reconfigure))
        // What was approved has written its definition already.
        .filter(|operation| operation.approval.is_none())
        .collect();
    let changes = |params: &Params| params.change.is_some() || params.definition.is_some();
    let mut needless = Vec::new();
    let mut carries = changes(&order.params);
    for operation in &reconfigures {
        if operation.phase == Phase::Pending {
            carries |= changes(&params_of(&operation.spec));
            needless.push(operation.number());
        }
    }
    // With what the older ones were to change, it is also theirs.
    let own = own.or_else(|| (!needless.is_empty()).then(|| json!({})));
    if !carries || reconfigures.is_empty() || fault == Some(Fault::DropsSuperseded) {
        return Ok((order.params.clone(), needless, own));
    }
    let local = &memory.tree.node(node).map_err(|e| e.to_string())?.local;
    let mut base: Definition = local.clone();
    for operation in memory.queue.lane(node) {
        if operation.approval.is_none()
            && let Some(Kind::Reconfigure | Kind::Edit) = Kind::of(&operation.spec)
        {
            base = definition_on(&base, &params_of(&operation.spec))?;
        }
    }
    let whole = definition_on(&base, &order.params)?;
    let params = Params {
        definition: Some(whole.to_json()),
        change: None,
        ..order.params.clone()
    };
    Ok((params, needless, own))
}
