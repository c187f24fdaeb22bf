//! Where engines are loaded and run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{LoadError, RuntimeError};

/// How engines are run.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Compiled engines; made if it does not exist, private to this user.
    pub cache_dir: PathBuf,
    /// Bytes of linear memory of one call.
    pub memory_limit: usize,
    /// No call runs longer, whatever its occasion says.
    pub call_deadline: Duration,
    /// Calls at a time.
    pub concurrency: usize,
    /// How long a call waits for its turn.
    pub wait: Duration,
    /// Reserve address space for all calls at start, where the system allows it: instances start
    /// faster.
    pub pooling: bool,
    /// Traps in a row after which an engine rests.
    pub quarantine_after: u32,
    /// The first rest; each further trap doubles it, up to 32 times.
    pub quarantine_rest: Duration,
}

impl RuntimeConfig {
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            memory_limit: 256 << 20,
            call_deadline: Duration::from_secs(300),
            concurrency: 64,
            wait: Duration::from_secs(30),
            pooling: true,
            quarantine_after: 5,
            quarantine_rest: Duration::from_secs(10),
        }
    }
}

/// What a directory of engines gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of their file names.
    pub engines: Vec<Arc<Engine>>,
    pub refused: Vec<(PathBuf, LoadError)>,
}

/// Loads engines and bounds what they take. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    config: Arc<RuntimeConfig>,
}

impl Runtime {
    /// # Errors
    /// When the cache directory cannot be made or is open to others, or wasmtime cannot start.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Loads one `.wasm`: checks it against the contract, compiles it or takes it from the cache,
    /// and asks it to describe itself.
    ///
    /// # Errors
    /// When it is no engine that this host can run, with what is missing or different.
    pub async fn load_file(&self, path: &Path) -> Result<Arc<Engine>, LoadError> {
        todo!("{path:?} {:?}", self.config)
    }

    /// Loads every `*.wasm` of a directory, in the order of their names. One that is refused, also
    /// because its name or alias is taken, does not keep the others from loading. A directory that
    /// does not exist has none.
    pub async fn load_dir(&self, dir: &Path) -> Loaded {
        todo!("{dir:?}")
    }
}
