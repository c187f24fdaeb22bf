//! Where engines are loaded and run.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::Description;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::bindings::assessor::AssessorPre;
use crate::bindings::engine::EnginePre;
use crate::bindings::engine::enginehouse::engine::{host, types};
use crate::cache::Cache;
use crate::contract;
use crate::engine::Engine;
use crate::error::{LoadError, RuntimeError};
use crate::host::{HasSandbox, one_line};
use crate::quarantine::Quarantine;
use crate::sandbox::{Sandbox, TABLE_ELEMENTS_MAX};
use crate::ticker::Ticker;

/// Largest `.wasm` that is read, in bytes. Python engines have 18 MB.
const WASM_MAX: u64 = 128 << 20;
/// Stack of a guest, and of the fiber it runs on, in bytes.
const WASM_STACK: usize = 1 << 20;
const FIBER_STACK: usize = 2 << 20;

/// Of each memory and table, in bytes, what stays with the process between calls.
const KEEP_RESIDENT: usize = 256 << 10;

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
    /// Traps in a row on one hypervisor after which an engine rests there.
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
    shared: Arc<Shared>,
}

/// What every engine's calls need.
pub(crate) struct Shared {
    pub config: RuntimeConfig,
    pub wasmtime: wasmtime::Engine,
    pub linker: Linker<Sandbox>,
    pub cache: Cache,
    pub slots: Semaphore,
    pub ticker: Arc<Ticker>,
    pooled: bool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ticker.end();
    }
}

impl Runtime {
    /// # Errors
    /// When the cache directory cannot be made or is open to others, or wasmtime cannot start.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError::Wasmtime(format!("{error:#}"));
        let (wasmtime, pooled) = wasmtime_engine(&config).map_err(failed)?;
        let linker = linker(&wasmtime).map_err(failed)?;
        let ticker = Ticker::start(&wasmtime)
            .map_err(|error| RuntimeError::Wasmtime(format!("no thread: {error}")))?;
        Ok(Self {
            shared: Arc::new(Shared {
                cache: Cache::open(&config.cache_dir, &wasmtime)?,
                slots: Semaphore::new(config.concurrency.max(1)),
                linker,
                wasmtime,
                ticker,
                pooled,
                config,
            }),
        })
    }

    /// Whether address space for all calls is reserved; otherwise memory is mapped for each call.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.shared.pooled
    }

    /// Loads one `.wasm`: checks it against the contract, compiles it or takes it from the cache,
    /// and asks it to describe itself.
    ///
    /// # Errors
    /// When it is no engine that this host can run, with what is missing or different.
    pub async fn load_file(&self, path: &Path) -> Result<Arc<Engine>, LoadError> {
        let (shared, file) = (Arc::clone(&self.shared), path.to_owned());
        // Compiling takes a tenth of a second up to many; it must not hold a thread of the server.
        let prepared = tokio::task::spawn_blocking(move || prepare(&shared, &file)).await;
        let prepared = match prepared {
            Ok(prepared) => prepared?,
            Err(error) => return Err(LoadError::Compile(format!("the compiler died: {error}"))),
        };
        let mut engine = Engine {
            shared: Arc::clone(&self.shared),
            path: path.to_owned(),
            hash: prepared.hash,
            description: Description::default(),
            instance: prepared.instance,
            assessor: prepared.assessor,
            quarantine: Quarantine::new(
                self.shared.config.quarantine_after,
                self.shared.config.quarantine_rest,
            ),
        };
        engine.description = engine.describe().await?;
        Ok(Arc::new(engine))
    }

    /// Loads every `*.wasm` of a directory, in the order of their names. One that is refused, also
    /// because its name or alias is taken, does not keep the others from loading. A directory that
    /// does not exist has none.
    pub async fn load_dir(&self, dir: &Path) -> Loaded {
        let mut loaded = Loaded::default();
        let mut taken: HashMap<String, PathBuf> = HashMap::new();
        for path in wasm_files(dir) {
            let engine = match self.load_file(&path).await {
                Ok(engine) => engine,
                Err(error) => {
                    loaded.refused.push((path, error));
                    continue;
                }
            };
            let description = engine.description();
            let names: Vec<String> = std::iter::once(&description.name)
                .chain(&description.aliases)
                .map(|name| name.to_ascii_lowercase())
                .collect();
            if let Some((name, other)) = names
                .iter()
                .find_map(|name| Some((name.clone(), taken.get(name)?.clone())))
            {
                loaded
                    .refused
                    .push((path, LoadError::Duplicate { name, other }));
                continue;
            }
            taken.extend(names.into_iter().map(|name| (name, path.clone())));
            loaded.engines.push(engine);
        }
        loaded
    }
}

fn wasm_files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = (fs::read_dir(dir).into_iter().flatten())
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
}

/// A component that fits, ready to be instantiated.
struct Prepared {
    hash: String,
    instance: EnginePre<Sandbox>,
    assessor: Option<AssessorPre<Sandbox>>,
}

fn prepare(shared: &Shared, path: &Path) -> Result<Prepared, LoadError> {
    let size = fs::metadata(path).map_err(LoadError::Read)?.len();
    if size > WASM_MAX {
        return Err(LoadError::TooLarge {
            size,
            limit: WASM_MAX,
        });
    }
    let wasm = fs::read(path).map_err(LoadError::Read)?;
    contract::check_header(&wasm)?;
    let hash = blake3::hash(&wasm).to_hex().to_string();
    let component = (shared.cache.component(&shared.wasmtime, &wasm, &hash))
        .map_err(|error| contract::broken(&error).unwrap_or(error))?;
    let has_assess = contract::check_exports(&shared.wasmtime, &component)?;
    bind(shared, &component, hash, has_assess)
}

fn bind(
    shared: &Shared,
    component: &Component,
    hash: String,
    has_assess: bool,
) -> Result<Prepared, LoadError> {
    let instance = (shared.linker.instantiate_pre(component))
        .map_err(|error| contract::import_error(&shared.wasmtime, component, &error))?;
    let misfit =
        |error: wasmtime::Error| LoadError::Contract(one_line(&format!("{error:#}"), 1000));
    let assessor = if has_assess {
        Some(AssessorPre::new(instance.clone()).map_err(misfit)?)
    } else {
        None
    };
    Ok(Prepared {
        hash,
        instance: EnginePre::new(instance).map_err(misfit)?,
        assessor,
    })
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    // Rust's standard library imports WASI even where nothing of it is used; its context is empty.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    types::add_to_linker::<Sandbox, HasSandbox>(&mut linker, |sandbox| sandbox)?;
    host::add_to_linker::<Sandbox, HasSandbox>(&mut linker, |sandbox| sandbox)?;
    Ok(linker)
}

/// With a pool of instances if the address space is there, else without.
fn wasmtime_engine(config: &RuntimeConfig) -> wasmtime::Result<(wasmtime::Engine, bool)> {
    let mut settings = Config::new();
    settings
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK);
    if config.pooling {
        let mut pooled = settings.clone();
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
        // This is the probe: the pool is reserved here or not at all.
        match wasmtime::Engine::new(&pooled) {
            Ok(engine) => return Ok((engine, true)),
            Err(error) => {
                tracing::info!(%error, "no address space for a pool of instances: going without");
            }
        }
    }
    Ok((wasmtime::Engine::new(&settings)?, false))
}

fn pool(config: &RuntimeConfig) -> PoolingAllocationConfig {
    let calls = u32::try_from(config.concurrency.max(1)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(10))
        .total_memories(calls.saturating_mul(2))
        .total_tables(calls.saturating_mul(4))
        .total_stacks(calls.saturating_mul(2))
        .max_memory_size(config.memory_limit)
        // What a call touched is cleared in place rather than given back and faulted in again.
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto)
        .table_elements(TABLE_ELEMENTS_MAX);
    pool
}
