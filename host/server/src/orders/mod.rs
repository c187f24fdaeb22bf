//! What clients order: checked against what the queue will leave, numbered, and taken in.
//!
//! Orders that change only the tree are done in the commit that numbers them ([`tree`]), unless
//! operations on the same descriptor come before: then they wait in its lane like those that work on
//! machines ([`machine`]).

mod adoption;
mod consent;
mod definition;
mod dependencies;
mod grants;
mod hypervisors;
mod import;
mod limits;
mod lowering;
mod machine;
mod moving;
mod projected;
mod protecting;
mod settings;
mod superseding;
mod tree;
mod undoing;
mod waves;

use std::collections::BTreeSet;

use enginehouse_api::{
    ErrorCode, Operation, OperationKind, OperationRequest, OperationState, Params, Problem,
};
use enginehouse_documents::Code;
use enginehouse_model::{FullName, HypervisorUid, MachineRecord, NodeUid, OperationId, Timestamp};
use enginehouse_queue::Spec;
use enginehouse_reconcile::{Intent, KeepDisks};

use crate::access::{Caller, check_order};
use crate::continuous::RECONCILER;
use crate::house::{House, Staged, State};
use crate::idempotency::{OrderKey, Taken};

pub(crate) use adoption::adopt;
pub(crate) use consent::missing as agreement_missing;
pub(crate) use definition::{edit_definition, keep_secrets, new_definition};
pub(crate) use hypervisors::must_keep_machines;
pub(crate) use import::import;
pub(crate) use limits::{default_limits, set_all_limits};
pub(crate) use lowering::{keep_or_revert, unit as lowering_unit};
pub(crate) use machine::{in_waves, part_of, slot_of};
pub(crate) use projected::check_order_of_lane;
pub(crate) use protecting::of as protected;
pub(crate) use settings::{check_settings, check_settings_now};
pub(crate) use undoing::done_by;
pub(crate) use waves::waves_of;

pub(crate) use tree::{apply_to_tree, look_at, preview, without_literals};

/// Changes of single keys that one order may have. They are made while everybody else waits.
const CHANGES_MAX: usize = 10_000;

/// An order with its target found.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub kind: OperationKind,
    pub node: NodeUid,
    pub path: FullName,
    pub params: Params,
}

impl Order {
    /// The order behind an operation of the queue.
    pub(crate) fn of(spec: &Spec) -> Result<Self, enginehouse_documents::Problem> {
        let broken = |text| enginehouse_documents::Problem::new(Code::Invalid, text);
        Ok(Self {
            kind: kind_of(spec)
                .ok_or_else(|| broken(format!("there is no kind of operation `{}`", spec.kind)))?,
            node: spec.target,
            path: spec.target_name.clone(),
            params: serde_json::from_value(spec.params.clone())
                .map_err(|error| broken(error.to_string()))?,
        })
    }

    /// Whether the machine is gone afterwards.
    pub(crate) fn destroys(&self) -> bool {
        matches!(self.intent(), Intent::Undeploy { .. })
    }

    /// Whether it is to destroy a machine that is gone: what was ordered before the rollback began
    /// comes before it. The one on record now, if any, was made by another operation.
    pub(crate) fn was_taken_back(&self, now: Option<&MachineRecord>) -> bool {
        let undo = self.params.undo.filter(|undo| undo.destroy);
        undo.is_some_and(|undo| now.is_none_or(|record| record.mark.operation != undo.of))
    }

    pub(crate) fn changes_definition(&self) -> bool {
        self.params.definition.is_some() || !self.params.changes.is_empty()
    }

    /// What the planner is asked for.
    pub(crate) fn intent(&self) -> Intent {
        intent(self.kind, &self.params)
    }
}

/// The kind of an operation of the queue; none where the journal is of a later version.
pub(crate) fn kind_of(spec: &Spec) -> Option<OperationKind> {
    OperationKind::from_name(&spec.kind)
}

pub(crate) fn intent(kind: OperationKind, params: &Params) -> Intent {
    let graceful = !params.force;
    match kind {
        OperationKind::Deploy => Intent::Deploy,
        OperationKind::Adopt => Intent::Adopt,
        OperationKind::Reconfigure => Intent::Reconfigure,
        OperationKind::Start => Intent::Start,
        OperationKind::Stop => Intent::Stop { graceful },
        OperationKind::Restart => Intent::Restart { graceful },
        OperationKind::Undeploy => Intent::Undeploy {
            keep: match params.keep_disks {
                true => KeepDisks::All,
                false => KeepDisks::Marked,
            },
        },
        // What an operation made goes as a whole, also what a definition marks to be kept.
        OperationKind::Undo if params.undo.is_some_and(|undo| undo.destroy) => Intent::Undeploy {
            keep: KeepDisks::None,
        },
        OperationKind::Undo | OperationKind::Rollback => Intent::Reconfigure,
        OperationKind::CreateFolder
        | OperationKind::RemoveFolder
        | OperationKind::Provision
        | OperationKind::Deprovision
        | OperationKind::Protect
        | OperationKind::Unprotect
        | OperationKind::Edit
        | OperationKind::Move
        | OperationKind::SetGrants
        | OperationKind::SetSecret
        | OperationKind::RemoveSecret
        | OperationKind::RotateKey
        | OperationKind::Import => Intent::Observe,
    }
}

/// Takes an order in. The answer is durable: ended for quick kinds, pending for the others. One with a
/// key that was taken in before is not looked at again.
pub(crate) async fn accept(
    caller: &Caller,
    request: OperationRequest,
    if_match: Option<u64>,
    key: Option<OrderKey>,
) -> Result<Taken<Operation>, Problem> {
    check_params(&request)?;
    let (house, who) = (caller.house(), caller.who());
    let key = key.as_ref();
    let undone = match request.params.of_operation {
        Some(of) => {
            // Before anything is said of what that operation did.
            check_order(caller, &mut house.state.lock(), &request)?;
            Some(undoing::done_by(house, &request.path, of).await?)
        }
        None => None,
    };
    house
        .transact(|state, staged, now| {
            if let Some(before) = state.taken_before(key, now, house.config.keep.keys)? {
                return Ok(Taken::Before(before));
            }
            check_order(caller, state, &request)?;
            // Before anything is stored: nothing below may see a password.
            let request = crate::secrets::seal_order(state, staged, &request, who, now)?;
            let operation = if request.kind.works_on_machine() {
                let wanted = machine::Wanted {
                    request: &request,
                    undone: undone.as_ref(),
                    only: None,
                    if_match,
                };
                machine::queue(house, state, staged, &wanted, who, now)
            } else {
                tree::order(state, staged, &request, who, if_match, now)
            }?;
            state.keep_key(staged, key, operation.number, now);
            Ok(Taken::New(operation))
        })
        .await
}

/// Takes in what the host wants by itself; `only`: of a folder, these machines.
///
/// # Errors
/// When it is not possible now; nothing has changed then.
pub(crate) fn automatic(
    house: &House,
    state: &mut State,
    staged: &mut Staged,
    request: &OperationRequest,
    only: Option<&BTreeSet<NodeUid>>,
    now: Timestamp,
) -> Result<Operation, Problem> {
    let wanted = machine::Wanted {
        request,
        undone: None,
        only,
        if_match: None,
    };
    machine::queue(house, state, staged, &wanted, RECONCILER, now)
}

fn check_params(request: &OperationRequest) -> Result<(), Problem> {
    let params = &request.params;
    let kind = request.kind;
    let route = match kind {
        OperationKind::SetSecret => Some("PUT /v1/secrets/{name}"),
        OperationKind::RemoveSecret => Some("DELETE /v1/secrets/{name}"),
        OperationKind::RotateKey => Some("POST /v1/secret-key/rotate"),
        _ => None,
    };
    if let Some(route) = route {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            format!("`{kind}` has a route of its own, so that no value is kept with an operation"),
        )
        .with_hint(format!("send {route}")));
    }
    if kind == OperationKind::Undo {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "`undo` is what the host does when an operation is rolled back",
        )
        .with_hint("`rollback` brings a machine back to an earlier deployed config"));
    }
    if kind == OperationKind::Import {
        return Err(
            Problem::new(ErrorCode::BadRequest, "an import is ordered with its files")
                .with_hint("send them to `POST /v1/imports`"),
        );
    }
    if kind == OperationKind::Adopt {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "an adoption is ordered with the machines that it takes",
        )
        .with_hint("send them to `POST /v1/adoptions`"));
    }
    let defines = matches!(
        kind,
        OperationKind::CreateFolder
            | OperationKind::Provision
            | OperationKind::Edit
            | OperationKind::Reconfigure
    );
    let stops = matches!(
        kind,
        OperationKind::Undeploy | OperationKind::Stop | OperationKind::Restart
    );
    let undoes = matches!(
        kind,
        OperationKind::Deploy | OperationKind::Reconfigure | OperationKind::Rollback
    );
    if params.to_operation.is_some() && params.of_operation.is_some() {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "`to_operation` and `of_operation` say different things",
        )
        .with_hint(
            "`to_operation`: what that operation left; `of_operation`: what was before it",
        ));
    }
    let lowers = matches!(
        kind,
        OperationKind::Edit
            | OperationKind::Reconfigure
            | OperationKind::Move
            | OperationKind::RemoveFolder
            | OperationKind::Deprovision
            | OperationKind::Unprotect
    );
    let undeploys = kind == OperationKind::Undeploy;
    let moves = kind == OperationKind::Move;
    if params.changes.len() > CHANGES_MAX {
        return Err(Problem::new(
            ErrorCode::TooLarge,
            format!(
                "an order has at most {CHANGES_MAX} changes of keys, this one has {}",
                params.changes.len()
            ),
        )
        .with_hint("send the whole definition"));
    }
    if moves && params.to.is_none() {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "`move` needs the parameter `to`: the full name that the node gets",
        ));
    }
    for (name, given, allowed) in [
        ("definition", params.definition.is_some(), defines),
        ("changes", !params.changes.is_empty(), defines),
        (
            "grants",
            !params.grants.is_empty(),
            kind == OperationKind::SetGrants,
        ),
        ("to", params.to.is_some(), moves),
        ("import", params.import.is_some(), false),
        ("adoption", params.adoption.is_some(), false),
        ("adopts", params.adopts.is_some(), false),
        ("keep_disks", params.keep_disks, undeploys),
        ("confirm_lowered", params.confirm_lowered, lowers),
        ("force", params.force, stops),
        ("on_failure", params.on_failure.is_some(), undoes),
        ("undo", params.undo.is_some(), false),
        ("automatic", params.automatic.is_some(), false),
        (
            "to_operation",
            params.to_operation.is_some(),
            kind == OperationKind::Rollback,
        ),
        (
            "of_operation",
            params.of_operation.is_some(),
            kind == OperationKind::Rollback,
        ),
        (
            "waves",
            params.waves.is_some(),
            waves::may_go_in_waves(kind),
        ),
        (
            "max_failures",
            params.max_failures.is_some(),
            waves::may_go_in_waves(kind),
        ),
        (
            "shutdown_timeout_s",
            params.shutdown_timeout_s.is_some(),
            stops,
        ),
    ] {
        if given && !allowed {
            return Err(Problem::new(
                ErrorCode::BadRequest,
                format!("`{kind}` has no parameter `{name}`"),
            ));
        }
    }
    Ok(())
}

/// Whether what an operation of this kind did can be taken back on its own.
fn kind_is_undone(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::Reconfigure | OperationKind::Rollback | OperationKind::Undo
    )
}

pub(crate) fn spec(
    number: OperationId,
    order: &Order,
    who: &str,
    now: Timestamp,
    hypervisor: Option<HypervisorUid>,
) -> Spec {
    Spec {
        params: serde_json::to_value(&order.params).unwrap_or_default(),
        hypervisor,
        ..Spec::new(
            number,
            order.kind.as_str(),
            order.node,
            order.path.clone(),
            who,
            now,
        )
    }
}

fn check_revision(
    state: &State,
    node: NodeUid,
    path: &FullName,
    expected: u64,
) -> Result<(), Problem> {
    let found = state
        .tree
        .node(node)
        .map_err(|error| crate::problem::of_lookup(&error))?
        .revision;
    let waits = state
        .queue
        .lane(node)
        .filter_map(|operation| kind_of(&operation.spec))
        .any(|kind| {
            matches!(
                kind,
                OperationKind::Reconfigure | OperationKind::Edit | OperationKind::Move
            )
        });
    if found == expected && !waits {
        return Ok(());
    }
    Err(Problem::new(
        ErrorCode::Stale,
        if waits {
            format!("a change of {path} is waiting in the queue")
        } else {
            format!("{path} has revision {found}, the order was made for {expected}")
        },
    )
    .with_hint("read it again and decide anew"))
}

pub(crate) fn find(state: &State, path: &FullName) -> Result<NodeUid, Problem> {
    state
        .tree
        .find(path)
        .map_err(|error| crate::problem::of_lookup(&error))
}

/// The state of an operation that ended, as the API says it.
pub(crate) fn final_state(state: enginehouse_queue::Final) -> OperationState {
    match state {
        enginehouse_queue::Final::Succeeded => OperationState::Succeeded,
        enginehouse_queue::Final::Failed => OperationState::Failed,
        enginehouse_queue::Final::Cancelled => OperationState::Cancelled,
        enginehouse_queue::Final::Superseded => OperationState::Superseded,
    }
}
