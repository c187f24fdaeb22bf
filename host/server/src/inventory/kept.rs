//! What is known of the machines of one hypervisor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use enginehouse_documents::{Machine, MachineRef, Problem};
use enginehouse_model::{MachineUid, Timestamp};
use enginehouse_reconcile::inventory::{
    Entry, List, Observation, Read, Shown, allowance, differs, observe, turns,
};

use crate::continuous::Basis;
use crate::inventory::absence::Absences;

/// A full read that failed.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub at: Timestamp,
    pub problem: Problem,
}

/// What changed with a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub new: usize,
    pub changed: usize,
    pub gone: usize,
}

#[derive(Default)]
pub(crate) struct Kept {
    list: Option<Arc<List>>,
    reads: HashMap<Box<str>, Read>,
    /// Since its last good full read, or ever.
    refused: BTreeMap<Box<str>, Refused>,
    /// New or changed in a list, and not read in full since.
    urgent: BTreeSet<Box<str>>,
    /// Seen otherwise than before, and not compared with what is on record since.
    changed: BTreeSet<Box<str>>,
    /// What comparisons with what is on record rest on.
    pub(crate) compared: HashMap<MachineUid, Basis>,
    turns_at: Option<Timestamp>,
    carry: u64,
    /// Machines on record that lists do not show.
    pub(crate) absences: Absences,
    /// Why the last round brought no list.
    pub(crate) problem: Option<(Timestamp, Problem)>,
    /// How far the full reads that are under way have got: done, and of how many.
    pub(crate) reading: Option<(usize, usize)>,
}

impl Kept {
    /// The newest list there is, however old.
    pub(crate) fn list(&self) -> Option<&Arc<List>> {
        self.list.as_ref()
    }

    pub(crate) fn read(&self, id: &str) -> Option<&Read> {
        self.reads.get(id)
    }

    pub(crate) fn refused(&self, id: &str) -> Option<&Refused> {
        self.refused.get(id)
    }

    /// What is known of a machine from what began at `since` or later. What a list shows may be behind
    /// by `lag_ms`, so it counts as that much older.
    pub(crate) fn observation(
        &self,
        id: &str,
        since: Timestamp,
        lag_ms: u64,
    ) -> Option<Observation> {
        let list = self.list.as_ref();
        let listed = list.and_then(|list| Some((list, list.find(id)?)));
        let read = self.reads.get(id);
        let entry = match listed {
            // Seen since, so it does not matter that the list does not show it.
            None if read.is_some_and(|read| list.is_none_or(|list| read.at >= list.began_at)) => {
                None
            }
            None => return None,
            Some((_, entry)) => Some(Entry {
                shown: entry.shown.clone(),
                at: Timestamp(entry.at.0.saturating_sub(lag_ms)),
            }),
        };
        observe(entry.as_ref(), read, since)
    }

    /// Takes a list in. What was read of machines that have changed is forgotten.
    pub(crate) fn take_list(&mut self, list: Arc<List>) -> News {
        let mut news = News::default();
        if let Some(before) = self.list.take() {
            for entry in list.entries().iter().filter(|entry| list.is_shown(entry)) {
                let id = &entry.shown.id;
                let is_read_since = |read: &Read| read.at >= list.began_at;
                match before.find(id) {
                    None => news.new += 1,
                    Some(old) if differs(&old.shown, &entry.shown) => news.changed += 1,
                    Some(_) => continue,
                }
                self.changed.insert(id.clone());
                if !self.reads.get(id).is_some_and(is_read_since) {
                    self.reads.remove(id);
                    if !entry.shown.shows_all() {
                        self.urgent.insert(id.clone());
                    }
                }
            }
            let gone = |entry: &&Entry| list.find(&entry.shown.id).is_none();
            news.gone = before.entries().iter().filter(gone).count();
        }
        let is_there = |id: &str| list.find(id).is_some();
        self.reads
            .retain(|id, read| is_there(id) || read.at >= list.began_at);
        self.refused.retain(|id, _| is_there(id));
        self.urgent.retain(|id| is_there(id));
        self.changed.retain(|id| is_there(id));
        self.list = Some(list);
        self.problem = None;
        news
    }

    pub(crate) fn take_read(&mut self, id: &str, at: Timestamp, machine: &Machine) {
        self.urgent.remove(id);
        self.refused.remove(id);
        let shown = Shown::of(machine);
        let before = self.reads.get(id);
        if before.is_none_or(|before| differs(&before.shown, &shown)) {
            self.changed.insert(id.into());
        }
        self.reads.insert(id.into(), Read { shown, at });
    }

    /// The machines that were seen otherwise than before, since this was asked last.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Box<str>> {
        std::mem::take(&mut self.changed)
    }

    /// It was not the time to compare this one.
    pub(crate) fn note_changed(&mut self, id: &str) {
        self.changed.insert(id.into());
    }

    /// It is to be read in full with the next round.
    pub(crate) fn make_urgent(&mut self, id: &str) {
        let entry = self.list.as_ref().and_then(|list| list.find(id));
        if entry.is_some_and(|entry| !entry.shown.shows_all()) {
            self.urgent.insert(id.into());
        }
    }

    /// Whether all of it was seen at some time: to find out how it was takes more.
    pub(crate) fn is_known_whole(&self, id: &str) -> bool {
        let entry = || self.list.as_ref()?.find(id);
        self.reads.contains_key(id) || entry().is_some_and(|entry| entry.shown.shows_all())
    }

    /// A full read failed: what was read before stays, with its age.
    pub(crate) fn take_refusal(&mut self, id: &str, at: Timestamp, problem: Problem) {
        self.urgent.remove(id);
        self.refused.insert(id.into(), Refused { at, problem });
    }

    /// What is to be read in full at once: at most `most`.
    pub(crate) fn urgent(&self, most: usize) -> Vec<MachineRef> {
        self.refs(self.urgent.iter().take(most).map(|id| &**id))
    }

    /// Whose turn it is, when each machine has one in `full_ms`. Asked at most every so often as
    /// rounds are made: a pause of more than `pause_ms` is not made up for.
    pub(crate) fn turns(&mut self, now: Timestamp, full_ms: u64, pause_ms: u64) -> Vec<MachineRef> {
        let Some(list) = &self.list else {
            return Vec::new();
        };
        let listed = || (list.entries().iter()).filter(|entry| !entry.shown.shows_all());
        let elapsed = self
            .turns_at
            .replace(now)
            .map_or(0, |before| now.since(before));
        let due = allowance(listed().count(), elapsed.min(pause_ms), full_ms, self.carry);
        self.carry = due.carry;
        let tried = |id: &str| {
            let read = self.reads.get(id).map(|read| read.at);
            read.max(self.refused.get(id).map(|refused| refused.at))
        };
        let machines = listed().map(|entry| (&*entry.shown.id, tried(&entry.shown.id)));
        self.refs(turns(machines, due.machines).into_iter())
    }

    /// All machines of which the list does not show everything.
    pub(crate) fn all(&self) -> Vec<MachineRef> {
        let list = self.list.iter().flat_map(|list| list.entries());
        list.filter(|entry| !entry.shown.shows_all())
            .map(|entry| entry.shown.machine_ref())
            .collect()
    }

    fn refs<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<MachineRef> {
        let list = self.list.as_ref();
        ids.filter_map(|id| Some(list?.find(id)?.shown.machine_ref()))
            .collect()
    }

    /// How many machines were read in full, and when the one that was read longest ago.
    pub(crate) fn full_reads(&self) -> (usize, Option<Timestamp>) {
        let oldest = self.reads.values().map(|read| read.at).min();
        (self.reads.len(), oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enginehouse_documents::{Code, Config, Coverage, Gap, PowerState};

    fn machine(id: &str, power: PowerState) -> Machine {
        Machine {
            id: id.to_owned(),
            power,
            ..Machine::default()
        }
    }

    fn whole(id: &str, vcpu: u32) -> Machine {
        Machine {
            mark: Some(String::new()),
            config: Some(Config {
                vcpu: Some(vcpu),
                ..Config::default()
            }),
            ..machine(id, PowerState::Running)
        }
    }

    fn list(kept: &mut Kept, at: u64, machines: &[Machine], coverage: Coverage) -> News {
        let shown = machines.iter().map(Shown::of).collect();
        let before = kept.list().cloned();
        let list = List::of(Timestamp(at), shown, coverage, before.as_deref());
        kept.take_list(Arc::new(list))
    }

    fn ids(machines: &[MachineRef]) -> Vec<&str> {
        machines.iter().map(|machine| &*machine.id).collect()
    }

    #[test]
    fn after_a_restart_nothing_is_urgent_and_everything_comes_in_turn() {
        let mut kept = Kept::default();
        let machines: Vec<Machine> = (0..10)
            .map(|id| machine(&id.to_string(), PowerState::Running))
            .collect();
        list(&mut kept, 10, &machines, Coverage::default());
        assert!(kept.urgent(99).is_empty());
        assert!(kept.turns(Timestamp(0), 1000, 500).is_empty());
        let first = kept.turns(Timestamp(200), 1000, 500);
        assert_eq!(ids(&first), ["0", "1"]);
        for machine in &first {
            kept.take_read(&machine.id, Timestamp(200), &whole(&machine.id, 1));
        }
        let refused = Problem::new(Code::Denied, "Permission check failed");
        kept.take_refusal("2", Timestamp(210), refused);
        // One that cannot be read does not keep the others from their turns.
        assert_eq!(ids(&kept.turns(Timestamp(400), 1000, 500)), ["3", "4"]);
        // A pause is not made up for.
        assert_eq!(kept.turns(Timestamp(90_000), 1000, 500).len(), 5);
    }

    #[test]
    fn what_a_list_shows_changed_is_read_again_and_what_was_read_is_forgotten() {
        use PowerState::{Running, Stopped};
        let mut kept = Kept::default();
        let before = [
            machine("1", Running),
            machine("2", Running),
            machine("3", Running),
        ];
        list(&mut kept, 10, &before, Coverage::default());
        for id in ["1", "2", "3"] {
            kept.take_read(id, Timestamp(11), &whole(id, 2));
        }
        let after = [
            machine("1", Running),
            machine("2", Stopped),
            machine("4", Running),
        ];
        let news = list(&mut kept, 20, &after, Coverage::default());
        assert_eq!(
            news,
            News {
                new: 1,
                changed: 1,
                gone: 1
            }
        );
        assert_eq!(ids(&kept.urgent(99)), ["2", "4"]);
        assert!(kept.observation("1", Timestamp(0), 0).unwrap().is_whole());
        assert!(!kept.observation("2", Timestamp(0), 0).unwrap().is_whole());
        assert!(kept.observation("3", Timestamp(0), 0).is_none());
        kept.take_read("2", Timestamp(21), &whole("2", 2));
        assert_eq!(ids(&kept.urgent(99)), ["4"]);
    }

    #[test]
    fn what_a_list_could_not_see_is_neither_gone_nor_forgotten() {
        let mut kept = Kept::default();
        let both = [
            machine("1", PowerState::Running),
            machine("2", PowerState::Running),
        ];
        list(&mut kept, 10, &both, Coverage::default());
        kept.take_read("2", Timestamp(11), &whole("2", 2));
        let away = Coverage {
            gaps: vec![Gap::host("pve2", "the node is offline")],
        };
        let news = list(&mut kept, 20, &both[..1], away);
        assert_eq!(news.gone, 0);
        let seen = kept.observation("2", Timestamp(0), 0).unwrap();
        assert_eq!(seen.oldest(), Timestamp(11));
    }

    #[test]
    fn what_a_list_shows_counts_as_older_by_the_lag_of_the_provider() {
        let mut kept = Kept::default();
        list(&mut kept, 100, &[whole("1", 2)], Coverage::default());
        assert!(kept.observation("1", Timestamp(95), 0).is_some());
        assert!(kept.observation("1", Timestamp(95), 10).is_none());
        assert!(kept.all().is_empty(), "the list shows everything");
    }

    #[test]
    fn a_read_that_is_newer_than_the_list_needs_no_list() {
        let mut kept = Kept::default();
        list(&mut kept, 100, &[], Coverage::default());
        kept.take_read("1", Timestamp(110), &whole("1", 2));
        assert!(kept.observation("1", Timestamp(0), 0).is_some());
        list(&mut kept, 120, &[], Coverage::default());
        assert!(kept.observation("1", Timestamp(0), 0).is_none());
    }
}
