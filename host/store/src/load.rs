//! What the host's memory begins with.

use enginehouse_model::{InstallationId, OperationId, Timestamp};
use rusqlite::Connection;

use crate::query::{self, ReadError};
use crate::{Document, query::unsigned};
use crate::{Epoch, Fence, IdempotencyRow, JournalEntry, Sequence, StoredOperation, Table};

/// A document with its key and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: String,
    pub revision: u64,
    pub document: Document,
}

/// An operation that has not ended, with its journal, oldest line first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedOperation {
    pub operation: StoredOperation,
    pub journal: Vec<JournalEntry>,
}

/// Everything that lasts and that the host works with. Rows are ordered by key, operations by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub installation: InstallationId,
    /// The database was made just now.
    pub first: bool,
    /// To be carried by every commit that is decided on this.
    pub fence: Fence,
    pub sequence: Sequence,
    /// The highest number that an operation ever had, also one that was pruned; 0: there was none.
    pub last_operation: OperationId,
    pub meta: Vec<Row>,
    pub nodes: Vec<Row>,
    pub machines: Vec<Row>,
    pub reservations: Vec<Row>,
    pub tokens: Vec<Row>,
    pub providers: Vec<Row>,
    pub secrets: Vec<Row>,
    /// By the number of the operation.
    pub idempotency: Vec<IdempotencyRow>,
    pub unfinished: Vec<UnfinishedOperation>,
}

/// Reads all of it in one transaction.
pub(crate) fn load(
    connection: &Connection,
    generation: u64,
    first: bool,
) -> Result<Loaded, ReadError> {
    let transaction = connection.unchecked_transaction()?;
    let (installation, epoch, last_operation) = counters(&transaction)?;
    let sequence: i64 =
        transaction.query_row("SELECT sequence FROM installation", [], |row| row.get(0))?;
    let mut unfinished = Vec::new();
    for operation in query::unfinished(&transaction)? {
        let journal = query::journal(&transaction, operation.id)?;
        unfinished.push(UnfinishedOperation { operation, journal });
    }
    Ok(Loaded {
        installation,
        first,
        fence: Fence { epoch, generation },
        sequence: Sequence(unsigned("installation", "sequence", sequence)?),
        last_operation,
        meta: documents(&transaction, Table::Meta)?,
        nodes: documents(&transaction, Table::Node)?,
        machines: documents(&transaction, Table::Machine)?,
        reservations: documents(&transaction, Table::Reservation)?,
        tokens: documents(&transaction, Table::Token)?,
        providers: documents(&transaction, Table::Provider)?,
        secrets: documents(&transaction, Table::Secret)?,
        idempotency: idempotency(&transaction)?,
        unfinished,
    })
}

/// Whose database it is, in which life, and the highest number that an operation ever had.
pub(crate) fn counters(
    connection: &Connection,
) -> Result<(InstallationId, Epoch, OperationId), ReadError> {
    let (id, epoch): (String, i64) =
        connection.query_row("SELECT id, epoch FROM installation", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let installation = id.parse().map_err(|_| ReadError::Value {
        table: "installation",
        what: "id",
    })?;
    let last_operation: i64 = connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'operation'",
        [],
        |row| row.get(0),
    )?;
    Ok((
        installation,
        Epoch(unsigned("installation", "epoch", epoch)?),
        OperationId(unsigned("operation", "number", last_operation)?),
    ))
}

fn documents(connection: &Connection, table: Table) -> Result<Vec<Row>, ReadError> {
    let name = table.name();
    let mut statement = connection.prepare(&format!(
        "SELECT key, revision, version, body FROM {name} ORDER BY key"
    ))?;
    let mut rows = statement.query([])?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(Row {
            key: row.get(0)?,
            revision: unsigned(name, "revision", row.get(1)?)?,
            document: Document {
                version: row.get(2)?,
                body: row.get(3)?,
            },
        });
    }
    Ok(documents)
}

fn idempotency(connection: &Connection) -> Result<Vec<IdempotencyRow>, ReadError> {
    let mut statement = connection
        .prepare("SELECT operation, at, name, digest FROM idempotency ORDER BY operation")?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(IdempotencyRow {
            operation: OperationId(unsigned("idempotency", "operation", row.get(0)?)?),
            at: Timestamp(unsigned("idempotency", "at", row.get(1)?)?),
            name: row.get(2)?,
            digest: row.get(3)?,
        });
    }
    Ok(keys)
}
