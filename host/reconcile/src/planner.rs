//! From subjects to a plan.
//!
//! Per machine: configuration before disks before nics before run state, so that a machine starts
//! with what it is to have. What the engine cannot do is refused by name; a refusal that would leave an
//! action pointless leaves no action.

use enginehouse_model::documents::{Action, Config, Power, PowerState};
use enginehouse_model::{Bytes, MachineRecord};

use crate::compare::{Findings, Sides, Write, plain_fields};
use crate::draft::{Draft, Present, as_held, reason};
use crate::field::{Field, UNSET};
use crate::order::in_order;
use crate::replace::{Forced, how_it_is_made, refusal, replace};
use crate::rules::Weight;
use crate::sound::refuse_unsound;
use crate::step::{self, Part, Step};
use crate::undeploy::undeploy;
use crate::{
    Class, FieldChange, Intent, MachinePlan, Ownership, Plan, Refusal, Rules, Subject, adoption,
    disks, nics, owned, power,
};

/// Plans each subject for what it is about. The order of subjects does not matter.
#[must_use]
pub fn plan(subjects: &[Subject<'_>]) -> Plan {
    Plan::of(subjects.iter().map(plan_machine).collect())
}

impl Plan {
    /// Of machines that were planned one by one, which is what to do with many: each is compared
    /// while its definition is still at hand. Puts them into order and numbers their actions.
    #[must_use]
    pub fn of(machines: Vec<MachinePlan>) -> Self {
        let mut machines = in_order(machines);
        number(&mut machines);
        Self { machines }
    }
}

/// The plan of one machine alone, as it would be the only one in a [`Plan`].
#[must_use]
pub fn plan_one(subject: &Subject<'_>) -> MachinePlan {
    let mut machine = plan_machine(subject);
    number(std::slice::from_mut(&mut machine));
    machine
}

/// The plain fields that bringing the machine to its definition would write, whatever their class:
/// what an engine's `assess` is asked about before the machine is planned. Empty where nothing
/// would be written, and for intents that do not go by the definition.
#[must_use]
pub fn changed(subject: &Subject<'_>) -> Vec<String> {
    let (Intent::Deploy | Intent::Reconfigure, Some(desired), Some(record)) =
        (subject.intent, subject.desired, subject.record)
    else {
        return Vec::new();
    };
    let mut draft = Draft::new(subject);
    let held = as_held(&mut draft, desired);
    let (findings, _) = compare(&mut draft, &held, record, false);
    let writes = findings.write.into_iter();
    writes.map(|write| write.change.field).collect()
}

fn number(machines: &mut [MachinePlan]) {
    let actions = machines.iter_mut().flat_map(|machine| &mut machine.actions);
    for (order, action) in (1..).zip(actions) {
        action.order = order;
    }
}

fn plan_machine(subject: &Subject<'_>) -> MachinePlan {
    let draft = Draft::new(subject);
    match subject.intent {
        Intent::Deploy => deploy(draft),
        Intent::Reconfigure => reconfigure(draft, Start::Reconfigure),
        Intent::Adopt => adoption::plan(draft),
        Intent::Observe => observe(draft),
        Intent::Start => power::start(draft),
        Intent::Stop { graceful } => power::stop(draft, graceful),
        Intent::Restart { graceful } => power::restart(draft, graceful),
        Intent::Undeploy { keep } => undeploy(draft, keep),
    }
}

/// Whether the machine's creation has yet to succeed: nothing of it was written down as deployed.
pub(crate) fn is_unfinished(record: &MachineRecord) -> bool {
    record.identity.is_none() || record.deployed == Config::default()
}

fn deploy(mut draft: Draft<'_>) -> MachinePlan {
    match (draft.subject.record, draft.subject.observed) {
        (None, None) => create(draft, None),
        (Some(record), None) if record.identity.is_none() => create(draft, None),
        (Some(record), Some(observed)) if record.identity.is_none() => {
            // Creating beside it could make the machine twice.
            let reason = format!(
                "machine {} may be what its unfinished creation made, but its id is not on record",
                observed.id
            );
            draft.refuse("create", Class::Benign, reason);
            draft.finish("")
        }
        (Some(record), Some(_)) if is_unfinished(record) => resume(draft, record),
        (None, Some(_)) | (Some(_), _) => reconfigure(draft, Start::Deploy),
    }
}

/// Goes on with a machine that is there, although its creation was never reported as a success.
/// What counts at creation is taken to be as defined. Where its disks cannot be told apart, the
/// engine is asked to finish the creation: adding a disk that it has already would be wrong.
fn resume(mut draft: Draft<'_>, record: &MachineRecord) -> MachinePlan {
    // What the creation had begun may be gone by now, and its id somebody else's.
    let owned = draft.subject.observed.map(|machine| owned(record, machine));
    if let Some(Ownership::NotOurs(reason)) = owned {
        draft.refuse("create", Class::Benign, reason);
        return draft.finish("");
    }
    let desired = draft.subject.desired;
    let disks = desired.into_iter().flat_map(|desired| desired.disks.keys());
    if disks
        .into_iter()
        .any(|name| !record.slots.contains_key(name))
    {
        let Some(present) = draft.present("create", Class::Benign) else {
            return draft.finish("");
        };
        let machine = draft.machine_ref();
        let mut plan = create(draft, Some(present));
        if let (Some(first), Some(machine)) = (plan.actions.first_mut(), machine)
            && let Action::Create { .. } = first.request.action
        {
            first.reason = format!("finish machine {}: {}", machine.id, first.reason);
            first.request.machine = Some(machine);
        }
        return plan;
    }
    reconfigure(draft, Start::Resumed)
}

/// Why a machine that is there is brought to its definition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Its definition changed, or it drifted.
    Reconfigure,
    /// It is being deployed: unless it was started before, it is now.
    Deploy,
    /// As `Deploy`, and what its creation achieved was not written down.
    Resumed,
}

/// Create, grow what the image made too small, start. `begun`: the machine that an earlier creation
/// left; it may run by now.
pub(crate) fn create(mut draft: Draft<'_>, begun: Option<Present<'_>>) -> MachinePlan {
    let Some(desired) = draft.subject.desired else {
        draft.refuse("create", Class::Benign, "there is no definition to go by");
        return draft.finish("");
    };
    let held = as_held(&mut draft, desired);
    refuse_unsound(&mut draft, desired);
    draft.supports(how_it_is_made(desired), Class::Benign);
    if !draft.plan.refused.is_empty() {
        return draft.finish("");
    }
    let fields = all_of(&held, draft.subject.rules);
    let action = Action::Create {
        desired: Box::new(Config::clone(&held)),
    };
    let text = new_machine(&held);
    if !draft.change(action, Class::Benign, text, fields, None) {
        return draft.finish("");
    }
    // Without an image the engine makes the disks itself, in their size.
    let image_disks = held.disks.iter().filter(|_| held.base_image.is_some());
    for (name, disk) in image_disks {
        let Some(size) = disk.size else { continue };
        let fields = vec![FieldChange {
            field: format!("disks.{name}.size"),
            from: "the image's".to_owned(),
            to: Bytes(size).to_string(),
        }];
        let action = Action::DiskGrow {
            slot: String::new(),
            size,
        };
        let text = format!("grow {name} to {}, if the image's is smaller", Bytes(size));
        draft.change(action, Class::Benign, text, fields, Some(name.clone()));
    }
    let state = begun.map_or(PowerState::Stopped, |begun| begun.observed.power);
    match (held.power, state) {
        (Some(Power::Stopped), PowerState::Running | PowerState::Paused) => {
            power::add_stop_from(&mut draft, state);
        }
        (Some(Power::Stopped), PowerState::Stopped | PowerState::Unknown) => {}
        (Some(Power::Running), _) => power::add_start(&mut draft, "stopped"),
        (None, _) => power::add_first_start(&mut draft, "stopped"),
    }
    draft.finish("")
}

/// Everything that a new machine gets.
fn all_of(held: &Config, rules: &Rules) -> Vec<FieldChange> {
    let set = |field: String, to: String| FieldChange {
        field,
        from: UNSET.to_owned(),
        to,
    };
    let plain = Field::all(held, held);
    let plain = plain
        .iter()
        .map(|field| set(field.key(), field.show(field.read(held).as_ref(), rules)));
    let disks = held.disks.iter();
    let disks = disks.map(|(name, disk)| set(format!("disks.{name}"), disks::describe(disk)));
    let nics = held.nics.iter();
    let nics = nics.map(|(name, nic)| set(format!("nics.{name}"), nics::describe(nic)));
    plain.chain(disks).chain(nics).collect()
}

/// `new machine from d12, cores 4, memory 4096 MiB`
fn new_machine(desired: &Config) -> String {
    let mut parts = vec![match &desired.base_image {
        Some(image) => format!("new machine from {image}"),
        None => "new machine from scratch".to_owned(),
    }];
    parts.extend(desired.vcpu.map(|cores| format!("cores {cores}")));
    let memory = desired.memory.map(|bytes| Bytes(bytes).in_mib());
    parts.extend(memory.map(|memory| format!("memory {memory}")));
    parts.join(", ")
}

/// Brings a machine that is there to the definition.
fn reconfigure(mut draft: Draft<'_>, start: Start) -> MachinePlan {
    let Some(desired) = draft.subject.desired else {
        let reason = "there is no definition to go by";
        draft.refuse("configure", Class::Benign, reason);
        return draft.finish("");
    };
    let Some(present) = draft.present("configure", Class::Benign) else {
        return draft.finish("");
    };
    let held = as_held(&mut draft, desired);
    refuse_unsound(&mut draft, desired);
    let resumed = start == Start::Resumed;
    let (mut findings, steps) = compare(&mut draft, &held, present.record, resumed);
    let forced = forced(&mut findings);
    if !forced.is_empty() && start == Start::Reconfigure {
        // What else differs is made with the new machine.
        draft.plan.drift = findings.drift;
        draft.plan.pending = findings.pending;
        return replace(draft, &held, present, forced);
    }
    findings
        .refused
        .extend(forced.into_iter().map(refused_as_forced));
    let writes = report(&mut draft, findings);
    let mut restart = configure(&mut draft, &held, present, writes);
    for step in steps {
        restart.extend(step::add(&mut draft, present, step));
    }
    power::bring(
        &mut draft,
        &held,
        present,
        start != Start::Reconfigure,
        restart,
    );
    let differs = !(draft.plan.drift.is_empty() && draft.plan.pending.is_empty());
    draft.finish(match present.observed.config {
        Some(_) if differs => "what differs is left as it is",
        Some(_) => "it is as it is defined",
        None => "its run state is as it is defined; nothing else could be compared",
    })
}

/// Only compares, so nothing is refused either.
fn observe(mut draft: Draft<'_>) -> MachinePlan {
    let (Some(desired), Some(record)) = (draft.subject.desired, draft.subject.record) else {
        return draft.finish("there is no machine to compare with a definition");
    };
    if let Some(Ownership::NotOurs(reason) | Ownership::Unclear(reason)) =
        draft.subject.observed.map(|machine| owned(record, machine))
    {
        draft.plan.notes.push(reason);
    }
    let held = as_held(&mut draft, desired);
    let (findings, _) = compare(&mut draft, &held, record, false);
    report(&mut draft, findings);
    power::compare(&mut draft, held.power, record.deployed.power);
    draft.plan.refused.clear();
    draft.finish("it was only compared")
}

fn compare(
    draft: &mut Draft<'_>,
    held: &Config,
    record: &MachineRecord,
    resumed: bool,
) -> (Findings, Vec<Step>) {
    let sides = Sides {
        desired: held,
        deployed: &record.deployed,
        observed: draft.subject.observed,
        rules: draft.subject.rules,
        assessment: draft.subject.assessment,
        resumed,
    };
    let mut findings = Findings::default();
    if draft.subject.observed.is_some() && !sides.is_read() {
        findings.notes.push(
            "the configuration could not be read: only the run state was compared".to_owned(),
        );
    }
    plain_fields(&sides, &mut findings);
    let mut steps = disks::compare(&sides, &record.slots, &mut findings);
    // A disk whose size was refused is not added without one.
    steps.retain(|step| match &step.part {
        Part::Disk(name) => !refused(draft, &format!("disks.{name}.size")),
        Part::Nic(_) => true,
    });
    let mut steps = step::in_order(steps);
    steps.extend(step::in_order(nics::compare(
        &sides,
        &record.slots,
        &mut findings,
    )));
    (findings, steps)
}

/// Puts findings into the plan; what is to be written is handed back.
fn report(draft: &mut Draft<'_>, findings: Findings) -> Vec<Write> {
    draft.plan.drift.extend(findings.drift);
    draft.plan.pending.extend(findings.pending);
    // A size that was refused was left out of the comparison, but it is managed.
    let mut in_step = findings.in_step;
    in_step.retain(|change| !refused(draft, &change.field));
    draft.plan.in_step.extend(in_step);
    draft.plan.refused.extend(findings.refused);
    draft.plan.notes.extend(findings.notes);
    findings.write
}

fn refused(draft: &Draft<'_>, key: &str) -> bool {
    let mut refusals = draft.plan.refused.iter();
    refusals.any(|refusal| refusal.subject == key)
}

/// Takes out what takes another machine.
fn forced(findings: &mut Findings) -> Vec<Forced> {
    let mut forced = std::mem::take(&mut findings.forced);
    let (replaces, writes): (Vec<Write>, Vec<Write>) = std::mem::take(&mut findings.write)
        .into_iter()
        .partition(|write| write.weight == Weight::Replace);
    findings.write = writes;
    forced.extend(replaces.into_iter().map(|write| Forced {
        change: write.change,
        because: write.because,
    }));
    forced
}

/// A machine that is deployed for the first time is not replaced: it never served anybody.
fn refused_as_forced(forced: Forced) -> Refusal {
    let reason = refusal(&forced.change.field);
    Refusal {
        subject: forced.change.field.clone(),
        reason: match forced.because.as_str() {
            "" => reason,
            because => format!("{reason} ({because})"),
        },
        change: Some(forced.change),
        class: Class::Destructive,
    }
}

/// One action for each class. Says which fields wait for a restart.
fn configure(
    draft: &mut Draft<'_>,
    held: &Config,
    present: Present<'_>,
    writes: Vec<Write>,
) -> Vec<String> {
    // A machine that stands still takes anything without noticing.
    let stands = present.observed.power == PowerState::Stopped;
    let mut classes: [Vec<Write>; 3] = Default::default();
    for write in writes {
        let [benign, disruptive, destructive] = &mut classes;
        match write.weight {
            Weight::InPlace => benign.push(write),
            Weight::Restart if stands => benign.push(write),
            Weight::Restart => disruptive.push(write),
            // Those that take another machine have been taken out.
            Weight::Unknown | Weight::Replace => destructive.push(write),
        }
    }
    let mut restart = Vec::new();
    let by_class = [Class::Benign, Class::Disruptive, Class::Destructive];
    for (class, writes) in by_class.into_iter().zip(classes) {
        if writes.is_empty() {
            continue;
        }
        let action = Action::Configure {
            desired: Box::new(held.clone()),
            changed: writes.iter().map(|w| w.change.field.clone()).collect(),
            observed: Some(Box::new(present.observed.clone())),
        };
        let words: Vec<String> = writes.iter().map(|write| write.word.clone()).collect();
        let text = because(class, &writes);
        let fields = writes.into_iter().map(|write| write.change).collect();
        if draft.change(action, class, text, fields, None) && class == Class::Disruptive {
            restart = words;
        }
    }
    restart
}

fn because(class: Class, writes: &[Write]) -> String {
    let parts: Vec<String> = writes
        .iter()
        .map(|write| {
            let text = reason(std::slice::from_ref(&write.change));
            match class {
                Class::Destructive => with_because(
                    format!("{text} (the engine does not say how heavy this is)"),
                    write,
                ),
                Class::Benign | Class::Disruptive | Class::Irreversible => {
                    with_because(text, write)
                }
            }
        })
        .collect();
    parts.join(", ")
}

fn with_because(text: String, write: &Write) -> String {
    match write.because.as_str() {
        "" => text,
        because => format!("{text} ({because})"),
    }
}
