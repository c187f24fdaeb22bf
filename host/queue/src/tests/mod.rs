//! Tests of the queue as a whole.
//!
//! - `fixture`: short names for what every test needs
//! - `table`: which entry may follow which state, as a text to read
//! - `approval`, `behaviour`, `breaker`, `cancel`, `limits`, `order`, `restored`, `rollback`,
//!   `waves`: one behaviour each
//! - `provider`, `engine`, `shell`: a provider, its engine and a host in virtual time, with faults
//!   and crashes
//! - `simulation`: what holds whatever happens
//! - `cost`: ten thousand operations

mod approval;
mod behaviour;
mod breaker;
mod broken;
mod cancel;
mod cost;
mod engine;
mod fixture;
mod held;
mod limits;
mod order;
mod provider;
mod restored;
mod rollback;
mod shell;
mod simulation;
mod table;
mod waves;
