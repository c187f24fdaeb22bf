//! What an edit would do: it is made, looked at, and taken back.
//!
//! It costs what the edit costs ([`Tree::computations`]); taking it back costs nothing. The answer
//! holds computed definitions, not texts, so that they can be compared after the tree is free again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use enginehouse_model::{FullName, NodeUid};

use crate::access::{Permissions, Subject};
use crate::change::Change;
use crate::computed::Computed;
use crate::difference::{Difference, differences, made};
use crate::error::EditError;
use crate::node::Node;
use crate::tree::Tree;

/// What an edit would do.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Every node that would be made, removed or computed anew, in the order of their names.
    pub touched: Vec<Touched>,
    /// Whose permissions would differ, in the order of the nodes' names.
    pub rights: Vec<RightsChange>,
}

/// What a subject may do with a node and all below it, but for those below that are named as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsChange {
    pub uid: NodeUid,
    /// As the node would be called.
    pub full_name: FullName,
    pub subject: Subject,
    /// The same before and after: here nothing changes, though it does above.
    pub before: Permissions,
    pub after: Permissions,
}

/// A node that an edit would make, remove or compute anew.
#[derive(Clone, Debug)]
pub struct Touched {
    pub uid: NodeUid,
    /// As it would be; of one that would be removed, as it is.
    pub node: Arc<Node>,
    /// As it is; `None`: it would be made.
    pub before: Option<Arc<Computed>>,
    /// As it would be; `None`: it would be removed.
    pub after: Option<Arc<Computed>>,
}

/// How one node would differ.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeDifference {
    pub uid: NodeUid,
    /// `None`: it would be made.
    pub before: Option<FullName>,
    /// `None`: it would be removed.
    pub after: Option<FullName>,
    /// What changes of its computed definition. Of a node that would be made: all it has; of one that
    /// would be removed: nothing.
    pub keys: Vec<Difference>,
}

/// What a [`Preview`] comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Nodes that are made, removed or computed otherwise, as many as were asked for. A node that is
    /// only called otherwise is not among them.
    pub nodes: Vec<NodeDifference>,
    pub counts: Counts,
}

/// Of how many nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub made: usize,
    pub removed: usize,
    /// Some value of the computed definition changes.
    pub changed: usize,
    /// No value changes, but some come from elsewhere.
    pub origins_only: usize,
    /// The full name changes, whatever else does.
    pub renamed: usize,
}

impl Counts {
    /// Nodes that [`Differences::nodes`] would list in full.
    #[must_use]
    pub fn listed(self) -> usize {
        self.made + self.removed + self.changed + self.origins_only
    }
}

/// What a node was before an edit, and what it computed to.
type Was = (Option<Arc<Computed>>, Option<Arc<Node>>);

impl Tree {
    /// Makes an edit, keeps what it did, and takes it back.
    ///
    /// `edit` may be made of many: it answers with all of them as one ([`Change::and`]), and takes
    /// back what it did itself when it fails.
    ///
    /// # Errors
    /// Those of `edit`.
    pub fn preview<E: From<EditError>>(
        &mut self,
        edit: impl FnOnce(&mut Self) -> Result<Change, E>,
    ) -> Result<Preview, E> {
        let change = edit(self)?;
        let touched = self.touched(&change);
        let tops = self.where_rights_may_change(&change);
        let after: Vec<Rights> = tops.iter().map(|top| self.rights_below(*top)).collect();
        self.revert(change)?;
        let before = tops.iter().map(|top| self.rights_below(*top));
        let mut rights: Vec<RightsChange> = tops
            .iter()
            .zip(before.zip(after))
            .flat_map(|(top, (before, after))| rights_changes(*top, &before, &after))
            .collect();
        rights.sort_by(|a, b| (&a.full_name, &a.subject).cmp(&(&b.full_name, &b.subject)));
        rights.dedup();
        Ok(Preview { touched, rights })
    }

    fn touched(&self, change: &Change) -> Vec<Touched> {
        // Of a node that several edits touched, the first one knows how it was.
        let mut before: HashMap<NodeUid, Was> = HashMap::new();
        for step in &change.steps {
            for (uid, computed) in &step.computed {
                before.entry(*uid).or_insert_with(|| {
                    let node = step.node.clone().filter(|_| *uid == step.uid);
                    (computed.clone(), node)
                });
            }
        }
        let mut touched: Vec<Touched> = before
            .into_iter()
            .filter_map(|(uid, (before, node))| {
                let entry = self.entries.get(&uid);
                // Made and removed again by the same change: nothing.
                let node = entry.map(|entry| Arc::clone(&entry.node)).or(node)?;
                let after = entry.map(|entry| Arc::clone(&entry.computed));
                (before.is_some() || after.is_some()).then_some(Touched {
                    uid,
                    node,
                    before,
                    after,
                })
            })
            .collect();
        touched.sort_by(|a, b| a.full_name().cmp(&b.full_name()));
        touched
    }

    /// Nodes that were there before and hang elsewhere now, or were granted otherwise.
    fn where_rights_may_change(&self, change: &Change) -> BTreeSet<NodeUid> {
        change
            .steps
            .iter()
            .filter_map(|step| {
                let (was, is) = (step.node.as_ref()?, self.node(step.uid).ok()?);
                (was.parent != is.parent || was.grants != is.grants).then_some(step.uid)
            })
            .collect()
    }

    /// What subjects may do with a node, and with those below it that grant something themselves.
    fn rights_below(&self, top: NodeUid) -> Rights {
        let Ok(walk) = self.walk(top) else {
            return Rights::new();
        };
        walk.filter(|node| node.uid == top || !node.grants.is_empty())
            .filter_map(|node| {
                let subjects = self.subjects_with_rights(node.uid).ok()?;
                let permissions = subjects
                    .into_iter()
                    .map(|(subject, rights)| {
                        let given = rights.iter().map(|right| right.role.permissions());
                        (subject, given.fold(Permissions::NONE, Permissions::and))
                    })
                    .collect();
                let name = self.full_name(node.uid).ok()?.clone();
                Some((node.uid, (name, permissions)))
            })
            .collect()
    }
}

type Rights = BTreeMap<NodeUid, (FullName, BTreeMap<Subject, Permissions>)>;

fn rights_changes(top: NodeUid, before: &Rights, after: &Rights) -> Vec<RightsChange> {
    let of = |rights: &Rights, uid: NodeUid, subject: &Subject| {
        let given = rights.get(&uid).and_then(|(_, given)| given.get(subject));
        given.copied().unwrap_or_default()
    };
    let mut found = Vec::new();
    for (uid, (full_name, given)) in after {
        let had = before.get(uid).map(|(_, given)| given);
        let subjects: BTreeSet<&Subject> = given
            .keys()
            .chain(had.into_iter().flat_map(BTreeMap::keys))
            .collect();
        for subject in subjects {
            let pair = |uid| (of(before, uid, subject), of(after, uid, subject));
            let (was, is) = pair(*uid);
            let (was_above, is_above) = pair(top);
            let differs = was != is || was_above != is_above;
            if differs && (*uid == top || (was, is) != (was_above, is_above)) {
                found.push(RightsChange {
                    uid: *uid,
                    full_name: full_name.clone(),
                    subject: subject.clone(),
                    before: was,
                    after: is,
                });
            }
        }
    }
    found
}

impl Touched {
    /// As it would be; of one that would be removed, as it is.
    #[must_use]
    pub fn full_name(&self) -> Option<&FullName> {
        let computed = self.after.as_ref().or(self.before.as_ref())?;
        Some(computed.full_name())
    }

    #[must_use]
    pub fn is_renamed(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.full_name() != after.full_name(),
            (None, _) | (_, None) => false,
        }
    }

    /// What changes of the computed definition: see [`NodeDifference::keys`].
    #[must_use]
    pub fn keys(&self) -> Vec<Difference> {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => differences(before, after),
            (None, Some(after)) => made(after),
            (_, None) => Vec::new(),
        }
    }
}

impl Preview {
    /// Compares all nodes, and lists the first `most` of those that differ.
    #[must_use]
    pub fn differences(&self, most: usize) -> Differences {
        let mut found = Differences::default();
        let counts = &mut found.counts;
        for touched in &self.touched {
            if touched.is_renamed() {
                counts.renamed += 1;
            }
            let keys = touched.keys();
            match (&touched.before, &touched.after) {
                (None, _) => counts.made += 1,
                (_, None) => counts.removed += 1,
                (Some(_), Some(_)) if keys.is_empty() => continue,
                (Some(_), Some(_)) if keys.iter().any(Difference::is_of_value) => {
                    counts.changed += 1;
                }
                (Some(_), Some(_)) => counts.origins_only += 1,
            }
            if found.nodes.len() < most {
                let name = |computed: &Option<Arc<Computed>>| {
                    computed.as_ref().map(|found| found.full_name().clone())
                };
                found.nodes.push(NodeDifference {
                    uid: touched.uid,
                    before: name(&touched.before),
                    after: name(&touched.after),
                    keys,
                });
            }
        }
        found
    }
}
