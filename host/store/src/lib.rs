//! What must last: SQLite behind one commit.
//!
//! **The principle.** Memory decides, the store remembers. Everything the host works with is loaded
//! at [`Store::open`]; afterwards the only write is a [`Commit`]: expected revisions, rows, and the
//! [`Fence`] that the writer was given. Memory is a cache of a committed [`Sequence`].
//!
//! **Order.** [`Store::submit`] queues in the order of the calls and returns at once, so the owner
//! of the memory submits under its own lock and awaits the ticket outside of it. One thread takes
//! all that is queued into one transaction: one fsync for many commits. A commit that conflicts is
//! left out and the others stand.
//!
//! **When the disk fails.** A transaction that fails as a whole (disk full, I/O error) fails every
//! commit in it, and from then on every commit is refused: the owner's memory is ahead of the disk.
//! [`Store::reset`] answers what the disk has, with a new fence; commits that carry the old one stay
//! refused. An acknowledged commit is on disk (`synchronous=FULL`), whatever happens next. A commit
//! that failed with an I/O error may still turn out to be there after a crash.
//!
//! **One process.** The data directory is locked for as long as the store is open.
//!
//! Which table is for what, and how it is pruned: [`schema`].

mod apply;
mod audit;
mod backup;
mod commit;
mod document;
mod executed;
mod load;
mod open;
mod prune;
mod query;
mod restore;
pub mod schema;
mod store;
mod writer;

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod retention_tests;
#[cfg(test)]
mod store_tests;

pub use audit::{AuditEntry, AuditFilter, AuditFrom, AuditRow};
pub use backup::{BackedUp, BackupError};
pub use commit::{
    Commit, CommitError, Epoch, ExecutedRow, Expect, Fence, HistoryRow, IdempotencyRow, JournalRow,
    OperationRow, PlanRow, Prune, RowKey, Sequence, Table, Write,
};
pub use document::{Document, DocumentError};
pub use executed::{About, ExecutedEntry, ExecutedFilter, Results};
pub use load::{Loaded, Row, UnfinishedOperation};
pub use open::{OpenError, Opening};
pub use prune::EndedAt;
pub use query::{
    HistoryEntry, JournalEntry, NamedOnce, OperationFilter, PageCursor, ReadError, StoredOperation,
    StoredPlan,
};
pub use restore::{NUMBERS_SKIPPED, RestoreError, RestoreMark, Restored, restore};
pub use store::{CommitTicket, Stats, Store};
