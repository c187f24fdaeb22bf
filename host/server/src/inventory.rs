//! Lists of hypervisors, shared by everybody who waits for one.
//!
//! A creation must see a list that began after it was queued. A hundred of them that wait together
//! are served by one list: whoever needs a newer one than there is either joins the one that is
//! under way, if that began late enough, or begins the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Coverage, Machine, Problem};
use enginehouse_engines::{Clock, Connection};
use enginehouse_engines::{Engine, Failure, Observer, Occasion};
use enginehouse_model::{HypervisorUid, Timestamp};
use parking_lot::Mutex;

/// Time for one page.
const PAGE_DEADLINE: Duration = Duration::from_secs(120);
/// Pages of one list: more is an engine that goes round in circles.
const PAGES_MAX: usize = 10_000;

/// All machines of a hypervisor at a time.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    pub began_at: Timestamp,
    pub machines: Vec<Machine>,
    pub coverage: Coverage,
}

/// The newest list of each hypervisor.
#[derive(Default)]
pub(crate) struct Inventories {
    slots: Mutex<BTreeMap<HypervisorUid, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    newest: Mutex<Option<Arc<Inventory>>>,
    /// Held while a list is made.
    making: tokio::sync::Mutex<()>,
}

impl Inventories {
    fn slot(&self, hypervisor: HypervisorUid) -> Arc<Slot> {
        Arc::clone(self.slots.lock().entry(hypervisor).or_default())
    }

    /// The newest list there is, however old.
    pub(crate) fn newest(&self, hypervisor: HypervisorUid) -> Option<Arc<Inventory>> {
        self.slot(hypervisor).newest.lock().clone()
    }

    /// A list that began at `since` or later.
    pub(crate) async fn since(
        &self,
        since: Timestamp,
        engine: &Engine,
        connection: &Arc<Connection>,
        clock: &Clock,
        observer: &Arc<dyn Observer>,
    ) -> Result<Arc<Inventory>, Problem> {
        let slot = self.slot(connection.hypervisor());
        let fresh = |slot: &Slot| {
            let newest = slot.newest.lock();
            newest.clone().filter(|list| list.began_at >= since)
        };
        if let Some(list) = fresh(&slot) {
            return Ok(list);
        }
        let _making = slot.making.lock().await;
        // Somebody else's list may have been made while this one waited for its turn.
        if let Some(list) = fresh(&slot) {
            return Ok(list);
        }
        let list = Arc::new(make(engine, connection, clock, observer).await?);
        *slot.newest.lock() = Some(Arc::clone(&list));
        Ok(list)
    }
}

async fn make(
    engine: &Engine,
    connection: &Arc<Connection>,
    clock: &Clock,
    observer: &Arc<dyn Observer>,
) -> Result<Inventory, Problem> {
    let mut inventory = Inventory {
        began_at: clock.now(),
        machines: Vec::new(),
        coverage: Coverage::default(),
    };
    let mut cursor: Option<String> = None;
    let mut begun_again = false;
    for _ in 0..PAGES_MAX {
        let occasion = Occasion::reading(PAGE_DEADLINE, Arc::clone(observer));
        let page = match engine.list(occasion, connection, cursor.as_deref()).await {
            Ok(page) => page,
            Err(error) => match error.failure {
                // The cursor died with its session: from the beginning, once.
                Failure::Problem(problem)
                    if problem.code == enginehouse_documents::Code::Conflict
                        && cursor.is_some()
                        && !begun_again =>
                {
                    begun_again = true;
                    cursor = None;
                    inventory.machines.clear();
                    inventory.began_at = clock.now();
                    continue;
                }
                _ => return Err(error.problem()),
            },
        };
        inventory.machines.extend(page.machines);
        inventory.coverage = page.coverage;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(inventory),
        }
    }
    Err(Problem::new(
        enginehouse_documents::Code::Provider,
        format!("the list of machines did not end after {PAGES_MAX} pages"),
    ))
}
