//! How long to wait before the next try or poll.

use enginehouse_model::OperationId;

/// Doubling delays with jitter. The jitter is a function of operation and attempt: no randomness
/// in here, and yet a hundred operations that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First delay, milliseconds.
    pub first_ms: u64,
    /// Longest delay, milliseconds.
    pub most_ms: u64,
}

impl Backoff {
    /// After failures that may pass: 0.5 s, doubling, at most 30 s.
    pub const RETRY: Self = Self {
        first_ms: 500,
        most_ms: 30_000,
    };
    /// Between two looks whether a hypervisor is back: 1 s, doubling, at most 60 s.
    pub const PROBE: Self = Self {
        first_ms: 1_000,
        most_ms: 60_000,
    };
    /// Between two polls of a task: 50 ms, because many are over at once, doubling, at most 3 s. Without
    /// jitter: polls go together.
    pub const POLL: Self = Self {
        first_ms: 50,
        most_ms: 3_000,
    };

    /// The delay that is reached before try `attempt` + 1, in milliseconds, the same for everybody.
    /// `attempt` counts from 0.
    #[must_use]
    pub fn step_ms(self, attempt: u32) -> u64 {
        self.first_ms
            .saturating_mul(1_u64.checked_shl(attempt.min(32)).unwrap_or(u64::MAX))
            .min(self.most_ms)
    }

    /// Delay before try `attempt` + 1, in milliseconds: between three quarters of
    /// [`Backoff::step_ms`] and all of it.
    #[must_use]
    pub fn delay_ms(self, operation: OperationId, attempt: u32) -> u64 {
        let doubled = self.step_ms(attempt);
        let spread = doubled / 4;
        let jitter = mix(operation.0, attempt) % (spread + 1);
        doubled - jitter
    }
}

/// Scatters its arguments over all of `u64` (splitmix64).
fn mix(operation: u64, attempt: u32) -> u64 {
    let mut z = operation
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(u64::from(attempt));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        for attempt in 0..40 {
            let delay = Backoff::RETRY.delay_ms(OperationId(7), attempt);
            let full = (500_u64 << attempt.min(20)).min(30_000);
            assert!(delay <= full && delay >= full / 4 * 3, "{attempt}: {delay}");
        }
    }

    #[test]
    fn operations_that_failed_together_come_back_apart() {
        let delays: std::collections::BTreeSet<u64> = (0..100)
            .map(|n| Backoff::RETRY.delay_ms(OperationId(n), 5))
            .collect();
        assert!(delays.len() > 80, "{}", delays.len());
    }
}
