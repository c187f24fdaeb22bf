//! Definitions as a person gives them: a YAML file, and `key=value` on the command line.

mod change;
mod file;

pub use change::{ChangeError, parse_key, parse_set};
pub use file::{DefinitionFileError, read_definition};
