//! Which server a command speaks to.

use std::env;
use std::path::{Path, PathBuf};

use enginehouse_api::{Access, Client};

use crate::args::Global;
use crate::error::CommandError;

const SERVER: &str = "ENGINEHOUSE_SERVER";
const TOKEN: &str = "ENGINEHOUSE_TOKEN";
const DATA: &str = "ENGINEHOUSE_DATA";

/// The client for the server that options and environment name.
///
/// # Errors
/// When no server is named, or its address or token cannot be used.
pub fn connect(global: &Global) -> Result<Client, CommandError> {
    let access = find(global)?;
    Ok(Client::new(&access)?)
}

/// What was said on the command line goes before the environment, a URL before a directory.
fn find(global: &Global) -> Result<Access, CommandError> {
    if let Some(url) = &global.server {
        return with_token(url, global.token_file.as_deref());
    }
    if let Some(dir) = &global.data {
        return Ok(Access::of_data_dir(dir)?);
    }
    if let Some(url) = variable(SERVER) {
        return with_token(&url, global.token_file.as_deref());
    }
    Ok(Access::of_data_dir(&data_dir(None)?)?)
}

fn with_token(url: &str, token_file: Option<&Path>) -> Result<Access, CommandError> {
    if let Some(file) = token_file {
        return Ok(Access::with_token_file(url, file)?);
    }
    match variable(TOKEN) {
        Some(token) => Ok(Access {
            url: url.to_owned(),
            token,
        }),
        None => Err(CommandError::NoToken {
            url: url.to_owned(),
        }),
    }
}

/// The data directory: as given, by the environment, or the default.
///
/// # Errors
/// When there is no home directory to put the default one into.
pub fn data_dir(given: Option<&Path>) -> Result<PathBuf, CommandError> {
    if let Some(dir) = given {
        return Ok(dir.to_owned());
    }
    if let Some(dir) = variable(DATA) {
        return Ok(PathBuf::from(dir));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/enginehouse"));
    }
    // The XDG specification: a relative path in it is to be ignored.
    let xdg = variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let base = match xdg {
        Some(base) => base,
        None => {
            let home = variable("HOME").ok_or(CommandError::NoHome)?;
            Path::new(&home).join(".local/share")
        }
    };
    Ok(base.join("enginehouse"))
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
