//! The simulation through its own HTTP, with tokio's time stopped: a task of an hour takes none.

mod client;
mod durability;
mod faults;
mod machines;
