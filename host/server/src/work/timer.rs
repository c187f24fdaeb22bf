//! Ticks the queue when something of it is due.

use std::sync::Arc;
use std::time::Duration;

use crate::house::House;

/// Longest sleep: the clock may jump meanwhile.
const SLEEP_MAX_MS: u64 = 60_000;

/// Runs until the host stops.
pub(crate) async fn run_timer(house: Arc<House>) {
    let mut stopping = house.stopping.subscribe();
    loop {
        let (next, on_hold) = {
            let state = house.state.lock();
            let on_hold = state.hold.is_some();
            (state.queue.next_wake().filter(|_| !on_hold), on_hold)
        };
        let now = house.now();
        let sleep = next
            .map_or(SLEEP_MAX_MS, |at| at.since(now))
            .min(SLEEP_MAX_MS);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(sleep)) => {}
            () = house.wake.notified() => continue,
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        if on_hold {
            continue;
        }
        // A tick that could not be committed comes again after the state was loaded again.
        let _ = house
            .transact(|state, staged, now| {
                staged.output = state.queue.tick(now);
                Ok(())
            })
            .await;
    }
}
