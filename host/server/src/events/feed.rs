//! Where events are put, and where listeners find them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use enginehouse_model::OperationId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::events::ring::Ring;
use crate::events::{After, Draft};

/// Most listeners at a time.
const LISTENERS_MAX: usize = 4096;

/// What a commit tells once it stands. Its place among the others is that of the decision.
#[must_use = "what is staged blocks what comes after it until it is settled"]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch(u64);

struct Waiting {
    /// `None`: there is a gap instead.
    drafts: Option<Vec<Draft>>,
    /// Whether its commit stands; `None`: not known yet.
    stands: Option<bool>,
}

struct Told {
    ring: Ring,
    /// Decided, the oldest first.
    waiting: VecDeque<Waiting>,
    /// Number of the first that waits.
    first: u64,
    /// When the last listener went.
    left_at: Option<Instant>,
}

/// What is new since the last pulse.
#[derive(Default)]
pub(crate) struct News {
    pub operations: HashSet<OperationId>,
    /// Those that have only got further.
    pub progressed: HashSet<OperationId>,
}

pub(crate) struct Feed {
    /// Tells the ids of this life of the host from those of another.
    life: u64,
    told: Mutex<Told>,
    /// Whether events are made. Changes under the lock of the state alone.
    wanted: AtomicBool,
    listeners: AtomicUsize,
    watchers: Mutex<HashMap<OperationId, (watch::Sender<u64>, usize)>>,
    watched: AtomicUsize,
    news: Mutex<News>,
    pub(super) pulse: Notify,
    tick: watch::Sender<u64>,
}

impl Feed {
    /// `most`: events that are kept.
    pub(crate) fn new(life: u64, most: usize) -> Self {
        Self {
            life,
            told: Mutex::new(Told {
                ring: Ring::new(most),
                waiting: VecDeque::new(),
                first: 0,
                left_at: None,
            }),
            wanted: AtomicBool::new(false),
            listeners: AtomicUsize::new(0),
            watchers: Mutex::default(),
            watched: AtomicUsize::new(0),
            news: Mutex::default(),
            pulse: Notify::new(),
            tick: watch::channel(0).0,
        }
    }

    /// Whether somebody listens to all, or did a while ago and may come again.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Takes its place; to be called under the lock of the state. `None` drafts: a gap.
    pub(crate) fn stage(&self, drafts: Option<Vec<Draft>>) -> Option<Batch> {
        if drafts.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let mut told = self.told.lock();
        told.waiting.push_back(Waiting {
            drafts,
            stands: None,
        });
        Some(Batch(told.first + told.waiting.len() as u64 - 1))
    }

    /// The commit of a batch stands, or has failed: then memory is loaded again, and nobody knows what
    /// of it was seen.
    pub(crate) fn settle(&self, batch: Option<Batch>, stands: bool) {
        let Some(Batch(number)) = batch else {
            return;
        };
        let mut told = self.told.lock();
        let at = number.checked_sub(told.first).map(usize::try_from);
        if let Some(Ok(at)) = at
            && let Some(waiting) = told.waiting.get_mut(at)
        {
            waiting.stands = Some(stands);
        }
        let mut any = false;
        while let Some(stands) = told.waiting.front().and_then(|waiting| waiting.stands) {
            let drafts = told.waiting.pop_front().and_then(|waiting| waiting.drafts);
            told.first += 1;
            any = true;
            match drafts.filter(|_| stands) {
                Some(drafts) => drafts.into_iter().for_each(|draft| told.ring.push(draft)),
                None => told.ring.lose(),
            }
        }
        drop(told);
        if any {
            self.pulse.notify_one();
        }
    }

    /// Something of these operations is new.
    pub(crate) fn touch(&self, operations: &[OperationId]) {
        if operations.is_empty() || self.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.news.lock().operations.extend(operations);
        self.pulse.notify_one();
    }

    /// An operation got further, without a commit.
    pub(crate) fn progressed(&self, operation: OperationId) {
        self.touch(&[operation]);
        if self.is_wanted() {
            self.news.lock().progressed.insert(operation);
            self.pulse.notify_one();
        }
    }

    pub(super) fn take_news(&self) -> News {
        std::mem::take(&mut *self.news.lock())
    }

    /// Wakes who listens to all, and who watches these.
    pub(super) fn wake(&self, operations: &HashSet<OperationId>) {
        self.tick.send_modify(|count| *count += 1);
        let watchers = self.watchers.lock();
        for operation in operations {
            if let Some((sender, _)) = watchers.get(operation) {
                sender.send_modify(|count| *count += 1);
            }
        }
    }

    /// Begins to listen; to be called under the lock of the state. `None`: too many do.
    pub(crate) fn listen(self: &Arc<Self>) -> Option<Listening> {
        if !self.enter() {
            return None;
        }
        self.wanted.store(true, Ordering::Relaxed);
        self.told.lock().left_at = None;
        Some(Listening {
            feed: Arc::clone(self),
            tick: self.tick.subscribe(),
        })
    }

    pub(super) fn listeners(&self) -> usize {
        self.listeners.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        let entered = self.listeners.fetch_add(1, Ordering::Relaxed) < LISTENERS_MAX;
        if !entered {
            self.listeners.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }

    /// Watches one operation. `None`: too many do.
    pub(crate) fn watch(self: &Arc<Self>, operation: OperationId) -> Option<Watching> {
        if !self.enter() {
            return None;
        }
        self.watched.fetch_add(1, Ordering::Relaxed);
        let mut watchers = self.watchers.lock();
        let (sender, count) = watchers
            .entry(operation)
            .or_insert_with(|| (watch::channel(0).0, 0));
        *count += 1;
        Some(Watching {
            feed: Arc::clone(self),
            operation,
            news: sender.subscribe(),
        })
    }

    /// Ends the making of events when nobody has listened for a while; to be called under the lock of
    /// the state. Who comes again later finds a gap.
    pub(super) fn rest(&self, patience: std::time::Duration) {
        let mut told = self.told.lock();
        if told.left_at.is_some_and(|at| at.elapsed() >= patience) {
            told.left_at = None;
            told.ring.lose();
            self.wanted.store(false, Ordering::Relaxed);
        }
    }

    /// `LIFE-NUMBER`, of a place.
    pub(crate) fn id(&self, place: u64) -> String {
        format!("{:x}-{place:x}", self.life)
    }

    /// The place of an id; `None`: it is none of this life of the host.
    pub(crate) fn place(&self, id: &str) -> Option<u64> {
        let (life, place) = id.split_once('-')?;
        let life = u64::from_str_radix(life, 16).ok()?;
        let place = u64::from_str_radix(place, 16).ok()?;
        (life == self.life).then_some(place)
    }
}

/// Somebody listens to all, until this is dropped.
pub(crate) struct Listening {
    feed: Arc<Feed>,
    tick: watch::Receiver<u64>,
}

impl Listening {
    pub(crate) fn latest(&self) -> u64 {
        self.feed.told.lock().ring.latest()
    }

    pub(crate) fn after(&mut self, place: u64, limit: usize) -> After {
        self.tick.mark_unchanged();
        self.feed.told.lock().ring.after(place, limit)
    }

    /// Until there may be more.
    pub(crate) async fn more(&mut self) {
        if self.tick.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.feed.listeners.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.feed.told.lock().left_at = Some(Instant::now());
        }
    }
}

/// Somebody watches one operation, until this is dropped.
pub(crate) struct Watching {
    feed: Arc<Feed>,
    operation: OperationId,
    news: watch::Receiver<u64>,
}

impl Watching {
    /// What happens from here on ends the next [`Watching::more`].
    pub(crate) fn look(&mut self) {
        self.news.mark_unchanged();
    }

    /// Until something is new.
    pub(crate) async fn more(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watchers = self.feed.watchers.lock();
        if let Some((_, count)) = watchers.get_mut(&self.operation) {
            *count -= 1;
            if *count == 0 {
                watchers.remove(&self.operation);
            }
        }
        self.feed.watched.fetch_sub(1, Ordering::Relaxed);
        self.feed.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use enginehouse_model::FullName;

    use super::*;

    fn draft(text: &str) -> Option<Vec<Draft>> {
        Some(vec![Draft::new("node", None, &FullName::root(), &text)])
    }

    fn told(listening: &mut Listening, place: u64) -> Option<Vec<String>> {
        match listening.after(place, 100) {
            After::Events(events) => Some(events.iter().map(|it| it.draft.data.clone()).collect()),
            After::Lost => None,
        }
    }

    #[test]
    fn events_are_told_in_the_order_of_the_decisions_once_their_commits_stand() {
        let feed = Arc::new(Feed::new(7, 100));
        let mut listening = feed.listen().unwrap();
        let place = listening.latest();
        let first = feed.stage(draft("a"));
        let second = feed.stage(draft("b"));
        let third = feed.stage(draft("c"));
        assert!(feed.stage(Some(Vec::new())).is_none());
        feed.settle(second, true);
        assert_eq!(told(&mut listening, place).unwrap(), Vec::<String>::new());
        feed.settle(first, true);
        assert_eq!(told(&mut listening, place).unwrap(), ["\"a\"", "\"b\""]);
        feed.settle(third, false);
        assert_eq!(told(&mut listening, place), None, "what failed is a gap");
        let place = listening.latest();
        feed.settle(feed.stage(draft("d")), true);
        assert_eq!(told(&mut listening, place).unwrap(), ["\"d\""]);
        feed.settle(feed.stage(None), true);
        assert_eq!(told(&mut listening, place), None);
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_made_while_somebody_listens_and_for_a_while_after() {
        let patience = std::time::Duration::from_secs(60);
        let feed = Arc::new(Feed::new(7, 100));
        assert!(!feed.is_wanted());
        let listening = feed.listen().unwrap();
        let place = listening.latest();
        assert!(feed.is_wanted());
        drop(listening);
        tokio::time::advance(patience / 2).await;
        feed.rest(patience);
        assert!(feed.is_wanted());
        let mut again = feed.listen().unwrap();
        tokio::time::advance(patience * 2).await;
        feed.rest(patience);
        assert_eq!(told(&mut again, place).unwrap(), Vec::<String>::new());
        drop(again);
        tokio::time::advance(patience).await;
        feed.rest(patience);
        assert!(!feed.is_wanted());
        let mut late = feed.listen().unwrap();
        assert_eq!(
            told(&mut late, place),
            None,
            "nobody knows what happened meanwhile"
        );
    }

    #[test]
    fn ids_are_those_of_one_life() {
        let feed = Feed::new(0x1f, 9);
        assert_eq!(feed.id(10), "1f-a");
        assert_eq!(feed.place("1f-a"), Some(10));
        for other in ["20-a", "", "1f", "1f-", "1f-g", "-a"] {
            assert_eq!(feed.place(other), None, "{other}");
        }
    }

    #[test]
    fn watchers_are_counted_out() {
        let feed = Arc::new(Feed::new(7, 9));
        let one = feed.watch(OperationId(3)).unwrap();
        let two = feed.watch(OperationId(3)).unwrap();
        feed.touch(&[OperationId(3), OperationId(4)]);
        assert_eq!(feed.take_news().operations.len(), 2);
        feed.wake(&HashSet::from([OperationId(3)]));
        assert!(one.news.has_changed().unwrap() && two.news.has_changed().unwrap());
        drop((one, two));
        assert!(feed.watchers.lock().is_empty());
        feed.touch(&[OperationId(3)]);
        assert!(feed.take_news().operations.is_empty(), "nobody watches");
    }
}
