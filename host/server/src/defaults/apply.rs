//! How the hypervisors of environment and file get into the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enginehouse_api::{ErrorCode, OperationKind, Params, Problem};
use enginehouse_model::{FullName, NodeUid, Timestamp};
use enginehouse_store::Table;
use enginehouse_tree::{Definition, KeyEdit, KeyPath, Secrets};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::values::Values;
use super::{DefaultsError, read};
use crate::house::{House, Staged, State};
use crate::orders::Order;

/// Row of [`Defaults`] in the table of settings.
pub(crate) const ROW: &str = "defaults";
const VERSION: u16 = 1;
/// Who writes them, as operations name it.
const WHO: &str = "environment";

/// What was written by earlier starts, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Defaults(BTreeMap<String, Written>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Written {
    /// The entry's document, references in place of passwords.
    entry: Value,
    /// `PROXMOX_HOST`, `engines.yaml`.
    sources: BTreeSet<String>,
}

impl Defaults {
    /// Where the entry `name` of the root came from, if it is still as it was written.
    pub(crate) fn sources(&self, name: &str, entry: &Value) -> Vec<String> {
        match self.0.get(name) {
            Some(written) if written.entry == *entry => written.sources.iter().cloned().collect(),
            Some(_) | None => Vec::new(),
        }
    }
}

/// What is to become of one name.
enum Step {
    Write(Values),
    Remove,
}

/// Brings the root to what environment and file say.
pub(crate) async fn apply(house: &Arc<House>) -> Result<(), DefaultsError> {
    let engines: Vec<_> = house
        .engines
        .iter()
        .map(|engine| engine.description())
        .collect();
    let mut steps = Vec::new();
    for (name, values) in read(&house.config, &engines)? {
        let known = house.state.lock().defaults.0.contains_key(&name);
        if values.has_host() {
            steps.push((name, Step::Write(values)));
            continue;
        }
        if !values.is_empty() {
            let said: Vec<String> = values.sources().into_iter().collect();
            tracing::warn!(
                "{} say something of the hypervisor `{name}`, but nothing says its host",
                said.join(", ")
            );
        }
        // What an engine that is not loaded would say, nobody knows: its entry stays.
        if known {
            steps.push((name, Step::Remove));
        }
    }
    for (name, step) in steps {
        one(house, &name, step).await?;
    }
    Ok(())
}

async fn one(house: &Arc<House>, name: &str, step: Step) -> Result<(), DefaultsError> {
    let decided = house
        .transact(|state, staged, now| {
            let root = state.tree.root();
            let node = state.tree.node(root);
            let local = node.map_err(|error| crate::problem::of_lookup(&error))?.local.clone();
            let present = entry_of(&local, name);
            let mut remembered = state.defaults.clone();
            let ours = match (&present, remembered.0.get(name)) {
                (Some(present), Some(written)) => written.entry == *present,
                (Some(_), None) => false,
                (None, _) => true,
            };
            if !ours {
                remembered.0.remove(name);
                remember(state, staged, remembered);
                tracing::info!(
                    "the hypervisor `{name}` at / is as people wrote it: environment and engines.yaml are not used for it"
                );
                return Ok(());
            }
            let key = KeyPath::from_keys(vec!["hypervisors".to_owned(), name.to_owned()]);
            let (edit, sources) = match &step {
                Step::Write(values) => {
                    (KeyEdit::Set(values.entry(name)), values.sources())
                }
                Step::Remove if present.is_none() => {
                    remembered.0.remove(name);
                    remember(state, staged, remembered);
                    return Ok(());
                }
                Step::Remove => (KeyEdit::Remove, BTreeSet::new()),
            };
            let mut definition = local
                .edited(&FullName::root(), &[(key, edit)])
                .map_err(|errors| crate::problem::of_definition(&errors))?;
            let root_name = FullName::root();
            crate::secrets::seal_definition(state, staged, &root_name, &mut definition, WHO, now)?;
            if matches!(step, Step::Remove) {
                let in_use = state.machines_on(root, &definition);
                if in_use > 0 {
                    tracing::warn!(
                        "nothing says the hypervisor `{name}` any more; it stays, since {in_use} machines are on it"
                    );
                    return Ok(());
                }
            }
            let entry = entry_of(&definition, name);
            let unchanged = entry == present;
            if !unchanged {
                let uids = &mut Uuid::now_v7;
                let change = match state.tree.set_definition(root, definition, None, uids) {
                    Ok(change) => change,
                    Err(error) if matches!(step, Step::Remove) => {
                        tracing::warn!("nothing says the hypervisor `{name}` any more; it stays: {error}");
                        return Ok(());
                    }
                    Err(error) => return Err(crate::problem::of_edit(&error)),
                };
                staged.nodes(&state.tree, &change);
                number(state, staged, root, now);
            }
            match entry {
                Some(entry) => {
                    let said: Vec<String> = sources.iter().cloned().collect();
                    tracing::info!(
                        "the hypervisor `{name}` at / is out of {}{}",
                        said.join(", "),
                        if unchanged { ", as before" } else { "" }
                    );
                    remembered.0.insert(name.to_owned(), Written { entry, sources });
                }
                None => {
                    tracing::info!("the hypervisor `{name}` at / is gone: nothing says it any more");
                    remembered.0.remove(name);
                }
            }
            remember(state, staged, remembered);
            Ok(())
        })
        .await;
    decided.map_err(|problem| of_problem(name, problem))
}

fn of_problem(name: &str, problem: Problem) -> DefaultsError {
    match problem.code {
        ErrorCode::Invalid => DefaultsError::Entry {
            name: name.to_owned(),
            problems: if problem.errors.is_empty() {
                problem.detail
            } else {
                let said = problem.errors.iter().map(|error| {
                    let what = error.message.clone().unwrap_or_else(|| {
                        format!(
                            "expected {}, found {}",
                            error.expected.as_deref().unwrap_or("something else"),
                            error.found.as_deref().unwrap_or("this")
                        )
                    });
                    format!("{}: {what}", error.key)
                });
                said.collect::<Vec<_>>().join("; ")
            },
        },
        _ => DefaultsError::Write(problem.detail),
    }
}

/// The entry of that name, as it is written.
fn entry_of(definition: &Definition, name: &str) -> Option<Value> {
    let entries = definition.hypervisors.set()?;
    let entry = entries.0.get(name)?.as_ref()?;
    Some(entry.json(Secrets::Shown))
}

fn remember(state: &mut State, staged: &mut Staged, defaults: Defaults) {
    if state.defaults != defaults {
        staged.put(Table::Meta, ROW.to_owned(), VERSION, &defaults);
        state.defaults = defaults;
    }
}

/// Gives the change a number, as every change has one.
fn number(state: &mut State, staged: &mut Staged, root: NodeUid, now: Timestamp) {
    let number = state.number();
    let order = Order {
        kind: OperationKind::Edit,
        node: root,
        path: FullName::root(),
        params: Params::default(),
    };
    let view = crate::view::quick(number, &order, WHO, now);
    crate::conclude::quick(state, staged, &view, &order, now);
}

impl State {
    /// Machines on record on hypervisors that would be no more with this definition.
    fn machines_on(&self, node: NodeUid, definition: &Definition) -> usize {
        let gone = self
            .tree
            .hypervisors_removed_by(node, definition)
            .unwrap_or_default();
        self.records
            .values()
            .filter(|record| gone.contains(&record.hypervisor))
            .count()
    }
}
