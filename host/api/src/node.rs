//! The tree: listings, and one node whole.

use std::fmt;

use enginehouse_model::documents::Config;
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::OperationKind;
use crate::drift::{Drift, Paused};
use crate::lost::ReturnedMachine;
use crate::operation::OperationState;

/// What stands in the place of every secret.
pub const HIDDEN: &str = "(secret)";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    Folder,
    Descriptor,
}

/// State of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Provisioned,
    Deployed,
    Unreachable,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Provisioned => "provisioned",
            Self::Deployed => "deployed",
            Self::Unreachable => "unreachable",
        })
    }
}

/// A node in a listing, with what is below it. Answer of `GET /v1/tree`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    pub uid: NodeUid,
    pub full_name: FullName,
    pub kind: NodeKind,
    /// Of a descriptor only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Name of the hypervisor that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// The operation that works on it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<OperationId>,
    /// Its definition differs from its deployed config.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending_change: bool,
    /// Its machine was changed behind our back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drifted: bool,
    /// It says that nothing is repaired or followed at and below it without a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Its last operation failed or warned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Folders first, then descriptors, each by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<TreeNode>,
    /// It has children that `depth` kept out of the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// The caller may not read this folder; it is here because it leads to what the caller may read,
    /// and of what it holds only that is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub way: bool,
}

/// One node whole. Answer of `GET /v1/nodes?path=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub uid: NodeUid,
    pub full_name: FullName,
    pub kind: NodeKind,
    /// Changes with every change of the node; also its `ETag`.
    pub revision: u64,
    /// Of a descriptor only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// What is written on this node; secrets as [`HIDDEN`].
    pub local_definition: Map<String, Value>,
    /// What results from inheritance, in the order of the definition's keys.
    pub computed_definition: Vec<ComputedValue>,
    /// What was applied to the machine; absent when there is none. Sizes in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_config: Option<Config>,
    /// What a `reconfigure` would change, in words: `memory 4 GiB -> 8 GiB`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_changes: Vec<String>,
    /// What was changed on the machine behind our back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// The machine that it has lost is there again: `POST /v1/nodes/link`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<ReturnedMachine>,
    /// Nothing destroys its machine, whatever its definition says: `protect`, `unprotect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<ProtectedMachine>,
    /// Nothing is repaired or followed here without a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_operation: Option<LastOperation>,
    /// The operation that works on it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<OperationId>,
}

/// Who protected a machine on its record, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedMachine {
    pub since: Timestamp,
    pub by: String,
}

/// One value of a computed definition and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputedValue {
    /// Dotted path: `disks.root.size`.
    pub key: String,
    /// As a person would write it: sizes as `8GiB`, secrets as [`HIDDEN`].
    pub value: Value,
    pub origin: Origin,
}

/// Where a value came from. As text: `/web/vm1 via proto_docker (/)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The node that wrote the value, or that named what it came through.
    pub node: FullName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<OriginVia>,
}

/// The prototype or hypervisor that a value came through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginVia {
    pub name: String,
    /// The node that defines it.
    pub defined_at: FullName,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)?;
        match &self.via {
            Some(via) => write!(f, " via {} ({})", via.name, via.defined_at),
            None => Ok(()),
        }
    }
}

/// The last error or warning of a node; the next success clears it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastError {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    pub at: Timestamp,
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The last operation on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOperation {
    pub number: OperationId,
    pub kind: OperationKind,
    pub who: String,
    /// When it ended, or was queued if it has not.
    pub at: Timestamp,
    pub outcome: OperationState,
}
