//! Compares machines with their records, those of which something has changed since the last time.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use enginehouse_documents::Machine;
use enginehouse_engines::Engine;
use enginehouse_model::{HypervisorUid, MachineUid, NodeUid, OperationId, Timestamp};
use enginehouse_reconcile::{FieldChange, Intent, Ownership, Rules, Subject, owned, plan_one};
use enginehouse_tree::{Computed, Status};

use crate::house::{House, State};

/// Machines that are compared under one lock.
const AT_ONCE: usize = 200;

/// What a comparison rests on, but for the observation: as long as it is the same, there is nothing
/// new.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    computed: Weak<Computed>,
    last_step_ended: Timestamp,
    last_operation: Option<OperationId>,
}

impl Basis {
    fn is(&self, other: &Self) -> bool {
        // The weak one keeps the address from being given out again.
        Weak::ptr_eq(&self.computed, &other.computed)
            && self.last_step_ended == other.last_step_ended
            && self.last_operation == other.last_operation
    }
}

/// A machine that was compared, and is or was otherwise than it is to be.
#[derive(Debug)]
pub(super) struct Compared {
    pub node: NodeUid,
    pub machine: MachineUid,
    pub observed: Machine,
    pub drift: Vec<FieldChange>,
    pub seen_at: Timestamp,
    /// Of the record that it was compared with.
    pub last_step_ended: Timestamp,
}

/// Compares the machines of a hypervisor that have changed. What was read longer than `full_ms` ago
/// does not count.
pub(super) async fn compare(
    house: &Arc<House>,
    hypervisor: HypervisorUid,
    engine: &Engine,
    full_ms: u64,
) -> Vec<Compared> {
    let rules = Rules::new(engine.description());
    let lag_ms = engine.description().visibility_lag_ms;
    let machines: Vec<MachineUid> = {
        let state = house.state.lock();
        let provider = state.providers.get(&hypervisor);
        let health = provider.and_then(|provider| provider.health.as_ref());
        let Some(identity) = health.map(|health| health.identity.as_str()) else {
            return Vec::new();
        };
        // What another provider shows says nothing of our machines.
        let here = state.records.values();
        let here = here.filter(|record| {
            record.hypervisor == hypervisor && record.provider_identity == identity
        });
        here.map(|record| record.uid).collect()
    };
    let oldest = Timestamp(house.now().0.saturating_sub(full_ms));
    let changed = house.inventories.with(hypervisor, |kept| {
        let is_here = |machine: &MachineUid| machines.binary_search(machine).is_ok();
        kept.compared.retain(|machine, _| is_here(machine));
        kept.take_changed()
    });
    let looking = Looking {
        house,
        hypervisor,
        rules: &rules,
        lag_ms,
        oldest,
        changed,
    };
    let mut compared = Vec::new();
    for some in machines.chunks(AT_ONCE) {
        {
            let state = house.state.lock();
            compared.extend(some.iter().filter_map(|one| looking.at(&state, *one)));
        }
        tokio::task::yield_now().await;
    }
    compared
}

struct Looking<'a> {
    house: &'a House,
    hypervisor: HypervisorUid,
    rules: &'a Rules,
    lag_ms: u64,
    oldest: Timestamp,
    changed: BTreeSet<Box<str>>,
}

impl Looking<'_> {
    /// `None`: there is nothing new, too little is known, or it is not the time to say so.
    fn at(&self, state: &State, machine: MachineUid) -> Option<Compared> {
        let record = state.records.get(&machine)?;
        let id = record.identity.as_ref()?.machine_id.as_str();
        let inventories = &self.house.inventories;
        let body = state.tree.descriptor(record.node).ok()?;
        let is_changed = self.changed.contains(id);
        if body.status != Status::Deployed || state.queue.lane(record.node).next().is_some() {
            if is_changed {
                inventories.with(self.hypervisor, |kept| kept.note_changed(id));
            }
            return None;
        }
        let computed = state.tree.computed(record.node).ok()?;
        let basis = Basis {
            computed: Arc::downgrade(&computed),
            last_step_ended: record.last_step_ended,
            last_operation: body.last_operation.as_ref().map(|last| last.number),
        };
        let had_drift = (state.watched.get(&machine)).is_some_and(|known| !known.drift.is_empty());
        let observation = inventories.with(self.hypervisor, |kept| {
            let known = kept.compared.get(&machine);
            if !is_changed && known.is_some_and(|known| known.is(&basis)) {
                return None;
            }
            let since = record.last_step_ended.max(self.oldest);
            let found = match kept.is_known_whole(id) {
                true => kept.observation(id, since, self.lag_ms),
                false => None,
            };
            match found.filter(|found| found.is_whole()) {
                Some(found) => {
                    kept.compared.insert(machine, basis.clone());
                    Some(found)
                }
                None => {
                    // What differed before the last step is to be looked at again soon.
                    if had_drift {
                        kept.make_urgent(id);
                    }
                    None
                }
            }
        })?;
        if matches!(owned(record, &observation.machine), Ownership::NotOurs(_)) {
            return None;
        }
        let hypervisor = state.tree.hypervisor(self.hypervisor)?;
        let config = computed.config_or(&record.deployed);
        let plan = plan_one(&Subject {
            name: computed.full_name(),
            node: record.node,
            machine: Some(machine),
            hypervisor: self.hypervisor,
            hypervisor_name: &hypervisor.name,
            intent: Intent::Observe,
            shutdown_timeout_ms: None,
            desired: Some(&config),
            record: Some(record),
            observed: Some(&observation.machine),
            rules: self.rules,
            assessment: None,
        });
        (had_drift || !plan.drift.is_empty()).then(|| Compared {
            node: record.node,
            machine,
            seen_at: observation.oldest(),
            observed: observation.machine,
            drift: plan.drift,
            last_step_ended: record.last_step_ended,
        })
    }
}
