//! Whose a machine is that was seen.

use std::collections::BTreeMap;

use enginehouse_api::Whose;
use enginehouse_documents::Machine;
use enginehouse_model::{HypervisorUid, InstallationId, MachineRecord, Mark};
use enginehouse_reconcile::{Ownership, owned};

use crate::house::State;

/// The machines on record of one hypervisor.
pub(crate) struct Records<'a> {
    installation: InstallationId,
    by_id: BTreeMap<&'a str, &'a MachineRecord>,
    unnamed: Vec<&'a MachineRecord>,
}

impl<'a> Records<'a> {
    pub(crate) fn of(
        state: &'a State,
        installation: InstallationId,
        hypervisor: HypervisorUid,
    ) -> Self {
        let mut records = Self {
            installation,
            by_id: BTreeMap::new(),
            unnamed: Vec::new(),
        };
        let here = state.records.values().map(AsRef::as_ref);
        for record in here.filter(|record: &&MachineRecord| record.hypervisor == hypervisor) {
            match &record.identity {
                Some(identity) => {
                    records.by_id.insert(&identity.machine_id, record);
                }
                None => records.unnamed.push(record),
            }
        }
        records
    }

    /// Whose a machine is, its record, and what contradicts that it is that one's.
    pub(crate) fn whose(
        &self,
        state: &State,
        machine: &Machine,
    ) -> (Whose, Option<&'a MachineRecord>, Option<String>) {
        if let Some(record) = self.by_id.get(machine.id.as_str()) {
            return match owned(record, machine) {
                Ownership::Ours | Ownership::Unclear(_) => (Whose::Ours, Some(record), None),
                Ownership::NotOurs(why) => (Whose::Foreign, None, Some(why)),
            };
        }
        let mark = machine.mark.as_deref().map(str::parse::<Mark>);
        let ours = match &mark {
            Some(Ok(mark)) if mark.installation == self.installation => Some(*mark),
            Some(_) | None => None,
        };
        if machine.template {
            return (Whose::Template, None, None);
        }
        let Some(ours) = ours else {
            let whose = match mark {
                Some(_) => Whose::Foreign,
                None => Whose::Unread,
            };
            return (whose, None, None);
        };
        if let Some(record) = self.unnamed.iter().find(|record| record.mark == ours) {
            return (Whose::Ours, Some(record), None);
        }
        match state.records.get(&ours.machine) {
            Some(record) => {
                let its = record
                    .identity
                    .as_ref()
                    .map(|identity| &*identity.machine_id);
                let copy = format!(
                    "a copy: it carries the mark of machine {}",
                    its.unwrap_or("that is being made")
                );
                (Whose::Foreign, None, Some(copy))
            }
            None => (Whose::Orphan, None, None),
        }
    }
}
