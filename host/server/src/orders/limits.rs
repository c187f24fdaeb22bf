//! How much may go on at once at a hypervisor: what its entry says, and the host's own for the rest.

use enginehouse_model::HypervisorUid;
use enginehouse_queue::Limits;

use crate::ServeConfig;
use crate::house::State;

/// The limits that a hypervisor's entry gives, and the host's own for the rest.
pub(super) fn limits_of(config: &ServeConfig, state: &State, uid: HypervisorUid) -> Limits {
    let mut limits = default_limits(config);
    if let Some(hypervisor) = state.tree.hypervisor(uid) {
        let written = hypervisor.entry.limits;
        if let Some(operations) = written.concurrent {
            limits.operations = (operations as usize).max(1);
        }
        if let Some(copies) = written.clones_per_template {
            limits.copies_per_template = (copies as usize).max(1);
        }
        if let Some(seconds) = written.busy_timeout_s {
            limits.busy_ms = u64::from(seconds) * 1000;
        }
    }
    limits
}

/// Tells the queue the limits of every hypervisor of the tree.
pub(crate) fn set_all_limits(config: &ServeConfig, state: &mut State) {
    let uids: Vec<_> = state.tree.hypervisors().iter().map(|h| h.uid).collect();
    for uid in uids {
        let limits = limits_of(config, state, uid);
        state.queue.set_limits(uid, limits);
    }
}

pub(crate) fn default_limits(config: &ServeConfig) -> Limits {
    Limits {
        busy_ms: u64::try_from(config.busy_timeout.as_millis()).unwrap_or(u64::MAX),
        ..Limits::default()
    }
}
