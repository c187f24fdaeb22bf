//! Settings of the machines that an order is about, against their engines.

use enginehouse_documents::Problem;
use enginehouse_model::{FullName, NodeUid};
use enginehouse_reconcile::Intent;
use enginehouse_tree::{SettingErrors, SettingProblem};

use crate::house::State;

/// Whether the machine is brought to its definition: what only starts, stops or removes it does not
/// read the settings, and must be possible whatever they are.
fn reads_settings(intent: Intent) -> bool {
    match intent {
        Intent::Deploy | Intent::Reconfigure => true,
        Intent::Start
        | Intent::Stop { .. }
        | Intent::Restart { .. }
        | Intent::Undeploy { .. }
        // They are as the engine showed them.
        | Intent::Adopt
        | Intent::Observe => false,
    }
}

/// Refuses machines whose settings their engines would not take, also for what is missing.
pub(crate) fn check_settings(
    state: &State,
    path: &FullName,
    nodes: &[NodeUid],
    intent: Intent,
) -> Result<(), SettingErrors> {
    if !reads_settings(intent) {
        return Ok(());
    }
    // A node that is gone is refused for that, elsewhere.
    let problems = state.tree.settings_problems(nodes).unwrap_or_default();
    if problems.is_empty() {
        return Ok(());
    }
    Err(SettingErrors {
        node: path.clone(),
        problems,
    })
}

/// The same, when an operation on a machine begins.
pub(crate) fn check_settings_now(
    state: &State,
    path: &FullName,
    node: NodeUid,
    intent: Intent,
) -> Result<(), Problem> {
    check_settings(state, path, &[node], intent)
        .map_err(|errors| crate::problem::settings_in_operation(&errors))
}

/// What a deploy of a descriptor would be refused for, as warnings of the edit that left it so.
pub(super) fn warnings(state: &State, node: NodeUid) -> Vec<String> {
    if state.tree.descriptor(node).is_err() {
        return Vec::new();
    }
    let problems = state.tree.settings_problems(&[node]).unwrap_or_default();
    let warning = |problem: &SettingProblem| format!("a deploy would be refused: {problem}");
    problems.iter().map(warning).collect()
}
