//! The state that the operations of a lane will leave: what an order is checked against.

use enginehouse_model::{NodeUid, OperationId};
use enginehouse_queue::{Operation, Phase};
use enginehouse_tree::{Event, Status, next};

use crate::memory::Memory;
use crate::orders::{Kind, params_of};

/// A descriptor as operations will leave it.
#[derive(Clone, Copy)]
pub(crate) struct Projection {
    /// None: it will be gone.
    status: Option<Status>,
    machine: bool,
    /// The operation that made it.
    made_by: Option<OperationId>,
}

impl Projection {
    fn of(memory: &Memory, node: NodeUid) -> Result<Self, String> {
        let body = memory.tree.descriptor(node);
        let body = body.map_err(|error| error.to_string())?;
        Ok(Self {
            status: Some(body.status),
            machine: body.machine.is_some(),
            made_by: memory.record_of(node).map(|record| record.mark.operation),
        })
    }

    fn take(&mut self, operation: &Operation) {
        let undo = params_of(&operation.spec).undo;
        match Kind::of(&operation.spec) {
            Some(Kind::Deploy) => {
                self.made_by = self.made_by.or(Some(operation.number()));
                (self.status, self.machine) = (Some(Status::Deployed), true);
            }
            Some(Kind::Undo)
                if undo.is_none_or(|undo| !undo.destroy || self.made_by != Some(undo.of)) => {}
            Some(Kind::Undeploy | Kind::Undo) => {
                self.made_by = None;
                (self.status, self.machine) = (Some(Status::Provisioned), false);
            }
            Some(Kind::Deprovision) => self.status = None,
            _ => {}
        }
    }

    pub(crate) fn allows(&self, kind: Kind) -> Result<(), String> {
        let Some(status) = self.status else {
            return Err("it is about to be deprovisioned".to_owned());
        };
        let event = match kind {
            Kind::Deploy => Event::Deploy,
            Kind::Undeploy => Event::Undeploy,
            Kind::Deprovision => Event::Deprovision,
            // The host orders it, of what is there.
            Kind::Provision | Kind::Undo => return Ok(()),
            Kind::Edit | Kind::Move if status == Status::Provisioned => return Ok(()),
            Kind::Reconfigure | Kind::Start | Kind::Stop | Kind::Restart | Kind::Rollback
                if status == Status::Deployed =>
            {
                return Ok(());
            }
            Kind::Edit
            | Kind::Move
            | Kind::Reconfigure
            | Kind::Start
            | Kind::Stop
            | Kind::Restart
            | Kind::Rollback => {
                return Err(format!("{kind:?} is refused while {status}"));
            }
        };
        next(status, self.machine, event)
            .map(|_| ())
            .map_err(|refused| refused.to_string())
    }
}

/// The state that the operations in a lane will leave must fit the kind; for one that overtakes,
/// that which those that have begun will leave.
pub(crate) fn check_projected(
    memory: &Memory,
    node: NodeUid,
    kind: Kind,
    overtakes: bool,
) -> Result<(), String> {
    let mut projection = Projection::of(memory, node)?;
    let lane = memory.queue.lane(node);
    for operation in lane.filter(|operation| !overtakes || operation.phase != Phase::Pending) {
        projection.take(operation);
    }
    projection.allows(kind)
}

/// Are the operations of a lane that have not begun possible in this order?
pub(crate) fn check_order(
    memory: &Memory,
    node: NodeUid,
    order: &[OperationId],
) -> Result<(), String> {
    let mut projection = Projection::of(memory, node)?;
    let lane = memory.queue.lane(node);
    for operation in lane.filter(|operation| operation.phase != Phase::Pending) {
        projection.take(operation);
    }
    for operation in order.iter().filter_map(|number| memory.queue.get(*number)) {
        if let Some(kind) = Kind::of(&operation.spec) {
            projection.allows(kind)?;
        }
        projection.take(operation);
    }
    Ok(())
}
