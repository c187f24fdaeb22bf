//! What an edit did, and how it is taken back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use enginehouse_model::{FullName, HypervisorUid, NodeUid};

use crate::computed::Computed;
use crate::error::EditError;
use crate::node::Node;
use crate::tree::{Entry, Tree};

/// What an edit did: which nodes to write to the store and which to remove from it. Empty when the
/// edit changed nothing.
#[derive(Clone, Debug, Default)]
#[must_use = "what an edit changed must be written to the store"]
pub struct Change {
    pub written: Vec<NodeUid>,
    pub removed: Vec<NodeUid>,
    /// Hypervisor entries that are no more.
    pub hypervisors_removed: Vec<HypervisorUid>,
    /// What was there before, for [`Tree::revert`] and [`Tree::preview`].
    pub(crate) steps: Vec<Step>,
}

/// A node before an edit.
#[derive(Clone, Copy, Debug)]
pub struct Before<'c> {
    pub uid: NodeUid,
    /// `None`: it was not there.
    pub node: Option<&'c Node>,
    /// Absent also where neither the name nor the definition changed.
    pub full_name: Option<&'c FullName>,
    /// What resulted from inheritance for it; absent as `full_name` is.
    pub computed: Option<&'c Computed>,
}

/// One node that was put, changed or removed, and what it takes to undo that.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) uid: NodeUid,
    /// The node as it was; `None`: it was not there.
    pub(crate) node: Option<Arc<Node>>,
    /// Each computed definition that was made anew, as it was; `None`: there was none.
    pub(crate) computed: Vec<(NodeUid, Option<Arc<Computed>>)>,
    /// The edit and the one before it. What changed only what the host or a grant records of a node
    /// has none: nothing is computed, so it can be undone by itself.
    pub(crate) edit: Option<(u64, u64)>,
}

impl Change {
    /// This change and a later one as one.
    pub fn and(mut self, later: Self) -> Self {
        for uid in later.written {
            if !self.written.contains(&uid) {
                self.written.push(uid);
            }
        }
        self.written.retain(|uid| !later.removed.contains(uid));
        self.removed.extend(later.removed);
        self.hypervisors_removed.extend(later.hypervisors_removed);
        self.steps.extend(later.steps);
        self
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }

    /// Each node that was put, changed or removed, as it was before all of it.
    #[must_use]
    pub fn before(&self) -> Vec<Before<'_>> {
        let mut seen = HashSet::new();
        self.steps
            .iter()
            .filter(|step| seen.insert(step.uid))
            .map(|step| {
                let mut computed = step.computed.iter();
                let computed = computed
                    .find(|(uid, _)| *uid == step.uid)
                    .and_then(|(_, computed)| computed.as_deref());
                Before {
                    uid: step.uid,
                    node: step.node.as_deref(),
                    full_name: computed.map(Computed::full_name),
                    computed,
                }
            })
            .collect()
    }

    /// One node was changed in place, in something that is not inherited by definitions.
    pub(crate) fn of_one(uid: NodeUid, before: Arc<Node>) -> Self {
        Self {
            written: vec![uid],
            steps: vec![Step {
                uid,
                node: Some(before),
                computed: Vec::new(),
                edit: None,
            }],
            ..Self::default()
        }
    }
}

impl Tree {
    /// Takes the latest change back: the tree is what it was before, and nothing is computed for it.
    ///
    /// # Errors
    /// When the tree was edited since; then nothing is taken back.
    pub fn revert(&mut self, change: Change) -> Result<(), EditError> {
        let mut latest = self.edit;
        for (edit, before) in change.steps.iter().rev().filter_map(|step| step.edit) {
            if edit != latest {
                return Err(EditError::NotTheLatest);
            }
            latest = before;
        }
        for step in change.steps.into_iter().rev() {
            self.undo(step);
        }
        Ok(())
    }

    fn undo(&mut self, step: Step) {
        let Step {
            uid,
            node,
            computed,
            edit,
        } = step;
        if let Some(entry) = self.entries.get(&uid) {
            let now = Arc::clone(&entry.node);
            self.detach(&now);
        }
        match node {
            None => {
                self.entries.remove(&uid);
            }
            Some(node) => {
                self.attach(&node);
                if let Some(entry) = self.entries.get_mut(&uid) {
                    entry.node = node;
                } else if let Some((_, Some(computed))) = computed.first() {
                    // It was removed, so it had no children.
                    let entry = Entry {
                        node,
                        children: BTreeMap::new(),
                        computed: Arc::clone(computed),
                    };
                    self.entries.insert(uid, entry);
                }
            }
        }
        for (uid, computed) in computed {
            if let (Some(entry), Some(computed)) = (self.entries.get_mut(&uid), computed) {
                entry.computed = computed;
            }
        }
        if let Some((_, before)) = edit {
            self.edit = before;
        }
    }

    /// The number of an edit that is being made, and of the one before it.
    pub(crate) fn next_edit(&mut self) -> Option<(u64, u64)> {
        self.edits += 1;
        Some((self.edits, std::mem::replace(&mut self.edit, self.edits)))
    }
}
