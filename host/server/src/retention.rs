//! What is over is forgotten after a while.
//!
//! In rounds, each of small commits with a pause between them: nobody's order waits long behind one.
//! Three things stay whatever their age: what has not ended, parts of an operation that has not ended
//! (its end is made of theirs), and the operation that a node shows as its last.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_api::Problem;
use enginehouse_model::{OperationId, Timestamp};
use enginehouse_store::{Prune, ReadError, Write};

use crate::config::Kept;
use crate::house::{House, State};

/// Time between two rounds.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// Most rows of a kind in one commit.
const BATCH: u32 = 200;
/// Time between two commits of a round.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs until the host stops.
pub(crate) async fn run(house: Arc<House>) {
    let mut stopping = house.stopping.subscribe();
    loop {
        let round = async {
            let on_hold = house.state.lock().hold.is_some();
            if !on_hold && let Err(error) = round(&house).await {
                // What was not removed is there in the next round.
                tracing::warn!("what is over was not removed: {error}");
            }
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            () = round => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("the database cannot be read")]
    Read(#[from] ReadError),
    #[error("{}", .0.detail)]
    Commit(Problem),
}

impl From<Problem> for RoundError {
    fn from(problem: Problem) -> Self {
        Self::Commit(problem)
    }
}

async fn round(house: &Arc<House>) -> Result<(), RoundError> {
    let now = house.now();
    let keep = house.config.keep;
    keys(house, keep.keys, now).await?;
    operations(house, keep.operations, now).await?;
    plans(house, keep.plans, now).await?;
    executed(house, keep.executed, now).await
}

/// What is older goes.
fn before(kept: Kept, now: Timestamp) -> Timestamp {
    let age = kept.age.map(|age| u64::try_from(age.as_millis()));
    match age {
        Some(Ok(age)) => Timestamp(now.0.saturating_sub(age)),
        Some(Err(_)) | None => Timestamp(0),
    }
}

/// How many stay.
fn most(kept: Kept) -> u64 {
    kept.most.unwrap_or(u64::MAX)
}

async fn remove(house: &Arc<House>, what: Prune) -> Result<(), Problem> {
    house
        .transact(|_, staged, _| {
            staged.writes.push(Write::Prune(what));
            Ok(())
        })
        .await?;
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

async fn keys(house: &Arc<House>, kept: Kept, now: Timestamp) -> Result<(), Problem> {
    let most = usize::try_from(most(kept)).unwrap_or(usize::MAX);
    house
        .transact(|state, staged, _| {
            if let Some(through) = state.idempotency.old(before(kept, now), most) {
                state.idempotency.forget(through);
                let prune = Prune::Idempotency { through };
                staged.writes.push(Write::Prune(prune));
            }
            Ok(())
        })
        .await
}

async fn operations(house: &Arc<House>, kept: Kept, now: Timestamp) -> Result<(), RoundError> {
    let (before, most) = (before(kept, now), most(kept));
    let needed = needed(&house.state.lock());
    let (mut after, mut removed) = (None, 0);
    loop {
        let old = house.store.old_operations(before, most, after, BATCH);
        let mut old = old.await?;
        let Some(last) = old.last() else {
            break;
        };
        after = Some(*last);
        old.retain(|ended| !needed.contains(&ended.operation));
        if old.is_empty() {
            continue;
        }
        removed += old.len();
        let numbers = old.into_iter().map(|ended| ended.operation).collect();
        remove(house, Prune::Operations { numbers }).await?;
    }
    if removed > 0 {
        tracing::info!(operations = removed, "old operations were removed");
    }
    Ok(())
}

/// Operations that have ended and stay all the same.
fn needed(state: &State) -> HashSet<OperationId> {
    let shown = state
        .tree
        .nodes()
        .filter_map(|node| Some(node.body()?.last_operation.as_ref()?.number));
    let parts = state
        .queue
        .iter()
        .flat_map(|operation| operation.spec.children.iter().copied());
    shown.chain(parts).collect()
}

async fn plans(house: &Arc<House>, kept: Kept, now: Timestamp) -> Result<(), RoundError> {
    let mut before_round = None;
    loop {
        let old = house.store.old_plans(before(kept, now), most(kept), BATCH);
        let (unused_since, ids) = old.await?;
        // Those that are left are needed, or were made again.
        if ids.is_empty() || before_round.as_ref() == Some(&ids) {
            return Ok(());
        }
        before_round = Some(ids.clone());
        remove(house, Prune::Plans { ids, unused_since }).await?;
    }
}

async fn executed(house: &Arc<House>, kept: Kept, now: Timestamp) -> Result<(), RoundError> {
    loop {
        let old = house.store.old_lines(before(kept, now), most(kept), BATCH);
        let Some(through) = old.await? else {
            return Ok(());
        };
        remove(house, Prune::Executed { through }).await?;
    }
}
