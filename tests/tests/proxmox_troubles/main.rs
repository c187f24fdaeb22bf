//! Trouble with a Proxmox API: each kind is an outcome of its own that a person can read, with the
//! way out named, and what is there is what the tree says.

mod answers;
mod connection;
mod machines;
mod outcome;
mod tasks;
mod told;
