//! Protection of machines themselves, on their records.
//!
//! What a definition says of a deployed machine is changed by `reconfigure`, in its turn. This acts in
//! the commit that numbers it, whatever waits or works on the machine: from then on nothing destroys
//! it, up to the request that would. It goes with the machine: no edit, move or import changes it.

use enginehouse_api::{ErrorCode, OperationKind, Problem};
use enginehouse_audit::Action;
use enginehouse_model::{FullName, MachineUid, NodeUid, Protected, Timestamp};
use enginehouse_reconcile::FieldChange;

use crate::audit::Note;
use crate::house::{Staged, State};
use crate::orders::{Order, lowering};

/// Who protects the machine of a descriptor on its record.
pub(crate) fn of(state: &State, node: NodeUid) -> Option<&Protected> {
    state.record_of(node)?.protected.as_ref()
}

/// Protects the machines of a node and below that have none on record yet, or takes that away from those
/// that have.
///
/// # Errors
/// `wrong-state` where there is no machine; `needs-confirmation` where protection would be taken away
/// and nobody said so.
pub(super) fn carry_out(
    state: &mut State,
    staged: &mut Staged,
    order: &Order,
    now: Timestamp,
) -> Result<(), Problem> {
    let protects = order.kind == OperationKind::Protect;
    let machines = machines(state, order)?;
    let changed: Vec<MachineUid> = machines
        .into_iter()
        .filter(|uid| {
            let record = state.records.get(uid);
            record.is_some_and(|record| record.protected.is_some() != protects)
        })
        .collect();
    if !protects {
        if let Some(name) = changed
            .iter()
            .find_map(|uid| asks_others(state, order, *uid))
        {
            return Err(Problem::new(
                ErrorCode::Conflict,
                format!("{name} asks other people for approval than {}", order.path),
            )
            .with_hint(format!(
                "order it of the machine, `enginehouse unprotect {name} --lower-protection`, and the like"
            )));
        }
        let lowered: Vec<String> = changed
            .iter()
            .filter_map(|uid| described(state, *uid))
            .collect();
        if let Some(refused) = lowering::refusal(&lowered, order.params.confirm_lowered) {
            return Err(refused);
        }
    }
    let who = staged.history.cause().who.clone();
    let number = staged.history.cause().operation;
    for uid in changed {
        let Some(record) = state.records.get_mut(&uid) else {
            continue;
        };
        let after = protects.then(|| Protected {
            since: now,
            by: who.clone(),
        });
        let before = std::mem::replace(&mut record.protected, after);
        let (node, record) = (record.node, record.clone());
        staged.record(&record);
        if let Ok(path) = state.tree.full_name(node) {
            let note = Note::new(Action::Protection, &who)
                .about(Some(node), path)
                .operation(number);
            staged.audit.push(match before {
                None => note.with("record", "none -> protected"),
                Some(before) => note
                    .with("record", format!("protected by {} -> none", before.by))
                    .with("lowers", "record"),
            });
        }
    }
    Ok(())
}

/// The machines on record of a node and below.
fn machines(state: &State, order: &Order) -> Result<Vec<MachineUid>, Problem> {
    let descriptors = state.tree.descriptors(order.node);
    let descriptors = descriptors.map_err(|error| crate::problem::of_lookup(&error))?;
    let machines: Vec<MachineUid> = descriptors
        .filter_map(|node| node.body()?.machine)
        .filter(|uid| state.records.contains_key(uid))
        .collect();
    if machines.is_empty() {
        return Err(Problem::new(
            ErrorCode::WrongState,
            format!("there is no machine of {} to {}", order.path, order.kind),
        )
        .with_hint(format!(
            "`enginehouse edit {} protect=true` is for machines that are yet to come",
            order.path
        )));
    }
    Ok(machines)
}

/// What an `unprotect` takes away, to be approved.
pub(super) fn lowered(state: &State, order: &Order) -> Vec<FieldChange> {
    let machines = machines(state, order).unwrap_or_default();
    let records = machines.iter().filter_map(|uid| state.records.get(uid));
    records
        .filter_map(|record| {
            let by = &record.protected.as_ref()?.by;
            let name = state.tree.full_name(record.node).ok()?;
            Some(FieldChange {
                field: format!("{name} ({}) record", record.uid),
                from: format!("protected by {by}"),
                to: "none".to_owned(),
            })
        })
        .collect()
}

/// A machine below whose own folder asks others for approvals than the node that is ordered about: their
/// approval would be left out.
fn asks_others(state: &State, order: &Order, uid: MachineUid) -> Option<FullName> {
    let record = state.records.get(&uid)?;
    record.protected.as_ref()?;
    let asks = |node| {
        let computed = state.tree.computed(node).ok()?;
        computed.approvals().cloned()
    };
    let theirs = asks(record.node)?;
    let is_other = asks(order.node).as_ref() != Some(&theirs);
    let name = state.tree.full_name(record.node).ok()?;
    is_other.then(|| name.clone())
}

/// `/web/vm1: its machine, which ann protects`
fn described(state: &State, uid: MachineUid) -> Option<String> {
    let record = state.records.get(&uid)?;
    let by = &record.protected.as_ref()?.by;
    let name = state.tree.full_name(record.node).ok()?;
    Some(format!("{name}: its machine, which {by} protects"))
}
