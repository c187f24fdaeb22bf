//! What is read when somebody asks: operations that ended, journals, plans, histories.

use enginehouse_model::{OperationId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};
use thiserror::Error;

use crate::{Document, Epoch, HistoryRow};

/// The database could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the database cannot be read")]
    Database(#[from] rusqlite::Error),
    #[error("table {table} of the database holds a wrong value in {what}")]
    Value {
        table: &'static str,
        what: &'static str,
    },
    #[error("the store is closed")]
    Closed,
}

/// An operation as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOperation {
    pub id: OperationId,
    pub revision: u64,
    pub state: String,
    /// Sorted by bytes.
    pub targets: Vec<String>,
    pub queued_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub plan: Option<String>,
    pub document: Document,
}

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Counts up over all operations.
    pub seq: u64,
    pub operation: OperationId,
    pub host: String,
    pub epoch: Epoch,
    pub at: Timestamp,
    pub document: Document,
}

/// A plan as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlan {
    pub id: String,
    pub used_at: Timestamp,
    pub document: Document,
}

/// A row of a node's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Counts up over all nodes.
    pub seq: u64,
    pub row: HistoryRow,
}

/// A node that had some full name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOnce {
    /// `NodeUid`.
    pub node: String,
    /// When its history last knew it by this name.
    pub at: Timestamp,
}

/// Which page of a list that begins with the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// Only numbers below this one; `None`: from the newest on.
    pub before: Option<OperationId>,
    /// Most rows to answer.
    pub limit: u32,
}

/// Which operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// One of these states; empty: any.
    pub states: Vec<String>,
    /// UID of something that they are about.
    pub target: Option<String>,
}

const OPERATION: &str =
    "SELECT number, revision, state, queued_at, ended_at, plan, version, body FROM operation";

pub(crate) fn operation(
    connection: &Connection,
    id: OperationId,
) -> Result<Option<StoredOperation>, ReadError> {
    let Ok(number) = i64::try_from(id.0) else {
        return Ok(None);
    };
    let mut found = operations(
        connection,
        &format!("{OPERATION} WHERE number = ?1"),
        vec![Value::Integer(number)],
    )?;
    Ok(found.pop())
}

/// All that have not ended, by number.
pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<StoredOperation>, ReadError> {
    operations(
        connection,
        &format!("{OPERATION} WHERE ended_at IS NULL ORDER BY number"),
        Vec::new(),
    )
}

/// Newest first.
pub(crate) fn operation_page(
    connection: &Connection,
    filter: &OperationFilter,
    page: PageCursor,
) -> Result<Vec<StoredOperation>, ReadError> {
    let mut conditions = vec!["number < ?".to_owned()];
    let mut values = vec![Value::Integer(before(page))];
    if let Some(target) = &filter.target {
        conditions
            .push("number IN (SELECT number FROM operation_target WHERE target = ?)".to_owned());
        values.push(Value::Text(target.clone()));
    }
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(", ");
        conditions.push(format!("state IN ({marks})"));
        values.extend(filter.states.iter().cloned().map(Value::Text));
    }
    values.push(Value::Integer(i64::from(page.limit)));
    let conditions = conditions.join(" AND ");
    operations(
        connection,
        &format!("{OPERATION} WHERE {conditions} ORDER BY number DESC LIMIT ?"),
        values,
    )
}

fn operations(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<StoredOperation>, ReadError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut targets_of = connection
        .prepare_cached("SELECT target FROM operation_target WHERE number = ?1 ORDER BY target")?;
    let mut operations = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let targets = targets_of
            .query_map(params![number], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        operations.push(StoredOperation {
            id: OperationId(unsigned("operation", "number", number)?),
            revision: unsigned("operation", "revision", row.get(1)?)?,
            state: row.get(2)?,
            targets,
            queued_at: time("operation", "queued_at", row.get(3)?)?,
            ended_at: optional_time("operation", "ended_at", row.get(4)?)?,
            plan: row.get(5)?,
            document: document(row, 6)?,
        });
    }
    Ok(operations)
}

/// Oldest line first.
pub(crate) fn journal(
    connection: &Connection,
    id: OperationId,
) -> Result<Vec<JournalEntry>, ReadError> {
    let Ok(number) = i64::try_from(id.0) else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT seq, host, epoch, at, version, body FROM journal WHERE operation = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![number])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(JournalEntry {
            seq: unsigned("journal", "seq", row.get(0)?)?,
            operation: id,
            host: row.get(1)?,
            epoch: Epoch(unsigned("journal", "epoch", row.get(2)?)?),
            at: time("journal", "at", row.get(3)?)?,
            document: document(row, 4)?,
        });
    }
    Ok(entries)
}

pub(crate) fn plan(connection: &Connection, id: &str) -> Result<Option<StoredPlan>, ReadError> {
    let found = connection
        .prepare_cached("SELECT used_at, version, body FROM plan WHERE id = ?1")?
        .query_row(params![id], |row| Ok((row.get(0)?, document(row, 1)?)))
        .optional()?;
    let Some((used_at, document)) = found else {
        return Ok(None);
    };
    Ok(Some(StoredPlan {
        id: id.to_owned(),
        used_at: time("plan", "used_at", used_at)?,
        document,
    }))
}

/// Newest first, with `seq` below `before`.
pub(crate) fn history_page(
    connection: &Connection,
    node: &str,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<HistoryEntry>, ReadError> {
    let before = before.and_then(|seq| i64::try_from(seq).ok());
    let mut statement = connection.prepare_cached(
        "SELECT seq, name, at, operation, who, kind, version, body FROM history
         WHERE node = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![node, before.unwrap_or(i64::MAX), limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let operation: Option<i64> = row.get(3)?;
        entries.push(HistoryEntry {
            seq: unsigned("history", "seq", row.get(0)?)?,
            row: HistoryRow {
                node: node.to_owned(),
                name: row.get(1)?,
                at: time("history", "at", row.get(2)?)?,
                operation: operation
                    .map(|number| unsigned("history", "operation", number).map(OperationId))
                    .transpose()?,
                who: row.get(4)?,
                kind: row.get(5)?,
                document: document(row, 6)?,
            },
        });
    }
    Ok(entries)
}

/// The nodes that had a full name, the latest first.
pub(crate) fn named(
    connection: &Connection,
    name: &str,
    limit: u32,
) -> Result<Vec<NamedOnce>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT node, max(seq) AS latest, at FROM history
         WHERE name = ?1 GROUP BY node ORDER BY latest DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![name, limit])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        nodes.push(NamedOnce {
            node: row.get(0)?,
            at: time("history", "at", row.get(2)?)?,
        });
    }
    Ok(nodes)
}

fn before(page: PageCursor) -> i64 {
    page.before
        .and_then(|id| i64::try_from(id.0).ok())
        .unwrap_or(i64::MAX)
}

fn document(row: &Row<'_>, at: usize) -> rusqlite::Result<Document> {
    Ok(Document {
        version: row.get(at)?,
        body: row.get(at + 1)?,
    })
}

pub(crate) fn time(
    table: &'static str,
    what: &'static str,
    value: i64,
) -> Result<Timestamp, ReadError> {
    unsigned(table, what, value).map(Timestamp)
}

pub(crate) fn optional_time(
    table: &'static str,
    what: &'static str,
    value: Option<i64>,
) -> Result<Option<Timestamp>, ReadError> {
    value.map(|value| time(table, what, value)).transpose()
}

pub(crate) fn unsigned(
    table: &'static str,
    what: &'static str,
    value: i64,
) -> Result<u64, ReadError> {
    u64::try_from(value).map_err(|_| ReadError::Value { table, what })
}
