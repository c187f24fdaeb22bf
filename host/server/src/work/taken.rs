//! What a step achieved, written down.

use enginehouse_documents::{Action, ActionRequest, Machine, Outcome, PowerState};
use enginehouse_model::{Identity, MachineRecord, NodeUid, OperationId, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_reconcile::PlannedAction;

use crate::doubt::creates;
use crate::house::{Staged, State};
use crate::work::call::planned_of;
use crate::work::replaced;

/// What was sent is what was achieved; but what a machine was made from stays in the definition's
/// words.
pub(super) fn take_over(planned: &mut PlannedAction, mut sent: ActionRequest) {
    if let (Action::Create { desired: sent }, Action::Create { desired }) =
        (&mut sent.action, &planned.request.action)
    {
        sent.base_image.clone_from(&desired.base_image);
    }
    planned.request = sent;
}

/// Writes what a finished step achieved.
pub(super) fn take_in(
    state: &mut State,
    staged: &mut Staged,
    number: OperationId,
    node: NodeUid,
    planned: &PlannedAction,
    outcome: &Outcome,
    now: Timestamp,
) {
    if let Some(operation) = state.queue.get(number).cloned()
        && replaced::ends_the_old(&operation, planned)
    {
        replaced::change_over(state, staged, &operation, node, now);
        return;
    }
    let live = state.live.entry(number).or_default();
    match (&outcome.machine, live.observed()) {
        (Some(machine), _) => live.see(Some(machine)),
        (None, Some(before)) => live.see(Some(&after(before, &planned.request.action))),
        (None, None) => {}
    }
    with_record(state, staged, node, |record| {
        enginehouse_reconcile::apply(record, planned, outcome);
        record.last_step_ended = now;
    });
}

/// A person says that the current step took effect: written down as if the engine had said so.
pub(crate) fn take_as_done(
    state: &mut State,
    staged: &mut Staged,
    number: OperationId,
    outcome: &Outcome,
    now: Timestamp,
) {
    let Some(operation) = state.queue.get(number).cloned() else {
        return;
    };
    let Ok(mut planned) = planned_of(&operation) else {
        return;
    };
    if let Some(request) = &operation.state.request
        && let Ok(request) = request.read()
    {
        take_over(&mut planned, request);
    }
    // What it looks like now has to be looked at.
    if let Some(live) = state.live.get_mut(&number) {
        live.see(None);
    }
    let node = operation.spec.target;
    take_in(state, staged, number, node, &planned, outcome, now);
}

/// What is known of a machine after an action whose outcome does not show it.
fn after(mut machine: Machine, action: &Action) -> Machine {
    machine.version = None;
    match action {
        Action::Start | Action::Restart { .. } => machine.power = PowerState::Running,
        Action::Stop { .. } => machine.power = PowerState::Stopped,
        Action::DiskGrow { slot, size } => {
            if let Some(config) = &mut machine.config
                && let Some(disk) = config.disks.get_mut(slot)
            {
                disk.size = Some(*size);
            }
        }
        Action::DiskRemove { slot, .. } => {
            if let Some(config) = &mut machine.config {
                config.disks.remove(slot);
            }
        }
        Action::NicRemove { slot } => {
            if let Some(config) = &mut machine.config {
                config.nics.remove(slot);
            }
        }
        // What it holds now has to be looked at.
        Action::Create { .. }
        | Action::Configure { .. }
        | Action::DiskAdd { .. }
        | Action::NicAdd { .. }
        | Action::NicChange { .. } => {
            machine.config = None;
        }
        // It carries our mark now, whatever it was.
        Action::Adopt => machine.mark = None,
        Action::Destroy { .. } => {}
    }
    machine
}

/// The provider's id, as soon as it is known: a creation that breaks off leaves a trace. One that is sent
/// again makes another machine, and that is the one to remember.
pub(super) fn note_machine(
    state: &mut State,
    staged: &mut Staged,
    operation: &Operation,
    id: &str,
) {
    let creates = creates(operation);
    with_record(state, staged, operation.spec.target, |record| {
        let known = machine_id(record);
        if known.is_none() || (creates && known.as_deref() != Some(id)) {
            record.identity = Some(Identity {
                machine_id: id.to_owned(),
                kind: None,
                host: None,
                incarnation: None,
            });
        }
    });
}

fn machine_id(record: &MachineRecord) -> Option<String> {
    let identity = record.identity.as_ref()?;
    Some(identity.machine_id.clone())
}

pub(super) fn with_record(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    change: impl FnOnce(&mut MachineRecord),
) {
    let Some(uid) = state.record_of(node).map(|record| record.uid) else {
        return;
    };
    if let Some(record) = state.records.get_mut(&uid) {
        let was = (machine_id(record), record.deployed.clone());
        change(record);
        record.unnoted |= was != (machine_id(record), record.deployed.clone());
        staged.record(record);
    }
}
