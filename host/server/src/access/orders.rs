//! What an order needs.

use enginehouse_api::{OperationKind, OperationRequest, Problem};
use enginehouse_model::NodeUid;
use enginehouse_tree::{Permission, governed_difference, governed_keys};

use crate::access::Caller;
use crate::house::State;
use crate::orders::{Order, edit_definition, new_definition};

/// Whether the caller may order this: `operate` on the node, or on the folder that something is made
/// in; `govern` where a governed key changes, also by making or removing a node that has one.
///
/// # Errors
/// `not-found` for what the caller may not read, `forbidden` with what is missing.
pub(crate) fn check_order(
    caller: &Caller,
    state: &State,
    request: &OperationRequest,
) -> Result<(), Problem> {
    let order = |node: NodeUid| Order {
        kind: request.kind,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    match request.kind {
        OperationKind::CreateFolder | OperationKind::Provision => {
            let Some(parent) = request.path.parent() else {
                // The root is there; the order is refused for that.
                let root = state.tree.root();
                return caller.must(state, root, Permission::Operate);
            };
            let node = caller.find(state, &parent)?;
            caller.must(state, node, Permission::Operate)?;
            let definition = new_definition(&order(node))?;
            caller.must_govern_keys(state, node, &governed_keys(&definition))
        }
        OperationKind::RemoveFolder | OperationKind::Deprovision => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)?;
            caller.must_govern_keys(state, node, &state.governed_on(node)?)
        }
        OperationKind::Edit | OperationKind::Reconfigure => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)?;
            let order = order(node);
            if !order.changes_definition() {
                return Ok(());
            }
            caller.must_govern_keys(state, node, &changed_keys(state, &order)?)
        }
        OperationKind::Deploy
        | OperationKind::Undeploy
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::Restart => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)
        }
        OperationKind::Import => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)
        }
        OperationKind::SetGrants => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Govern)
        }
        OperationKind::SetSecret | OperationKind::RemoveSecret | OperationKind::RotateKey => {
            caller.must_govern_all(state)
        }
    }
}

/// A change that waited in the queue is made of what it finds there, which may not be what it was
/// ordered for: whether who ordered it may change the governed keys that it would change now.
///
/// # Errors
/// `forbidden`, naming the keys.
pub(crate) fn still_governs(state: &State, who: &str, order: &Order) -> Result<(), Problem> {
    if !order.changes_definition() {
        return Ok(());
    }
    let keys = changed_keys(state, order)?;
    let governs = who.parse().is_ok_and(|subject| {
        let permissions = state.tree.permissions(&subject, order.node);
        permissions.is_ok_and(|permissions| permissions.allow(Permission::Govern))
    });
    if keys.is_empty() || governs {
        return Ok(());
    }
    Err(Problem::new(
        enginehouse_api::ErrorCode::Forbidden,
        format!(
            "{who} may not change `{}` of {}: it was changed by somebody else since this was ordered",
            keys.join("`, `"),
            order.path
        ),
    )
    .with_hint("read the definition again, and order the change anew"))
}

fn changed_keys(state: &State, order: &Order) -> Result<Vec<String>, Problem> {
    let node = state
        .tree
        .node(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let after = edit_definition(state, order)?;
    Ok(governed_difference(&node.local, &after))
}

impl State {
    /// What is governed of a node that is to go or to move: governed keys and grants that are written
    /// on it.
    ///
    /// # Errors
    /// When the node is not in the tree.
    pub(crate) fn governed_on(&self, node: NodeUid) -> Result<Vec<String>, Problem> {
        let node = self
            .tree
            .node(node)
            .map_err(|error| crate::problem::of_lookup(&error))?;
        let mut keys = governed_keys(&node.local);
        if !node.grants.is_empty() {
            keys.push("grants".to_owned());
        }
        Ok(keys)
    }
}
