//! What is known of all machines of a hypervisor, and what the host does by itself about what it sees.
//!
//! Lists are made again and again, machines of which a list shows little are read in full beside them,
//! and what is seen arrives some time after it was so. A machine that differs from what was deployed,
//! and on which nothing is under way, is brought back by an operation like any other.

use std::collections::BTreeMap;

use enginehouse_model::documents::{Coverage, Machine};
use enginehouse_model::{FullName, HypervisorUid, NodeUid, Timestamp};
use enginehouse_reconcile::inventory::{
    Entry, List, Observation, Read, Shown, differs, observe, turns,
};
use enginehouse_reconcile::{Intent, Rules, plan_one};
use enginehouse_tree::Status;

use crate::engine::description;
use crate::memory::{Memory, Staged};
use crate::orders::{Kind, Order, Params};
use crate::prepare::subject;
use crate::provider::LAG;
use crate::run::Simulation;
use crate::settings::Fault;
use crate::violation::Violation;
use crate::work::{HostWork, WorldWork};

/// Milliseconds between two lists.
const INTERVAL: u64 = 20_000;
/// How old what is kept may be to be planned with.
const KEPT: u64 = 60_000;
/// Machines that are read beside a list because it is their turn.
const TURNS: usize = 2;

/// What is known of the machines of one hypervisor.
#[derive(Clone, Debug, Default)]
pub struct Known {
    list: Option<List>,
    reads: BTreeMap<String, Read>,
}

impl Known {
    /// Takes a list in: what was read of machines that have changed is forgotten.
    fn take_list(&mut self, began_at: Timestamp, machines: &[Machine]) {
        let shown = machines.iter().map(Shown::of).collect();
        let list = List::of(began_at, shown, Coverage::default(), self.list.as_ref());
        if let Some(before) = &self.list {
            self.reads.retain(|id, read| {
                let (Some(was), Some(is)) = (before.find(id), list.find(id)) else {
                    return read.at >= began_at;
                };
                read.at >= began_at || !differs(&was.shown, &is.shown)
            });
        }
        self.list = Some(list);
    }

    /// Those that the list shows too little of, the ones first that were read longest ago.
    fn next_reads(&self) -> Vec<u64> {
        let list = self.list.iter().flat_map(List::entries);
        let thin = list.filter(|entry| !entry.shown.shows_all());
        let known = |id: &str| self.reads.get(id).map(|read| read.at);
        let all = thin.map(|entry| (&*entry.shown.id, known(&entry.shown.id)));
        let next = turns(all, TURNS).into_iter();
        next.filter_map(|id| id.parse().ok()).collect()
    }

    /// What is known from what began at `since` or later; lists may be behind by the lag.
    fn observation(&self, id: &str, since: Timestamp) -> Option<Observation> {
        let entry = self.list.as_ref().and_then(|list| list.find(id));
        let entry = entry.map(|entry| Entry {
            shown: entry.shown.clone(),
            at: Timestamp(entry.at.0.saturating_sub(LAG)),
        });
        observe(entry.as_ref(), self.reads.get(id), since)
    }
}

/// Descriptors that are deployed on a provider, and on which nothing is under way.
fn idle(memory: &Memory, uid: HypervisorUid, hasty: bool) -> Vec<NodeUid> {
    let on_it = memory.records.values().filter(|r| r.hypervisor == uid);
    let nodes = on_it.map(|record| record.node).filter(|node| {
        let body = memory.tree.descriptor(*node);
        body.is_ok_and(|body| body.status == Status::Deployed)
            && (hasty || memory.queue.lane(*node).next().is_none())
    });
    nodes.collect()
}

impl Simulation {
    /// The host begins to look again and again.
    pub(crate) fn begin_to_watch(&mut self) {
        if !self.outside.watched {
            return;
        }
        for at in 0..self.outside.providers.len() {
            let after = self.below(INTERVAL);
            self.later(after, HostWork::Observe(at));
        }
    }

    /// A list is asked for; it shows what is now, and arrives later.
    pub(crate) fn list_all(&mut self, at: usize) -> Result<(), Violation> {
        let now = self.now();
        // Who looks around does so for as long as the host does.
        let mut world = self.outside.world.values();
        let expected = world.any(|work| !matches!(work, WorldWork::LookAround));
        let goes_on = expected || self.memory()?.queue.iter().next().is_some();
        if goes_on {
            let after = INTERVAL - self.below(INTERVAL / 4);
            self.later(after, HostWork::Observe(at));
        }
        let fails = self.mishap(50);
        let Some(provider) = self.outside.providers.get(at) else {
            return Ok(());
        };
        if fails || !provider.is_up(now) {
            return Ok(());
        }
        let list = provider.list_thin(now);
        let takes = self.below(3_000);
        self.later(takes, HostWork::Listed(at, now, list));
        Ok(())
    }

    pub(crate) fn listed_all(
        &mut self,
        at: usize,
        began_at: Timestamp,
        list: &[Machine],
    ) -> Result<(), Violation> {
        let Some(provider) = self.outside.providers.get(at) else {
            return Ok(());
        };
        let uid = provider.uid;
        let known = self.memory()?.known.entry(uid).or_default();
        known.take_list(began_at, list);
        let reads = known.next_reads();
        let now = self.now();
        for id in reads {
            let provider = self.outside.providers.get(at);
            let found = provider.filter(|provider| provider.is_up(now));
            if let Some(machine) = found.and_then(|provider| provider.read(id, now)) {
                let takes = self.below(2_000);
                self.later(takes, HostWork::ReadFull(at, now, Box::new(machine)));
            }
        }
        self.look_for_drift(at)
    }

    pub(crate) fn read_full(
        &mut self,
        at: usize,
        began_at: Timestamp,
        machine: &Machine,
    ) -> Result<(), Violation> {
        let Some(provider) = self.outside.providers.get(at) else {
            return Ok(());
        };
        let uid = provider.uid;
        let read = Read {
            shown: Shown::of(machine),
            at: began_at,
        };
        let known = self.memory()?.known.entry(uid).or_default();
        known.reads.insert(machine.id.clone(), read);
        self.look_for_drift(at)
    }

    /// Compares what is kept with what was deployed.
    fn look_for_drift(&mut self, at: usize) -> Result<(), Violation> {
        let Some(provider) = self.outside.providers.get(at) else {
            return Ok(());
        };
        let uid = provider.uid;
        let hasty = self.has(Fault::RepairsTheBusy);
        for node in idle(self.memory()?, uid, hasty) {
            self.compare(node)?;
        }
        Ok(())
    }

    fn compare(&mut self, node: NodeUid) -> Result<(), Violation> {
        let now = self.now();
        let believes = self.has(Fault::BelievesOldObservations);
        let Ok(target) = self.target(node) else {
            return Ok(());
        };
        let Some(record) = &target.record else {
            return Ok(());
        };
        let Some(identity) = &record.identity else {
            return Ok(());
        };
        let ended = record.last_step_ended;
        let since = if believes {
            Timestamp::default()
        } else {
            ended
        };
        let oldest = Timestamp(now.0.saturating_sub(KEPT));
        let known = self.memory()?.known.get(&target.hypervisor);
        let observed =
            known.and_then(|known| known.observation(&identity.machine_id, since.max(oldest)));
        let Some(observed) = observed.filter(Observation::is_whole) else {
            return Ok(());
        };
        let rules = Rules::new(&description());
        let intent = Intent::Reconfigure;
        let machine = Some(&observed.machine);
        let plan = plan_one(&subject(&target, intent, Some(record), machine, &rules));
        self.check_kept(&target, record, &observed, &plan)?;
        let mut staged = Staged::default();
        let due = self.note_drift(&mut staged, node, &plan, observed.oldest())?;
        self.commit(staged, Vec::new())?;
        self.outside.ledger.drifted += u64::from(!plan.drift.is_empty());
        if !due || self.memory.is_none() {
            return Ok(());
        }
        *self.outside.ledger.repairs.entry(node).or_default() += 1;
        self.check_idle(node)?;
        self.repair(target.name)
    }

    fn repair(&mut self, path: FullName) -> Result<(), Violation> {
        self.note(|| format!("the host repairs {path} by itself"));
        let params = Params {
            automatic: true,
            repair: true,
            ..Params::default()
        };
        self.order(Order {
            params,
            ..Order::of(Kind::Reconfigure, path)
        })
    }
}
