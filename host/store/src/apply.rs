//! One commit as SQL, inside a savepoint that the caller holds.

use enginehouse_model::{OperationId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    Commit, CommitError, Epoch, ExecutedRow, Expect, HistoryRow, IdempotencyRow, JournalRow,
    OperationRow, PlanRow, RowKey, Table, Write, audit, prune,
};

/// Why a commit could not be applied.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// This commit alone: the others of its group stand.
    Refused(CommitError),
    /// The database: the whole group fails.
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for ApplyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Checks what `commit` expects, then writes.
pub(crate) fn apply(
    connection: &Connection,
    host: &str,
    epoch: Epoch,
    commit: &Commit,
) -> Result<(), ApplyError> {
    for expect in &commit.expect {
        check(connection, expect)?;
    }
    for write in &commit.writes {
        match write {
            Write::Put {
                table,
                key,
                document,
            } => {
                let name = table.name();
                connection
                    .prepare_cached(&format!(
                        "INSERT INTO {name} (key, revision, version, body) VALUES (?1, 1, ?2, ?3)
                         ON CONFLICT (key) DO UPDATE SET
                             revision = revision + 1,
                             version = excluded.version,
                             body = excluded.body"
                    ))?
                    .execute(params![key, document.version, document.body])?;
            }
            Write::Delete { table, key } => {
                let name = table.name();
                connection
                    .prepare_cached(&format!("DELETE FROM {name} WHERE key = ?1"))?
                    .execute(params![key])?;
            }
            Write::Operation(row) => operation(connection, row)?,
            Write::Journal(row) => journal(connection, host, epoch, row)?,
            Write::Plan(row) => plan(connection, row)?,
            Write::Executed(row) => executed(connection, row)?,
            Write::Idempotency(row) => idempotency(connection, row)?,
            Write::History(row) => history(connection, row)?,
            Write::Audit(row) => audit::append(connection, epoch, row)?,
            Write::Prune(what) => prune::prune(connection, what)?,
        }
    }
    Ok(())
}

fn check(connection: &Connection, expect: &Expect) -> Result<(), ApplyError> {
    let found: Option<i64> = match &expect.row {
        RowKey::Document(table, key) => document_revision(connection, *table, key)?,
        RowKey::Operation(id) => connection
            .prepare_cached("SELECT revision FROM operation WHERE number = ?1")?
            .query_row(params![number(*id)?], |row| row.get(0))
            .optional()?,
    };
    let found = found.map(i64::cast_unsigned);
    if found == expect.revision {
        return Ok(());
    }
    Err(ApplyError::Refused(CommitError::Conflict {
        row: expect.row.clone(),
        expected: expect.revision,
        found,
    }))
}

fn document_revision(
    connection: &Connection,
    table: Table,
    key: &str,
) -> rusqlite::Result<Option<i64>> {
    let name = table.name();
    connection
        .prepare_cached(&format!("SELECT revision FROM {name} WHERE key = ?1"))?
        .query_row(params![key], |row| row.get(0))
        .optional()
}

fn operation(connection: &Connection, row: &OperationRow) -> Result<(), ApplyError> {
    let number = number(row.id)?;
    connection
        .prepare_cached(
            "INSERT INTO operation
                 (number, revision, state, queued_at, ended_at, plan, version, body)
             VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (number) DO UPDATE SET
                 revision = revision + 1,
                 state = excluded.state,
                 queued_at = excluded.queued_at,
                 ended_at = excluded.ended_at,
                 plan = excluded.plan,
                 version = excluded.version,
                 body = excluded.body",
        )?
        .execute(params![
            number,
            row.state,
            time(row.queued_at)?,
            row.ended_at.map(time).transpose()?,
            row.plan,
            row.document.version,
            row.document.body,
        ])?;
    // The targets of an operation hardly ever change; INSERT OR IGNORE writes no page then.
    let mut stale = connection
        .prepare_cached("SELECT target FROM operation_target WHERE number = ?1")?
        .query_map(params![number], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    stale.retain(|target| !row.targets.contains(target));
    for target in stale {
        connection
            .prepare_cached("DELETE FROM operation_target WHERE target = ?1 AND number = ?2")?
            .execute(params![target, number])?;
    }
    for target in &row.targets {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO operation_target (target, number) VALUES (?1, ?2)",
            )?
            .execute(params![target, number])?;
    }
    Ok(())
}

fn journal(
    connection: &Connection,
    host: &str,
    epoch: Epoch,
    row: &JournalRow,
) -> Result<(), ApplyError> {
    connection
        .prepare_cached(
            "INSERT INTO journal (operation, host, epoch, at, version, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            number(row.operation)?,
            host,
            signed("epoch", epoch.0)?,
            time(row.at)?,
            row.document.version,
            row.document.body,
        ])?;
    Ok(())
}

fn plan(connection: &Connection, row: &PlanRow) -> Result<(), ApplyError> {
    connection
        .prepare_cached(
            "INSERT INTO plan (id, used_at, version, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET used_at = max(used_at, excluded.used_at)",
        )?
        .execute(params![
            row.id,
            time(row.used_at)?,
            row.document.version,
            row.document.body,
        ])?;
    Ok(())
}

fn executed(connection: &Connection, row: &ExecutedRow) -> Result<(), ApplyError> {
    let targets = serde_json::Value::from(row.targets.clone()).to_string();
    let path = row.targets.first().map_or("", String::as_str);
    let result = row.result.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO executed
                 (operation, kind, node, path, targets, who, queued_at, started_at, ended_at,
                  outcome, message, version, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (operation) DO UPDATE SET
                 ended_at = excluded.ended_at,
                 outcome = excluded.outcome,
                 message = excluded.message,
                 version = excluded.version,
                 body = excluded.body",
        )?
        .execute(params![
            number(row.operation)?,
            row.kind,
            row.node,
            path,
            targets,
            row.who,
            time(row.queued_at)?,
            row.started_at.map(time).transpose()?,
            time(row.ended_at)?,
            row.outcome,
            row.message,
            result.map(|result| result.version),
            result.map(|result| &result.body),
        ])?;
    Ok(())
}

fn idempotency(connection: &Connection, row: &IdempotencyRow) -> Result<(), ApplyError> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency (operation, at, name, digest) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            number(row.operation)?,
            time(row.at)?,
            row.name,
            row.digest,
        ])?;
    Ok(())
}

fn history(connection: &Connection, row: &HistoryRow) -> Result<(), ApplyError> {
    connection
        .prepare_cached(
            "INSERT INTO history (node, name, at, operation, who, kind, version, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            row.node,
            row.name,
            time(row.at)?,
            row.operation.map(number).transpose()?,
            row.who,
            row.kind,
            row.document.version,
            row.document.body,
        ])?;
    Ok(())
}

pub(crate) fn number(id: OperationId) -> Result<i64, ApplyError> {
    signed("operation number", id.0)
}

pub(crate) fn time(at: Timestamp) -> Result<i64, ApplyError> {
    signed("time", at.0)
}

pub(crate) fn signed(what: &'static str, number: u64) -> Result<i64, ApplyError> {
    i64::try_from(number).map_err(|_| ApplyError::Refused(CommitError::TooLarge { what, number }))
}
