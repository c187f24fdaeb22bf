//! The installation's own token: a file in the data directory. Who can read that file is `admin`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use enginehouse_api::TOKEN_FILE;

use crate::access::TokenText;
use crate::running::{StartError, write_private};

/// The token there is, or a new one.
pub(crate) fn read_or_make(data_dir: &Path) -> Result<TokenText, StartError> {
    let path = path(data_dir);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => {
            return TokenText::shown(text.trim()).ok_or_else(|| StartError::Directory {
                path,
                source: io::Error::other("the token in it is too long"),
            });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(StartError::Directory { path, source }),
    }
    make(data_dir)
}

/// Puts a new token into the file.
pub(crate) fn make(data_dir: &Path) -> Result<TokenText, StartError> {
    let path = path(data_dir);
    let token = TokenText::of_installation().map_err(|error| StartError::Directory {
        path: path.clone(),
        source: io::Error::other(error.to_string()),
    })?;
    write_private(&path, token.as_str())?;
    Ok(token)
}

/// Where it is.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(TOKEN_FILE)
}
