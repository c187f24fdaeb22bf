//! An adoption: machines that were found on a hypervisor become descriptors'.
//!
//! **Expected flow.** The hypervisor is looked at first: its list, and in full every machine that is
//! asked for and was not read a short while ago. Then, under the lock, each gets a descriptor with what
//! was seen of it, minus what it inherits ([`decide`]), all as one batch in the tree; and in the same
//! commit an operation is queued for each, which writes our mark onto the machine and takes it on record.
//!
//! **Guarantees.** Nothing but the mark is changed on a machine. What is on record is what was on it: a
//! plan made afterwards is empty. A machine is taken once, whoever asks at the same time; one that is
//! another by the time its operation runs is left. Where an operation fails, the descriptor is there,
//! provisioned, without a machine.

mod decide;

use std::collections::BTreeSet;

use enginehouse_api::{
    AdoptionAnswer, AdoptionCounts, AdoptionRequest, ErrorCode, OperationKind, Params, Problem,
    Whose,
};
use enginehouse_documents::MachineRef;
use enginehouse_model::{FullName, HypervisorUid, NodeUid, Timestamp};
use enginehouse_queue::Spec;
use enginehouse_tree::{BatchErrors, Permission, ResolvedHypervisor};
use uuid::Uuid;

use crate::access::Caller;
use crate::house::{House, Staged, State};
use crate::idempotency::{OrderKey, Taken};
use crate::inventory::{Depth, Records, read_in_full, round};
use crate::orders::machine::slot_of;
use crate::orders::{Order, spec};
use crate::work::Place;

use decide::{Decided, decide};

/// Machines that one adoption takes: they are compared while everybody else waits.
const MACHINES_MAX: usize = 10_000;

/// What was read of a machine within so many milliseconds is not read again to write its definition
/// down. Its operation reads it anew.
const FRESH_MS: u64 = 60_000;

/// Takes an adoption in, or looks at what it would do. The answer is durable.
///
/// # Errors
/// When the hypervisor cannot be looked at, the caller may not do it, or one of the machines that were
/// named cannot be adopted: nothing is changed then.
pub(crate) async fn adopt(
    caller: &Caller,
    request: &AdoptionRequest,
    key: Option<OrderKey>,
) -> Result<Taken<AdoptionAnswer>, Problem> {
    let house = caller.house();
    let (place, since) = {
        let state = house.state.lock();
        let (_, hypervisor) = allowed(caller, &state, request)?;
        if state.hold.is_some() {
            let problem = Problem::new(
                ErrorCode::Conflict,
                "the host is on hold after a restore and looks at nothing",
            );
            return Err(problem.with_hint("`enginehouse resume` ends the hold"));
        }
        (Place::of(&hypervisor), house.now())
    };
    let looked = round(house, &place, since, Depth::Urgent).await;
    looked.map_err(|problem| crate::problem::of_engine(&problem))?;
    let unread = unread(house, &place, &request.ids)?;
    if !unread.is_empty() {
        let read = read_in_full(house, &place, &unread).await;
        read.map_err(|problem| crate::problem::of_engine(&problem))?;
    }
    let (engine, _) = place
        .reach(house)
        .map_err(|problem| crate::problem::of_engine(&problem))?;
    house
        .transact(|state, staged, now| {
            let keep = house.config.keep.keys;
            if let Some(before) = state.taken_before(key.as_ref(), now, keep)? {
                return Ok(Taken::Before(before));
            }
            // It may have been moved or taken away since.
            let (into, hypervisor) = allowed(caller, state, request)?;
            let decided = decide(caller, state, request, into, &hypervisor, &engine)?;
            if request.dry_run || decided.answer.adopted.is_empty() {
                return Ok(Taken::New(decided.answer));
            }
            let answer = apply(caller, state, staged, into, decided, now)?;
            if let Some(operation) = &answer.operation {
                state.keep_key(staged, key.as_ref(), operation.number, now);
            }
            Ok(Taken::New(answer))
        })
        .await
}

/// The folder and the hypervisor. Who takes machines from a hypervisor decides over it, so `operate` is
/// wanted where it is defined, too.
fn allowed(
    caller: &Caller,
    state: &State,
    request: &AdoptionRequest,
) -> Result<(NodeUid, ResolvedHypervisor), Problem> {
    let into = caller.find(state, &request.into)?;
    caller.must(state, into, Permission::Operate)?;
    let of_lookup = |error| crate::problem::of_lookup(&error);
    if !state.tree.node(into).map_err(of_lookup)?.is_folder() {
        let problem = Problem::new(
            ErrorCode::WrongState,
            format!("{} is a descriptor, and holds no others", request.into),
        );
        return Err(problem.with_hint("name a folder"));
    }
    if request.ids.len() > MACHINES_MAX {
        let named = request.ids.len();
        let text = format!("an adoption takes at most {MACHINES_MAX} machines, {named} are named");
        return Err(Problem::new(ErrorCode::TooLarge, text));
    }
    let computed = state.tree.computed(into).map_err(of_lookup)?;
    let Some(hypervisor) = computed.hypervisors().get(&request.hypervisor) else {
        let known = computed.hypervisors().keys().map(String::as_str).collect();
        return Err(crate::rest::no_such_hypervisor(
            &request.hypervisor,
            &request.into,
            known,
        ));
    };
    let defined_at = state.tree.find(hypervisor.origin.full_name());
    caller.must(state, defined_at.map_err(of_lookup)?, Permission::Operate)?;
    Ok((into, ResolvedHypervisor::clone(hypervisor)))
}

/// The machines that are asked for, and of which too little is known.
fn unread(house: &House, place: &Place, ids: &[String]) -> Result<Vec<MachineRef>, Problem> {
    let named: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let since = Timestamp(house.now().0.saturating_sub(FRESH_MS));
    let state = house.state.lock();
    let records = Records::of(&state, house.installation, place.uid);
    house.inventories.with(place.uid, |kept| {
        let list = kept.list().cloned();
        let shown = list.iter().flat_map(|list| list.shown());
        let wanted = shown.filter(|machine| {
            let is_named = named.is_empty() || named.contains(&*machine.id);
            let seen = kept.observation(&machine.id, since, 0);
            let (whose, ..) = records.whose(&state, &machine.machine());
            let is_ours = matches!(whose, Whose::Ours | Whose::Template);
            is_named && !is_ours && !seen.is_some_and(|seen| seen.is_whole())
        });
        let wanted: Vec<MachineRef> = wanted.map(|machine| machine.machine_ref()).collect();
        match wanted.len() {
            0..=MACHINES_MAX => Ok(wanted),
            many => Err(too_many(many)),
        }
    })
}

fn too_many(machines: usize) -> Problem {
    let problem = Problem::new(
        ErrorCode::TooLarge,
        format!("an adoption takes at most {MACHINES_MAX} machines, there are {machines}"),
    );
    problem.with_hint("name some of them")
}

/// Makes the descriptors, and queues what takes the machines.
fn apply(
    caller: &Caller,
    state: &mut State,
    staged: &mut Staged,
    into: NodeUid,
    decided: Decided,
    now: Timestamp,
) -> Result<AdoptionAnswer, Problem> {
    let Decided {
        edits,
        parts,
        mut answer,
    } = decided;
    let number = state.number();
    let change = state
        .tree
        .apply_all(edits, &mut Uuid::now_v7)
        .map_err(|BatchErrors(errors)| refused(&errors))?;
    staged.because(Some(number), caller.who(), OperationKind::Adopt);
    staged.nodes(&state.tree, &change);
    let order = Order {
        kind: OperationKind::Adopt,
        node: into,
        path: answer.into.clone(),
        params: Params {
            adoption: Some(AdoptionCounts {
                hypervisor: answer.hypervisor.clone(),
                machines: parts.len(),
            }),
            ..Params::default()
        },
    };
    let mut children: Vec<Spec> = Vec::with_capacity(parts.len());
    for (path, adopts) in parts {
        let node = crate::orders::find(state, &path)?;
        let part = Order {
            kind: OperationKind::Adopt,
            node,
            path,
            params: Params {
                adopts: Some(adopts),
                ..Params::default()
            },
        };
        let child = state.number();
        let hypervisor = slot_of(caller.house(), state, node);
        children.push(Spec {
            parent: Some(number),
            ..spec(child, &part, caller.who(), now, hypervisor)
        });
    }
    let whole = Spec {
        children: children.iter().map(|child| child.number).collect(),
        ..spec(number, &order, caller.who(), now, None)
    };
    let specs = std::iter::once(whole).chain(children).collect();
    staged.output = state.queue.submit(specs, now);
    answer.operation = Some(crate::view::of_number(state, number)?);
    Ok(answer)
}

/// Everything that is wrong with a batch of descriptors.
fn refused(errors: &[enginehouse_tree::EditError]) -> Problem {
    let mut problems = errors.iter().map(crate::problem::of_edit);
    let Some(first) = problems.next() else {
        return Problem::new(ErrorCode::Internal, "the descriptors were refused");
    };
    match problems.count() {
        0 => first,
        more => Problem {
            detail: format!("{}; and {more} more errors", first.detail),
            ..first
        },
    }
}

/// Machines of the hypervisor that adoptions in the queue are about.
fn being_adopted(state: &State, hypervisor: HypervisorUid) -> BTreeSet<(String, FullName)> {
    let here = state.queue.iter().filter(|operation| {
        operation.spec.hypervisor == Some(hypervisor)
            && crate::orders::kind_of(&operation.spec) == Some(OperationKind::Adopt)
    });
    here.filter_map(|operation| {
        let order = Order::of(&operation.spec).ok()?;
        Some((order.params.adopts?.id, order.path))
    })
    .collect()
}
