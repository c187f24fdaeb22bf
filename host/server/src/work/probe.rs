//! Looks whether a hypervisor that was lost is back.

use std::sync::Arc;

use enginehouse_documents::{Code, Problem};
use enginehouse_engines::{Observer, Silent};
use enginehouse_model::HypervisorUid;

use crate::house::House;
use crate::work::target::{Place, check};

/// Asks its engine's `check` and tells the queue.
pub(crate) async fn probe(house: &Arc<House>, generation: u64, hypervisor: HypervisorUid) {
    let found = match ask(house, hypervisor).await {
        // It answered, whatever it said.
        Err(problem) if problem.code == Code::Unreachable => Err(problem),
        Ok(()) | Err(_) => Ok(()),
    };
    // What is not taken in is asked again after the state was loaded again.
    let _ = house
        .transact(|state, staged, now| {
            if state.generation == generation {
                staged.output = state.queue.probed(hypervisor, found, now);
            }
            Ok(())
        })
        .await;
}

async fn ask(house: &Arc<House>, hypervisor: HypervisorUid) -> Result<(), Problem> {
    let place = {
        let state = house.state.lock();
        state.tree.hypervisor(hypervisor).map(Place::of)
    };
    let place =
        place.ok_or_else(|| Problem::new(Code::Conflict, "the hypervisor entry is gone"))?;
    let (engine, connection) = place.reach(house)?;
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    check(house, &engine, &connection, &observer).await?;
    Ok(())
}
