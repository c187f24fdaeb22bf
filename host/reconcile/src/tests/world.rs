//! A machine with its record and definition, and a provider that does what it is told.

use std::collections::BTreeMap;

use enginehouse_model::documents::{
    Action, ActionRequest, Assessment, ChangeClass, Config, Description, Disk, FieldRule, Machine,
    Outcome, PowerState,
};
use enginehouse_model::{
    FullName, HypervisorUid, Identity, InstallationId, MachineRecord, MachineUid, Mark, NodeUid,
    OperationId, Timestamp,
};
use serde_json::json;
use uuid::Uuid;

use crate::{Intent, Needed, Plan, Rules, Subject, adopt, apply, plan, skipped, still_needed};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// One machine on all sides.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub number: u128,
    pub name: FullName,
    pub hypervisor: &'static str,
    pub desired: Config,
    pub record: Option<MachineRecord>,
    pub observed: Option<Machine>,
    pub rules: Rules,
    /// What the engine says of changes.
    pub assessment: Option<Assessment>,
}

pub(super) fn description() -> Description {
    let rule = |class| FieldRule {
        class: Some(class),
        ..FieldRule::default()
    };
    Description {
        name: "test".to_owned(),
        actions: [
            "create",
            "create.from-image",
            "create.from-scratch",
            "configure",
            "adopt",
            "start",
            "stop",
            "stop.graceful",
            "restart",
            "destroy",
            "destroy.keep-disks",
            "disk-add",
            "disk-grow",
            "disk-remove",
            "disk-remove.keep",
            "nic-add",
            "nic-change",
            "nic-remove",
            "nic.addresses",
        ]
        .map(str::to_owned)
        .into(),
        fields: BTreeMap::from([
            (
                "memory".to_owned(),
                FieldRule {
                    granularity: Some(MIB),
                    ..FieldRule::default()
                },
            ),
            (
                "disks.size".to_owned(),
                FieldRule {
                    granularity: Some(MIB),
                    ..FieldRule::default()
                },
            ),
            (
                "description".to_owned(),
                FieldRule {
                    ignore_trailing_newline: true,
                    ..FieldRule::default()
                },
            ),
            ("settings.onboot".to_owned(), rule(ChangeClass::InPlace)),
            ("settings.bios".to_owned(), rule(ChangeClass::Restart)),
            ("settings.arch".to_owned(), rule(ChangeClass::Replace)),
        ]),
        machine_settings_schema: json!({"properties": {"key": {"writeOnly": true}}}),
        ..Description::default()
    }
}

pub(super) fn mark(number: u128) -> Mark {
    Mark {
        installation: InstallationId::from_uuid(Uuid::from_u128(1)),
        machine: MachineUid::from_uuid(Uuid::from_u128(number)),
        operation: OperationId(7),
    }
}

impl World {
    /// `/web/vmN`, deployed on pve1 as machine N, stopped, with nothing managed.
    pub(super) fn new(number: u128) -> Self {
        let record = MachineRecord {
            uid: MachineUid::from_uuid(Uuid::from_u128(number)),
            node: NodeUid::from_uuid(Uuid::from_u128(number)),
            hypervisor: HypervisorUid::from_uuid(Uuid::from_u128(1)),
            provider_identity: "cluster".to_owned(),
            mark: mark(number),
            created_by: OperationId(7),
            identity: Some(Identity {
                machine_id: number.to_string(),
                kind: Some("qemu".to_owned()),
                host: Some("n1".to_owned()),
                incarnation: Some(format!("inc-{number}")),
            }),
            slots: BTreeMap::new(),
            deployed: Config::default(),
            last_step_ended: Timestamp(0),
            unnoted: false,
            protected: None,
        };
        let observed = Machine {
            id: number.to_string(),
            kind: Some("qemu".to_owned()),
            incarnation: Some(format!("inc-{number}")),
            mark: Some(mark(number).to_string()),
            power: PowerState::Stopped,
            host: Some("n1".to_owned()),
            config: Some(Config::default()),
            version: Some("v1".to_owned()),
            ..Machine::default()
        };
        Self {
            number,
            name: format!("/web/vm{number}").parse().unwrap(),
            hypervisor: "pve1",
            desired: Config::default(),
            record: Some(record),
            observed: Some(observed),
            rules: Rules::new(&description()),
            assessment: None,
        }
    }

    /// Nothing of it exists yet.
    pub(super) fn unborn(number: u128) -> Self {
        Self {
            record: None,
            observed: None,
            ..Self::new(number)
        }
    }

    pub(super) fn desired(mut self, config: Config) -> Self {
        self.desired = config;
        self
    }

    pub(super) fn deployed(mut self, config: Config) -> Self {
        self.record.as_mut().unwrap().deployed = config;
        self
    }

    pub(super) fn observed(mut self, config: Config) -> Self {
        self.observed.as_mut().unwrap().config = Some(config);
        self
    }

    pub(super) fn power(mut self, power: PowerState) -> Self {
        self.observed.as_mut().unwrap().power = power;
        self
    }

    pub(super) fn slot(mut self, name: &str, slot: &str) -> Self {
        let slots = &mut self.record.as_mut().unwrap().slots;
        slots.insert(name.to_owned(), slot.to_owned());
        self
    }

    pub(super) fn without(mut self, action: &str) -> Self {
        let mut description = description();
        description.actions.retain(|has| has != action);
        self.rules = Rules::new(&description);
        self
    }

    pub(super) fn subject(&self, intent: Intent) -> Subject<'_> {
        Subject {
            name: &self.name,
            node: NodeUid::from_uuid(Uuid::from_u128(self.number)),
            machine: None,
            hypervisor: HypervisorUid::from_uuid(Uuid::from_u128(1)),
            hypervisor_name: self.hypervisor,
            intent,
            shutdown_timeout_ms: Some(30_000),
            desired: Some(&self.desired),
            record: self.record.as_ref(),
            observed: self.observed.as_ref(),
            rules: &self.rules,
            assessment: self.assessment.as_ref(),
        }
    }

    pub(super) fn plan(&self, intent: Intent) -> Plan {
        plan(&[self.subject(intent)])
    }

    /// What an executor does with a plan of this one machine. Returns the requests that went out.
    pub(super) fn execute(&mut self, plan: &Plan) -> Vec<ActionRequest> {
        let [machine] = plan.machines.as_slice() else {
            unreachable!("planned for one machine");
        };
        if self.record.is_none() && !machine.actions.is_empty() {
            let record = Self::new(self.number).record;
            self.record = record.map(|record| MachineRecord {
                identity: None,
                ..record
            });
        }
        let Some(record) = &mut self.record else {
            return Vec::new();
        };
        adopt(record, machine, &self.desired, &self.rules);
        let mut sent = Vec::new();
        for planned in &machine.actions {
            match still_needed(planned, record, self.observed.as_ref(), &self.rules) {
                Needed::Yes(request) => {
                    let outcome = carry_out(self.number, &request, &mut self.observed);
                    apply(record, planned, &outcome);
                    sent.push(request);
                }
                Needed::No(_) => skipped(record, planned, self.observed.as_ref()),
                Needed::Refused(reason) => unreachable!("{reason}: {planned:?}"),
            }
        }
        sent
    }
}

/// A provider that does at once what it is asked. Its images have one disk, of 8 GiB, in scsi0.
fn carry_out(number: u128, request: &ActionRequest, machine: &mut Option<Machine>) -> Outcome {
    let mut slots = BTreeMap::new();
    if let Action::Create { desired } = &request.action {
        // One that broke off is gone on with: what nobody manages stays as it is.
        let begun = machine.take().filter(|_| request.machine.is_some());
        let is_new = begun.is_none();
        let mut made = begun.unwrap_or_else(|| World::new(number).observed.unwrap());
        let mut config = made.config.take();
        let held = config.get_or_insert_default();
        for field in crate::field::Field::all(desired, desired) {
            field.copy(desired, held);
        }
        for (at, (name, nic)) in desired.nics.iter().enumerate() {
            held.nics.insert(format!("net{at}"), nic.clone());
            slots.insert(name.clone(), format!("net{at}"));
        }
        for (at, (name, disk)) in desired.disks.iter().enumerate() {
            let free = |slot: &String| !held.disks.contains_key(slot);
            let slot = (0..).map(|at| format!("scsi{at}")).find(free).unwrap();
            let size = match (&desired.base_image, at) {
                (Some(_), 0) if is_new => Some(8 * GIB),
                _ => disk.size,
            };
            let disk = Disk {
                size,
                ..disk.clone()
            };
            held.disks.insert(slot.clone(), disk);
            slots.insert(name.clone(), slot);
        }
        if let Some(name) = &desired.name {
            made.name = Some(name.clone());
        }
        made.config = config;
        *machine = Some(made);
    }
    let there = machine.as_mut().unwrap();
    let about = request.machine.as_ref().map(|machine| machine.id.as_str());
    let is_creation = request.action.name() == "create";
    assert!(about == Some(there.id.as_str()) || is_creation && about.is_none());
    // A provider that hides the configuration is asked for nothing but the run state.
    let mut hidden = Config::default();
    let config = there.config.as_mut().unwrap_or(&mut hidden);
    match &request.action {
        Action::Create { .. } => {}
        Action::Configure {
            desired, changed, ..
        } => {
            for key in changed {
                crate::field::Field::parse(key)
                    .unwrap()
                    .copy(desired, config);
            }
            there.version = there.version.as_ref().map(|version| format!("{version}+"));
        }
        Action::Adopt => there.mark = Some(mark(number).to_string()),
        Action::Start | Action::Restart { .. } => there.power = PowerState::Running,
        Action::Stop { .. } => there.power = PowerState::Stopped,
        Action::Destroy { .. } => {
            *machine = None;
            return Outcome::default();
        }
        Action::DiskAdd { name, disk } => {
            let slot = format!("added-{name}");
            config.disks.insert(slot.clone(), disk.clone());
            slots.insert(name.clone(), slot);
        }
        Action::DiskGrow { slot, size } => {
            let disk = config.disks.get_mut(slot).unwrap();
            assert!(disk.size.unwrap_or(0) < *size, "disks only grow");
            disk.size = Some(*size);
        }
        Action::DiskRemove { slot, .. } => drop(config.disks.remove(slot).unwrap()),
        Action::NicAdd { name, nic } => {
            let slot = format!("added-{name}");
            config.nics.insert(slot.clone(), nic.clone());
            slots.insert(name.clone(), slot);
        }
        Action::NicChange { slot, nic, changed } => {
            let there = config.nics.get_mut(slot).unwrap();
            assert!(!changed.is_empty());
            for member in changed {
                (crate::nics::Member::of(member).unwrap().copy)(nic, there);
            }
        }
        Action::NicRemove { slot } => drop(config.nics.remove(slot).unwrap()),
    }
    Outcome {
        machine: machine.clone(),
        slots,
        ..Outcome::default()
    }
}

pub(super) fn disk(size: u64) -> Disk {
    Disk {
        size: Some(size),
        ..Disk::default()
    }
}

pub(super) fn disks<const N: usize>(disks: [(&str, u64); N]) -> BTreeMap<String, Disk> {
    disks
        .into_iter()
        .map(|(name, size)| (name.to_owned(), disk(size)))
        .collect()
}
