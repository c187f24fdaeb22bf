//! Which machines are adopted, under which names, with which definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enginehouse_api::{
    AdoptedMachine, AdoptionAnswer, AdoptionRequest, Adopts, ErrorCode, LeftMachine, Problem, Whose,
};
use enginehouse_documents::{Config, Machine};
use enginehouse_engines::Engine;
use enginehouse_model::{
    FullName, Identity, MachineRecord, MachineUid, Mark, NodeUid, OperationId, Timestamp,
};
use enginehouse_reconcile::{Intent, Rules, Subject, definition_of, plan_one, slots_of};
use enginehouse_tree::{
    BatchErrors, Computed, Definition, NodeEdit, ResolvedHypervisor, Status, governed_keys,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{MACHINES_MAX, being_adopted, refused, too_many};
use crate::access::Caller;
use crate::house::State;
use crate::inventory::Records;

/// Reasons of machines that were named and cannot be adopted, in one answer.
const REASONS_SHOWN: usize = 20;

/// What an adoption comes to.
pub(super) struct Decided {
    /// Descriptors that are made.
    pub edits: Vec<NodeEdit>,
    /// What takes each machine.
    pub parts: Vec<(FullName, Adopts)>,
    pub answer: AdoptionAnswer,
}

/// A machine with the descriptor that it gets.
struct Chosen {
    machine: Machine,
    whose: Whose,
    path: FullName,
    /// The descriptor is there, and stays as it is.
    is_there: bool,
    /// What is written on it otherwise.
    definition: Option<(Map<String, Value>, Definition)>,
}

/// Looks at what was seen of the hypervisor, and decides.
///
/// # Errors
/// When one of the machines that were named cannot be adopted, or the descriptors cannot be made.
pub(super) fn decide(
    caller: &Caller,
    state: &mut State,
    request: &AdoptionRequest,
    into: NodeUid,
    hypervisor: &ResolvedHypervisor,
    engine: &Engine,
) -> Result<Decided, Problem> {
    let rules = Rules::new(engine.description());
    let mut answer = AdoptionAnswer {
        hypervisor: request.hypervisor.clone(),
        into: request.into.clone(),
        dry_run: request.dry_run,
        adopted: Vec::new(),
        left: Vec::new(),
        ours: 0,
        templates: 0,
        operation: None,
        replayed: false,
    };
    let found = found(caller, state, request, hypervisor, &mut answer);
    if found.len() > MACHINES_MAX {
        return Err(too_many(found.len()));
    }
    let mut chosen = named(state, request, into, found, &mut answer.left)?;
    let base = base(state, request, into, hypervisor)?;
    if !chosen.is_empty() {
        let inherited = inherited(state, &request.into, &base)?;
        define(&mut chosen, &base, &inherited, &rules, &mut answer.left);
    }
    let edits = edits(&chosen);
    if let Some((_, definition)) = chosen.iter().find_map(|one| one.definition.as_ref()) {
        caller.must_govern_keys(state, into, &governed_keys(definition))?;
    }
    let computed = computed(state, &edits)?;
    let mut parts = Vec::with_capacity(chosen.len());
    let mut unfit = BTreeSet::new();
    for one in chosen {
        let found = state.tree.find(&one.path).ok();
        let there = found.and_then(|node| state.tree.computed(node).ok());
        let Some(computed) = computed.get(&one.path).cloned().or(there) else {
            continue;
        };
        match look_ahead(caller, &one, &computed, hypervisor, &rules) {
            Ok(then) => {
                parts.push((one.path.clone(), adopts(&one.machine)));
                answer.adopted.push(AdoptedMachine {
                    id: one.machine.id,
                    name: one.machine.name,
                    path: one.path,
                    whose: one.whose,
                    definition: one.definition.map(|(json, _)| json).unwrap_or_default(),
                    then,
                });
            }
            Err(reason) => {
                unfit.insert(one.path);
                answer.left.push(left(&one.machine, reason, None));
            }
        }
    }
    answer.left.sort_by(|a, b| by_id(&a.id, &b.id));
    if !request.ids.is_empty() && !answer.left.is_empty() {
        return Err(none_of_them(&answer.left));
    }
    let edits = edits
        .into_iter()
        .filter(|edit| !matches!(edit, NodeEdit::Descriptor { at, .. } if unfit.contains(at)))
        .collect();
    Ok(Decided {
        edits,
        parts,
        answer,
    })
}

/// The machines that are nobody's, in the order of their ids; what is said against one of them goes to
/// `answer`.
fn found(
    caller: &Caller,
    state: &State,
    request: &AdoptionRequest,
    hypervisor: &ResolvedHypervisor,
    answer: &mut AdoptionAnswer,
) -> Vec<(Machine, Whose)> {
    let house = caller.house();
    let records = Records::of(state, house.installation, hypervisor.uid);
    let taken: BTreeMap<String, FullName> =
        being_adopted(state, hypervisor.uid).into_iter().collect();
    let mut missing: BTreeSet<&str> = request.ids.iter().map(String::as_str).collect();
    let all = missing.is_empty();
    let mut found = Vec::new();
    house.inventories.with(hypervisor.uid, |kept| {
        let list = kept.list().cloned();
        for shown in list.iter().flat_map(|list| list.shown()) {
            let is_named = missing.remove(&*shown.id);
            if !all && !is_named {
                continue;
            }
            let seen = kept.observation(&shown.id, Timestamp(0), 0);
            let machine = seen.map_or_else(|| shown.machine(), |seen| seen.machine);
            let (whose, record, _) = records.whose(state, &machine);
            let against = match whose {
                Whose::Ours => {
                    answer.ours += 1;
                    let owner = record.and_then(|record| state.tree.full_name(record.node).ok());
                    let owner =
                        owner.map_or_else(|| "a descriptor".to_owned(), FullName::to_string);
                    is_named.then(|| (format!("it is the machine of {owner}"), None))
                }
                Whose::Template => {
                    answer.templates += 1;
                    is_named.then(|| ("it is a template: it cannot run".to_owned(), None))
                }
                Whose::Unread | Whose::Foreign | Whose::Orphan => {
                    match (taken.get(&machine.id), kept.refused(&machine.id)) {
                        (Some(by), _) => Some((format!("it is being adopted as {by}"), None)),
                        (None, Some(refused)) if machine.config.is_none() => Some((
                            format!("it could not be read: {}", refused.problem.message),
                            refused.problem.detail.hint.clone(),
                        )),
                        _ => {
                            found.push((machine, whose));
                            continue;
                        }
                    }
                }
            };
            if let Some((reason, hint)) = against {
                answer.left.push(left(&machine, reason, hint));
            }
        }
    });
    for id in missing {
        let machine = Machine {
            id: id.to_owned(),
            ..Machine::default()
        };
        let reason = format!("it is not on {}", hypervisor.name);
        let hint = format!("see `enginehouse hypervisors machines {}`", hypervisor.name);
        answer.left.push(left(&machine, reason, Some(hint)));
    }
    found.sort_by(|(a, _), (b, _)| by_id(&a.id, &b.id));
    found
}

/// Numeric ids first, by value; others by bytes.
fn by_id(one: &str, other: &str) -> std::cmp::Ordering {
    let number = |id: &str| id.parse::<u64>().map_or((1, 0), |number| (0, number));
    (number(one), one).cmp(&(number(other), other))
}

fn left(machine: &Machine, reason: String, hint: Option<String>) -> LeftMachine {
    LeftMachine {
        id: machine.id.clone(),
        name: machine.name.clone(),
        reason,
        hint,
    }
}

/// Gives each machine its descriptor.
fn named(
    state: &State,
    request: &AdoptionRequest,
    into: NodeUid,
    found: Vec<(Machine, Whose)>,
    left_out: &mut Vec<LeftMachine>,
) -> Result<Vec<Chosen>, Problem> {
    let children = state.tree.children(into);
    let children = children.map_err(|error| crate::problem::of_lookup(&error))?;
    let there: BTreeMap<&str, NodeUid> = children
        .map(|child| (child.name.as_str(), child.uid))
        .collect();
    let mut given: BTreeSet<FullName> = BTreeSet::new();
    let mut chosen = Vec::with_capacity(found.len());
    for (machine, whose) in found {
        let own = machine.name.clone().unwrap_or_default();
        let is_free = |path: &FullName, given: &BTreeSet<FullName>| {
            !given.contains(path) && !there.contains_key(path.name())
        };
        let path = match request.into.child(&own) {
            Ok(path) if is_free(&path, &given) => Ok(path),
            // Somebody says that it is this one's machine.
            Ok(path) if !request.ids.is_empty() && waits(state, there.get(path.name())) => Ok(path),
            Ok(path) if given.contains(&path) => {
                Err(format!("another machine is called `{own}`, too"))
            }
            Ok(path) => Err(format!("{path} is there already")),
            Err(error) => Err(format!("its name is none of a descriptor: {error}")),
        };
        let path = match path {
            Err(_) if request.rename => renamed(request, &own, &machine.id)
                .filter(|path| is_free(path, &given))
                .ok_or_else(|| "no name for its descriptor is free".to_owned()),
            path => path,
        };
        match path {
            Ok(path) => {
                given.insert(path.clone());
                chosen.push(Chosen {
                    machine,
                    whose,
                    is_there: there.contains_key(path.name()),
                    path,
                    definition: None,
                });
            }
            Err(reason) => {
                let hint = "with `rename` its descriptor gets another name, and a reconfigure renames the machine (command line: --rename)";
                left_out.push(left(&machine, reason, Some(hint.to_owned())));
            }
        }
    }
    Ok(chosen)
}

/// Whether a descriptor is there and has no machine.
fn waits(state: &State, node: Option<&NodeUid>) -> bool {
    let Some(body) = node.and_then(|node| state.tree.descriptor(*node).ok()) else {
        return false;
    };
    body.status == Status::Provisioned && body.machine.is_none()
}

/// Its own name as far as one of a descriptor can be so, and its id.
fn renamed(request: &AdoptionRequest, own: &str, id: &str) -> Option<FullName> {
    let allowed = |c: char| match c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
        true => c,
        false => '-',
    };
    let name: String = own
        .chars()
        .chain(['-'])
        .chain(id.chars())
        .map(allowed)
        .collect();
    let name = name.trim_start_matches(['-', '_', '.']);
    let name: String = name.chars().take(63).collect();
    request.into.child(&name).ok()
}

/// What every descriptor has of its own: where its machine is, and the prototype.
fn base(
    state: &State,
    request: &AdoptionRequest,
    into: NodeUid,
    hypervisor: &ResolvedHypervisor,
) -> Result<Map<String, Value>, Problem> {
    let computed = state.tree.computed(into);
    let computed = computed.map_err(|error| crate::problem::of_lookup(&error))?;
    let mut base = Map::new();
    let used = computed.hypervisor().map(|used| used.uid);
    if used != Some(hypervisor.uid) {
        base.insert("use_hypervisor".to_owned(), json!(hypervisor.name));
    }
    if let Some(prototype) = &request.prototype {
        base.insert("use_prototype".to_owned(), json!(prototype));
    }
    Ok(base)
}

/// What a descriptor with nothing but `base` is.
fn inherited(
    state: &mut State,
    into: &FullName,
    base: &Map<String, Value>,
) -> Result<Config, Problem> {
    // A name that nobody can have given.
    let probe = format!("adoption-{}", Uuid::now_v7().simple());
    let internal =
        |error: &dyn std::fmt::Display| Problem::new(ErrorCode::Internal, error.to_string());
    let at = into.child(&probe).map_err(|error| internal(&error))?;
    let definition = Definition::parse(&at, &Value::Object(base.clone()))
        .map_err(|errors| crate::problem::of_definition(&errors))?;
    let edit = NodeEdit::Descriptor {
        at: at.clone(),
        definition,
    };
    let mut computed = computed(state, &[edit]).map_err(|problem| Problem {
        // It is wrong with what was asked for, whatever the node is called.
        detail: problem.detail.replace(at.as_str(), into.as_str()),
        ..problem
    })?;
    let computed = computed.remove(&at);
    computed.map_or_else(
        || Err(internal(&"a descriptor that was made is not there")),
        |computed| Ok(computed.config()),
    )
}

/// Writes each machine's definition down.
fn define(
    chosen: &mut Vec<Chosen>,
    base: &Map<String, Value>,
    inherited: &Config,
    rules: &Rules,
    left_out: &mut Vec<LeftMachine>,
) {
    chosen.retain_mut(|one| {
        if one.is_there {
            return true;
        }
        let mut json = base.clone();
        json.extend(definition_of(&one.machine, inherited, rules));
        match Definition::parse(&one.path, &Value::Object(json.clone())) {
            Ok(definition) => {
                one.definition = Some((json, definition));
                true
            }
            Err(errors) => {
                let reason = format!("what it shows is no definition: {errors}");
                left_out.push(left(&one.machine, reason, None));
                false
            }
        }
    });
}

fn edits(chosen: &[Chosen]) -> Vec<NodeEdit> {
    let made = chosen.iter().filter_map(|one| {
        Some(NodeEdit::Descriptor {
            at: one.path.clone(),
            definition: one.definition.as_ref()?.1.clone(),
        })
    });
    made.collect()
}

/// What the descriptors would be, were they made.
fn computed(
    state: &mut State,
    edits: &[NodeEdit],
) -> Result<BTreeMap<FullName, Arc<Computed>>, Problem> {
    let preview = state
        .tree
        .preview(|tree| tree.apply_all(edits.to_vec(), &mut Uuid::now_v7))
        .map_err(|BatchErrors(errors)| refused(&errors))?;
    let after = preview.touched.into_iter().filter_map(|one| one.after);
    Ok(after
        .map(|computed| (computed.full_name().clone(), computed))
        .collect())
}

/// What a plan would do once the machine is adopted, as lines.
///
/// # Errors
/// Why it cannot be adopted.
fn look_ahead(
    caller: &Caller,
    one: &Chosen,
    computed: &Computed,
    hypervisor: &ResolvedHypervisor,
    rules: &Rules,
) -> Result<Vec<String>, String> {
    let used = computed.hypervisor();
    if used.is_none_or(|used| used.uid != hypervisor.uid) {
        let name = used.map_or_else(
            || "no hypervisor".to_owned(),
            |used| format!("`{}`", used.name),
        );
        return Err(format!("{} is on {name}", one.path));
    }
    let desired = computed.config();
    let chosen = record(caller, one, &desired, hypervisor);
    let subject = |intent, record, machine| Subject {
        name: &one.path,
        node: computed.node(),
        machine: None,
        hypervisor: hypervisor.uid,
        hypervisor_name: &hypervisor.name,
        intent,
        shutdown_timeout_ms: None,
        desired: Some(&desired),
        record: Some(record),
        observed: Some(machine),
        rules,
        assessment: None,
    };
    let mut plan = plan_one(&subject(Intent::Adopt, &chosen, &one.machine));
    if let Some(refusal) = plan.refused.pop() {
        return Err(refusal.reason);
    }
    let taken_over = plan.actions.pop().and_then(|action| action.takes_over);
    let Some(taken_over) = taken_over else {
        return Err("there is nothing to take over".to_owned());
    };
    let taken = MachineRecord {
        deployed: *taken_over.config,
        ..chosen.clone()
    };
    let marked = Machine {
        mark: Some(taken.mark.to_string()),
        ..one.machine.clone()
    };
    let after = plan_one(&subject(Intent::Reconfigure, &taken, &marked));
    let acts = after.actions.iter();
    let acts = acts.map(|action| format!("{}: {}", action.request.action.name(), action.reason));
    let refused = after.refused.iter();
    let refused = refused.map(|refusal| format!("{}: {}", refusal.subject, refusal.reason));
    Ok(acts.chain(refused).collect())
}

/// The record as the machine's operation will make it, with numbers that are nobody's.
fn record(
    caller: &Caller,
    one: &Chosen,
    desired: &Config,
    hypervisor: &ResolvedHypervisor,
) -> MachineRecord {
    let uid = MachineUid::from_uuid(Uuid::now_v7());
    let mut slots = slots_of(&one.machine);
    slots.retain(|name, _| desired.disks.contains_key(name) || desired.nics.contains_key(name));
    MachineRecord {
        uid,
        node: NodeUid::from_uuid(uid.uuid()),
        hypervisor: hypervisor.uid,
        provider_identity: String::new(),
        mark: Mark {
            installation: caller.house().installation,
            machine: uid,
            operation: OperationId(0),
        },
        created_by: OperationId(0),
        identity: Some(Identity {
            machine_id: one.machine.id.clone(),
            kind: one.machine.kind.clone(),
            host: one.machine.host.clone(),
            incarnation: one.machine.incarnation.clone(),
        }),
        slots,
        deployed: Config::default(),
        last_step_ended: Timestamp(0),
        unnoted: false,
        protected: None,
    }
}

fn adopts(machine: &Machine) -> Adopts {
    Adopts {
        id: machine.id.clone(),
        kind: machine.kind.clone(),
        host: machine.host.clone(),
        incarnation: machine.incarnation.clone(),
    }
}

/// Of machines that were named, all are adopted or none.
fn none_of_them(left: &[LeftMachine]) -> Problem {
    let reasons = left.iter().take(REASONS_SHOWN);
    let mut reasons: Vec<String> = reasons
        .map(|machine| match &machine.name {
            Some(name) => format!("{} ({name}): {}", machine.id, machine.reason),
            None => format!("{}: {}", machine.id, machine.reason),
        })
        .collect();
    if left.len() > REASONS_SHOWN {
        reasons.push(format!("and {} more", left.len() - REASONS_SHOWN));
    }
    let problem = Problem::new(
        ErrorCode::Conflict,
        format!("nothing is adopted: {}", reasons.join("; ")),
    );
    match left.iter().find_map(|machine| machine.hint.clone()) {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}
