//! The machines of a hypervisor, as they were seen.

use enginehouse_model::documents::{Gap, PowerState};
use enginehouse_model::{FullName, HypervisorUid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::OperationError;

/// What is known of the machines of a hypervisor as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InventoryState {
    /// When the newest list began; absent: there is none since the host started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<Timestamp>,
    /// Machines that are known to be there.
    pub machines: u64,
    /// Where the newest list could not look; what was there before stays as it was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Machines of which a full read is kept.
    pub read: u64,
    /// When the one that was read longest ago was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_read_at: Option<Timestamp>,
    /// Full reads that are under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Machines on record that lists do not show.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent: u64,
    /// They are too many at once: nothing is begun there until a person agrees that they may be gone, or
    /// they are there again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Why it could not be looked at the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<OperationError>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A machine on record that lists do not show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AbsentMachine {
    pub path: FullName,
    /// The provider's id, as it is on record.
    pub id: String,
    /// When the first list began that did not show it.
    pub since: Timestamp,
    /// Lists that looked everywhere and did not show it.
    pub lists: u32,
    /// A person has agreed that it may be gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agreed: bool,
}

/// Body of `POST /v1/hypervisors/missing`: the machines that lists of this hypervisor do not show may be
/// gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingRequest {
    pub name: String,
    #[serde(default = "FullName::root")]
    pub path: FullName,
}

/// How far full reads have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub done: u64,
    pub of: u64,
}

/// Body of `POST /v1/hypervisors/refresh`: those that hold for `path`, defined at, below or above it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    #[serde(default = "FullName::root")]
    pub path: FullName,
    /// Those of this name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Read every machine in full, not only those that are new or have changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
}

/// Answer of `POST /v1/hypervisors/refresh`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefreshResults {
    pub hypervisors: Vec<HypervisorRefresh>,
}

/// What a look at a hypervisor found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HypervisorRefresh {
    pub uid: HypervisorUid,
    pub name: String,
    pub defined_at: FullName,
    pub took_ms: u64,
    /// Machines that the list before did not have; 0 for the first list.
    pub new: u64,
    /// Machines that were otherwise in the list before.
    pub changed: u64,
    pub gone: u64,
    /// Machines that were read in full, and those that could not be.
    pub read: u64,
    pub failed: u64,
    pub inventory: InventoryState,
    /// Why it could not be looked at, or not to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<OperationError>,
}

/// Answer of `GET /v1/hypervisors/machines`: a page, by id as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachinePage {
    pub uid: HypervisorUid,
    pub name: String,
    pub defined_at: FullName,
    pub inventory: InventoryState,
    pub machines: Vec<FoundMachine>,
    /// On the first page: what is on record and was not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentMachine>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Whose a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// A descriptor's.
    Ours,
    /// Marked by this installation, and no descriptor has it.
    Orphan,
    /// Not marked by this installation.
    Foreign,
    /// Something to make machines from.
    Template,
    /// Its mark was not seen yet: the list does not show marks, and it was not read in full.
    Unread,
}

impl Whose {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Orphan => "orphan",
            Self::Foreign => "foreign",
            Self::Template => "template",
            Self::Unread => "unread",
        }
    }
}

/// A machine that was found on a hypervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundMachine {
    /// The provider's id.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub power: PowerState,
    /// Node or host that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub whose: Whose,
    /// The descriptor whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<FullName>,
    /// When the list began that showed it last.
    pub listed_at: Timestamp,
    /// When it was last read in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// Why it could not be read since, or what does not fit together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
