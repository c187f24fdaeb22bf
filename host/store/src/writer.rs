//! The one thread that writes.
//!
//! It takes whatever is queued into one transaction, a savepoint for each commit, so that the fsync
//! at its end serves all of them and the conflict of one leaves the others. Answers are given after
//! that fsync. While it runs, the next group gathers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;

use crate::apply::{ApplyError, apply};
use crate::load::{self, Loaded};
use crate::{Commit, CommitError, Epoch, Fence, ReadError, Sequence, open};

/// Most commits in one transaction: bounds how long the first of a group waits for the last.
const GROUP: usize = 1024;

pub(crate) type Answer<T> = oneshot::Sender<T>;

pub(crate) enum Message {
    Commit {
        commit: Box<Commit>,
        answer: Answer<Result<Sequence, CommitError>>,
    },
    Reset {
        answer: Answer<Result<Loaded, ReadError>>,
    },
    LimitPages {
        max_pages: Option<u32>,
        answer: Answer<Result<(), ReadError>>,
    },
}

/// Counters since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Commits that were applied.
    pub commits: AtomicU64,
    /// Transactions that were committed: one fsync each.
    pub transactions: AtomicU64,
}

pub(crate) struct Writer {
    pub connection: Connection,
    pub path: PathBuf,
    pub host: String,
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub generation: u64,
    /// Why nothing is written until a reset.
    pub broken: Option<Arc<CommitError>>,
    pub counters: Arc<Counters>,
}

struct Pending {
    commit: Box<Commit>,
    answer: Answer<Result<Sequence, CommitError>>,
}

impl Writer {
    /// Returns when every sender is gone and the queue is empty.
    pub(crate) fn run(mut self, queue: &Receiver<Message>) {
        let mut carried = None;
        loop {
            let message = match carried.take() {
                Some(message) => message,
                None => match queue.recv() {
                    Ok(message) => message,
                    Err(_) => return,
                },
            };
            match message {
                Message::Commit { commit, answer } => {
                    let mut group = vec![Pending { commit, answer }];
                    while group.len() < GROUP {
                        match queue.try_recv() {
                            Ok(Message::Commit { commit, answer }) => {
                                group.push(Pending { commit, answer });
                            }
                            Ok(other) => {
                                carried = Some(other);
                                break;
                            }
                            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                        }
                    }
                    self.write(group);
                }
                Message::Reset { answer } => {
                    let loaded = self.reset();
                    reply(answer, loaded);
                }
                Message::LimitPages { max_pages, answer } => {
                    let limited = open::limit(&self.connection, max_pages);
                    reply(answer, limited.map_err(ReadError::from));
                }
            }
        }
    }

    fn write(&mut self, group: Vec<Pending>) {
        if let Some(cause) = &self.broken {
            for pending in group {
                reply(pending.answer, Err(CommitError::Behind(Arc::clone(cause))));
            }
            return;
        }
        match self.transaction(&group) {
            Ok(results) => {
                let applied = results.iter().filter(|result| result.is_ok()).count();
                if applied > 0 {
                    let applied = u64::try_from(applied).unwrap_or(u64::MAX);
                    self.sequence.0 += applied;
                    self.counters.commits.fetch_add(applied, Ordering::Relaxed);
                    self.counters.transactions.fetch_add(1, Ordering::Relaxed);
                }
                for (pending, result) in group.into_iter().zip(results) {
                    reply(pending.answer, result);
                }
            }
            Err(error) => {
                let cause = if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
                    CommitError::Full
                } else {
                    CommitError::Io(Arc::new(error))
                };
                tracing::error!(database = %self.path.display(), commits = group.len(),
                    error = %cause, "a transaction failed; nothing is written until the reset");
                self.broken = Some(Arc::new(cause.clone()));
                for pending in group {
                    reply(pending.answer, Err(cause.clone()));
                }
            }
        }
    }

    /// One transaction; an error means that none of the group was applied.
    fn transaction(
        &self,
        group: &[Pending],
    ) -> rusqlite::Result<Vec<Result<Sequence, CommitError>>> {
        let results = self.statements(group);
        if results.is_err() && !self.connection.is_autocommit() {
            // Some errors have rolled back by themselves, hence the question; a rollback that
            // fails leaves the transaction open, and the reset tries again.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        results
    }

    fn statements(
        &self,
        group: &[Pending],
    ) -> rusqlite::Result<Vec<Result<Sequence, CommitError>>> {
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([]);
        let mut results = Vec::with_capacity(group.len());
        let mut last = self.sequence;
        run("BEGIN IMMEDIATE")?;
        for pending in group {
            let expected = Fence {
                epoch: self.epoch,
                generation: self.generation,
            };
            if pending.commit.fence != expected {
                results.push(Err(CommitError::Fenced));
                continue;
            }
            run("SAVEPOINT one")?;
            match apply(&self.connection, &self.host, self.epoch, &pending.commit) {
                Ok(()) => {
                    last.0 += 1;
                    results.push(Ok(last));
                }
                Err(ApplyError::Refused(error)) => {
                    run("ROLLBACK TO one")?;
                    results.push(Err(error));
                }
                Err(ApplyError::Database(error)) => return Err(error),
            }
            run("RELEASE one")?;
        }
        if last == self.sequence {
            run("ROLLBACK")?;
        } else {
            self.connection
                .prepare_cached("UPDATE installation SET sequence = ?1")?
                .execute(params![i64::try_from(last.0).unwrap_or(i64::MAX)])?;
            run("COMMIT")?;
        }
        Ok(results)
    }

    fn reset(&mut self) -> Result<Loaded, ReadError> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        let loaded = load::load(&self.connection, self.generation + 1, false)?;
        self.generation += 1;
        self.epoch = loaded.fence.epoch;
        self.sequence = loaded.sequence;
        self.broken = None;
        Ok(loaded)
    }
}

/// Whoever asked may have gone: what was done stays done.
fn reply<T>(answer: Answer<T>, value: T) {
    let _ = answer.send(value);
}
