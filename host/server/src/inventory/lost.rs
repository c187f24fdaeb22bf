//! Machines that were missing, for the case that they turn up again.
//!
//! A backup is brought back, or a storage that was away: then the machine is there again, with the mark and
//! the incarnation that are on its former record. Nothing is done about it but to say so. A person may
//! link it to its descriptor again, as long as that has no other machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use enginehouse_api::{ErrorCode, Problem, ReturnedMachine};
use enginehouse_audit::Action;
use enginehouse_documents::Code;
use enginehouse_engines::{Observer, Occasion, Silent};
use enginehouse_model::{FullName, MachineRecord, NodeUid, Timestamp};
use enginehouse_reconcile::{Ownership, owned, recognise};
use enginehouse_store::{DocumentError, Row, Table, Write};
use enginehouse_tree::{Event, Status};
use serde::{Deserialize, Serialize};

use crate::audit::Note;
use crate::history::{Cause, MachineEvent};
use crate::house::{House, Staged, State};
use crate::inventory::reading::READ_DEADLINE;
use crate::work::{Place, provider_identity};

/// Where the rows are among the settings.
const PREFIX: &str = "lost/";
const VERSION: u16 = 1;

/// The machine that a descriptor has lost last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub at: Timestamp,
    pub record: MachineRecord,
}

/// What is stored.
///
/// # Errors
/// When a row cannot be read.
pub(crate) fn load_lost(meta: &[Row]) -> Result<BTreeMap<NodeUid, Lost>, DocumentError> {
    let rows = meta.iter().filter_map(|row| {
        let node = row.key.strip_prefix(PREFIX)?.parse().ok()?;
        Some((node, &row.document))
    });
    rows.map(|(node, document)| Ok((node, document.read()?)))
        .collect()
}

/// Keeps the record of a machine that is missing.
pub(super) fn keep(state: &mut State, staged: &mut Staged, record: MachineRecord, at: Timestamp) {
    let node = record.node;
    let lost = Lost { at, record };
    staged.put(Table::Meta, format!("{PREFIX}{node}"), VERSION, &lost);
    state.lost.insert(node, lost);
}

fn forget(state: &mut State, staged: &mut Staged, node: NodeUid) {
    if state.lost.remove(&node).is_some() {
        staged.writes.push(Write::Delete {
            table: Table::Meta,
            key: format!("{PREFIX}{node}"),
        });
    }
}

/// Forgets those whose descriptors are gone.
pub(super) fn forget_gone(state: &mut State, staged: &mut Staged) {
    let gone = state.lost.keys().copied();
    let gone: Vec<NodeUid> = gone
        .filter(|node| state.tree.node(*node).is_err())
        .collect();
    for node in gone {
        forget(state, staged, node);
    }
}

/// The machine that the descriptor has lost, where the newest list shows it again.
pub(crate) fn returned(house: &House, state: &State, node: NodeUid) -> Option<ReturnedMachine> {
    let Lost { at, record } = state.lost.get(&node)?;
    let body = state.tree.descriptor(node).ok()?;
    if body.status != Status::Provisioned || body.machine.is_some() {
        return None;
    }
    let id = &record.identity.as_ref()?.machine_id;
    let list = house.inventories.newest(record.hypervisor)?;
    let entry = list.find(id).filter(|entry| entry.at > *at)?;
    let seen = (house.inventories).observation(record.hypervisor, id, *at, 0);
    let machine = seen.map_or_else(|| entry.shown.machine(), |seen| seen.machine);
    if matches!(owned(record, &machine), Ownership::NotOurs(_)) {
        return None;
    }
    Some(ReturnedMachine {
        id: id.clone(),
        hypervisor: state.tree.hypervisor(record.hypervisor)?.name.clone(),
        lost_at: *at,
        seen_at: entry.at,
    })
}

/// Links the machine that a descriptor has lost to it again.
///
/// # Errors
/// When there is none, the descriptor has another one or is worked on, or the hypervisor does not show the
/// very machine.
pub(crate) async fn link(
    house: &Arc<House>,
    node: NodeUid,
    path: &FullName,
    who: &str,
) -> Result<(), Problem> {
    let (lost, place) = {
        let state = house.state.lock();
        let lost = linkable(&state, node, path)?.clone();
        let Some(hypervisor) = state.tree.hypervisor(lost.record.hypervisor) else {
            return Err(Problem::new(
                ErrorCode::WrongState,
                format!("the hypervisor entry that the machine of {path} was made on is gone"),
            ));
        };
        (lost, Place::of(hypervisor))
    };
    let record = look(house, &place, &lost.record).await?;
    house
        .transact(|state, staged, now| {
            if linkable(state, node, path)?.record.uid != record.uid {
                return Err(Problem::new(
                    ErrorCode::Stale,
                    format!("{path} has changed meanwhile"),
                )
                .with_hint("look again"));
            }
            if let Some(other) = taken_by(state, &record) {
                return Err(Problem::new(
                    ErrorCode::Conflict,
                    format!("the machine is that of {other} by now"),
                )
                .with_hint("`enginehouse show` of that one says more"));
            }
            staged.history.because(Cause {
                operation: None,
                who: who.to_owned(),
                kind: "link".to_owned(),
            });
            let of_edit = |error| crate::problem::of_edit(&error);
            let set = state.tree.set_machine(node, Some(record.uid));
            staged.nodes(&state.tree, &set.map_err(of_edit)?);
            match state.tree.transition(node, Event::Deploy) {
                Ok(change) => staged.nodes(&state.tree, &change),
                Err(error) => tracing::error!(%error, "a descriptor's state was not changed"),
            }
            let record = MachineRecord {
                last_step_ended: now,
                unnoted: false,
                ..record
            };
            staged.record(&record);
            staged.history.machine(state, &record, MachineEvent::Linked);
            let id = record.identity.as_ref().map(|id| id.machine_id.clone());
            let note = Note::new(Action::Link, who).about(Some(node), path);
            let note = note.with("machine", id.unwrap_or_default());
            staged.audit.push(note);
            state.records.insert(record.uid, Box::new(record));
            forget(state, staged, node);
            Ok(())
        })
        .await
}

/// The descriptor that has this very machine by now: it may have been adopted.
fn taken_by(state: &State, record: &MachineRecord) -> Option<String> {
    let id = |record: &MachineRecord| Some(record.identity.as_ref()?.machine_id.clone());
    let mut others = state.records.values();
    let other =
        others.find(|other| other.hypervisor == record.hypervisor && id(other) == id(record))?;
    let name = state.tree.full_name(other.node).map(ToString::to_string);
    Some(name.unwrap_or_default())
}

/// What a descriptor can be linked to again.
fn linkable<'s>(state: &'s State, node: NodeUid, path: &FullName) -> Result<&'s Lost, Problem> {
    let body = state.tree.descriptor(node);
    let body = body.map_err(|error| crate::problem::of_lookup(&error))?;
    let wrong = |detail: String, hint: &str| {
        Err(Problem::new(ErrorCode::WrongState, detail).with_hint(hint.to_owned()))
    };
    if body.status != Status::Provisioned || body.machine.is_some() {
        return wrong(
            format!("{path} has a machine"),
            "`undeploy` removes it; then the former one can be linked",
        );
    }
    if let Some(operation) = state.queue.lane(node).next() {
        let number = operation.number();
        return wrong(
            format!("operation {number} works on {path}"),
            "wait for it, or cancel it",
        );
    }
    match state.lost.get(&node) {
        Some(lost) => Ok(lost),
        None => wrong(
            format!("{path} has lost no machine"),
            "`enginehouse history` shows the machines that it had",
        ),
    }
}

/// The record of the machine that is there, when it is the very one.
async fn look(
    house: &Arc<House>,
    place: &Place,
    record: &MachineRecord,
) -> Result<MachineRecord, Problem> {
    let failed = |problem: enginehouse_documents::Problem| {
        Problem::new(
            ErrorCode::Conflict,
            format!("`{}` could not be asked: {}", place.name, problem.message),
        )
    };
    let not_it = |why: String| {
        Problem::new(ErrorCode::Conflict, why)
            .with_hint("only the very machine is linked again; `deploy` makes a new one")
    };
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let (engine, connection) = place.reach(house).map_err(failed)?;
    let identity = provider_identity(house, &engine, &connection, &observer).await;
    let identity = identity.map_err(failed)?;
    if identity != record.provider_identity {
        return Err(not_it(format!(
            "hypervisor `{}` is another one than the machine was made on",
            place.name
        )));
    }
    let Some(known) = &record.identity else {
        return Err(not_it("the provider's id of it is not known".to_owned()));
    };
    let occasion = Occasion::reading(READ_DEADLINE, observer);
    let asked = [known.machine_ref()];
    let answers = engine.read(occasion, &connection, &asked).await;
    let found = answers.map_err(|error| failed(error.problem()))?.pop();
    let machine = match found {
        Some(Ok(machine)) => machine,
        Some(Err(problem)) if problem.code == Code::NotFound => {
            return Err(not_it(format!(
                "machine {} is not on `{}`",
                known.machine_id, place.name
            )));
        }
        Some(Err(problem)) => return Err(failed(problem)),
        None => {
            return Err(not_it("the engine answered nothing about it".to_owned()));
        }
    };
    // Where nothing says that it is the very one, it may be anybody's.
    match owned(record, &machine) {
        Ownership::Ours => {}
        Ownership::NotOurs(why) | Ownership::Unclear(why) => return Err(not_it(why)),
    }
    let mut record = record.clone();
    recognise(&mut record, &machine);
    Ok(record)
}
