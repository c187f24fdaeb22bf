//! What an order would change, before it is given: `POST /v1/previews`.

use enginehouse_model::FullName;
use serde::{Deserialize, Serialize};

use crate::OperationKind;
use crate::node::Origin;

/// What an order that changes the tree would do to computed definitions, to rights, and to what is
/// pending for machines. Nothing is changed and nothing stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    pub kind: OperationKind,
    pub path: FullName,
    /// Of a `move`: the name that it would give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<FullName>,
    pub counts: PreviewCounts,
    /// Nodes that would be made, removed or computed otherwise, in the order of their names, at most
    /// as many as were asked for. A node that only gets another name is not among them.
    pub nodes: Vec<PreviewNode>,
    /// Whose permissions would change, at most as many as were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<RightsChange>,
    /// Deployed machines for which something else would be pending than now, at most as many as were
    /// asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingChange>,
}

/// How many nodes of each sort, whatever the lists hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreviewCounts {
    pub made: u64,
    pub removed: u64,
    /// Some value of the computed definition would be another.
    pub changed: u64,
    /// All values would stay, but some would come from elsewhere.
    pub origins_only: u64,
    /// The full name would be another, whatever else is.
    pub renamed: u64,
    /// Entries of `rights`.
    pub rights: u64,
    /// Machines of `pending`.
    pub pending: u64,
}

impl PreviewCounts {
    /// Nodes that `nodes` would hold if all were asked for.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.made + self.removed + self.changed + self.origins_only
    }

    /// Whether others than the node that the order names would notice: values, rights or machines.
    /// Other names, and the same values from elsewhere, do not count.
    #[must_use]
    pub fn matters(&self) -> bool {
        self.changed + self.rights + self.pending > 0
    }
}

/// A node that would differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreviewNode {
    /// Absent: it would be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<FullName>,
    /// Absent: it would be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<FullName>,
    /// In the order of the definition's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyChange>,
}

/// A key of a computed definition that would differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Dotted path: `disks.root.size`.
    pub key: String,
    /// Absent: there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<TracedValue>,
    /// Absent: there would be no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<TracedValue>,
}

/// A value as people see it, with where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracedValue {
    pub value: String,
    pub origin: Origin,
}

/// What somebody may do with a node and all below it, but for those below that are named as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RightsChange {
    /// By the name that it would have.
    pub path: FullName,
    pub subject: String,
    /// `read`, `operate`, `approve`, `govern`. The same before and after: it stays here, though it
    /// changes above.
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// What a `reconfigure` of a deployed machine would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingChange {
    pub path: FullName,
    /// As it is now, in words: `memory 4 GiB -> 8 GiB`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}
