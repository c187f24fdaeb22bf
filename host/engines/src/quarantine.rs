//! An engine that traps again and again on one hypervisor rests, longer each time.
//!
//! It is counted for each hypervisor and export: what one provider answers may be what breaks the
//! engine, and the others need not wait for it. One call of that export that ends without a trap
//! clears the count; one of another does not, or the `list` before each `run` always would.

use std::collections::HashMap;
use std::time::Duration;

use enginehouse_model::{HypervisorUid, Timestamp};
use parking_lot::Mutex;

/// The longest rest, as a multiple of the first.
const REST_MAX: u32 = 32;

pub(crate) struct Quarantine {
    after: u32,
    rest: Duration,
    traps: Mutex<HashMap<(HypervisorUid, &'static str), Traps>>,
}

#[derive(Clone, Copy)]
struct Traps {
    in_a_row: u32,
    until: Timestamp,
}

impl Quarantine {
    pub(crate) fn new(after: u32, rest: Duration) -> Self {
        Self {
            after: after.max(1),
            rest,
            traps: Mutex::default(),
        }
    }

    /// How many traps, and until when it rests; nothing when it may run. After the rest one trap
    /// more is enough for the next.
    pub(crate) fn resting(
        &self,
        hypervisor: HypervisorUid,
        export: &'static str,
        now: Timestamp,
    ) -> Option<(u32, Timestamp)> {
        let traps = *self.traps.lock().get(&(hypervisor, export))?;
        (traps.in_a_row >= self.after && now < traps.until).then_some((traps.in_a_row, traps.until))
    }

    pub(crate) fn trapped(&self, hypervisor: HypervisorUid, export: &'static str, now: Timestamp) {
        let mut all = self.traps.lock();
        let traps = all.entry((hypervisor, export)).or_insert(Traps {
            in_a_row: 0,
            until: now,
        });
        traps.in_a_row = traps.in_a_row.saturating_add(1);
        if let Some(beyond) = traps.in_a_row.checked_sub(self.after) {
            let times = 1u32
                .checked_shl(beyond)
                .map_or(REST_MAX, |times| times.min(REST_MAX));
            let rest = self.rest.saturating_mul(times.max(1)).as_millis();
            traps.until = now.plus_ms(u64::try_from(rest).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn ended_well(&self, hypervisor: HypervisorUid, export: &'static str) {
        self.traps.lock().remove(&(hypervisor, export));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_and_one_good_call_ends_them() {
        let uid: HypervisorUid = "00000000000000000000000000000001".parse().unwrap();
        let other: HypervisorUid = "00000000000000000000000000000002".parse().unwrap();
        let quarantine = Quarantine::new(3, Duration::from_millis(100));
        let now = Timestamp(1000);
        quarantine.trapped(uid, "run", now);
        quarantine.trapped(uid, "run", now);
        assert_eq!(quarantine.resting(uid, "run", now), None);
        quarantine.trapped(uid, "run", now);
        assert_eq!(
            quarantine.resting(uid, "run", now),
            Some((3, Timestamp(1100)))
        );
        assert_eq!(quarantine.resting(other, "run", now), None);
        assert_eq!(quarantine.resting(uid, "run", Timestamp(1100)), None);
        quarantine.trapped(uid, "run", Timestamp(1100));
        assert_eq!(
            quarantine.resting(uid, "run", Timestamp(1100)),
            Some((4, Timestamp(1300)))
        );
        for _ in 0..100 {
            quarantine.trapped(uid, "run", now);
        }
        assert_eq!(
            quarantine.resting(uid, "run", now),
            Some((104, Timestamp(1000 + 3200)))
        );
        quarantine.ended_well(uid, "list");
        assert!(quarantine.resting(uid, "run", now).is_some());
        assert_eq!(quarantine.resting(uid, "list", now), None);
        quarantine.ended_well(uid, "run");
        assert_eq!(quarantine.resting(uid, "run", now), None);
    }
}
