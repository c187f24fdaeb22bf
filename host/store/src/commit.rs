//! The one write: what a commit is made of and how it can end.

use std::fmt;
use std::sync::Arc;

use enginehouse_model::{OperationId, Timestamp};
use thiserror::Error;

use crate::{AuditRow, Document};

/// Counts the lives of an installation: 1, and one more after each restore from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Number of a commit, counting up over the life of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// Who may write: handed out with what was loaded, and carried by every commit that was decided on
/// it. [`crate::Store::reset`] makes the ones before it worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub epoch: Epoch,
    pub(crate) generation: u64,
}

/// Tables of documents by key. See [`crate::schema`] for what each is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Settings of the installation that live in the database, by name.
    Meta,
    /// Folders and descriptors, by `NodeUid`.
    Node,
    /// Machine records, by `MachineUid`.
    Machine,
    /// Numbers reserved for an operation, by `HYPERVISOR/SPACE/NUMBER`.
    Reservation,
    /// API access tokens, by their id; the body holds a hash of the secret.
    Token,
    /// Hypervisors as their last check found them, by `HypervisorUid`.
    Provider,
    /// Secrets by name; the body is encrypted by their owner.
    Secret,
}

impl Table {
    pub(crate) const ALL: [Self; 7] = [
        Self::Meta,
        Self::Node,
        Self::Machine,
        Self::Reservation,
        Self::Token,
        Self::Provider,
        Self::Secret,
    ];

    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Node => "node",
            Self::Machine => "machine",
            Self::Reservation => "reservation",
            Self::Token => "token",
            Self::Provider => "provider",
            Self::Secret => "secret",
        }
    }
}

/// A row that has a revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowKey {
    Document(Table, String),
    Operation(OperationId),
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(table, key) => write!(f, "{} {key}", table.name()),
            Self::Operation(id) => write!(f, "operation {id}"),
        }
    }
}

impl<K: Into<String>> From<(Table, K)> for RowKey {
    fn from((table, key): (Table, K)) -> Self {
        Self::Document(table, key.into())
    }
}

impl From<OperationId> for RowKey {
    fn from(id: OperationId) -> Self {
        Self::Operation(id)
    }
}

/// The revision that a row must have when the commit is applied, after all commits submitted before.
///
/// The store counts: a row begins with revision 1 and each write of it adds 1, so the owner knows the
/// revision that a queued commit will leave. A row that was deleted begins at 1 again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    pub row: RowKey,
    /// `None`: there is no such row.
    pub revision: Option<u64>,
}

/// All or nothing: either every expectation holds and every write is applied, or none is.
#[derive(Clone, Debug)]
pub struct Commit {
    pub fence: Fence,
    pub expect: Vec<Expect>,
    /// Applied in this order.
    pub writes: Vec<Write>,
}

impl Commit {
    #[must_use]
    pub fn new(fence: Fence) -> Self {
        Self {
            fence,
            expect: Vec::new(),
            writes: Vec::new(),
        }
    }

    #[must_use]
    pub fn expect(mut self, row: impl Into<RowKey>, revision: Option<u64>) -> Self {
        self.expect.push(Expect {
            row: row.into(),
            revision,
        });
        self
    }

    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    #[must_use]
    pub fn put(self, table: Table, key: impl Into<String>, document: Document) -> Self {
        self.write(Write::Put {
            table,
            key: key.into(),
            document,
        })
    }

    #[must_use]
    pub fn delete(self, table: Table, key: impl Into<String>) -> Self {
        self.write(Write::Delete {
            table,
            key: key.into(),
        })
    }

    #[must_use]
    pub fn operation(self, row: OperationRow) -> Self {
        self.write(Write::Operation(row))
    }

    #[must_use]
    pub fn journal(self, row: JournalRow) -> Self {
        self.write(Write::Journal(row))
    }
}

/// One row to write.
#[derive(Clone, Debug)]
pub enum Write {
    /// Insert, or replace whole.
    Put {
        table: Table,
        key: String,
        document: Document,
    },
    /// Nothing happens where there is no such row.
    Delete { table: Table, key: String },
    /// Insert, or replace whole.
    Operation(OperationRow),
    /// Append. Host and epoch are added by the store.
    Journal(JournalRow),
    /// Insert; of a plan that is stored already only `used_at` is moved.
    Plan(PlanRow),
    /// Append to the log of ended operations; one line for each operation.
    Executed(ExecutedRow),
    /// Which operation an order with an idempotency key became.
    Idempotency(IdempotencyRow),
    /// Append to the history of a node.
    History(HistoryRow),
    /// Append to the audit log. Number, epoch and hash are added by the store.
    Audit(AuditRow),
    /// Remove what is no longer needed.
    Prune(Prune),
}

/// An operation, with what lists are filtered and pruned by as columns of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    pub id: OperationId,
    /// `pending`, `running`, `succeeded`, …
    pub state: String,
    /// UIDs of what it is about.
    pub targets: Vec<String>,
    pub queued_at: Timestamp,
    /// `None`: not ended. Such operations are loaded at open, with their journal.
    pub ended_at: Option<Timestamp>,
    /// Id of the plan it carries out: kept while the operation has not ended.
    pub plan: Option<String>,
    pub document: Document,
}

/// A line of an operation's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    pub operation: OperationId,
    pub at: Timestamp,
    pub document: Document,
}

/// A plan as it was shown to a person or carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// Its digest: equal plans have one row.
    pub id: String,
    /// When it was last made.
    pub used_at: Timestamp,
    pub document: Document,
}

/// What remains of an operation when all else of it is pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedRow {
    pub operation: OperationId,
    pub kind: String,
    /// UID of what it was about, where that has one.
    pub node: Option<String>,
    /// Names of what it was about, as they were then; the first is the one that lists are filtered by.
    pub targets: Vec<String>,
    pub who: String,
    pub queued_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Timestamp,
    /// The state it ended in.
    pub outcome: String,
    /// Error or warning, for people.
    pub message: Option<String>,
    /// What came out of it; absent in lines of databases that did not keep it here.
    pub result: Option<Document>,
}

/// An idempotency key, and what it was used for. Both are hashes under a key that is not in the
/// database: neither says anything to who reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// The operation that the order became. It has one key.
    pub operation: OperationId,
    pub at: Timestamp,
    /// Of the client's key and whose it is.
    pub name: [u8; 32],
    /// Of the order.
    pub digest: [u8; 32],
}

impl fmt::Debug for IdempotencyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyRow")
            .field("operation", &self.operation)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// What became of a node: of its definition, its deployed config or its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// `NodeUid`: the history outlives the node.
    pub node: String,
    /// The full name that the node has after this.
    pub name: String,
    pub at: Timestamp,
    /// The operation that did it; `None`: the host, of its own.
    pub operation: Option<OperationId>,
    pub who: String,
    /// `provision`, `move`, `deployed`, …
    pub kind: String,
    pub document: Document,
}

/// What to remove. Lists name what [`crate::Store`] found to be old; what has changed since then is
/// looked at again and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Those of these operations that have ended, with their journals. Numbers are not reused.
    Operations { numbers: Vec<OperationId> },
    /// Those of these plans that were last made before this moment, and that no unfinished operation
    /// carries out.
    Plans {
        ids: Vec<String>,
        unused_since: Timestamp,
    },
    /// The lines of the executed log up to this one.
    Executed { through: u64 },
    /// The idempotency keys of operations up to this one.
    Idempotency { through: OperationId },
    /// Rows of the history before this moment, but never the newest row of a node: what a node,
    /// also one that is gone, came to in the end stays known.
    History { before: Timestamp },
}

/// Why a commit was not applied. Nothing of it was written.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// Other commits are not touched by it.
    #[error(
        "{row} was changed meanwhile: {} expected, {} found",
        Revision(*.expected),
        Revision(*.found)
    )]
    Conflict {
        row: RowKey,
        expected: Option<u64>,
        found: Option<u64>,
    },
    /// Decided on memory that was replaced since, or in another epoch.
    #[error("decided on an older state of the store: load again and decide anew")]
    Fenced,
    /// A number does not fit into the database. Other commits are not touched by it.
    #[error("{what} {number} is too large to be stored")]
    TooLarge { what: &'static str, number: u64 },
    /// Nothing is lost; works again after space was made and the store was reset.
    #[error("no space is left for the database: free some, nothing was lost")]
    Full,
    #[error("the database cannot be written")]
    Io(#[source] Arc<rusqlite::Error>),
    /// A commit before this one failed for the disk's sake: memory is ahead of what is stored.
    #[error("an earlier write failed and the store was not reset since")]
    Behind(#[source] Arc<CommitError>),
    #[error("the store is closed")]
    Closed,
}

impl CommitError {
    /// Whether [`crate::Store::reset`] must be called before anything can be written.
    #[must_use]
    pub fn needs_reset(&self) -> bool {
        match self {
            Self::Full | Self::Io(_) | Self::Behind(_) => true,
            Self::Conflict { .. } | Self::Fenced | Self::TooLarge { .. } | Self::Closed => false,
        }
    }

    /// Whether the disk being full is behind it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Behind(cause) => cause.is_full(),
            Self::Conflict { .. }
            | Self::Fenced
            | Self::TooLarge { .. }
            | Self::Io(_)
            | Self::Closed => false,
        }
    }
}

struct Revision(Option<u64>);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "revision {revision}"),
            None => f.write_str("no row"),
        }
    }
}
