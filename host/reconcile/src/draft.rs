//! One machine's plan while it is being made.

use std::borrow::Cow;
use std::collections::BTreeMap;

use enginehouse_model::MachineRecord;
use enginehouse_model::documents::{Action, ActionRequest, Config, Machine, MachineRef};

use crate::field::word;
use crate::planner::is_unfinished;
use crate::{Class, FieldChange, MachinePlan, Ownership, PlannedAction, Refusal, Subject, owned};

pub(crate) struct Draft<'a> {
    pub subject: &'a Subject<'a>,
    pub plan: MachinePlan,
}

/// The machine that an action is about: on record, seen, and not somebody else's.
#[derive(Clone, Copy)]
pub(crate) struct Present<'a> {
    pub record: &'a MachineRecord,
    pub observed: &'a Machine,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(subject: &'a Subject<'a>) -> Self {
        let recorded = subject.record.and_then(|record| record.identity.as_ref());
        let recorded = recorded.map(|identity| identity.machine_id.as_str());
        let observed = || subject.observed.map(|machine| machine.id.as_str());
        Self {
            subject,
            plan: MachinePlan {
                name: subject.name.clone(),
                node: subject.node,
                machine: subject
                    .machine
                    .or_else(|| subject.record.map(|record| record.uid)),
                hypervisor: subject.hypervisor,
                hypervisor_name: subject.hypervisor_name.to_owned(),
                machine_id: recorded
                    .or_else(observed)
                    .filter(|id| !id.is_empty())
                    .map(str::to_owned),
                actions: Vec::new(),
                drift: Vec::new(),
                pending: Vec::new(),
                in_step: Vec::new(),
                refused: Vec::new(),
                notes: Vec::new(),
                nothing_because: None,
                waits: Vec::new(),
                observed_at: None,
                origins: BTreeMap::new(),
            },
        }
    }

    /// Adds an action, or the refusal when the engine has no such action. Says whether it was
    /// added.
    pub(crate) fn act(&mut self, action: Action, class: Class, reason: String) -> bool {
        let name = action.name();
        if !self.supports(name, class) {
            return false;
        }
        let machine = match action {
            Action::Create { .. } => None,
            Action::Configure { .. }
            | Action::Adopt
            | Action::Start
            | Action::Stop { .. }
            | Action::Restart { .. }
            | Action::Destroy { .. }
            | Action::DiskAdd { .. }
            | Action::DiskGrow { .. }
            | Action::DiskRemove { .. }
            | Action::NicAdd { .. }
            | Action::NicChange { .. }
            | Action::NicRemove { .. } => self.machine_ref(),
        };
        self.plan.actions.push(PlannedAction {
            order: 0,
            request: ActionRequest { machine, action },
            disk: None,
            takes_over: None,
            nic: None,
            class,
            reason,
            fields: Vec::new(),
        });
        true
    }

    /// As [`Self::act`], with the fields that it changes.
    pub(crate) fn change(
        &mut self,
        action: Action,
        class: Class,
        reason: String,
        fields: Vec<FieldChange>,
        disk: Option<String>,
    ) -> bool {
        let added = self.act(action, class, reason);
        if added && let Some(action) = self.plan.actions.last_mut() {
            action.fields = fields;
            action.disk = disk;
        }
        added
    }

    /// Refuses when the engine lacks what a description calls `action`.
    pub(crate) fn supports(&mut self, action: &str, class: Class) -> bool {
        let has = self.subject.rules.supports(action);
        if !has {
            let engine = self.subject.rules.engine();
            self.refuse(
                action,
                class,
                format!("the engine {engine} cannot do `{action}`"),
            );
        }
        has
    }

    pub(crate) fn refuse(&mut self, subject: &str, class: Class, reason: impl Into<String>) {
        self.plan.refused.push(Refusal {
            subject: subject.to_owned(),
            change: None,
            class,
            reason: reason.into(),
        });
    }

    /// The machine to act upon; refused when there is none, it is not seen, or it is not ours.
    pub(crate) fn present(&mut self, action: &str, class: Class) -> Option<Present<'a>> {
        let hypervisor = self.subject.hypervisor_name;
        let Some(record) = self.subject.record else {
            let reason = match self.subject.observed {
                None => "there is no machine yet: `deploy` makes it".to_owned(),
                Some(machine) => format!(
                    "machine {} on {hypervisor} is not on record for this descriptor",
                    machine.id
                ),
            };
            self.refuse(action, class, reason);
            return None;
        };
        let Some(observed) = self.subject.observed else {
            let reason = match &record.identity {
                None => "its creation did not end: `deploy` goes on with it".to_owned(),
                Some(identity) if is_unfinished(record) => format!(
                    "machine {} of an unfinished creation is on record, but was not seen on {hypervisor}; once the hypervisor says that it is not there, its id is taken off the record and `deploy` makes it anew",
                    identity.machine_id
                ),
                Some(identity) => format!(
                    "machine {} is on record, but was not seen on {hypervisor}; nothing is created again by itself: `undeploy` takes it off the record, then `deploy` makes it anew",
                    identity.machine_id
                ),
            };
            self.refuse(action, class, reason);
            return None;
        };
        match owned(record, observed) {
            Ownership::NotOurs(reason) => {
                self.refuse(action, class, reason);
                None
            }
            Ownership::Ours | Ownership::Unclear(_) => {
                if let Some(lock) = &observed.lock {
                    self.plan
                        .notes
                        .push(format!("the hypervisor holds it locked: {lock}"));
                }
                Some(Present { record, observed })
            }
        }
    }

    pub(crate) fn finish(mut self, nothing: &'static str) -> MachinePlan {
        if self.plan.actions.is_empty() && self.plan.refused.is_empty() {
            self.plan.nothing_because = Some(Cow::Borrowed(nothing));
        }
        self.plan
    }

    pub(crate) fn machine_ref(&self) -> Option<MachineRef> {
        machine_ref(self.subject.record, self.subject.observed)
    }
}

/// What an engine is told of the machine: by record, and where it was seen last.
pub(crate) fn machine_ref(
    record: Option<&MachineRecord>,
    observed: Option<&Machine>,
) -> Option<MachineRef> {
    let recorded = record
        .and_then(|record| record.identity.as_ref())
        .map(enginehouse_model::Identity::machine_ref);
    let seen = observed.map(|machine| MachineRef {
        id: machine.id.clone(),
        kind: machine.kind.clone(),
        host: machine.host.clone(),
    });
    match (recorded, seen) {
        (Some(recorded), Some(seen)) => Some(MachineRef {
            kind: recorded.kind.or(seen.kind),
            host: seen.host.or(recorded.host),
            id: recorded.id,
        }),
        (recorded, seen) => recorded.or(seen),
    }
}

/// `cores 2 -> 4, memory 2048 MiB -> 4096 MiB`
pub(crate) fn reason(fields: &[FieldChange]) -> String {
    let parts: Vec<String> = fields
        .iter()
        .map(|change| format!("{} {} -> {}", word(&change.field), change.from, change.to))
        .collect();
    parts.join(", ")
}

/// Sizes as the provider holds them. Those that come out as nothing are refused and left out.
pub(crate) fn as_held<'c>(draft: &mut Draft<'_>, desired: &'c Config) -> Cow<'c, Config> {
    let rules = draft.subject.rules;
    let mut held = Cow::Borrowed(desired);
    // Most sizes of most machines: no key has to be made for them.
    let disks = desired.disks.values().map(|disk| disk.size);
    let mut sizes = disks.chain([desired.memory]).flatten();
    if sizes.all(|bytes| rules.holds(bytes)) {
        return held;
    }
    let mut fit = |key: String, size: Option<u64>| {
        let fitting = size.map(|bytes| rules.truncate(&key, bytes));
        if let (Some(bytes), Some(0)) = (size, fitting) {
            let reason = format!("{bytes} bytes is less than the hypervisor can hold");
            draft.refuse(&key, Class::Benign, reason);
        }
        let fitting = fitting.filter(|bytes| *bytes > 0);
        (fitting != size).then_some(fitting)
    };
    if let Some(memory) = fit("memory".to_owned(), desired.memory) {
        held.to_mut().memory = memory;
    }
    for (name, disk) in &desired.disks {
        if let Some(size) = fit(format!("disks.{name}.size"), disk.size)
            && let Some(disk) = held.to_mut().disks.get_mut(name)
        {
            disk.size = size;
        }
    }
    held
}
