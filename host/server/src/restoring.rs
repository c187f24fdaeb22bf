//! A backup becomes the database of a data directory that nobody serves.

use std::path::Path;

use enginehouse_engines::Clock;
use enginehouse_store::{RestoreError, Restored};

/// Restores the backup in the file `from`. The next host of the directory is on hold until somebody
/// who governs the root says `resume`.
///
/// # Errors
/// See [`RestoreError`]; the directory's database is as it was then.
pub fn restore(data_dir: &Path, from: &Path) -> Result<Restored, RestoreError> {
    let now = Clock::system().now();
    enginehouse_store::restore(data_dir, from, |restored| crate::hold::row(restored, now))
}
