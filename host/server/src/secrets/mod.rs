//! The host's own secrets: kept encrypted, referred to by name, opened where a connection is made.
//!
//! A client's plain password is taken out of its order before anything of that order is stored
//! ([`sealing`]), in the same commit. Such a secret has a generated name and lives as long as a
//! definition or a queued operation refers to it ([`kept`]); one that a person set lives until it is
//! removed ([`orders`]). The key is not in the database ([`unlock`]).

mod kept;
mod orders;
mod sealing;
mod unlock;

pub(crate) use kept::{Kept, KeptChanges, Secrets, Unusable, settle, take_in};
pub(crate) use orders::{list, remove, rotate_key, set};
pub(crate) use sealing::{seal_definition, seal_order};
pub use unlock::SecretKeyError;
pub(crate) use unlock::{seal_nodes, unlock};
