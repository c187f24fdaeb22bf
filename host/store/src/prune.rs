//! What is removed, and what is old enough to be.
//!
//! The owner asks what is old ([`old_operations`] and its like), takes away what it still needs, and
//! commits the rest as [`Prune`]: small commits, so that no other one waits long behind them.

use std::collections::HashSet;

use enginehouse_model::{OperationId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::Prune;
use crate::apply::{ApplyError, number, signed, time};
use crate::query::{ReadError, unsigned};

/// An operation that has ended, in the order of those ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndedAt {
    pub at: Timestamp,
    pub operation: OperationId,
}

/// Removes what the owner found to be old, and nothing that is not any more.
pub(crate) fn prune(connection: &Connection, what: &Prune) -> Result<(), ApplyError> {
    match what {
        Prune::Operations { numbers } => {
            let mut ended = connection.prepare_cached(
                "SELECT 1 FROM operation WHERE number = ?1 AND ended_at IS NOT NULL",
            )?;
            for id in numbers {
                let number = number(*id)?;
                if !ended.exists(params![number])? {
                    continue;
                }
                for sql in [
                    "DELETE FROM journal WHERE operation = ?1",
                    "DELETE FROM operation_target WHERE number = ?1",
                    "DELETE FROM operation WHERE number = ?1",
                ] {
                    connection.prepare_cached(sql)?.execute(params![number])?;
                }
            }
        }
        Prune::Plans { ids, unused_since } => {
            let since = time(*unused_since)?;
            let carried_out = connection
                .prepare_cached(
                    "SELECT plan FROM operation WHERE ended_at IS NULL AND plan IS NOT NULL",
                )?
                .query_map([], |row| row.get(0))?
                .collect::<Result<HashSet<String>, _>>()?;
            for id in ids.iter().filter(|id| !carried_out.contains(*id)) {
                connection
                    .prepare_cached("DELETE FROM plan WHERE id = ?1 AND used_at < ?2")?
                    .execute(params![id, since])?;
            }
        }
        Prune::Executed { through } => {
            connection
                .prepare_cached("DELETE FROM executed WHERE seq <= ?1")?
                .execute(params![signed("line of the executed log", *through)?])?;
        }
        Prune::Idempotency { through } => {
            connection
                .prepare_cached("DELETE FROM idempotency WHERE operation <= ?1")?
                .execute(params![number(*through)?])?;
        }
        Prune::History { before } => {
            connection.execute(
                "DELETE FROM history WHERE at < ?1 AND seq NOT IN
                     (SELECT max(seq) FROM history GROUP BY node)",
                params![time(*before)?],
            )?;
        }
    }
    Ok(())
}

/// Operations that ended before `before`, and those that are not among the `most` that ended last;
/// only those after `after`, the first that ended first.
pub(crate) fn old_operations(
    connection: &Connection,
    before: Timestamp,
    most: u64,
    after: Option<EndedAt>,
    limit: u32,
) -> Result<Vec<EndedAt>, ReadError> {
    let bound = |at: Timestamp| i64::try_from(at.0).unwrap_or(i64::MAX);
    let after = after.map_or((-1, -1), |after| {
        let operation = i64::try_from(after.operation.0).unwrap_or(i64::MAX);
        (bound(after.at), operation)
    });
    // All of it is in the index.
    let newest_to_go: Option<(i64, i64)> = connection
        .prepare_cached(
            "SELECT ended_at, number FROM operation WHERE ended_at IS NOT NULL
             ORDER BY ended_at DESC, number DESC LIMIT 1 OFFSET ?1",
        )?
        .query_row(params![i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (ended_at, last) = newest_to_go.unwrap_or((-1, -1));
    let mut statement = connection.prepare_cached(
        "SELECT ended_at, number FROM operation
         WHERE ended_at IS NOT NULL AND (ended_at, number) > (?1, ?2)
             AND (ended_at < ?3 OR (ended_at, number) <= (?4, ?5))
         ORDER BY ended_at, number LIMIT ?6",
    )?;
    let mut rows = statement.query(params![
        after.0,
        after.1,
        bound(before),
        ended_at,
        last,
        limit
    ])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        old.push(EndedAt {
            at: Timestamp(unsigned("operation", "ended_at", row.get(0)?)?),
            operation: OperationId(unsigned("operation", "number", row.get(1)?)?),
        });
    }
    Ok(old)
}

/// Plans that were last made before the moment that is answered with them: `before`, or a later one
/// where there are more than `most`. The oldest first.
pub(crate) fn old_plans(
    connection: &Connection,
    before: Timestamp,
    most: u64,
    limit: u32,
) -> Result<(Timestamp, Vec<String>), ReadError> {
    let newest_to_go: Option<i64> = connection
        .prepare_cached("SELECT used_at FROM plan ORDER BY used_at DESC LIMIT 1 OFFSET ?1")?
        .query_row(params![i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            row.get(0)
        })
        .optional()?;
    let newest_to_go = newest_to_go
        .map(|at| unsigned("plan", "used_at", at))
        .transpose()?;
    let before = newest_to_go.map_or(before.0, |at| before.0.max(at + 1));
    let ids = connection
        .prepare_cached("SELECT id FROM plan WHERE used_at < ?1 ORDER BY used_at LIMIT ?2")?
        .query_map(
            params![i64::try_from(before).unwrap_or(i64::MAX), limit],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    Ok((Timestamp(before), ids))
}

/// The last of the oldest `limit` lines of the executed log that ended before `before`, or are too
/// many where `most` are kept. A line that ended later keeps those after it, too: there are no gaps.
pub(crate) fn old_lines(
    connection: &Connection,
    before: Timestamp,
    most: u64,
    limit: u32,
) -> Result<Option<u64>, ReadError> {
    let newest: Option<i64> =
        connection.query_row("SELECT max(seq) FROM executed", [], |row| row.get(0))?;
    let Some(newest) = newest else {
        return Ok(None);
    };
    let newest = unsigned("executed", "seq", newest)?;
    let mut statement =
        connection.prepare_cached("SELECT seq, ended_at FROM executed ORDER BY seq LIMIT ?1")?;
    let mut rows = statement.query(params![limit])?;
    let mut through = None;
    while let Some(row) = rows.next()? {
        let seq = unsigned("executed", "seq", row.get(0)?)?;
        let ended_at = unsigned("executed", "ended_at", row.get(1)?)?;
        if ended_at >= before.0 && newest - seq < most {
            break;
        }
        through = Some(seq);
    }
    Ok(through)
}
