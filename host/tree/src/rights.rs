//! Grants in the tree: what they add up to for a node, and how they are changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use enginehouse_model::NodeUid;

use crate::access::{Grants, Permission, Permissions, Role, Subject};
use crate::change::Change;
use crate::error::{EditError, LookupError};
use crate::node::Node;
use crate::tree::Tree;

/// A role that a subject has on a node, and the node that gives it: that one or a folder above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub role: Role,
    pub from: NodeUid,
}

impl Tree {
    /// What a subject may do with a node: the union of what is granted to it there and on the folders
    /// above. Costs the depth of the node.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn permissions(
        &self,
        subject: &Subject,
        node: NodeUid,
    ) -> Result<Permissions, LookupError> {
        self.entry(node)?;
        if subject.is_installation() {
            return Ok(Permissions::ALL);
        }
        let roles = self
            .with_folders_above(node)
            .filter_map(|node| node.grants.get(subject))
            .flatten();
        Ok(roles.fold(Permissions::NONE, |all, role| all.and(role.permissions())))
    }

    /// What is granted on the node itself.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn grants_on(&self, node: NodeUid) -> Result<&Grants, LookupError> {
        self.node(node).map(|node| &node.grants)
    }

    /// Everyone who may do something with a node, each with the roles and the nodes that give them,
    /// the nearest first. The installation's own subject is not among them.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn subjects_with_rights(
        &self,
        node: NodeUid,
    ) -> Result<BTreeMap<Subject, Vec<Right>>, LookupError> {
        self.entry(node)?;
        let mut all: BTreeMap<Subject, Vec<Right>> = BTreeMap::new();
        for node in self.with_folders_above(node) {
            for (subject, roles) in &node.grants {
                let rights = roles.iter().map(|role| Right {
                    role: *role,
                    from: node.uid,
                });
                all.entry(subject.clone()).or_default().extend(rights);
            }
        }
        Ok(all)
    }

    /// Whom to ask for a permission on a node: those who could grant it, at most `most` of them, the
    /// nearest first.
    #[must_use]
    pub fn may_grant(&self, node: NodeUid, most: usize) -> Vec<Subject> {
        let mut found: Vec<Subject> = Vec::new();
        for node in self.with_folders_above(node) {
            for (subject, roles) in &node.grants {
                let grants = roles
                    .iter()
                    .any(|role| role.permissions().allow(Permission::Govern));
                if grants && !found.contains(subject) {
                    found.push(subject.clone());
                    if found.len() >= most {
                        return found;
                    }
                }
            }
        }
        found
    }

    /// Whether a subject has any grant in the tree.
    #[must_use]
    pub fn has_grants(&self, subject: &Subject) -> bool {
        subject.is_installation() || self.granted.contains_key(subject)
    }

    /// The nodes that grant something to a subject, in no order that means anything.
    pub fn granted_to(&self, subject: &Subject) -> impl Iterator<Item = NodeUid> {
        self.granted.get(subject).into_iter().flatten().copied()
    }

    /// The folders above what a subject was granted something on: the way there, of which it sees the
    /// names and nothing else unless it may read them as well.
    #[must_use]
    pub fn ways(&self, subject: &Subject) -> HashSet<NodeUid> {
        let mut ways = HashSet::new();
        for granted in self.granted_to(subject) {
            for above in self.with_folders_above(granted).skip(1) {
                // What is above a way was taken in with it.
                if !ways.insert(above.uid) {
                    break;
                }
            }
        }
        ways
    }

    /// Writes what is granted on a node, in place of what was. No definition changes: nothing is
    /// computed, and the revision stays.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn set_grants(&mut self, uid: NodeUid, mut grants: Grants) -> Result<Change, EditError> {
        grants.retain(|_, roles| !roles.is_empty());
        let entry = self.entries.get_mut(&uid).ok_or(LookupError::Gone(uid))?;
        if entry.node.grants == grants {
            return Ok(Change::default());
        }
        let before = Arc::clone(&entry.node);
        Arc::make_mut(&mut entry.node).grants = grants;
        let after = Arc::clone(&entry.node);
        self.forget_grants(&before);
        self.note_grants(&after);
        Ok(Change::of_one(uid, before))
    }

    /// Notes who was granted something on a node that comes into the tree.
    pub(crate) fn note_grants(&mut self, node: &Node) {
        for subject in node.grants.keys() {
            match self.granted.get_mut(subject) {
                Some(nodes) => {
                    nodes.insert(node.uid);
                }
                None => {
                    let nodes = BTreeSet::from([node.uid]);
                    self.granted.insert(subject.clone(), nodes);
                }
            }
        }
    }

    /// Takes that back for a node that leaves it.
    pub(crate) fn forget_grants(&mut self, node: &Node) {
        for subject in node.grants.keys() {
            if let Some(nodes) = self.granted.get_mut(subject) {
                nodes.remove(&node.uid);
                if nodes.is_empty() {
                    self.granted.remove(subject);
                }
            }
        }
    }

    /// The node and the folders above it, the nearest first.
    fn with_folders_above(&self, node: NodeUid) -> impl Iterator<Item = &Node> {
        let mut next = Some(node);
        std::iter::from_fn(move || {
            let node = &*self.entries.get(&next?)?.node;
            next = node.parent;
            Some(node)
        })
    }
}
