//! Looks at hypervisors again and again, where nobody asks.
//!
//! Only at those that have machines on record. One that is lost is left to the queue's probes; after a
//! restore nothing is looked at until people have said that it may go on.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use enginehouse_model::{HypervisorUid, Timestamp};
use enginehouse_tree::HypervisorEntry;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::house::House;
use crate::inventory::{Depth, round};
use crate::work::Place;

/// Milliseconds between two lists where the entry does not say.
const INTERVAL_MS: u64 = 60_000;
/// Milliseconds in which each machine is read in full, where the entry does not say.
const FULL_MS: u64 = 86_400_000;
/// Longest sleep: entries and records may change meanwhile.
const SLEEP_MAX_MS: u64 = 5_000;
/// Hypervisors that are looked at in one moment: the rest of the engine runtime is for operations.
const AT_ONCE: usize = 4;

/// See `observe.interval_s` of an entry.
fn interval_ms(entry: &HypervisorEntry) -> u64 {
    let written = entry.observe.interval_s;
    written.map_or(INTERVAL_MS, |seconds| u64::from(seconds.0) * 1000)
}

/// See `observe.full_s` of an entry: never less than the time between two lists.
pub(crate) fn full_ms(entry: &HypervisorEntry) -> u64 {
    let written = entry.observe.full_s;
    let full = written.map_or(FULL_MS, |seconds| u64::from(seconds.0) * 1000);
    full.max(interval_ms(entry))
}

/// The pause before the next round: the interval, less up to a quarter of it, so that hypervisors that
/// began together do not go on together.
fn pause_ms(hypervisor: HypervisorUid, interval_ms: u64, now: Timestamp) -> u64 {
    let mut hasher = DefaultHasher::new();
    (hypervisor, now).hash(&mut hasher);
    let quarter = (interval_ms / 4).max(1);
    interval_ms - hasher.finish() % quarter
}

/// Runs until the host stops.
pub(crate) async fn run(house: Arc<House>) {
    let mut stopping = house.stopping.subscribe();
    let mut next: BTreeMap<HypervisorUid, Timestamp> = BTreeMap::new();
    let under_way: Arc<Mutex<BTreeSet<HypervisorUid>>> = Arc::default();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let now = house.now();
        let places = in_use(&house);
        next.retain(|uid, _| places.contains_key(uid));
        let mut wake = now.plus_ms(SLEEP_MAX_MS);
        for (uid, place) in places {
            let interval_ms = interval_ms(&place.entry);
            let latest = now.plus_ms(interval_ms);
            // The first time some while after the start; the clock may have been set back since.
            let due = next
                .entry(uid)
                .or_insert_with(|| now.plus_ms(pause_ms(uid, interval_ms, now)));
            *due = (*due).min(latest);
            if *due <= now {
                *due = now.plus_ms(pause_ms(uid, interval_ms, now));
                if under_way.lock().insert(uid) {
                    let (house, turns) = (Arc::clone(&house), Arc::clone(&turns));
                    let under_way = Arc::clone(&under_way);
                    tokio::spawn(async move {
                        if let Ok(_turn) = turns.acquire().await {
                            look(&house, &place, interval_ms).await;
                        }
                        under_way.lock().remove(&uid);
                    });
                }
            }
            wake = wake.min(*due);
        }
        let sleep = Duration::from_millis(wake.since(now).max(1));
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

async fn look(house: &Arc<House>, place: &Place, interval_ms: u64) {
    let depth = Depth::Turns {
        full_ms: full_ms(&place.entry),
        pause_ms: 2 * interval_ms,
    };
    if let Err(problem) = round(house, place, house.now(), depth).await {
        tracing::warn!(hypervisor = %place.name, code = %problem.code.as_str(), "not observed: {}", problem.message);
    }
}

/// The hypervisors that have machines on record, or had some that are missing, but those that are lost.
fn in_use(house: &House) -> BTreeMap<HypervisorUid, Place> {
    let state = house.state.lock();
    if state.hold.is_some() {
        return BTreeMap::new();
    }
    let with_machines: BTreeSet<HypervisorUid> = state
        .records
        .values()
        .filter(|record| record.identity.is_some())
        .map(|record| record.hypervisor)
        .chain(state.lost.values().map(|lost| lost.record.hypervisor))
        .collect();
    with_machines
        .into_iter()
        .filter(|uid| state.queue.lost(*uid).is_none())
        .filter_map(|uid| Some((uid, Place::of(state.tree.hypervisor(uid)?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn rounds_are_apart_by_the_interval_less_up_to_a_quarter_and_not_all_alike() {
        let pauses: BTreeSet<u64> = (0..50)
            .map(|number| {
                let uid = HypervisorUid::from_uuid(Uuid::from_u128(number));
                pause_ms(uid, 60_000, Timestamp(7))
            })
            .collect();
        assert!(pauses.iter().all(|pause| (45_001..=60_000).contains(pause)));
        assert!(pauses.len() > 40, "{pauses:?}");
        let uid = HypervisorUid::from_uuid(Uuid::nil());
        assert_eq!(pause_ms(uid, 1, Timestamp(7)), 1);
    }

    #[test]
    fn every_machine_is_read_no_more_often_than_lists_are_made() {
        let mut entry = HypervisorEntry::default();
        assert_eq!((interval_ms(&entry), full_ms(&entry)), (60_000, 86_400_000));
        entry.observe.interval_s = Some(enginehouse_tree::Seconds(600));
        entry.observe.full_s = Some(enginehouse_tree::Seconds(10));
        assert_eq!((interval_ms(&entry), full_ms(&entry)), (600_000, 600_000));
    }
}
