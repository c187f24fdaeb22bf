//! Events as they are decided.

use enginehouse_api::{NodeEvent, NodeKind, Operation};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_queue::Operation as Queued;
use enginehouse_tree::{Change, Tree};
use serde::Serialize;

use crate::house::State;

/// So many nodes of one commit are told one by one; more are a gap: whoever listens reads the tree.
const NODES_MAX: usize = 500;

/// An event without a number.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// `operation` or `node`.
    pub kind: &'static str,
    /// What it is about, for who asks whether somebody may see it.
    pub node: Option<NodeUid>,
    pub path: FullName,
    /// JSON.
    pub data: String,
}

impl Draft {
    pub(crate) fn new(
        kind: &'static str,
        node: Option<NodeUid>,
        path: &FullName,
        data: &impl Serialize,
    ) -> Self {
        Self {
            kind,
            node,
            path: path.clone(),
            // Our own types have text keys only.
            data: serde_json::to_string(data).unwrap_or_default(),
        }
    }

    /// An operation as a list has it.
    pub(crate) fn operation(view: &Operation) -> Self {
        if view.steps.is_empty() && view.children.is_empty() {
            return Self::new("operation", view.node, &view.path, view);
        }
        let mut view = view.clone();
        view.steps.clear();
        view.children.clear();
        Self::new("operation", view.node, &view.path, &view)
    }

    /// An operation of the queue as it is now.
    pub(crate) fn queued(state: &State, operation: &Queued) -> Self {
        Self::operation(&crate::view::operation(state, operation, false))
    }

    /// The nodes that an edit changed; `None`: too many to tell.
    pub(crate) fn nodes(tree: &Tree, change: &Change) -> Option<Vec<Self>> {
        if change.written.len() + change.removed.len() > NODES_MAX {
            return None;
        }
        let mut drafts = Vec::new();
        for before in change.before() {
            let path = tree.full_name(before.uid).ok();
            // Who reads the old place alone hears that it is no longer there.
            if let Some(was) = before.full_name.filter(|was| Some(*was) != path) {
                let gone = NodeEvent {
                    node: before.uid,
                    path: was.clone(),
                    kind: None,
                    status: None,
                    revision: None,
                    removed: true,
                };
                drafts.push(Self::new("node", None, was, &gone));
            }
        }
        for uid in &change.written {
            let (Ok(node), Ok(path)) = (tree.node(*uid), tree.full_name(*uid)) else {
                continue;
            };
            let kind = if node.is_folder() {
                NodeKind::Folder
            } else {
                NodeKind::Descriptor
            };
            let event = NodeEvent {
                node: *uid,
                path: path.clone(),
                kind: Some(kind),
                status: node.body().map(|body| crate::rest::status(body.status)),
                revision: Some(node.revision),
                removed: false,
            };
            drafts.push(Self::new("node", Some(*uid), path, &event));
        }
        Some(drafts)
    }
}
