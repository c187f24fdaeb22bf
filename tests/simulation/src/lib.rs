//! The host in virtual time, from a seed.
//!
//! The real tree, planner and queue, and the store's own rows, run against simulated providers that
//! delay, fail, refuse as busy, lose requests and answers, show effects late, forget tasks, go down
//! and come back. People order, cancel, edit and move in a random tree, decide what is in doubt, and
//! meddle with machines; the host is killed at any moment and comes back from what was durable.
//!
//! The provider knows what the host cannot: it counts effects, and whose machine each is. What must
//! hold is in [`Rule`]. A run is a function of its seed and its [`Settings`]; a failing one is run
//! again with a trace.
//!
//! What the host's shell does between the pure parts (`host/server`) is done here by code of its
//! own, in the order in which the shell does it; the shell itself is proven by the tests that kill
//! the real binary.
//!
//! | file | idea |
//! | --- | --- |
//! | `run`, `work` | the loop, commits, kills |
//! | `settings`, `random` | what a run is like |
//! | `disk`, `memory` | what is durable, and what follows from it |
//! | `orders`, `machines`, `projected` | what is accepted, and what comes before what |
//! | `prepare`, `call`, `settle`, `conclude` | an operation's way |
//! | `approvals` | what waits for people's signatures |
//! | `observe` | what is looked at before anything is done |
//! | `inventory` | what is looked at again and again, and what is done about it |
//! | `alone` | how far the host goes by itself |
//! | `resolve` | what a person says of a doubt |
//! | `waves` | how many machines of a folder at a time |
//! | `protection` | what is not destroyed, and not lowered by the way |
//! | `rollback` | what is taken back |
//! | `engine`, `provider` | what is outside of the host |
//! | `people` | the world of a seed |
//! | `ledger` | what people were promised |
//! | `check`, `violation` | what must hold |
//! | `seeds` | many runs, and one again |

mod alone;
mod approvals;
mod call;
mod check;
mod conclude;
mod disk;
mod engine;
mod inventory;
mod ledger;
mod machines;
mod memory;
mod observe;
mod orders;
mod people;
mod prepare;
mod projected;
mod protection;
mod provider;
pub mod random;
mod resolve;
mod rollback;
mod run;
mod seeds;
mod settings;
mod settle;
mod violation;
mod waves;
mod work;

pub use disk::Disk;
pub use ledger::Ledger;
pub use memory::{LIMITS, Memory, OperationDocument};
pub use orders::{Kind, Order, Params, Undo};
pub use people::keys::line as key_of;
pub use provider::{Naming, Provider, Request, Temper, Vm};
pub use resolve::Verdict;
pub use run::{Outside, Simulation};
pub use seeds::{Failure, Totals, breaks, run_seed, run_seeds, trace_seed};
pub use settings::{Fault, Kill, Settings, Weather};
pub use violation::{Rule, Violation};
