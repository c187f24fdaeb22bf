//! The world's file: one JSON document, replaced whole.
//!
//! It is written beside itself and renamed, so a process that is killed leaves the old world or the
//! new one. Only the machine's own crash may lose the newest changes: nothing is synced to disk,
//! since what this simulates is a provider's memory, not ours.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::{SimError, World};

#[derive(Serialize, Deserialize)]
struct File<W> {
    /// Milliseconds since 1970 when it was written: the time until it is read again has passed for
    /// the world too, as for a provider whose API was restarted while its tasks went on.
    written_at: u64,
    world: W,
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The world in the file with its clock moved on; none if there is no file.
pub(crate) fn load(path: &Path) -> Result<Option<World>, SimError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SimError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let file: File<World> = serde_json::from_slice(&text).map_err(|source| SimError::Format {
        path: path.to_owned(),
        source,
    })?;
    let mut world = file.world;
    let passed = unix_ms().saturating_sub(file.written_at);
    world.advance(world.now.saturating_add(passed));
    world.touch();
    Ok(Some(world))
}

pub(crate) fn save(path: &Path, world: &World) -> Result<(), SimError> {
    let failed = |source| SimError::Write {
        path: path.to_owned(),
        source,
    };
    let file = File {
        written_at: unix_ms(),
        world,
    };
    let text = serde_json::to_vec(&file).map_err(|error| failed(error.into()))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}
