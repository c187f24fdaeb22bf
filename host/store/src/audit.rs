//! The audit log: appended to in the commit that it tells of, never changed, never pruned.
//!
//! Number, epoch and hash are given here, when the commit is applied: a commit that is refused leaves no
//! gap, and the order is that of the commits. Triggers in the database refuse to change or remove a
//! row, so no statement of this program can.

use std::collections::BTreeMap;

use enginehouse_audit::{Action, Chain, Entry, Hash, Head};
use enginehouse_model::{InstallationId, OperationId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

use crate::apply::{ApplyError, number, signed, time};
use crate::query::{ReadError, time as time_of, unsigned};
use crate::{About, Epoch};

/// What an entry tells, before it has its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub who: String,
    pub action: Action,
    /// `NodeUid` of what it is about.
    pub node: Option<String>,
    /// Its full name.
    pub path: Option<String>,
    pub operation: Option<OperationId>,
    /// Nothing secret.
    pub detail: BTreeMap<String, String>,
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub entry: Entry,
    /// As it was written; whether it is right, [`Chain`] says.
    pub hash: Hash,
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was about this, or was called so.
    pub about: Option<About>,
    pub who: Option<String>,
    pub action: Option<String>,
    pub operation: Option<OperationId>,
    /// Written then or later.
    pub since: Option<Timestamp>,
    /// Written before.
    pub until: Option<Timestamp>,
}

/// From where on a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFrom {
    /// Newest first: entries below this number, or all.
    Before(Option<u64>),
    /// Oldest first: entries above this number.
    After(u64),
}

/// Appends an entry. What the numbers and hashes go on from is read in the same transaction.
pub(crate) fn append(
    connection: &Connection,
    epoch: Epoch,
    row: &AuditRow,
) -> Result<(), ApplyError> {
    let operation = row.operation.map(number).transpose()?;
    let at = time(row.at)?;
    let head = newest(connection).map_err(|error| match error {
        ReadError::Database(error) => ApplyError::Database(error),
        // The database does not let such a row in.
        ReadError::Value { .. } | ReadError::Closed => {
            ApplyError::Database(rusqlite::Error::InvalidQuery)
        }
    })?;
    let entry = Entry {
        number: head.number.saturating_add(1),
        epoch: epoch.0,
        at: row.at,
        who: row.who.clone(),
        action: row.action.to_string(),
        node: row.node.clone(),
        path: row.path.clone(),
        operation: row.operation,
        detail: row.detail.clone(),
    };
    let detail: serde_json::Map<String, serde_json::Value> = row
        .detail
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    connection
        .prepare_cached(
            "INSERT INTO audit
                 (number, epoch, at, who, action, node, path, operation, detail, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            signed("number of the audit log", entry.number)?,
            signed("epoch", epoch.0)?,
            at,
            entry.who,
            entry.action,
            entry.node,
            entry.path,
            operation,
            serde_json::Value::Object(detail).to_string(),
            entry.hash(head.hash).0,
        ])?;
    Ok(())
}

/// The newest entry, or where the log of this installation begins.
pub(crate) fn newest(connection: &Connection) -> Result<Head, ReadError> {
    let found: Option<(i64, [u8; 32])> = connection
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((number, hash)) = found {
        return Ok(Head {
            number: unsigned("audit", "number", number)?,
            hash: Hash(hash),
        });
    }
    let installation: String = connection
        .prepare_cached("SELECT id FROM installation")?
        .query_row([], |row| row.get(0))?;
    let installation: InstallationId = installation.parse().map_err(|_| ReadError::Value {
        table: "installation",
        what: "id",
    })?;
    Ok(Chain::of(installation).head())
}

pub(crate) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    from: AuditFrom,
    limit: u32,
) -> Result<Vec<AuditEntry>, ReadError> {
    let bound = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (first, order, bound) = match from {
        AuditFrom::Before(before) => ("number < ?", "DESC", before.map_or(i64::MAX, bound)),
        AuditFrom::After(after) => ("number > ?", "ASC", bound(after)),
    };
    let mut conditions = vec![first];
    let mut values = vec![Value::Integer(bound)];
    if let Some(about) = &filter.about {
        conditions.push(
            "number IN (SELECT number FROM audit WHERE path = ?
                        UNION SELECT number FROM audit WHERE path >= ? AND path < ?
                        UNION SELECT number FROM audit WHERE node = ?)",
        );
        values.extend(about.bounds().map(Value::Text));
        values.push(about.node.clone().map_or(Value::Null, Value::Text));
    }
    for (condition, value) in [("who = ?", &filter.who), ("action = ?", &filter.action)] {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(Value::Text(value.clone()));
        }
    }
    for (condition, value) in [
        (
            "operation = ?",
            filter.operation.map(|operation| operation.0),
        ),
        ("at >= ?", filter.since.map(|at| at.0)),
        ("at < ?", filter.until.map(|at| at.0)),
    ] {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }
    values.push(Value::Integer(i64::from(limit)));
    let conditions = conditions.join(" AND ");
    let mut statement = connection.prepare_cached(&format!(
        "SELECT number, epoch, at, who, action, node, path, operation, detail, hash
         FROM audit WHERE {conditions} ORDER BY number {order} LIMIT ?"
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, ReadError> {
    let operation: Option<i64> = row.get(7)?;
    let detail: String = row.get(8)?;
    Ok(AuditEntry {
        entry: Entry {
            number: unsigned("audit", "number", row.get(0)?)?,
            epoch: unsigned("audit", "epoch", row.get(1)?)?,
            at: time_of("audit", "at", row.get(2)?)?,
            who: row.get(3)?,
            action: row.get(4)?,
            node: row.get(5)?,
            path: row.get(6)?,
            operation: operation
                .map(|number| unsigned("audit", "operation", number).map(OperationId))
                .transpose()?,
            detail: serde_json::from_str(&detail).map_err(|_| ReadError::Value {
                table: "audit",
                what: "detail",
            })?,
        },
        hash: Hash(row.get(9)?),
    })
}
