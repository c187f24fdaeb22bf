//! The chain of the audit log: what is hashed, and whether it holds.
//!
//! **The principle.** Every entry carries a hash over its own fields and the hash of the entry before
//! it; the first one goes on from a value that only this installation has. Who changes, removes or
//! adds an entry in the middle has to make every later hash anew, and then the newest one is another
//! than the [`Head`] that a person wrote down before. Without such a head the chain shows accidents and
//! clumsy hands, not somebody who may write the database and knows how it is made.
//!
//! Host and command line use the same code: the host to append, the command line to check what a host
//! tells it. No clock, no I/O.

mod chain;
mod entry;
mod hash;
mod head;

pub use chain::{Break, Chain, Compared};
pub use entry::{Action, Entry};
pub use hash::{Hash, HashError};
pub use head::{Head, HeadError};
