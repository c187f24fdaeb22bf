//! The loop: virtual time, commits that become durable one after another, and the end of the host at
//! any moment.
//!
//! Decisions are made on memory that is ahead of the disk, as in the host; commands are carried out
//! and clients answered when their commit is durable. A kill loses every commit that is not.

use std::collections::{BTreeMap, VecDeque};

use enginehouse_model::{NodeUid, OperationId, Timestamp};
use enginehouse_queue::{Command, Entry, Event, Final, Phase};
use enginehouse_store::{Document, JournalRow, Write};
use uuid::Uuid;

use crate::disk::Disk;
use crate::ledger::{Ledger, Promise};
use crate::memory::{Memory, OperationDocument, Staged};
use crate::provider::Provider;
use crate::random::Random;
use crate::settings::{Fault, Kill, Settings, Weather};
use crate::violation::{Rule, Violation, holds};
use crate::work::{HostWork, Pending, WorldWork};

/// Things that happen in one run, at most.
const STEPS_MAX: usize = 200_000;

/// Everything but the host: goes on when that is killed.
#[derive(Clone, Debug)]
pub struct Outside {
    pub(crate) random: Random,
    pub now: Timestamp,
    pub providers: Vec<Provider>,
    pub(crate) world: BTreeMap<(Timestamp, u64), WorldWork>,
    pub(crate) sequence: u64,
    pub(crate) uids: u128,
    /// Lives of the host so far.
    pub lives: u64,
    pub moments: usize,
    pub weather: Weather,
    /// Whether the host looks at providers by itself.
    pub watched: bool,
    pub ledger: Ledger,
}

type Recorder = Box<dyn FnMut(&[Write], &Outside)>;

pub struct Simulation {
    pub settings: Settings,
    pub outside: Outside,
    pub disk: Disk,
    pub(crate) memory: Option<Memory>,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) work: BTreeMap<(Timestamp, u64), HostWork>,
    pub trace: Vec<String>,
    /// Found where nothing can fail.
    pub(crate) found: Option<Violation>,
    recorder: Option<Recorder>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    pub(crate) fn over(settings: Settings, outside: Outside, disk: Disk) -> Self {
        Self {
            settings,
            outside,
            disk,
            memory: None,
            pending: VecDeque::new(),
            work: BTreeMap::new(),
            trace: Vec::new(),
            found: None,
            recorder: None,
        }
    }

    /// A host that was killed at that moment of another run: outside all is as it was then, on disk
    /// is what this disk has.
    #[must_use]
    pub fn after_a_kill(settings: Settings, outside: Outside, disk: Disk) -> Self {
        let mut simulation = Self::over(settings, outside, disk);
        simulation.outside.lives += 1;
        simulation.later_outside(100, WorldWork::Restart);
        simulation
    }

    /// Hands every commit out when it is durable, with the world at that moment.
    pub fn record(&mut self, recorder: impl FnMut(&[Write], &Outside) + 'static) {
        self.recorder = Some(Box::new(recorder));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.outside.now
    }

    /// Whether the machine of a descriptor is what its record says, as far as the host can know.
    pub(crate) fn is_certain(&self, node: NodeUid) -> bool {
        let ledger = &self.outside.ledger;
        !ledger.meddled.contains(&node) && !ledger.unsure.contains(&node)
    }

    pub(crate) fn is_foul(&self) -> bool {
        self.outside.weather == Weather::Foul
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.settings.fault == Some(fault)
    }

    /// One time out of a thousand, in foul weather.
    pub(crate) fn mishap(&mut self, per_mille: u64) -> bool {
        self.is_foul() && self.outside.random.chance(per_mille)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.outside.random.below(n)
    }

    pub(crate) fn uid(&mut self) -> Uuid {
        self.outside.uids += 1;
        Uuid::from_u128(self.outside.uids)
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.settings.traced {
            let line = format!("{:>9} {}", self.outside.now.0, text());
            self.trace.push(line);
        }
    }

    pub(crate) fn later(&mut self, ms: u64, work: HostWork) {
        self.outside.sequence += 1;
        let at = self.outside.now.plus_ms(ms);
        self.work.insert((at, self.outside.sequence), work);
    }

    pub(crate) fn later_outside(&mut self, ms: u64, work: WorldWork) {
        self.outside.sequence += 1;
        let at = self.outside.now.plus_ms(ms);
        self.outside.world.insert((at, self.outside.sequence), work);
    }

    /// The memory of a host that lives.
    pub(crate) fn memory(&mut self) -> Result<&mut Memory, Violation> {
        self.memory
            .as_mut()
            .ok_or_else(|| Violation::new(Rule::Protocol, "the host is not running"))
    }

    /// Runs until nothing is left to happen.
    ///
    /// # Errors
    /// With the first promise that was broken.
    pub fn run(&mut self) -> Result<(), Violation> {
        self.run_out()?;
        self.ended()
    }

    /// As [`Simulation::run`], but what waits for a person may be left.
    ///
    /// # Errors
    /// With the first promise that was broken.
    pub fn run_out(&mut self) -> Result<(), Violation> {
        for _ in 0..STEPS_MAX {
            if !self.step()? {
                return Ok(());
            }
        }
        let left = self.memory.as_ref().map(|memory| {
            let operations = memory.queue.iter();
            let all = operations.map(|o| format!("{} {:?}", o.number(), o.phase));
            all.collect::<Vec<_>>()
        });
        Err(Violation::new(
            Rule::Ends,
            format!("it goes on for ever: {left:?}"),
        ))
    }

    fn ended(&self) -> Result<(), Violation> {
        let memory = self.memory.as_ref();
        let stuck = memory.and_then(|memory| memory.queue.iter().next());
        holds(stuck.is_none(), Rule::Ends, || {
            let stuck = stuck.map(|operation| (operation.number(), &operation.phase));
            format!("stuck for ever: {stuck:?}")
        })
    }

    /// The next thing that happens. False: there is none.
    fn step(&mut self) -> Result<bool, Violation> {
        let host = self.work.keys().next().copied();
        let world = self.outside.world.keys().next().copied();
        let wake = self
            .memory
            .as_ref()
            .and_then(|memory| memory.queue.next_wake())
            .map(|at| at.max(self.outside.now));
        let earliest = [host, world].into_iter().flatten().min();
        if let Some(wake) = wake
            && earliest.is_none_or(|(at, _)| wake <= at)
        {
            self.arrive_at(wake);
            let now = self.now();
            let output = self.memory()?.queue.tick(now);
            let staged = Staged {
                output,
                ..Staged::default()
            };
            self.commit(staged, Vec::new())?;
            return Ok(true);
        }
        let Some(key) = earliest else {
            return Ok(false);
        };
        self.arrive_at(key.0);
        if let Some(work) = self.work.remove(&key) {
            // What becomes durable has moments of its own.
            if !matches!(work, HostWork::Durable) && self.moment() {
                return Ok(true);
            }
            self.carry_out(work)?;
        } else if let Some(work) = self.outside.world.remove(&key) {
            self.happen(work)?;
        }
        Ok(true)
    }

    fn arrive_at(&mut self, at: Timestamp) {
        self.outside.now = self.outside.now.max(at);
        let now = self.outside.now;
        for provider in &mut self.outside.providers {
            provider.advance(now);
        }
    }

    /// A moment at which the host may be killed. True: it was.
    fn moment(&mut self) -> bool {
        self.outside.moments += 1;
        let killed = match self.settings.kill {
            Kill::Never => false,
            Kill::At(moment) => moment == self.outside.moments,
            Kill::PerMille(rate) => self.mishap(rate),
        };
        if killed {
            self.crash();
        }
        killed
    }

    fn crash(&mut self) {
        let lost = self.pending.len();
        self.note(|| format!("KILLED, {lost} commits are lost"));
        self.memory = None;
        self.pending.clear();
        self.work.clear();
        self.outside.lives += 1;
        let down = match self.below(3) {
            0 => self.below(60_000),
            _ => self.below(2_000),
        };
        self.later_outside(down, WorldWork::Restart);
    }

    pub(crate) fn restart(&mut self) -> Result<(), Violation> {
        let now = self.now();
        let (memory, output) = Memory::load(&self.disk, now)?;
        self.note(|| "the host starts".to_owned());
        self.memory = Some(memory);
        self.begin_to_watch();
        let staged = Staged {
            output,
            ..Staged::default()
        };
        self.commit(staged, Vec::new())
    }

    /// Tells the queue what happened. The caller adds what belongs into the same commit.
    pub(crate) fn handle(
        &mut self,
        number: OperationId,
        event: Event,
    ) -> Result<Staged, Violation> {
        let now = self.now();
        let reports = matches!(
            event,
            Event::Prepared(_)
                | Event::Asks { .. }
                | Event::Outdated(_)
                | Event::NotNeeded(_)
                | Event::Returned(_)
                | Event::Settled(_)
                | Event::Polled(_)
        );
        let memory = self.memory()?;
        if reports {
            holds(memory.asked.remove(&number), Rule::Protocol, || {
                format!("nobody asked {number} for {event:?}")
            })?;
        }
        let output = memory
            .queue
            .handle(number, event, now)
            .map_err(|illegal| Violation::new(Rule::Protocol, illegal.to_string()))?;
        Ok(Staged {
            output,
            ..Staged::default()
        })
    }

    /// Seals what was decided into a commit, and queues that. What writes nothing is done at once.
    pub(crate) fn commit(&mut self, staged: Staged, then: Vec<HostWork>) -> Result<(), Violation> {
        let now = self.now();
        let mut staged = staged;
        let output = std::mem::take(&mut staged.output);
        for (number, entry) in &output.entries {
            self.note(|| format!("{number} <- {}", short(entry)));
            if let Entry::Doubted { .. } = entry {
                self.outside.ledger.doubted.insert(*number);
            }
            if let Entry::Broke { .. } = entry {
                *self.outside.ledger.gave_up.entry(*number).or_default() += 1;
            }
            match entry {
                Entry::Queued { .. } => self.queued(*number, &mut staged)?,
                Entry::Asked { .. } => self.people_are_asked(*number),
                Entry::Filled { .. } => self.begins_step(*number),
                Entry::Started => staged.promises.push(Promise::Begun(*number)),
                Entry::Ended { state, .. } => {
                    staged.promises.push(Promise::Ended(*number, *state));
                }
                _ => {}
            }
            let is_intent = matches!(
                entry,
                Entry::Sending { .. } | Entry::Answered { .. } | Entry::NotSent { .. }
            );
            if is_intent && self.has(Fault::LosesIntents) {
                continue;
            }
            let document = Document::of(1, entry)
                .map_err(|error| Violation::new(Rule::Load, error.to_string()))?;
            staged.writes.push(Write::Journal(JournalRow {
                operation: *number,
                at: now,
                document,
            }));
        }
        for operation in &output.ended {
            self.conclude(operation, &mut staged)?;
            let memory = self.memory()?;
            memory.observed.remove(&operation.number());
        }
        self.check_now()?;
        self.check_output(&output)?;
        if staged.writes.is_empty() {
            self.follow(output.commands, then)?;
            return Ok(());
        }
        let early = self.has(Fault::ActsEarly);
        let (commands, now_too) = match early {
            true => (Vec::new(), output.commands),
            false => (output.commands, Vec::new()),
        };
        let (then, at_once) = match early {
            true => then
                .into_iter()
                .partition(|work| matches!(work, HostWork::Acknowledge(..))),
            false => (then, Vec::new()),
        };
        let (at_once, then) = match self.has(Fault::AnswersEarly) {
            true => then
                .into_iter()
                .partition(|work| matches!(work, HostWork::Acknowledge(..))),
            false => (at_once, then),
        };
        let last = self
            .pending
            .back()
            .map_or(now, |pending| pending.durable_at);
        let slow = if self.mishap(50) { 400 } else { 4 };
        let durable_at = now.max(last).plus_ms(self.below(slow));
        self.pending.push_back(Pending {
            writes: staged.writes,
            promises: staged.promises,
            commands,
            then,
            durable_at,
        });
        self.later(durable_at.since(now), HostWork::Durable);
        self.follow(now_too, at_once)
    }

    /// The oldest commit is on disk; what waited for it begins.
    pub(crate) fn durable(&mut self) -> Result<(), Violation> {
        if self.moment() {
            return Ok(());
        }
        let Some(pending) = self.pending.pop_front() else {
            return Ok(());
        };
        self.disk.commit(&pending.writes);
        let now = self.now();
        self.outside.ledger.keep(&pending.promises, now)?;
        if let Some(recorder) = &mut self.recorder {
            recorder(&pending.writes, &self.outside);
        }
        if self.moment() {
            return Ok(());
        }
        self.follow(pending.commands, pending.then)
    }

    fn follow(&mut self, commands: Vec<Command>, then: Vec<HostWork>) -> Result<(), Violation> {
        for work in then {
            self.later(0, work);
        }
        for command in commands {
            let (asked, work) = match command {
                Command::Prepare { operation } => (vec![operation], HostWork::Prepare(operation)),
                Command::Call { operation } => (vec![operation], HostWork::Call(operation)),
                Command::Settle { operation } => (vec![operation], HostWork::Settle(operation)),
                Command::Poll {
                    hypervisor,
                    operations,
                } => {
                    let mut providers = self.outside.providers.iter();
                    let at = providers.position(|provider| provider.uid == hypervisor);
                    let at = at.unwrap_or_default();
                    (operations.clone(), HostWork::Poll(at, operations))
                }
                Command::Probe { .. } if self.has(Fault::NeverProbes) => continue,
                Command::Probe { hypervisor } => {
                    let mut providers = self.outside.providers.iter();
                    let at = providers.position(|provider| provider.uid == hypervisor);
                    (Vec::new(), HostWork::Probe(at.unwrap_or_default()))
                }
                Command::RollBack { operation } => (Vec::new(), HostWork::RollBack(operation)),
                Command::Finish { .. } => continue,
            };
            let memory = self.memory()?;
            for number in asked {
                holds(memory.asked.insert(number), Rule::Protocol, || {
                    format!("{number} was asked for already")
                })?;
            }
            let delay = self.below(30);
            self.later(delay, work);
        }
        Ok(())
    }

    fn carry_out(&mut self, work: HostWork) -> Result<(), Violation> {
        match work {
            HostWork::Durable => self.durable(),
            HostWork::Prepare(number) => self.prepare(number),
            HostWork::Look(number) => self.look(number),
            HostWork::Prepared(number, prepared) => self.prepared(number, *prepared),
            HostWork::Call(number) => self.call(number),
            HostWork::Run(number, reserved) => self.run_engine(number, reserved, None),
            HostWork::Send(number, flight) => self.send(number, *flight),
            HostWork::Lost(number) => self.lost(number),
            HostWork::Answered(number, once, answer) => self.answered(number, once, answer),
            HostWork::Read(number, answer) => self.run_engine(number, None, Some(answer)),
            HostWork::Returned(number, end) => self.returned(number, *end),
            HostWork::RollBack(number) => self.roll_back(number),
            HostWork::Settle(number) => self.settle(number),
            HostWork::Settled(number, end) => self.settled(number, *end),
            HostWork::Poll(provider, numbers) => self.poll(provider, &numbers),
            HostWork::Polled(number, end) => self.polled(number, *end),
            HostWork::Probe(provider) => self.probe(provider),
            HostWork::Observe(provider) => self.list_all(provider),
            HostWork::Listed(provider, at, list) => self.listed_all(provider, at, &list),
            HostWork::ReadFull(provider, at, machine) => self.read_full(provider, at, &machine),
            HostWork::Acknowledge(number, what) => {
                self.note(|| format!("a client reads: {number} is {what}"));
                self.outside.ledger.acknowledged.insert(number, what);
                Ok(())
            }
        }
    }

    /// An operation, as the disk has it.
    #[must_use]
    pub fn document(&self, number: OperationId) -> Option<OperationDocument> {
        self.disk.operations.get(&number)?.document.read().ok()
    }

    /// How an operation ended, as the disk has it.
    #[must_use]
    pub fn end_of(&self, number: OperationId) -> Option<Final> {
        self.document(number)?.end
    }

    /// Whether a person has to say what became of it.
    #[must_use]
    pub fn is_in_doubt(&self, number: OperationId) -> bool {
        let operation = self
            .memory
            .as_ref()
            .and_then(|memory| memory.queue.get(number));
        operation.is_some_and(|operation| matches!(operation.phase, Phase::InDoubt { .. }))
    }
}

fn short(entry: &Entry) -> String {
    let text = serde_json::to_string(entry).unwrap_or_default();
    text.chars().take(160).collect()
}
