//! All nodes together: loading and looking up. Edits are in `edit`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enginehouse_model::{FullName, HypervisorUid, MachineUid, NodeUid};

use crate::access::Subject;
use crate::by_uid::{ByUid, with_room};
use crate::cascade::compute;
use crate::computed::{Computed, ResolvedHypervisor};
use crate::error::{LoadError, LookupError};
use crate::nearest::nearest;
use crate::node::{DescriptorBody, Node};
use crate::origin::Origin;
use crate::resolve::ResolveError;
use crate::settings::EngineSettings;
use crate::state::Status;

/// More than this many names that do not resolve are not collected.
const PROBLEMS_KEPT: usize = 100;

/// The tree of folders and descriptors, with the computed definition of each.
#[derive(Debug)]
pub struct Tree {
    pub(crate) root: NodeUid,
    pub(crate) entries: ByUid<NodeUid, Entry>,
    pub(crate) hypervisors: ByUid<HypervisorUid, NodeUid>,
    /// Where each subject was granted something.
    pub(crate) granted: BTreeMap<Subject, BTreeSet<NodeUid>>,
    pub(crate) computations: u64,
    pub(crate) engine_settings: Option<Arc<dyn EngineSettings>>,
    /// Edits so far, also those taken back; and the latest that was not.
    pub(crate) edits: u64,
    pub(crate) edit: u64,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) node: Arc<Node>,
    /// Name -> child, in the order of names.
    pub(crate) children: BTreeMap<String, NodeUid>,
    pub(crate) computed: Arc<Computed>,
}

/// A subtree's computed definitions, parents first.
pub(crate) type ComputedBelow = Vec<(NodeUid, Arc<Computed>)>;

impl Tree {
    /// A tree out of its nodes, in any order.
    ///
    /// # Errors
    /// When they are no tree, or a definition names what is not there.
    pub fn load(nodes: Vec<Node>) -> Result<Self, LoadError> {
        let mut root = None;
        let mut all: ByUid<NodeUid, Arc<Node>> = with_room(nodes.len());
        for node in nodes {
            if node.is_root() {
                match root {
                    None => root = Some(node.uid),
                    Some(other) => return Err(LoadError::TwoRoots(other, node.uid)),
                }
                if !node.is_folder() {
                    return Err(LoadError::RootIsNoFolder);
                }
            }
            if let Some(node) = all.insert(node.uid, Arc::new(node)) {
                return Err(LoadError::Twice(node.uid));
            }
        }
        let root = root.ok_or(LoadError::NoRoot)?;
        let mut below: ByUid<NodeUid, BTreeMap<String, NodeUid>> = ByUid::default();
        for node in all.values() {
            let Some(parent) = node.parent else { continue };
            if !all.get(&parent).is_some_and(|parent| parent.is_folder()) {
                return Err(no_parent(node, parent));
            }
            let siblings = below.entry(parent).or_default();
            if siblings.insert(node.name.clone(), node.uid).is_some() {
                return Err(LoadError::SameName {
                    parent,
                    name: node.name.clone(),
                });
            }
        }
        let mut tree = Self {
            root,
            entries: with_room(all.len()),
            hypervisors: ByUid::default(),
            granted: BTreeMap::new(),
            computations: 0,
            engine_settings: None,
            edits: 0,
            edit: 0,
        };
        let mut problems = Vec::new();
        let mut next: Vec<(NodeUid, Option<Arc<Computed>>)> = vec![(root, None)];
        while let Some((uid, parent)) = next.pop() {
            let Some(node) = all.remove(&uid) else {
                continue;
            };
            let full_name = match &parent {
                None => FullName::root(),
                Some(parent) => parent
                    .full_name()
                    .child(&node.name)
                    .map_err(|source| LoadError::Name { uid, source })?,
            };
            tree.computations += 1;
            let here = Origin::at(uid, full_name);
            match compute(&node, here, parent.as_deref()) {
                Ok(computed) => {
                    let computed = Arc::new(computed);
                    let children = below.remove(&uid).unwrap_or_default();
                    for child in children.values() {
                        next.push((*child, Some(Arc::clone(&computed))));
                    }
                    for hypervisor in node.hypervisor_uids.values() {
                        tree.hypervisors.insert(*hypervisor, uid);
                    }
                    tree.note_grants(&node);
                    tree.entries.insert(
                        uid,
                        Entry {
                            node,
                            children,
                            computed,
                        },
                    );
                }
                Err(found) if problems.len() < PROBLEMS_KEPT => problems.extend(found),
                Err(_) => {}
            }
        }
        if !problems.is_empty() {
            return Err(LoadError::Unresolved(problems));
        }
        // What was not reached from the root hangs in a ring.
        if let Some(node) = all.into_values().next() {
            let parent = node.parent.unwrap_or(node.uid);
            return Err(no_parent(&node, parent));
        }
        Ok(tree)
    }

    /// Uid of the root folder.
    #[must_use]
    pub fn root(&self) -> NodeUid {
        self.root
    }

    /// How many nodes there are, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing but the root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.len() <= 1
    }

    /// How many computed definitions were made since the tree was loaded, loading included: what an
    /// edit costs.
    #[must_use]
    pub fn computations(&self) -> u64 {
        self.computations
    }

    /// All nodes in no order: what the store holds.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.entries.values().map(|entry| &*entry.node)
    }

    pub(crate) fn entry(&self, uid: NodeUid) -> Result<&Entry, LookupError> {
        self.entries.get(&uid).ok_or(LookupError::Gone(uid))
    }

    /// # Errors
    /// When it is not in the tree.
    pub fn node(&self, uid: NodeUid) -> Result<&Node, LookupError> {
        self.entry(uid).map(|entry| &*entry.node)
    }

    /// # Errors
    /// When it is not in the tree.
    pub fn full_name(&self, uid: NodeUid) -> Result<&FullName, LookupError> {
        self.entry(uid).map(|entry| entry.computed.full_name())
    }

    /// The computed definition, as the last edit left it.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn computed(&self, uid: NodeUid) -> Result<Arc<Computed>, LookupError> {
        self.entry(uid).map(|entry| Arc::clone(&entry.computed))
    }

    /// What the host records of a descriptor.
    ///
    /// # Errors
    /// When there is no such descriptor.
    pub fn descriptor(&self, uid: NodeUid) -> Result<&DescriptorBody, LookupError> {
        let entry = self.entry(uid)?;
        entry
            .node
            .body()
            .ok_or_else(|| LookupError::Folder(entry.computed.full_name().clone()))
    }

    /// The machine of a deployed or unreachable descriptor.
    ///
    /// # Errors
    /// When it is provisioned: then there is none, also where a failed deploy left one on record
    /// (see [`DescriptorBody::machine`]).
    pub fn machine(&self, uid: NodeUid) -> Result<MachineUid, LookupError> {
        let body = self.descriptor(uid)?;
        match (body.status, body.machine) {
            (Status::Deployed | Status::Unreachable, Some(machine)) => Ok(machine),
            (Status::Provisioned, _) | (_, None) => {
                Err(LookupError::NoMachine(self.full_name(uid)?.clone()))
            }
        }
    }

    /// # Errors
    /// When there is no node of that name, with the nearest there is.
    pub fn find(&self, name: &FullName) -> Result<NodeUid, LookupError> {
        let mut uid = self.root;
        for segment in name.segments() {
            let entry = self.entry(uid)?;
            let Some(child) = entry.children.get(segment) else {
                let near = nearest(segment, entry.children.keys().map(String::as_str))
                    .and_then(|near| entry.computed.full_name().child(near).ok());
                return Err(LookupError::NotFound {
                    name: name.clone(),
                    within: entry.computed.full_name().clone(),
                    nearest: near,
                });
            };
            uid = *child;
        }
        Ok(uid)
    }

    /// Children in the order of their names.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn children(&self, uid: NodeUid) -> Result<impl Iterator<Item = &Node>, LookupError> {
        let entry = self.entry(uid)?;
        Ok(entry
            .children
            .values()
            .filter_map(|child| self.entries.get(child))
            .map(|entry| &*entry.node))
    }

    /// The node and all below it: each folder before what it holds, siblings by name.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn walk(&self, uid: NodeUid) -> Result<impl Iterator<Item = &Node>, LookupError> {
        self.entry(uid)?;
        let mut next = vec![uid];
        Ok(std::iter::from_fn(move || {
            let entry = self.entries.get(&next.pop()?)?;
            next.extend(entry.children.values().rev());
            Some(&*entry.node)
        }))
    }

    /// Descriptors below a folder in the order of [`Tree::walk`]; of a descriptor, itself.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn descriptors(&self, uid: NodeUid) -> Result<impl Iterator<Item = &Node>, LookupError> {
        Ok(self.walk(uid)?.filter(|node| !node.is_folder()))
    }

    /// A hypervisor entry, wherever it is defined.
    #[must_use]
    pub fn hypervisor(&self, uid: HypervisorUid) -> Option<&ResolvedHypervisor> {
        let entry = self.entries.get(self.hypervisors.get(&uid)?)?;
        let hypervisors = entry.computed.hypervisors.values();
        hypervisors.map(|arc| &**arc).find(|found| found.uid == uid)
    }

    /// All hypervisor entries, in the order of [`Tree::walk`] from the root, then by name.
    #[must_use]
    pub fn hypervisors(&self) -> Vec<&ResolvedHypervisor> {
        let mut nodes: Vec<&Entry> = self
            .hypervisors
            .values()
            .filter_map(|uid| self.entries.get(uid))
            .collect();
        nodes.sort_by(|a, b| a.computed.full_name().cmp(b.computed.full_name()));
        nodes.dedup_by_key(|entry| entry.node.uid);
        nodes
            .into_iter()
            .flat_map(|entry| {
                let names = entry.node.hypervisor_uids.keys();
                names.filter_map(|name| entry.computed.hypervisors.get(name))
            })
            .map(|arc| &**arc)
            .collect()
    }

    /// Computes `changed` and all below it, without changing anything.
    pub(crate) fn compute_below(
        &self,
        changed: &Node,
        full_name: FullName,
        parent: Option<&Computed>,
    ) -> Result<ComputedBelow, Vec<ResolveError>> {
        let known = self.entries.get(&changed.uid);
        let unmoved = known.filter(|entry| *entry.computed.full_name() == full_name);
        let here = match unmoved {
            Some(entry) => entry.computed.here.clone(),
            None => Origin::at(changed.uid, full_name),
        };
        let top = Arc::new(compute(changed, here, parent)?);
        let mut made = vec![(changed.uid, Arc::clone(&top))];
        let mut problems = Vec::new();
        let mut next = self.below(changed.uid, &top);
        while let Some((entry, parent)) = next.pop() {
            let here = if unmoved.is_some() {
                entry.computed.here.clone()
            } else {
                // The name was checked when the node was made.
                let Ok(full_name) = parent.full_name().child(&entry.node.name) else {
                    continue;
                };
                Origin::at(entry.node.uid, full_name)
            };
            match compute(&entry.node, here, Some(&parent)) {
                Ok(computed) => {
                    let computed = Arc::new(computed);
                    if !entry.children.is_empty() {
                        next.extend(self.below(entry.node.uid, &computed));
                    }
                    made.push((entry.node.uid, computed));
                }
                Err(found) if problems.len() < PROBLEMS_KEPT => problems.extend(found),
                Err(_) => {}
            }
        }
        if problems.is_empty() {
            Ok(made)
        } else {
            Err(problems)
        }
    }

    /// The children of a node, the last first, each with its parent's computed definition.
    fn below(&self, uid: NodeUid, computed: &Arc<Computed>) -> Vec<(&Entry, Arc<Computed>)> {
        let Some(entry) = self.entries.get(&uid) else {
            return Vec::new();
        };
        entry
            .children
            .values()
            .rev()
            .filter_map(|child| self.entries.get(child))
            .map(|child| (child, Arc::clone(computed)))
            .collect()
    }
}

fn no_parent(node: &Node, parent: NodeUid) -> LoadError {
    LoadError::NoParent {
        uid: node.uid,
        name: node.name.clone(),
        parent,
    }
}
