//! The handle that the rest of the host holds.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use enginehouse_audit::Head;
use enginehouse_model::{OperationId, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::audit::{self, AuditEntry, AuditFilter, AuditFrom};
use crate::backup::{self, BackedUp, BackupError};
use crate::executed::{self, ExecutedEntry, ExecutedFilter, Results};
use crate::load::{self, Loaded};
use crate::prune::{self, EndedAt};
use crate::query::{
    self, HistoryEntry, JournalEntry, NamedOnce, OperationFilter, PageCursor, ReadError,
    StoredOperation, StoredPlan,
};
use crate::writer::{Counters, Message, Writer};
use crate::{Commit, CommitError, OpenError, Opening, Sequence, open};

/// The open store. Clones share it; the last one to go waits until all that was submitted is written.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// `None` only while dropping.
    queue: Option<Sender<Message>>,
    writer: Option<JoinHandle<()>>,
    reader: Arc<Mutex<Connection>>,
    counters: Arc<Counters>,
    path: PathBuf,
    /// Held until the writer has ended.
    _lock: File,
}

/// What a submitted commit came to. It is carried out also when nobody waits for it.
#[must_use = "a commit is only certain once its ticket says so"]
pub struct CommitTicket(oneshot::Receiver<Result<Sequence, CommitError>>);

/// How much was written since the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Commits applied.
    pub commits: u64,
    /// Transactions, that is fsyncs of the log, that they took.
    pub transactions: u64,
}

impl Store {
    /// Opens the data directory, or makes it (mode 0700, files 0600). Blocks while it loads.
    ///
    /// # Errors
    /// See [`OpenError`]. A database that is damaged, of a newer version or not writable is never
    /// replaced by a new one.
    pub fn open(dir: &Path, opening: &Opening) -> Result<(Self, Loaded), OpenError> {
        let opened = open::open(dir, opening)?;
        let path = opened.path;
        let loaded = load::load(&opened.writer, 1, opened.first).map_err(|error| match error {
            ReadError::Database(source) => OpenError::database(&path, source),
            ReadError::Value { .. } | ReadError::Closed => OpenError::Damaged {
                path: path.clone(),
                detail: error.to_string(),
            },
        })?;
        let counters = Arc::new(Counters::default());
        let writer = Writer {
            connection: opened.writer,
            path: path.clone(),
            host: opening.host.clone(),
            epoch: loaded.fence.epoch,
            sequence: loaded.sequence,
            generation: loaded.fence.generation,
            broken: None,
            counters: Arc::clone(&counters),
        };
        let (queue, messages) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&messages))
            .map_err(|source| OpenError::Directory {
                what: "start the writer thread of",
                path: path.clone(),
                source,
            })?;
        let inner = Inner {
            queue: Some(queue),
            writer: Some(writer),
            reader: Arc::new(Mutex::new(opened.reader)),
            counters,
            path,
            _lock: opened.lock,
        };
        Ok((Self(Arc::new(inner)), loaded))
    }

    /// Queues a commit, in the order of these calls, and returns at once.
    pub fn submit(&self, commit: Commit) -> CommitTicket {
        let (answer, ticket) = oneshot::channel();
        // A writer that is gone drops the answer, which the ticket reports as closed.
        self.send(Message::Commit {
            commit: Box::new(commit),
            answer,
        });
        CommitTicket(ticket)
    }

    /// Submits and waits.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, commit: Commit) -> Result<Sequence, CommitError> {
        self.submit(commit).await
    }

    /// Loads again what is on disk and makes it possible to write again after a failure. Commits
    /// that carry an older fence are refused from here on.
    ///
    /// # Errors
    /// When the database cannot be read; everything stays refused then.
    pub async fn reset(&self) -> Result<Loaded, ReadError> {
        let (answer, loaded) = oneshot::channel();
        self.send(Message::Reset { answer });
        loaded.await.map_err(|_| ReadError::Closed)?
    }

    /// Changes the bound that [`Opening::max_pages`] set.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn limit_pages(&self, max_pages: Option<u32>) -> Result<(), ReadError> {
        let (answer, limited) = oneshot::channel();
        self.send(Message::LimitPages { max_pages, answer });
        limited.await.map_err(|_| ReadError::Closed)?
    }

    /// Writes all that is committed by now into a file, which must not be there yet: mode 0600, on
    /// disk when this returns. Commits go on meanwhile.
    ///
    /// # Errors
    /// See [`BackupError`]; no file is left then.
    pub async fn back_up(&self, to: PathBuf) -> Result<BackedUp, BackupError> {
        let path = self.0.path.clone();
        tokio::task::spawn_blocking(move || backup::back_up(&path, &to))
            .await
            .map_err(|_| BackupError::Closed)?
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.0.counters.commits.load(Ordering::Relaxed),
            transactions: self.0.counters.transactions.load(Ordering::Relaxed),
        }
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn operation(&self, id: OperationId) -> Result<Option<StoredOperation>, ReadError> {
        self.read(move |reader| query::operation(reader, id)).await
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn operations(
        &self,
        filter: OperationFilter,
        page: PageCursor,
    ) -> Result<Vec<StoredOperation>, ReadError> {
        self.read(move |reader| query::operation_page(reader, &filter, page))
            .await
    }

    /// Oldest line first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn journal(&self, id: OperationId) -> Result<Vec<JournalEntry>, ReadError> {
        self.read(move |reader| query::journal(reader, id)).await
    }

    /// # Errors
    /// When the database cannot be read.
    pub async fn plan(&self, id: String) -> Result<Option<StoredPlan>, ReadError> {
        self.read(move |reader| query::plan(reader, &id)).await
    }

    /// The log of ended operations, those that ended last first; only lines with a `seq` below
    /// `before`, and at most `limit` of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn executed(
        &self,
        filter: ExecutedFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<ExecutedEntry>, ReadError> {
        self.read(move |reader| executed::page(reader, &filter, before, limit))
            .await
    }

    /// The line of an operation in that log; none where it has not ended, or is no longer kept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn executed_of(&self, id: OperationId) -> Result<Option<ExecutedEntry>, ReadError> {
        self.read(move |reader| executed::of(reader, id)).await
    }

    /// At most `limit` lines of that log with a `seq` above `after`, in the order in which the
    /// operations ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn results(&self, after: u64, limit: u32) -> Result<Results, ReadError> {
        self.read(move |reader| executed::results(reader, after, limit))
            .await
    }

    /// Operations to remove: those that ended before `before`, and those that are not among the
    /// `most` that ended last. Only those after `after`, at most `limit`, the first that ended first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn old_operations(
        &self,
        before: Timestamp,
        most: u64,
        after: Option<EndedAt>,
        limit: u32,
    ) -> Result<Vec<EndedAt>, ReadError> {
        self.read(move |reader| prune::old_operations(reader, before, most, after, limit))
            .await
    }

    /// Plans to remove: those last made before `before`, and those that are not among the `most`
    /// that were made last. The moment is that for [`crate::Prune::Plans`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn old_plans(
        &self,
        before: Timestamp,
        most: u64,
        limit: u32,
    ) -> Result<(Timestamp, Vec<String>), ReadError> {
        self.read(move |reader| prune::old_plans(reader, before, most, limit))
            .await
    }

    /// Up to which line the executed log is to be removed: lines that ended before `before`, and
    /// those beyond the newest `most`, at most `limit` of them. `None`: none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn old_lines(
        &self,
        before: Timestamp,
        most: u64,
        limit: u32,
    ) -> Result<Option<u64>, ReadError> {
        self.read(move |reader| prune::old_lines(reader, before, most, limit))
            .await
    }

    /// The history of a node (a `NodeUid`), newest first; only rows with a `seq` below `before`, and
    /// at most `limit` of them. It is there also when the node is not.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn history(
        &self,
        node: String,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        self.read(move |reader| query::history_page(reader, &node, before, limit))
            .await
    }

    /// Entries of the audit log, at most `limit` of them, in the order that `from` says.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        from: AuditFrom,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, ReadError> {
        self.read(move |reader| audit::page(reader, &filter, from, limit))
            .await
    }

    /// The newest entry of the audit log; number 0 where there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn audit_head(&self) -> Result<Head, ReadError> {
        self.read(audit::newest).await
    }

    /// Nodes, also gone ones, whose history knows them by a full name, the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn named(&self, name: String, limit: u32) -> Result<Vec<NamedOnce>, ReadError> {
        self.read(move |reader| query::named(reader, &name, limit))
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = Arc::clone(&self.0.reader);
        tokio::task::spawn_blocking(move || {
            // Queries leave nothing behind in the connection, also when one panicked.
            query(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .map_err(|_| ReadError::Closed)?
    }

    fn send(&self, message: Message) {
        if let Some(queue) = &self.0.queue {
            let _ = queue.send(message);
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so; there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

impl CommitTicket {
    /// Waits without an async runtime. Must not be called from within one.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn wait(self) -> Result<Sequence, CommitError> {
        self.0.blocking_recv().unwrap_or(Err(CommitError::Closed))
    }
}

impl Future for CommitTicket {
    type Output = Result<Sequence, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(CommitError::Closed)))
    }
}
