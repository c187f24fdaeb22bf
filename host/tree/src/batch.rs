//! Many edits as one: what an import does.
//!
//! One edit after the other would compute a subtree as often as there are edits above it, and could
//! be refused for what the next edit puts right. So all of them are laid over the tree first, every
//! affected node is computed once, and nothing changes when any of it is wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use enginehouse_model::{FullName, HypervisorUid, NodeUid};
use thiserror::Error;
use uuid::Uuid;

use crate::cascade::compute;
use crate::change::Change;
use crate::computed::Computed;
use crate::definition::Definition;
use crate::edit::{hypervisor_uids, must_not_be_too_deep};
use crate::error::{EditError, LookupError};
use crate::node::Node;
use crate::origin::Origin;
use crate::state::{Event, Next, Status, next};
use crate::tree::{ComputedBelow, Tree};

/// More errors than this are not collected.
const ERRORS_KEPT: usize = 1_000;

/// One edit of many.
#[derive(Clone, Debug)]
pub enum NodeEdit {
    /// Makes a folder. What it lies in is there, or is made by an edit before this one.
    Folder {
        at: FullName,
        definition: Definition,
    },
    /// Makes a descriptor, in the same way.
    Descriptor {
        at: FullName,
        definition: Definition,
    },
    /// As [`Tree::set_definition`].
    Define {
        node: NodeUid,
        definition: Definition,
    },
    /// As [`Tree::apply_reconfigure`]: to see what a reconfigure will be.
    Reconfigure {
        node: NodeUid,
        definition: Definition,
    },
    /// Removes a provisioned descriptor without a machine on record, or a folder that holds nothing
    /// after all edits.
    Remove { node: NodeUid },
}

/// Why many edits were refused: all reasons that there are, at least one. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{}", join(.0))]
pub struct BatchErrors(pub Vec<EditError>);

impl From<EditError> for BatchErrors {
    fn from(error: EditError) -> Self {
        Self(vec![error])
    }
}

fn join(errors: &[EditError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl Tree {
    /// Carries out all edits or none.
    ///
    /// # Errors
    /// Those of the single edits and of what they come to together.
    pub fn apply_all(
        &mut self,
        edits: Vec<NodeEdit>,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, BatchErrors> {
        let mut overlay = Overlay::new(self);
        for edit in edits {
            if let Err(error) = overlay.lay(edit, uids) {
                overlay.note(error);
            }
        }
        overlay.check_removed();
        let computed = overlay.compute();
        let Overlay {
            changed,
            removed,
            hypervisors_removed,
            errors,
            ..
        } = overlay;
        if !errors.is_empty() {
            return Err(BatchErrors(errors));
        }
        let mut change = Change::default();
        let mut append = |later: Change| {
            change.written.extend(later.written);
            change.removed.extend(later.removed);
            change.hypervisors_removed.extend(later.hypervisors_removed);
            change.steps.extend(later.steps);
        };
        // What is in a folder goes before the folder.
        for uid in self.deepest_first(&removed) {
            append(self.remove(uid));
        }
        let mut changed = changed;
        for (uid, computed) in computed {
            self.computations += computed.len() as u64;
            if let Some(node) = changed.remove(&uid) {
                append(self.install(node, computed, Vec::new()));
            }
        }
        change.hypervisors_removed.extend(hypervisors_removed);
        Ok(change)
    }

    fn deepest_first(&self, uids: &HashSet<NodeUid>) -> Vec<NodeUid> {
        let mut named: Vec<(&FullName, NodeUid)> = uids
            .iter()
            .filter_map(|uid| Some((self.full_name(*uid).ok()?, *uid)))
            .collect();
        named.sort_by(|a, b| b.cmp(a));
        named.into_iter().map(|(_, uid)| uid).collect()
    }
}

/// The tree with edits laid over it.
struct Overlay<'t> {
    tree: &'t Tree,
    /// Nodes that are made or written.
    changed: HashMap<NodeUid, Node>,
    /// Those of them that are made, and what they are called.
    made: HashMap<FullName, NodeUid>,
    /// Parent -> name -> child, of nodes that are made.
    children: HashMap<NodeUid, BTreeMap<String, NodeUid>>,
    removed: HashSet<NodeUid>,
    hypervisors_removed: Vec<HypervisorUid>,
    errors: Vec<EditError>,
}

impl<'t> Overlay<'t> {
    fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            changed: HashMap::new(),
            made: HashMap::new(),
            children: HashMap::new(),
            removed: HashSet::new(),
            hypervisors_removed: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn note(&mut self, error: EditError) {
        if self.errors.len() < ERRORS_KEPT {
            self.errors.push(error);
        }
    }

    fn lay(&mut self, edit: NodeEdit, uids: &mut dyn FnMut() -> Uuid) -> Result<(), EditError> {
        match edit {
            NodeEdit::Folder { at, definition } => self.make(at, definition, Node::folder, uids),
            NodeEdit::Descriptor { at, definition } => {
                self.make(at, definition, Node::descriptor, uids)
            }
            NodeEdit::Define { node, definition } => {
                self.tree.must_be_provisioned(node, "definition")?;
                self.define(node, definition, uids)
            }
            NodeEdit::Reconfigure { node, definition } => {
                if self.tree.descriptor(node)?.status == Status::Provisioned {
                    let name = self.tree.full_name(node)?.clone();
                    return Err(EditError::NothingToReconfigure(name));
                }
                self.define(node, definition, uids)
            }
            NodeEdit::Remove { node } => self.remove(node),
        }
    }

    fn make(
        &mut self,
        at: FullName,
        definition: Definition,
        node: fn(NodeUid, NodeUid, &str) -> Node,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<(), EditError> {
        let Some(above) = at.parent() else {
            return Err(EditError::Exists(at));
        };
        must_not_be_too_deep(std::iter::once(&at))?;
        let parent = match self.made.get(&above) {
            Some(made) => *made,
            None => self.tree.find(&above)?,
        };
        let is_folder = match self.changed.get(&parent) {
            Some(changed) => changed.is_folder(),
            None => self.tree.node(parent)?.is_folder(),
        };
        if !is_folder {
            return Err(LookupError::Descriptor(above).into());
        }
        let taken = self
            .tree
            .entries
            .get(&parent)
            .and_then(|entry| entry.children.get(at.name()))
            .is_some_and(|holder| !self.removed.contains(holder));
        let uid = NodeUid::from_uuid(uids());
        let siblings = self.children.entry(parent).or_default();
        if taken || siblings.contains_key(at.name()) {
            return Err(EditError::Exists(at));
        }
        siblings.insert(at.name().to_owned(), uid);
        let mut node = node(uid, parent, at.name());
        node.hypervisor_uids = hypervisor_uids(&BTreeMap::new(), &definition, uids);
        node.local = definition;
        self.made.insert(at, uid);
        self.changed.insert(uid, node);
        Ok(())
    }

    fn define(
        &mut self,
        uid: NodeUid,
        definition: Definition,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<(), EditError> {
        if self.removed.contains(&uid) {
            return Err(LookupError::Gone(uid).into());
        }
        let before = self.tree.node(uid)?;
        if before.local == definition {
            return Ok(());
        }
        let mut node = before.clone();
        node.hypervisor_uids = hypervisor_uids(&node.hypervisor_uids, &definition, uids);
        node.local = definition;
        node.revision += 1;
        let gone = self.tree.removed_hypervisors(&node)?;
        self.hypervisors_removed.extend(gone);
        self.changed.insert(uid, node);
        Ok(())
    }

    fn remove(&mut self, uid: NodeUid) -> Result<(), EditError> {
        let entry = self.tree.entry(uid)?;
        if entry.node.is_root() {
            return Err(EditError::Root("removed"));
        }
        if let Some(body) = entry.node.body() {
            match next(body.status, body.machine.is_some(), Event::Deprovision) {
                Ok(Next::Gone) => {}
                // The table has no other end of this event.
                Ok(Next::Is(_)) => return Err(LookupError::Gone(uid).into()),
                Err(refused) => {
                    return Err(EditError::State {
                        node: entry.computed.full_name().clone(),
                        refused,
                    });
                }
            }
        }
        self.changed.remove(&uid);
        self.removed.insert(uid);
        Ok(())
    }

    /// Folders that are removed must have become empty.
    fn check_removed(&mut self) {
        let mut errors = Vec::new();
        for uid in &self.removed {
            let Some(entry) = self.tree.entries.get(uid) else {
                continue;
            };
            let mut left: Vec<&String> = entry
                .children
                .iter()
                .filter(|(_, child)| !self.removed.contains(child))
                .map(|(name, _)| name)
                .chain(self.children.get(uid).into_iter().flat_map(BTreeMap::keys))
                .collect();
            left.sort();
            if let Some(first) = left.first() {
                errors.push(EditError::NotEmpty {
                    folder: entry.computed.full_name().clone(),
                    count: left.len(),
                    first: (*first).clone(),
                });
            }
        }
        for error in errors {
            self.note(error);
        }
    }

    /// Computes every affected node once: parents first, each edited node with those below it that
    /// were not edited.
    fn compute(&mut self) -> Vec<(NodeUid, ComputedBelow)> {
        let mut made: Vec<(NodeUid, ComputedBelow)> = Vec::with_capacity(self.changed.len());
        let mut errors = Vec::new();
        for top in self.tops() {
            let Some(parent) = self.above(top) else {
                continue;
            };
            // Each node with its parent's computed definition and the place of the edited node that
            // it is computed for.
            let mut next: Vec<(NodeUid, Option<Arc<Computed>>, usize)> = vec![(top, parent, 0)];
            while let Some((uid, parent, group)) = next.pop() {
                let Some(node) = self.node(uid) else { continue };
                let full_name = match &parent {
                    None => Ok(FullName::root()),
                    Some(parent) => parent.full_name().child(&node.name),
                };
                let full_name = match full_name {
                    Ok(full_name) => full_name,
                    Err(source) => {
                        errors.push(EditError::Name {
                            name: node.name.chars().take(80).collect(),
                            source,
                        });
                        continue;
                    }
                };
                let here = Origin::at(uid, full_name.clone());
                match compute(node, here, parent.as_deref()) {
                    Ok(computed) => {
                        let computed = Arc::new(computed);
                        let group = if self.changed.contains_key(&uid) {
                            made.push((uid, Vec::new()));
                            made.len() - 1
                        } else {
                            group
                        };
                        next.extend(
                            self.children_of(uid)
                                .into_iter()
                                .rev()
                                .map(|child| (child, Some(Arc::clone(&computed)), group)),
                        );
                        if let Some((_, below)) = made.get_mut(group) {
                            below.push((uid, computed));
                        }
                    }
                    Err(problems) => errors.push(EditError::Unresolved {
                        node: full_name,
                        problems,
                    }),
                }
            }
        }
        if errors.is_empty() {
            let checked = made.iter().filter_map(|(uid, computed)| {
                let node = self.changed.get(uid)?;
                self.tree.check_settings(node, computed).err()
            });
            errors.extend(checked);
        }
        for error in errors {
            self.note(error);
        }
        made
    }

    /// Edited nodes that are not below another edited node.
    fn tops(&self) -> Vec<NodeUid> {
        let mut tops: Vec<NodeUid> = self
            .changed
            .values()
            .filter(|node| {
                let mut parent = node.parent;
                while let Some(uid) = parent {
                    if self.changed.contains_key(&uid) {
                        return false;
                    }
                    parent = self
                        .tree
                        .entries
                        .get(&uid)
                        .and_then(|entry| entry.node.parent);
                }
                true
            })
            .map(|node| node.uid)
            .collect();
        // In an order that does not depend on how a map is laid out.
        tops.sort();
        tops
    }

    /// What the parent of a top computes to; `Some(None)` for the root.
    fn above(&self, top: NodeUid) -> Option<Option<Arc<Computed>>> {
        match self.changed.get(&top)?.parent {
            None => Some(None),
            Some(parent) => {
                let entry = self.tree.entries.get(&parent)?;
                Some(Some(Arc::clone(&entry.computed)))
            }
        }
    }

    fn node(&self, uid: NodeUid) -> Option<&Node> {
        self.changed
            .get(&uid)
            .or_else(|| Some(&*self.tree.entries.get(&uid)?.node))
    }

    fn children_of(&self, uid: NodeUid) -> Vec<NodeUid> {
        let there = self.tree.entries.get(&uid).into_iter();
        let there = there.flat_map(|entry| entry.children.values());
        let made = self.children.get(&uid).into_iter();
        there
            .filter(|child| !self.removed.contains(child))
            .chain(made.flat_map(BTreeMap::values))
            .copied()
            .collect()
    }
}
