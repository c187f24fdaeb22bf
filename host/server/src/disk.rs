//! What is on disk, and what becomes of the rest when the disk fails.
//!
//! Between a decision and its commit, memory is ahead of the disk. Who only reads is shown what he
//! read once it stands, and never what a failing disk takes back.
//!
//! **When a commit fails**, everything in memory is thrown away and loaded again; what is still
//! running in the background belongs to an older `generation` and cannot report any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use enginehouse_api::{ErrorCode, Problem};
use enginehouse_store::{Commit, CommitError, Fence};

use crate::house::House;

/// How often what reads is asked while the disk fails.
pub(crate) const READS: usize = 3;
/// How long to wait each time for memory to be loaded again.
const RELOAD: Duration = Duration::from_secs(5);

impl House {
    /// Waits until all that was decided before, by who held this fence, is on disk.
    ///
    /// # Errors
    /// When some of it is not and never will be.
    pub(crate) async fn settled(self: &Arc<Self>, fence: Fence) -> Result<(), Problem> {
        // Commits are written in their order: one that changes nothing comes after all before it.
        match self.store.commit(Commit::new(fence)).await {
            Ok(_) => Ok(()),
            Err(CommitError::Fenced) => Err(Problem::new(
                ErrorCode::Busy,
                "the host has just loaded its state again",
            )
            .with_hint("send the order again")),
            Err(error) => Err(self.commit_failed(error)),
        }
    }

    /// Whether what was read from memory since this fence was taken is on disk; waits for what is on
    /// its way there. Nobody is shown what a failing disk takes back.
    pub(crate) async fn stands(self: &Arc<Self>, fence: Fence) -> bool {
        let is_ahead =
            self.in_flight.load(Ordering::Acquire) > 0 || self.reloading.load(Ordering::Acquire);
        if self.state.lock().fence != fence {
            return false;
        }
        !is_ahead || self.store.commit(Commit::new(fence)).await.is_ok()
    }

    /// Waits until memory is what is on disk again, for a while.
    pub(crate) async fn reloaded(&self) {
        let mut changed = self.changed.subscribe();
        let over = changed.wait_for(|_| !self.reloading.load(Ordering::Acquire));
        // Whoever waited looks again, whether it helped or not.
        let _ = tokio::time::timeout(RELOAD, over).await;
    }

    /// Loads everything again after the store could not be written.
    pub(crate) fn commit_failed(self: &Arc<Self>, error: CommitError) -> Problem {
        tracing::error!(%error, "a commit failed");
        let problem = if error.is_full() {
            Problem::new(
                ErrorCode::Busy,
                "the disk is full: nothing was accepted, and nothing is lost",
            )
            .with_hint("free some space in the data directory's file system and try again")
        } else {
            Problem::new(
                ErrorCode::Internal,
                format!("the database cannot be written: {error}"),
            )
            .with_hint("see the host's log; the change was not made")
        };
        // Memory is ahead of the disk, whatever the reason.
        let closed = matches!(error, CommitError::Closed);
        if !closed && !self.reloading.swap(true, Ordering::AcqRel) {
            let house = Arc::clone(self);
            let reload: futures_util::future::BoxFuture<'static, ()> = Box::pin(house.reload());
            tokio::spawn(reload);
        }
        problem
    }

    /// Takes the disk's state for the truth, as often as it takes. What is decided meanwhile is on
    /// the old memory and cannot be committed.
    async fn reload(self: Arc<Self>) {
        let mut pause = Duration::from_secs(1);
        loop {
            // A disk that was full a moment ago is so still.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
            let loaded = match self.store.reset().await {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::error!(%error, "the database could not be read again");
                    continue;
                }
            };
            let rebuilt =
                crate::start::rebuild(&self.config, &self.store, loaded, self.now()).await;
            let (mut fresh, output) = match rebuilt {
                Ok(rebuilt) => rebuilt,
                Err(error) => {
                    tracing::error!(%error, "the state could not be loaded again");
                    continue;
                }
            };
            let schemas = Arc::clone(&self.schemas);
            fresh.tree.set_engine_settings(schemas as _);
            let resumed = self
                .transact(|state, staged, now| {
                    let generation = state.generation + 1;
                    *state = fresh;
                    // From here on a commit that fails begins the next reload.
                    self.reloading.store(false, Ordering::Release);
                    state.generation = generation;
                    crate::orders::set_all_limits(&self.config, state);
                    crate::reach::suspect_lost(state, now);
                    staged.output = output;
                    Ok(())
                })
                .await;
            match resumed {
                Ok(()) => tracing::info!("the state was loaded again"),
                Err(problem) => tracing::error!("not resumed: {}", problem.detail),
            }
            return;
        }
    }
}
