//! Edits of the tree. Each is checked as a whole before anything changes, and says what to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use enginehouse_model::{FullName, HypervisorUid, MachineUid, NodeUid};
use uuid::Uuid;

use crate::change::{Change, Step};
use crate::definition::Definition;
use crate::error::{EditError, LookupError};
use crate::nesting::LEVELS_MAX;
use crate::node::{DescriptorBody, LastOperation, Node, NodeKind};
use crate::state::{Event, Next, Status, next};
use crate::tree::{ComputedBelow, Entry, Tree};

impl Tree {
    /// Makes a folder.
    ///
    /// # Errors
    /// When the name is taken or none, or the definition does not resolve.
    pub fn create_folder(
        &mut self,
        parent: NodeUid,
        name: &str,
        definition: Definition,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, EditError> {
        let node = Node::folder(NodeUid::from_uuid(uids()), parent, name);
        self.create(node, definition, uids)
    }

    /// Makes a descriptor.
    ///
    /// # Errors
    /// When the name is taken or none, or the definition does not resolve.
    pub fn provision(
        &mut self,
        parent: NodeUid,
        name: &str,
        definition: Definition,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, EditError> {
        let node = Node::descriptor(NodeUid::from_uuid(uids()), parent, name);
        self.create(node, definition, uids)
    }

    fn create(
        &mut self,
        mut node: Node,
        definition: Definition,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, EditError> {
        node.hypervisor_uids = hypervisor_uids(&BTreeMap::new(), &definition, uids);
        node.local = definition;
        self.put(node)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// When it is the root, or not empty.
    pub fn remove_folder(&mut self, uid: NodeUid) -> Result<Change, EditError> {
        let entry = self.entry(uid)?;
        if !entry.node.is_folder() {
            let name = entry.computed.full_name().clone();
            return Err(LookupError::Descriptor(name).into());
        }
        if entry.node.is_root() {
            return Err(EditError::Root("removed"));
        }
        if let Some(first) = entry.children.keys().next() {
            return Err(EditError::NotEmpty {
                folder: entry.computed.full_name().clone(),
                count: entry.children.len(),
                first: first.clone(),
            });
        }
        Ok(self.remove(uid))
    }

    /// Removes a provisioned descriptor without a machine on record.
    ///
    /// # Errors
    /// In any other state, with the way out.
    pub fn deprovision(&mut self, uid: NodeUid) -> Result<Change, EditError> {
        self.transition(uid, Event::Deprovision)
    }

    /// Writes the local definition of a folder, or of a provisioned descriptor.
    ///
    /// # Errors
    /// When `expected_revision` is given and is not the node's, when the descriptor is not
    /// provisioned, and when this node or one below it would no longer resolve.
    pub fn set_definition(
        &mut self,
        uid: NodeUid,
        definition: Definition,
        expected_revision: Option<u64>,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, EditError> {
        self.must_be_provisioned(uid, "definition")?;
        self.write_definition(uid, definition, expected_revision, uids)
    }

    /// Writes the local definition of a deployed descriptor: what the host does when the
    /// `reconfigure` that carries it starts to run.
    ///
    /// # Errors
    /// As [`Tree::set_definition`]; when `expected_revision` is not the node's, the reconfigure is
    /// based on an older definition.
    pub fn apply_reconfigure(
        &mut self,
        uid: NodeUid,
        definition: Definition,
        expected_revision: Option<u64>,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, EditError> {
        let status = self.descriptor(uid)?.status;
        if status == Status::Provisioned {
            let name = self.full_name(uid)?.clone();
            return Err(EditError::NothingToReconfigure(name));
        }
        self.write_definition(uid, definition, expected_revision, uids)
    }

    fn write_definition(
        &mut self,
        uid: NodeUid,
        definition: Definition,
        expected_revision: Option<u64>,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Change, EditError> {
        let entry = self.entry(uid)?;
        let found = entry.node.revision;
        if let Some(expected) = expected_revision.filter(|expected| *expected != found) {
            return Err(EditError::Stale {
                node: entry.computed.full_name().clone(),
                expected,
                found,
            });
        }
        if entry.node.local == definition {
            return Ok(Change::default());
        }
        let mut node = Node::clone(&entry.node);
        node.hypervisor_uids = hypervisor_uids(&node.hypervisor_uids, &definition, uids);
        node.local = definition;
        node.revision += 1;
        self.put(node)
    }

    /// Gives a node another name, or another parent.
    ///
    /// # Errors
    /// When it, or a descriptor below it, is not provisioned; when the name is taken or none; when
    /// a definition would no longer resolve.
    pub fn rename(
        &mut self,
        uid: NodeUid,
        parent: NodeUid,
        name: &str,
    ) -> Result<Change, EditError> {
        let entry = self.entry(uid)?;
        let full_name = entry.computed.full_name();
        if entry.node.is_root() {
            return Err(EditError::Root("moved or renamed"));
        }
        if self.full_name(parent)?.is_within(full_name) {
            return Err(EditError::BelowItself(full_name.clone()));
        }
        self.must_be_provisioned(uid, "name")?;
        let below: Vec<FullName> = self
            .descriptors(uid)?
            .filter(|node| {
                node.body()
                    .is_some_and(|body| body.status != Status::Provisioned)
            })
            .filter_map(|node| self.full_name(node.uid).ok().cloned())
            .collect();
        if !below.is_empty() {
            return Err(EditError::FolderInUse {
                folder: full_name.clone(),
                below,
            });
        }
        if entry.node.parent == Some(parent) && entry.node.name == name {
            return Ok(Change::default());
        }
        let mut node = Node::clone(&entry.node);
        node.parent = Some(parent);
        node.name = name.to_owned();
        node.revision += 1;
        self.put(node)
    }

    /// Carries out an event of a descriptor, by the table of [`next`]. To become deployed it must
    /// have a machine on record; when the machine is gone, its record is forgotten, a missing one
    /// is kept in the descriptor's history.
    ///
    /// # Errors
    /// When the pair of state and event is no edge, with the way out.
    pub fn transition(&mut self, uid: NodeUid, event: Event) -> Result<Change, EditError> {
        let body = self.descriptor(uid)?;
        let machine = body.machine;
        let full_name = || -> Result<FullName, LookupError> { self.full_name(uid).cloned() };
        let to = match next(body.status, machine.is_some(), event) {
            Ok(to) => to,
            Err(refused) => {
                return Err(EditError::State {
                    node: full_name()?,
                    refused,
                });
            }
        };
        let status = match to {
            Next::Gone => return Ok(self.remove(uid)),
            Next::Is(status) => status,
        };
        if status == Status::Deployed && machine.is_none() {
            return Err(EditError::NoMachineOnRecord(full_name()?));
        }
        self.record(uid, |body| {
            body.status = status;
            if status == Status::Provisioned {
                body.machine = None;
                if event == Event::MachineMissing {
                    body.lost_machines.extend(machine);
                }
            }
        })
    }

    /// Puts a machine on record while a deploy makes it, or takes it off after what it had made
    /// is gone again.
    ///
    /// # Errors
    /// When the descriptor is not provisioned, or has another machine on record.
    pub fn set_machine(
        &mut self,
        uid: NodeUid,
        machine: Option<MachineUid>,
    ) -> Result<Change, EditError> {
        let body = self.descriptor(uid)?;
        if body.machine == machine {
            return Ok(Change::default());
        }
        if body.status != Status::Provisioned {
            return Err(EditError::NotProvisioned {
                node: self.full_name(uid)?.clone(),
                status: body.status,
                what: "machine",
            });
        }
        if let (Some(other), Some(_)) = (body.machine, machine) {
            return Err(EditError::OtherMachine {
                node: self.full_name(uid)?.clone(),
                machine: other,
            });
        }
        self.record(uid, |body| body.machine = machine)
    }

    /// Sets the last error or warning; a success clears it.
    ///
    /// # Errors
    /// When there is no such descriptor.
    pub fn set_last_error(
        &mut self,
        uid: NodeUid,
        last_error: Option<String>,
    ) -> Result<Change, EditError> {
        self.record(uid, |body| body.last_error = last_error)
    }

    /// Sets the last operation, and with it the last error or warning.
    ///
    /// # Errors
    /// When there is no such descriptor.
    pub fn set_last_operation(
        &mut self,
        uid: NodeUid,
        operation: LastOperation,
        last_error: Option<String>,
    ) -> Result<Change, EditError> {
        self.record(uid, |body| {
            body.last_operation = Some(operation);
            body.last_error = last_error;
        })
    }

    /// Hypervisor entries that would be no more with this definition: what the caller asks about
    /// machine records that the tree does not know of.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub fn hypervisors_removed_by(
        &self,
        uid: NodeUid,
        definition: &Definition,
    ) -> Result<Vec<HypervisorUid>, LookupError> {
        let node = self.node(uid)?;
        Ok(node
            .hypervisor_uids
            .iter()
            .filter(|(name, _)| !definition.hypervisor_names().any(|kept| kept == *name))
            .map(|(_, uid)| *uid)
            .collect())
    }

    pub(crate) fn must_be_provisioned(
        &self,
        uid: NodeUid,
        what: &'static str,
    ) -> Result<(), EditError> {
        let entry = self.entry(uid)?;
        match entry.node.body() {
            Some(body) if body.status != Status::Provisioned => Err(EditError::NotProvisioned {
                node: entry.computed.full_name().clone(),
                status: body.status,
                what,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Changes what the host records: no definition, so nothing is computed, and the revision
    /// stays.
    fn record(
        &mut self,
        uid: NodeUid,
        change: impl FnOnce(&mut DescriptorBody),
    ) -> Result<Change, EditError> {
        let entry = self.entries.get_mut(&uid).ok_or(LookupError::Gone(uid))?;
        let before = Arc::clone(&entry.node);
        let NodeKind::Descriptor(body) = &mut Arc::make_mut(&mut entry.node).kind else {
            return Err(LookupError::Folder(entry.computed.full_name().clone()).into());
        };
        change(body);
        if entry.node == before {
            return Ok(Change::default());
        }
        Ok(Change::of_one(uid, before))
    }

    /// Whether the definition could be written on the node now, whatever its state: for an order that
    /// is carried out later.
    ///
    /// # Errors
    /// When this node or one below it would not resolve, or has settings that its engine does not
    /// take.
    pub fn check_definition(
        &self,
        uid: NodeUid,
        definition: Definition,
        uids: &mut dyn FnMut() -> Uuid,
    ) -> Result<(), EditError> {
        let mut node = Node::clone(&self.entry(uid)?.node);
        node.hypervisor_uids = hypervisor_uids(&node.hypervisor_uids, &definition, uids);
        node.local = definition;
        self.follows(&node).map(|_| ())
    }

    /// Puts a new node into the tree, or a changed one in its place.
    fn put(&mut self, node: Node) -> Result<Change, EditError> {
        let (computed, removed) = self.follows(&node)?;
        self.computations += computed.len() as u64;
        Ok(self.install(node, computed, removed))
    }

    /// What follows from a node as it is here: the computed definitions, and the hypervisors that are
    /// no more.
    fn follows(&self, node: &Node) -> Result<(ComputedBelow, Vec<HypervisorUid>), EditError> {
        let uid = node.uid;
        let (full_name, parent) = match node.parent {
            None => (FullName::root(), None),
            Some(parent) => {
                let entry = self.entry(parent)?;
                let parent_name = entry.computed.full_name();
                if !entry.node.is_folder() {
                    return Err(LookupError::Descriptor(parent_name.clone()).into());
                }
                let full_name =
                    parent_name
                        .child(&node.name)
                        .map_err(|source| EditError::Name {
                            name: node.name.chars().take(80).collect(),
                            source,
                        })?;
                let holder = entry.children.get(&node.name);
                if holder.is_some_and(|holder| *holder != uid) {
                    return Err(EditError::Exists(full_name));
                }
                (full_name, Some(Arc::clone(&entry.computed)))
            }
        };
        let stays = self.full_name(uid).is_ok_and(|before| *before == full_name);
        let removed = self.removed_hypervisors(node)?;
        let computed = self
            .compute_below(node, full_name.clone(), parent.as_deref())
            .map_err(|problems| EditError::Unresolved {
                node: full_name,
                problems,
            })?;
        if !stays {
            must_not_be_too_deep(computed.iter().map(|(_, below)| below.full_name()))?;
        }
        self.check_settings(node, &computed)?;
        Ok((computed, removed))
    }

    /// The change is decided: from here nothing fails.
    pub(crate) fn install(
        &mut self,
        node: Node,
        computed: ComputedBelow,
        hypervisors_removed: Vec<HypervisorUid>,
    ) -> Change {
        let uid = node.uid;
        let node = Arc::new(node);
        let before = self.entries.get(&uid).map(|entry| Arc::clone(&entry.node));
        if let Some(before) = &before {
            self.detach(before);
        }
        self.attach(&node);
        let mut computed_before = Vec::with_capacity(computed.len());
        for (uid, computed) in computed {
            match self.entries.get_mut(&uid) {
                Some(entry) => {
                    let before = std::mem::replace(&mut entry.computed, computed);
                    computed_before.push((uid, Some(before)));
                }
                None => {
                    computed_before.push((uid, None));
                    self.entries.insert(
                        uid,
                        Entry {
                            node: Arc::clone(&node),
                            children: BTreeMap::new(),
                            computed,
                        },
                    );
                }
            }
        }
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.node = node;
        }
        Change {
            written: vec![uid],
            removed: Vec::new(),
            hypervisors_removed,
            steps: vec![Step {
                uid,
                node: before,
                computed: computed_before,
                edit: self.next_edit(),
            }],
        }
    }

    /// Removes a node that has no children.
    pub(crate) fn remove(&mut self, uid: NodeUid) -> Change {
        let Some(entry) = self.entries.remove(&uid) else {
            return Change::default();
        };
        self.detach(&entry.node);
        Change {
            written: Vec::new(),
            removed: vec![uid],
            hypervisors_removed: entry.node.hypervisor_uids.values().copied().collect(),
            steps: vec![Step {
                uid,
                node: Some(entry.node),
                computed: vec![(uid, Some(entry.computed))],
                edit: self.next_edit(),
            }],
        }
    }

    /// Lets what is found by way of a node find it.
    pub(crate) fn attach(&mut self, node: &Node) {
        for hypervisor in node.hypervisor_uids.values() {
            self.hypervisors.insert(*hypervisor, node.uid);
        }
        self.note_grants(node);
        if let Some(parent) = node.parent.and_then(|parent| self.entries.get_mut(&parent)) {
            parent.children.insert(node.name.clone(), node.uid);
        }
    }

    pub(crate) fn detach(&mut self, node: &Node) {
        self.forget_grants(node);
        for hypervisor in node.hypervisor_uids.values() {
            self.hypervisors.remove(hypervisor);
        }
        if let Some(parent) = node.parent.and_then(|parent| self.entries.get_mut(&parent)) {
            parent.children.remove(&node.name);
        }
    }

    /// The entries that a new version of a node no longer has.
    pub(crate) fn removed_hypervisors(&self, node: &Node) -> Result<Vec<HypervisorUid>, EditError> {
        let Some(entry) = self.entries.get(&node.uid) else {
            return Ok(Vec::new());
        };
        let mut removed = Vec::new();
        for (name, hypervisor) in &entry.node.hypervisor_uids {
            if node.hypervisor_uids.get(name) == Some(hypervisor) {
                continue;
            }
            removed.push(*hypervisor);
            let machines_of: Vec<FullName> = self
                .descriptors(node.uid)?
                .filter(|descriptor| descriptor.body().is_some_and(|body| body.machine.is_some()))
                .filter_map(|descriptor| self.entries.get(&descriptor.uid))
                .map(|entry| &entry.computed)
                .filter(|computed| {
                    computed
                        .hypervisor()
                        .is_some_and(|used| used.uid == *hypervisor)
                })
                .map(|computed| computed.full_name().clone())
                .collect();
            if !machines_of.is_empty() {
                return Err(EditError::HypervisorInUse {
                    node: entry.computed.full_name().clone(),
                    hypervisor: name.clone(),
                    machines_of,
                });
            }
        }
        Ok(removed)
    }
}

/// Names that nodes get by an edit.
pub(crate) fn must_not_be_too_deep<'n>(
    mut names: impl Iterator<Item = &'n FullName>,
) -> Result<(), EditError> {
    match names.find(|name| name.levels() > LEVELS_MAX) {
        Some(name) => Err(EditError::TooDeep(name.clone())),
        None => Ok(()),
    }
}

/// A uid for each hypervisor entry: the one it has, or a new one.
pub(crate) fn hypervisor_uids(
    known: &BTreeMap<String, HypervisorUid>,
    definition: &Definition,
    uids: &mut dyn FnMut() -> Uuid,
) -> BTreeMap<String, HypervisorUid> {
    definition
        .hypervisor_names()
        .map(|name| {
            let uid = known
                .get(name)
                .copied()
                .unwrap_or_else(|| HypervisorUid::from_uuid(uids()));
            (name.to_owned(), uid)
        })
        .collect()
}
