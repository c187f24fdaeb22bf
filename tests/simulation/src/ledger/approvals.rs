//! Who was asked to approve what, and who did.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_approval::Request;
use enginehouse_model::{NodeUid, OperationId, Timestamp};
use enginehouse_tree::Tree;

use super::Ledger;
use crate::people::keys::{AUTHOR, PEOPLE, line};

/// How many have to approve what is destroyed at a node, and who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asks {
    pub need: usize,
    pub people: BTreeSet<&'static str>,
}

/// What a node asks for by its definition.
pub(crate) fn asks_now(tree: &Tree, node: NodeUid) -> Option<Asks> {
    let computed = tree.computed(node).ok()?;
    let approvals = computed.approvals()?;
    let theirs = |person: &&str| approvals.keys.contains(&line(person));
    let people = PEOPLE.into_iter().filter(|person| *person != AUTHOR);
    Some(Asks {
        need: usize::try_from(approvals.need).unwrap_or(usize::MAX),
        people: people.filter(theirs).collect(),
    })
}

/// What all descriptors ask for.
pub(crate) fn all_asks(tree: &Tree) -> BTreeMap<NodeUid, Asks> {
    let nodes = tree.nodes().filter(|node| !node.is_folder());
    let asking = nodes.filter_map(|node| Some((node.uid, asks_now(tree, node.uid)?)));
    asking.collect()
}

impl Ledger {
    /// These descriptors ask for approvals, and no others.
    pub(super) fn asks_for(&mut self, asks: &BTreeMap<NodeUid, Asks>, now: Timestamp) {
        self.asks
            .retain(|node, (known, _)| asks.get(node) == Some(known));
        for (node, asked) in asks {
            self.asks
                .entry(*node)
                .or_insert_with(|| (asked.clone(), now));
        }
    }

    /// Somebody signs a text of these.
    pub(crate) fn signs(&mut self, person: &str, units: &[(OperationId, Request)]) {
        for (number, request) in units {
            let signed = self.signed.entry(*number).or_default();
            signed.push((person.to_owned(), request.clone()));
        }
    }

    pub(crate) fn has_signed(&self, number: OperationId, person: &str) -> bool {
        let mut signed = self.signed.get(&number).into_iter().flatten();
        signed.any(|(other, _)| other == person)
    }

    /// Who has signed what an operation asks.
    pub(crate) fn signers(&self, number: OperationId) -> BTreeSet<&str> {
        let asked = self.requests.get(&number).map(|(request, _)| request);
        let signed = self.signed.get(&number).into_iter().flatten();
        let this = signed.filter(|(_, request)| Some(request) == asked);
        this.map(|(person, _)| person.as_str()).collect()
    }
}
