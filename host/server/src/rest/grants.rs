//! Who was given which role where.

use axum::Json;
use enginehouse_api::{Grant, GrantList, Role};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::Permission;
use serde::Deserialize;

use crate::access::Caller;
use crate::house::State;
use crate::rest::answer::{Answer, Params};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    path: Option<FullName>,
}

pub(crate) async fn list(
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Answer<Json<GrantList>> {
    caller.asks_of_each(Permission::Read);
    let state = caller.house().state.lock();
    let mut grants = match &query.path {
        Some(path) => {
            let node = caller.find(&state, path)?;
            let rights = state
                .tree
                .subjects_with_rights(node)
                .map_err(|error| crate::problem::of_lookup(&error))?;
            rights
                .into_iter()
                .flat_map(|(subject, rights)| {
                    let subject = subject.to_string();
                    rights
                        .into_iter()
                        .filter_map(|right| grant(&state, right.from, &subject, right.role))
                        .collect::<Vec<_>>()
                })
                .collect()
        }
        None => written(&caller, &state),
    };
    grants.sort();
    Ok(Json(GrantList { grants }))
}

/// What is written on any node that the caller may read.
fn written(caller: &Caller, state: &State) -> Vec<Grant> {
    let nodes = state.tree.nodes().filter(|node| !node.grants.is_empty());
    let readable = nodes.filter(|node| caller.may(state, node.uid, Permission::Read));
    let mut grants = Vec::new();
    for node in readable {
        for (subject, roles) in &node.grants {
            let subject = subject.as_str();
            let given = roles
                .iter()
                .map(|role| grant(state, node.uid, subject, *role));
            grants.extend(given.flatten());
        }
    }
    grants
}

pub(super) fn grant(
    state: &State,
    node: NodeUid,
    subject: &str,
    role: enginehouse_tree::Role,
) -> Option<Grant> {
    Some(Grant {
        path: state.tree.full_name(node).ok()?.clone(),
        subject: subject.to_owned(),
        role: match role {
            enginehouse_tree::Role::Viewer => Role::Viewer,
            enginehouse_tree::Role::Operator => Role::Operator,
            enginehouse_tree::Role::Approver => Role::Approver,
            enginehouse_tree::Role::Admin => Role::Admin,
        },
    })
}
