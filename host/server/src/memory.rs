//! Gives back the memory that a burst of work has left.
//!
//! Ten thousand operations that are planned, called and then wait for their tasks leave several times the
//! memory that they go on with.

use std::sync::Arc;
use std::time::Duration;

use crate::house::House;

/// How long what is free may stay before it is given back. It takes milliseconds.
const EVERY: Duration = Duration::from_secs(10);

/// Runs until the host stops. The first time at once: engines were compiled just now.
pub(crate) async fn run(house: Arc<House>) {
    let mut stopping = house.stopping.subscribe();
    let mut known = None;
    loop {
        let commits = *house.changed.borrow();
        // Where nothing was done, nothing was left.
        if known.replace(commits) != Some(commits) {
            let given_back = tokio::task::spawn_blocking(enginehouse_engines::give_back).await;
            if let Err(error) = given_back {
                tracing::warn!(%error, "memory was not given back");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}
