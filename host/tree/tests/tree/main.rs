//! The crate as its users see it.

mod cascade;
mod cases;
mod common;
mod definitions;
mod edits;
