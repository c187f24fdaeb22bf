//! Tests that are about the crate as a whole.

mod adoption;
mod budget;
mod cases;
mod continuous;
mod execution;
mod foreseen;
mod gate;
mod golden;
mod properties;
mod refusals;
mod texts;
mod unit;
mod world;
