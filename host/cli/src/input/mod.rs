//! Definitions as a person gives them: a YAML file, and `key=value` on the command line.

mod change;
mod file;
mod secret;

pub use change::{ChangeError, parse_key, parse_set};
pub use file::{DefinitionFileError, read_definition};
pub use secret::{hidden_line, secret_file, secret_stdin};
