//! One look at a hypervisor: its list, and full reads of whom it is time for.

use std::sync::Arc;

use enginehouse_documents::{Code, Problem};
use enginehouse_engines::{Connection, Engine, Observer, Silent};
use enginehouse_model::{HypervisorUid, Timestamp};

use crate::house::House;
use crate::inventory::absence;
use crate::inventory::kept::News;
use crate::inventory::reading::{self, Reads};
use crate::inventory::watch::full_ms;
use crate::work::{Place, provider_identity};

/// Machines that are read in one round because they are new or have changed.
const URGENT_MAX: usize = 200;

/// Who is read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What is new or has changed.
    Urgent,
    /// That, and whose turn it is.
    Turns {
        full_ms: u64,
        pause_ms: u64,
    },
    Everything,
}

/// What a round found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub new: usize,
    pub changed: usize,
    pub gone: usize,
    pub reads: Reads,
}

/// Looks at a hypervisor, from `since` on: a list that began later serves as well.
///
/// # Errors
/// When there is no list, or a call to read failed as a whole; it is noted as the hypervisor's
/// problem too.
pub(crate) async fn round(
    house: &Arc<House>,
    place: &Place,
    since: Timestamp,
    depth: Depth,
) -> Result<Round, Problem> {
    let result = match place.reach(house) {
        Ok((engine, connection)) => {
            let result = look(house, &engine, &connection, since, depth).await;
            report(house, place.uid, result.as_ref().err()).await;
            if result.is_ok() {
                let full_ms = full_ms(&place.entry);
                crate::continuous::after_round(house, place.uid, &engine, full_ms).await;
            }
            result
        }
        Err(problem) => Err(problem),
    };
    if let Err(problem) = &result {
        let problem = (house.now(), problem.clone());
        (house.inventories).with(place.uid, |kept| kept.problem = Some(problem));
    }
    result
}

async fn look(
    house: &Arc<House>,
    engine: &Engine,
    connection: &Arc<Connection>,
    since: Timestamp,
    depth: Depth,
) -> Result<Round, Problem> {
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let identity = provider_identity(house, engine, connection, &observer).await?;
    let inventories = &house.inventories;
    let made = inventories.made_since(since, engine, connection, &house.clock, &observer);
    let (list, News { new, changed, gone }) = made.await?;
    absence::conclude(house, engine, connection, &identity, &list, &observer).await?;
    let now = house.now();
    let machines = inventories.with(connection.hypervisor(), |kept| match depth {
        Depth::Everything => kept.all(),
        Depth::Urgent => kept.urgent(URGENT_MAX),
        Depth::Turns { full_ms, pause_ms } => {
            let mut machines = kept.urgent(URGENT_MAX);
            let turns = kept.turns(now, full_ms, pause_ms);
            machines.extend(turns.into_iter().take(URGENT_MAX));
            machines.sort_by(|a, b| a.id.cmp(&b.id));
            machines.dedup();
            machines
        }
    });
    let reads = match machines.as_slice() {
        [] => Reads::default(),
        machines => reading::read(house, engine, connection, machines, &observer).await?,
    };
    Ok(Round {
        new,
        changed,
        gone,
        reads,
    })
}

/// Tells the queue whether the hypervisor answered: three that did not are as many for it, whoever
/// asked.
async fn report(house: &Arc<House>, hypervisor: HypervisorUid, problem: Option<&Problem>) {
    let unreachable = problem.filter(|problem| problem.code == Code::Unreachable);
    let contact = unreachable.map_or(Ok(()), Err);
    let generation = house.state.lock().generation;
    // What is not taken in is seen again in the next round.
    let _ = house
        .transact(|state, staged, now| {
            if state.generation == generation {
                staged.output = state.queue.contact(hypervisor, contact, now);
            }
            Ok(())
        })
        .await;
}
