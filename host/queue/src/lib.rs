//! Operations, lanes, slots, retries and polls, as pure code.
//!
//! **Expected flow.** A command becomes an [`Operation`] by [`Queue::submit`]. Whatever happens to it
//! afterwards is told to [`Queue::handle`] as an [`Event`], or is due at a time ([`Queue::tick`]).
//! Each of them answers with [`Output`]: journal [`Entry`]s, already applied to the memory here, which
//! the caller must make durable *before* it carries out the [`Command`]s beside them.
//!
//! **Guarantees.** An operation's state is derived from its entries and from nothing else:
//! [`Queue::load`] replays them through the same [`Operation::apply`], and an entry that does not
//! fit the state before it is an error, not a guess. A `once` request whose answer is unknown is
//! settled, never sent again. Operations of one lane run one after another. What waits for time
//! or for a provider's task is a row in a map and a timer, nothing more.
//!
//! **Assumptions.** One caller at a time; `now` may jump, and what is due earlier is then due at
//! once.
//!
//! **Rejected.** A state column that code sets: two writers of one truth drift apart, and the
//! crash between them is the one that nobody tested.

mod approval;
mod backoff;
mod breaker;
mod command;
mod decide;
mod endings;
mod entry;
mod held;
mod json;
mod lanes;
mod operation;
mod parts;
mod polls;
mod position;
mod queue;
mod reach;
mod resume;
mod sequence;
mod slots;
mod spec;
mod timers;
mod transition;
mod waves;

#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use breaker::Lost;
pub use command::{CallEnd, Command, Event, Output, PollEnd, SettleEnd};
pub use entry::{Entry, Final, Resolution, StepPlan, StepSpec, Token};
pub use json::Json;
pub use operation::{
    Approval, EndedPart, Failing, Illegal, Once, Operation, Origin, Phase, StepState, Then,
};
pub use position::{Place, PlaceError};
pub use queue::{Limits, Queue};
pub use resume::LoadError;
pub use sequence::sequence;
pub use spec::{After, OnFailure, Spec, Urgency};
