//! The crate as its users see it.

// Helpers of tests count as tests for the lints that forbid `unwrap` only inside `cfg(test)`.
#[cfg(test)]
mod access;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod cascade;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod common;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod lent;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod previews;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod settings;
