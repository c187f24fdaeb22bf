//! A backup as a file that is read once.

use std::fs::{self, File};
use std::io;

use enginehouse_api::{Backup, ErrorCode, Problem};
use enginehouse_store::BackupError;

use crate::house::House;

/// In the data directory, while a backup is made.
const UNFINISHED: &str = "enginehouse.db.backup";

/// Makes one. The file has no name any more: it is gone when it is closed.
///
/// # Errors
/// When there is no room for it in the data directory, or it cannot be made.
pub(crate) async fn make(house: &House) -> Result<(Backup, File), Problem> {
    // One at a time: each takes as much room as the database.
    let _one = house.backing_up.lock().await;
    let path = house.config.data_dir.join(UNFINISHED);
    match fs::remove_file(&path) {
        // Left by a host that was killed.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&error)),
    }
    let made = house.store.back_up(path.clone()).await;
    let backed_up = made.map_err(|error| of_store(&error))?;
    let opened = File::open(&path);
    let removed = fs::remove_file(&path);
    let file = opened.map_err(|error| failed(&error))?;
    removed.map_err(|error| failed(&error))?;
    let info = Backup {
        installation: backed_up.installation,
        epoch: backed_up.epoch.0,
        last_operation: backed_up.last_operation,
        bytes: backed_up.bytes,
    };
    Ok((info, file))
}

fn failed(error: &io::Error) -> Problem {
    Problem::new(
        ErrorCode::Internal,
        format!("the backup cannot be made in the data directory: {error}"),
    )
}

fn of_store(error: &BackupError) -> Problem {
    let text = crate::problem::with_sources(error);
    let full = match error {
        BackupError::Full(_) => true,
        BackupError::Write { source, .. } => source.kind() == io::ErrorKind::StorageFull,
        BackupError::Name(_)
        | BackupError::Database { .. }
        | BackupError::Unreadable { .. }
        | BackupError::Closed => false,
    };
    if full {
        return Problem::new(
            ErrorCode::Busy,
            "no space is left in the data directory to make the backup there",
        )
        .with_hint("it needs as much room as the database for a moment: free some and try again");
    }
    Problem::new(ErrorCode::Internal, text)
}
