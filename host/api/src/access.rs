//! Where the server is and what it wants to be shown: two files that `serve` leaves in its data
//! directory, so that who may read the directory needs no configuration.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// In the data directory: the server's URL, one line. There while it serves.
pub const ADDRESS_FILE: &str = "address";

/// In the data directory: the bearer token, one line, mode 0600. Made at the first start.
pub const TOKEN_FILE: &str = "token";

/// A server's URL and the token for it. The token is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// `http://127.0.0.1:7878`
    pub url: String,
    pub token: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why a data directory does not lead to a server.
#[derive(Debug, Error)]
pub enum AccessError {
    #[error("no server serves {}: there is no {ADDRESS_FILE} file in it", .0.display())]
    NotServing(PathBuf),
    #[error("cannot read {}", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
}

impl Access {
    /// Reads what `serve` left in its data directory. That the server is still there, only a
    /// request can show.
    ///
    /// # Errors
    /// When there is no address, or one of the two files cannot be read.
    pub fn of_data_dir(data_dir: &Path) -> Result<Self, AccessError> {
        let address = data_dir.join(ADDRESS_FILE);
        if !address.exists() {
            return Err(AccessError::NotServing(data_dir.to_owned()));
        }
        Ok(Self {
            url: first_line(&address)?,
            token: first_line(&data_dir.join(TOKEN_FILE))?,
        })
    }

    /// A URL given by hand, with the token from a file.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn with_token_file(url: impl Into<String>, file: &Path) -> Result<Self, AccessError> {
        Ok(Self {
            url: url.into(),
            token: first_line(file)?,
        })
    }
}

fn first_line(path: &Path) -> Result<String, AccessError> {
    let text = std::fs::read_to_string(path).map_err(|source| AccessError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(AccessError::Empty(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_leads_to_its_server() {
        let dir = tempfile::tempdir().unwrap();
        let error = Access::of_data_dir(dir.path()).unwrap_err();
        assert!(matches!(error, AccessError::NotServing(_)), "{error}");

        std::fs::write(dir.path().join(ADDRESS_FILE), "http://127.0.0.1:1\n").unwrap();
        let error = Access::of_data_dir(dir.path()).unwrap_err();
        assert!(matches!(error, AccessError::Unreadable { .. }), "{error}");

        std::fs::write(dir.path().join(TOKEN_FILE), "\n").unwrap();
        let error = Access::of_data_dir(dir.path()).unwrap_err();
        assert!(matches!(error, AccessError::Empty(_)), "{error}");

        std::fs::write(dir.path().join(TOKEN_FILE), "s3cret\n").unwrap();
        let access = Access::of_data_dir(dir.path()).unwrap();
        assert_eq!(access.url, "http://127.0.0.1:1");
        assert_eq!(access.token, "s3cret");
        assert!(!format!("{access:?}").contains("s3cret"));
    }
}
