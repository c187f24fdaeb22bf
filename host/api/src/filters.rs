//! What lists are asked for.

use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};

use crate::{OperationKind, OperationState};

/// Which operations to list. Default: the newest of all.
#[derive(Clone, Debug, Default)]
pub struct OperationFilter {
    pub state: Option<OperationState>,
    /// Those about this node or what is below it.
    pub path: Option<FullName>,
    /// Those with a lower number.
    pub before: Option<OperationId>,
    pub limit: Option<u32>,
}

/// Which lines of the executed log. Default: the newest of all.
#[derive(Clone, Debug, Default)]
pub struct ExecutedFilter {
    /// Those about this node or what is, or was, below it.
    pub path: Option<FullName>,
    /// Those that this subject ordered.
    pub who: Option<String>,
    pub kind: Option<OperationKind>,
    pub outcome: Option<OperationState>,
    /// Those that ended then or later.
    pub since: Option<Timestamp>,
    /// Those that ended before.
    pub until: Option<Timestamp>,
    /// [`ExecutedPage::next`](crate::ExecutedPage::next) of the page before.
    pub before: Option<String>,
    pub limit: Option<u32>,
}

/// Which entries of the audit log. Default: the newest of all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Those about this node or what is, or was, below it.
    pub path: Option<FullName>,
    pub who: Option<String>,
    /// An [`Action`](enginehouse_audit::Action).
    pub action: Option<String>,
    pub operation: Option<OperationId>,
    /// Those written then or later.
    pub since: Option<Timestamp>,
    /// Those written before.
    pub until: Option<Timestamp>,
    /// Those with a lower number, the newest first.
    pub before: Option<u64>,
    /// Those with a higher number, the oldest first; not together with `before`.
    pub after: Option<u64>,
    pub limit: Option<u32>,
}

/// Whose history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryOf {
    /// The node of that name, or the last that had it.
    Path(FullName),
    Uid(NodeUid),
}
