//! Backups, and what comes after a restore.

use enginehouse_model::{InstallationId, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

/// The database was restored from a backup, and nothing runs until somebody who governs the root says
/// so (`POST /v1/resume`). Orders are taken in meanwhile and wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnHold {
    /// When it was restored.
    pub since: Timestamp,
    /// The highest number that an operation had when the backup was made. What was ordered after it
    /// had higher ones, and is not known here.
    pub last_operation: OperationId,
    /// The first number that is given since: the ones between are not given again.
    pub next_operation: OperationId,
}

/// Answer of `POST /v1/resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// False: the host was not on hold.
    pub was_on_hold: bool,
    /// Operations that had begun and are now looked at and planned again.
    pub begun_anew: u64,
    /// Operations in doubt: they wait for a person as before.
    pub in_doubt: u64,
}

/// What a backup holds; with `GET /v1/backup` in the header [`crate::routes::BACKUP_HEADER`], as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub installation: InstallationId,
    pub epoch: u64,
    /// The highest number that an operation had by then; 0: there was none.
    pub last_operation: OperationId,
    /// Length of the file.
    pub bytes: u64,
}
