//! Runs the queue's commands; REST, events, access control.

mod config;
mod running;

pub use config::ServeConfig;
pub use running::{Running, Server, StartError};
