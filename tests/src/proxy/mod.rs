//! A proxy before fakepve: plain HTTP in front, TLS behind.
//!
//! A real node shows nothing of a machine that is being cloned but `lock: clone`, until its first
//! disk is copied; fakepve shows everything from the start. So whatever goes through here is
//! reduced to that while the lock is there ([`hide`]).
//!
//! Rules make trouble on the way ([`Rule`]). From its arrival on a request is carried on by a task of
//! its own: a client that goes away, or is killed, stops nothing that it has sent.

mod hide;
mod rule;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use rule::{Moment, Rule, Trouble};

use crate::{Exchange, FakePve, fakepve};

/// How long [`HidingProxy::reached`] waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running proxy. It ends with this, and all connections through it.
#[derive(Debug)]
pub struct HidingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    began: Instant,
    seen: Mutex<Vec<Seen>>,
    rules: Mutex<Vec<Rule>>,
    /// Told whenever a request gets further.
    progress: watch::Sender<()>,
    /// What happens to everything that is held, told anew each time.
    released: watch::Sender<Fate>,
}

/// What becomes of a held request or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GoesOn,
    IsLost,
}

#[derive(Debug)]
struct Seen {
    exchange: Exchange,
    forwarded: bool,
    answered: bool,
}

impl HidingProxy {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none, or fakepve's certificate cannot be read.
    pub async fn start(upstream: &FakePve) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.url().to_owned(),
            client: fakepve::trusting(upstream.ca())?.build()?,
            began: Instant::now(),
            seen: Mutex::default(),
            rules: Mutex::default(),
            progress: watch::Sender::new(()),
            released: watch::Sender::new(Fate::GoesOn),
        });
        let serving = tokio::spawn(serve::serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            serving,
        })
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, by arrival.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        let seen = self.shared.seen.lock();
        seen.iter().map(|seen| seen.exchange.clone()).collect()
    }

    /// Requests of this method whose path holds this text.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.shared.count(method, path, Moment::Arrived)
    }

    /// Requests of this method whose path holds this text that have got so far.
    #[must_use]
    pub fn count_at(&self, method: &str, path: &str, moment: Moment) -> usize {
        self.shared.count(method, path, moment)
    }

    /// Adds a rule. The first one that fits a request and is not used up holds for it.
    pub fn on(&self, rule: Rule) {
        self.shared.rules.lock().push(rule);
    }

    /// Ends all rules; what is held stays held.
    pub fn clear_rules(&self) {
        self.shared.rules.lock().clear();
    }

    /// Lets everything go on that is held now.
    pub fn release(&self) {
        self.shared.released.send_replace(Fate::GoesOn);
    }

    /// Loses everything that is held now, as when a wire is cut.
    pub fn discard(&self) {
        self.shared.released.send_replace(Fate::IsLost);
    }

    /// Waits until `count` requests of this method whose path holds this text have got so far.
    ///
    /// # Errors
    /// When that has not happened after a minute; the message has all requests.
    pub async fn reached(
        &self,
        method: &str,
        path: &str,
        moment: Moment,
        count: usize,
    ) -> Result<()> {
        let mut progress = self.shared.progress.subscribe();
        let waiting = progress.wait_for(|()| self.shared.count(method, path, moment) >= count);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(reached) => reached.map(|_| ()).context("the proxy has ended"),
            Err(_) => Err(anyhow::anyhow!(
                "{method} {path} was not {moment:?} {count} times; there were {:#?}",
                self.exchanges()
            )),
        }
    }
}

impl Shared {
    fn count(&self, method: &str, path: &str, moment: Moment) -> usize {
        let fits = |seen: &&Seen| {
            let far_enough = match moment {
                Moment::Arrived => true,
                Moment::Forwarded => seen.forwarded,
                Moment::Done => seen.exchange.status.is_some(),
                Moment::Answered => seen.answered,
            };
            far_enough && seen.exchange.method == method && seen.exchange.path.contains(path)
        };
        self.seen.lock().iter().filter(fits).count()
    }
}

impl Drop for HidingProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
