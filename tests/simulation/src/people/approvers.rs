//! Those who are asked look at what waits for them, some time, and sign, refuse, or do something else first.

use enginehouse_approval::text;
use enginehouse_model::OperationId;
use serde_json::json;

use super::keys::{AUTHOR, PEOPLE, STRANGER, line, signature};
use crate::approvals::LIFETIME;
use crate::memory::Memory;
use crate::orders::{Kind, Order, Params};
use crate::random::Random;
use crate::run::Simulation;
use crate::violation::Violation;
use crate::work::WorldWork;

/// What a definition may ask for: one or two of some people.
pub(super) fn approvals(random: &mut Random) -> serde_json::Value {
    let need = 1 + random.below(2);
    let out = random.below(4);
    let people = (0..).zip(PEOPLE).filter(|(at, _)| *at != out);
    let keys: Vec<String> = people.map(|(_, person)| line(person)).collect();
    json!({"need": need, "keys": keys})
}

impl Simulation {
    /// Word goes round that an operation waits.
    pub(crate) fn people_are_asked(&mut self, number: OperationId) {
        // In a quiet world people do what they are told to.
        let visits = if self.outside.watched {
            1 + self.below(6)
        } else {
            0
        };
        for _ in 0..visits {
            let after = self.below(LIFETIME + LIFETIME / 5);
            self.later_outside(after, WorldWork::Consider(number));
        }
    }

    pub(super) fn consider(&mut self, number: OperationId) -> Result<(), Violation> {
        let Some(memory) = &self.memory else {
            self.later_outside(1_500, WorldWork::Consider(number));
            return Ok(());
        };
        let all = memory.requests();
        let Some((_, request)) = all.iter().find(|(of, _)| *of == number) else {
            return Ok(());
        };
        let node = request.unit.node;
        let parent = memory.queue.get(number).and_then(|found| found.spec.parent);
        let is_part = |number: OperationId| {
            let found = memory.queue.get(number);
            parent.is_some() && found.is_some_and(|found| found.spec.parent == parent)
        };
        let whole = self.outside.random.chance(500);
        let units: Vec<_> = all
            .iter()
            .filter(|(of, _)| *of == number || whole && is_part(*of))
            .cloned()
            .collect();
        let signs = |person: &str| self.outside.ledger.has_signed(number, person);
        let others: Vec<&str> = PEOPLE
            .into_iter()
            .filter(|person| *person != AUTHOR && !signs(person))
            .collect();
        let one = self.outside.random.pick(&others).copied().unwrap_or("ann");
        match self.below(20) {
            0..=10 => self.sign_as(one, &units, false),
            11 | 12 => self.sign_as(AUTHOR, &units, false),
            13 => self.sign_as(STRANGER, &units, false),
            14 => self.sign_as(one, &units, true),
            15 | 16 => self.say_no(number),
            17 => {
                self.meddle_with_disks(node);
                Ok(())
            }
            18 => {
                let random = &mut self.outside.random;
                let params = Params {
                    change: Some(json!({"approvals": approvals(random)})),
                    confirm_lowered: true,
                    ..Params::default()
                };
                let folder = request.unit.name.parent();
                let Some(folder) = folder else { return Ok(()) };
                self.order(Order {
                    params,
                    ..Order::of(Kind::Edit, folder)
                })
            }
            _ => Ok(()),
        }
    }

    /// At a time, somebody signs for an operation, if that waits for it by then.
    pub fn sign_at(&mut self, ms: u64, number: OperationId, person: &'static str) {
        self.later_outside(ms, WorldWork::Sign(number, person));
    }

    pub(super) fn sign_one(&mut self, number: OperationId, person: &str) -> Result<(), Violation> {
        let waiting = self.memory.as_ref().map(Memory::requests);
        let mut units = waiting.unwrap_or_default();
        units.retain(|(of, _)| *of == number);
        self.sign_as(person, &units, false)
    }

    /// At a time, somebody gives the machine with this id another disk, or takes that away again.
    pub fn plug_at(&mut self, ms: u64, provider: usize, id: u64) {
        self.later_outside(ms, WorldWork::Plug(provider, id));
    }

    pub(super) fn plug(&mut self, provider: usize, id: u64) {
        let now = self.now();
        let provider = self.outside.providers.get_mut(provider);
        if let Some(vm) = provider.and_then(|provider| provider.vms.get_mut(&id)) {
            vm.plug(now);
        }
    }

    /// `another`: not what is asked now, but the same of another time.
    fn sign_as(
        &mut self,
        person: &str,
        units: &[(OperationId, enginehouse_approval::Request)],
        another: bool,
    ) -> Result<(), Violation> {
        let mut seen = units.to_vec();
        if another {
            for (_, request) in &mut seen {
                request.asked_at.0 += 1;
                request.until.0 += 1;
            }
        }
        let read = text(&seen).unwrap_or_default();
        let armoured = signature(person, &read);
        let numbers: Vec<OperationId> = units.iter().map(|(number, _)| *number).collect();
        if !another {
            self.outside.ledger.signs(person, units);
        }
        let taken = self.hand_in(&armoured, &numbers);
        self.note(|| format!("{person} signs {numbers:?}: {taken:?}"));
        match self.found.clone() {
            Some(found) => Err(found),
            None => Ok(()),
        }
    }

    /// Somebody gives a machine another disk, or takes that away again.
    fn meddle_with_disks(&mut self, node: enginehouse_model::NodeUid) {
        let now = self.now();
        let record = self
            .memory
            .as_ref()
            .and_then(|memory| memory.record_of(node));
        let Some((hypervisor, id)) = record.and_then(|record| {
            let id = record.identity.as_ref()?.machine_id.parse::<u64>().ok()?;
            Some((record.hypervisor, id))
        }) else {
            return;
        };
        let mut providers = self.outside.providers.iter_mut();
        let provider = providers.find(|provider| provider.uid == hypervisor);
        if let Some(vm) = provider.and_then(|provider| provider.vms.get_mut(&id)) {
            vm.plug(now);
            self.note(|| format!("somebody plugs a disk into machine {id}, or out"));
        }
    }
}
