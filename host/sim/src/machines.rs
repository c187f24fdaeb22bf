//! What calls do to the world.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use crate::advance::free_slot;
use crate::answer::{Answer, Refusal};
use crate::body::{self, Create, PowerOff, Update};
use crate::knobs::Verdict;
use crate::perform::Request;
use crate::world::number;
use crate::{Disk, Ending, Firmware, Machine, Power, TaskEffect, World};

/// Milliseconds that a guest is given where the client does not say.
const SHUTDOWN_MS: u64 = 60_000;
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

impl World {
    pub(crate) fn list(&self, query: &BTreeMap<String, String>) -> Result<Answer, Refusal> {
        let bad = |what: &str| Refusal::new(400, "bad-request", format!("{what} is not valid"));
        let after = match query.get("cursor") {
            Some(cursor) => cursor.parse().map_err(|_| bad("cursor"))?,
            None => 0,
        };
        let limit = match query.get("limit") {
            Some(limit) => limit.parse().map_err(|_| bad("limit"))?,
            None => PAGE,
        };
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(bad("limit"));
        }
        let mut shown = Vec::new();
        let mut next = None;
        let rest = self
            .machines
            .range(after + 1..)
            .filter(|(_, machine)| self.visible(machine) && !self.is_away(&machine.host));
        let mut last = after;
        for (number, machine) in rest {
            if shown.len() == limit {
                next = Some(last.to_string());
                break;
            }
            shown.push(self.show_machine(*number, machine));
            last = *number;
        }
        let away = self.hosts.iter().filter(|host| self.is_away(host));
        let gap = |host| json!({"scope": "host", "name": host, "reason": "away"});
        let gaps: Vec<_> = away.map(gap).collect();
        Ok(Answer::ok(
            json!({"machines": shown, "next": next, "coverage": {"gaps": gaps}}),
        ))
    }

    pub(crate) fn read(&self, id: &str) -> Result<Answer, Refusal> {
        let number = number(id, "m-").ok_or_else(|| Refusal::not_found("machine", id))?;
        let machine = self
            .machines
            .get(&number)
            .filter(|machine| self.visible(machine))
            .ok_or_else(|| Refusal::not_found("machine", id))?;
        self.reachable(machine)?;
        Ok(Answer {
            version: Some(machine.version),
            ..Answer::ok(self.show_machine(number, machine))
        })
    }

    fn reachable(&self, machine: &Machine) -> Result<(), Refusal> {
        if self.is_away(&machine.host) {
            let message = format!("host {} is away", machine.host);
            return Err(Refusal::new(503, "host-away", message));
        }
        Ok(())
    }

    /// The machine to change: there, its host reachable, and not locked.
    pub(crate) fn changeable(&mut self, id: &str) -> Result<(u64, &mut Machine), Refusal> {
        let number = number(id, "m-").ok_or_else(|| Refusal::not_found("machine", id))?;
        let machine = self
            .machines
            .get(&number)
            .ok_or_else(|| Refusal::not_found("machine", id))?;
        self.reachable(machine)?;
        if let Some(lock) = &machine.lock {
            let message = format!("machine {id} is locked ({}, t-{})", lock.reason, lock.task);
            return Err(Refusal::new(423, "locked", message));
        }
        let machine = self
            .machines
            .get_mut(&number)
            .ok_or_else(|| Refusal::not_found("machine", id))?;
        Ok((number, machine))
    }

    pub(crate) fn create(&mut self, body: Create, verdict: &Verdict) -> Result<Answer, Refusal> {
        body.check()?;
        let (vcpu, memory) = (body.vcpu(), body.memory());
        let token = body
            .client_token
            .clone()
            .filter(|_| !self.knobs.ignore_client_token);
        if let Some((machine, task)) = token
            .as_ref()
            .and_then(|token| self.client_tokens.get(token))
        {
            return Ok(Answer::accepted(*machine, *task));
        }
        let mut firmware = Firmware::default();
        let mut disks = Vec::new();
        if let Some(name) = &body.base_image {
            let image = self
                .images
                .iter()
                .find(|image| image.name == *name)
                .ok_or_else(|| {
                    Refusal::new(422, "invalid", format!("image `{name}` does not exist"))
                })?;
            firmware = image.firmware;
            disks.clone_from(&image.disks);
            self.image_is_free(name)?;
        }
        // A disk that the image has keeps its size; the others are added.
        let of_image = disks.len();
        for (label, disk) in body.disks {
            let is_there = |have: &Disk| have.label == label;
            if !disks.iter().take(of_image).any(is_there) {
                disks.push(disk.disk(label)?);
            }
        }
        let disks = disks.into_iter().enumerate();
        let mut machine = Machine {
            name: body.name,
            host: String::new(),
            incarnation: Uuid::now_v7(),
            mark: body.mark,
            image: body.base_image,
            vcpu,
            memory,
            description: body.description,
            labels: body.labels,
            firmware: body.settings.firmware.unwrap_or(firmware),
            disks: disks
                .map(|(index, disk)| (format!("disk{index}"), disk))
                .collect(),
            nics: BTreeMap::new(),
            power: Power::Stopped,
            boots: 0,
            version: 1,
            restart_needed: false,
            incomplete: false,
            lock: None,
            made_at: self.now,
        };
        for (label, nic) in body.nics {
            let slot = free_slot("nic", |slot| machine.nics.contains_key(slot));
            machine.nics.insert(slot, nic.nic(label)?);
        }
        let (machine, task) = self.make("create", machine, verdict);
        if let Some(token) = token {
            self.client_tokens.insert(token, (machine, task));
        }
        Ok(Answer::accepted(machine, task))
    }

    fn image_is_free(&self, image: &str) -> Result<(), Refusal> {
        let making = |machine: &&Machine| {
            machine.image.as_deref() == Some(image)
                && machine
                    .lock
                    .as_ref()
                    .is_some_and(|lock| lock.reason == "create")
        };
        let busy = self.machines.values().filter(making).count();
        match self.knobs.clones_per_image {
            Some(most) if busy >= most => {
                let message =
                    format!("image `{image}` is locked: {busy} machines are being made from it");
                Err(Refusal::new(423, "locked", message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A copy by hand: everything, also the mark, but the name and the incarnation.
    pub(crate) fn clone_machine(
        &mut self,
        id: &str,
        body: &body::Clone,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        body::check_name(&body.name)?;
        let now = self.now;
        let (_, original) = self.changeable(id)?;
        let mut copy = Machine {
            name: body.name.clone(),
            incarnation: Uuid::now_v7(),
            power: Power::Stopped,
            boots: 0,
            version: 1,
            made_at: now,
            ..original.clone()
        };
        for nic in copy.nics.values_mut() {
            nic.mac.clear();
        }
        let (machine, task) = self.make("clone", copy, verdict);
        Ok(Answer::accepted(machine, task))
    }

    fn make(&mut self, kind: &str, mut machine: Machine, verdict: &Verdict) -> (u64, u64) {
        self.machines_made += 1;
        let number = self.machines_made;
        let hosts = self.hosts.iter().filter(|host| !self.is_away(host));
        let hosts: Vec<&String> = hosts.collect();
        let turn = usize::try_from(number - 1).unwrap_or_default();
        if let Some(host) = hosts.get(turn.checked_rem(hosts.len()).unwrap_or_default()) {
            machine.host.clone_from(host);
        }
        for (index, nic) in machine.nics.values_mut().enumerate() {
            nic.name_itself(number, index);
        }
        self.machines.insert(number, machine);
        let task = self.begin(kind, number, TaskEffect::Make, verdict);
        (number, task)
    }

    pub(crate) fn update(
        &mut self,
        id: &str,
        request: &Request<'_>,
        body: Update,
    ) -> Result<Answer, Refusal> {
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        if let Some(name) = &body.name {
            body::check_name(name)?;
        }
        if let Some(mark) = &body.mark {
            body::check_mark(mark)?;
        }
        let vcpu = body.vcpu.unwrap_or(machine.vcpu);
        let memory = body.memory.unwrap_or(machine.memory);
        body::check_size(vcpu, memory)?;
        let firmware = body.settings.firmware.unwrap_or(machine.firmware);
        if (firmware == Firmware::Bios) != (machine.firmware == Firmware::Bios) {
            let message = "firmware cannot change between bios and uefi: the disk would not boot";
            return Err(Refusal::new(422, "invalid", message));
        }
        if firmware != machine.firmware && machine.power == Power::Running {
            machine.restart_needed = true;
        }
        machine.vcpu = vcpu;
        machine.memory = memory;
        machine.firmware = firmware;
        if let Some(name) = body.name {
            machine.name = name;
        }
        if let Some(description) = body.description {
            machine.description = description;
        }
        if let Some(mark) = body.mark {
            machine.mark = mark;
        }
        for (label, value) in body.labels {
            match value {
                Some(value) => machine.labels.insert(label, value),
                None => machine.labels.remove(&label),
            };
        }
        machine.version += 1;
        let version = machine.version;
        self.touch();
        let shown = self
            .machines
            .get(&number)
            .map(|machine| self.show_machine(number, machine));
        Ok(Answer {
            version: Some(version),
            ..Answer::ok(shown.unwrap_or_default())
        })
    }

    pub(crate) fn destroy(
        &mut self,
        id: &str,
        request: &Request<'_>,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let (number, machine) = self.changeable(id)?;
        check_version(request, machine)?;
        if machine.power == Power::Running {
            return Err(Refusal::new(
                409,
                "running",
                format!("machine {id} is running: stop it first"),
            ));
        }
        let keep = request.query.get("keep").map_or("", String::as_str);
        let keep: Vec<String> = keep
            .split(',')
            .filter(|slot| !slot.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(slot) = keep.iter().find(|slot| !machine.disks.contains_key(*slot)) {
            return Err(no_disk(id, slot));
        }
        let task = self.begin("destroy", number, TaskEffect::Destroy { keep }, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn start(&mut self, id: &str, verdict: &Verdict) -> Result<Answer, Refusal> {
        let (number, machine) = self.changeable(id)?;
        if machine.power == Power::Running {
            return Err(Refusal::new(
                409,
                "already-running",
                format!("machine {id} is running"),
            ));
        }
        if machine.incomplete {
            let message = format!("machine {id} was never completed: destroy it");
            return Err(Refusal::new(409, "incomplete", message));
        }
        let effect = TaskEffect::Power { to: Power::Running };
        let task = self.begin("start", number, effect, verdict);
        Ok(Answer::accepted(number, task))
    }

    fn running(&mut self, id: &str) -> Result<(u64, &mut Machine), Refusal> {
        let (number, machine) = self.changeable(id)?;
        if machine.power == Power::Stopped {
            return Err(Refusal::new(
                409,
                "already-stopped",
                format!("machine {id} is stopped"),
            ));
        }
        Ok((number, machine))
    }

    pub(crate) fn stop(&mut self, id: &str, verdict: &Verdict) -> Result<Answer, Refusal> {
        let (number, _) = self.running(id)?;
        let effect = TaskEffect::Power { to: Power::Stopped };
        let task = self.begin("stop", number, effect, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn shutdown(
        &mut self,
        id: &str,
        body: &PowerOff,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let (number, _) = self.running(id)?;
        let effect = TaskEffect::Power { to: Power::Stopped };
        let task = self.ask_guest("shutdown", number, effect, body.timeout_ms, verdict);
        Ok(Answer::accepted(number, task))
    }

    pub(crate) fn restart(
        &mut self,
        id: &str,
        body: &PowerOff,
        verdict: &Verdict,
    ) -> Result<Answer, Refusal> {
        let (number, _) = self.running(id)?;
        let task = if body.force {
            self.begin("restart", number, TaskEffect::Restart, verdict)
        } else {
            self.ask_guest(
                "restart",
                number,
                TaskEffect::Restart,
                body.timeout_ms,
                verdict,
            )
        };
        Ok(Answer::accepted(number, task))
    }

    /// A task that needs the guest to stop by itself: it fails when the guest has not in time.
    fn ask_guest(
        &mut self,
        kind: &str,
        machine: u64,
        effect: TaskEffect,
        timeout_ms: Option<u64>,
        verdict: &Verdict,
    ) -> u64 {
        let timeout = timeout_ms.unwrap_or(SHUTDOWN_MS);
        let id = format!("m-{machine}");
        let name = self
            .machines
            .get(&machine)
            .map(|machine| machine.name.as_str());
        let deaf = self
            .knobs
            .ignore_shutdown
            .iter()
            .any(|deaf| deaf == "*" || *deaf == id || Some(deaf.as_str()) == name);
        if deaf || self.knobs.task_time(kind) > timeout {
            let ending = Ending::Failed {
                code: "guest-timeout".to_owned(),
                message: format!("the guest did not stop within {timeout} ms"),
                leave_half: false,
            };
            return self.begin_for(kind, machine, effect, ending, timeout);
        }
        self.begin(kind, machine, effect, verdict)
    }
}

pub(crate) fn no_disk(id: &str, slot: &str) -> Refusal {
    Refusal::new(404, "no-disk", format!("machine {id} has no disk {slot}"))
}

/// `If-Match` is optional; where it is given, it must be the version of the configuration.
pub(crate) fn check_version(request: &Request<'_>, machine: &Machine) -> Result<(), Refusal> {
    match request.if_match {
        Some(seen) if seen.trim_matches('"') != machine.version.to_string() => {
            let message = format!("the machine is at version {}, not {seen}", machine.version);
            Err(Refusal::new(412, "version", message))
        }
        Some(_) | None => Ok(()),
    }
}
