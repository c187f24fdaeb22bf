//! What a step has achieved that a person calls done: most say no more than that, but what the machine has
//! new must be known by the provider's name, or it could never be changed again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use enginehouse_documents::{Action, Config, Machine, Outcome};
use enginehouse_model::{MachineRecord, OperationId};
use enginehouse_queue::{Operation, Phase};
use enginehouse_reconcile::PlannedAction;

use crate::house::House;
use crate::work::occasion::listener;
use crate::work::{Target, observe};

/// Looks at the machine where that is necessary.
///
/// # Errors
/// In words, when it does not show what was done.
pub(crate) async fn outcome_of(house: &Arc<House>, number: OperationId) -> Result<Outcome, String> {
    let operation = crate::house::operation_of(&house.state.lock(), number)
        .filter(|operation| matches!(operation.phase, Phase::InDoubt { .. }));
    // Whether it is in doubt at all is said by who asked.
    let Some(operation) = operation else {
        return Ok(Outcome::default());
    };
    let Some(Added { what, name }) = added(&operation) else {
        return Ok(Outcome::default());
    };
    let target = Target::of(house, operation.spec.target).map_err(|problem| problem.to_string())?;
    let record = target.record.clone();
    let identity = record.as_ref().and_then(|record| record.identity.clone());
    let (Some(record), Some(identity)) = (record, identity) else {
        return Err("there is no machine on record".to_owned());
    };
    let observer = listener(house, &operation);
    let seen = observe::read(&target, identity.machine_ref(), &observer)
        .await
        .map_err(|problem| {
            format!("the machine has to be looked at to see where {what} {name} is: {problem}")
        })?;
    let machine = seen.ok_or_else(|| format!("machine {} is not there", identity.machine_id))?;
    let before = {
        let state = house.state.lock();
        let live = state.live.get(&number);
        live.and_then(|live| live.observed())
    };
    let slot = new_slot(what, &record, before.as_ref(), &machine)
        .map_err(|reason| format!("{what} {name} is not to be seen: {reason}"))?;
    Ok(Outcome {
        slots: BTreeMap::from([(name, slot)]),
        machine: Some(machine),
        ..Outcome::default()
    })
}

/// What the step was to add to the machine, by the definition's name.
struct Added {
    what: What,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Disk,
    Nic,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "disk",
            Self::Nic => "nic",
        })
    }
}

impl What {
    fn slots(self, config: &Config) -> Vec<&String> {
        match self {
            Self::Disk => config.disks.keys().collect(),
            Self::Nic => config.nics.keys().collect(),
        }
    }
}

fn added(operation: &Operation) -> Option<Added> {
    let step = operation.current_step()?;
    let planned: PlannedAction = step.body.read().ok()?;
    let (what, name) = match planned.request.action {
        Action::DiskAdd { name, .. } => (What::Disk, name),
        Action::NicAdd { name, .. } => (What::Nic, name),
        _ => return None,
    };
    Some(Added { what, name })
}

/// The one slot with something that is new: neither on record nor there before.
fn new_slot(
    what: What,
    record: &MachineRecord,
    before: Option<&Machine>,
    now: &Machine,
) -> Result<String, String> {
    let config = now.config.as_ref();
    let config = config.ok_or("the hypervisor does not show the machine's configuration")?;
    let before = before.and_then(|machine| machine.config.as_ref());
    let known = |slot: &String| {
        record.slots.values().any(|known| known == slot)
            || before.is_some_and(|config| what.slots(config).contains(&slot))
    };
    let mut new = what.slots(config);
    new.retain(|slot| !known(slot));
    match new.as_slice() {
        [slot] => Ok((*slot).clone()),
        [] => Err(format!("the machine has no other {what}s than before")),
        [_, ..] => {
            let new: Vec<&str> = new.into_iter().map(String::as_str).collect();
            Err(format!("it may be any of {}", new.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn machine(slots: &[&str]) -> Machine {
        let disks: BTreeMap<&str, _> = slots.iter().map(|slot| (*slot, json!({}))).collect();
        serde_json::from_value(json!({"id": "m-1", "config": {"disks": disks}})).unwrap()
    }

    #[test]
    fn a_disk_is_found_where_there_was_none() {
        let record: MachineRecord = serde_json::from_value(json!({
            "uid": "01a200332d72762698449f393f1ace39",
            "node": "01a200332d72762698449f393f1ace38",
            "hypervisor": "01a200332d72762698449f393f1ace37",
            "provider_identity": "p",
            "mark": "eh:01a20033113d75b1abed2c7a78dcc51b:01a200332d72762698449f393f1ace39:4",
            "created_by": 4,
            "slots": {"root": "scsi0"},
            "deployed": {},
            "last_step_ended": 0,
        }))
        .unwrap();
        let before = machine(&["scsi0", "scsi5"]);
        let find = |now: &[&str]| new_slot(What::Disk, &record, Some(&before), &machine(now));
        assert_eq!(find(&["scsi0", "scsi1", "scsi5"]), Ok("scsi1".to_owned()));
        assert!(find(&["scsi0", "scsi5"]).unwrap_err().contains("no other"));
        let several = find(&["scsi0", "scsi1", "scsi2", "scsi5"]).unwrap_err();
        assert!(several.contains("scsi1, scsi2"), "{several}");
        // After a restart it is not known any more what was there before.
        let unknown = new_slot(What::Disk, &record, None, &machine(&["scsi0", "scsi1"]));
        assert_eq!(unknown, Ok("scsi1".to_owned()));
    }
}
