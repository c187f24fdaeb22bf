//! What an import makes, changes and removes, node by node.

use std::collections::HashSet;

use enginehouse_api::{
    DefinitionChange, ImportAnswer, ImportNode, NodeKind, OperationKind, Params, Problem,
};
use enginehouse_model::{FullName, NodeUid, Timestamp};
use enginehouse_text::{FileProblem, Source, Wanted, differences, secrets_missing};
use enginehouse_tree::{
    Definition, Event, Node, NodeEdit, Permission, Status, governed_difference, governed_keys, next,
};

use super::Import;
use super::refusals::Refusals;
use crate::access::Caller;
use crate::house::{Staged, State};
use crate::orders::Order;
use crate::orders::hypervisors::must_keep_machines;
use crate::orders::projected::check_projected;
use crate::secrets::{KeptChanges, seal_definition};

/// What an import comes to.
pub(super) struct Decided {
    pub edits: Vec<NodeEdit>,
    pub machines: Vec<Machine>,
    pub answer: ImportAnswer,
    /// Passwords that stood in files as text.
    pub secrets: KeptChanges,
}

/// A deployed descriptor that says something else.
pub(super) struct Machine {
    pub node: NodeUid,
    pub path: FullName,
    pub definition: Definition,
}

impl Machine {
    /// The order that changes it.
    pub(super) fn into_order(self, confirm_lowered: bool, confirm_destructive: bool) -> Order {
        let definition = match self.definition.to_json() {
            serde_json::Value::Object(members) => Some(members),
            _ => None,
        };
        Order {
            kind: OperationKind::Reconfigure,
            node: self.node,
            path: self.path,
            params: Params {
                definition,
                confirm_lowered,
                confirm_destructive,
                ..Params::default()
            },
        }
    }
}

/// # Errors
/// With everything that stands against it.
pub(super) fn decide(
    caller: &Caller,
    state: &State,
    import: &Import<'_>,
    now: Timestamp,
) -> Result<Decided, Problem> {
    let anchor = must_operate(caller, state, &import.request.path)?;
    let mut deciding = Deciding {
        caller,
        state,
        import,
        anchor,
        now,
        scratch: Staged::default(),
        refusals: Refusals::default(),
        decided: Decided {
            secrets: KeptChanges::default(),
            edits: Vec::new(),
            machines: Vec::new(),
            answer: ImportAnswer {
                path: import.request.path.clone(),
                dry_run: import.request.dry_run,
                digest: String::new(),
                made: Vec::new(),
                edited: Vec::new(),
                reconfigured: Vec::new(),
                removed: Vec::new(),
                unchanged: 0,
                left: 0,
                ignored: import.reading.ignored,
                lowered: Vec::new(),
                machines: Vec::new(),
                plan: None,
                not_planned: None,
                operation: None,
                replayed: false,
            },
        },
    };
    for wanted in &import.reading.wanted {
        match state.tree.find(&wanted.node) {
            Ok(uid) => deciding.compare(wanted, uid)?,
            Err(_) => deciding.make(wanted)?,
        }
    }
    deciding.rest()?;
    let Deciding {
        refusals,
        mut decided,
        scratch,
        ..
    } = deciding;
    decided.secrets = scratch.secrets;
    if !refusals.is_empty() {
        return Err(refusals.into_problem(0));
    }
    let answer = &mut decided.answer;
    let document = serde_json::json!([
        answer.made,
        answer.edited,
        answer.reconfigured,
        answer.removed
    ]);
    answer.digest = blake3::hash(document.to_string().as_bytes())
        .to_hex()
        .chars()
        .take(32)
        .collect();
    Ok(decided)
}

/// The folder that is imported into, or the one that it is made in. Permissions inherit, so who may
/// operate there may do so below.
fn must_operate(caller: &Caller, state: &State, path: &FullName) -> Result<NodeUid, Problem> {
    let there = state.tree.find(path).is_ok();
    let node = match path.parent() {
        Some(parent) if !there => caller.find(state, &parent)?,
        _ => caller.find(state, path)?,
    };
    caller.must(state, node, Permission::Operate)?;
    Ok(node)
}

struct Deciding<'d> {
    caller: &'d Caller,
    state: &'d State,
    import: &'d Import<'d>,
    /// See [`must_operate`].
    anchor: NodeUid,
    now: Timestamp,
    /// What is staged only if the import is more than looked at.
    scratch: Staged,
    refusals: Refusals,
    decided: Decided,
}

impl Deciding<'_> {
    /// What a node's file says; `None` where it says nothing, or something is wrong with it.
    fn definition(&mut self, wanted: &Wanted, before: Option<&Node>) -> Option<Definition> {
        match &wanted.says {
            Source::Nothing => None,
            Source::Definition(definition) => Some(Definition::clone(definition)),
            Source::Hidden(members) => {
                let file = wanted.file.as_deref().unwrap_or_default();
                let before = before.map(|node| &node.local);
                match secrets_missing(file, self.import.bytes(file), members, before) {
                    Ok(definition) => Some(definition),
                    Err(problems) => {
                        for problem in &problems {
                            self.refusals.of_file(&wanted.node, problem);
                        }
                        None
                    }
                }
            }
        }
    }

    /// Passwords in it become references. Who may change what is asked before: of a reference of the
    /// file's own, and without telling whether a password is the one that is kept.
    ///
    /// # Errors
    /// When a password cannot be encrypted.
    fn sealed(
        &mut self,
        wanted: &Wanted,
        mut definition: Definition,
    ) -> Result<Definition, Problem> {
        seal_definition(
            self.state,
            &mut self.scratch,
            &wanted.node,
            &mut definition,
            self.caller.who(),
            self.now,
        )?;
        Ok(definition)
    }

    fn make(&mut self, wanted: &Wanted) -> Result<(), Problem> {
        let definition = self.definition(wanted, None).unwrap_or_default();
        self.caller
            .must_govern_keys(self.state, self.anchor, &governed_keys(&definition))?;
        let definition = self.sealed(wanted, definition)?;
        self.decided.answer.made.push(ImportNode {
            path: wanted.node.clone(),
            kind: kind(wanted.is_folder),
            changes: changes(&Definition::default(), &definition),
        });
        let at = wanted.node.clone();
        self.decided.edits.push(if wanted.is_folder {
            NodeEdit::Folder { at, definition }
        } else {
            NodeEdit::Descriptor { at, definition }
        });
        Ok(())
    }

    fn compare(&mut self, wanted: &Wanted, uid: NodeUid) -> Result<(), Problem> {
        let node = self
            .state
            .tree
            .node(uid)
            .map_err(|error| crate::problem::of_lookup(&error))?;
        if node.is_folder() != wanted.is_folder {
            let (is, says) = match wanted.is_folder {
                true => ("descriptor", "folder"),
                false => ("folder", "descriptor"),
            };
            let file = wanted.file.clone().unwrap_or_else(|| {
                let top = self.import.request.path.segments().len();
                let segments = wanted.node.segments();
                let below = segments.get(top..).unwrap_or_default();
                format!("{}/", below.join("/"))
            });
            let message = format!("makes {} a {says}, and it is a {is}", wanted.node);
            let problem = FileProblem::of_file(&file, message)
                .with_hint("give one of them another name, or remove the node first");
            self.refusals.of_file(&wanted.node, &problem);
            return Ok(());
        }
        let Some(definition) = self.definition(wanted, Some(node)) else {
            self.decided.answer.unchanged += 1;
            return Ok(());
        };
        self.caller.must_govern_keys(
            self.state,
            uid,
            &governed_difference(&node.local, &definition),
        )?;
        let definition = self.sealed(wanted, definition)?;
        if node.local == definition {
            self.decided.answer.unchanged += 1;
            return Ok(());
        }
        let file = wanted.file.as_deref();
        if let Err(problem) = must_keep_machines(self.state, uid, &definition) {
            self.refusals
                .of_state(&wanted.node, file, problem.detail, problem.hint);
            return Ok(());
        }
        if self.is_busy(uid, &wanted.node, file) {
            return Ok(());
        }
        let entry = ImportNode {
            path: wanted.node.clone(),
            kind: kind(wanted.is_folder),
            changes: changes(&node.local, &definition),
        };
        let deployed = node
            .body()
            .is_some_and(|body| body.status != Status::Provisioned);
        if !deployed {
            self.decided.answer.edited.push(entry);
            self.decided.edits.push(NodeEdit::Define {
                node: uid,
                definition,
            });
            return Ok(());
        }
        if self.import.request.no_reconfigure {
            self.refusals.of_state(
                &wanted.node,
                file,
                format!(
                    "{} is deployed, and its definition would change",
                    wanted.node
                ),
                Some("without `--no-reconfigure` the machine is reconfigured".to_owned()),
            );
            return Ok(());
        }
        if let Err(problem) = check_projected(self.state, uid, OperationKind::Reconfigure) {
            self.refusals
                .of_state(&wanted.node, file, problem.detail, problem.hint);
            return Ok(());
        }
        self.decided.answer.reconfigured.push(entry);
        self.decided.machines.push(Machine {
            node: uid,
            path: wanted.node.clone(),
            definition,
        });
        Ok(())
    }

    /// What no file speaks of: it stays, or it is removed.
    fn rest(&mut self) -> Result<(), Problem> {
        let Ok(top) = self.state.tree.find(&self.import.request.path) else {
            return Ok(());
        };
        let wanted: HashSet<&FullName> = self
            .import
            .reading
            .wanted
            .iter()
            .map(|wanted| &wanted.node)
            .collect();
        let walk = self
            .state
            .tree
            .walk(top)
            .map_err(|error| crate::problem::of_lookup(&error))?;
        for node in walk {
            let Ok(name) = self.state.tree.full_name(node.uid) else {
                continue;
            };
            if wanted.contains(name) {
                continue;
            }
            if !self.import.request.prune {
                self.decided.answer.left += 1;
                continue;
            }
            self.remove(node, name)?;
        }
        Ok(())
    }

    fn remove(&mut self, node: &Node, name: &FullName) -> Result<(), Problem> {
        let governed = self.state.governed_on(node.uid)?;
        self.caller
            .must_govern_keys(self.state, node.uid, &governed)?;
        if self.is_busy(node.uid, name, None) {
            return Ok(());
        }
        if let Some(body) = node.body()
            && let Err(refused) = next(body.status, body.machine.is_some(), Event::Deprovision)
        {
            let state = match (body.status, body.machine) {
                (Status::Provisioned, Some(_)) => "has a machine on record",
                (Status::Provisioned, None) => "is provisioned",
                (Status::Deployed, _) => "is deployed",
                (Status::Unreachable, _) => "is unreachable",
            };
            self.refusals.of_state(
                name,
                None,
                format!("{name} {state} and is in no file: it is not removed"),
                Some(format!("keep its file; or {}", refused.instead)),
            );
            return Ok(());
        }
        if let Err(problem) = must_keep_machines(self.state, node.uid, &Definition::default()) {
            self.refusals
                .of_state(name, None, problem.detail, problem.hint);
            return Ok(());
        }
        self.decided.answer.removed.push(ImportNode {
            path: name.clone(),
            kind: kind(node.is_folder()),
            changes: Vec::new(),
        });
        self.decided.edits.push(NodeEdit::Remove { node: node.uid });
        Ok(())
    }

    /// Whether operations wait or run on a node that would change: their outcome is not known yet.
    fn is_busy(&mut self, uid: NodeUid, name: &FullName, file: Option<&str>) -> bool {
        let Some(operation) = self.state.queue.lane(uid).next() else {
            return false;
        };
        let number = operation.number();
        self.refusals.of_state(
            name,
            file,
            format!("{name} would change, and operation {number} works on it"),
            Some(format!("wait for it: `enginehouse ops wait {number}`")),
        );
        true
    }
}

fn kind(is_folder: bool) -> NodeKind {
    if is_folder {
        NodeKind::Folder
    } else {
        NodeKind::Descriptor
    }
}

fn changes(before: &Definition, after: &Definition) -> Vec<DefinitionChange> {
    differences(before, after)
        .into_iter()
        .map(|change| DefinitionChange {
            key: change.key,
            before: change.before,
            after: change.after,
        })
        .collect()
}
