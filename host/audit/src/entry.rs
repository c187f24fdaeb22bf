//! One entry, and the bytes that are hashed.

use std::collections::BTreeMap;
use std::fmt;

use enginehouse_model::{InstallationId, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// What begins the bytes of an entry, and of the value that the first one goes on from. Another way to
/// make the bytes gets another text.
const ENTRY: &[u8] = b"enginehouse audit entry 1\n";
const BEGINNING: &[u8] = b"enginehouse audit log 1\n";

/// What an entry tells of. The log itself keeps it as text, so that it can be checked also by a
/// version that does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// An order was taken in.
    Order,
    /// The plan of an operation was made, and the operation carries it out.
    Plan,
    /// A plan was made for somebody to look at, and is kept.
    PlanStored,
    /// An action that destroys was let through, or held.
    Gate,
    /// People were asked to approve what destroys, said yes or no, or it was used, too late or stale.
    Approval,
    /// The definition of a node changed in what protects machines or says what runs by itself.
    Protection,
    /// Who may do what was changed.
    Grants,
    TokenCreated,
    TokenRevoked,
    /// The installation's own token was exchanged.
    TokenRotated,
    Cancel,
    /// An operation in doubt was ended or went on, as a person said.
    Resolve,
    /// An operation got another place in its lane.
    Move,
    /// The database was brought back to a backup.
    Restore,
    /// The hold after a restore is over.
    Resume,
    /// A person agreed that machines which lists do not show may be gone.
    Missing,
    /// Nothing is repaired or followed by itself at and below a node.
    Pause,
    /// It is again.
    Unpause,
    /// A machine that was missing is on record again, as a person said.
    Link,
}

impl Action {
    pub const ALL: [Self; 19] = [
        Self::Order,
        Self::Plan,
        Self::PlanStored,
        Self::Gate,
        Self::Approval,
        Self::Protection,
        Self::Grants,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::TokenRotated,
        Self::Cancel,
        Self::Resolve,
        Self::Move,
        Self::Restore,
        Self::Resume,
        Self::Missing,
        Self::Pause,
        Self::Unpause,
        Self::Link,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Plan => "plan",
            Self::PlanStored => "plan-stored",
            Self::Gate => "gate",
            Self::Approval => "approval",
            Self::Protection => "protection",
            Self::Grants => "grants",
            Self::TokenCreated => "token-created",
            Self::TokenRevoked => "token-revoked",
            Self::TokenRotated => "token-rotated",
            Self::Cancel => "cancel",
            Self::Resolve => "resolve",
            Self::Move => "move",
            Self::Restore => "restore",
            Self::Resume => "resume",
            Self::Missing => "missing",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Link => "link",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One entry without its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 1 without gaps.
    pub number: u64,
    /// The life of the installation that wrote it: one more after each restore.
    pub epoch: u64,
    pub at: Timestamp,
    pub who: String,
    /// An [`Action`], or one of another version.
    pub action: String,
    /// UID of the node that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The node's full name then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// What else there is to say, by name. Nothing secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
}

impl Entry {
    /// Its hash after the entry with the hash `before`.
    #[must_use]
    pub fn hash(&self, before: Hash) -> Hash {
        let Self {
            number,
            epoch,
            at,
            who,
            action,
            node,
            path,
            operation,
            detail,
        } = self;
        let mut bytes = Bytes(blake3::Hasher::new());
        bytes.0.update(ENTRY);
        bytes.0.update(&before.0);
        bytes.number(*number);
        bytes.number(*epoch);
        bytes.number(at.0);
        bytes.text(who);
        bytes.text(action);
        bytes.optional(node.as_deref());
        bytes.optional(path.as_deref());
        let operation = operation.map(|operation| operation.0.to_string());
        bytes.optional(operation.as_deref());
        bytes.number(detail.len() as u64);
        for (name, value) in detail {
            bytes.text(name);
            bytes.text(value);
        }
        bytes.done()
    }
}

/// What the first entry of an installation goes on from.
pub(crate) fn beginning(installation: InstallationId) -> Hash {
    let mut bytes = Bytes(blake3::Hasher::new());
    bytes.0.update(BEGINNING);
    bytes.text(&installation.to_string());
    bytes.done()
}

/// Numbers as 8 bytes, the least significant first; texts with their length before them, so that no two
/// entries have the same bytes.
struct Bytes(blake3::Hasher);

impl Bytes {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn done(self) -> Hash {
        Hash(*self.0.finalize().as_bytes())
    }
}
