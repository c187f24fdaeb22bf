//! Hypervisor entries that machines on record are on. The definition of such a machine may name
//! another one by now, so the tree does not know: without its entry there would be no way to
//! undeploy it.

use enginehouse_api::Problem;
use enginehouse_model::{FullName, HypervisorUid, NodeUid};
use enginehouse_tree::{Definition, EditError};

use crate::house::State;

/// Refuses a new definition of a node, [`Definition::default`] where the node is to go, that takes
/// away the entry of a machine on record.
///
/// # Errors
/// `conflict`, with the machines.
pub(crate) fn must_keep_machines(
    state: &State,
    node: NodeUid,
    definition: &Definition,
) -> Result<(), Problem> {
    let of_lookup = |error| crate::problem::of_lookup(&error);
    let gone = state
        .tree
        .hypervisors_removed_by(node, definition)
        .map_err(of_lookup)?;
    for hypervisor in gone {
        let machines_of = machines_on(state, hypervisor);
        if !machines_of.is_empty() {
            let name = state.tree.hypervisor(hypervisor);
            return Err(crate::problem::of_edit(&EditError::HypervisorInUse {
                node: state.tree.full_name(node).map_err(of_lookup)?.clone(),
                hypervisor: name.map(|found| found.name.clone()).unwrap_or_default(),
                machines_of,
            }));
        }
    }
    Ok(())
}

fn machines_on(state: &State, hypervisor: HypervisorUid) -> Vec<FullName> {
    let mut names: Vec<FullName> = state
        .records
        .values()
        .filter(|record| record.hypervisor == hypervisor)
        .filter_map(|record| state.tree.full_name(record.node).ok().cloned())
        .collect();
    names.sort();
    names
}
