//! A copy of the database while it is in use.
//!
//! `VACUUM INTO` reads one snapshot in a connection of its own: writers go on meanwhile, and the copy
//! is a whole database without free pages and without a log beside it. It has everything that was
//! committed before it began.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use enginehouse_model::{InstallationId, OperationId};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use thiserror::Error;

use crate::{Epoch, load};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    pub installation: InstallationId,
    pub epoch: Epoch,
    /// The highest number that an operation had by then; 0: there was none.
    pub last_operation: OperationId,
    /// Of the file.
    pub bytes: u64,
}

/// Why there is no backup. No file is left.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no name that the database could write to", .0.display())]
    Name(PathBuf),
    #[error("no space is left for {}", .0.display())]
    Full(PathBuf),
    #[error("the database cannot be copied to {}", .path.display())]
    Database {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the backup in {} cannot be read again", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: crate::ReadError,
    },
    #[error("the store is closed")]
    Closed,
}

/// Writes all of `database` into the file `to`, which must not be there yet: mode 0600, on disk.
pub(crate) fn back_up(database: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    // SQLite takes an empty file for a new database, and leaves its mode alone.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| BackupError::Write {
            path: to.to_owned(),
            source,
        })?;
    let written = write(database, to, &file);
    if written.is_err() {
        // Half made; where it cannot be removed, it can at least not be taken for a backup.
        let _ = fs::remove_file(to);
    }
    written
}

fn write(database: &Path, to: &Path, file: &File) -> Result<BackedUp, BackupError> {
    let name = to
        .to_str()
        .ok_or_else(|| BackupError::Name(to.to_owned()))?;
    let failed = |source| BackupError::Write {
        path: to.to_owned(),
        source,
    };
    let copied = read_only(database)
        .and_then(|connection| connection.execute("VACUUM INTO ?1", params![name]));
    copied.map_err(|source| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackupError::Full(to.to_owned()),
        Some(_) | None => BackupError::Database {
            path: to.to_owned(),
            source,
        },
    })?;
    file.sync_all().map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let (installation, epoch, last_operation) = read_only(to)
        .map_err(crate::ReadError::from)
        .and_then(|connection| load::counters(&connection))
        .map_err(|source| BackupError::Unreadable {
            path: to.to_owned(),
            source,
        })?;
    Ok(BackedUp {
        installation,
        epoch,
        last_operation,
        bytes,
    })
}

pub(crate) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}
