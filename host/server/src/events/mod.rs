//! What happens, told to whoever listens.
//!
//! Two kinds of listeners. Who watches one operation ([`Feed::watch`]) is woken when something of it is
//! new, and reads state and log itself, from memory or from the store: nothing can be missed. Who
//! watches everything reads a [`Ring`] of events at its own pace and holds nothing but its place in
//! it: who falls behind what the ring still has is told so, and reads the state again.
//!
//! An event is told once its commit stands, in the order of the decisions. Commits pay for one queue
//! entry each; waking listeners is the work of a task of its own ([`run`]), some times a second. While
//! nobody listens, nothing is made.

mod draft;
mod feed;
mod pulse;
mod ring;
mod told;

pub(crate) use draft::Draft;
pub(crate) use feed::{Batch, Feed, Listening, Watching};
pub(crate) use pulse::run;
pub(crate) use ring::After;
pub(crate) use told::Told;
