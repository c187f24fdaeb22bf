//! The one state of the host, and the one way to change it.
//!
//! **Expected flow.** [`House::transact`] locks the memory, lets a closure decide (check everything,
//! then change), turns what it staged into one commit, and queues that commit before the lock is
//! released: the disk sees changes in the order in which memory did. The lock is never held across
//! an await. After the commit is acknowledged, and not before, the queue's commands are carried out
//! and the caller gets its answer.
//!
//! What happens when the disk fails is in [`crate::disk`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use enginehouse_api::{ErrorCode, LogSource, Problem};
use enginehouse_documents::Health;
use enginehouse_engines::{Clock, Engine, LoadError};
use enginehouse_model::{
    HypervisorUid, InstallationId, MachineRecord, MachineUid, NodeUid, OperationId, Timestamp,
};
use enginehouse_queue::{Command, Entry, Event, Operation, Output, Queue};
use enginehouse_store::{Commit, CommitTicket, Document, Fence, JournalRow, Store, Table, Write};
use enginehouse_tree::{Change, Tree};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::access::{Token, TokenId};
use crate::audit::Audit;
use crate::config::ServeConfig;
use crate::connections::Connections;
use crate::events::{Batch, Feed, Told};
use crate::history::{Cause, Notes};
use crate::idempotency::Idempotency;
use crate::inventory::Inventories;
use crate::live::{JOURNAL_VERSION, Live};
use crate::secrets::{KeptChanges, Secrets};

/// Versions of the stored documents.
pub(crate) const NODE_VERSION: u16 = 1;
pub(crate) const RECORD_VERSION: u16 = 1;
pub(crate) const PROVIDER_VERSION: u16 = 1;
pub(crate) const RESERVATION_VERSION: u16 = 1;

/// A hypervisor as its checks found it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Provider {
    /// Of the first check that answered: what machines on record rely on.
    pub identity: Option<String>,
    pub checked_at: Timestamp,
    pub took_ms: u64,
    pub health: Option<Health>,
    pub problem: Option<enginehouse_documents::Problem>,
}

/// Memory: a cache of what is committed, and what is only worth having while the host lives.
pub(crate) struct State {
    pub tree: Tree,
    /// Each in a box, as with `live`: half of a tree's places are empty.
    pub records: BTreeMap<MachineUid, Box<MachineRecord>>,
    pub providers: BTreeMap<HypervisorUid, Provider>,
    /// Who holds which number: hypervisor, space, number.
    pub reservations: BTreeMap<(HypervisorUid, String, u64), OperationId>,
    pub tokens: BTreeMap<TokenId, Token>,
    pub secrets: Secrets,
    pub idempotency: Idempotency,
    pub defaults: crate::defaults::Defaults,
    /// Machines that have drifted, or were repaired.
    pub watched: BTreeMap<MachineUid, crate::continuous::Watched>,
    pub pauses: crate::continuous::Pauses,
    /// What was destroyed within the hour.
    pub destroyed: crate::destruction::Ledger,
    /// The machines that descriptors have lost.
    pub lost: BTreeMap<NodeUid, crate::inventory::Lost>,
    pub queue: Queue,
    /// After a restore: none of the queue's commands is carried out.
    pub hold: Option<crate::hold::Hold>,
    pub live: BTreeMap<OperationId, Box<Live>>,
    pub last_operation: OperationId,
    pub fence: Fence,
    pub generation: u64,
}

impl State {
    /// The next number of an operation.
    pub(crate) fn number(&mut self) -> OperationId {
        self.last_operation.0 += 1;
        self.last_operation
    }

    pub(crate) fn log(&mut self, number: OperationId, at: Timestamp, level: &str, text: &str) {
        self.live
            .entry(number)
            .or_default()
            .log(at, level, LogSource::Host, text);
    }

    /// # Errors
    /// When this is not that life of memory any more: what is reported is of what was thrown away.
    pub(crate) fn must_be(&self, generation: u64) -> Result<(), Problem> {
        if self.generation == generation {
            return Ok(());
        }
        Err(Problem::new(
            ErrorCode::Stale,
            "the host has loaded its state again",
        ))
    }

    /// The record of a node's machine.
    pub(crate) fn record_of(&self, node: NodeUid) -> Option<&MachineRecord> {
        let machine = self.tree.descriptor(node).ok()?.machine?;
        self.records.get(&machine).map(AsRef::as_ref)
    }
}

/// What a decision changes.
#[derive(Default)]
pub(crate) struct Staged {
    pub writes: Vec<Write>,
    pub secrets: KeptChanges,
    pub output: Output,
    pub history: Notes,
    pub audit: Audit,
    pub told: Told,
    /// Limits on destruction are others now.
    pub limits_changed: bool,
}

impl Staged {
    /// What is staged from here on is done by this operation: for the history of the nodes.
    pub(crate) fn because(
        &mut self,
        operation: Option<OperationId>,
        who: &str,
        kind: enginehouse_api::OperationKind,
    ) {
        self.history.because(Cause {
            operation,
            who: who.to_owned(),
            kind: kind.as_str().to_owned(),
        });
    }

    /// As [`Staged::because`], of an operation of the queue.
    pub(crate) fn because_of(&mut self, spec: &enginehouse_queue::Spec) {
        self.history.because(Cause {
            operation: Some(spec.number),
            who: spec.who.clone(),
            kind: spec.kind.clone(),
        });
    }

    /// Nodes that an edit changed, as they are now.
    pub(crate) fn nodes(&mut self, tree: &Tree, change: &Change) {
        self.history.nodes(tree, change);
        self.limits_changed |= self.audit.nodes(tree, change, self.history.cause());
        self.told.nodes(tree, change);
        for uid in &change.written {
            if let Ok(node) = tree.node(*uid) {
                self.put(Table::Node, uid.to_string(), NODE_VERSION, node);
            }
        }
        for uid in &change.removed {
            self.writes.push(Write::Delete {
                table: Table::Node,
                key: uid.to_string(),
            });
        }
    }

    pub(crate) fn record(&mut self, record: &MachineRecord) {
        self.put(
            Table::Machine,
            record.uid.to_string(),
            RECORD_VERSION,
            record,
        );
    }

    pub(crate) fn put<T: Serialize>(&mut self, table: Table, key: String, version: u16, value: &T) {
        match Document::of(version, value) {
            Ok(document) => self.writes.push(Write::Put {
                table,
                key,
                document,
            }),
            // Our own types have text keys only; a value that cannot be written would be a bug.
            Err(error) => tracing::error!(%error, %key, "a document was not written"),
        }
    }
}

/// What follows from a commit, once it stands.
struct Follows {
    commands: Vec<Command>,
    /// Operations ended with it.
    ended: bool,
    /// What is told of it.
    batch: Option<Batch>,
    /// Operations of which something is new.
    operations: Vec<OperationId>,
}

/// The host.
pub(crate) struct House {
    pub config: ServeConfig,
    pub installation: InstallationId,
    pub store: Store,
    pub engines: Vec<Arc<Engine>>,
    pub refused: Vec<(std::path::PathBuf, LoadError)>,
    pub kept_engines: crate::kept_engines::KeptEngines,
    pub schemas: Arc<crate::schemas::Schemas>,
    pub clock: Clock,
    pub steady: crate::steady::Steady,
    /// Hash of the installation's own token, which is in a file.
    pub installation_token: Mutex<blake3::Hash>,
    pub connections: Connections,
    pub inventories: Inventories,
    pub checks: crate::work::Checks,
    pub turns: crate::work::Turns,
    pub state: Mutex<State>,
    /// Counts commits; whoever waits for an operation looks again when it moves.
    pub changed: watch::Sender<u64>,
    /// Counts commits in which operations ended: who waits for results looks again.
    pub ended: watch::Sender<u64>,
    pub feed: Arc<Feed>,
    /// Held while the key of the secrets is exchanged.
    pub rotating: tokio::sync::Mutex<()>,
    /// Held while a backup is made.
    pub backing_up: tokio::sync::Mutex<()>,
    /// The queue's next time may have become earlier.
    pub wake: Notify,
    /// The state is about to be loaded again.
    pub reloading: AtomicBool,
    /// Commits that were decided and are not known to be on disk yet.
    pub in_flight: AtomicUsize,
    /// True once the host is to end.
    pub stopping: watch::Sender<bool>,
}

impl House {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Decides under the lock, commits, and then carries out what follows.
    ///
    /// `decide` must leave the state alone when it fails.
    pub(crate) async fn transact<T>(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut State, &mut Staged, Timestamp) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let now = self.now();
        let (value, ticket, follows) = {
            let mut state = self.state.lock();
            let mut staged = Staged::default();
            staged.told.wanted = self.feed.is_wanted();
            let value = decide(&mut state, &mut staged, now)?;
            let (writes, commands, told) = seal(&mut state, staged, now);
            let ended = writes.iter().any(|w| matches!(w, Write::Executed(_)));
            let ticket = (!writes.is_empty()).then(|| {
                let mut commit = Commit::new(state.fence);
                commit.writes = writes;
                self.in_flight.fetch_add(1, Ordering::AcqRel);
                self.store.submit(commit)
            });
            let drafts = (!told.too_many).then_some(told.drafts);
            let follows = Follows {
                commands,
                ended,
                batch: self.feed.stage(drafts),
                operations: told.operations,
            };
            (value, ticket, follows)
        };
        // A caller that goes away meanwhile, as one does whose client hangs up, must not take with
        // it what follows from a commit that stands.
        let settling = tokio::spawn(Arc::clone(self).settle(ticket, follows));
        settling
            .await
            .map_err(|_| Problem::new(ErrorCode::Internal, "the host is ending"))??;
        Ok(value)
    }

    /// Waits for the commit, and carries out what follows from it.
    async fn settle(
        self: Arc<Self>,
        ticket: Option<CommitTicket>,
        follows: Follows,
    ) -> Result<(), Problem> {
        if let Some(ticket) = ticket {
            let committed = ticket.await;
            let failed = committed.map_err(|error| self.commit_failed(error)).err();
            // Not before a failure is known to all: see `stands`.
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            if let Some(problem) = failed {
                self.feed.settle(follows.batch, false);
                return Err(problem);
            }
        }
        self.feed.settle(follows.batch, true);
        self.feed.touch(&follows.operations);
        crate::work::carry_out(&self, follows.commands);
        if self.kept_engines.has_former() {
            tokio::spawn(crate::kept_engines::forget_unnamed(Arc::clone(&self)));
        }
        self.changed.send_modify(|count| *count += 1);
        if follows.ended {
            self.ended.send_modify(|count| *count += 1);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Tells the queue what happened to an operation; `also` adds to the same commit.
    ///
    /// What an older generation reports, or what no longer fits, is dropped and said in the log.
    pub(crate) async fn report(
        self: &Arc<Self>,
        generation: u64,
        number: OperationId,
        event: Event,
        also: impl FnOnce(&mut State, &mut Staged, Timestamp),
    ) -> Result<(), Problem> {
        self.report_by(generation, number, |_, _| event, also).await
    }

    /// As [`House::report`], where what happened depends on what is the case in that very commit.
    pub(crate) async fn report_by(
        self: &Arc<Self>,
        generation: u64,
        number: OperationId,
        event: impl FnOnce(&State, Timestamp) -> Event,
        also: impl FnOnce(&mut State, &mut Staged, Timestamp),
    ) -> Result<(), Problem> {
        let result = self
            .transact(|state, staged, now| {
                state.must_be(generation)?;
                let event = event(state, now);
                let output = state
                    .queue
                    .handle(number, event, now)
                    .map_err(|illegal| Problem::new(ErrorCode::Stale, illegal.to_string()))?;
                also(state, staged, now);
                staged.output = output;
                Ok(())
            })
            .await;
        if let Err(problem) = &result {
            tracing::warn!(operation = %number, "not taken in: {}", problem.detail);
        }
        result
    }

    /// As [`House::report`], of many operations in one commit.
    pub(crate) async fn report_all(
        self: &Arc<Self>,
        generation: u64,
        events: Vec<(OperationId, Event)>,
    ) {
        let result = self
            .transact(|state, staged, now| {
                state.must_be(generation)?;
                for (number, event) in events {
                    match state.queue.handle(number, event, now) {
                        Ok(output) => staged.output.append(output),
                        Err(illegal) => tracing::warn!(%illegal, "not taken in"),
                    }
                }
                Ok(())
            })
            .await;
        if let Err(problem) = result {
            tracing::warn!("not taken in: {}", problem.detail);
        }
    }
}

/// Journal rows for the entries, and what the end of an operation changes.
fn seal(state: &mut State, staged: Staged, now: Timestamp) -> (Vec<Write>, Vec<Command>, Told) {
    let mut staged = staged;
    crate::secrets::take_in(state, &mut staged);
    if staged.limits_changed {
        staged.output.append(state.queue.release_all(now));
    }
    let Staged {
        writes,
        output,
        history,
        audit,
        told,
        ..
    } = staged;
    let Output {
        entries,
        commands,
        ended,
        turned,
    } = output;
    let mut sealed = Staged {
        writes,
        history,
        audit,
        told,
        ..Staged::default()
    };
    for (hypervisor, is_lost) in turned {
        crate::reach::turned(state, &mut sealed, hypervisor, is_lost);
    }
    let mut changed: Vec<OperationId> = entries.iter().map(|(number, _)| *number).collect();
    for (number, entry) in entries {
        crate::explain::explain(state, number, now, &entry);
        if let Entry::CancelRequested { .. } = &entry
            && let Some(live) = state.live.get(&number)
        {
            live.cancelling.store(true, Ordering::Relaxed);
        }
        let live = state.live.entry(number).or_default();
        live.note_entry(now, &entry);
        if let Entry::Queued { .. } = &entry
            && let Some(operation) = state.queue.get(number).cloned()
        {
            crate::conclude::queued(state, &operation, &mut sealed);
        }
        if let Entry::Asked { .. } = &entry
            && let Some(operation) = state.queue.get(number)
        {
            sealed.audit.asked(operation);
        }
        if let Entry::Held { problem, .. } = &entry
            && let Some(operation) = state.queue.get(number)
            // Once: it may be held again every hour.
            && operation.holds == 1
        {
            sealed.audit.waits(&operation.spec, &problem.message);
        }
        if let Entry::Planned(plan) = &entry
            && let Some(operation) = state.queue.get(number)
        {
            sealed.audit.plan(operation, plan);
        }
        let live = state.live.entry(number).or_default();
        let document = live.journal(entry);
        match Document::of(JOURNAL_VERSION, &document) {
            Ok(document) => sealed.writes.push(Write::Journal(JournalRow {
                operation: number,
                at: now,
                document,
            })),
            Err(error) => tracing::error!(%error, operation = %number, "an entry was not written"),
        }
    }
    for operation in &ended {
        crate::conclude::ended(state, operation, &mut sealed, now);
        state.live.remove(&operation.number());
    }
    changed.sort_unstable();
    changed.dedup();
    for number in changed {
        sealed.told.goes_on(state, number);
    }
    sealed.writes.extend(sealed.history.into_writes(now));
    sealed.writes.extend(sealed.audit.into_writes(now));
    crate::secrets::settle(state, &mut sealed.writes, &ended);
    (sealed.writes, commands, sealed.told)
}

/// Operations that have not ended, for those who need the whole.
pub(crate) fn operation_of(state: &State, number: OperationId) -> Option<Operation> {
    state.queue.get(number).cloned()
}

#[cfg(test)]
#[path = "house_tests.rs"]
mod tests;
