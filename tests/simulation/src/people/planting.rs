//! A tree to begin with.

use enginehouse_model::NodeUid;
use enginehouse_tree::{Definition, Node, Tree};
use serde_json::Value;
use uuid::Uuid;

use super::{T0, name};
use crate::memory::Staged;
use crate::violation::{Rule, Violation};

pub(super) type Plant<'a> = dyn FnMut(&str, &Value) -> Result<(), Violation> + 'a;

/// A tree to begin with.
pub(super) struct Planting {
    pub tree: Tree,
    pub staged: Staged,
    pub uids: u128,
}

impl Planting {
    pub fn new() -> Result<Self, Violation> {
        let root = Node::root(NodeUid::from_uuid(Uuid::from_u128(1)));
        let wrong = |text: String| Violation::new(Rule::Load, text);
        Ok(Self {
            tree: Tree::load(vec![root]).map_err(|error| wrong(error.to_string()))?,
            staged: Staged::default(),
            uids: 1,
        })
    }

    pub fn put(&mut self, path: &str, definition: &Value, folder: bool) -> Result<(), Violation> {
        let wrong = |text: String| Violation::new(Rule::Load, format!("{path}: {text}"));
        let path = name(path);
        let definition =
            Definition::from_json(definition).map_err(|problems| wrong(format!("{problems:?}")))?;
        let mut uids = self.uids;
        let mut uid = || {
            uids += 1;
            Uuid::from_u128(uids)
        };
        let change = match path.parent() {
            None => {
                let root = self.tree.root();
                self.tree.set_definition(root, definition, None, &mut uid)
            }
            Some(parent) => {
                let parent = self.tree.find(&parent).map_err(|e| wrong(e.to_string()))?;
                match folder {
                    true => self
                        .tree
                        .create_folder(parent, path.name(), definition, &mut uid),
                    false => self
                        .tree
                        .provision(parent, path.name(), definition, &mut uid),
                }
            }
        };
        let change = change.map_err(|error| wrong(error.to_string()))?;
        self.staged.nodes(&self.tree, &change, T0, "planted");
        self.uids = uids;
        Ok(())
    }
}
