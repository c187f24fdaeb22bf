//! Roles, and who was given which where.

use std::fmt;

use enginehouse_model::FullName;
use serde::{Deserialize, Serialize};

/// What a subject is to the nodes of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, and orders what changes machines.
    Operator,
    /// Reads, and says yes to what others ordered.
    Approver,
    /// Everything, also grants and the governed keys of definitions.
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A change of what is granted on a node: parameters of `set-grants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GrantChange {
    /// Gives the roles to the subject, beside those that it has there.
    Add { subject: String, roles: Vec<Role> },
    /// Takes the roles from the subject; none named: all that it has there.
    Remove {
        subject: String,
        #[serde(default)]
        roles: Vec<Role>,
    },
}

impl GrantChange {
    #[must_use]
    pub fn subject(&self) -> &str {
        match self {
            Self::Add { subject, .. } | Self::Remove { subject, .. } => subject,
        }
    }
}

/// A role of a subject, and the node that gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    pub path: FullName,
    pub subject: String,
    pub role: Role,
}

/// Answer of `GET /v1/grants`. With `path`: all that hold there, the node's own and those of folders
/// above. Without: those written on any node that the caller may read. By path, subject and role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantList {
    pub grants: Vec<Grant>,
}
