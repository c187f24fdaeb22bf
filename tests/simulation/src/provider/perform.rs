//! A request arrives; a task ends.

use enginehouse_model::Timestamp;
use enginehouse_model::documents::{Disk, PowerState};

use super::{Answer, Flight, Naming, Provider, Request, TEMPLATE_DISK, Task, Vm};
use crate::random::Random;

impl Provider {
    /// Carries a request out, or refuses it.
    pub(crate) fn arrive(
        &mut self,
        flight: Flight,
        now: Timestamp,
        random: &mut Random,
    ) -> (Answer, Option<Timestamp>) {
        *self.arrived.entry(flight.request.name()).or_default() += 1;
        if random.chance(self.temper.busy) {
            let answer = match random.chance(300) {
                true => Answer::SessionExpired,
                false => Answer::Busy("too much to do".to_owned()),
            };
            return (answer, None);
        }
        let answer = self.perform(&flight, now, random);
        let took_effect = matches!(answer.0, Answer::Done | Answer::Task { .. });
        if took_effect && flight.once {
            *self.effects.entry(flight.digest).or_default() += 1;
        }
        answer
    }

    fn perform(
        &mut self,
        flight: &Flight,
        now: Timestamp,
        random: &mut Random,
    ) -> (Answer, Option<Timestamp>) {
        if let Request::Clone { id, name, mark } = &flight.request {
            let id = match id {
                Some(id) if self.vms.contains_key(id) => return (Answer::Taken, None),
                Some(id) => *id,
                None => {
                    self.next_id += 1;
                    while self.vms.contains_key(&self.next_id) {
                        self.next_id += 1;
                    }
                    self.next_id
                }
            };
            let mark = mark.as_ref().map(ToString::to_string);
            return self.copy(flight, id, name.clone(), mark, now, random);
        }
        let Some(id) = flight.id.filter(|id| self.vms.contains_key(id)) else {
            return (Answer::NotFound, None);
        };
        if flight.request == (Request::Stop { graceful: false }) {
            self.overrule(id);
        }
        let running = self.tasks.values().find(|task| task.vm == id && !task.over);
        if let Some(task) = running {
            let locked = format!("machine {id} is locked ({})", task.flight.request.name());
            return (Answer::Busy(locked), None);
        }
        let mut refuses = self.refuses.iter();
        if refuses.any(|(name, about)| {
            *name == flight.request.name() && about.is_none_or(|about| about == id)
        }) {
            return (Answer::Error("not that".to_owned()), None);
        }
        if let Some(refused) = self.refusal(id, flight) {
            return (refused, None);
        }
        let vm = self.vms.get(&id);
        let is_off = vm.is_some_and(|vm| vm.power == PowerState::Stopped);
        if is_off && flight.request == (Request::Stop { graceful: false }) {
            return (Answer::Done, None);
        }
        self.witness(id, flight);
        let lag = Self::time(random, self.temper.lag);
        if let Some(vm) = self.vms.get_mut(&id)
            && change(vm, &flight.request)
        {
            // It was given up before it came.
            if !flight.once {
                vm.others_at = now;
            }
            vm.version += 1;
            vm.changed_from = now.plus_ms(lag);
            return (Answer::Done, None);
        }
        self.begin(flight, id, now, random)
    }

    /// Who pulls the plug does not wait for the guest.
    fn overrule(&mut self, id: u64) {
        let asks = Request::Stop { graceful: true };
        let mut tasks = self.tasks.values_mut();
        let asking = tasks.find(|task| task.vm == id && !task.over && task.flight.request == asks);
        if let Some(task) = asking {
            task.over = true;
            task.error = Some("overruled".to_owned());
            let times = self.effects.get_mut(&task.flight.digest);
            times.into_iter().for_each(|times| *times -= 1);
        }
    }

    fn refusal(&self, id: u64, flight: &Flight) -> Option<Answer> {
        let vm = self.vms.get(&id)?;
        let error = |text: &str| Some(Answer::Error(text.to_owned()));
        match &flight.request {
            Request::Configure {
                version: Some(version),
                ..
            } if *version != vm.version => Some(Answer::Conflict("it was changed".to_owned())),
            Request::Start if vm.power == PowerState::Running => error("it is running"),
            Request::Stop { graceful: true } if vm.power != PowerState::Running => {
                error("it is stopped")
            }
            Request::Restart if vm.power != PowerState::Running => error("it is stopped"),
            Request::Destroy if vm.power == PowerState::Running => error("it is running"),
            Request::AddDisk { name, .. } if vm.slots.contains_key(name) => error("it has that"),
            Request::RemoveDisk { slot } if !vm.config.disks.contains_key(slot) => {
                error("that slot is empty")
            }
            Request::Clone { .. }
            | Request::AddDisk { .. }
            | Request::RemoveDisk { .. }
            | Request::AddNics { .. }
            | Request::Initialize { .. }
            | Request::Configure { .. }
            | Request::Grow { .. }
            | Request::Start
            | Request::Stop { .. }
            | Request::Restart
            | Request::Destroy => None,
        }
    }

    /// Whose machine is changed?
    fn witness(&mut self, id: u64, flight: &Flight) {
        let owner = self.vms.get(&id).and_then(|vm| vm.made_for);
        if owner != Some(flight.machine) {
            self.wrongs.push(format!(
                "{} of operation {} changed machine {id} of {}, which was made for {owner:?} and not for {:?} of {}",
                flight.request.name(),
                flight.operation,
                self.name,
                flight.machine,
                flight.node,
            ));
        }
        let vm = self.vms.get(&id);
        if let Request::RemoveDisk { slot } = &flight.request
            && vm.is_some_and(|vm| !vm.slots.values().any(|ours| ours == slot))
        {
            self.wrongs.push(format!(
                "operation {} removes disk {slot} of machine {id} of {}, which somebody else put there",
                flight.operation, self.name
            ));
        }
    }

    fn copy(
        &mut self,
        flight: &Flight,
        id: u64,
        name: Option<String>,
        mark: Option<String>,
        now: Timestamp,
        random: &mut Random,
    ) -> (Answer, Option<Timestamp>) {
        let incarnation = self.incarnation();
        let (answer, ends) = self.task_of(flight, id, incarnation, now, random);
        let seen = now.plus_ms(Self::time(random, self.temper.lag));
        // Marks are written when the first disk is copied: any time until the task ends.
        let whole = ends.since(now);
        let marked = seen.0.max(now.0 + Self::time(random, whole));
        let mut vm = Vm {
            name,
            incarnation,
            mark,
            power: PowerState::Stopped,
            made_for: Some(flight.machine),
            made_by: Some(flight.operation),
            seen_from: Timestamp(seen.0.min(ends.0)),
            marked_from: match self.naming {
                // Who finds machines by their marks relies on the declared lag.
                Naming::Blind | Naming::Marked => Timestamp(seen.0.min(ends.0)),
                Naming::ChosenId => Timestamp(marked.min(ends.0)),
            },
            ..Vm::default()
        };
        let disk = Disk {
            size: Some(TEMPLATE_DISK),
            ..Disk::default()
        };
        vm.config.disks.insert("scsi0".to_owned(), disk);
        vm.slots.insert("root".to_owned(), "scsi0".to_owned());
        self.vms.insert(id, vm);
        let copies = self.tasks.values();
        let copies = copies
            .filter(|task| !task.over && matches!(task.flight.request, Request::Clone { .. }));
        self.copies_most = self.copies_most.max(copies.count());
        (answer, Some(ends))
    }

    fn begin(
        &mut self,
        flight: &Flight,
        id: u64,
        now: Timestamp,
        random: &mut Random,
    ) -> (Answer, Option<Timestamp>) {
        let incarnation = self.vms.get(&id).map_or(0, |vm| vm.incarnation);
        let (answer, ends) = self.task_of(flight, id, incarnation, now, random);
        (answer, Some(ends))
    }

    fn task_of(
        &mut self,
        flight: &Flight,
        id: u64,
        incarnation: u64,
        now: Timestamp,
        random: &mut Random,
    ) -> (Answer, Timestamp) {
        let name = format!("task-{}", self.tasks.len() + 1);
        let ends = now.plus_ms(Self::time(random, self.temper.slow));
        let error = if matches!(flight.request, Request::Stop { graceful: true }) {
            random
                .chance(self.temper.deaf)
                .then(|| "busy: the guest did not stop".to_owned())
        } else {
            let fails = random.chance(self.temper.fails);
            fails.then(|| format!("{} did not work", flight.request.name()))
        };
        let task = Task {
            vm: id,
            incarnation,
            flight: flight.clone(),
            seen_from: now.plus_ms(Self::time(random, self.temper.lag)),
            ends,
            error,
            forgotten: random.chance(self.temper.forgets),
            over: false,
        };
        self.tasks.insert(name.clone(), task);
        (Answer::Task { task: name, id }, ends)
    }

    /// Ends the tasks that are due.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        let due: Vec<String> = self
            .tasks
            .iter()
            .filter(|(_, task)| !task.over && task.ends <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.end(&name);
        }
    }

    fn end(&mut self, name: &str) {
        let Some(task) = self.tasks.get_mut(name) else {
            return;
        };
        task.over = true;
        let task = task.clone();
        let there = self.vms.get_mut(&task.vm);
        let Some(vm) = there.filter(|vm| vm.incarnation == task.incarnation) else {
            return;
        };
        vm.seen_from = Timestamp::default();
        vm.marked_from = Timestamp::default();
        if task.error.is_some() {
            // A copy that failed is removed, or its remains stay.
            let copies = matches!(task.flight.request, Request::Clone { .. });
            if copies && task.ends.0.is_multiple_of(2) {
                self.vms.remove(&task.vm);
            }
            // A task that failed had no effect, unless it left something.
            if !copies || task.ends.0.is_multiple_of(2) {
                let times = self.effects.get_mut(&task.flight.digest);
                times.into_iter().for_each(|times| *times -= 1);
            }
            return;
        }
        match &task.flight.request {
            Request::Start => vm.power = PowerState::Running,
            Request::Stop { .. } => vm.power = PowerState::Stopped,
            Request::Restart => vm.boots += 1,
            Request::Destroy => {
                self.vms.remove(&task.vm);
            }
            Request::AddDisk { name, disk } => {
                let slot = vm.free_slot();
                vm.config.disks.insert(slot.clone(), disk.clone());
                vm.slots.insert(name.clone(), slot);
                vm.version += 1;
            }
            Request::RemoveDisk { slot } => {
                vm.config.disks.remove(slot);
                vm.slots.retain(|_, ours| ours != slot);
                vm.version += 1;
            }
            Request::Clone { .. }
            | Request::AddNics { .. }
            | Request::Initialize { .. }
            | Request::Configure { .. }
            | Request::Grow { .. } => {}
        }
    }
}

/// Changes that are made at once. False: it takes a task.
fn change(vm: &mut Vm, request: &Request) -> bool {
    match request {
        Request::AddNics { names } => vm.nics.clone_from(names),
        Request::Initialize {
            name,
            mark,
            desired,
        } => {
            vm.name.clone_from(name);
            vm.mark = Some(mark.to_string());
            for key in ["vcpu", "memory", "description"] {
                vm.write(key, desired);
            }
            vm.config.labels.extend(desired.labels.clone());
            vm.initialized = true;
        }
        Request::Configure {
            desired, changed, ..
        } => {
            for key in changed {
                vm.write(key, desired);
            }
        }
        Request::Grow { slot, size } => {
            if let Some(disk) = vm.config.disks.get_mut(slot) {
                disk.size = Some(disk.size.unwrap_or(0).max(*size));
            }
        }
        Request::Clone { .. }
        | Request::AddDisk { .. }
        | Request::RemoveDisk { .. }
        | Request::Start
        | Request::Stop { .. }
        | Request::Restart
        | Request::Destroy => return false,
    }
    true
}
