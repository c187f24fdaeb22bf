//! After a restore, nothing runs until somebody says so.
//!
//! The row is written by the restore, in the transaction that makes the new epoch, and removed by
//! `resume`: a hold survives every restart. While it is there, the queue decides and the journal is
//! written as always, so orders are taken in and numbered; but none of the queue's commands is carried
//! out, its timer rests, and nothing is pruned. People may look: plans and checks of hypervisors read.
//!
//! The commands need not be kept for later. What they were about may have gone on after the backup,
//! so at the release everything that had begun begins again by looking:
//! [`enginehouse_queue::Queue::begin_anew`].

use std::sync::Arc;

use enginehouse_api::{OnHold, Problem, Resumed};
use enginehouse_audit::Action;
use enginehouse_model::{OperationId, Timestamp};
use enginehouse_queue::Phase;
use enginehouse_store::{Document, DocumentError, RestoreMark, Restored, Row, Table, Write};
use enginehouse_tree::Subject;
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::audit::Note;
use crate::house::House;

/// The row's key in the table of settings.
const ROW: &str = "hold";
const VERSION: u16 = 1;

/// What is remembered of a restore until it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub since: Timestamp,
    pub last_operation: OperationId,
    pub next_operation: OperationId,
}

impl Hold {
    /// The one that is in force, if any.
    pub(crate) fn of(meta: &[Row]) -> Result<Option<Self>, DocumentError> {
        meta.iter()
            .find(|row| row.key == ROW)
            .map(|row| row.document.read())
            .transpose()
    }

    pub(crate) fn view(&self) -> OnHold {
        OnHold {
            since: self.since,
            last_operation: self.last_operation,
            next_operation: self.next_operation,
        }
    }

    /// For what waits because of it.
    pub(crate) fn reason() -> String {
        "an operator: the host was restored from a backup and is on hold (`enginehouse resume`)"
            .to_owned()
    }
}

/// What a restore leaves. Who may write the data directory may do what the installation's own token
/// may.
///
/// # Errors
/// When it cannot be written as JSON, which would be a bug.
pub(crate) fn row(restored: &Restored, now: Timestamp) -> Result<RestoreMark, DocumentError> {
    let hold = Hold {
        since: now,
        last_operation: restored.last_operation,
        next_operation: restored.next_operation,
    };
    Ok(RestoreMark {
        at: now,
        who: Subject::installation().to_string(),
        key: ROW.to_owned(),
        document: Document::of(VERSION, &hold)?,
        kept: crate::destruction::PREFIX.to_owned(),
    })
}

/// Lets everything go on.
///
/// # Errors
/// `forbidden` for who does not govern the root; or when it cannot be written.
pub(crate) async fn release(house: &Arc<House>, caller: &Caller) -> Result<Resumed, Problem> {
    let resumed = house
        .transact(|state, staged, now| {
            caller.must_govern_all(state)?;
            let in_doubt = state
                .queue
                .iter()
                .filter(|operation| matches!(operation.phase, Phase::InDoubt { .. }))
                .count() as u64;
            if state.hold.take().is_none() {
                return Ok(Resumed {
                    was_on_hold: false,
                    begun_anew: 0,
                    in_doubt,
                });
            }
            staged.writes.push(Write::Delete {
                table: Table::Meta,
                key: ROW.to_owned(),
            });
            staged.audit.push(Note::new(Action::Resume, caller.who()));
            staged.output = state.queue.begin_anew(caller.who(), now);
            let begun_anew = staged
                .output
                .entries
                .iter()
                .filter(|(_, entry)| matches!(entry, enginehouse_queue::Entry::BegunAnew { .. }))
                .count() as u64;
            Ok(Resumed {
                was_on_hold: true,
                begun_anew,
                in_doubt,
            })
        })
        .await?;
    if resumed.was_on_hold {
        tracing::info!(
            by = caller.who(),
            begun_anew = resumed.begun_anew,
            "the hold is over"
        );
    }
    Ok(resumed)
}
