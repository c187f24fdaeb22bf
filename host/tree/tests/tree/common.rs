//! A tree that is spoken to by full names, and that checks after each edit what the store would
//! read back.

use std::sync::Arc;

use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::{Change, Computed, Definition, EditError, Node, Tree};
use serde_json::Value;
use uuid::Uuid;

pub struct Estate {
    pub tree: Tree,
    uids: u128,
}

impl Estate {
    pub fn new() -> Self {
        let root = NodeUid::from_uuid(Uuid::from_u128(1));
        Self {
            tree: Tree::load(vec![Node::root(root)]).unwrap(),
            uids: 1,
        }
    }

    pub fn uid(&self, name: &str) -> NodeUid {
        self.tree.find(&name.parse().unwrap()).unwrap()
    }

    pub fn computed(&self, name: &str) -> Arc<Computed> {
        self.tree.computed(self.uid(name)).unwrap()
    }

    /// Origins as `show --origins` prints them.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.computed(name).origins();
        lines.iter().map(ToString::to_string).collect()
    }

    pub fn line(&self, name: &str, key: &str) -> String {
        let lines = self.computed(name).origins();
        let line = lines.iter().find(|line| line.key == key);
        line.map_or_else(|| format!("no {key}"), ToString::to_string)
    }

    pub fn try_define(&mut self, name: &str, definition: Value) -> Result<Change, EditError> {
        let uid = self.uid(name);
        let definition = Definition::parse(&name.parse().unwrap(), &definition)?;
        let mut uids = counter(&mut self.uids);
        self.tree.set_definition(uid, definition, None, &mut uids)
    }

    pub fn define(&mut self, name: &str, definition: Value) -> Arc<Change> {
        Arc::new(self.try_define(name, definition).unwrap())
    }

    pub fn try_folder(&mut self, name: &str, definition: Value) -> Result<Change, EditError> {
        let (parent, name, definition) = self.place(name, &definition)?;
        let mut uids = counter(&mut self.uids);
        self.tree
            .create_folder(parent, &name, definition, &mut uids)
    }

    pub fn folder(&mut self, name: &str, definition: Value) -> Arc<Change> {
        Arc::new(self.try_folder(name, definition).unwrap())
    }

    pub fn provision(&mut self, name: &str, definition: Value) -> Arc<Change> {
        let (parent, name, definition) = self.place(name, &definition).unwrap();
        let mut uids = counter(&mut self.uids);
        Arc::new(
            self.tree
                .provision(parent, &name, definition, &mut uids)
                .unwrap(),
        )
    }

    /// An edit that needs uids.
    pub fn with_uids(
        &mut self,
        edit: impl FnOnce(&mut Tree, &mut dyn FnMut() -> Uuid) -> Result<Change, EditError>,
    ) -> Result<Change, EditError> {
        let mut uids = counter(&mut self.uids);
        edit(&mut self.tree, &mut uids)
    }

    pub fn apply(
        &mut self,
        edit: impl FnOnce(&mut Tree) -> Result<Change, EditError>,
    ) -> Arc<Change> {
        Arc::new(edit(&mut self.tree).unwrap())
    }

    /// The tree that a restarted host would load.
    pub fn reloaded(&self) -> Self {
        let documents = self
            .tree
            .nodes()
            .map(|node| serde_json::to_string(node).unwrap());
        let nodes = documents.map(|text| serde_json::from_str(&text).unwrap());
        Self {
            tree: Tree::load(nodes.collect()).unwrap(),
            uids: self.uids,
        }
    }

    /// All that the tree says of its nodes, to compare two of them.
    pub fn picture(&self) -> Vec<String> {
        let walk = self.tree.walk(self.tree.root()).unwrap();
        walk.map(|node| {
            let computed = self.tree.computed(node.uid).unwrap();
            format!(
                "{} {} {:?}",
                computed.full_name(),
                serde_json::to_string(node).unwrap(),
                computed.origins()
            )
        })
        .collect()
    }

    /// The picture, and what is found by other ways than the root: hypervisors by uid, children by
    /// name.
    pub fn whole(&self) -> Vec<String> {
        let mut all = self.picture();
        for hypervisor in self.tree.hypervisors() {
            let by_uid = self.tree.hypervisor(hypervisor.uid);
            all.push(format!("{:?} {by_uid:?}", hypervisor.uid));
        }
        let walk = self.tree.walk(self.tree.root()).unwrap();
        for node in walk {
            let name = self.tree.full_name(node.uid).unwrap();
            let names: Vec<_> = self.tree.children(node.uid).unwrap().collect();
            let names: Vec<_> = names.iter().map(|child| &child.name).collect();
            all.push(format!(
                "{name} {} {names:?}",
                self.tree.find(name).unwrap()
            ));
        }
        all.push(format!("{}", self.tree.len()));
        all
    }

    fn place(
        &self,
        name: &str,
        definition: &Value,
    ) -> Result<(NodeUid, String, Definition), EditError> {
        let full: FullName = name.parse().unwrap();
        let parent = self.tree.find(&full.parent().unwrap())?;
        Ok((
            parent,
            full.name().to_owned(),
            Definition::parse(&full, definition)?,
        ))
    }
}

fn counter(last: &mut u128) -> impl FnMut() -> Uuid {
    move || {
        *last += 1;
        Uuid::from_u128(*last)
    }
}
