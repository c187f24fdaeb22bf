//! How a client's plain passwords become references, before anything of its order is stored.

use std::collections::BTreeMap;

use enginehouse_api::{Change, ErrorCode, OperationRequest, Problem};
use enginehouse_model::{FullName, SecretName, Timestamp};
use enginehouse_secrets::RandomError;
use enginehouse_tree::{Definition, DefinitionErrors, KeyPath, Secret, name_keys, sealed_value};
use serde_json::Value;

use crate::house::{Staged, State};
use crate::orders::keep_secrets;
use crate::secrets::Kept;

/// The order without plain passwords: each is staged as a secret, and a reference stands in its
/// place.
///
/// # Errors
/// When a definition or a change is wrong, and when a secret stands where none may.
pub(crate) fn seal_order(
    state: &State,
    staged: &mut Staged,
    request: &OperationRequest,
    who: &str,
    now: Timestamp,
) -> Result<OperationRequest, Problem> {
    let mut request = request.clone();
    let params = &mut request.params;
    if params.definition.is_none() && params.changes.is_empty() {
        return Ok(request);
    }
    let mut sealer = Sealer::new(state, staged, &request.path, who, now);
    if let Some(document) = &mut params.definition {
        let mut value = Value::Object(std::mem::take(document));
        if let Some(before) = &sealer.before {
            keep_secrets(&mut value, &before.to_json());
        }
        let mut definition = Definition::parse(&request.path, &value)
            .map_err(|errors| crate::problem::of_definition(&errors))?;
        if definition.has_literals() {
            sealer.definition(&mut definition)?;
            value = definition.to_json();
        }
        if let Value::Object(members) = value {
            *document = members;
        }
    }
    for change in &mut params.changes {
        if let Change::Set { key, value } = change {
            let key = KeyPath::from_keys(key.clone());
            let mut failed = None;
            let sealed = sealed_value(&request.path, &key, value, &mut |way, text| {
                sealer.keep(way, text, &mut failed)
            })
            .map_err(|errors| crate::problem::of_definition(&errors))?;
            refused(failed)?;
            *value = sealed;
        }
    }
    Ok(request)
}

/// A definition that did not come by an order of its own: the same for all of it. `node` may be one
/// that is not there yet.
///
/// # Errors
/// When a secret stands where none may.
pub(crate) fn seal_definition(
    state: &State,
    staged: &mut Staged,
    node: &FullName,
    definition: &mut Definition,
    who: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    if !definition.has_literals() {
        return Ok(());
    }
    Sealer::new(state, staged, node, who, now).definition(definition)
}

struct Sealer<'s> {
    state: &'s State,
    staged: &'s mut Staged,
    node: &'s FullName,
    /// What is written on the node now.
    before: Option<Definition>,
    /// Names that it refers to, by key.
    references: BTreeMap<Vec<String>, SecretName>,
    who: &'s str,
    now: Timestamp,
}

impl<'s> Sealer<'s> {
    fn new(
        state: &'s State,
        staged: &'s mut Staged,
        node: &'s FullName,
        who: &'s str,
        now: Timestamp,
    ) -> Self {
        let before = state
            .tree
            .find(node)
            .and_then(|uid| state.tree.node(uid))
            .ok()
            .map(|node| node.local.clone());
        let references = before
            .iter()
            .flat_map(Definition::secrets)
            .filter_map(|(key, secret)| match secret {
                Secret::Named(name) => Some((key.keys().to_vec(), name)),
                Secret::Literal(_) | Secret::Env(_) | Secret::File(_) => None,
            })
            .collect();
        Self {
            state,
            staged,
            node,
            before,
            references,
            who,
            now,
        }
    }

    fn definition(&mut self, definition: &mut Definition) -> Result<(), Problem> {
        let problems = definition.refused_literals();
        if !problems.is_empty() {
            return Err(crate::problem::of_definition(&DefinitionErrors {
                node: self.node.clone(),
                problems,
            }));
        }
        let mut failed = None;
        definition.seal(&mut |way, text| self.keep(way, text, &mut failed));
        refused(failed)
    }

    /// The name under which a text is kept. The one that the key has already, when it holds the same
    /// text: who sends a definition again changes nothing. Else a new one, also where the key has
    /// one: operations before this one may still need what that holds.
    fn keep(&mut self, way: &[String], text: &str, failed: &mut Option<RandomError>) -> SecretName {
        if let Some(name) = self.references.get(way)
            && self.state.secrets.get(name).is_some_and(|it| it.generated)
            && self
                .state
                .secrets
                .open(name)
                .is_ok_and(|kept| kept.as_str() == text)
        {
            return name.clone();
        }
        let mut number = 1;
        let name = loop {
            let name = SecretName::generated(self.node, name_keys(way), number);
            if self.state.secrets.get(&name).is_none()
                && !self.staged.secrets.kept.contains_key(&name)
                && self.state.secrets.users(&name).next().is_none()
            {
                break name;
            }
            number += 1;
        };
        match self.state.secrets.keys.seal(&name, text) {
            Ok(sealed) => {
                let kept = Kept {
                    sealed,
                    generated: true,
                    created_at: self.now,
                    changed_at: self.now,
                    by: self.who.to_owned(),
                };
                self.staged.secrets.kept.insert(name.clone(), Some(kept));
            }
            Err(error) => *failed = Some(error),
        }
        name
    }
}

fn refused(failed: Option<RandomError>) -> Result<(), Problem> {
    match failed {
        Some(error) => Err(Problem::new(
            ErrorCode::Internal,
            format!("the secret cannot be encrypted: {error}"),
        )),
        None => Ok(()),
    }
}
