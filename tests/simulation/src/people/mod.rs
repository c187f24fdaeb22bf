//! The world of a run: a random tree, what people order in it, and what they do behind our backs.

mod approvers;
mod doubts;
pub(crate) mod keys;
mod moves;
mod planting;
mod wishes;

pub(crate) use self::moves::wait_for_each_other;

use enginehouse_model::{FullName, OperationId, Timestamp};
use enginehouse_queue::{Event, Phase};
use serde_json::{Value, json};
use uuid::Uuid;

use self::planting::{Plant, Planting};
use self::wishes::{machine, needs};
use crate::alone::policies;
use crate::disk::Disk;
use crate::ledger::{Ledger, Promise, all_asks};
use crate::orders::{Kind, Order, Params};
use crate::protection::protected;
use crate::provider::{Naming, Provider, Temper};
use crate::random::Random;
use crate::resolve::Verdict;
use crate::run::{Outside, Simulation};
use crate::settings::{Settings, Weather};
use crate::violation::Violation;
use crate::work::{HostWork, WorldWork};

/// When virtual time begins.
const T0: Timestamp = Timestamp(1_000_000);
/// Folders that descriptors are in.
const FOLDERS: [&str; 4] = ["/", "/a", "/a/b", "/c"];
/// Milliseconds over which orders come in.
const BUSINESS: u64 = 90_000;

fn name(text: &str) -> FullName {
    text.parse().unwrap_or_else(|_| FullName::root())
}

fn hypervisor(at: usize) -> Value {
    json!({"type": "simulated", "host": format!("http://h{at}.example.com"), "user": "u"})
}

impl Simulation {
    /// A world that this seed makes: tree, providers and all that people are going to do.
    ///
    /// # Errors
    /// When the tree is refused.
    pub fn seeded(seed: u64, settings: Settings) -> Result<Self, Violation> {
        let mut random = Random::new(seed);
        let foul = settings.weather == Weather::Foul;
        let namings = [
            Naming::ChosenId,
            Naming::ChosenId,
            Naming::Marked,
            Naming::Blind,
        ];
        let names: Vec<Naming> = (0..2)
            .map(|_| random.pick(&namings).copied().unwrap_or(Naming::ChosenId))
            .collect();
        let machines = 2 + random.below(4);
        // In some houses most is to be approved.
        let asks = if random.chance(100) { 800 } else { 60 };
        let mut paths = Vec::new();
        let mut definitions = Vec::new();
        for at in 0..machines {
            let folder = random.pick(&FOLDERS).copied().unwrap_or("/");
            let folder = folder.trim_end_matches('/');
            paths.push(format!("{folder}/vm{at}"));
            definitions.push(machine(&mut random, asks));
        }
        for definition in &mut definitions {
            if random.chance(400) {
                definition["depends_on"] = json!(needs(&mut random, &paths));
            }
        }
        let mut simulation = Self::world(seed, settings, &names, |planting| {
            for (path, definition) in paths.iter().zip(&definitions) {
                planting(path, definition)?;
            }
            Ok(())
        })?;
        simulation.outside.watched = true;
        simulation.begin_to_watch();
        if foul {
            for provider in &mut simulation.outside.providers {
                provider.temper = Temper::BAD;
            }
        }
        let orders = 4 + simulation.below(6);
        // Some days all comes at once.
        let business = match simulation.below(3) {
            0 => BUSINESS / 10,
            _ => BUSINESS,
        };
        for _ in 0..orders {
            let order = simulation.some_order(&paths);
            let at = simulation.below(business);
            simulation.later_outside(at, WorldWork::Order(Box::new(order)));
        }
        if asks > 100 {
            for path in &paths {
                let at = business / 3 + simulation.below(business);
                simulation.order_at(at, Kind::Deploy, path, Params::default());
                simulation.order_at(at + 20_000, Kind::Undeploy, path, Params::default());
            }
        }
        for _ in 0..simulation.below(6) {
            let at = simulation.below(business + business / 4);
            simulation.later_outside(at, WorldWork::Reposition);
        }
        for _ in 0..simulation.below(3) {
            let at = business / 2 + simulation.below(business);
            simulation.later_outside(at, WorldWork::GoBack);
        }
        if foul {
            for provider in 0..names.len() {
                if simulation.mishap(350) {
                    let (at, long) = (simulation.below(BUSINESS), simulation.below(60_000));
                    simulation.later_outside(at, WorldWork::GoesDown(provider, long));
                }
            }
            for _ in 0..simulation.below(5) {
                let at = simulation.below(BUSINESS);
                simulation.later_outside(at, WorldWork::Meddle);
            }
            for _ in 0..simulation.below(3) {
                let at = simulation.below(BUSINESS);
                let folder = simulation.outside.random.pick(&FOLDERS).copied();
                let folder = name(folder.unwrap_or("/"));
                simulation.later_outside(at, WorldWork::Pause(folder));
            }
        }
        Ok(simulation)
    }

    /// A world with these providers, called `h0`, `h1`, …, in which nobody orders or decides anything
    /// yet.
    ///
    /// # Errors
    /// When a definition is refused.
    pub fn quiet(
        seed: u64,
        settings: Settings,
        namings: &[Naming],
        machines: &[(&str, Value)],
    ) -> Result<Self, Violation> {
        let mut simulation = Self::world(seed, settings, namings, |planting| {
            for (path, definition) in machines {
                planting(path, definition)?;
            }
            Ok(())
        })?;
        simulation.outside.world.clear();
        Ok(simulation)
    }

    fn world(
        seed: u64,
        settings: Settings,
        namings: &[Naming],
        plant: impl FnOnce(&mut Plant<'_>) -> Result<(), Violation>,
    ) -> Result<Self, Violation> {
        let mut planting = Planting::new()?;
        let entries: serde_json::Map<String, Value> = (0..namings.len())
            .map(|at| (format!("h{at}"), hypervisor(at)))
            .collect();
        let root = json!({
            "hypervisors": entries, "use_hypervisor": "h0",
            "base_image": crate::provider::TEMPLATE, "vcpu": 1, "memory": "1GiB",
        });
        planting.put("/", &root, true)?;
        planting.put("/a", &json!({"labels": {"site": "north"}}), true)?;
        planting.put("/a/b", &json!({"vcpu": 2}), true)?;
        let last = format!("h{}", namings.len().saturating_sub(1));
        planting.put("/c", &json!({"use_hypervisor": last}), true)?;
        plant(&mut |path, definition| planting.put(path, definition, false))?;
        let providers = namings.iter().enumerate().map(|(at, naming)| {
            let name = format!("h{at}");
            let mut found = planting.tree.hypervisors().into_iter();
            let uid = found.find(|hypervisor| hypervisor.name == name);
            let uid = uid.map_or_else(
                || enginehouse_model::HypervisorUid::from_uuid(Uuid::nil()),
                |hypervisor| hypervisor.uid,
            );
            let mut provider = Provider::new(&name, uid, *naming, Temper::GOOD);
            provider.add_stranger(101, "stranger", None);
            provider
        });
        let mut outside = Outside {
            random: Random::new(seed ^ 0x5eed),
            now: T0,
            providers: providers.collect(),
            world: std::collections::BTreeMap::new(),
            sequence: 0,
            uids: planting.uids,
            lives: 0,
            moments: 0,
            weather: settings.weather,
            watched: false,
            ledger: Ledger::default(),
        };
        let protects = Promise::Protects {
            nodes: protected(&planting.tree),
            lowers: false,
        };
        let asks = Promise::AsksFor(all_asks(&planting.tree));
        let policies = Promise::Policies(policies(&planting.tree));
        outside.ledger.keep(&[protects, asks, policies], T0)?;
        let mut disk = Disk::default();
        disk.commit(&planting.staged.writes);
        let mut simulation = Self::over(settings, outside, disk);
        simulation.restart()?;
        simulation.later_outside(7_000, WorldWork::LookAround);
        Ok(simulation)
    }

    /// Orders something at a time.
    pub fn order_at(&mut self, ms: u64, kind: Kind, path: &str, params: Params) {
        let order = Order {
            params,
            ..Order::of(kind, name(path))
        };
        self.later_outside(ms, WorldWork::Order(Box::new(order)));
    }

    /// At a time, somebody cancels the operation with this number.
    pub fn cancel_at(&mut self, ms: u64, number: OperationId) {
        self.later_outside(ms, WorldWork::Cancel(number));
    }

    /// At a time, somebody says this of an operation, if it is in doubt by then.
    pub fn resolve_at(&mut self, ms: u64, number: OperationId, verdict: Verdict) {
        self.later_outside(ms, WorldWork::Resolve(number, verdict));
    }

    /// At a time, somebody puts another machine in the place of the one with this id.
    pub fn usurp_at(&mut self, ms: u64, provider: usize, id: u64) {
        self.later_outside(ms, WorldWork::Usurp(provider, id));
    }

    /// The host looks at its providers by itself.
    pub fn watch(&mut self) {
        self.outside.watched = true;
        self.begin_to_watch();
    }

    /// At a time, somebody changes the machine with this id.
    pub fn drift_at(&mut self, ms: u64, provider: usize, id: u64, how: u64) {
        self.later_outside(ms, WorldWork::Drift(provider, id, how));
    }

    fn drift(&mut self, provider: usize, id: u64, how: u64) {
        let now = self.now();
        let provider = self.outside.providers.get_mut(provider);
        if let Some(vm) = provider.and_then(|provider| provider.vms.get_mut(&id)) {
            vm.drift(how);
            vm.others_at = now;
        }
    }

    /// At a time, a provider stops answering, for so many milliseconds.
    pub fn down_at(&mut self, ms: u64, provider: usize, long: u64) {
        self.later_outside(ms, WorldWork::GoesDown(provider, long));
    }

    pub(crate) fn happen(&mut self, work: WorldWork) -> Result<(), Violation> {
        match work {
            WorldWork::Order(order) => self.order(*order),
            WorldWork::Cancel(number) => self.cancel(number),
            WorldWork::Reposition => self.reposition(),
            WorldWork::LookAround => self.look_around(),
            WorldWork::Resolve(number, verdict) => self.resolve(number, verdict).map(|_| ()),
            WorldWork::Arrive {
                provider,
                flight,
                reply_to,
            } => {
                self.check_arrival(provider, &flight)?;
                let Outside {
                    providers,
                    random,
                    now,
                    ..
                } = &mut self.outside;
                let Some(at) = providers.get_mut(provider) else {
                    return Ok(());
                };
                let number = flight.operation;
                let once = flight.once;
                let what = format!("{} ({})", flight.digest, flight.request.name());
                let (answer, ends) = at.arrive(*flight, *now, random);
                let name = at.name.clone();
                let now = *now;
                self.note(|| format!("{name}: {what} -> {answer:?}"));
                if let Some(ends) = ends {
                    self.later_outside(ends.since(now), WorldWork::TaskEnds);
                }
                if reply_to == Some(self.outside.lives) {
                    let takes = self.below(200);
                    self.later(takes, HostWork::Answered(number, once, answer));
                }
                Ok(())
            }
            // The loop ends what is due.
            WorldWork::TaskEnds => Ok(()),
            WorldWork::GoesDown(provider, long) => {
                let until = self.outside.now.plus_ms(long);
                if let Some(provider) = self.outside.providers.get_mut(provider) {
                    provider.down_until = until;
                }
                self.note(|| format!("h{provider} is down for {long} ms"));
                Ok(())
            }
            WorldWork::Meddle => self.meddle(),
            WorldWork::Usurp(provider, id) => {
                if let Some(provider) = self.outside.providers.get_mut(provider)
                    && provider.vms.contains_key(&id)
                {
                    provider.add_stranger(id, "usurper", None);
                }
                Ok(())
            }
            WorldWork::Pause(path) => self.pause(&path),
            WorldWork::Drift(provider, id, how) => {
                self.drift(provider, id, how);
                Ok(())
            }
            WorldWork::GoBack => self.go_back(),
            WorldWork::Consider(number) => self.consider(number),
            WorldWork::Sign(number, person) => self.sign_one(number, person),
            WorldWork::Plug(provider, id) => {
                self.plug(provider, id);
                Ok(())
            }
            WorldWork::Restart => self.restart(),
        }
    }

    fn cancel(&mut self, number: OperationId) -> Result<(), Violation> {
        let known = self.memory.as_ref().is_some_and(|memory| {
            let operation = memory.queue.get(number);
            operation.is_some_and(|operation| operation.cancel.is_none())
        });
        if !known {
            return Ok(());
        }
        let who = "client".to_owned();
        let staged = self.handle(number, Event::Cancel { who })?;
        self.commit(staged, Vec::new())
    }

    /// Somebody does something to a machine of ours, while we do nothing that is not looked at again.
    fn meddle(&mut self) -> Result<(), Violation> {
        let Some(memory) = &self.memory else {
            return Ok(());
        };
        let mut targets = Vec::new();
        for record in memory.records.values() {
            let Some(identity) = &record.identity else {
                continue;
            };
            let mut lane = memory.queue.lane(record.node);
            let idle = match lane.next() {
                None => true,
                // Between a stop and the destruction that follows it, and while that is put off.
                Some(first) if Kind::of(&first.spec) == Some(Kind::Undeploy) => {
                    let does = first.current_step().map(|step| step.action.as_str());
                    match first.phase {
                        Phase::Waiting { .. } => does == Some("stop"),
                        Phase::Postponed { .. } => {
                            does == Some("destroy") && first.state.is_untouched()
                        }
                        _ => false,
                    }
                }
                Some(_) => false,
            };
            if idle && let Ok(id) = identity.machine_id.parse::<u64>() {
                let whole = identity.incarnation.is_some();
                targets.push((record.node, record.hypervisor, id, record.mark, whole));
            }
        }
        let Some((node, hypervisor, id, mark, whole)) = self.outside.random.pick(&targets).copied()
        else {
            return Ok(());
        };
        let how = match self.below(10) {
            // Without an incarnation on record nobody can tell another in its place from it.
            1 | 2 if !whole => 0,
            how => how,
        };
        let now = self.now();
        let mut providers = self.outside.providers.iter_mut();
        let Some(provider) = providers.find(|provider| provider.uid == hypervisor) else {
            return Ok(());
        };
        let Some(vm) = provider.vms.get_mut(&id) else {
            return Ok(());
        };
        match how {
            0 => {
                provider.vms.remove(&id);
            }
            1 => provider.add_stranger(id, "usurper", None),
            2 => provider.add_stranger(id, "usurper", Some(mark.to_string())),
            3 => {
                let copy = provider.free_id();
                provider.add_stranger(copy, "copy", Some(mark.to_string()));
            }
            4 => vm.plug(now),
            how => {
                vm.drift(how);
                vm.others_at = now;
            }
        }
        if how < 3 {
            self.outside.ledger.meddled.insert(node);
        }
        self.note(|| format!("somebody meddles with machine {id}: {how}"));
        Ok(())
    }
}
