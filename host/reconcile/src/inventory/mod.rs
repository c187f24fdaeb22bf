//! What is known of all the machines of a hypervisor, and what follows from it.
//!
//! A hypervisor is asked in two ways. Its *list* is cheap: one call for all machines, and it shows
//! whatever the provider puts into lists. A *full read* costs requests for each machine and shows
//! everything. So lists are made often and full reads seldom, and a machine is seen as the newest
//! list over its last full read:
//!
//! ```text
//! List::of(began_at, shown, coverage, before) -> List      a list, kept small
//! differs(before, now) -> bool                             what was read does not count any more
//! observe(listed, read, since) -> Option<Observation>      a machine, with the age of its parts
//! allowance(machines, elapsed, full, carry), turns(…)      who is read in full next
//! sight(list, lag, provider, record) -> Sight, judge(cases) -> Verdict   what it means not to be in a list
//! ```

mod absence;
mod list;
mod observation;
mod shown;
mod turns;

pub use absence::{Case, Sight, Verdict, brakes, judge, sight};
pub use list::{Covered, Entry, List, covers};
pub use observation::{Observation, Read, observe};
pub use shown::{Shown, differs};
pub use turns::{Allowance, allowance, turns};
