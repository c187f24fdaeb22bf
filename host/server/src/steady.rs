//! How long ago a request left, whatever the clocks say.
//!
//! A provider that shows no effect of a request may show it later: "not started" is believed only when
//! all the time is over in which the request could have arrived and become visible. The system's clock
//! cannot say so: one that jumps forwards between two looks would let a second request leave while the
//! first one is still on its way.
//!
//! **The rule.** With each `once` request the journal keeps the boot of the machine and the time since
//! it ([`Moment`]). Within the same boot, also in another process, their difference is the time that
//! has passed: nobody sets that clock, and it goes on while the machine sleeps. After another boot, or
//! on another machine, nothing is known but that this process began later: the time counts from there.
//! So a host that is started again at once waits for what is left of the request's time, and one that
//! is started on another machine for all of it, which is a minute or so.

use std::fs;
use std::sync::Arc;

use enginehouse_documents::Sent;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A moment of one boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Id of the boot.
    pub boot: String,
    /// Milliseconds since it.
    pub ms: u64,
}

/// The clock of this boot.
#[derive(Clone)]
pub(crate) struct Steady {
    boot: String,
    since_boot: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// When this process began.
    began: u64,
}

impl Steady {
    /// The machine's.
    pub(crate) fn system() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .ok()
            .filter(|id| !id.is_empty())
            // A boot that has no name is known to this process alone.
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        Self::new(boot, enginehouse_engines::since_boot_ms)
    }

    pub(crate) fn new(boot: String, since_boot: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            began: since_boot(),
            boot,
            since_boot: Arc::new(since_boot),
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            boot: self.boot.clone(),
            ms: (self.since_boot)(),
        }
    }

    /// Milliseconds until it can be believed that a request had no effect which shows none: none are
    /// left when its time and `lag_ms`, after which the provider shows effects, are over. `left_at` is
    /// when it was journalled, where that is known.
    pub(crate) fn until_believable(
        &self,
        sent: &Sent,
        lag_ms: u64,
        left_at: Option<&Moment>,
    ) -> u64 {
        let now = (self.since_boot)();
        let from = left_at
            .filter(|moment| moment.boot == self.boot && moment.ms <= now)
            .map_or(self.began, |moment| moment.ms);
        let full = sent.deadline.saturating_sub(sent.at).saturating_add(lag_ms);
        full.saturating_sub(now.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const LAG: u64 = 5_000;

    /// A process that began 100 s after boot `a`.
    fn steady() -> (Steady, Arc<AtomicU64>) {
        let now = Arc::new(AtomicU64::new(100_000));
        let of = Arc::clone(&now);
        let steady = Steady::new("a".to_owned(), move || of.load(Ordering::Relaxed));
        (steady, now)
    }

    /// A request of a minute.
    fn sent() -> Sent {
        Sent {
            at: 7_000_000,
            deadline: 7_060_000,
            ..Sent::default()
        }
    }

    fn moment(boot: &str, ms: u64) -> Moment {
        Moment {
            boot: boot.to_owned(),
            ms,
        }
    }

    #[test]
    fn within_a_boot_what_has_passed_counts_also_that_of_an_earlier_process() {
        let (steady, now) = steady();
        let left = moment("a", 90_000);
        let until = |steady: &Steady| steady.until_believable(&sent(), LAG, Some(&left));
        assert_eq!(until(&steady), 55_000);
        now.store(154_999, Ordering::Relaxed);
        assert_eq!(until(&steady), 1);
        now.store(155_000, Ordering::Relaxed);
        assert_eq!(until(&steady), 0);
        now.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(until(&steady), 0);
    }

    #[test]
    fn after_another_boot_the_time_counts_from_the_beginning_of_the_process() {
        let (steady, now) = steady();
        // However long ago it was by the clock of the other boot, and where nothing is known.
        for left in [Some(moment("b", 1)), Some(moment("a", 100_001)), None] {
            now.store(100_000, Ordering::Relaxed);
            let until = || steady.until_believable(&sent(), LAG, left.as_ref());
            assert_eq!(until(), 65_000, "{left:?}");
            now.store(165_000, Ordering::Relaxed);
            let later = match &left {
                Some(left) if left.boot == "a" => 1,
                _ => 0,
            };
            assert_eq!(until(), later, "{left:?}");
        }
    }

    #[test]
    fn a_request_of_this_process_is_of_this_boot() {
        let (steady, now) = steady();
        now.store(120_000, Ordering::Relaxed);
        let left = steady.moment();
        assert_eq!(left, moment("a", 120_000));
        now.store(130_000, Ordering::Relaxed);
        assert_eq!(steady.until_believable(&sent(), LAG, Some(&left)), 55_000);
    }

    #[test]
    fn the_machines_own_is_the_same_for_two_processes() {
        let (one, two) = (Steady::system(), Steady::system());
        let left = one.moment();
        assert!(two.moment().ms >= left.ms);
        if fs::exists("/proc/sys/kernel/random/boot_id").unwrap() {
            assert_eq!(two.moment().boot, left.boot);
        }
    }
}
