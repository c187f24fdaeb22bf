//! Wakes listeners, some times a second and not for each commit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_model::OperationId;
use tokio::time::Instant;

use crate::events::Draft;
use crate::house::House;

/// Time between two pulses, and so much more for each listener: waking many is work.
const PULSE: Duration = Duration::from_millis(50);
const PER_LISTENER: Duration = Duration::from_micros(200);
/// How often is told how far an operation is, at most.
const PROGRESS: Duration = Duration::from_secs(1);
/// How long events are made after the last listener has gone: it may come again.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often is looked whether that time is over.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until the host stops.
pub(crate) async fn run(house: Arc<House>) {
    let mut stopping = house.stopping.subscribe();
    let mut progressed: HashSet<OperationId> = HashSet::new();
    let mut told_at = Instant::now();
    loop {
        let sleep = if progressed.is_empty() {
            LOOK
        } else {
            PROGRESS
        };
        tokio::select! {
            () = house.feed.pulse.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        let news = house.feed.take_news();
        progressed.extend(news.progressed);
        if !progressed.is_empty() && told_at.elapsed() >= PROGRESS {
            told_at = Instant::now();
            tell(&house, progressed.drain());
        }
        house.feed.wake(&news.operations);
        {
            let _state = house.state.lock();
            house.feed.rest(PATIENCE);
        }
        let listeners = u32::try_from(house.feed.listeners()).unwrap_or(u32::MAX);
        tokio::time::sleep(PULSE + PER_LISTENER * listeners).await;
    }
}

/// Tells how far operations are.
fn tell(house: &House, operations: impl Iterator<Item = OperationId>) {
    let batch = {
        let state = house.state.lock();
        let queued = operations.filter_map(|number| state.queue.get(number));
        let drafts = queued.map(|operation| Draft::queued(&state, operation));
        house.feed.stage(Some(drafts.collect()))
    };
    house.feed.settle(batch, true);
}
