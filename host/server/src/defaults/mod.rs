//! Hypervisors out of the environment and `engines.yaml`, for those who come from scripts.
//!
//! For each loaded engine there may be one, at the root and of the engine's name. What people wrote
//! there under that name wins; else the environment wins over the file, value by value. What was
//! written is remembered, so that a later start can tell its own entry from one that a person has
//! changed since: its own it updates, or takes away when nothing says it any more; the other it
//! leaves alone.
//!
//! | file | idea |
//! | --- | --- |
//! | `values` | what is known of a hypervisor, each value with where it came from |
//! | `environment` | `PROXMOX_HOST` and its like |
//! | `file` | `engines.yaml` |
//! | `apply` | how it gets into the tree |

mod apply;
mod environment;
mod file;
mod values;

use std::path::PathBuf;

use enginehouse_documents::Description;
use thiserror::Error;

pub(crate) use apply::{Defaults, ROW, apply};

use crate::ServeConfig;
use values::Values;

/// The name in the data directory.
const FILE: &str = "engines.yaml";

/// What the environment or the file says cannot be used.
#[derive(Debug, Error)]
pub enum DefaultsError {
    #[error("{variable} is no {expected}")]
    Variable {
        variable: String,
        expected: &'static str,
    },
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Each with file, line and column.
    #[error("{}", .0.join("; "))]
    File(Vec<String>),
    #[error("what stands for the hypervisor `{name}` is no entry: {problems}")]
    Entry { name: String, problems: String },
    #[error("the hypervisors of environment and file cannot be written: {0}")]
    Write(String),
}

/// All that environment and file say of the engines.
pub(crate) fn read(
    config: &ServeConfig,
    engines: &[&Description],
) -> Result<Vec<(String, Values)>, DefaultsError> {
    let path = config
        .engines_file
        .clone()
        .unwrap_or_else(|| config.data_dir.join(FILE));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && config.engines_file.is_none() =>
        {
            None
        }
        Err(source) => return Err(DefaultsError::Read { path, source }),
    };
    let mut of_file = match &bytes {
        Some(bytes) => file::read(&path.display().to_string(), bytes, engines)?,
        None => Default::default(),
    };
    let mut all = Vec::new();
    for engine in engines {
        let mut values = of_file.remove(&engine.name).unwrap_or_default();
        values.take(environment::read(&config.environment, engine)?);
        all.push((engine.name.clone(), values));
    }
    Ok(all)
}
