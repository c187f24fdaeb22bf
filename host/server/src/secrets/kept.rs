//! The secrets there are, and who refers to them.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{NodeUid, SecretName, Timestamp};
use enginehouse_queue::Operation;
use enginehouse_secrets::{Keyring, OpenError, Sealed, Zeroizing};
use enginehouse_store::{Table, Write};
use enginehouse_tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::house::{Staged, State};

/// Version of the stored document.
pub(super) const SECRET_VERSION: u16 = 1;

/// A secret as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub sealed: Sealed,
    /// Taken out of a definition: it goes when nothing refers to it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    /// Who gave it its value.
    pub by: String,
}

/// What a decision changes; `None` removes.
#[derive(Default)]
pub(crate) struct KeptChanges {
    pub kept: BTreeMap<SecretName, Option<Kept>>,
    /// The keys from now on.
    pub keys: Option<Keyring>,
}

/// All of them, with the keys.
pub(crate) struct Secrets {
    pub keys: Keyring,
    kept: BTreeMap<SecretName, Kept>,
    /// Nodes whose definition refers to a name, also to one that is not there.
    users: BTreeMap<SecretName, BTreeSet<NodeUid>>,
    /// The same, the other way round.
    names: BTreeMap<NodeUid, Vec<SecretName>>,
}

/// Why a secret cannot be had.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error("there is no secret `{0}` on this host")]
    Missing(SecretName),
    #[error("the secret `{name}` cannot be opened")]
    Closed {
        name: SecretName,
        #[source]
        source: OpenError,
    },
}

impl Unusable {
    /// The command that mends it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Missing(name) => format!("set it with `enginehouse secret set {name}`"),
            Self::Closed { name, .. } => {
                format!("set it anew with `enginehouse secret set {name}`")
            }
        }
    }
}

impl Secrets {
    pub(crate) fn new(keys: Keyring, kept: BTreeMap<SecretName, Kept>, tree: &Tree) -> Self {
        let mut secrets = Self {
            keys,
            kept,
            users: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for node in tree.nodes() {
            secrets.refers(node.uid, node.local.secret_names());
        }
        secrets
    }

    pub(crate) fn get(&self, name: &SecretName) -> Option<&Kept> {
        self.kept.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SecretName, &Kept)> {
        self.kept.iter()
    }

    /// Nodes whose definition refers to it.
    pub(crate) fn users(&self, name: &SecretName) -> impl Iterator<Item = NodeUid> {
        self.users.get(name).into_iter().flatten().copied()
    }

    /// The secret itself.
    pub(crate) fn open(&self, name: &SecretName) -> Result<Zeroizing<String>, Unusable> {
        let kept = self
            .kept
            .get(name)
            .ok_or_else(|| Unusable::Missing(name.clone()))?;
        self.keys
            .open(name, &kept.sealed)
            .map_err(|source| Unusable::Closed {
                name: name.clone(),
                source,
            })
    }

    /// Takes in what a node refers to now. The answer are names that it no longer does.
    fn refers(&mut self, node: NodeUid, names: Vec<SecretName>) -> Vec<SecretName> {
        let before = if names.is_empty() {
            self.names.remove(&node)
        } else {
            for name in &names {
                self.users.entry(name.clone()).or_default().insert(node);
            }
            self.names.insert(node, names.clone())
        };
        let mut left = before.unwrap_or_default();
        left.retain(|name| !names.contains(name));
        for name in &left {
            if let Some(users) = self.users.get_mut(name) {
                users.remove(&node);
                if users.is_empty() {
                    self.users.remove(name);
                }
            }
        }
        left
    }
}

/// Puts what was decided into memory and into the commit.
pub(crate) fn take_in(state: &mut State, staged: &mut Staged) {
    let KeptChanges { kept, keys } = std::mem::take(&mut staged.secrets);
    if let Some(keys) = keys {
        state.secrets.keys = keys;
    }
    for (name, kept) in kept {
        match kept {
            Some(kept) => {
                staged.put(Table::Secret, name.to_string(), SECRET_VERSION, &kept);
                state.secrets.kept.insert(name, kept);
            }
            None => forget(state, &mut staged.writes, &name),
        }
    }
}

/// Follows the nodes that a commit writes, and forgets generated secrets that nothing refers to any
/// more: no definition, and no operation that is still to run.
pub(crate) fn settle(state: &mut State, writes: &mut Vec<Write>, ended: &[Operation]) {
    let mut left: BTreeSet<SecretName> = BTreeSet::new();
    let mut nodes: BTreeSet<NodeUid> = BTreeSet::new();
    for write in writes.iter() {
        match write {
            Write::Put { table, key, .. } | Write::Delete { table, key } => match table {
                Table::Node => nodes.extend(key.parse::<NodeUid>()),
                Table::Secret => left.extend(key.parse::<SecretName>()),
                _ => {}
            },
            _ => {}
        }
    }
    for node in nodes {
        let names = state
            .tree
            .node(node)
            .map(|node| node.local.secret_names())
            .unwrap_or_default();
        left.extend(state.secrets.refers(node, names));
    }
    for operation in ended {
        names_in(&operation.spec.params, &mut left);
    }
    left.retain(|name| {
        state
            .secrets
            .kept
            .get(name)
            .is_some_and(|kept| kept.generated)
            && !state.secrets.users.contains_key(name)
    });
    if left.is_empty() {
        return;
    }
    let waiting = waiting(state);
    for name in left {
        if !waiting.contains(&name) {
            forget(state, writes, &name);
        }
    }
}

/// Names that operations which have not ended refer to.
pub(super) fn waiting(state: &State) -> BTreeSet<SecretName> {
    let mut names = BTreeSet::new();
    for operation in state.queue.iter() {
        names_in(&operation.spec.params, &mut names);
    }
    names
}

fn forget(state: &mut State, writes: &mut Vec<Write>, name: &SecretName) {
    state.secrets.kept.remove(name);
    writes.push(Write::Delete {
        table: Table::Secret,
        key: name.to_string(),
    });
}

/// Every `{secret: NAME}` in a document.
pub(super) fn names_in(value: &Value, names: &mut BTreeSet<SecretName>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str() {
                    Some(text) if key == "secret" => names.extend(text.parse::<SecretName>()),
                    _ => names_in(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
