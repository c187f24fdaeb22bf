//! The world of a run: a random tree, what people order in it, and what they do behind our backs.

mod moves;
mod planting;
mod wishes;

use enginehouse_model::documents::PowerState;
use enginehouse_model::{FullName, OperationId, Timestamp};
use enginehouse_queue::{Event, Final, Once, Operation, Phase};
use enginehouse_reconcile::PlannedAction;
use serde_json::{Value, json};
use uuid::Uuid;

use self::planting::{Plant, Planting};
use self::wishes::{machine, needs};
use crate::call::{digest, planned_of};
use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::orders::{Kind, Order, Params};
use crate::provider::{LAG, Naming, Provider, Temper};
use crate::random::Random;
use crate::run::{Outside, Simulation};
use crate::settings::{Settings, Weather};
use crate::violation::{Rule, Violation};
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
        let mut paths = Vec::new();
        let mut definitions = Vec::new();
        for at in 0..machines {
            let folder = random.pick(&FOLDERS).copied().unwrap_or("/");
            let folder = folder.trim_end_matches('/');
            paths.push(format!("{folder}/vm{at}"));
            definitions.push(machine(&mut random));
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
        if foul {
            for provider in &mut simulation.outside.providers {
                provider.temper = Temper::BAD;
            }
        }
        let orders = 4 + simulation.below(7);
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
        for _ in 0..simulation.below(6) {
            let at = simulation.below(business + business / 4);
            simulation.later_outside(at, WorldWork::Reposition);
        }
        if foul {
            for provider in 0..names.len() {
                if simulation.mishap(350) {
                    let (at, long) = (simulation.below(BUSINESS), simulation.below(60_000));
                    simulation.later_outside(at, WorldWork::GoesDown(provider, long));
                }
            }
            for _ in 0..simulation.below(3) {
                let at = simulation.below(BUSINESS);
                simulation.later_outside(at, WorldWork::Meddle);
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
        let outside = Outside {
            random: Random::new(seed ^ 0x5eed),
            now: T0,
            providers: providers.collect(),
            world: std::collections::BTreeMap::new(),
            sequence: 0,
            uids: planting.uids,
            lives: 0,
            moments: 0,
            weather: settings.weather,
            ledger: Ledger::default(),
        };
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

    /// At a time, somebody puts another machine in the place of the one with this id.
    pub fn usurp_at(&mut self, ms: u64, provider: usize, id: u64) {
        self.later_outside(ms, WorldWork::Usurp(provider, id));
    }

    pub(crate) fn happen(&mut self, work: WorldWork) -> Result<(), Violation> {
        match work {
            WorldWork::Order(order) => self.order(*order),
            WorldWork::Cancel(number) => self.cancel(number),
            WorldWork::Reposition => self.reposition(),
            WorldWork::LookAround => self.look_around(),
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

    /// A person looks at what is in doubt, and at the hypervisor.
    fn look_around(&mut self) -> Result<(), Violation> {
        let operations: Vec<Operation> = match &self.memory {
            None => {
                self.later_outside(7_000, WorldWork::LookAround);
                return Ok(());
            }
            Some(memory) => memory.queue.iter().cloned().collect(),
        };
        let goes_on = !operations.is_empty() || !self.outside.world.is_empty();
        if goes_on {
            self.later_outside(7_000, WorldWork::LookAround);
        }
        for operation in operations {
            if let Phase::InDoubt { .. } = operation.phase {
                self.judge(&operation)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, operation: &Operation) -> Result<(), Violation> {
        let number = operation.number();
        let Once::Sending { sent, .. } = &operation.state.once else {
            return Err(Violation::new(
                Rule::Protocol,
                format!("{number} is in doubt about nothing"),
            ));
        };
        let busy = self.outside.providers.iter().any(|provider| {
            provider.works_for(number).is_some() || !provider.is_up(self.outside.now)
        });
        if self.now().0 < sent.deadline + LAG || busy {
            return Ok(());
        }
        let digest = digest(operation, &sent.path);
        let mut providers = self.outside.providers.iter();
        let happened = providers.any(|provider| {
            provider
                .effects
                .get(&digest)
                .is_some_and(|times| *times > 0)
        });
        let who = "person".to_owned();
        let planned = planned_of(operation);
        let machine = self.machine_of(operation);
        let one_request = planned
            .as_ref()
            .is_some_and(|p| p.request.action.name() != "create");
        let took_effect = planned
            .as_ref()
            .is_some_and(|planned| self.is_so(planned, machine));
        let event = match (happened, machine) {
            (false, _) if self.below(3) > 0 => Event::Retry { who },
            (true, Some(_)) if one_request && took_effect => Event::TakeAsDone { who },
            _ => {
                let creates = planned.is_some_and(|p| p.request.action.name() == "create");
                if creates && happened {
                    self.clean_up(operation);
                }
                Event::Close {
                    who,
                    state: Final::Failed,
                }
            }
        };
        self.note(|| format!("a person decides {number}: {event:?}"));
        self.outside.ledger.judged.insert(number);
        let takes_as_done = matches!(event, Event::TakeAsDone { .. });
        let mut staged = self.handle(number, event)?;
        if takes_as_done {
            self.take_in(&mut staged, operation, &Default::default())?;
            let memory = self.memory()?;
            memory.observed.remove(&number);
        }
        self.commit(staged, Vec::new())
    }

    fn machine_of(&self, operation: &Operation) -> Option<(usize, u64)> {
        let memory = self.memory.as_ref()?;
        let record = memory.record_of(operation.spec.target)?;
        let id = record.identity.as_ref()?.machine_id.parse().ok()?;
        let mut providers = self.outside.providers.iter();
        let at = providers.position(|provider| provider.uid == record.hypervisor)?;
        Some((at, id))
    }

    /// Whether a machine is what an action was to make of it.
    fn is_so(&self, planned: &PlannedAction, machine: Option<(usize, u64)>) -> bool {
        let Some((at, id)) = machine else {
            return false;
        };
        let provider = self.outside.providers.get(at);
        let vm = provider.and_then(|provider| provider.vms.get(&id));
        match (planned.request.action.name(), vm) {
            ("destroy", vm) => vm.is_none(),
            (_, None) => false,
            ("start" | "restart", Some(vm)) => vm.power == PowerState::Running,
            ("stop", Some(vm)) => vm.power == PowerState::Stopped,
            _ => false,
        }
    }

    /// Removes by hand what a creation left that nobody can find again.
    fn clean_up(&mut self, operation: &Operation) {
        let number = operation.number();
        let record = self
            .memory
            .as_ref()
            .and_then(|memory| memory.record_of(operation.spec.target));
        let known = record.and_then(|record| record.identity.as_ref()?.machine_id.parse().ok());
        for provider in &mut self.outside.providers {
            let vms = &mut provider.vms;
            vms.retain(|id, vm| vm.made_by != Some(number) || Some(*id) == known);
        }
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
                // Between a stop and the destruction that follows it.
                Some(first) => {
                    matches!(first.phase, Phase::Waiting { .. })
                        && Kind::of(&first.spec) == Some(Kind::Undeploy)
                        && first
                            .current_step()
                            .is_some_and(|step| step.action == "stop")
                }
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
        let how = match self.below(5) {
            // Without an incarnation on record nobody can tell another in its place from it.
            1 | 2 if !whole => 0,
            how => how,
        };
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
            _ => {
                vm.config.vcpu = Some(7);
                vm.version += 1;
            }
        }
        if how < 3 {
            self.outside.ledger.meddled.insert(node);
        }
        self.note(|| format!("somebody meddles with machine {id}: {how}"));
        Ok(())
    }
}
