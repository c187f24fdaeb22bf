//! The state that the operations in a lane will leave: what an order is checked against.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_model::{FullName, NodeUid, OperationId};
use enginehouse_queue::{Operation, Phase};
use enginehouse_tree::{Event, Status, next};

use crate::house::State;
use crate::orders::{Order, kind_of};
use crate::work::replaces;

/// A descriptor as operations will leave it.
#[derive(Clone, Copy, Debug)]
struct Projection<'p> {
    full_name: &'p FullName,
    /// `None`: it will be gone.
    status: Option<Status>,
    has_machine: bool,
    /// The operation that made the machine.
    made_by: Option<OperationId>,
}

/// Is the kind possible in the state that the operations in the lane will leave?
pub(super) fn check_projected(
    state: &State,
    node: NodeUid,
    kind: OperationKind,
) -> Result<(), Problem> {
    let mut projection = Projection::of(state, node)?;
    for operation in state.queue.lane(node) {
        projection.take(operation);
    }
    projection.allows(kind)
}

/// The same for an order that goes before all that has not begun.
pub(super) fn check_overtaking(
    state: &State,
    node: NodeUid,
    kind: OperationKind,
) -> Result<(), Problem> {
    let mut projection = Projection::of(state, node)?;
    let lane = state.queue.lane(node);
    for operation in lane.filter(|operation| operation.phase != Phase::Pending) {
        projection.take(operation);
    }
    projection.allows(kind)
}

/// Are the operations of a lane that have not begun possible in this order?
pub(crate) fn check_order_of_lane(
    state: &State,
    node: NodeUid,
    order: &[OperationId],
) -> Result<(), Problem> {
    let mut projection = Projection::of(state, node)?;
    let lane = state.queue.lane(node);
    for operation in lane.filter(|operation| operation.phase != Phase::Pending) {
        projection.take(operation);
    }
    for operation in order.iter().filter_map(|number| state.queue.get(*number)) {
        if let Some(kind) = kind_of(&operation.spec) {
            projection.allows(kind).map_err(|mut problem| {
                let number = operation.number();
                problem.detail =
                    format!("operation {number} could not run there: {}", problem.detail);
                problem.hint = None;
                problem
            })?;
        }
        projection.take(operation);
    }
    Ok(())
}

impl<'p> Projection<'p> {
    fn of(state: &'p State, node: NodeUid) -> Result<Self, Problem> {
        let of_lookup = |error| crate::problem::of_lookup(&error);
        let full_name = state.tree.full_name(node).map_err(of_lookup)?;
        let body = state.tree.descriptor(node).map_err(of_lookup)?;
        Ok(Self {
            full_name,
            status: Some(body.status),
            has_machine: body.machine.is_some(),
            made_by: state.record_of(node).map(|record| record.mark.operation),
        })
    }

    /// What it is after this operation.
    fn take(&mut self, operation: &Operation) {
        let Ok(order) = Order::of(&operation.spec) else {
            return;
        };
        if let Some(undo) = order.params.undo
            && self.made_by != Some(undo.of)
        {
            return;
        }
        if order.destroys() {
            self.made_by = None;
            (self.status, self.has_machine) = (Some(Status::Provisioned), false);
            return;
        }
        match order.kind {
            OperationKind::Deploy | OperationKind::Adopt => {
                self.made_by = self.made_by.or(Some(operation.number()));
                (self.status, self.has_machine) = (Some(Status::Deployed), true);
            }
            OperationKind::Deprovision => self.status = None,
            // The old machine may be gone already.
            _ if replaces(operation) => {
                self.made_by = Some(operation.number());
                (self.status, self.has_machine) = (Some(Status::Deployed), true);
            }
            _ => {}
        }
    }

    fn allows(&self, kind: OperationKind) -> Result<(), Problem> {
        let full_name = self.full_name;
        let Some(status) = self.status else {
            return Err(Problem::new(
                ErrorCode::WrongState,
                format!("{full_name} is about to be deprovisioned"),
            ));
        };
        let event = match kind {
            OperationKind::Deploy | OperationKind::Adopt => Event::Deploy,
            OperationKind::Undeploy => Event::Undeploy,
            OperationKind::Deprovision => Event::Deprovision,
            OperationKind::Edit | OperationKind::Move => {
                return if status == Status::Provisioned {
                    Ok(())
                } else {
                    Err(not_provisioned(full_name, kind, status))
                };
            }
            OperationKind::Reconfigure
            | OperationKind::Start
            | OperationKind::Stop
            | OperationKind::Restart
            | OperationKind::Rollback => return deployed(full_name, kind, status),
            // The host orders it, of what is there.
            OperationKind::Undo
            | OperationKind::CreateFolder
            | OperationKind::RemoveFolder
            | OperationKind::Provision
            | OperationKind::Protect
            | OperationKind::Unprotect
            | OperationKind::SetGrants
            | OperationKind::SetSecret
            | OperationKind::RemoveSecret
            | OperationKind::RotateKey
            | OperationKind::Import => return Ok(()),
        };
        next(status, self.has_machine, event)
            .map(|_| ())
            .map_err(|refused| {
                Problem::new(
                    ErrorCode::WrongState,
                    format!(
                        "`{}` of {full_name} is refused while {}",
                        refused.event, refused.status
                    ),
                )
                .with_hint(refused.instead)
            })
    }
}

fn deployed(full_name: &FullName, kind: OperationKind, status: Status) -> Result<(), Problem> {
    let hint = match status {
        Status::Deployed => return Ok(()),
        Status::Provisioned => "`deploy` makes the machine; `edit` changes the definition before",
        Status::Unreachable => "wait until its hypervisor is reachable again",
    };
    let detail = format!("`{kind}` of {full_name} is refused while {status}");
    Err(Problem::new(ErrorCode::WrongState, detail).with_hint(hint))
}

fn not_provisioned(full_name: &FullName, kind: OperationKind, status: Status) -> Problem {
    let problem = Problem::new(
        ErrorCode::WrongState,
        format!("`{kind}` of {full_name} is refused while {status}"),
    );
    match (kind, status) {
        (_, Status::Unreachable) => {
            problem.with_hint("wait until it is reachable and undeploy then, or confirm that the machine is missing")
        }
        (OperationKind::Move, _) => problem
            .with_hint("`undeploy` first: a machine has the name of its descriptor, and keeps it"),
        _ => problem.with_hint(
            "`reconfigure` changes the definition and the machine with it; `undeploy` makes the descriptor free to edit",
        ),
    }
}
