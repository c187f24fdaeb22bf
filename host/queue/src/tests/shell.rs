//! A host in virtual time: commits, carries out, reports, and is killed between any two entries.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::Code;
use enginehouse_model::{HypervisorUid, NodeUid, OperationId, Timestamp};

use super::fixture::{T0, hypervisor};
use super::provider::{Provider, Random};
use crate::{
    After, Command, EndedPart, Entry, Event, Limits, Operation, Output, Phase, Place, Queue, Spec,
};

pub(super) const LIMITS: Limits = Limits {
    operations: 2,
    copies_per_template: 1,
    busy_ms: 60_000,
};

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Prepare(OperationId),
    Call(OperationId),
    Settle(OperationId),
    Poll(HypervisorUid, Vec<OperationId>),
    Report(OperationId, Event),
    Probe(HypervisorUid),
    RollBack(OperationId),
    /// Of people: a crash does not stop them.
    Cancel(OperationId),
    Move(OperationId, Place),
    Submit(Vec<Spec>),
    LookAround,
}

impl Work {
    fn outlives_a_crash(&self) -> bool {
        match self {
            Self::Cancel(_) | Self::Move(..) | Self::Submit(_) | Self::LookAround => true,
            Self::Prepare(_)
            | Self::Call(_)
            | Self::Settle(_)
            | Self::Poll(..)
            | Self::Probe(_)
            | Self::RollBack(_)
            | Self::Report(..) => false,
        }
    }
}

/// When the host is killed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kill {
    Never,
    /// Once, after so many entries are durable.
    After(usize),
    /// At one commit out of a hundred, so often.
    PerCent(u64),
}

pub(super) struct Shell {
    pub random: Random,
    pub now: Timestamp,
    pub queue: Queue,
    pub provider: Provider,
    /// What is on disk.
    pub journal: Vec<(OperationId, String)>,
    pub ended: BTreeMap<OperationId, Operation>,
    /// Operations about which a person decided.
    pub judged: BTreeSet<OperationId>,
    pub crashes: usize,
    /// Operations that got another place.
    pub moved: usize,
    /// The highest number given out.
    pub last_number: u64,
    work: BTreeMap<(Timestamp, u64), Work>,
    seq: u64,
    kill: Kill,
    /// Operations for which something was asked and not reported yet.
    asked: BTreeSet<OperationId>,
}

impl Shell {
    pub(super) fn new(seed: u64, kill: Kill) -> Self {
        let mut queue = Queue::new(LIMITS);
        queue.set_limits(hypervisor(1), LIMITS);
        Self {
            random: Random(seed),
            now: T0,
            queue,
            provider: Provider::default(),
            journal: Vec::new(),
            ended: BTreeMap::new(),
            judged: BTreeSet::new(),
            crashes: 0,
            moved: 0,
            last_number: 0,
            work: BTreeMap::new(),
            seq: 0,
            kill,
            asked: BTreeSet::new(),
        }
    }

    pub(super) fn later(&mut self, ms: u64, work: Work) {
        self.seq += 1;
        self.work.insert((self.now.plus_ms(ms), self.seq), work);
    }

    /// Runs until everything has ended.
    pub(super) fn run(&mut self) {
        for _ in 0..200_000 {
            let work = self.work.keys().next().map(|(at, _)| *at);
            let wake = self.queue.next_wake();
            match (work, wake) {
                (None, None) => {
                    assert_eq!(self.queue.iter().next(), None, "stuck");
                    return;
                }
                (Some(work), wake) if wake.is_none_or(|wake| work <= wake) => {
                    if let Some((key, work)) = self.work.pop_first() {
                        self.now = self.now.max(key.0);
                        self.carry_out(work);
                    }
                }
                (_, Some(wake)) => {
                    self.now = self.now.max(wake);
                    let output = self.queue.tick(self.now);
                    self.commit(output);
                }
                (Some(_), None) => unreachable!("the guard above takes it"),
            }
            if self.random.chance(2) {
                self.check_replay();
            }
        }
        panic!(
            "it never ends: {:#?}",
            self.queue.iter().collect::<Vec<_>>()
        );
    }

    fn carry_out(&mut self, work: Work) {
        match work {
            Work::Prepare(number) => super::engine::prepare(self, number),
            Work::Call(number) => super::engine::call(self, number),
            Work::Settle(number) => super::engine::settle(self, number),
            Work::Poll(place, numbers) => super::engine::poll(self, place, &numbers),
            Work::Report(number, event) => {
                self.tell(number, event);
            }
            Work::Cancel(number) => {
                let who = "tester".to_owned();
                if self.queue.get(number).is_some() {
                    self.tell(number, Event::Cancel { who });
                }
            }
            Work::Move(number, place) => {
                let moved = self.queue.reposition(number, place, "tester", self.now);
                if let Ok(output) = moved {
                    self.moved += 1;
                    self.commit(output);
                }
            }
            Work::Probe(uid) => {
                let found = match self.random.chance(40) {
                    true => Ok(()),
                    false => Err(super::fixture::problem(Code::Unreachable)),
                };
                let output = self.queue.probed(uid, found, self.now);
                self.commit(output);
            }
            Work::RollBack(parent) => {
                let specs = self.undo(parent);
                let output = self.queue.roll_back(parent, specs, self.now);
                self.commit(output);
            }
            Work::Submit(specs) => {
                let output = self.queue.submit(specs.clone(), self.now);
                if !self.commit(output) && self.queue.get(specs[0].number).is_none() {
                    // The client had no answer.
                    self.carry_out(Work::Submit(specs));
                }
            }
            Work::LookAround => super::engine::judge(self),
        }
    }

    /// The parts of `parent` that ended, the last first, each to be taken back after the one before.
    fn undo(&mut self, parent: OperationId) -> Vec<Spec> {
        let operation = self.queue.get(parent).expect("it is rolled back");
        let mut parts: Vec<OperationId> = operation.parts.iter().map(|part| part.number).collect();
        parts.sort();
        let mut specs: Vec<Spec> = Vec::new();
        for part in parts.into_iter().rev() {
            self.last_number += 1;
            let done = &self.ended[&part].spec;
            specs.push(Spec {
                parent: Some(parent),
                hypervisor: done.hypervisor,
                after: specs
                    .last()
                    .map(|before| After {
                        number: before.number,
                        however_it_ends: true,
                    })
                    .into_iter()
                    .collect(),
                ..Spec::new(
                    OperationId(self.last_number),
                    "undo",
                    done.target,
                    done.target_name.clone(),
                    "rollback",
                    self.now,
                )
            });
        }
        specs
    }

    /// Reports what happened. False: the host was killed over it.
    pub(super) fn tell(&mut self, number: OperationId, event: Event) -> bool {
        match &event {
            Event::Prepared(_)
            | Event::Asks { .. }
            | Event::Held { .. }
            | Event::Outdated(_)
            | Event::NotNeeded(_)
            | Event::Returned(_)
            | Event::Settled(_)
            | Event::Polled(_) => assert!(self.asked.remove(&number), "nobody asked {number}"),
            Event::Sending { .. }
            | Event::Answered(_)
            | Event::NotSent(_)
            | Event::Filled(_)
            | Event::Cancel { .. }
            | Event::Retry { .. }
            | Event::TakeAsDone { .. }
            | Event::GoOnWith { .. }
            | Event::Doubt { .. }
            | Event::Refused(_)
            | Event::Close { .. } => {}
        }
        let output = self.queue.handle(number, event, self.now).unwrap();
        self.commit(output)
    }

    /// Makes entries durable and starts what follows. False: killed meanwhile.
    fn commit(&mut self, output: Output) -> bool {
        let durable = self.survives(&output.entries);
        for (number, entry) in output.entries.iter().take(durable) {
            let text = serde_json::to_string(entry).unwrap();
            self.journal.push((*number, text));
            if let Entry::Ended { .. } = entry {
                let ended = output.ended.iter().find(|ended| ended.number() == *number);
                self.ended.insert(*number, ended.unwrap().clone());
            }
        }
        let killed = durable < output.entries.len()
            || matches!(self.kill, Kill::After(n) if n == self.journal.len())
            || matches!(self.kill, Kill::PerCent(rate) if self.random.chance(rate));
        if killed {
            self.restart();
            return false;
        }
        for command in output.commands {
            let (asked, work) = match command {
                Command::Prepare { operation } => (vec![operation], Work::Prepare(operation)),
                Command::Call { operation } => (vec![operation], Work::Call(operation)),
                Command::Settle { operation } => (vec![operation], Work::Settle(operation)),
                Command::Poll {
                    hypervisor,
                    operations,
                } => (operations.clone(), Work::Poll(hypervisor, operations)),
                Command::Probe { hypervisor } => (Vec::new(), Work::Probe(hypervisor)),
                Command::RollBack { operation } => (Vec::new(), Work::RollBack(operation)),
                Command::Finish { operation } => {
                    assert_eq!(self.queue.get(operation), None);
                    continue;
                }
            };
            for number in asked {
                assert!(self.asked.insert(number), "{number} was asked for already");
            }
            let delay = self.random.below(300);
            self.later(delay, work);
        }
        self.check();
        true
    }

    /// How many of these entries reach the disk. Orders are numbered in one commit, whole or not.
    fn survives(&mut self, entries: &[(OperationId, Entry)]) -> usize {
        let all = entries.len();
        let last_queued = entries
            .iter()
            .rposition(|(_, entry)| matches!(entry, Entry::Queued { .. }))
            .map_or(0, |at| at + 1);
        let durable = match self.kill {
            Kill::Never => all,
            Kill::After(n) if n > self.journal.len() => all.min(n - self.journal.len()),
            Kill::After(_) => all,
            Kill::PerCent(rate) if self.random.chance(rate) => {
                let n = self.random.below(all as u64 + 1);
                usize::try_from(n).unwrap()
            }
            Kill::PerCent(_) => all,
        };
        if durable < last_queued { 0 } else { durable }
    }

    fn restart(&mut self) {
        self.crashes += 1;
        assert!(self.crashes < 10_000, "killed for ever");
        if let Kill::After(_) = self.kill {
            self.kill = Kill::Never;
        }
        self.work.retain(|_, work| work.outlives_a_crash());
        self.asked.clear();
        self.now = self.now.plus_ms(self.random.below(30_000));
        let (queue, output) = self.load();
        self.queue = queue;
        self.queue.set_limits(hypervisor(1), LIMITS);
        self.commit(output);
    }

    fn load(&self) -> (Queue, Output) {
        let mut journal: BTreeMap<OperationId, Vec<Entry>> = BTreeMap::new();
        for (number, text) in &self.journal {
            if !self.ended.contains_key(number) {
                let entry = serde_json::from_str(text).unwrap();
                journal.entry(*number).or_default().push(entry);
            }
        }
        let parts: Vec<EndedPart> = self.ended.values().filter_map(Operation::as_part).collect();
        Queue::load(LIMITS, journal, parts, self.now).unwrap()
    }

    /// Memory is what the journal adds up to, but for what polls found.
    fn check_replay(&self) {
        let mut journal: BTreeMap<OperationId, Operation> = BTreeMap::new();
        for (number, text) in &self.journal {
            match serde_json::from_str(text).unwrap() {
                Entry::Queued { spec } => {
                    journal.insert(*number, Operation::queued(spec));
                }
                entry => journal.get_mut(number).unwrap().apply(&entry).unwrap(),
            }
        }
        for operation in self.queue.iter() {
            let mut memory = operation.clone();
            if let Phase::Waiting { cursor, polls, .. } = &mut memory.phase {
                cursor.clear();
                *polls = 0;
                memory.obstacle = None;
            }
            memory.parts.clear();
            assert_eq!(journal.get(&operation.number()), Some(&memory));
        }
    }

    /// What holds at any time.
    fn check(&self) {
        let mut slots: BTreeMap<HypervisorUid, usize> = BTreeMap::new();
        let mut copies: BTreeMap<(HypervisorUid, String), usize> = BTreeMap::new();
        let mut lanes: BTreeSet<NodeUid> = BTreeSet::new();
        for operation in self.queue.iter() {
            if !operation.spec.children.is_empty() {
                continue;
            }
            lanes.insert(operation.spec.target);
            // A person's retry does not wait for a slot.
            let Some(place) = operation.spec.hypervisor else {
                continue;
            };
            if self.judged.contains(&operation.number()) {
                continue;
            }
            if operation.holds_slot() {
                *slots.entry(place).or_default() += 1;
            }
            if let Some(template) = operation.copies() {
                *copies.entry((place, template.to_owned())).or_default() += 1;
            }
        }
        assert!(slots.values().all(|taken| *taken <= LIMITS.operations));
        assert!(copies.values().all(|n| *n <= LIMITS.copies_per_template));
        for lane in lanes {
            for operation in self.queue.lane(lane).skip(1) {
                let behind = operation.phase == Phase::Pending;
                let lane: Vec<&Operation> = self.queue.lane(lane).collect();
                assert!(behind, "overtook its lane: {lane:#?}");
            }
        }
    }
}
