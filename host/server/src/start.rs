//! From the data directory to a state that goes on where the last one ended.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use enginehouse_model::{HypervisorUid, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{EndedPart, Entry, Final, OnFailure, Output, Queue};
use enginehouse_store::{Document, Loaded, Row, Store, Table};
use enginehouse_tree::{Node, Tree};
use thiserror::Error;
use uuid::Uuid;

use crate::ServeConfig;
use crate::access::{Token, TokenId};
use crate::hold::Hold;
use crate::house::{Staged, State};
use crate::idempotency::Idempotency;
use crate::live::{JournalDocument, Live};
use crate::secrets::{Secrets, seal_nodes, unlock};

/// The stored state cannot be understood.
#[derive(Debug, Error)]
pub enum RebuildError {
    #[error("{table} {key} cannot be read")]
    Document {
        table: &'static str,
        key: String,
        #[source]
        source: enginehouse_store::DocumentError,
    },
    #[error("{table} {key} has an invalid key")]
    Key { table: &'static str, key: String },
    #[error("the tree cannot be loaded")]
    Tree(#[source] enginehouse_tree::LoadError),
    #[error("the queue cannot be loaded")]
    Queue(#[source] enginehouse_queue::LoadError),
    #[error("an operation cannot be read")]
    Read(#[source] enginehouse_store::ReadError),
    #[error("the first commit failed")]
    First(#[source] enginehouse_store::CommitError),
    #[error("the secrets cannot be opened")]
    Secrets(#[from] crate::SecretKeyError),
}

impl RebuildError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Secrets(error) => Some(error.hint()),
            Self::Document { .. }
            | Self::Key { .. }
            | Self::Tree(_)
            | Self::Queue(_)
            | Self::Read(_)
            | Self::First(_) => None,
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(
    table: Table,
    key: &str,
    document: &Document,
) -> Result<T, RebuildError> {
    document.read().map_err(|source| RebuildError::Document {
        table: table.name(),
        key: key.to_owned(),
        source,
    })
}

pub(crate) fn rows<K, T>(table: Table, rows: Vec<Row>) -> Result<BTreeMap<K, T>, RebuildError>
where
    K: std::str::FromStr + Ord,
    T: serde::de::DeserializeOwned,
{
    rows.into_iter()
        .map(|row| {
            let key = row.key.parse().map_err(|_| RebuildError::Key {
                table: table.name(),
                key: row.key.clone(),
            })?;
            Ok((key, read(table, &row.key, &row.document)?))
        })
        .collect()
}

/// The state that the store adds up to, and what has to be written and done to go on with it.
pub(crate) async fn rebuild(
    config: &ServeConfig,
    store: &Store,
    loaded: Loaded,
    now: Timestamp,
) -> Result<(State, Output), RebuildError> {
    let nodes: BTreeMap<NodeUid, Node> = rows(Table::Node, loaded.nodes)?;
    let hashes_key = crate::idempotency::sealed(&loaded.meta);
    let mut unlocked = unlock(config, loaded.secrets, hashes_key.as_ref())?;
    let mut staged = Staged::default();
    let mut nodes: Vec<Node> = if nodes.is_empty() {
        let root = Node::root(NodeUid::from_uuid(Uuid::now_v7()));
        staged.put(
            Table::Node,
            root.uid.to_string(),
            crate::house::NODE_VERSION,
            &root,
        );
        vec![root]
    } else {
        nodes.into_values().collect()
    };
    seal_nodes(&mut nodes, &mut unlocked, now)?;
    staged.writes.append(&mut unlocked.writes);
    let idempotency = Idempotency::load(
        &loaded.meta,
        loaded.idempotency,
        &unlocked.keys,
        &mut staged.writes,
    )
    .map_err(crate::SecretKeyError::from)?;
    if !staged.writes.is_empty() {
        let mut commit = enginehouse_store::Commit::new(loaded.fence);
        commit.writes = staged.writes;
        store.commit(commit).await.map_err(RebuildError::First)?;
    }
    unlocked.committed()?;
    let tree = Tree::load(nodes).map_err(RebuildError::Tree)?;
    let mut live = BTreeMap::new();
    let mut journal = Vec::new();
    let mut parents = Vec::new();
    for unfinished in &loaded.unfinished {
        let number = unfinished.operation.id;
        let mut lives = Live::default();
        let mut entries: Vec<Entry> = Vec::new();
        for row in &unfinished.journal {
            let document: JournalDocument =
                row.document
                    .read()
                    .map_err(|source| RebuildError::Document {
                        table: "journal",
                        key: row.seq.to_string(),
                        source,
                    })?;
            lives.replay(row.at, &document);
            entries.push(document.entry);
        }
        for entry in &entries {
            let parts = match entry {
                Entry::Queued { spec } => &spec.children,
                Entry::RollingBack { parts } => parts,
                _ => continue,
            };
            parents.extend(parts.iter().map(|part| (number, *part)));
        }
        live.insert(number, Box::new(lives));
        journal.push((number, entries));
    }
    let open: Vec<OperationId> = journal.iter().map(|(number, _)| *number).collect();
    let mut ended = Vec::new();
    for (parent, child) in parents {
        if open.binary_search(&child).is_ok() {
            continue;
        }
        let Some(stored) = store.operation(child).await.map_err(RebuildError::Read)? else {
            continue;
        };
        let view: enginehouse_api::Operation =
            stored
                .document
                .read()
                .map_err(|source| RebuildError::Document {
                    table: "operation",
                    key: child.to_string(),
                    source,
                })?;
        ended.push(ended_part(parent, &view));
    }
    let limits = crate::orders::default_limits(config);
    let (queue, output) = Queue::load(limits, journal, ended, now).map_err(RebuildError::Queue)?;
    for operation in queue.iter().filter(|operation| operation.cancel.is_some()) {
        if let Some(live) = live.get(&operation.number()) {
            live.cancelling.store(true, Ordering::Relaxed);
        }
    }
    let reservations = reservations(loaded.reservations)?;
    let defaults = loaded
        .meta
        .iter()
        .find(|row| row.key == crate::defaults::ROW)
        .map(|row| read(Table::Meta, &row.key, &row.document))
        .transpose()?
        .unwrap_or_default();
    let unreadable = |source| RebuildError::Document {
        table: Table::Meta.name(),
        key: "drift, pause, destruction or lost machine".to_owned(),
        source,
    };
    let watched = crate::continuous::load(&loaded.meta).map_err(unreadable)?;
    let pauses = crate::continuous::Pauses::load(&loaded.meta).map_err(unreadable)?;
    let destroyed = crate::destruction::Ledger::load(&loaded.meta).map_err(unreadable)?;
    let lost = crate::inventory::load_lost(&loaded.meta).map_err(unreadable)?;
    let hold = Hold::of(&loaded.meta).map_err(|source| RebuildError::Document {
        table: Table::Meta.name(),
        key: "hold".to_owned(),
        source,
    })?;
    let secrets = Secrets::new(unlocked.keys, unlocked.kept, &tree);
    let state = State {
        tree,
        secrets,
        idempotency,
        defaults,
        watched,
        pauses,
        destroyed,
        lost,
        records: rows(Table::Machine, loaded.machines)?,
        providers: rows(Table::Provider, loaded.providers)?,
        reservations,
        hold,
        tokens: rows::<TokenId, Token>(Table::Token, loaded.tokens)?,
        queue,
        live,
        last_operation: loaded.last_operation,
        fence: loaded.fence,
        generation: 0,
    };
    Ok((state, output))
}

fn ended_part(parent: OperationId, view: &enginehouse_api::Operation) -> EndedPart {
    let state = match view.state {
        enginehouse_api::OperationState::Succeeded => Final::Succeeded,
        enginehouse_api::OperationState::Cancelled => Final::Cancelled,
        enginehouse_api::OperationState::Superseded => Final::Superseded,
        enginehouse_api::OperationState::Failed
        | enginehouse_api::OperationState::Pending
        | enginehouse_api::OperationState::WaitingApproval
        | enginehouse_api::OperationState::Running
        | enginehouse_api::OperationState::InDoubt => Final::Failed,
    };
    EndedPart {
        parent,
        number: view.number,
        target: view.path.clone(),
        state,
        problem: view.error.as_ref().map(|error| {
            enginehouse_documents::Problem::new(
                enginehouse_documents::Code::parse(&error.code),
                error.message.clone(),
            )
        }),
        warnings: view
            .result
            .as_ref()
            .map(|result| result.warnings.clone())
            .unwrap_or_default(),
        on_failure: match view.on_failure {
            Some(enginehouse_api::OnFailure::Rollback) => OnFailure::Rollback,
            Some(enginehouse_api::OnFailure::Keep) | None => OnFailure::Keep,
        },
    }
}

type Reservations = BTreeMap<(HypervisorUid, String, u64), OperationId>;

fn reservations(rows: Vec<Row>) -> Result<Reservations, RebuildError> {
    rows.into_iter()
        .map(|row| {
            let wrong = || RebuildError::Key {
                table: Table::Reservation.name(),
                key: row.key.clone(),
            };
            let mut parts = row.key.split('/');
            let (Some(hypervisor), Some(space), Some(number)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(wrong());
            };
            let key = (
                hypervisor.parse().map_err(|_| wrong())?,
                space.to_owned(),
                number.parse().map_err(|_| wrong())?,
            );
            Ok((key, read(Table::Reservation, &row.key, &row.document)?))
        })
        .collect()
}
