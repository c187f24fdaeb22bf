//! What `serve` can be told.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a host is run.
#[derive(Clone)]
pub struct ServeConfig {
    /// Everything that lasts: the database, the compile cache, the token, the address file.
    pub data_dir: PathBuf,
    /// Where the API listens. Loopback only: another address needs TLS, which is not there yet.
    pub listen: SocketAddr,
    /// Directory of `.wasm` engines. Default: `engines` in the data directory.
    pub engines_dir: Option<PathBuf>,
    /// File with hypervisors for the root. Default: `engines.yaml` in the data directory, where it is
    /// there.
    pub engines_file: Option<PathBuf>,
    /// The environment in which hypervisors are looked for, as in `PROXMOX_HOST`. Default: empty.
    pub environment: BTreeMap<String, String>,
    /// File with the key of the secrets. Default: `enginehouse.key` of `credentials_dir`, where that
    /// is there, or else `secret.key` in the data directory, which is made at the first start.
    pub secret_key: Option<PathBuf>,
    /// Directory of the service's systemd credentials (`$CREDENTIALS_DIRECTORY`).
    pub credentials_dir: Option<PathBuf>,
    /// Drop secrets whose key is lost, instead of refusing to start.
    pub forget_secrets: bool,
    /// How long a guest has to shut down before it is stopped, unless a command says otherwise.
    pub shutdown_timeout: Duration,
    /// How long an operation waits for something that is locked before it fails.
    pub busy_timeout: Duration,
    /// How long one call of an engine may take. Long, because some providers answer only when they
    /// are done; an engine in an endless loop is ended by it, and its step fails on the second time.
    pub call_deadline: Duration,
    /// Nothing is repaired and no definition followed without a person.
    pub no_repair: bool,
    /// How long people have to approve what waits for it.
    pub approval_lifetime: Duration,
    /// How long what is over is kept.
    pub keep: Keep,
    /// How often a stream of events says that it is alive, and looks whether its token still is.
    pub heartbeat: Duration,
    /// Events that are kept for listeners that are slow, or come again.
    pub events_kept: usize,
}

/// How long what is over is kept. What is unfinished, or shown by a node as the last that happened to
/// it, is kept whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Operations with their steps, logs and requests.
    pub operations: Kept,
    /// Lines of the executed log, which have the results.
    pub executed: Kept,
    /// Plans.
    pub plans: Kept,
    /// Idempotency keys: for how long an order that is sent again is known.
    pub keys: Kept,
}

/// A bound by age and one by number. What is beyond either of them goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// `None`: for ever.
    pub age: Option<Duration>,
    /// `None`: any number of them.
    pub most: Option<u64>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Kept {
    #[must_use]
    pub const fn new(age: Duration, most: u64) -> Self {
        Self {
            age: Some(age),
            most: Some(most),
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u32, most| Kept::new(DAY * days, most);
        Self {
            operations: days(90, 100_000),
            executed: days(365, 1_000_000),
            plans: days(30, 10_000),
            keys: days(1, 100_000),
        }
    }
}

impl ServeConfig {
    /// With default settings: loopback, port 7878.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7878),
            engines_dir: None,
            engines_file: None,
            environment: BTreeMap::new(),
            secret_key: None,
            credentials_dir: None,
            forget_secrets: false,
            shutdown_timeout: Duration::from_secs(60),
            busy_timeout: Duration::from_secs(15 * 60),
            call_deadline: Duration::from_secs(240),
            no_repair: false,
            approval_lifetime: DAY,
            keep: Keep::default(),
            heartbeat: Duration::from_secs(15),
            events_kept: 8192,
        }
    }
}

/// Without the environment: there are passwords in it.
impl fmt::Debug for ServeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeConfig")
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
