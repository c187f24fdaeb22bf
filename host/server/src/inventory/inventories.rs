//! What is known of all hypervisors, and lists that are shared by everybody who waits for one.
//!
//! A creation must see a list that began after it was queued. A hundred of them that wait together
//! are served by one list: whoever needs a newer one than there is either joins the one that is
//! under way, if that began late enough, or begins the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use enginehouse_documents::Problem;
use enginehouse_engines::{Clock, Connection, Engine, Observer};
use enginehouse_model::{HypervisorUid, Timestamp};
use enginehouse_reconcile::inventory::{List, Observation};
use parking_lot::Mutex;

use crate::inventory::Kept;
use crate::inventory::kept::News;
use crate::inventory::listing;

/// What is known of the machines of each hypervisor.
#[derive(Default)]
pub(crate) struct Inventories {
    slots: Mutex<BTreeMap<HypervisorUid, Arc<Slot>>>,
}

#[derive(Default)]
pub(super) struct Slot {
    pub kept: Mutex<Kept>,
    /// Held while a list is made.
    making: tokio::sync::Mutex<()>,
    /// Held while machines are read in full.
    pub reading: tokio::sync::Mutex<()>,
}

impl Inventories {
    pub(super) fn slot(&self, hypervisor: HypervisorUid) -> Arc<Slot> {
        Arc::clone(self.slots.lock().entry(hypervisor).or_default())
    }

    /// The newest list there is, however old.
    pub(crate) fn newest(&self, hypervisor: HypervisorUid) -> Option<Arc<List>> {
        self.slot(hypervisor).kept.lock().list().cloned()
    }

    /// Looks at what is known of a hypervisor, or notes something of it.
    pub(crate) fn with<T>(
        &self,
        hypervisor: HypervisorUid,
        look: impl FnOnce(&mut Kept) -> T,
    ) -> T {
        look(&mut self.slot(hypervisor).kept.lock())
    }

    /// See [`Kept::observation`].
    pub(crate) fn observation(
        &self,
        hypervisor: HypervisorUid,
        id: &str,
        since: Timestamp,
        lag_ms: u64,
    ) -> Option<Observation> {
        self.with(hypervisor, |kept| kept.observation(id, since, lag_ms))
    }

    /// A list that began at `since` or later.
    pub(crate) async fn since(
        &self,
        since: Timestamp,
        engine: &Engine,
        connection: &Arc<Connection>,
        clock: &Clock,
        observer: &Arc<dyn Observer>,
    ) -> Result<Arc<List>, Problem> {
        let made = self.made_since(since, engine, connection, clock, observer);
        made.await.map(|(list, _)| list)
    }

    /// The same, with what changed when the list was made for this question.
    pub(super) async fn made_since(
        &self,
        since: Timestamp,
        engine: &Engine,
        connection: &Arc<Connection>,
        clock: &Clock,
        observer: &Arc<dyn Observer>,
    ) -> Result<(Arc<List>, News), Problem> {
        let slot = self.slot(connection.hypervisor());
        let fresh = |slot: &Slot| {
            let newest = slot.kept.lock().list().cloned();
            newest.filter(|list| list.began_at >= since)
        };
        if let Some(list) = fresh(&slot) {
            return Ok((list, News::default()));
        }
        let _making = slot.making.lock().await;
        // Somebody else's list may have been made while this one waited for its turn.
        if let Some(list) = fresh(&slot) {
            return Ok((list, News::default()));
        }
        let listed = listing::list(engine, connection, clock, observer).await?;
        let before = slot.kept.lock().list().cloned();
        let list = Arc::new(List::of(
            listed.began_at,
            listed.shown,
            listed.coverage,
            before.as_deref(),
        ));
        drop(before);
        let news = slot.kept.lock().take_list(Arc::clone(&list));
        Ok((list, news))
    }
}
