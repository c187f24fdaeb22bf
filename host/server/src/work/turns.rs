//! How much of one hypervisor's work is under way in the host at a time.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use enginehouse_model::HypervisorUid;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Operations of one hypervisor that are planned, called or settled at a time: as many calls as an engine
/// runtime makes at once. What a provider works on by itself has no turn, nor what is polled.
const AT_ONCE: usize = 64;

/// Who has a turn. Work that has none yet is a number in a queue: ten thousand operations that begin
/// together take the memory of a few.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    of: Mutex<BTreeMap<HypervisorUid, Arc<Semaphore>>>,
}

impl Turns {
    /// Does the work when it has its turn. `work` makes it: before its turn there is none of it.
    pub(crate) async fn take<F: Future<Output = ()>>(
        &self,
        hypervisor: Option<HypervisorUid>,
        work: impl FnOnce() -> F,
    ) {
        let turns = hypervisor.map(|uid| {
            let mut of = self.of.lock();
            let turns = of
                .entry(uid)
                .or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
            Arc::clone(turns)
        });
        let _turn = match &turns {
            Some(turns) => turns.acquire().await.ok(),
            None => None,
        };
        Box::pin(work()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_hypervisor_that_hangs_holds_up_only_its_own_work() {
        let turns = Arc::new(Turns::default());
        let (hangs, works) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (hangs, works) = (
            HypervisorUid::from_uuid(hangs),
            HypervisorUid::from_uuid(works),
        );
        let go_on = Arc::new(Notify::new());
        let begun = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..AT_ONCE * 3)
            .map(|_| {
                let (turns, go_on, begun) = (turns.clone(), go_on.clone(), begun.clone());
                tokio::spawn(async move {
                    let work = || async move {
                        begun.fetch_add(1, Ordering::Relaxed);
                        go_on.notified().await;
                    };
                    turns.take(Some(hangs), work).await;
                })
            })
            .collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE);
        turns.take(Some(works), || async {}).await;
        turns.take(None, || async {}).await;
        while all.iter().any(|one| !one.is_finished()) {
            go_on.notify_one();
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE * 3);
    }
}
