//! What becomes of each node, written in the commit that does it: its definition, its name, who may do
//! what with it, its machine and what was applied to that.
//!
//! Definitions are kept without passwords: references to them stay, anything else is hidden.

use std::collections::HashMap;

use enginehouse_documents::Config;
use enginehouse_model::{FullName, MachineRecord, MachineUid, NodeUid, OperationId, Timestamp};
use enginehouse_store::{Document, HistoryRow, Write};
use enginehouse_tree::{Before, Node, Tree};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::house::State;

/// Version of [`Entry`].
pub(crate) const HISTORY_VERSION: u16 = 1;

/// Who is said to have done what no operation did.
const HOST: &str = "host";

/// Why something is written.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub operation: Option<OperationId>,
    pub who: String,
    /// The kind of the operation.
    pub kind: String,
}

impl Default for Cause {
    fn default() -> Self {
        Self {
            operation: None,
            who: HOST.to_owned(),
            kind: HOST.to_owned(),
        }
    }
}

/// A value before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Both<T> {
    pub before: T,
    pub after: T,
}

/// The stored document: what one commit did to one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// `None` before: the node was made; after: it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<Both<Option<Value>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Both<FullName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Both<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineNote>,
    /// What the machine is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Config>,
}

/// A machine, as its record had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MachineNote {
    pub uid: MachineUid,
    /// The provider's; absent while its creation has not got so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Name of its hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    pub event: MachineEvent,
}

/// What happened to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MachineEvent {
    /// It is on record, with the id that the provider gave it.
    Linked,
    /// It was destroyed.
    Removed,
    /// It was found not to be there any more.
    Lost,
    /// What a deploy that failed had on record was never made.
    NeverMade,
    /// What an adoption that failed had on record is nobody's, as before.
    NotTaken,
}

impl MachineEvent {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Removed => "removed",
            Self::Lost => "lost",
            Self::NeverMade => "never-made",
            Self::NotTaken => "not-taken",
        }
    }
}

/// Entries of a commit that is being made.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    cause: Cause,
    notes: Vec<Note>,
    /// Place of the one of a node and an operation.
    places: HashMap<(NodeUid, Option<OperationId>), usize>,
}

#[derive(Debug)]
struct Note {
    node: NodeUid,
    name: FullName,
    cause: Cause,
    entry: Entry,
}

impl Notes {
    /// What is noted from here on is done by this.
    pub(crate) fn because(&mut self, cause: Cause) {
        self.cause = cause;
    }

    /// Why what is noted now is done.
    pub(crate) fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Notes what an edit did to nodes.
    pub(crate) fn nodes(&mut self, tree: &Tree, change: &enginehouse_tree::Change) {
        for before in change.before() {
            let now = tree.node(before.uid).ok();
            let entry = difference(tree, &before, now);
            let name = tree.full_name(before.uid).ok().or(before.full_name);
            if entry != Entry::default()
                && let Some(name) = name
            {
                let name = name.clone();
                self.push(before.uid, name, entry);
            }
        }
    }

    /// Notes what became of a machine.
    pub(crate) fn machine(&mut self, state: &State, record: &MachineRecord, event: MachineEvent) {
        let Ok(name) = state.tree.full_name(record.node) else {
            return;
        };
        let hypervisor = state.tree.hypervisor(record.hypervisor);
        let identity = record.identity.as_ref();
        let entry = Entry {
            machine: Some(MachineNote {
                uid: record.uid,
                machine_id: identity.map(|identity| identity.machine_id.clone()),
                hypervisor: hypervisor.map(|found| found.name.clone()),
                event,
            }),
            deployed: (event == MachineEvent::Linked).then(|| record.deployed.clone()),
            ..Entry::default()
        };
        self.push(record.node, name.clone(), entry);
    }

    /// One entry for a node and an operation, however often it was noted.
    fn push(&mut self, node: NodeUid, name: FullName, entry: Entry) {
        let key = (node, self.cause.operation);
        let place = *self.places.entry(key).or_insert(self.notes.len());
        let Some(note) = self.notes.get_mut(place) else {
            self.notes.push(Note {
                node,
                name,
                cause: self.cause.clone(),
                entry,
            });
            return;
        };
        note.name = name;
        let Entry {
            definition,
            name,
            grants,
            machine,
            deployed,
        } = entry;
        fn merge<T>(into: &mut Option<Both<T>>, later: Option<Both<T>>) {
            match (into.as_mut(), later) {
                (Some(into), Some(later)) => into.after = later.after,
                (None, Some(later)) => *into = Some(later),
                (_, None) => {}
            }
        }
        merge(&mut note.entry.definition, definition);
        merge(&mut note.entry.name, name);
        merge(&mut note.entry.grants, grants);
        note.entry.machine = machine.or(note.entry.machine.take());
        note.entry.deployed = deployed.or(note.entry.deployed.take());
    }

    /// The rows.
    pub(crate) fn into_writes(self, now: Timestamp) -> Vec<Write> {
        let rows = self.notes.into_iter().filter_map(|note| {
            match Document::of(HISTORY_VERSION, &note.entry) {
                Ok(document) => Some(Write::History(HistoryRow {
                    node: note.node.to_string(),
                    name: note.name.to_string(),
                    at: now,
                    operation: note.cause.operation,
                    who: note.cause.who,
                    kind: note.cause.kind,
                    document,
                })),
                // Our own types have text keys only; a value that cannot be written would be a bug.
                Err(error) => {
                    tracing::error!(%error, node = %note.node, "the history was not written");
                    None
                }
            }
        });
        rows.collect()
    }
}

/// What a person changed of a node. What the host records of it is noted with its machine.
fn difference(tree: &Tree, before: &Before<'_>, now: Option<&Node>) -> Entry {
    let definition = match (before.node, now) {
        (Some(was), Some(is)) if was.local == is.local => None,
        (was, is) => Some(Both {
            before: was.map(|node| node.local.redacted()),
            after: is.map(|node| node.local.redacted()),
        }),
    };
    let name = match (before.node, now) {
        (Some(was), Some(is)) if was.name != is.name || was.parent != is.parent => before
            .full_name
            .zip(tree.full_name(before.uid).ok())
            .map(|(was, is)| Both {
                before: was.clone(),
                after: is.clone(),
            }),
        _ => None,
    };
    let grants = match (before.node, now) {
        (Some(was), Some(is)) if was.grants != is.grants => {
            let document = |node: &Node| serde_json::to_value(&node.grants).unwrap_or_default();
            Some(Both {
                before: document(was),
                after: document(is),
            })
        }
        _ => None,
    };
    Entry {
        definition,
        name,
        grants,
        ..Entry::default()
    }
}
