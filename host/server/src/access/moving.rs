//! What a move needs: it can take protection from a machine and give rights to people, without a word
//! of a definition or a grant being written.

use std::collections::BTreeSet;

use enginehouse_api::{ErrorCode, OperationKind, OperationRequest, Problem};
use enginehouse_tree::{GOVERNED_KEYS, Permission, Subject};

use crate::access::Caller;
use crate::house::State;
use crate::orders::{Order, find, look_at};

/// Whether the caller may order a move: `operate` on the node and on the folder it goes to; `govern`
/// on the node, too, where something governed is written on it or changes with the place.
///
/// A move that waits is looked at again when its turn comes ([`still_may_move`]).
///
/// # Errors
/// `not-found` for what the caller may not read, `forbidden` with what is missing; and those of the
/// move itself.
pub(crate) fn check_move(
    caller: &Caller,
    state: &mut State,
    request: &OperationRequest,
) -> Result<(), Problem> {
    let node = caller.find(state, &request.path)?;
    caller.must(state, node, Permission::Operate)?;
    if let Some(parent) = request.params.to.as_ref().and_then(|to| to.parent()) {
        let folder = caller.find(state, &parent)?;
        caller.must(state, folder, Permission::Operate)?;
    }
    if caller.may(state, node, Permission::Govern) {
        return Ok(());
    }
    let order = Order {
        kind: OperationKind::Move,
        node,
        path: request.path.clone(),
        params: request.params.clone(),
    };
    let waits = state.queue.lane(node).next().is_some();
    let keys = if waits {
        state.governed_on(node)?
    } else {
        governed(state, &order)?
    };
    caller.must_govern_keys(state, node, &keys)
}

/// Whether who ordered a move that waited may still make it.
///
/// # Errors
/// `forbidden`, naming what is missing.
pub(crate) fn still_may_move(state: &mut State, who: &str, order: &Order) -> Result<(), Problem> {
    let forbidden = |what: &str| {
        Problem::new(
            ErrorCode::Forbidden,
            format!("{who} may not move {} any more: {what}", order.path),
        )
        .with_hint("look at it with `enginehouse move … --dry-run`, and order it anew")
    };
    let subject: Subject = who
        .parse()
        .map_err(|_| forbidden("there is no such name"))?;
    let folder = match order.params.to.as_ref().and_then(|to| to.parent()) {
        Some(parent) => find(state, &parent)?,
        None => order.node,
    };
    for node in [order.node, folder] {
        let given = state.tree.permissions(&subject, node).unwrap_or_default();
        if !given.allow(Permission::Operate) {
            return Err(forbidden(
                "it needs `operate` on the node and on its new folder",
            ));
        }
    }
    let given = state.tree.permissions(&subject, order.node);
    if given.unwrap_or_default().allow(Permission::Govern) {
        return Ok(());
    }
    match governed(state, order)?.as_slice() {
        [] => Ok(()),
        keys => Err(forbidden(&format!(
            "it needs `govern` to change `{}`",
            keys.join("`, `")
        ))),
    }
}

/// What is governed of a move: what is written on the node, and what changes with the place.
fn governed(state: &mut State, order: &Order) -> Result<Vec<String>, Problem> {
    let mut keys: BTreeSet<String> = state.governed_on(order.node)?.into_iter().collect();
    let preview = look_at(state, order)?;
    let rights = preview.rights.iter();
    keys.extend(
        rights
            .filter(|change| change.before != change.after)
            .map(|change| format!("rights of {}", change.subject)),
    );
    for touched in &preview.touched {
        let differences = touched.keys().into_iter();
        keys.extend(
            differences
                .filter(|found| found.is_of_value() && GOVERNED_KEYS.contains(&found.key.as_str()))
                .map(|found| found.key),
        );
    }
    Ok(keys.into_iter().collect())
}
