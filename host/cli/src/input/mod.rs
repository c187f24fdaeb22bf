//! Definitions as a person gives them: a YAML file, a directory of them, and `key=value` on the
//! command line.

mod change;
mod directory;
mod file;
mod secret;

pub use change::{ChangeError, parse_key, parse_set};
pub use directory::{DirectoryError, read_directory};
pub use file::{DefinitionFileError, read_definition};
pub use secret::{hidden_line, secret_file, secret_stdin};
