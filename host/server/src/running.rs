//! Start and stop of a host.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use enginehouse_api::ADDRESS_FILE;
use enginehouse_engines::{Clock, Runtime, RuntimeConfig, RuntimeError};
use enginehouse_model::InstallationId;
use enginehouse_store::{OpenError, Opening, Store};
use enginehouse_tree::EngineSettings;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::house::House;
use crate::kept_engines::KeptEngines;
use crate::schemas::Schemas;
use crate::start::{RebuildError, rebuild};
use crate::{DefaultsError, ServeConfig};

/// How long a stop waits for answers that are being written.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Starts hosts.
pub struct Server;

/// A host at work.
pub struct Running {
    house: Arc<House>,
    url: String,
    token: String,
    address_file: PathBuf,
    tasks: Vec<JoinHandle<()>>,
}

/// Why a host did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("the store cannot be opened")]
    Store(#[source] OpenError),
    #[error("what is stored cannot be understood")]
    Rebuild(#[source] RebuildError),
    #[error("the engine runtime cannot start")]
    Runtime(#[source] RuntimeError),
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    #[error("cannot use {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot go on with what was running: {0}")]
    Resume(String),
    #[error("environment and engines.yaml cannot be used")]
    Defaults(#[source] DefaultsError),
}

impl StartError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rebuild(error) => error.hint(),
            Self::Defaults(_) => Some(
                "correct it, or take it away and write the hypervisor into the tree; see docs/secrets.md"
                    .to_owned(),
            ),
            Self::Store(error) => error.hint(),
            Self::Resume(_) => None,
            Self::Runtime(_) => Some("the compile cache in the data directory may be removed".into()),
            Self::Listen { .. } => Some(
                "choose another address with --listen; port 0 takes any that is free".to_owned(),
            ),
            Self::NotLoopback(_) => Some(
                "the API has no TLS of its own yet: listen on 127.0.0.1 and put a TLS proxy before it"
                    .to_owned(),
            ),
            Self::Directory { .. } => {
                Some("the data directory must belong to the user that serves it".to_owned())
            }
        }
    }
}

impl Server {
    /// Opens the data directory, loads the engines, finishes what was running, and serves.
    ///
    /// # Errors
    /// When the data directory cannot be used (also: another host uses it), or the address.
    pub async fn start(config: ServeConfig) -> Result<Running, StartError> {
        Self::start_at(config, Clock::system()).await
    }

    /// As [`Server::start`], with the time from elsewhere.
    ///
    /// # Errors
    /// As there.
    pub async fn start_at(config: ServeConfig, clock: Clock) -> Result<Running, StartError> {
        if !config.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(config.listen));
        }
        let opening = Opening {
            host: host_name(),
            first_installation: InstallationId::from_uuid(Uuid::now_v7()),
            max_pages: None,
        };
        let data_dir = config.data_dir.clone();
        let (store, loaded) = Store::open(&data_dir, &opening).map_err(StartError::Store)?;
        let installation = loaded.installation;
        let token = crate::token_file::read_or_make(&data_dir)?;
        let mut engine_limits = RuntimeConfig::new(data_dir.join("cache"));
        engine_limits.call_deadline = config.call_deadline;
        let runtime = Runtime::new(engine_limits).map_err(StartError::Runtime)?;
        let engines_dir = config
            .engines_dir
            .clone()
            .unwrap_or_else(|| data_dir.join("engines"));
        let mut engines = runtime.load_dir(&engines_dir).await;
        let schemas = Arc::new(Schemas::of(&mut engines));
        for engine in &engines.engines {
            tracing::info!(engine = engine.name(), version = %engine.description().version, "engine loaded");
        }
        for (file, error) in &engines.refused {
            tracing::warn!(file = %file.display(), "engine refused: {}", crate::problem::with_sources(error));
        }
        let (mut state, output) = rebuild(&config, &store, loaded, clock.now())
            .await
            .map_err(StartError::Rebuild)?;
        state
            .tree
            .set_engine_settings(Arc::clone(&schemas) as Arc<dyn EngineSettings>);
        let kept_engines = KeptEngines::open(
            &data_dir,
            runtime,
            &engines.engines,
            crate::kept_engines::named(&state),
        )
        .await;
        let listener =
            TcpListener::bind(config.listen)
                .await
                .map_err(|source| StartError::Listen {
                    address: config.listen,
                    source,
                })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        // Two lives do not begin in one millisecond: the data directory is locked.
        let feed = Arc::new(crate::events::Feed::new(clock.now().0, config.events_kept));
        let house = Arc::new(House {
            config,
            installation,
            store,
            engines: engines.engines,
            refused: engines.refused,
            kept_engines,
            schemas,
            clock,
            steady: crate::steady::Steady::system(),
            installation_token: Mutex::new(token.hash()),
            connections: crate::connections::Connections::default(),
            inventories: crate::inventory::Inventories::default(),
            checks: crate::work::Checks::default(),
            turns: crate::work::Turns::default(),
            state: Mutex::new(state),
            changed: watch::channel(0).0,
            ended: watch::channel(0).0,
            feed,
            rotating: tokio::sync::Mutex::new(()),
            backing_up: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
            reloading: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            stopping: watch::channel(false).0,
        });
        house
            .transact(|state, staged, now| {
                crate::orders::set_all_limits(&house.config, state);
                crate::reach::suspect_lost(state, now);
                crate::continuous::begin(state, staged, now);
                staged.output = output;
                Ok(())
            })
            .await
            .map_err(|problem| StartError::Resume(problem.detail))?;
        if let Some(hold) = &house.state.lock().hold {
            tracing::warn!(
                backup_until = %hold.last_operation,
                "restored from a backup and on hold: nothing runs until `enginehouse resume`"
            );
        }
        crate::kept_engines::forget_unnamed(Arc::clone(&house)).await;
        crate::defaults::apply(&house)
            .await
            .map_err(StartError::Defaults)?;
        let url = format!("http://{address}");
        let address_file = data_dir.join(ADDRESS_FILE);
        write_private(&address_file, &url)?;
        let router = crate::rest::router(Arc::clone(&house));
        let mut stopping = house.stopping.subscribe();
        let serving = tokio::spawn(async move {
            let stop = async move {
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, router)
                .with_graceful_shutdown(stop)
                .await
            {
                tracing::error!(%error, "the API ended");
            }
        });
        let timer = tokio::spawn(crate::work::run_timer(Arc::clone(&house)));
        let retention = tokio::spawn(crate::retention::run(Arc::clone(&house)));
        let memory = tokio::spawn(crate::memory::run(Arc::clone(&house)));
        let inventory = tokio::spawn(crate::inventory::run(Arc::clone(&house)));
        let pulse = tokio::spawn(crate::events::run(Arc::clone(&house)));
        Ok(Running {
            house,
            url,
            token: token.as_str().to_owned(),
            address_file,
            tasks: vec![serving, timer, retention, memory, inventory, pulse],
        })
    }
}

impl Running {
    /// `http://127.0.0.1:7878`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The installation's token, as it was at the start.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    #[cfg(test)]
    pub(crate) fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// Engines that were loaded, and files that were refused with the reason.
    #[must_use]
    pub fn engines(&self) -> (Vec<String>, Vec<(PathBuf, String)>) {
        let loaded = self
            .house
            .engines
            .iter()
            .map(|engine| format!("{} {}", engine.name(), engine.description().version))
            .collect();
        let refused = self
            .house
            .refused
            .iter()
            .map(|(file, error)| (file.clone(), crate::problem::with_sources(error)))
            .collect();
        (loaded, refused)
    }

    /// Stops taking commands and closes the store. What is under way at a provider goes on there,
    /// and here with the next start.
    pub async fn stop(self) {
        self.house.stopping.send_replace(true);
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(STOP_PATIENCE, task).await.is_err() {
                abort.abort();
            }
        }
        let _ = fs::remove_file(&self.address_file);
    }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "localhost".to_owned())
}

/// Writes one line into a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, line: &str) -> Result<(), StartError> {
    let unfinished = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        writeln!(file, "{line}")?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| StartError::Directory {
        path: path.to_owned(),
        source,
    })
}
