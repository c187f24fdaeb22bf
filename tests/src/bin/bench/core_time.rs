//! Time that this thread was on a core: what it waits while others run there is not its cost.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub fn on_core() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default())
}

pub fn since(earlier: Duration) -> Duration {
    on_core().saturating_sub(earlier)
}
