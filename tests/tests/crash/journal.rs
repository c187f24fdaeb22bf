//! What a dead host left on disk.

use std::path::Path;

use anyhow::{Context, Result};
use enginehouse_model::{InstallationId, OperationId};
use enginehouse_store::{Opening, Store};
use serde_json::Value;
use tempfile::TempDir;

/// The database of a host that was killed, read from a copy: nothing of it changes.
pub struct Remains {
    store: Store,
    _copy: TempDir,
}

impl Remains {
    pub fn of(data: &Path) -> Result<Self> {
        let copy = tempfile::tempdir()?;
        for file in ["enginehouse.db", "enginehouse.db-wal"] {
            match std::fs::copy(data.join(file), copy.path().join(file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot copy {file}"));
                }
                Ok(_) | Err(_) => {}
            }
        }
        let opening = Opening {
            host: "a test".to_owned(),
            first_installation: InstallationId::from_uuid(uuid::Uuid::nil()),
            max_pages: None,
        };
        let (store, _) = Store::open(copy.path(), &opening)?;
        Ok(Self { store, _copy: copy })
    }

    pub async fn has(&self, number: OperationId) -> Result<bool> {
        Ok(self.store.operation(number).await?.is_some())
    }

    /// The entries of an operation's journal, oldest first.
    pub async fn entries(&self, number: OperationId) -> Result<Vec<Value>> {
        let journal = self.store.journal(number).await?;
        journal
            .iter()
            .map(|entry| Ok(entry.document.read()?))
            .collect()
    }

    /// The provider's task that the operation waited for when the host died.
    pub async fn task(&self, number: OperationId) -> Result<Option<String>> {
        let entries = self.entries(number).await?;
        let last = entries.last();
        Ok(last
            .filter(|last| last["entry"] == "waiting")
            .and_then(|last| last["task"].as_str())
            .map(str::to_owned))
    }

    /// The kinds of the entries, to see where the host was killed: `sending`, `waiting`.
    pub async fn story(&self, number: OperationId) -> Result<String> {
        let entries = self.entries(number).await?;
        let kinds: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry["entry"].as_str())
            .collect();
        Ok(kinds.join(" "))
    }
}
