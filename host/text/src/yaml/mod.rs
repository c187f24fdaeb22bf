//! YAML, as much of it as definitions need: JSON values, written readably and read with care.

mod budget;
mod node;
mod read;
mod scalar;
mod write;

pub use budget::FILE_MAX;
pub use read::{YamlDocument, YamlError, read_value, read_yaml};
pub use write::write_yaml;

#[cfg(test)]
mod tests;
