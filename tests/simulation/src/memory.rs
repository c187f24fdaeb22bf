//! What the host has in memory, and how it comes back from what was durable.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::{Config, Machine, Problem};
use enginehouse_model::{
    FullName, HypervisorUid, MachineRecord, MachineUid, NodeUid, OperationId, Timestamp,
};
use enginehouse_queue::{EndedPart, Entry, Final, Limits, OnFailure, Output, Queue};
use enginehouse_store::{Document, HistoryRow, Table, Write};
use enginehouse_tree::{Change, Node, Tree};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::alone::{Watched, policies};
use crate::disk::Disk;
use crate::inventory::Known;
use crate::ledger::{Promise, all_asks};
use crate::protection::protected;
use crate::rollback::last_deployed;
use crate::violation::{Rule, Violation};

/// How much may go on at each hypervisor.
pub const LIMITS: Limits = Limits {
    operations: 3,
    copies_per_template: 1,
    busy_ms: 60_000,
};

pub struct Memory {
    pub tree: Tree,
    pub records: BTreeMap<MachineUid, MachineRecord>,
    pub reservations: BTreeMap<(HypervisorUid, u64), OperationId>,
    pub queue: Queue,
    pub last_operation: OperationId,
    /// Machines as their operations last saw them. Nothing of it is durable.
    pub observed: BTreeMap<OperationId, Option<Machine>>,
    /// The newest list of each hypervisor, and when it was made. Nothing of it is durable.
    pub lists: BTreeMap<HypervisorUid, (Timestamp, Vec<Machine>)>,
    /// What is known of the machines of each hypervisor. Nothing of it is durable.
    pub known: BTreeMap<HypervisorUid, Known>,
    /// What is remembered of machines that have drifted.
    pub watched: BTreeMap<MachineUid, Watched>,
    /// Nodes at and below which nothing is done without a person.
    pub paused: BTreeSet<NodeUid>,
    /// When the last operation on a descriptor ended, in this life.
    pub last_ended: BTreeMap<NodeUid, Timestamp>,
    /// The deployed config of each descriptor's machine when its last operation ended.
    pub deployed: BTreeMap<NodeUid, Config>,
    /// Operations for which the queue asked something that was not reported yet.
    pub asked: BTreeSet<OperationId>,
}

/// The stored row of an operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperationDocument {
    pub kind: String,
    pub path: FullName,
    #[serde(default)]
    pub parent: Option<OperationId>,
    #[serde(default)]
    pub end: Option<Final>,
    #[serde(default)]
    pub problem: Option<Problem>,
    #[serde(default)]
    pub created: Vec<String>,
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The provider's id of the machine.
    #[serde(default)]
    pub machine_id: Option<String>,
    /// Whether anything may be different because of it.
    #[serde(default)]
    pub did: bool,
    /// Of a part: what its own definition says of a failure.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What a decision changes.
#[derive(Default)]
pub(crate) struct Staged {
    pub writes: Vec<Write>,
    pub output: Output,
    /// What holds once it is durable.
    pub promises: Vec<Promise>,
}

fn broken(what: &str, why: impl std::fmt::Display) -> Violation {
    Violation::new(Rule::Load, format!("{what}: {why}"))
}

fn read<T: DeserializeOwned>(document: &Document) -> Result<T, Violation> {
    document.read().map_err(|error| broken("a document", error))
}

impl Memory {
    /// What the disk adds up to, and how it goes on.
    pub(crate) fn load(disk: &Disk, now: Timestamp) -> Result<(Self, Output), Violation> {
        let nodes: Result<Vec<Node>, Violation> = disk
            .table(Table::Node)
            .map(|(_, document)| read(document))
            .collect();
        let tree = Tree::load(nodes?).map_err(|error| broken("the tree", error))?;
        let mut records = BTreeMap::new();
        for (_, document) in disk.table(Table::Machine) {
            let record: MachineRecord = read(document)?;
            records.insert(record.uid, record);
        }
        let mut watched = BTreeMap::new();
        let mut paused = BTreeSet::new();
        for (key, document) in disk.table(Table::Meta) {
            let wrong = || broken("what is remembered", key);
            match key.split_once('/') {
                Some(("watched", machine)) => {
                    let machine = machine.parse().map_err(|_| wrong())?;
                    watched.insert(machine, read(document)?);
                }
                Some(("pause", _)) => {
                    paused.insert(read(document)?);
                }
                _ => return Err(wrong()),
            }
        }
        let mut reservations = BTreeMap::new();
        for (key, document) in disk.table(Table::Reservation) {
            let wrong = || broken("a reservation", key);
            let (hypervisor, number) = key.split_once('/').ok_or_else(wrong)?;
            let key = (
                hypervisor.parse().map_err(|_| wrong())?,
                number.parse().map_err(|_| wrong())?,
            );
            reservations.insert(key, read(document)?);
        }
        let mut journal = Vec::new();
        let mut ended = Vec::new();
        for (number, row) in &disk.operations {
            if row.ended_at.is_some() {
                ended.extend(ended_part(*number, &read(&row.document)?));
                continue;
            }
            let rows = disk.journal.get(number).into_iter().flatten();
            let entries: Result<Vec<Entry>, Violation> =
                rows.map(|row| read(&row.document)).collect();
            journal.push((*number, entries?));
        }
        let (mut queue, output) = Queue::load(LIMITS, journal, ended, now)
            .map_err(|error| broken("the queue", format!("{error:?}")))?;
        for hypervisor in tree.hypervisors() {
            queue.set_limits(hypervisor.uid, LIMITS);
        }
        let memory = Self {
            tree,
            records,
            reservations,
            queue,
            last_operation: disk.last_operation(),
            observed: BTreeMap::new(),
            lists: BTreeMap::new(),
            known: BTreeMap::new(),
            watched,
            paused,
            last_ended: BTreeMap::new(),
            deployed: last_deployed(disk),
            asked: BTreeSet::new(),
        };
        Ok((memory, output))
    }

    pub(crate) fn number(&mut self) -> OperationId {
        self.last_operation.0 += 1;
        self.last_operation
    }

    pub(crate) fn record_of(&self, node: NodeUid) -> Option<&MachineRecord> {
        let machine = self.tree.descriptor(node).ok()?.machine?;
        self.records.get(&machine)
    }

    /// Changes the record of a node's machine, where it has one.
    pub(crate) fn with_record(
        &mut self,
        staged: &mut Staged,
        node: NodeUid,
        change: impl FnOnce(&mut MachineRecord),
    ) {
        let Some(uid) = self.record_of(node).map(|record| record.uid) else {
            return;
        };
        if let Some(record) = self.records.get_mut(&uid) {
            change(record);
            staged.record(record);
        }
    }

    /// All of it that is durable, to compare two of them.
    pub(crate) fn picture(&self) -> Vec<String> {
        let nodes = self.tree.nodes();
        let mut all: Vec<String> = nodes
            .map(|node| serde_json::to_string(node).unwrap_or_default())
            .collect();
        all.sort();
        let records = self.records.values();
        all.extend(records.map(|record| serde_json::to_string(record).unwrap_or_default()));
        let held = self.reservations.iter();
        all.extend(held.map(|reservation| format!("{reservation:?}")));
        all.extend(
            self.queue.iter().map(|operation| {
                format!("{} {:?}", operation.number(), operation.spec.target_name)
            }),
        );
        all.extend(self.watched.iter().map(|watched| format!("{watched:?}")));
        all.push(format!("{:?}", self.paused));
        all.push(format!("{}", self.last_operation));
        all
    }
}

fn ended_part(number: OperationId, document: &OperationDocument) -> Option<EndedPart> {
    Some(EndedPart {
        parent: document.parent?,
        number,
        target: document.path.clone(),
        state: document.end?,
        problem: document.problem.clone(),
        warnings: document.warnings.clone(),
        on_failure: document.on_failure,
    })
}

impl Staged {
    pub(crate) fn put<T: Serialize>(&mut self, table: Table, key: String, value: &T) {
        // Our own types have text keys only.
        if let Ok(document) = Document::of(1, value) {
            self.writes.push(Write::Put {
                table,
                key,
                document,
            });
        }
    }

    pub(crate) fn delete(&mut self, table: Table, key: String) {
        self.writes.push(Write::Delete { table, key });
    }

    pub(crate) fn record(&mut self, record: &MachineRecord) {
        self.put(Table::Machine, record.uid.to_string(), record);
    }

    /// Nodes that an edit changed, and a line of their history.
    pub(crate) fn nodes(&mut self, tree: &Tree, change: &Change, at: Timestamp, kind: &str) {
        for uid in &change.written {
            let (Ok(node), Ok(name)) = (tree.node(*uid), tree.full_name(*uid)) else {
                continue;
            };
            self.put(Table::Node, uid.to_string(), node);
            if let Ok(document) = Document::of(1, &node.revision) {
                self.writes.push(Write::History(HistoryRow {
                    node: uid.to_string(),
                    name: name.to_string(),
                    at,
                    operation: None,
                    who: "simulation".to_owned(),
                    kind: kind.to_owned(),
                    document,
                }));
            }
        }
        for uid in &change.removed {
            self.delete(Table::Node, uid.to_string());
        }
    }

    /// The same, where definitions or places have changed. `said`: machines may be less protected after it.
    pub(crate) fn edited(
        &mut self,
        tree: &Tree,
        change: &Change,
        at: Timestamp,
        kind: &str,
        said: bool,
    ) {
        self.nodes(tree, change, at, kind);
        self.promises.push(Promise::Protects {
            nodes: protected(tree),
            lowers: said,
        });
        self.promises.push(Promise::AsksFor(all_asks(tree)));
        self.promises.push(Promise::Policies(policies(tree)));
        if kind == "move" {
            self.promises.push(Promise::MovesNodes);
        }
    }
}
