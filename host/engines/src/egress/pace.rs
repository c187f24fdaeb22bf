//! How many requests a second a hypervisor is sent: a token bucket.
//!
//! Kept as the one instant at which the bucket would be full again (the generic cell rate
//! algorithm), so that nothing has to refill it. A turn is reserved in the order of asking; nobody
//! overtakes. A turn that is far off is not reserved at all: the call would use up its own time
//! waiting, while an operation that is told `busy` gives its sandbox back and comes again.
//!
//! The wait is never part of a request's own time: what the operator slowed down must not look like a
//! hypervisor that does not answer.

use std::num::NonZeroU32;
use std::time::Duration;

use enginehouse_documents::{Code, Problem};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    /// That many may leave at once after a quiet while.
    pub burst: NonZeroU32,
}

/// Says when each request to one hypervisor may leave.
pub(super) struct Pace {
    rate: Rate,
    since: Instant,
    /// When the bucket is full again, counted from `since`.
    full: Mutex<Duration>,
}

/// When a request may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    In(Duration),
    /// Nothing is reserved: its turn would have been so far off.
    TooFar(Duration),
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            since: Instant::now(),
            full: Mutex::new(Duration::ZERO),
        }
    }

    pub(super) fn reserve(&self) -> Turn {
        let now = self.since.elapsed();
        let interval = Duration::from_secs(1) / self.rate.per_second.get();
        let depth = interval.saturating_mul(self.rate.burst.get() - 1);
        let mut full = self.full.lock();
        let next = (*full).max(now);
        let wait = next.saturating_sub(depth).saturating_sub(now);
        if wait > PATIENCE {
            return Turn::TooFar(wait);
        }
        *full = next.saturating_add(interval);
        Turn::In(wait)
    }

    /// What a request is told whose turn is too far off.
    pub(super) fn busy(&self, hypervisor: &str, wait: Duration) -> Problem {
        let mut problem = Problem::new(
            Code::Busy,
            format!(
                "hypervisor `{hypervisor}` is sent at most {} requests a second, and {} s of them wait \
                 already",
                self.rate.per_second,
                wait.as_secs()
            ),
        );
        problem.detail.hint = Some(
            "it is tried again later; `limits.requests_per_second` of the hypervisor raises the limit"
                .to_owned(),
        );
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u32, burst: u32) -> Pace {
        Pace::new(Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        })
    }

    fn millis(pace: &Pace, asked: usize) -> Vec<u128> {
        (0..asked)
            .map(|_| match pace.reserve() {
                Turn::In(wait) => wait.as_millis(),
                Turn::TooFar(wait) => panic!("{wait:?} is too far"),
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_leaves_at_once_and_the_rest_in_the_order_of_asking() {
        let pace = pace(10, 3);
        assert_eq!(millis(&pace, 6), [0, 0, 0, 100, 200, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_while_fills_the_bucket_and_no_more_than_that() {
        let pace = pace(10, 3);
        millis(&pace, 5);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(millis(&pace, 4), [0, 0, 0, 100]);
        // Two intervals later, two may leave: one waits already.
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(millis(&pace, 3), [0, 0, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_a_second_sees_more_than_rate_and_burst() {
        let (per_second, burst) = (7, 4);
        let pace = pace(per_second, burst);
        let mut left: Vec<Duration> = Vec::new();
        let mut asked: u64 = 0;
        for round in 0..400_u64 {
            if let Turn::In(wait) = pace.reserve() {
                left.push(pace.since.elapsed() + wait);
            }
            asked += 1;
            tokio::time::advance(Duration::from_millis(round * 7919 % 260)).await;
        }
        assert_eq!(asked, 400);
        for (at, first) in left.iter().enumerate() {
            let within = left[at..]
                .iter()
                .take_while(|next| **next < *first + Duration::from_secs(1))
                .count();
            assert!(
                within <= (per_second + burst) as usize,
                "{within} in a second"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_too_far_off_is_not_reserved() {
        let pace = pace(1, 1);
        assert_eq!(millis(&pace, 21).last(), Some(&20_000));
        assert_eq!(pace.reserve(), Turn::TooFar(Duration::from_secs(21)));
        assert_eq!(pace.reserve(), Turn::TooFar(Duration::from_secs(21)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pace.reserve(), Turn::In(Duration::from_secs(20)));
    }
}
