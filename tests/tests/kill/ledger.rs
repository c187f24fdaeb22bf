//! What clients were told.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use enginehouse_api::OperationKind;
use enginehouse_model::OperationId;
use parking_lot::Mutex;

/// An order that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub kind: OperationKind,
    pub path: String,
    /// The client's key.
    pub key: String,
}

#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    acknowledged: BTreeMap<OperationId, Acknowledged>,
    refused: u64,
    /// Nodes that were made, or moved, and that nobody takes away.
    nodes: BTreeSet<String>,
    /// The last number that was written on `/notes`.
    count: u64,
}

impl Ledger {
    /// Notes a number that a client has read.
    ///
    /// # Errors
    /// When somebody else was told the same number.
    pub fn acknowledge(&self, number: OperationId, order: Acknowledged) -> Result<()> {
        let mut inner = self.inner.lock();
        let before = inner.acknowledged.insert(number, order.clone());
        ensure!(
            before.is_none(),
            "number {number} was given to {order:?} and to {before:?}"
        );
        Ok(())
    }

    pub fn refuse(&self) {
        self.inner.lock().refused += 1;
    }

    pub fn has_node(&self, path: &str) {
        self.inner.lock().nodes.insert(path.to_owned());
    }

    pub fn has_moved(&self, from: &str, to: &str) {
        let mut inner = self.inner.lock();
        inner.nodes.remove(from);
        inner.nodes.insert(to.to_owned());
    }

    pub fn has_count(&self, count: u64) {
        self.inner.lock().count = count;
    }

    pub fn acknowledged(&self) -> BTreeMap<OperationId, Acknowledged> {
        self.inner.lock().acknowledged.clone()
    }

    pub fn nodes(&self) -> BTreeSet<String> {
        self.inner.lock().nodes.clone()
    }

    pub fn count(&self) -> u64 {
        self.inner.lock().count
    }

    pub fn refused(&self) -> u64 {
        self.inner.lock().refused
    }

    /// The newest numbers, to cancel some.
    pub fn newest(&self, most: usize) -> Vec<OperationId> {
        let inner = self.inner.lock();
        inner
            .acknowledged
            .keys()
            .rev()
            .take(most)
            .copied()
            .collect()
    }
}
