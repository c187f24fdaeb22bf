//! What is protected is not destroyed, and protection is not taken away by the way.
//!
//! As in the host it is looked at when something is ordered, when it is planned, and right before a
//! step; and whatever lowers it has to say so.

use std::collections::BTreeSet;

use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::{Change, Guard, Tree};

use crate::memory::Memory;
use crate::settings::Fault;

/// All descriptors that are protected.
pub(crate) fn protected(tree: &Tree) -> BTreeSet<NodeUid> {
    let nodes = tree.nodes().filter(|node| !node.is_folder());
    let is = |node: &NodeUid| {
        tree.computed(*node)
            .is_ok_and(|computed| computed.protect())
    };
    nodes.map(|node| node.uid).filter(is).collect()
}

/// An order that destroys is refused where one of these is protected.
pub(crate) fn must_not_be_protected(
    memory: &Memory,
    targets: &[(NodeUid, FullName)],
) -> Result<(), String> {
    for (node, path) in targets {
        let computed = memory.tree.computed(*node).map_err(|e| e.to_string())?;
        if let Some(by) = computed.protected_by() {
            return Err(format!("{by} protects {path}"));
        }
    }
    Ok(())
}

/// Keeps an edit that was just made; one that lowers what protects machines, without saying so, is
/// taken back and refused.
pub(crate) fn keep_or_revert(
    tree: &mut Tree,
    change: Change,
    said: bool,
    fault: Option<Fault>,
) -> Result<Change, String> {
    if said || fault == Some(Fault::LowersByTheWay) || !lowers(tree, &change) {
        return Ok(change);
    }
    tree.revert(change).map_err(|error| error.to_string())?;
    Err("machines would be less protected".to_owned())
}

fn lowers(tree: &Tree, change: &Change) -> bool {
    let is_less = |was: &Guard, now: &Guard| was.changes(now).iter().any(|change| change.lowers);
    change.before().iter().any(|before| {
        let (Some(_), Some(was)) = (before.node, before.computed) else {
            return false;
        };
        match tree.computed(before.uid) {
            Ok(now) => is_less(&was.guard(), &now.guard()),
            Err(_) => was.protect(),
        }
    })
}
