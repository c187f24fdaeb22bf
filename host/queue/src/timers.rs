//! When those go on that something is in the way of.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{OperationId, Timestamp};

/// At most one time for each operation.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, OperationId)>,
    by_operation: BTreeMap<OperationId, Timestamp>,
}

impl Timers {
    pub(crate) fn set(&mut self, operation: OperationId, at: Timestamp) {
        self.clear(operation);
        self.by_time.insert((at, operation));
        self.by_operation.insert(operation, at);
    }

    pub(crate) fn clear(&mut self, operation: OperationId) {
        if let Some(at) = self.by_operation.remove(&operation) {
            self.by_time.remove(&(at, operation));
        }
    }

    /// Takes out all that is due until `until`, the earliest first.
    pub(crate) fn take_due(&mut self, until: Timestamp) -> Vec<OperationId> {
        let mut due = Vec::new();
        while let Some(&(at, operation)) = self.by_time.first() {
            if at > until {
                break;
            }
            self.clear(operation);
            due.push(operation);
        }
        due
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
