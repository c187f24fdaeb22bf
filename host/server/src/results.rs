//! What remains of an ended operation: its line in the executed log, with its result; and the cursor
//! of who reads that log.

use std::fmt;
use std::str::FromStr;

use enginehouse_api::{
    EndedOperation, ErrorCode, ExecutedLine, Operation, OperationError, OperationResult,
    OperationState, Problem,
};
use enginehouse_model::{FullName, OperationId, SecretName, Timestamp};
use enginehouse_store::{Document, DocumentError, Epoch, ExecutedEntry, ExecutedRow, Results};
use serde::{Deserialize, Serialize};

/// Version of [`ResultDocument`].
const RESULT_VERSION: u16 = 1;

/// What a line of the log holds beside its columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ResultDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<FullName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

impl ResultDocument {
    pub(crate) fn of(view: &Operation) -> Self {
        Self {
            to: view.to.clone(),
            secret: view.secret.clone(),
            parent: view.parent,
            result: view.result.clone(),
            error: view.error.clone(),
        }
    }
}

/// The line of an operation that has ended like this.
pub(crate) fn line(view: &Operation, ended_at: Timestamp) -> ExecutedRow {
    let result = Document::of(RESULT_VERSION, &ResultDocument::of(view));
    let result = result
        .inspect_err(
            |error| tracing::error!(%error, operation = %view.number, "a result was not written"),
        )
        .ok();
    ExecutedRow {
        operation: view.number,
        kind: view.kind.as_str().to_owned(),
        node: view.node.map(|node| node.to_string()),
        targets: vec![view.path.to_string()],
        who: view.who.clone(),
        queued_at: view.queued_at,
        started_at: view.started_at,
        ended_at,
        outcome: view.state.as_str().to_owned(),
        message: message(view),
        result,
    }
}

/// The error, or else the warnings, in one line for people.
fn message(view: &Operation) -> Option<String> {
    if let Some(error) = &view.error {
        return Some(error.message.clone());
    }
    let warnings = &view.result.as_ref()?.warnings;
    (!warnings.is_empty()).then(|| warnings.join("; "))
}

/// A line as clients see it.
pub(crate) fn shown(entry: &ExecutedEntry) -> ExecutedLine {
    let row = &entry.row;
    let path = row.targets.first().and_then(|path| path.parse().ok());
    ExecutedLine {
        number: row.operation,
        kind: row.kind.clone(),
        path: path.unwrap_or_else(FullName::root),
        node: row.node.as_ref().and_then(|node| node.parse().ok()),
        who: row.who.clone(),
        queued_at: row.queued_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        outcome: OperationState::from_name(&row.outcome).unwrap_or(OperationState::Failed),
        message: row.message.clone(),
    }
}

/// The same with its result.
///
/// # Errors
/// When the result is of another version.
pub(crate) fn ended(
    entry: &ExecutedEntry,
    line: ExecutedLine,
) -> Result<EndedOperation, DocumentError> {
    let document: ResultDocument = match &entry.row.result {
        Some(result) => result.read()?,
        // Written before results were kept with the line.
        None => ResultDocument::default(),
    };
    Ok(EndedOperation {
        line,
        to: document.to,
        secret: document.secret,
        parent: document.parent,
        result: document.result,
        error: document.error,
    })
}

/// A place in the executed log: after this line. It is good for one life of the installation; after a
/// restore, the same number is another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub epoch: Epoch,
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{:x}-{:x}", self.epoch.0, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let hex = |text: &str| {
            let plain = !text.starts_with('+');
            u64::from_str_radix(text, 16).ok().filter(|_| plain)
        };
        let parts = text.strip_prefix('r').and_then(|rest| rest.split_once('-'));
        let cursor = parts.and_then(|(epoch, seq)| {
            Some(Self {
                epoch: Epoch(hex(epoch)?),
                seq: hex(seq)?,
            })
        });
        cursor.ok_or_else(|| {
            Problem::new(ErrorCode::BadRequest, "this is no cursor of an answer").with_hint(
                "send `cursor` or `next` of an answer as it was, or leave it out to begin anew",
            )
        })
    }
}

impl Cursor {
    /// Where the log begins.
    pub(crate) fn before_oldest(epoch: Epoch, page: &Results) -> Self {
        Self {
            epoch,
            seq: page.oldest.saturating_sub(1),
        }
    }

    /// The cursor, if nothing after it is missing.
    ///
    /// # Errors
    /// `expired`, with the cursor to go on with.
    pub(crate) fn checked(self, epoch: Epoch, page: &Results) -> Result<Self, Problem> {
        let expired = |detail: String| {
            let oldest = Self::before_oldest(epoch, page);
            let mut problem = Problem::new(ErrorCode::Expired, detail);
            problem.cursor = Some(oldest.to_string());
            Err(problem.with_hint(format!(
                "what is still kept comes after the cursor {oldest}; what was missed is in the state of the nodes, not here"
            )))
        };
        if self.epoch != epoch || self.seq > page.newest {
            return expired(
                "the cursor was made before this database was restored: what ended since then cannot be told from it"
                    .to_owned(),
            );
        }
        let lost = page.oldest.saturating_sub(self.seq).saturating_sub(1);
        if lost > 0 {
            let first = page.lines.first();
            let oldest = first.map_or_else(
                || "nothing is left".to_owned(),
                |line| format!("the oldest one left is of operation {}", line.row.operation),
            );
            return expired(format!(
                "{lost} results after the cursor are no longer kept; {oldest}"
            ));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(oldest: u64, newest: u64) -> Results {
        Results {
            lines: Vec::new(),
            oldest,
            newest,
        }
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor = Cursor {
            epoch: Epoch(2),
            seq: 0x1f,
        };
        assert_eq!(cursor.to_string(), "r2-1f");
        assert_eq!("r2-1f".parse::<Cursor>().unwrap(), cursor);
        for wrong in [
            "",
            "r",
            "r2",
            "2-1f",
            "r2-",
            "r-1",
            "r2-g",
            "r+2-1",
            "r2-1f-",
            "r2-fffffffffffffffff",
        ] {
            assert_eq!(wrong.parse::<Cursor>().unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_cursor_is_good_while_nothing_after_it_is_missing() {
        let at = |epoch, seq| Cursor {
            epoch: Epoch(epoch),
            seq,
        };
        let check =
            |cursor: Cursor, oldest, newest| cursor.checked(Epoch(2), &page(oldest, newest));
        for (seq, oldest, newest) in [(0, 1, 0), (4, 5, 9), (9, 5, 9), (9, 10, 9)] {
            assert_eq!(check(at(2, seq), oldest, newest).unwrap(), at(2, seq));
        }
        for (cursor, oldest, newest, go_on) in [
            (at(2, 3), 5, 9, "r2-4"),
            (at(2, 3), 10, 9, "r2-9"),
            (at(2, 10), 5, 9, "r2-4"),
            (at(1, 5), 5, 9, "r2-4"),
        ] {
            let problem = check(cursor, oldest, newest).unwrap_err();
            assert_eq!((problem.status, problem.code), (410, ErrorCode::Expired));
            assert_eq!(problem.cursor.as_deref(), Some(go_on));
        }
    }
}
