//! Where people have said that the host is to do nothing by itself.
//!
//! A pause holds for a folder and all below it. It is of repairs and of following alone: what differs is
//! found and shown, and what people order is done.

use std::collections::BTreeMap;

use enginehouse_api::Paused;
use enginehouse_audit::Action;
use enginehouse_model::{FullName, NodeUid, Timestamp};
use enginehouse_store::{DocumentError, Row, Table, Write};
use enginehouse_tree::Tree;
use serde::{Deserialize, Serialize};

use crate::audit::Note;
use crate::house::{Staged, State};

/// Where the rows are among the settings.
const PREFIX: &str = "pause/";
/// Of a database that a host has served which repairs.
const KNOWN: &str = "repairs";
const VERSION: u16 = 1;

/// A pause, written on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub since: Timestamp,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    on: BTreeMap<NodeUid, Pause>,
    /// The database was served before by a host that repairs.
    is_known: bool,
}

/// A pause that holds for a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holds<'p> {
    pub at: NodeUid,
    pub pause: &'p Pause,
}

impl Holds<'_> {
    /// For what is not done because of it.
    pub(crate) fn reason(&self, tree: &Tree) -> String {
        let at = tree.full_name(self.at).map(ToString::to_string);
        let at = at.unwrap_or_default();
        let reason = self.pause.reason.as_deref();
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        format!("it is paused at {at} by {}{reason}", self.pause.by)
    }

    pub(crate) fn view(&self, tree: &Tree) -> Option<Paused> {
        Some(Paused {
            at: tree.full_name(self.at).ok()?.clone(),
            since: self.pause.since,
            by: self.pause.by.clone(),
            reason: self.pause.reason.clone(),
        })
    }
}

impl Pauses {
    /// What is stored.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub(crate) fn load(meta: &[Row]) -> Result<Self, DocumentError> {
        let mut pauses = Self::default();
        for row in meta {
            if row.key == KNOWN {
                pauses.is_known = true;
            }
            let node = row.key.strip_prefix(PREFIX).map(str::parse::<NodeUid>);
            if let Some(Ok(node)) = node {
                pauses.on.insert(node, row.document.read()?);
            }
        }
        Ok(pauses)
    }

    /// The pause that holds for a node: its own, or that of the nearest folder above.
    pub(crate) fn of(&self, tree: &Tree, node: NodeUid) -> Option<Holds<'_>> {
        if self.on.is_empty() {
            return None;
        }
        let mut at = Some(node);
        while let Some(uid) = at {
            if let Some(pause) = self.on.get(&uid) {
                return Some(Holds { at: uid, pause });
            }
            at = tree.node(uid).ok()?.parent;
        }
        None
    }

    /// Whether one is written on this very node.
    pub(crate) fn is_on(&self, node: NodeUid) -> bool {
        self.on.contains_key(&node)
    }
}

/// Pauses a node and all below it.
pub(crate) fn pause(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    path: &FullName,
    pause: Pause,
) {
    let mut note = Note::new(Action::Pause, &pause.by).about(Some(node), path);
    if let Some(reason) = &pause.reason {
        note = note.with("reason", reason);
    }
    staged.audit.push(note);
    staged.put(Table::Meta, format!("{PREFIX}{node}"), VERSION, &pause);
    state.pauses.on.insert(node, pause);
}

/// Takes the pause of a node away; answers whether there was one.
pub(crate) fn resume(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    path: &FullName,
    who: &str,
) -> bool {
    if state.pauses.on.remove(&node).is_none() {
        return false;
    }
    let note = Note::new(Action::Unpause, who).about(Some(node), path);
    staged.audit.push(note);
    staged.writes.push(Write::Delete {
        table: Table::Meta,
        key: format!("{PREFIX}{node}"),
    });
    true
}

/// At the start. A host that never repaired has let machines drift that nobody expects to be changed
/// now: where there are some, nothing is repaired until a person has looked. Nodes that are gone are
/// forgotten.
pub(crate) fn begin(state: &mut State, staged: &mut Staged, now: Timestamp) {
    let gone = state.pauses.on.keys().copied();
    let gone: Vec<NodeUid> = gone
        .filter(|node| state.tree.node(*node).is_err())
        .collect();
    for node in gone {
        state.pauses.on.remove(&node);
        staged.writes.push(Write::Delete {
            table: Table::Meta,
            key: format!("{PREFIX}{node}"),
        });
    }
    if std::mem::replace(&mut state.pauses.is_known, true) {
        return;
    }
    staged.put(Table::Meta, KNOWN.to_owned(), VERSION, &now);
    if state.records.is_empty() {
        return;
    }
    let root = state.tree.root();
    tracing::warn!(
        "this host repairs drift, and none did before: paused at / until `enginehouse resume /`"
    );
    let by_host = Pause {
        since: now,
        by: "host".to_owned(),
        reason: Some(
            "the host was upgraded to one that repairs drift: look at `enginehouse drift`, then `enginehouse resume /`"
                .to_owned(),
        ),
    };
    pause(state, staged, root, &FullName::root(), by_host);
}
