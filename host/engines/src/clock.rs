//! The time of this process.
//!
//! The system's clock can be set while the host runs: by hand, or by a time service that finds it
//! wrong. A host that followed it at once would take a jump forwards for time that has passed, and
//! give up on what it only just began. So:
//!
//! - A process takes the system's clock as it is when it begins, and from then on counts the time that
//!   really passes: [`since_boot_ms`], which nobody sets, and which goes on while the machine sleeps.
//! - When the system's clock says something else, this one runs a tenth faster or slower until both
//!   agree. It never jumps and never goes back. An hour is made up for in ten.
//! - What must not be early at all does not use this time: deadlines of requests are measured by the
//!   runtime's own monotonic clock, and how long ago a request left by [`since_boot_ms`].

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use enginehouse_model::Timestamp;

/// The part of the time that passes by which the clock may run faster or slower.
const SLEW: u64 = 10;
/// A difference that is worth a line in the log, milliseconds.
const WORTH_SAYING_MS: u64 = 60_000;

/// Where the time comes from: the system, or a test.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The one of this process.
    #[must_use]
    pub fn system() -> Self {
        static SYSTEM: OnceLock<Clock> = OnceLock::new();
        SYSTEM
            .get_or_init(|| Self::following(system_ms, since_boot_ms))
            .clone()
    }

    /// A clock that follows `wall` slowly and counts by `steady`; both are milliseconds.
    #[must_use]
    pub fn following(
        wall: impl Fn() -> u64 + Send + Sync + 'static,
        steady: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let followed = Mutex::new(Followed {
            shown: wall(),
            at: steady(),
            said: false,
        });
        Self::from_fn(move || {
            // Nothing in it can panic half way.
            let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
            Timestamp(followed.now(wall(), steady()))
        })
    }

    #[must_use]
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// What was shown at a moment of the steady clock.
struct Followed {
    shown: u64,
    at: u64,
    said: bool,
}

impl Followed {
    fn now(&mut self, wall: u64, steady: u64) -> u64 {
        let passed = steady.saturating_sub(self.at);
        let even = self.shown.saturating_add(passed);
        if passed < SLEW {
            // Too little to make up for anything.
            return even;
        }
        let off = wall.abs_diff(even);
        let correction = off.min(passed / SLEW);
        self.shown = if wall >= even {
            even.saturating_add(correction)
        } else {
            even.saturating_sub(correction)
        };
        self.at = steady;
        let large = off >= WORTH_SAYING_MS;
        if large && !self.said {
            tracing::warn!(
                seconds = off / 1000,
                "the system's clock jumped: the host follows it slowly; started again, it takes it at once"
            );
        }
        self.said = large;
        self.shown
    }
}

fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Milliseconds since the machine was started, those included in which it slept. Nobody sets it.
#[must_use]
pub fn since_boot_ms() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Times {
        wall: Arc<AtomicU64>,
        steady: Arc<AtomicU64>,
        clock: Clock,
    }

    const BEGIN: u64 = 1_000_000_000;

    fn times() -> Times {
        let wall = Arc::new(AtomicU64::new(BEGIN));
        let steady = Arc::new(AtomicU64::new(5000));
        let (of_wall, of_steady) = (Arc::clone(&wall), Arc::clone(&steady));
        let clock = Clock::following(
            move || of_wall.load(Ordering::Relaxed),
            move || of_steady.load(Ordering::Relaxed),
        );
        Times {
            wall,
            steady,
            clock,
        }
    }

    impl Times {
        fn pass(&self, ms: u64) -> u64 {
            self.wall.fetch_add(ms, Ordering::Relaxed);
            self.steady.fetch_add(ms, Ordering::Relaxed);
            self.clock.now().0 - BEGIN
        }
    }

    #[test]
    fn it_is_the_systems_time_while_nobody_sets_that() {
        let times = times();
        assert_eq!(times.pass(0), 0);
        assert_eq!(times.pass(1), 1);
        assert_eq!(times.pass(60_000), 60_001);
    }

    #[test]
    fn a_jump_forwards_does_not_let_more_than_a_tenth_pass_early() {
        let times = times();
        times.wall.fetch_add(3_600_000, Ordering::Relaxed);
        assert_eq!(times.pass(0), 0);
        assert_eq!(times.pass(60_000), 66_000);
        // Asked often or seldom, it is the same.
        for _ in 0..60_000 {
            times.pass(1);
        }
        assert_eq!(times.pass(0), 132_000);
        // An hour is made up for in ten.
        times.pass(10 * 3_600_000);
        assert_eq!(times.clock.now().0, times.wall.load(Ordering::Relaxed));
    }

    #[test]
    fn a_jump_backwards_does_not_stop_it_and_it_never_goes_back() {
        let times = times();
        times.wall.fetch_sub(3_600_000, Ordering::Relaxed);
        let mut before = 0;
        for ms in [0, 1, 9, 1, 100, 7, 3, 50_000] {
            let now = times.pass(ms);
            assert!(now >= before && now - before <= ms, "{before} {now} {ms}");
            before = now;
        }
        assert!(before > 44_000, "{before}");
        times.pass(10 * 3_600_000);
        assert_eq!(times.clock.now().0, times.wall.load(Ordering::Relaxed));
    }

    #[test]
    fn the_time_since_the_start_of_the_machine_goes_on() {
        let before = since_boot_ms();
        assert!(before > 0 && since_boot_ms() >= before);
    }
}
