//! The machines of each hypervisor, as they were seen.
//!
//! **Expected flow.** A *round* ([`round()`]) asks the provider who it is, makes one list, and reads in full
//! what is new, has changed in the list, or has its turn. Rounds are made by [`run`], some time after
//! each other for each hypervisor that has machines on record, and by whoever asks for one. Whoever
//! needs to see a machine asks [`Inventories::observation`] first, and reads the machine itself where
//! that knows too little.
//!
//! **Guarantees.** One list and one round of a hypervisor at a time; who waits for a list shares the next
//! one. What could not be seen is never taken for absent: a list that broke off is no list, a list with
//! gaps leaves what is in them as it was, a full read that failed leaves what was read before with its
//! age, and is marked. A machine is missing only by [`enginehouse_reconcile::inventory::judge`]. A hypervisor that is lost is left to the probes of the queue.
//!
//! **Not kept over a restart.** What is here can be seen again, and is no older than the host.
//!
//! What follows from what is seen is decided in [`enginehouse_reconcile::inventory`].

mod absence;
mod inventories;
mod kept;
mod listing;
mod lost;
mod reading;
mod round;
mod watch;
mod whose;

pub(crate) use absence::said_missing;
pub(crate) use inventories::Inventories;
pub(crate) use kept::Kept;
pub(crate) use lost::{Lost, link, load_lost, returned};
pub(crate) use reading::read_in_full;
pub(crate) use round::{Depth, Round, round};
pub(crate) use watch::{full_ms, run};
pub(crate) use whose::Records;
