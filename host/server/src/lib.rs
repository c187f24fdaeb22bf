//! The host: runs the queue's commands and offers the REST API.
//!
//! ```text
//!   REST ──> orders ──┐                          ┌── work/{prepare,call,settle,poll} ──> engines
//!                     v                          │                │
//!             House::transact: decide under the lock, commit, carry out
//!                     │      ^                                    │
//!                     v      └────────────── report <─────────────┘
//!                   store
//! ```
//!
//! All rules are those of the pure crates; here they are given a clock, a disk and a network.
//! [`Server::start`] opens a data directory and goes on with whatever was running.

mod access;
mod approvals;
mod audit;
mod backup;
mod conclude;
mod config;
mod connections;
mod continuous;
mod defaults;
mod destruction;
mod disk;
mod doubt;
mod events;
mod explain;
mod history;
mod hold;
mod house;
mod idempotency;
mod inventory;
mod kept_engines;
mod live;
mod memory;
mod orders;
mod plan_view;
mod problem;
mod reach;
mod rest;
mod restoring;
mod results;
mod retention;
mod running;
mod schemas;
mod secrets;
mod start;
mod steady;
mod token_file;
mod view;
mod work;

pub use enginehouse_store::{RestoreError, Restored};

pub use config::{Keep, Kept, ServeConfig};
pub use defaults::DefaultsError;
pub use rest::{Need, RouteNeed, route_needs};
pub use restoring::restore;
pub use running::{Running, Server, StartError};
pub use secrets::SecretKeyError;
pub use start::RebuildError;
