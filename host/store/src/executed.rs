//! The executed log, read both ways: newest first by who looks something up, oldest first by who
//! takes results in.

use enginehouse_model::{OperationId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

use crate::query::{ReadError, optional_time, time, unsigned};
use crate::{Document, ExecutedRow};

/// A line of the executed log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedEntry {
    /// Counts up in the order in which operations ended.
    pub seq: u64,
    pub row: ExecutedRow,
}

/// Which lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutedFilter {
    /// What was about this, or was called so.
    pub about: Option<About>,
    pub who: Option<String>,
    pub kind: Option<String>,
    pub outcome: Option<String>,
    /// Ended then or later.
    pub since: Option<Timestamp>,
    /// Ended before.
    pub until: Option<Timestamp>,
}

/// A node: by its UID, whatever it was called, and by the name that it or something below it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub node: Option<String>,
    /// A full name, as `/web/vm1`.
    pub path: String,
}

impl About {
    /// The name, and between which two what is below it stands.
    pub(crate) fn bounds(&self) -> [String; 3] {
        let top = self.path.trim_end_matches('/');
        // `0` comes after `/`: between them is what is below.
        [self.path.clone(), format!("{top}/"), format!("{top}0")]
    }
}

/// Some lines in the order of their ends, and what there is of the whole log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    pub lines: Vec<ExecutedEntry>,
    /// `seq` of the oldest line that is kept; of the next one, where there is none.
    pub oldest: u64,
    /// The highest `seq` that a line ever had; 0: there was none.
    pub newest: u64,
}

const LINE: &str =
    "SELECT seq, operation, kind, node, targets, who, queued_at, started_at, ended_at,
     outcome, message, version, body FROM executed";

/// Those that ended last come first; only those with a `seq` below `before`.
pub(crate) fn page(
    connection: &Connection,
    filter: &ExecutedFilter,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<ExecutedEntry>, ReadError> {
    let before = before
        .and_then(|seq| i64::try_from(seq).ok())
        .unwrap_or(i64::MAX);
    let mut conditions = vec!["seq < ?"];
    let mut values = vec![Value::Integer(before)];
    if let Some(about) = &filter.about {
        // Each part is answered by an index alone.
        conditions.push(
            "seq IN (SELECT seq FROM executed WHERE path = ?
                     UNION SELECT seq FROM executed WHERE path >= ? AND path < ?
                     UNION SELECT seq FROM executed WHERE node = ?)",
        );
        values.extend(about.bounds().map(Value::Text));
        values.push(about.node.clone().map_or(Value::Null, Value::Text));
    }
    for (condition, value) in [
        ("who = ?", &filter.who),
        ("kind = ?", &filter.kind),
        ("outcome = ?", &filter.outcome),
    ] {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(Value::Text(value.clone()));
        }
    }
    for (condition, at) in [
        ("ended_at >= ?", filter.since),
        ("ended_at < ?", filter.until),
    ] {
        if let Some(at) = at {
            conditions.push(condition);
            values.push(Value::Integer(i64::try_from(at.0).unwrap_or(i64::MAX)));
        }
    }
    values.push(Value::Integer(i64::from(limit)));
    let conditions = conditions.join(" AND ");
    lines(
        connection,
        &format!("{LINE} WHERE {conditions} ORDER BY seq DESC LIMIT ?"),
        values,
    )
}

/// The lines after `after` in the order of their ends.
pub(crate) fn results(
    connection: &Connection,
    after: u64,
    limit: u32,
) -> Result<Results, ReadError> {
    // What is pruned meanwhile is there for all of it or for none.
    let transaction = connection.unchecked_transaction()?;
    let newest: Option<i64> = transaction
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'executed'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let newest = unsigned("executed", "seq", newest.unwrap_or(0))?;
    let oldest: Option<i64> = transaction
        .prepare_cached("SELECT min(seq) FROM executed")?
        .query_row([], |row| row.get(0))?;
    let oldest = match oldest {
        Some(oldest) => unsigned("executed", "seq", oldest)?,
        None => newest + 1,
    };
    let lines = lines(
        &transaction,
        &format!("{LINE} WHERE seq > ? ORDER BY seq LIMIT ?"),
        vec![
            Value::Integer(i64::try_from(after).unwrap_or(i64::MAX)),
            Value::Integer(i64::from(limit)),
        ],
    )?;
    Ok(Results {
        lines,
        oldest,
        newest,
    })
}

/// The line of an operation.
pub(crate) fn of(
    connection: &Connection,
    operation: OperationId,
) -> Result<Option<ExecutedEntry>, ReadError> {
    let Ok(number) = i64::try_from(operation.0) else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(&format!("{LINE} WHERE operation = ?1"))?;
    let mut rows = statement.query(params![number])?;
    rows.next()?.map(entry).transpose()
}

fn lines(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<ExecutedEntry>, ReadError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        lines.push(entry(row)?);
    }
    Ok(lines)
}

fn entry(row: &Row<'_>) -> Result<ExecutedEntry, ReadError> {
    let targets: String = row.get(4)?;
    let version: Option<u16> = row.get(11)?;
    let body: Option<String> = row.get(12)?;
    Ok(ExecutedEntry {
        seq: unsigned("executed", "seq", row.get(0)?)?,
        row: ExecutedRow {
            operation: OperationId(unsigned("executed", "operation", row.get(1)?)?),
            kind: row.get(2)?,
            node: row.get(3)?,
            targets: serde_json::from_str(&targets).map_err(|_| ReadError::Value {
                table: "executed",
                what: "targets",
            })?,
            who: row.get(5)?,
            queued_at: time("executed", "queued_at", row.get(6)?)?,
            started_at: optional_time("executed", "started_at", row.get(7)?)?,
            ended_at: time("executed", "ended_at", row.get(8)?)?,
            outcome: row.get(9)?,
            message: row.get(10)?,
            result: version
                .zip(body)
                .map(|(version, body)| Document { version, body }),
        },
    })
}
