//! Settings against the JSON Schemas of engines, in words.
//!
//! An engine describes the settings of its machines and of its hypervisors by a JSON Schema each
//! (draft 2020-12, or the one that its `$schema` names). A [`SettingsSchema`] is one of them, compiled:
//! it says what is wrong with given settings, and lists what there is.
//!
//! Whether settings are right is decided by the validator crate alone. What is said of a wrong one is
//! read off the part of the schema that speaks of it (`part`): what it expects, by the engine's own
//! description. So an error and a listing use the same words.
//!
//! Schemas come from engines, and an engine is foreign code: nothing is fetched for a `$ref`, patterns
//! are matched in linear time, and texts out of a schema are cut.
//!
//! | file | idea |
//! | --- | --- |
//! | `schema` | a schema, compiled |
//! | `part` | the part of a schema that speaks of one value |
//! | `words` | what a part expects, for people |
//! | `fault` | from the validator's errors to faults in words |
//! | `listing` | what settings there are |

mod fault;
mod listing;
mod part;
mod schema;
mod words;

#[cfg(test)]
mod tests;

pub use listing::{Setting, listing};
pub use schema::{SchemaError, SettingsSchema};
