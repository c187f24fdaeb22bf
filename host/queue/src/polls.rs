//! Which tasks are polled when: those of one hypervisor together, and no more of them than its pace.
//!
//! What keeps the polls of a hypervisor from growing with its tasks:
//!
//! - **Batches.** Tasks that are due within [`TOGETHER_MS`] of each other are asked about in one call of
//!   the engine, up to [`BATCH`] of them.
//! - **Beats.** The delay between two polls of a task doubles up to [`Backoff::POLL`]'s longest, and it is
//!   due at a multiple of that delay, shifted for each hypervisor. So tasks that have waited for
//!   long are due in one moment instead of being scattered over three seconds.
//! - **Pace.** After a batch of `n` tasks the next one is made `n` × [`EACH_MS`] later at the earliest. Where
//!   more tasks wait than fit into that, each of them is polled less often: who is due the longest
//!   goes first.
//!
//! **Rejected.** Jitter, which scatters what is to go together. Larger batches: what the contract allows
//! is what engines were built for, and a list of ten thousand names fits into no URL.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{HypervisorUid, OperationId, Timestamp};

use crate::backoff::Backoff;

/// Polls that fall due within this many milliseconds of each other are made together.
const TOGETHER_MS: u64 = 150;
/// Tasks in one batch: what the contract allows.
pub(crate) const BATCH: usize = 200;
/// Milliseconds that each task of a batch keeps the next batch away, times two: 400 tasks a second, in
/// two calls at most.
const EACH_TWICE_MS: u64 = 5;

/// At most one time for each operation.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    lines: BTreeMap<HypervisorUid, Line>,
    /// When each is due, or was if its poll is under way.
    by_operation: BTreeMap<OperationId, (HypervisorUid, Timestamp)>,
}

/// What is due at one hypervisor.
#[derive(Debug, Default)]
struct Line {
    due: BTreeSet<(Timestamp, OperationId)>,
    /// The time of the next batch.
    not_before: Timestamp,
    /// Nobody answers there: what is due waits.
    lost: bool,
}

impl Line {
    /// When the next batch can be made.
    fn next(&self) -> Option<Timestamp> {
        let (due, _) = self.due.first().filter(|_| !self.lost)?;
        Some((*due).max(self.not_before))
    }

    fn take_batch(&mut self, now: Timestamp) -> Vec<OperationId> {
        let until = now.plus_ms(TOGETHER_MS);
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some((_, number)) = self.due.first().copied().filter(|(at, _)| *at <= until)
        {
            self.due.pop_first();
            batch.push(number);
        }
        let tasks = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.not_before = now.plus_ms(tasks.saturating_mul(EACH_TWICE_MS) / 2);
        batch
    }
}

impl Polls {
    /// The first poll of a task, when its engine says.
    pub(crate) fn set(&mut self, number: OperationId, hypervisor: HypervisorUid, at: Timestamp) {
        self.clear(number);
        self.by_operation.insert(number, (hypervisor, at));
        let line = self.lines.entry(hypervisor).or_default();
        line.due.insert((at, number));
    }

    /// The next poll of a task, after `polls` of them, the last of which was answered now. It follows
    /// the time at which that one was due: whoever had to wait for his batch does not wait longer
    /// for the next one too.
    pub(crate) fn set_next(
        &mut self,
        number: OperationId,
        hypervisor: HypervisorUid,
        polls: u32,
        now: Timestamp,
    ) {
        let delay = Backoff::POLL.step_ms(polls.saturating_sub(1));
        let was_due = self.by_operation.get(&number).map_or(now, |(_, at)| *at);
        let nearest = beat_after(hypervisor, delay, was_due.plus_ms(delay / 2));
        let at = nearest.max(beat_after(hypervisor, delay, now));
        self.set(number, hypervisor, at);
    }

    pub(crate) fn clear(&mut self, number: OperationId) {
        if let Some((hypervisor, at)) = self.by_operation.remove(&number)
            && let Some(line) = self.lines.get_mut(&hypervisor)
        {
            line.due.remove(&(at, number));
        }
    }

    /// While a hypervisor is lost, none of its tasks is polled; all that was due then is due at once.
    pub(crate) fn set_lost(&mut self, hypervisor: HypervisorUid, lost: bool) {
        self.lines.entry(hypervisor).or_default().lost = lost;
    }

    /// Takes out the batches that can be made now, one for each hypervisor.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<(HypervisorUid, Vec<OperationId>)> {
        let mut batches = Vec::new();
        for (hypervisor, line) in &mut self.lines {
            if line.next().is_some_and(|at| at <= now) {
                batches.push((*hypervisor, line.take_batch(now)));
            }
        }
        self.lines
            .retain(|_, line| line.lost || !line.due.is_empty() || line.not_before > now);
        batches
    }

    /// When the next batch can be made.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.lines.values().filter_map(Line::next).min()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_operation.is_empty() && self.lines.values().all(|line| line.due.is_empty())
    }
}

/// The first beat of this delay after a time.
fn beat_after(hypervisor: HypervisorUid, delay_ms: u64, time: Timestamp) -> Timestamp {
    let delay = delay_ms.max(1);
    // Hypervisors do not beat together.
    let shift = u64::try_from(hypervisor.uuid().as_u128() % u128::from(delay)).unwrap_or(0);
    let past = time.0.saturating_add(delay - shift) % delay;
    Timestamp(time.0.saturating_add(delay - past))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn hypervisor(n: u128) -> HypervisorUid {
        HypervisorUid::from_uuid(Uuid::from_u128(n))
    }

    /// When a task that was due at a time is due again, and answered so much later.
    fn again(n: u128, due: u64, answered: u64) -> u64 {
        let mut polls = Polls::default();
        polls.set(OperationId(1), hypervisor(n), Timestamp(due));
        assert_eq!(polls.take_due(Timestamp(answered)).len(), 1);
        polls.set_next(OperationId(1), hypervisor(n), 20, Timestamp(answered));
        polls.next().unwrap().0
    }

    #[test]
    fn tasks_that_were_due_within_a_beat_meet_in_the_next_one() {
        for n in [0, 1, 999, u128::MAX] {
            let first = again(n, 1_000_000, 1_000_000);
            assert!((1_001_500..=1_004_500).contains(&first), "{n}: {first}");
            for late in 0..1_500 {
                assert_eq!(again(n, first + late, first + late), first + 3_000, "{n}");
            }
        }
    }

    #[test]
    fn whoever_waited_for_his_batch_is_due_as_if_he_had_not() {
        let first = again(7, 1_000_000, 1_000_000);
        for (answered, next) in [(0, 3_000), (2_000, 3_000), (2_990, 3_000), (3_000, 6_000)] {
            assert_eq!(
                again(7, first, first + answered),
                first + next,
                "{answered}"
            );
        }
        // What was missed is not made up for.
        assert_eq!(again(7, first, first + 299_500), first + 300_000);
    }

    #[test]
    fn hypervisors_do_not_beat_together() {
        let beats: BTreeSet<u64> = (0..100)
            .map(|n| again(n * 31, 1_000_000, 1_000_000))
            .collect();
        assert!(beats.len() > 80, "{}", beats.len());
    }
}
