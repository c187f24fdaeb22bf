//! The state that the operations in a lane will leave: what an order is checked against.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_model::NodeUid;
use enginehouse_tree::{Event, Status, next};

use crate::house::State;
use crate::orders::kind_of;

/// Is the kind possible in the state that the operations in the lane will leave?
pub(super) fn check_projected(
    state: &State,
    node: NodeUid,
    kind: OperationKind,
) -> Result<(), Problem> {
    let full_name = state
        .tree
        .full_name(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let body = state
        .tree
        .descriptor(node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let mut status = Some(body.status);
    let mut machine = body.machine.is_some();
    for operation in state.queue.lane(node) {
        match kind_of(&operation.spec) {
            Some(OperationKind::Deploy) => {
                (status, machine) = (Some(Status::Deployed), true);
            }
            Some(OperationKind::Undeploy) => {
                (status, machine) = (Some(Status::Provisioned), false);
            }
            Some(OperationKind::Deprovision) => status = None,
            _ => {}
        }
    }
    let Some(status) = status else {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("{full_name} is about to be deprovisioned"),
        ));
    };
    let event = match kind {
        OperationKind::Deploy => Event::Deploy,
        OperationKind::Undeploy => Event::Undeploy,
        OperationKind::Deprovision => Event::Deprovision,
        OperationKind::Reconfigure
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::Restart => {
            return match status {
                Status::Deployed => Ok(()),
                Status::Provisioned => Err(Problem::new(
                    ErrorCode::WrongState,
                    format!("`{kind}` of {full_name} is refused while {status}"),
                )
                .with_hint("`deploy` makes the machine; `edit` changes the definition before")),
                Status::Unreachable => Err(Problem::new(
                    ErrorCode::WrongState,
                    format!("`{kind}` of {full_name} is refused while {status}"),
                )
                .with_hint("wait until its hypervisor is reachable again")),
            };
        }
        OperationKind::CreateFolder
        | OperationKind::RemoveFolder
        | OperationKind::Provision
        | OperationKind::Edit
        | OperationKind::SetGrants
        | OperationKind::SetSecret
        | OperationKind::RemoveSecret
        | OperationKind::RotateKey
        | OperationKind::Import => return Ok(()),
    };
    next(status, machine, event).map(|_| ()).map_err(|refused| {
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
