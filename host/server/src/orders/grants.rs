//! What `set-grants` leaves on a node.

use enginehouse_api::{ErrorCode, FieldError, GrantChange, Problem};
use enginehouse_tree::{Grants, Role, Subject};

use crate::house::State;
use crate::orders::Order;

/// The grants of the order's node with its changes made, in order.
pub(super) fn changed(state: &State, order: &Order) -> Result<Grants, Problem> {
    let mut grants = state
        .tree
        .grants_on(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?
        .clone();
    if order.params.grants.is_empty() {
        return Err(Problem::new(
            ErrorCode::BadRequest,
            "`set-grants` without `grants` changes nothing",
        ));
    }
    for (at, change) in order.params.grants.iter().enumerate() {
        let subject = subject_of(order, at, change)?;
        match change {
            GrantChange::Add { roles, .. } if roles.is_empty() => {
                return Err(wrong(
                    order,
                    at,
                    "no role is named",
                    "name viewer, operator, approver or admin",
                ));
            }
            GrantChange::Add { roles, .. } => {
                let has = grants.entry(subject).or_default();
                has.extend(roles.iter().copied().map(of_wire));
            }
            GrantChange::Remove { roles, .. } => {
                if roles.is_empty() {
                    grants.remove(&subject);
                } else if let Some(has) = grants.get_mut(&subject) {
                    for role in roles {
                        has.remove(&of_wire(*role));
                    }
                }
            }
        }
    }
    Ok(grants)
}

fn subject_of(order: &Order, at: usize, change: &GrantChange) -> Result<Subject, Problem> {
    let subject: Subject = change.subject().parse().map_err(|error| {
        let error: enginehouse_tree::SubjectError = error;
        wrong(
            order,
            at,
            &error.to_string(),
            "see `enginehouse token list` for those that have a token",
        )
    })?;
    if subject.is_installation() {
        return Err(wrong(
            order,
            at,
            &format!(
                "`{subject}` is whom the installation's own token stands for: it has every right everywhere"
            ),
            "choose another name for a person",
        ));
    }
    Ok(subject)
}

fn wrong(order: &Order, at: usize, message: &str, hint: &str) -> Problem {
    Problem::new(
        ErrorCode::Invalid,
        format!("the grants for {} have an error", order.path),
    )
    .with_errors(vec![FieldError {
        node: order.path.clone(),
        key: format!("grants.{at}"),
        message: Some(message.to_owned()),
        expected: None,
        found: None,
        hint: Some(hint.to_owned()),
        description: None,
    }])
}

fn of_wire(role: enginehouse_api::Role) -> Role {
    match role {
        enginehouse_api::Role::Viewer => Role::Viewer,
        enginehouse_api::Role::Operator => Role::Operator,
        enginehouse_api::Role::Approver => Role::Approver,
        enginehouse_api::Role::Admin => Role::Admin,
    }
}
