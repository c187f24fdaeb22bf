//! What an order needs.

use enginehouse_api::{OperationKind, OperationRequest, Problem};
use enginehouse_model::NodeUid;
use enginehouse_tree::{
    Definition, Permission, governed_difference, governed_key_difference, governed_keys,
};

use crate::access::{Caller, check_move};
use crate::house::State;
use crate::orders::{Order, edit_definition, new_definition};

/// Whether the caller may order this: `operate` on the node, or on the folder that something is made
/// in; `govern` where a governed key changes, also by making or removing a node that has one.
///
/// # Errors
/// `not-found` for what the caller may not read, `forbidden` with what is missing.
pub(crate) fn check_order(
    caller: &Caller,
    state: &mut State,
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
            caller.must_govern_keys(
                state,
                node,
                &changed_keys(state, &order, governed_difference)?,
            )
        }
        OperationKind::Deploy
        | OperationKind::Undeploy
        | OperationKind::Start
        | OperationKind::Stop
        | OperationKind::Restart
        | OperationKind::Rollback
        | OperationKind::Protect
        | OperationKind::Undo => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)
        }
        OperationKind::Move => check_move(caller, state, request),
        OperationKind::Import | OperationKind::Adopt => {
            let node = caller.find(state, &request.path)?;
            caller.must(state, node, Permission::Operate)
        }
        OperationKind::SetGrants | OperationKind::Unprotect => {
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
    let unprotects = order.kind == OperationKind::Unprotect;
    if !order.changes_definition() && !unprotects {
        return Ok(());
    }
    let governs = who.parse().is_ok_and(|subject| {
        let permissions = state.tree.permissions(&subject, order.node);
        permissions.is_ok_and(|permissions| permissions.allow(Permission::Govern))
    });
    if unprotects {
        return match governs {
            true => Ok(()),
            false => Err(Problem::new(
                enginehouse_api::ErrorCode::Forbidden,
                format!(
                    "{who} may not unprotect machines of {} any more",
                    order.path
                ),
            )),
        };
    }
    let keys = changed_keys(state, order, governed_key_difference)?;
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

/// Whether an order that waits would change governed keys.
///
/// # Errors
/// When its definition cannot be.
pub(crate) fn changes_governed_keys(state: &State, order: &Order) -> Result<bool, Problem> {
    let changes = order.changes_definition();
    Ok(changes && !changed_keys(state, order, governed_key_difference)?.is_empty())
}

fn changed_keys(
    state: &State,
    order: &Order,
    difference: fn(&Definition, &Definition) -> Vec<String>,
) -> Result<Vec<String>, Problem> {
    let node = state
        .tree
        .node(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    let after = edit_definition(state, order)?;
    Ok(difference(&node.local, &after))
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

#[cfg(test)]
mod tests {
    use enginehouse_api::{Change, Params};
    use enginehouse_tree::Role;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{ServeConfig, Server};

    #[tokio::test]
    async fn a_change_that_waited_is_judged_by_what_it_finds() {
        let data = tempfile::tempdir().unwrap();
        let mut config = ServeConfig::new(data.path().to_owned());
        config.listen.set_port(0);
        let running = Server::start(config).await.unwrap();
        {
            let mut state = running.house().state.lock();
            let root = state.tree.root();
            let uids = &mut Uuid::now_v7;
            let _ = state
                .tree
                .create_folder(root, "web", Definition::default(), uids)
                .unwrap();
            let web = state.tree.find(&"/web".parse().unwrap()).unwrap();
            let roles = [
                ("ann".parse().unwrap(), [Role::Operator].into()),
                ("boss".parse().unwrap(), [Role::Admin].into()),
            ];
            let _ = state.tree.set_grants(web, roles.into()).unwrap();
            let params = |whole: bool| Params {
                definition: whole.then(serde_json::Map::new),
                changes: vec![Change::Set {
                    key: vec!["vcpu".to_owned()],
                    value: json!(2),
                }],
                ..Params::default()
            };
            let order = |whole: bool| Order {
                kind: OperationKind::Edit,
                node: web,
                path: "/web".parse().unwrap(),
                params: params(whole),
            };
            assert_eq!(still_governs(&state, "ann", &order(true)), Ok(()));
            // While it waited, somebody protected the folder: what ann sends would take that back.
            let protected = Definition::from_json(&json!({"protect": true})).unwrap();
            let _ = state
                .tree
                .set_definition(web, protected, None, uids)
                .unwrap();
            let refused = still_governs(&state, "ann", &order(true)).unwrap_err();
            assert!(refused.detail.contains("`protect` of /web"), "{refused:?}");
            assert_eq!(still_governs(&state, "ann", &order(false)), Ok(()));
            assert_eq!(still_governs(&state, "boss", &order(true)), Ok(()));
            assert!(still_governs(&state, "No Subject", &order(true)).is_err());
        }
        running.stop().await;
    }
}
