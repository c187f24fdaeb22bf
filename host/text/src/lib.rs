//! The tree as text: a directory of YAML files, one for each folder and descriptor.
//!
//! ```text
//! .enginehouse/definition.schema.json   what the files may say, for editors
//! _folder.yaml                          the folder that was exported
//! web/_folder.yaml                      a folder below it
//! web/vm1.yaml                          a descriptor
//! ```
//!
//! The crate is pure: files are a map of relative paths to contents. What is written reads back to
//! equal definitions, and equal trees give equal bytes. What is read is not trusted: nothing that a
//! file says makes reading it cost more than a few times its length.
//!
//! | file | idea |
//! | --- | --- |
//! | `yaml/read`, `yaml/node`, `yaml/budget` | YAML to JSON values, with a line and column for each key |
//! | `yaml/write`, `yaml/scalar` | JSON values to YAML |
//! | `layout` | which file is which node |
//! | `export` | nodes to files |
//! | `import` | files to nodes, with all that is wrong in them |
//! | `difference` | two definitions, key by key |
//! | `problem` | what is wrong with a file |

mod difference;
mod export;
mod import;
mod layout;
mod problem;
mod yaml;

pub use enginehouse_tree::definition_schema;

pub use difference::{KeyChange, differences};
pub use export::{Exported, file_of_definition};
pub use import::{Reading, Source, Wanted, place_of, read_files, say_the_same, secrets_missing};
pub use layout::{FOLDER_FILE, LayoutError, NodeFile, SCHEMA_FILE, Siblings, node_of};
pub use problem::{FileProblem, Place};
pub use yaml::{FILE_MAX, YamlDocument, YamlError, read_value, read_yaml, write_yaml};
