//! A simulated hypervisor: an HTTP server with a durable world of machines, disks, nics, images and
//! tasks, and knobs for everything that real ones do wrong.
//!
//! It is what `xtask run` demonstrates on, and what end-to-end tests drive through `plugins/fake`:
//! a provider with tasks that take their time, versions, a mark, an incarnation, and faults that
//! can be asked for one by one. The API is described in `docs/sim.md`.
//!
//! Three layers, from the inside:
//!
//! - the **world** ([`World`]) is plain values: what exists, and tasks with the time at which they
//!   end. It knows no clock: [`World::advance`] is told what time it is and lets the tasks end that
//!   are due, in order. Nothing happens between two calls, so no timer is needed and a world that
//!   was read from a file goes on as if nothing had been.
//! - the **knobs** ([`Knobs`]) decide, for one call, what goes wrong with it. Chance comes out of a
//!   seeded generator inside the world: the same seed and the same calls give the same faults.
//! - the **server** puts both behind HTTP. Time is tokio's, so a test may pause it.
//!
//! ```no_run
//! # async fn example() -> Result<(), enginehouse_sim::SimError> {
//! use enginehouse_sim::{Sim, SimConfig};
//!
//! let sim = Sim::start(SimConfig::default()).await?;
//! sim.tune(|knobs| knobs.late_mark = true)?;
//! println!("{} has {} machines", sim.url(), sim.world().machines.len());
//! sim.stop().await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod advance;
mod answer;
mod body;
mod call;
mod config;
mod exchange;
mod knobs;
mod machines;
mod parts;
mod perform;
mod requests;
mod server;
mod show;
mod state_file;
mod tasks;
mod world;

pub use call::Call;
pub use config::{SimConfig, SimError};
pub use knobs::{Fault, FaultEffect, Knobs};
pub use requests::{RequestEntry, Requests};
pub use server::{Sim, SimHandle};
pub use world::{
    Disk, Ending, Firmware, Image, Lock, Machine, Nic, Power, Task, TaskEffect, Volume, World,
};
