//! What follows for descriptors from what a list shows of their machines, and the brake on it.
//!
//! Decided in [`enginehouse_reconcile::inventory`]; here it is counted, asked and written. Counts are kept
//! in memory: after a restart two more lists have to agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use enginehouse_api::{ErrorCode, HypervisorEvent, Problem as Refusal};
use enginehouse_audit::Action;
use enginehouse_documents::{Code, MachineRef, Problem};
use enginehouse_engines::{Connection, Engine, Observer, Occasion};
use enginehouse_model::{FullName, HypervisorUid, MachineRecord, MachineUid, NodeUid, Timestamp};
use enginehouse_reconcile::inventory::{Case, List, Sight, Verdict, judge, sight};
use enginehouse_store::{Table, Write};
use enginehouse_tree::{Event, Status};

use crate::audit::Note;
use crate::events::Draft;
use crate::history::{Cause, MachineEvent};
use crate::house::{House, Staged, State};
use crate::inventory::lost;
use crate::inventory::reading::{AT_ONCE, READ_DEADLINE};

/// Who has said so where nobody did.
const HOST: &str = "host";

/// A machine on record that lists do not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    /// When the first list began that did not show it.
    pub since: Timestamp,
    /// Lists that looked everywhere and did not show it.
    pub lists: u32,
    /// A person has agreed that it may be gone.
    pub agreed: bool,
}

/// What lists said of the machines on record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absences {
    pub of: BTreeMap<MachineUid, Absence>,
    /// Too many at once: since when, and how many machines are on record.
    pub held: Option<(Timestamp, usize)>,
    /// The list that was judged last.
    judged: Option<Timestamp>,
}

impl Absences {
    /// Counts what a list says of a machine; answers how many lists did not show it.
    fn count(&mut self, machine: MachineUid, sight: Sight, began_at: Timestamp) -> (u32, bool) {
        match sight {
            Sight::Shown => {
                self.of.remove(&machine);
            }
            Sight::Absent => {
                let absence = self.of.entry(machine).or_insert(Absence {
                    since: began_at,
                    lists: 0,
                    agreed: false,
                });
                absence.lists = absence.lists.saturating_add(1);
            }
            Sight::HostAway | Sight::Unknown => {}
        }
        let absence = self.of.get(&machine);
        absence.map_or((0, false), |absence| (absence.lists, absence.agreed))
    }
}

/// Takes in what the newest list says of all machines on record there; one that was judged before says
/// nothing new.
///
/// # Errors
/// When the provider cannot be asked about machines that are absent.
pub(super) async fn conclude(
    house: &Arc<House>,
    engine: &Engine,
    connection: &Arc<Connection>,
    identity: &str,
    list: &Arc<List>,
    observer: &Arc<dyn Observer>,
) -> Result<(), Problem> {
    let hypervisor = connection.hypervisor();
    let lag_ms = engine.description().visibility_lag_ms;
    let ask = house
        .transact(|state, staged, now| {
            let ask = house.inventories.with(hypervisor, |kept| {
                let absences = &mut kept.absences;
                if absences.judged.replace(list.began_at) == Some(list.began_at) {
                    return Vec::new();
                }
                let cases = cases(
                    state,
                    absences,
                    hypervisor,
                    |record| sight(list, lag_ms, identity, record),
                    list.began_at,
                );
                let verdict = judge(&cases);
                staged.output = state.queue.brake(hypervisor, verdict.held, now);
                brake(
                    state,
                    staged,
                    absences,
                    hypervisor,
                    &verdict,
                    cases.len(),
                    now,
                );
                take_in(state, staged, hypervisor, &verdict);
                verdict.ask
            });
            Ok(ask)
        })
        .await
        .unwrap_or_default();
    if ask.is_empty() {
        return Ok(());
    }
    let gone = not_found(house, engine, connection, &ask, observer).await?;
    // What is not taken in is found again with the next list.
    let _ = house
        .transact(|state, staged, now| {
            for (node, machine) in gone {
                missing(state, staged, node, machine, HOST, now);
            }
            lost::forget_gone(state, staged);
            Ok(())
        })
        .await;
    Ok(())
}

/// A machine on record, by the descriptor and its own uid.
type Key = (NodeUid, MachineUid);

fn cases(
    state: &State,
    absences: &mut Absences,
    hypervisor: HypervisorUid,
    look: impl Fn(&MachineRecord) -> Sight,
    began_at: Timestamp,
) -> Vec<Case<Key>> {
    let on_record = |machine: &MachineUid| {
        let record = state.records.get(machine);
        record.is_some_and(|record| record.hypervisor == hypervisor)
    };
    absences.of.retain(|machine, _| on_record(machine));
    let mut cases = Vec::new();
    for record in state.records.values() {
        let status = state.tree.descriptor(record.node).map(|body| body.status);
        let reachable = match status {
            Ok(Status::Deployed) => true,
            Ok(Status::Unreachable) => false,
            Ok(Status::Provisioned) | Err(_) => continue,
        };
        if record.hypervisor != hypervisor || record.identity.is_none() {
            continue;
        }
        // What an operation works on, that one finds out about.
        let busy = state.queue.lane(record.node).next().is_some();
        let sight = match busy {
            true => Sight::Unknown,
            false => look(record),
        };
        let is_before = |absence: &Absence| absence.since < record.last_step_ended;
        if absences.of.get(&record.uid).is_some_and(is_before) {
            absences.of.remove(&record.uid);
        }
        let (lists, agreed) = absences.count(record.uid, sight, began_at);
        cases.push(Case {
            key: (record.node, record.uid),
            sight,
            absences: lists,
            agreed,
            reachable,
        });
    }
    cases
}

/// Notes that the brake is on, or off again, and says so.
fn brake(
    state: &State,
    staged: &mut Staged,
    absences: &mut Absences,
    hypervisor: HypervisorUid,
    verdict: &Verdict<Key>,
    all: usize,
    now: Timestamp,
) {
    if verdict.held == absences.held.is_some() {
        return;
    }
    absences.held = verdict.held.then_some((now, all));
    let Some(found) = state.tree.hypervisor(hypervisor) else {
        return;
    };
    let missing = absences.of.len();
    if verdict.held {
        tracing::error!(hypervisor = %found.name, "{missing} of {all} machines vanished at once: nothing is begun there until a person agrees, or they are there again");
    } else {
        tracing::info!(hypervisor = %found.name, "operations may begin again");
    }
    if staged.told.wanted {
        let defined_at = found.origin.full_name();
        let event = HypervisorEvent {
            uid: hypervisor,
            name: found.name.clone(),
            defined_at: defined_at.clone(),
            held: verdict.held,
            absent: missing as u64,
            machines: all as u64,
        };
        let node = state.tree.find(defined_at).ok();
        staged
            .told
            .drafts
            .push(Draft::new("hypervisor", node, defined_at, &event));
    }
}

/// Moves descriptors along their edges.
fn take_in(
    state: &mut State,
    staged: &mut Staged,
    hypervisor: HypervisorUid,
    verdict: &Verdict<Key>,
) {
    if state.queue.lost(hypervisor).is_some() {
        return;
    }
    let lost = verdict.lost.iter().map(|key| (key, Event::ConnectionLost));
    let back = verdict.back.iter().map(|key| (key, Event::Reconnected));
    for ((node, _), event) in lost.chain(back) {
        match state.tree.transition(*node, event) {
            Ok(change) => staged.nodes(&state.tree, &change),
            Err(error) => tracing::error!(%error, "a descriptor's state was not changed"),
        }
    }
}

/// Those of which the provider itself says that they are not there.
async fn not_found(
    house: &Arc<House>,
    engine: &Engine,
    connection: &Arc<Connection>,
    ask: &[Key],
    observer: &Arc<dyn Observer>,
) -> Result<Vec<Key>, Problem> {
    let asked: Vec<(Key, MachineRef)> = {
        let state = house.state.lock();
        let known = |key: &Key| {
            let identity = state.records.get(&key.1)?.identity.as_ref()?;
            Some((*key, identity.machine_ref()))
        };
        ask.iter().filter_map(known).collect()
    };
    let mut gone = Vec::new();
    for batch in asked.chunks(AT_ONCE) {
        let refs: Vec<MachineRef> = batch.iter().map(|(_, machine)| machine.clone()).collect();
        let occasion = Occasion::reading(READ_DEADLINE, Arc::clone(observer));
        let answers = engine
            .read(occasion, connection, &refs)
            .await
            .map_err(|error| error.problem())?;
        for ((key, _), answer) in batch.iter().zip(answers) {
            if answer.is_err_and(|problem| problem.code == Code::NotFound) {
                gone.push(*key);
            }
        }
    }
    Ok(gone)
}

/// The machine of a descriptor is gone: its id stays in the descriptor's history, and nothing is
/// created again.
fn missing(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    machine: MachineUid,
    who: &str,
    now: Timestamp,
) {
    let is_still_its = state
        .record_of(node)
        .is_some_and(|record| record.uid == machine);
    let is_busy = state.queue.lane(node).next().is_some();
    let is_unreachable = state
        .tree
        .descriptor(node)
        .is_ok_and(|body| body.status == Status::Unreachable);
    if !is_still_its || is_busy || !is_unreachable {
        return;
    }
    staged.history.because(Cause {
        operation: None,
        who: who.to_owned(),
        kind: "missing".to_owned(),
    });
    match state.tree.transition(node, Event::MachineMissing) {
        Ok(change) => staged.nodes(&state.tree, &change),
        Err(error) => {
            tracing::error!(%error, "a missing machine was not taken off the record");
            return;
        }
    }
    if let Some(record) = state.records.remove(&machine) {
        let name = state.tree.full_name(node).map(ToString::to_string);
        let id = record
            .identity
            .as_ref()
            .map(|identity| &*identity.machine_id);
        tracing::warn!(path = %name.unwrap_or_default(), machine = id.unwrap_or_default(), "the machine is missing");
        staged.history.machine(state, &record, MachineEvent::Lost);
        lost::keep(state, staged, *record, now);
    }
    staged.writes.push(Write::Delete {
        table: Table::Machine,
        key: machine.to_string(),
    });
}

/// A person says that the machine of a descriptor, which cannot be reached, is gone for good. Nothing is
/// asked of the hypervisor.
///
/// # Errors
/// When the descriptor is in another state, worked on, or protected.
pub(crate) fn said_missing(
    state: &mut State,
    staged: &mut Staged,
    node: NodeUid,
    path: &FullName,
    who: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let body = state.tree.descriptor(node);
    let body = body.map_err(|error| crate::problem::of_lookup(&error))?;
    let wrong = |detail: String, hint: String| {
        Err(Refusal::new(ErrorCode::WrongState, detail).with_hint(hint))
    };
    let (Status::Unreachable, Some(machine)) = (body.status, body.machine) else {
        return wrong(
            format!(
                "the machine of {path} is not called missing while it is {}",
                body.status
            ),
            "only one that cannot be reached is; `undeploy` removes one that is there".to_owned(),
        );
    };
    if let Some(operation) = state.queue.lane(node).next() {
        let number = operation.number();
        return wrong(
            format!("operation {number} works on {path}"),
            format!("wait for it, or `enginehouse ops cancel {number}`"),
        );
    }
    let computed = state.tree.computed(node);
    let computed = computed.map_err(|error| crate::problem::of_lookup(&error))?;
    if let Some(by) = computed.protected_by() {
        let detail = format!("the machine of {path} is not called missing: {by} protects it");
        return Err(Refusal::new(ErrorCode::Forbidden, detail).with_hint(format!(
            "if it really is gone, `enginehouse edit {by} protect=false --lower-protection` first"
        )));
    }
    let record = state.records.get(&machine);
    if let Some(protected) = record.and_then(|record| record.protected.as_ref()) {
        let by = &protected.by;
        let detail = format!("the machine of {path} is not called missing: {by} protects it");
        return Err(
            Refusal::new(ErrorCode::Forbidden, detail).with_hint(format!(
                "if it really is gone, `enginehouse unprotect {path} --lower-protection` first"
            )),
        );
    }
    let id = record.and_then(|record| Some(record.identity.as_ref()?.machine_id.clone()));
    let note = Note::new(Action::Missing, who).about(Some(node), path);
    staged
        .audit
        .push(note.with("machine", id.unwrap_or_default()));
    missing(state, staged, node, machine, who, now);
    Ok(())
}
