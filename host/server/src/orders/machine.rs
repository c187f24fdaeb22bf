//! Orders that work on machines: one descriptor, or all that they can be about below a folder.

use std::collections::BTreeSet;

use enginehouse_api::{
    ErrorCode, Operation, OperationKind, OperationRequest, Params, PlanRequest, Problem,
};
use enginehouse_model::{FullName, HypervisorUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{After, OnFailure, Spec, Urgency};

use crate::house::{House, Staged, State};
use crate::orders::consent;
use crate::orders::definition::check_edit;
use crate::orders::dependencies::place;
use crate::orders::limits::limits_of;
use crate::orders::lowering;
use crate::orders::projected::{check_overtaking, check_projected};
use crate::orders::protecting;
use crate::orders::superseding::supersede;
use crate::orders::undoing::Undoes;
use crate::orders::waves::{may_go_in_waves, waves_of, with_waves};
use crate::orders::{Order, check_revision, check_settings, find, spec};

/// What is ordered.
pub(super) struct Wanted<'w> {
    pub request: &'w OperationRequest,
    /// Of a rollback of what an operation did: what that was.
    pub undone: Option<&'w Undoes>,
    /// Of a folder: these machines, of those that the order can be about.
    pub only: Option<&'w BTreeSet<NodeUid>>,
    pub if_match: Option<u64>,
}

/// Puts the order into the queue, for a folder as a whole with its parts.
pub(super) fn queue(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    wanted: &Wanted<'_>,
    who: &str,
    now: Timestamp,
) -> Result<Operation, Problem> {
    let request = wanted.request;
    let node = find(state, &request.path)?;
    if let Some(expected) = wanted.if_match {
        check_revision(state, node, &request.path, expected)?;
    }
    let mut order = Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    let is_folder = state.tree.node(node).is_ok_and(|node| node.is_folder());
    order.params = with_waves(&order, is_folder)?;
    let overtakes = order.kind == OperationKind::Stop && order.params.force;
    let targets = if let Some(undoes) = wanted.undone {
        undone_targets(state, &order, undoes)?
    } else if is_folder {
        if order.changes_definition() {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                "a folder is not reconfigured with changes",
            )
            .with_hint("`edit` the folder first, then `reconfigure` it"));
        }
        let mut targets = folder_targets(state, &order, overtakes)?;
        if let Some(only) = wanted.only {
            targets.retain(|(node, _)| only.contains(node));
        }
        targets
    } else {
        check_possible(state, node, order.kind, overtakes)?;
        vec![(node, order.path.clone())]
    };
    for (node, path) in &targets {
        check_machine_order(state, *node, path, &order)?;
    }
    lowering::check(state, &order)?;
    consent::check(state, &order, &targets)?;
    // What waits in a lane may change them yet: then it is asked when the turn comes.
    let settled: Vec<NodeUid> = targets
        .iter()
        .map(|(node, _)| *node)
        .filter(|node| state.queue.lane(*node).next().is_none())
        .collect();
    if !order.changes_definition() {
        check_settings(state, &order.path, &settled, order.intent())
            .map_err(|errors| crate::problem::of_settings(&errors))?;
    }
    if order.kind == OperationKind::Undeploy && !order.params.confirm_destructive {
        return Err(Problem::new(
            ErrorCode::NeedsConfirmation,
            match targets.as_slice() {
                [(_, path)] => format!("undeploy destroys the machine of {path}"),
                _ => format!(
                    "undeploy destroys {} machines below {}",
                    targets.len(),
                    order.path
                ),
            },
        )
        .with_hint(
            "look at the plan, then confirm with `confirm_destructive` (command line: --yes)",
        ));
    }
    let placed = place(state, order.kind, targets)?;
    let whole = on_failure(state, node, &order)?;
    // What is taken back is taken back by a part of the same operation.
    let has_parts = is_folder || whole == OnFailure::Rollback || wanted.undone.is_some();
    let parent = has_parts.then(|| state.number());
    let waves = waves_of(&order.params, placed.len());
    let goes_in_waves = order.params.waves.is_some();
    let mut parts: Vec<Spec> = Vec::with_capacity(placed.len());
    for (target, wave) in placed.into_iter().zip(waves) {
        let part = part_of(&order, target.node, target.path, wanted.undone);
        let (params, supersedes) = match part.kind {
            // One of a later wave may never begin, and would take what it has made needless with it.
            OperationKind::Reconfigure if !goes_in_waves => supersede(state, &part, who)?,
            _ => (part.params.clone(), Vec::new()),
        };
        let part = Order { params, ..part };
        let after_parts = target.after.iter().filter_map(|at| parts.get(*at));
        let after = after_parts
            .map(|before| before.number)
            .chain(target.after_queued)
            .map(|number| After {
                number,
                however_it_ends: false,
            })
            .chain(parent.filter(|_| wave > 0).map(|number| After {
                number,
                however_it_ends: true,
            }))
            .collect();
        let on_failure = on_failure(state, part.node, &part)?;
        let number = state.number();
        let hypervisor = slot_of(house, state, part.node);
        parts.push(Spec {
            parent,
            after,
            supersedes,
            overtakes,
            on_failure,
            wave,
            urgency: match order.params.automatic {
                Some(_) => Urgency::Automatic,
                None => Urgency::Person,
            },
            ..spec(number, &part, who, now, hypervisor)
        });
    }
    let specs = match parent {
        None => parts,
        Some(parent) => {
            let mut all = vec![Spec {
                children: parts.iter().map(|part| part.number).collect(),
                on_failure: whole,
                stop_after: order.params.max_failures,
                ..spec(parent, &order, who, now, None)
            }];
            all.append(&mut parts);
            all
        }
    };
    let first = specs.first().map_or(OperationId(0), |spec| spec.number);
    staged.output = state.queue.submit(specs, now);
    crate::view::of_number(state, first)
}

/// The waves in which an order would go.
#[derive(Debug, Default)]
pub(crate) struct Waves {
    /// The machines of each; none: it does not go in waves.
    pub machines: Vec<Vec<FullName>>,
    pub max_failures: Option<u32>,
}

/// In which waves the order would go through a folder, were it given now.
///
/// # Errors
/// When it would be refused for its waves, or for what the machines depend on.
pub(crate) fn in_waves(
    state: &State,
    node: NodeUid,
    request: &PlanRequest,
) -> Result<Waves, Problem> {
    let mut order = Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    if !may_go_in_waves(order.kind) {
        return Ok(Waves::default());
    }
    let is_folder = state.tree.node(node).is_ok_and(|node| node.is_folder());
    order.params = with_waves(&order, is_folder)?;
    // Where nothing can be done, the plan itself says why.
    let (true, Ok(targets)) = (
        order.params.waves.is_some(),
        folder_targets(state, &order, false),
    ) else {
        return Ok(Waves::default());
    };
    let placed = place(state, order.kind, targets)?;
    let waves = waves_of(&order.params, placed.len());
    let mut machines: Vec<Vec<FullName>> = Vec::new();
    for (target, wave) in placed.into_iter().zip(waves) {
        match machines.get_mut(wave as usize) {
            Some(machines) => machines.push(target.path),
            None => machines.push(vec![target.path]),
        }
    }
    Ok(Waves {
        machines,
        max_failures: order.params.max_failures,
    })
}

/// The order for one machine of many.
pub(crate) fn part_of(
    order: &Order,
    node: NodeUid,
    path: FullName,
    undoes: Option<&Undoes>,
) -> Order {
    let undo = undoes.and_then(|undoes| undoes.get(&node)).copied();
    Order {
        kind: match undo {
            Some(_) => OperationKind::Undo,
            None => order.kind,
        },
        node,
        path,
        params: Params {
            undo,
            of_operation: None,
            waves: None,
            max_failures: None,
            ..order.params.clone()
        },
    }
}

/// The machines on which something is taken back, in the order of their names.
fn undone_targets(
    state: &State,
    order: &Order,
    undoes: &Undoes,
) -> Result<Vec<(NodeUid, FullName)>, Problem> {
    let mut targets = Vec::new();
    for node in undoes.keys() {
        let name = state.tree.full_name(*node);
        let name = name.map_err(|error| crate::problem::of_lookup(&error))?;
        check_projected(state, *node, order.kind)?;
        targets.push((*node, name.clone()));
    }
    targets.sort_by(|(_, one), (_, other)| one.cmp(other));
    Ok(targets)
}

fn check_possible(
    state: &State,
    node: NodeUid,
    kind: OperationKind,
    overtakes: bool,
) -> Result<(), Problem> {
    if overtakes {
        check_overtaking(state, node, kind)
    } else {
        check_projected(state, node, kind)
    }
}

/// What becomes of what was done: as the order says, else the definition of what it is about.
fn on_failure(state: &State, node: NodeUid, order: &Order) -> Result<OnFailure, Problem> {
    let undoes = matches!(
        order.kind,
        OperationKind::Deploy | OperationKind::Reconfigure | OperationKind::Rollback
    );
    if !undoes {
        return Ok(OnFailure::Keep);
    }
    let defined = state
        .tree
        .computed(node)
        .map_err(|error| crate::problem::of_lookup(&error))?
        .on_failure();
    Ok(match (order.params.on_failure, defined) {
        (Some(enginehouse_api::OnFailure::Rollback), _)
        | (None, enginehouse_tree::OnFailure::Rollback) => OnFailure::Rollback,
        (Some(enginehouse_api::OnFailure::Keep), _) | (None, enginehouse_tree::OnFailure::Keep) => {
            OnFailure::Keep
        }
    })
}

/// The hypervisor whose slots an operation on `node` counts against; its limits are told to the
/// queue on the way.
pub(crate) fn slot_of(house: &House, state: &mut State, node: NodeUid) -> Option<HypervisorUid> {
    let recorded = state.record_of(node).map(|record| record.hypervisor);
    let uid = recorded.or_else(|| {
        let computed = state.tree.computed(node).ok()?;
        computed.hypervisor().map(|hypervisor| hypervisor.uid)
    })?;
    let limits = limits_of(&house.config, state, uid);
    state.queue.set_limits(uid, limits);
    Some(uid)
}

fn check_machine_order(
    state: &State,
    node: NodeUid,
    path: &FullName,
    order: &Order,
) -> Result<(), Problem> {
    let computed = state
        .tree
        .computed(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    match order.kind {
        OperationKind::Deploy if computed.hypervisor().is_none() => Err(Problem::new(
            ErrorCode::Invalid,
            format!("{path} has no hypervisor to be deployed on"),
        )
        .with_hint(
            "name one with `use_hypervisor`, here or on a folder above, and define it under `hypervisors`",
        )),
        OperationKind::Undeploy if computed.protect() => {
            let by = computed.protected_by().unwrap_or(path);
            Err(Problem::new(
                ErrorCode::Forbidden,
                format!("{path} is not undeployed: {by} protects it"),
            )
            .with_hint(format!(
                "if it really is to go, `enginehouse edit {by} protect=false --lower-protection` first"
            )))
        }
        OperationKind::Undeploy => match protecting::of(state, node) {
            None => Ok(()),
            Some(protected) => Err(Problem::new(
                ErrorCode::Forbidden,
                format!("{path} is not undeployed: {} protects its machine", protected.by),
            )
            .with_hint(format!(
                "if it really is to go, `enginehouse unprotect {path} --lower-protection` first"
            ))),
        },
        OperationKind::Reconfigure if order.changes_definition() => {
            check_edit(state, order)
        }
        _ => Ok(()),
    }
}

/// The descriptors below a folder that the order can be about, in the order of their names.
fn folder_targets(
    state: &State,
    order: &Order,
    overtakes: bool,
) -> Result<Vec<(NodeUid, FullName)>, Problem> {
    let below: Vec<NodeUid> = state
        .tree
        .descriptors(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?
        .map(|node| node.uid)
        .collect();
    let all = below.len();
    let targets: Vec<(NodeUid, FullName)> = below
        .into_iter()
        .filter(|node| check_possible(state, *node, order.kind, overtakes).is_ok())
        .filter_map(|node| {
            let name = state.tree.full_name(node).ok()?;
            Some((node, name.clone()))
        })
        .collect();
    if targets.is_empty() {
        let problem = Problem::new(
            ErrorCode::WrongState,
            match all {
                0 => format!("there is no descriptor below {}", order.path),
                _ => format!(
                    "none of the {all} descriptors below {} is in a state for `{}`",
                    order.path, order.kind
                ),
            },
        );
        return Err(problem.with_hint(format!("see `enginehouse tree {}`", order.path)));
    }
    Ok(targets)
}
