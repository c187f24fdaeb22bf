//! What lasts: the rows of the store, in memory, with the store's own types and its promise that a
//! commit is there whole or not at all.

use std::collections::BTreeMap;

use enginehouse_model::OperationId;
use enginehouse_store::{
    Document, ExecutedRow, HistoryRow, JournalRow, Loaded, OperationRow, StoredOperation, Table,
    Write,
};

#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub documents: BTreeMap<(Table, String), Document>,
    pub operations: BTreeMap<OperationId, OperationRow>,
    pub journal: BTreeMap<OperationId, Vec<JournalRow>>,
    pub executed: Vec<ExecutedRow>,
    pub history: Vec<HistoryRow>,
    /// Commits so far.
    pub sequence: u64,
    /// The entries in the order in which they were written.
    pub order: Vec<OperationId>,
}

impl Disk {
    /// Applies a commit.
    pub fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put {
                    table,
                    key,
                    document,
                } => {
                    self.documents
                        .insert((*table, key.clone()), document.clone());
                }
                Write::Delete { table, key } => {
                    self.documents.remove(&(*table, key.clone()));
                }
                Write::Operation(row) => {
                    self.operations.insert(row.id, row.clone());
                }
                Write::Journal(row) => {
                    self.order.push(row.operation);
                    self.journal
                        .entry(row.operation)
                        .or_default()
                        .push(row.clone());
                }
                Write::Executed(row) => self.executed.push(row.clone()),
                Write::History(row) => self.history.push(row.clone()),
                Write::Plan(_) | Write::Idempotency(_) | Write::Audit(_) | Write::Prune(_) => {}
            }
        }
        self.sequence += 1;
    }

    /// What a store has loaded, with the operations and executed lines that it was asked for.
    #[must_use]
    pub fn of_store(
        loaded: &Loaded,
        ended: Vec<StoredOperation>,
        executed: Vec<ExecutedRow>,
    ) -> Self {
        let mut disk = Self {
            sequence: loaded.sequence.0,
            executed,
            ..Self::default()
        };
        let tables = [
            (Table::Meta, &loaded.meta),
            (Table::Node, &loaded.nodes),
            (Table::Machine, &loaded.machines),
            (Table::Reservation, &loaded.reservations),
            (Table::Provider, &loaded.providers),
        ];
        for (table, rows) in tables {
            for row in rows {
                disk.documents
                    .insert((table, row.key.clone()), row.document.clone());
            }
        }
        for operation in ended {
            disk.operations.insert(operation.id, row_of(&operation));
        }
        let mut order: Vec<(u64, OperationId)> = Vec::new();
        for unfinished in &loaded.unfinished {
            let id = unfinished.operation.id;
            disk.operations.insert(id, row_of(&unfinished.operation));
            order.extend(unfinished.journal.iter().map(|entry| (entry.seq, id)));
            let rows = unfinished.journal.iter().map(|entry| JournalRow {
                operation: id,
                at: entry.at,
                document: entry.document.clone(),
            });
            disk.journal.insert(id, rows.collect());
        }
        order.sort_unstable();
        disk.order = order.into_iter().map(|(_, id)| id).collect();
        disk
    }

    /// All that a host begins with, to compare two of them: documents, operations, and the journals
    /// of those that have not ended.
    #[must_use]
    pub fn picture(&self) -> String {
        let mut text = String::new();
        for ((table, key), document) in &self.documents {
            text.push_str(&format!("{} {key} {}\n", table.name(), document.body));
        }
        for (number, row) in &self.operations {
            text.push_str(&format!("{number} {} {}\n", row.state, row.document.body));
            let open = row.ended_at.is_none();
            let rows = self.journal.get(number).filter(|_| open);
            for row in rows.into_iter().flatten() {
                text.push_str(&format!("  {} {}\n", row.at.0, row.document.body));
            }
        }
        text
    }

    /// All rows of it as one commit: what another disk needs to begin where this one is.
    #[must_use]
    pub fn rows(&self) -> Vec<Write> {
        let documents = self.documents.iter();
        let documents = documents.map(|((table, key), document)| Write::Put {
            table: *table,
            key: key.clone(),
            document: document.clone(),
        });
        let history = self.history.iter().cloned().map(Write::History);
        documents.chain(history).collect()
    }

    /// The documents of one table, by key.
    pub fn table(&self, table: Table) -> impl Iterator<Item = (&str, &Document)> {
        self.documents
            .iter()
            .filter(move |((of, _), _)| *of == table)
            .map(|((_, key), document)| (key.as_str(), document))
    }

    /// The highest number that an operation has.
    #[must_use]
    pub fn last_operation(&self) -> OperationId {
        self.operations
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default()
    }
}

fn row_of(stored: &StoredOperation) -> OperationRow {
    OperationRow {
        id: stored.id,
        state: stored.state.clone(),
        targets: stored.targets.clone(),
        queued_at: stored.queued_at,
        ended_at: stored.ended_at,
        plan: stored.plan.clone(),
        document: stored.document.clone(),
    }
}
