//! Definitions as orders give and change them.

use enginehouse_api::{Change as KeyChange, Problem};
use enginehouse_tree::{Definition, KeyEdit, KeyPath, Tree};

use uuid::Uuid;

use crate::house::State;
use crate::orders::Order;
use crate::orders::hypervisors::must_keep_machines;

pub(crate) fn new_definition(order: &Order) -> Result<Definition, Problem> {
    let document = serde_json::Value::Object(order.params.definition.clone().unwrap_or_default());
    let definition = Definition::parse(&order.path, &document)
        .map_err(|errors| crate::problem::of_definition(&errors))?;
    edited(definition, order, Written::Not)
}

/// Whether what an order changes may be written already: it was accepted, and began before a pause, a
/// restart, or an unreachable hypervisor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Not,
    /// Then what it removes may be gone.
    Perhaps,
}

/// The definition that an accepted `edit` or `reconfigure` leaves.
pub(crate) fn edit_definition(state: &State, order: &Order) -> Result<Definition, Problem> {
    let node = state
        .tree
        .node(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    definition_on(&node.local, order, Written::Perhaps)
}

/// The same of one that is not accepted yet, in a tree that may not be that of the house.
pub(super) fn changed_definition(tree: &Tree, order: &Order) -> Result<Definition, Problem> {
    let node = tree
        .node(order.node)
        .map_err(|error| crate::problem::of_lookup(&error))?;
    definition_on(&node.local, order, Written::Not)
}

/// The definition that an order makes of another.
pub(super) fn definition_on(
    before: &Definition,
    order: &Order,
    written: Written,
) -> Result<Definition, Problem> {
    let base = match &order.params.definition {
        Some(document) => {
            let mut document = serde_json::Value::Object(document.clone());
            keep_secrets(&mut document, &before.to_json());
            Definition::parse(&order.path, &document)
                .map_err(|errors| crate::problem::of_definition(&errors))?
        }
        None => before.clone(),
    };
    edited(base, order, written)
}

/// Refuses at once what could not be written when its turn comes.
pub(super) fn check_edit(state: &State, order: &Order) -> Result<(), Problem> {
    let definition = changed_definition(&state.tree, order)?;
    must_keep_machines(state, order.node, &definition)?;
    state
        .tree
        .check_definition(order.node, definition, &mut Uuid::now_v7)
        .map_err(|error| crate::problem::of_edit(&error))
}

fn edited(base: Definition, order: &Order, written: Written) -> Result<Definition, Problem> {
    let edits: Vec<(KeyPath, KeyEdit)> = order
        .params
        .changes
        .iter()
        .map(|change| match change {
            KeyChange::Set { key, value } => {
                (KeyPath::from_keys(key.clone()), KeyEdit::Set(value.clone()))
            }
            KeyChange::Unset { key } => {
                let edit = match written {
                    Written::Not => KeyEdit::Remove,
                    Written::Perhaps => KeyEdit::Forget,
                };
                (KeyPath::from_keys(key.clone()), edit)
            }
        })
        .collect();
    base.edited(&order.path, &edits)
        .map_err(|errors| crate::problem::of_definition(&errors))
}

/// Puts the secrets of `before` where `document` has what output shows in their place.
pub(crate) fn keep_secrets(document: &mut serde_json::Value, before: &serde_json::Value) {
    match (document, before) {
        (serde_json::Value::Object(members), serde_json::Value::Object(before)) => {
            for (key, value) in members {
                if let Some(before) = before.get(key) {
                    keep_secrets(value, before);
                }
            }
        }
        (document, before) if document.as_str() == Some(enginehouse_api::HIDDEN) => {
            *document = before.clone();
        }
        _ => {}
    }
}
