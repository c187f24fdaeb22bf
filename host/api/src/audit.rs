//! The audit log: `GET /v1/audit`, `GET /v1/audit/head`.

use enginehouse_audit::{Entry, Hash, Head};
use enginehouse_model::InstallationId;
use serde::{Deserialize, Serialize};

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    #[serde(flatten)]
    pub entry: Entry,
    /// Over the entry and the hash of the one before it.
    pub hash: Hash,
}

/// Answer of `GET /v1/audit`: the newest first, or from `after` on the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    pub entries: Vec<AuditLine>,
    /// What to ask for next, as `before`, or as `after` where that was asked for; absent: this was the
    /// last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Answer of `GET /v1/audit/head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// What the first entry goes on from is made of this.
    pub installation: InstallationId,
    /// The newest entry; number 0: there is none.
    #[serde(flatten)]
    pub head: Head,
}
