//! What the end to end tests stand on: the peers, and the host as a process.
//!
//! The tests themselves are in `tests/tests/`, one file for each story. `cargo xtask test` prepares
//! everything under `target/` and runs them; afterwards `cargo test --workspace` does too.
//!
//! - [`FakePve`]: a Proxmox VE API that none of us wrote, in a process of its own.
//! - [`HidingProxy`]: stands before it and makes it more like a node: what is being cloned shows
//!   nothing but its lock. It can also hold, delay and lose requests and answers, and knows all.
//! - [`Host`]: the `enginehouse` binary on a data directory of its own; it can be killed and
//!   started again.
//! - [`Site`]: both, with a tree that knows the hypervisor.
//! - [`Stage`]: a host and the simulated hypervisor.
//! - [`Estate`]: a tree of 100,000 descriptors.
//! - [`skip_or_fail`]: what a test does that lacks something it needs.

mod estate;
mod exchange;
mod fakepve;
mod host;
mod orders;
mod paths;
mod proxy;
mod requirement;
mod site;
mod stage;

pub use estate::{Estate, Planted};
pub use exchange::{Exchange, counts};
pub use fakepve::{FakePve, FakePveOptions, PveMachine, TEMPLATE};
pub use host::{Host, HostOptions, binary};
pub use orders::request;
pub use paths::{engines_dir, target_dir, test_engine, workspace_dir};
pub use proxy::{HidingProxy, Moment, Rule, Trouble};
pub use requirement::skip_or_fail;
pub use site::{Site, confirmed, defined};
pub use stage::{Ran, Stage, to_name};
