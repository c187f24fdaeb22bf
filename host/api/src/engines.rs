//! Engines that are loaded, and files that were refused.

use enginehouse_model::documents::Description;
use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/engines`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineList {
    pub engines: Vec<EngineSummary>,
    pub refused: Vec<RefusedEngine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSummary {
    /// What `hypervisor_type` names.
    pub name: String,
    pub version: String,
    /// Kinds of machines: `qemu`, `lxc`.
    pub kinds: Vec<String>,
    /// File in the engines directory.
    pub file: String,
    /// Hash of the file (BLAKE3, hexadecimal).
    pub hash: String,
}

/// A file of the engines directory that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEngine {
    pub file: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Answer of `GET /v1/engines/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    #[serde(flatten)]
    pub summary: EngineSummary,
    pub description: Description,
}
