//! What the host does by itself with machines that are there: it looks for drift, shows it, and repairs it
//! as far as it may.
//!
//! **Expected flow.** After each round of observation [`after_round`] compares the machines of a hypervisor
//! of which the observation, the record or the definition has changed since they were compared last.
//! What differs is remembered with its age ([`Watched`]) and told. Then machines whose drift may be
//! repaired without a person are ordered to be reconfigured by [`RECONCILER`], and folders that follow
//! their definition are.
//!
//! **Guarantees.** An automatic change is an operation like any other: planned when its turn comes, from
//! what the machine is then, confined to what the policy lets run alone at that moment
//! ([`enginehouse_reconcile::MachinePlan::confine`]). None is ordered for a machine with open operations,
//! one that is not deployed, or where the brake is on; nor where people have paused it.
//!
//! **What is remembered** survives a restart: drift with its age, and what was repaired how often. Why
//! something is not repaired is found again.

mod comparing;
mod following;
mod pausing;
mod repairing;
mod round;
mod showing;
mod watched;

pub(crate) use comparing::Basis;
pub(crate) use pausing::{Pause, Pauses, begin, pause, resume};
pub(crate) use repairing::{bounds, ended};
pub(crate) use round::after_round;
pub(crate) use showing::{drift_of, drifted_below, is_drifted};
pub(crate) use watched::{Watched, load};

/// Who orders what the host does by itself.
pub(crate) const RECONCILER: &str = "reconciler";
