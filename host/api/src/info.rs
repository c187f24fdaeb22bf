//! What the server says of itself.

use enginehouse_model::InstallationId;
use serde::{Deserialize, Serialize};

use crate::OnHold;

/// Answer of `GET /healthz`: it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthz {
    /// `ok`.
    pub status: String,
}

/// Answer of `GET /v1/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Version of the server: `0.1.0`.
    pub version: String,
    pub installation: InstallationId,
    /// Counts the restores from a backup.
    pub epoch: u64,
    /// Nothing runs until somebody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_hold: Option<OnHold>,
}
