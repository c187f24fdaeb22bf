//! Secrets of the host's own store. No answer has the value of one.

use std::fmt;

use enginehouse_model::{FullName, SecretName, Timestamp};
use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/secrets`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretList {
    /// Which key they are encrypted with: tells backups of keys apart, and nothing of the key.
    pub key: String,
    pub secrets: Vec<SecretInfo>,
}

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretInfo {
    pub name: SecretName,
    /// Taken out of a definition; it goes when nothing refers to it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    /// Who gave it its value.
    pub by: String,
    /// Nodes whose definition refers to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<FullName>,
}

/// Body of `PUT /v1/secrets/{name}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretValue {
    /// Not empty, at most 64 KiB.
    pub value: String,
}

/// Without the value.
impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}
