//! A simulation from its start to its end, and the handle that a test holds.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::exchange::serve;
use crate::{Knobs, Requests, SimConfig, SimError, World, state_file};

/// Starts simulations.
#[derive(Debug)]
pub struct Sim;

impl Sim {
    /// Listens and serves until the handle is stopped or dropped.
    ///
    /// # Errors
    /// When the address is taken, or the state file cannot be read or written.
    pub async fn start(config: SimConfig) -> Result<SimHandle, SimError> {
        let world = match &config.state {
            Some(path) => state_file::load(path)?,
            None => None,
        };
        let world = world.unwrap_or_else(|| World::new(&config));
        let listener =
            TcpListener::bind(config.listen)
                .await
                .map_err(|source| SimError::Listen {
                    address: config.listen,
                    source,
                })?;
        let address = listener.local_addr().map_err(|source| SimError::Listen {
            address: config.listen,
            source,
        })?;
        let shared = Arc::new(Shared {
            began_at: world.now,
            began: Instant::now(),
            lived: Mutex::new(Lived {
                world,
                saved: 0,
                stopped: false,
            }),
            requests: Mutex::default(),
            config,
        });
        shared.change(|_| ())?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared), stopped));
        Ok(SimHandle {
            address,
            shared,
            stop: Some(stop),
            serving: Some(serving),
        })
    }
}

/// A simulation that runs. Dropping it ends it.
#[derive(Debug)]
pub struct SimHandle {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl SimHandle {
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The world as it is now.
    #[must_use]
    pub fn world(&self) -> World {
        let mut lived = self.shared.lived.lock();
        lived.world.advance(self.shared.now());
        lived.world.clone()
    }

    #[must_use]
    pub fn knobs(&self) -> Knobs {
        self.shared.lived.lock().world.knobs.clone()
    }

    /// Turns knobs.
    ///
    /// # Errors
    /// When the state file cannot be written.
    pub fn tune(&self, turn: impl FnOnce(&mut Knobs)) -> Result<(), SimError> {
        self.edit(|world| {
            let mut knobs = world.knobs.clone();
            turn(&mut knobs);
            world.set_knobs(knobs);
        })
    }

    /// Changes the world by hand, as an operator at the provider would.
    ///
    /// # Errors
    /// When the state file cannot be written.
    pub fn edit<T>(&self, change: impl FnOnce(&mut World) -> T) -> Result<T, SimError> {
        self.shared.change(change)
    }

    /// All requests since the start.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.shared.requests.lock().clone()
    }

    /// Ends at once, as if killed: connections are closed, requests under way have no effect any
    /// more. What was saved stays.
    pub async fn stop(mut self) {
        self.end();
        if let Some(serving) = self.serving.take() {
            // It only ends early by a panic, which has been reported then.
            let _ = serving.await;
        }
    }

    fn end(&mut self) {
        self.shared.lived.lock().stopped = true;
        if let Some(stop) = self.stop.take() {
            // Nobody listens any more only if serving has ended already.
            let _ = stop.send(());
        }
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug)]
struct Lived {
    world: World,
    /// Revision in the file.
    saved: u64,
    stopped: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SimConfig,
    /// The world's time at `began`.
    began_at: u64,
    began: Instant,
    lived: Mutex<Lived>,
    pub(crate) requests: Mutex<Requests>,
}

impl Shared {
    fn now(&self) -> u64 {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began_at.saturating_add(passed)
    }

    /// Brings the world to the present, changes it, and saves it if anything is new. Everything
    /// that looks at the world comes through here, so what was seen has been saved.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> Result<T, SimError> {
        let mut lived = self.lived.lock();
        // Another simulation may already live on with the file.
        if lived.stopped {
            return Err(SimError::Stopped);
        }
        lived.world.advance(self.now());
        let result = change(&mut lived.world);
        let revision = lived.world.revision;
        if let Some(path) = self
            .config
            .state
            .as_ref()
            .filter(|_| lived.saved != revision)
        {
            state_file::save(path, &lived.world)?;
        }
        lived.saved = revision;
        Ok(result)
    }
}
