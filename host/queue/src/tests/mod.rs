//! Tests of the queue as a whole.
//!
//! - `fixture`: short names for what every test needs
//! - `table`: which entry may follow which state, as a text to read
//! - `behaviour`, `cancel`: one behaviour each
//! - `cost`: ten thousand operations

mod behaviour;
mod cancel;
mod cost;
mod fixture;
mod table;
