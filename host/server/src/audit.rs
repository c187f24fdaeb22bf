//! What goes into the audit log, gathered while a commit is made.
//!
//! Who ordered, allowed, revoked or lowered something is written in the commit that does it: either
//! both are on disk or none. The store gives each entry its number and its hash. No entry has a value
//! of a definition but for those that protect machines, and nothing secret.

use std::collections::BTreeMap;

use enginehouse_api::{Automatic, Change as KeyChange, Params};
use enginehouse_audit::Action;
use enginehouse_model::{FullName, NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Operation, StepPlan};
use enginehouse_store::{AuditRow, Write};
use enginehouse_tree::{Before, Grants, Guard, Role, Tree};

use crate::history::Cause;

/// Names and steps that one entry lists.
const LISTED: usize = 20;

/// Entries of a commit that is being made, in their order.
#[derive(Debug, Default)]
pub(crate) struct Audit(Vec<AuditRow>);

/// An entry that is being written.
#[derive(Debug)]
pub(crate) struct Note(AuditRow);

impl Note {
    pub(crate) fn new(action: Action, who: &str) -> Self {
        Self(AuditRow {
            at: Timestamp::default(),
            who: who.to_owned(),
            action,
            node: None,
            path: None,
            operation: None,
            detail: BTreeMap::new(),
        })
    }

    pub(crate) fn about(mut self, node: Option<NodeUid>, path: &FullName) -> Self {
        self.0.node = node.map(|node| node.to_string());
        self.0.path = Some(path.to_string());
        self
    }

    pub(crate) fn operation(mut self, number: Option<OperationId>) -> Self {
        self.0.operation = number;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.detail.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Audit {
    pub(crate) fn push(&mut self, note: Note) {
        self.0.push(note.0);
    }

    /// An order that was taken in.
    pub(crate) fn order(&mut self, view: &enginehouse_api::Operation, params: &Params) {
        let mut note = Note::new(Action::Order, &view.who)
            .about(view.node, &view.path)
            .operation(Some(view.number))
            .with("kind", view.kind);
        if let Some(secret) = &view.secret {
            note = note.with("secret", secret);
        }
        match params.automatic {
            Some(Automatic::Repair) => note = note.with("automatic", "repair"),
            Some(Automatic::Follow) => note = note.with("automatic", "follow"),
            None => {}
        }
        if let Some(to) = &params.to {
            note = note.with("to", to);
        }
        if params.definition.is_some() {
            note = note.with("definition", "whole");
        }
        if !params.changes.is_empty() {
            let keys = params.changes.iter().map(|change| match change {
                KeyChange::Set { key, .. } | KeyChange::Unset { key } => key.join("."),
            });
            note = note.with("keys", list(keys));
        }
        for (name, given) in [
            ("force", params.force),
            ("keep_disks", params.keep_disks),
            ("confirm_destructive", params.confirm_destructive),
            ("confirm_lowered", params.confirm_lowered),
        ] {
            if given {
                note = note.with(name, true);
            }
        }
        if let Some(earlier) = params.to_operation {
            note = note.with("to_operation", earlier);
        }
        self.push(note);
    }

    /// The plan that an operation carries out from here on.
    pub(crate) fn plan(&mut self, operation: &Operation, plan: &StepPlan) {
        if plan.steps.is_empty() {
            return;
        }
        let spec = &operation.spec;
        let steps = plan.steps.iter().map(|step| step.action.clone());
        let class = plan
            .steps
            .iter()
            .filter_map(|step| {
                step.body
                    .read::<enginehouse_reconcile::PlannedAction>()
                    .ok()
            })
            .map(|planned| planned.class)
            .max();
        let mut note = Note::new(Action::Plan, &spec.who)
            .about(Some(spec.target), &spec.target_name)
            .operation(Some(spec.number))
            .with("steps", list(steps));
        if let Some(class) = class {
            note = note.with("class", class);
        }
        self.push(note);
    }

    /// What the gate said to an action that destroys, right before it.
    pub(crate) fn gate(
        &mut self,
        spec: &enginehouse_queue::Spec,
        decision: &str,
        planned: &enginehouse_reconcile::PlannedAction,
    ) {
        let mut note = Note::new(Action::Gate, &spec.who)
            .about(Some(spec.target), &spec.target_name)
            .operation(Some(spec.number))
            .with("decision", decision)
            .with("action", planned.request.action.name())
            .with("class", planned.class);
        if let Some(machine) = &planned.request.machine {
            note = note.with("machine", &machine.id);
        }
        self.push(note);
    }

    /// That people were asked to approve what an operation destroys.
    pub(crate) fn asked(&mut self, operation: &Operation) {
        let Some(request) = crate::approvals::request_of(operation) else {
            return;
        };
        let actions = request.unit.actions.iter();
        let actions = actions.map(|action| action.action.clone());
        self.push(
            approval(&operation.spec, "asked")
                .with("actions", list(actions))
                .with("digest", request.unit.digest())
                .with("until", request.until.0),
        );
    }

    /// That an approval was used up by the step that begins.
    pub(crate) fn approval_used(&mut self, operation: &Operation) {
        let Some(request) = crate::approvals::request_of(operation) else {
            return;
        };
        let signed = crate::approvals::signed_of(operation);
        let keys = signed.iter().map(|signed| signed.fingerprint.clone());
        self.push(
            approval(&operation.spec, "used")
                .with("digest", request.unit.digest())
                .with("keys", list(keys)),
        );
    }

    /// That what was approved is another now, or that nobody approved it in time.
    pub(crate) fn approval_void(
        &mut self,
        spec: &enginehouse_queue::Spec,
        decision: &str,
        reason: &str,
    ) {
        self.push(approval(spec, decision).with("reason", reason));
    }

    /// That a limit does not let something be destroyed yet.
    pub(crate) fn waits(&mut self, spec: &enginehouse_queue::Spec, reason: &str) {
        self.push(
            Note::new(Action::Gate, &spec.who)
                .about(Some(spec.target), &spec.target_name)
                .operation(Some(spec.number))
                .with("decision", "waits")
                .with("reason", reason),
        );
    }

    /// What the gate has held of a plan.
    pub(crate) fn held(
        &mut self,
        spec: &enginehouse_queue::Spec,
        held: &[enginehouse_reconcile::Refusal],
    ) {
        for refusal in held {
            self.push(
                Note::new(Action::Gate, &spec.who)
                    .about(Some(spec.target), &spec.target_name)
                    .operation(Some(spec.number))
                    .with("decision", "held")
                    .with("class", refusal.class)
                    .with("reason", &refusal.reason),
            );
        }
    }

    /// What an edit did to rights, and to what protects machines. Says whether limits on destruction
    /// are others.
    pub(crate) fn nodes(
        &mut self,
        tree: &Tree,
        change: &enginehouse_tree::Change,
        cause: &Cause,
    ) -> bool {
        let mut limits_changed = false;
        for before in change.before() {
            let uid = before.uid;
            let now = tree.node(uid).ok();
            let Some(path) = tree.full_name(uid).ok().or(before.full_name) else {
                continue;
            };
            let note = |action| {
                Note::new(action, &cause.who)
                    .about(Some(uid), path)
                    .operation(cause.operation)
            };
            let was = before.node.map(|node| &node.grants);
            let is = now.map(|node| &node.grants);
            let changed = rights(was, is);
            if !changed.is_empty() {
                self.push(
                    changed
                        .into_iter()
                        .fold(note(Action::Grants), |note, (who, what)| {
                            note.with(&who, what)
                        }),
                );
            }
            let Some((was, is)) = guards(tree, &before) else {
                continue;
            };
            let changes = was.changes(&is);
            if changes.is_empty() {
                continue;
            }
            limits_changed |= was.destruction_limits != is.destruction_limits;
            let lowered = changes.iter().filter(|change| change.lowers);
            let lowered = list(lowered.map(|change| change.key.to_owned()));
            let mut entry = note(Action::Protection);
            for change in &changes {
                entry = entry.with(change.key, format!("{} -> {}", change.before, change.after));
            }
            if !lowered.is_empty() {
                entry = entry.with("lowers", lowered);
            }
            self.push(entry);
        }
        limits_changed
    }

    /// The rows.
    pub(crate) fn into_writes(self, now: Timestamp) -> impl Iterator<Item = Write> {
        self.0.into_iter().map(move |mut row| {
            row.at = now;
            Write::Audit(row)
        })
    }
}

fn approval(spec: &enginehouse_queue::Spec, decision: &str) -> Note {
    Note::new(Action::Approval, &spec.who)
        .about(Some(spec.target), &spec.target_name)
        .operation(Some(spec.number))
        .with("decision", decision)
}

/// What protected the node and what does now; of one that was just made, what its folder gives it. None
/// of one that is gone, and where nothing of its definition or its place changed.
fn guards(tree: &Tree, before: &Before<'_>) -> Option<(Guard, Guard)> {
    let now = tree.computed(before.uid).ok()?.guard();
    let was = match (before.node, before.computed) {
        (Some(_), computed) => computed?.guard(),
        (None, _) => {
            let folder = tree.node(before.uid).ok()?.parent?;
            tree.computed(folder).ok()?.guard()
        }
    };
    Some((was, now))
}

/// Who was given or lost which roles.
fn rights(was: Option<&Grants>, is: Option<&Grants>) -> BTreeMap<String, String> {
    let none = Grants::new();
    let (was, is) = (was.unwrap_or(&none), is.unwrap_or(&none));
    let shown = |grants: &Grants, subject| {
        let roles = grants.get(subject).into_iter().flatten();
        let roles: Vec<&str> = roles.copied().map(Role::as_str).collect();
        match roles.is_empty() {
            true => "none".to_owned(),
            false => roles.join(", "),
        }
    };
    was.keys()
        .chain(is.keys())
        .filter(|subject| was.get(*subject) != is.get(*subject))
        .map(|subject| {
            let change = format!("{} -> {}", shown(was, subject), shown(is, subject));
            (subject.to_string(), change)
        })
        .collect()
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(LISTED);
    let mut text = items[..items.len() - more].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
