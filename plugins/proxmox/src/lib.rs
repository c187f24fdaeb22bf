//! The Proxmox VE engine: QEMU guests over the HTTP API of a node or cluster.
//!
//! | to find | look at |
//! | --- | --- |
//! | what it offers, settings and classes | `describe`, `settings` |
//! | requests and their errors | `api`, `problem` |
//! | observing | `check`, `list`, `read` |
//! | making a machine | `source` (from what, to where), `create` |
//! | changing one | `configure`, `cards`, `removal` (writes), `errand` (a request and its task) |
//! | what is written, and how it is recognised | `fitting`, `form`, `guest_config`, `drive`, `trailer` |
//! | between phases, and after lost answers | `phase`, `task`, `poll`, `settle` |
//!
//! Sources of facts about the API are the API viewer's schema of PVE 9 and the Perl modules named in
//! the comments; `docs/engines/proxmox.md` says what was verified against what.

mod api;
mod cards;
mod check;
mod configure;
mod create;
mod describe;
mod drive;
mod engine;
mod errand;
mod fitting;
mod form;
mod guest_config;
mod list;
mod phase;
mod poll;
mod problem;
mod read;
mod removal;
mod settings;
mod settle;
mod source;
mod task;
#[cfg(test)]
mod tests;
mod trailer;
mod upid;

pub use engine::Proxmox;

enginehouse_sdk::export!(Proxmox);
