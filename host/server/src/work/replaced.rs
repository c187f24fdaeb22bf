//! Between the two halves of a replace: the machine is gone, and another is to be made.
//!
//! In the commit that has the end of the old machine, its record goes into the history and another
//! takes its place, with an identity and a mark of its own. The descriptor is provisioned from then on,
//! with a machine on record that is not made yet: as after a deploy that broke off. Whatever ends the
//! operation now, a kill or a refusal, `deploy` goes on from there, and nobody takes the old machine for
//! the one that is meant.

use std::collections::BTreeMap;

use enginehouse_documents::{Action, Config};
use enginehouse_model::{MachineRecord, MachineUid, Mark, NodeUid, OperationId, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::PlannedAction;
use enginehouse_store::{Table, Write};
use enginehouse_tree::Event;
use uuid::Uuid;

use crate::history::MachineEvent;
use crate::house::{Staged, State};

/// Whether the operation destroys a machine and makes another in its place.
pub(crate) fn replaces(operation: &Operation) -> bool {
    let has = |action: &str| operation.steps.iter().any(|step| step.action == action);
    has("destroy") && has("create")
}

/// Whether this step is the end of the old machine.
pub(super) fn ends_the_old(operation: &Operation, planned: &PlannedAction) -> bool {
    matches!(planned.request.action, Action::Destroy { .. }) && replaces(operation)
}

/// Puts the record of the machine that is to be made in the place of the one that is gone.
pub(super) fn change_over(
    state: &mut State,
    staged: &mut Staged,
    operation: &Operation,
    node: NodeUid,
    now: Timestamp,
) {
    let number = operation.number();
    staged.because_of(&operation.spec);
    let Some(old) = state.record_of(node).map(|record| record.uid) else {
        return;
    };
    let Some(old) = state.records.remove(&old) else {
        return;
    };
    staged.history.machine(state, &old, MachineEvent::Removed);
    staged.writes.push(Write::Delete {
        table: Table::Machine,
        key: old.uid.to_string(),
    });
    let new = next(&old, number, now);
    let changes = state
        .tree
        .transition(node, Event::Undeploy)
        .and_then(|undeployed| Ok([undeployed, state.tree.set_machine(node, Some(new.uid))?]));
    match changes {
        Ok(changes) => {
            for change in changes {
                staged.nodes(&state.tree, &change);
            }
        }
        Err(error) => {
            tracing::error!(operation = %number, %error, "the descriptor was not given the machine that replaces its own");
        }
    }
    staged.record(&new);
    state.records.insert(new.uid, Box::new(new));
    // The old one is not what the next step is about.
    state.live.entry(number).or_default().see(None);
}

fn next(old: &MachineRecord, number: OperationId, now: Timestamp) -> MachineRecord {
    let uid = MachineUid::from_uuid(Uuid::now_v7());
    MachineRecord {
        uid,
        node: old.node,
        hypervisor: old.hypervisor,
        provider_identity: old.provider_identity.clone(),
        mark: Mark {
            installation: old.mark.installation,
            machine: uid,
            operation: number,
        },
        created_by: number,
        identity: None,
        slots: BTreeMap::new(),
        deployed: Config::default(),
        last_step_ended: now,
        unnoted: false,
        // Somebody may have said so when it was too late for the old one.
        protected: old.protected.clone(),
    }
}
