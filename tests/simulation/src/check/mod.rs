//! What must hold: at any time, when an operation ends, and when all is over.

mod adopted;
mod alone;
mod approved;
mod arrival;
mod kept;
mod scheduling;
mod story;

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::{Config, Machine, Power, PowerState};
use enginehouse_model::{HypervisorUid, MachineRecord, NodeUid, OperationId};
use enginehouse_queue::{Entry, Final, Operation, Phase};
use enginehouse_reconcile::{Intent, Rules, plan_one};
use enginehouse_tree::{Node, Status};
use serde_json::json;

use crate::engine::description;
use crate::memory::{LIMITS, Memory};
use crate::orders::{Kind, Params, params_of};
use crate::prepare::subject;
use crate::provider::{Naming, Temper, Vm};
use crate::run::Simulation;
use crate::settings::{Kill, Weather};
use crate::violation::{Rule, Violation, holds};

impl Simulation {
    /// What holds after every decision.
    pub(crate) fn check_now(&self) -> Result<(), Violation> {
        if let Some(found) = &self.found {
            return Err(found.clone());
        }
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let mut slots: BTreeMap<HypervisorUid, usize> = BTreeMap::new();
        let mut copies: BTreeMap<HypervisorUid, usize> = BTreeMap::new();
        let mut working: BTreeSet<NodeUid> = BTreeSet::new();
        for operation in memory.queue.iter() {
            if !operation.spec.children.is_empty() {
                continue;
            }
            let open = !matches!(operation.phase, Phase::Pending | Phase::WaitingApproval);
            let alone = !open || working.insert(operation.spec.target);
            holds(alone, Rule::Order, || {
                format!("{} overtook its lane", operation.number())
            })?;
            // A person's retry does not wait for a slot.
            let judged = self.outside.ledger.judged.contains(&operation.number());
            if let (Some(place), false) = (operation.spec.hypervisor, judged) {
                *slots.entry(place).or_default() += usize::from(operation.holds_slot());
                *copies.entry(place).or_default() += usize::from(operation.copies().is_some());
            }
        }
        let most = slots.values().max().copied().unwrap_or_default();
        holds(most <= LIMITS.operations, Rule::Limits, || {
            format!("{most} operations at one hypervisor")
        })?;
        let most = copies.values().max().copied().unwrap_or_default();
        holds(most <= LIMITS.copies_per_template, Rule::Limits, || {
            format!("{most} copies of one template")
        })?;
        let wrong = self.outside.providers.iter().find_map(|p| p.wrongs.first());
        holds(wrong.is_none(), Rule::Ours, || {
            wrong.cloned().unwrap_or_default()
        })?;
        for provider in &self.outside.providers {
            let twice = provider.effects.iter().find(|(_, times)| **times > 1);
            holds(twice.is_none(), Rule::Once, || {
                format!("took effect more than once: {twice:?}")
            })?;
        }
        Ok(())
    }

    /// What holds when an operation ends, before its end changes anything.
    pub(crate) fn check_end(
        &mut self,
        operation: &Operation,
        kind: Kind,
        end: Final,
    ) -> Result<(), Violation> {
        let number = operation.number();
        let node = operation.spec.target;
        self.check_gone_on(operation, end)?;
        let ledger = &self.outside.ledger;
        let judged = ledger.judged.contains(&number);
        let gave_up = ledger.gave_up.get(&number).is_some_and(|times| *times > 1);
        if let Phase::Ended { problem, .. } = &operation.phase {
            let told = end != Final::Failed || problem.is_some();
            holds(told, Rule::Truth, || {
                format!("{number} failed without a reason")
            })?;
        }
        // What needs something that was cancelled is not begun either.
        let was_cancelled = operation.cancel.is_some()
            || operation.is_blocked()
            || self.outside.ledger.was_stopped(number);
        let cancelled = end != Final::Cancelled || was_cancelled;
        holds(cancelled, Rule::Truth, || {
            format!("nobody cancelled {number}")
        })?;
        let mut providers = self.outside.providers.iter();
        let works = providers.find_map(|provider| provider.works_for(number));
        // A stop that waited for its guest is left to itself where a forced one overtakes it.
        let left = kind == Kind::Stop && end == Final::Superseded;
        // The task of a machine that is another by now may be forgotten.
        let replaced = self.outside.ledger.meddled.contains(&node);
        let known = works.is_none() || judged || gave_up || left || replaced;
        holds(known, Rule::Truth, || {
            format!("{number} ended {end:?} while its {works:?} goes on")
        })?;
        let params = params_of(&operation.spec);
        let mut steps = operation.steps.iter();
        let takes_off = steps.any(|step| step.action == "disk-remove");
        let destroys = kind.destroys(&params) || takes_off;
        if destroys && end == Final::Failed && (judged || gave_up) {
            self.outside.ledger.unsure.insert(node);
        }
        if end != Final::Succeeded && (judged || gave_up) {
            self.outside.ledger.unsure_power.insert(node);
        }
        if end != Final::Succeeded || judged || !self.is_certain(node) {
            return Ok(());
        }
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let record = memory.record_of(node);
        let vm = record.and_then(|record| self.vm_of(record));
        self.check_undo_end(number, node, kind, &params)?;
        let says = |what: &str| format!("{number} ({}) succeeded, and {what}", operation.spec.kind);
        match kind {
            Kind::Deploy | Kind::Reconfigure => {
                holds(vm.is_some(), Rule::Truth, || says("there is no machine"))
            }
            Kind::Start | Kind::Stop => {
                let wanted = match kind {
                    Kind::Start => PowerState::Running,
                    _ => PowerState::Stopped,
                };
                let is_so = vm.is_some_and(|vm| vm.power == wanted);
                holds(is_so, Rule::Truth, || says("it is not so"))
            }
            Kind::Undo if !kind.destroys(&params) || params.was_taken_back(record) => Ok(()),
            Kind::Undeploy | Kind::Undo => {
                let Some(record) = record else {
                    return Ok(());
                };
                let providers = self.outside.providers.iter();
                let left = providers.map(|p| p.made_for(record.uid).count());
                let left: usize = left.sum();
                holds(left == 0, Rule::Truth, || says("the machine is there"))
            }
            Kind::Restart
            | Kind::Rollback
            | Kind::Provision
            | Kind::Deprovision
            | Kind::Edit
            | Kind::Move => Ok(()),
        }
    }

    /// The machine of a record, as the provider has it.
    pub(crate) fn vm_of(&self, record: &MachineRecord) -> Option<&Vm> {
        let identity = record.identity.as_ref()?;
        let mut providers = self.outside.providers.iter();
        let provider = providers.find(|provider| provider.uid == record.hypervisor)?;
        let vm = provider.vms.get(&identity.machine_id.parse().ok()?)?;
        let same = match &identity.incarnation {
            Some(incarnation) => *incarnation == format!("i{}", vm.incarnation),
            // What never got its mark, or so late that nobody looked again, cannot be recognised; it is
            // configured and never destroyed.
            None => vm
                .mark
                .as_ref()
                .is_none_or(|mark| *mark == record.mark.to_string()),
        };
        Some(vm).filter(|vm| same && vm.made_for == Some(record.uid))
    }

    /// What holds when everything has ended.
    ///
    /// # Errors
    /// With the first promise that was broken.
    pub fn check_over(&self) -> Result<(), Violation> {
        self.check_acknowledged()?;
        self.check_lanes()?;
        self.check_memory()?;
        self.check_doubts()?;
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        for node in memory.tree.nodes().filter(|node| !node.is_folder()) {
            self.check_machine(memory, node.uid)?;
        }
        self.check_definitions(memory)?;
        let ledger = &self.outside.ledger;
        let certain = ledger.doubted.is_empty() && ledger.gave_up.is_empty();
        for provider in &self.outside.providers {
            let most = provider.copies_most;
            let few = most <= LIMITS.copies_per_template || !certain;
            holds(few, Rule::Limits, || {
                format!("{} had {most} copies under way at once", provider.name)
            })?;
        }
        holds(memory.reservations.is_empty(), Rule::Truth, || {
            format!("still reserved: {:?}", memory.reservations)
        })
    }

    fn check_acknowledged(&self) -> Result<(), Violation> {
        for (number, what) in &self.outside.ledger.acknowledged {
            holds(self.end_of(*number).is_some(), Rule::Ends, || {
                format!("operation {number} ({what}) was acknowledged and has not ended")
            })?;
        }
        let mut lines = BTreeSet::new();
        for line in &self.disk.executed {
            holds(lines.insert(line.operation), Rule::Ends, || {
                format!("operation {} ended twice", line.operation)
            })?;
        }
        let all: BTreeSet<OperationId> = self.disk.operations.keys().copied().collect();
        holds(lines == all, Rule::Ends, || {
            let missing: Vec<_> = all.difference(&lines).collect();
            format!("without a line in the executed log: {missing:?}")
        })
    }

    /// Operations of one lane ran one after another.
    fn check_lanes(&self) -> Result<(), Violation> {
        let mut at: BTreeMap<OperationId, usize> = BTreeMap::new();
        let mut open: BTreeMap<String, OperationId> = BTreeMap::new();
        let mut ended: BTreeSet<OperationId> = BTreeSet::new();
        for number in &self.disk.order {
            let place = at.entry(*number).or_default();
            let rows = self.disk.journal.get(number);
            let row = rows.and_then(|rows| rows.get(*place));
            *place += 1;
            let Some(entry) = row.and_then(|row| row.document.read::<Entry>().ok()) else {
                continue;
            };
            let target = self.disk.operations.get(number);
            let target = target.and_then(|row| row.targets.first().cloned());
            let target = target.unwrap_or_default();
            match entry {
                Entry::Started => {
                    let before = open.insert(target, *number);
                    let fits =
                        before.is_none_or(|before| before == *number || ended.contains(&before));
                    holds(fits, Rule::Order, || {
                        format!("{number} began before {before:?} ended")
                    })?;
                }
                // It has left its lane.
                Entry::Asked { .. } => open.retain(|_, other| other != number),
                Entry::Ended { .. } => {
                    ended.insert(*number);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What is durable loads, and is what memory is.
    pub(crate) fn check_memory(&self) -> Result<(), Violation> {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let (loaded, _) = Memory::load(&self.disk, self.outside.now)?;
        let (a, b) = (memory.picture(), loaded.picture());
        let differs = a.iter().zip(&b).find(|(a, b)| a != b);
        holds(a == b, Rule::Load, || {
            format!("memory is not what is on disk: {differs:?}")
        })
    }

    /// Only what can neither be given an id nor asked, or was forgotten, or is gone, or may not be
    /// looked at, ends in doubt.
    fn check_doubts(&self) -> Result<(), Violation> {
        let can_be_known = |provider: &crate::provider::Provider| {
            let temper = provider.temper;
            provider.naming != Naming::Blind && temper.forgets == 0 && temper.denies == 0
        };
        let all = self.outside.providers.iter().all(can_be_known);
        let ledger = &self.outside.ledger;
        let fair = self.settings.weather == Weather::Fair;
        let none = ledger.doubted.is_empty();
        holds(none || !all || !fair, Rule::Truth, || {
            format!("in doubt without need: {:?}", ledger.doubted)
        })
    }

    fn check_machine(&self, memory: &Memory, node: NodeUid) -> Result<(), Violation> {
        let Ok(body) = memory.tree.descriptor(node) else {
            return Ok(());
        };
        let name = memory.tree.full_name(node).ok().cloned();
        let name = name.map_or_else(String::new, |name| name.to_string());
        let record = memory.record_of(node);
        if !self.is_certain(node) {
            return Ok(());
        }
        let vm = record.and_then(|record| self.vm_of(record));
        if body.status == Status::Deployed {
            holds(vm.is_some(), Rule::Truth, || {
                format!("{name} is deployed and has no machine: {record:?}")
            })?;
        }
        if let Some(record) = record {
            let providers = self.outside.providers.iter();
            let machines: usize = providers.map(|p| p.made_for(record.uid).count()).sum();
            holds(machines <= 1, Rule::Once, || {
                format!("{name} has {machines} machines")
            })?;
        }
        Ok(())
    }

    /// Everything becomes quiet; all is applied, looked at and taken down again.
    ///
    /// # Errors
    /// With the first promise that was broken.
    pub fn settle_down(&mut self) -> Result<(), Violation> {
        self.settings.kill = Kill::Never;
        self.outside.weather = Weather::Fair;
        for provider in &mut self.outside.providers {
            provider.temper = Temper::GOOD;
        }
        self.unprotect()?;
        let deployed = self.descriptors(|memory, node| {
            let body = memory.tree.descriptor(node);
            body.is_ok_and(|body| body.status == Status::Deployed)
        });
        for (node, path) in &deployed {
            if self.is_certain(*node) {
                self.order_at(0, Kind::Reconfigure, path, Params::default());
            }
        }
        self.run()?;
        for (node, path) in &deployed {
            if self.is_certain(*node) {
                self.check_applied(*node, path)?;
            }
        }
        let machines = self.descriptors(|memory, node| memory.record_of(node).is_some());
        for (_, path) in &machines {
            self.order_at(0, Kind::Undeploy, path, Params::default());
        }
        self.run()?;
        self.check_over()?;
        self.check_nothing_left()
    }

    /// People take all protection away, and what asks for approvals, and say so: on folders first, then where a descriptor has its
    /// own.
    fn unprotect(&mut self) -> Result<(), Violation> {
        let params = || Params {
            change: Some(json!({"protect": null, "approvals": null})),
            confirm_lowered: true,
            ..Params::default()
        };
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let own = |node: &&Node| {
            let local = node.local.to_json();
            local.get("protect").is_some() || local.get("approvals").is_some()
        };
        let folders = memory.tree.nodes().filter(|node| node.is_folder());
        let folders = folders.filter(own);
        let named = folders.filter_map(|node| memory.tree.full_name(node.uid).ok());
        let paths: Vec<String> = named.map(ToString::to_string).collect();
        for path in paths {
            self.order_at(0, Kind::Edit, &path, params());
        }
        self.run()?;
        let own = self.descriptors(|memory, node| {
            let computed = memory.tree.computed(node);
            computed.is_ok_and(|computed| computed.protect() || computed.approvals().is_some())
        });
        for (node, path) in &own {
            let body = self
                .memory()?
                .tree
                .descriptor(*node)
                .map(|body| body.status);
            let kind = match body {
                Ok(Status::Provisioned) => Kind::Edit,
                _ => Kind::Reconfigure,
            };
            self.order_at(0, kind, path, params());
        }
        self.run()
    }

    fn descriptors(&self, is: impl Fn(&Memory, NodeUid) -> bool) -> Vec<(NodeUid, String)> {
        let Some(memory) = &self.memory else {
            return Vec::new();
        };
        let nodes = memory.tree.nodes().filter(|node| !node.is_folder());
        let mut found: Vec<(NodeUid, String)> = nodes
            .filter(|node| is(memory, node.uid))
            .filter_map(|node| Some((node.uid, memory.tree.full_name(node.uid).ok()?.to_string())))
            .collect();
        found.sort();
        found
    }

    /// A machine that was brought to its definition: the plan is empty, and the deployed config is
    /// what the provider has.
    fn check_applied(&mut self, node: NodeUid, path: &str) -> Result<(), Violation> {
        let problem = |text: String| Violation::new(Rule::Settled, format!("{path}: {text}"));
        let target = self
            .target(node)
            .map_err(|error| problem(error.to_string()))?;
        let Some(record) = target.record.clone() else {
            return Err(problem("it has no record".to_owned()));
        };
        let id = record.identity.as_ref().map(|i| i.machine_id.clone());
        let observed = self
            .observe(target.provider, &id.unwrap_or_default())
            .map_err(|error| problem(error.to_string()))?;
        let rules = Rules::new(&description());
        let intent = Intent::Reconfigure;
        let of = subject(&target, intent, Some(&record), observed.as_ref(), &rules);
        let plan = plan_one(&of);
        let nothing = plan.actions.is_empty()
            && plan.refused.is_empty()
            && plan.drift.is_empty()
            && plan.pending.is_empty();
        holds(nothing, Rule::Settled, || {
            format!("{path}: there is still something to do: {plan:?}")
        })?;
        let Some(machine) = &observed else {
            return Err(problem("its machine is not there".to_owned()));
        };
        let power = !self.outside.ledger.unsure_power.contains(&node);
        is_deployed(&record, machine, power).map_err(problem)
    }

    fn is_on_record(&self, id: u64, vm: &Vm) -> bool {
        let records = self
            .memory
            .iter()
            .flat_map(|memory| memory.records.values());
        let mut ours = records.filter(|record| Some(record.uid) == vm.made_for);
        ours.any(|record| {
            let identity = record.identity.as_ref();
            identity.is_some_and(|identity| identity.machine_id == id.to_string())
        })
    }

    /// All machines were taken down: what is left was made by nobody who is known.
    fn check_nothing_left(&self) -> Result<(), Violation> {
        let ledger = &self.outside.ledger;
        for provider in &self.outside.providers {
            let left = provider.vms.iter().find(|(id, vm)| {
                let judged = vm
                    .made_by
                    .is_none_or(|number| ledger.judged.contains(&number));
                // Nobody finds one that never got its mark; where it is on record it is held.
                let held = vm.mark.is_none() && (judged || self.is_on_record(**id, vm));
                vm.made_for.is_some() && !held
            });
            holds(left.is_none(), Rule::Ours, || {
                format!("left behind on {}: {left:?}", provider.name)
            })?;
            let strangers = provider.vms.get(&101);
            let there = strangers.is_some_and(|vm| vm.made_for.is_none());
            holds(there, Rule::Ours, || "the stranger is gone".to_owned())?;
        }
        Ok(())
    }
}

/// The deployed config, field by field, against the machine.
fn is_deployed(record: &MachineRecord, machine: &Machine, power: bool) -> Result<(), String> {
    let empty = Config::default();
    let seen = machine.config.as_ref().unwrap_or(&empty);
    let deployed = &record.deployed;
    let same = |what: &str, is_so: bool| match is_so {
        true => Ok(()),
        false => Err(format!(
            "{what} is deployed otherwise than it is: {deployed:?}, {machine:?}"
        )),
    };
    same(
        "vcpu",
        deployed.vcpu.is_none() || deployed.vcpu == seen.vcpu,
    )?;
    same(
        "memory",
        deployed.memory.is_none() || deployed.memory == seen.memory,
    )?;
    let description = &deployed.description;
    same(
        "the description",
        description.is_none() || *description == seen.description,
    )?;
    for (label, value) in &deployed.labels {
        same("a label", seen.labels.get(label) == Some(value))?;
    }
    for (name, disk) in &deployed.disks {
        let slot = record.slots.get(name);
        let there = slot.and_then(|slot| seen.disks.get(slot));
        let large = there.is_some_and(|seen| disk.size.is_none() || seen.size >= disk.size);
        same("a disk", large)?;
    }
    match deployed.power.filter(|_| power) {
        Some(Power::Running) => same("power", machine.power == PowerState::Running),
        Some(Power::Stopped) => same("power", machine.power == PowerState::Stopped),
        None => Ok(()),
    }
}
