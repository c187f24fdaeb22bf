//! The `.wasm` that began a step stays until no journal row names it.
//!
//! A step's token and its provider task are in the words of the engine that made them: another version
//! may read them wrongly. So the journal says with which engine a step was begun, and that one ends
//! it, also after the file was replaced or removed and the host started again.
//!
//! **How.** Each engine that is loaded is copied, under its hash, into a private directory, before the
//! first step is begun with it: a file that an operator replaces while the host runs is not lost. At a
//! start, copies that a journal names and whose engines are not in the engines directory any more are
//! loaded too; they end the steps that they began, and begin none. A copy that is neither of a loaded
//! engine nor named by a journal that is on disk is removed.
//!
//! **Where there is no copy** (somebody removed it), the step waits and says which engine it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enginehouse_documents::{Code, Problem};
use enginehouse_engines::{Engine, Runtime};
use enginehouse_model::OperationId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::house::{House, State};

/// In the data directory.
const DIRECTORY: &str = "engine-copies";
const SUFFIX: &str = "wasm";

/// The engine that a step was begun with, as its journal names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StepEngine {
    pub name: String,
    pub version: String,
    /// blake3 of the `.wasm`, in hexadecimal.
    pub hash: String,
}

impl StepEngine {
    pub(crate) fn of(engine: &Engine) -> Self {
        Self {
            name: engine.name().to_owned(),
            version: engine.description().version.clone(),
            hash: engine.hash().to_owned(),
        }
    }

    /// What a step says that waits for it.
    pub(crate) fn missing(&self, operation: OperationId) -> Problem {
        let short: String = self.hash.chars().take(12).collect();
        let mut problem = Problem::new(
            Code::Busy,
            format!(
                "this step was begun with the engine {} {} ({short}), which is not there any more; another one might misread what it left",
                self.name, self.version
            ),
        );
        problem.detail.hint = Some(format!(
            "put that .wasm back into the engines directory and start the host again; if it is lost, `enginehouse ops cancel {operation}` gives up waiting, and `enginehouse ops resolve {operation} --as done|failed|retry` says what happened"
        ));
        problem
    }
}

/// Copies of engines, and the engines among them that are only there to end what they began.
pub(crate) struct KeptEngines {
    dir: PathBuf,
    runtime: Runtime,
    /// Hashes of the copies.
    copies: Mutex<BTreeSet<String>>,
    former: Mutex<BTreeMap<String, Arc<Engine>>>,
}

impl KeptEngines {
    /// Copies what is loaded, and loads the copies of `named` that are not. What cannot be done is
    /// said in the log; steps that need it wait.
    pub(crate) async fn open(
        data_dir: &Path,
        runtime: Runtime,
        loaded: &[Arc<Engine>],
        named: BTreeSet<StepEngine>,
    ) -> Self {
        let dir = data_dir.join(DIRECTORY);
        let kept = Self {
            copies: Mutex::new(copies_in(&dir)),
            former: Mutex::default(),
            dir,
            runtime,
        };
        for engine in loaded {
            if let Err(error) = kept.keep(engine).await {
                tracing::warn!(engine = engine.name(), %error, "an engine was not copied");
            }
        }
        for engine in named {
            if loaded.iter().any(|one| one.hash() == engine.hash) {
                continue;
            }
            match kept.runtime.load_file(&kept.path(&engine.hash)).await {
                Ok(former) if former.hash() == engine.hash => {
                    tracing::info!(
                        engine = engine.name,
                        version = engine.version,
                        "a former engine ends the steps that it began"
                    );
                    kept.former.lock().insert(engine.hash, former);
                }
                Ok(_) => {
                    tracing::warn!(engine = engine.name, "the copy of an engine was changed");
                    kept.copies.lock().remove(&engine.hash);
                }
                Err(error) => {
                    tracing::warn!(
                        engine = engine.name,
                        version = engine.version,
                        "an engine that a step was begun with is not there: {}",
                        crate::problem::with_sources(&error)
                    );
                }
            }
        }
        kept
    }

    /// Makes sure that there is a copy of a loaded engine.
    pub(crate) async fn keep(&self, engine: &Engine) -> io::Result<()> {
        let hash = engine.hash().to_owned();
        if self.copies.lock().contains(&hash) {
            return Ok(());
        }
        let (from, to) = (engine.path().to_owned(), self.path(&hash));
        let expected = hash.clone();
        tokio::task::spawn_blocking(move || copy(&from, &to, &expected))
            .await
            .map_err(io::Error::other)??;
        self.copies.lock().insert(hash);
        Ok(())
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.{SUFFIX}"))
    }

    /// Whether there are engines whose only purpose is what they began.
    pub(crate) fn has_former(&self) -> bool {
        !self.former.lock().is_empty()
    }
}

fn copies_in(dir: &Path) -> BTreeSet<String> {
    (fs::read_dir(dir).into_iter().flatten())
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == SUFFIX))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect()
}

/// Whole, on disk, and readable by nobody else.
fn copy(from: &Path, to: &Path, expected: &str) -> io::Result<()> {
    let wasm = fs::read(from)?;
    if blake3::hash(&wasm).to_hex().as_str() != expected {
        return Err(io::Error::other(format!(
            "{} was replaced since it was loaded",
            from.display()
        )));
    }
    let dir = to.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let unfinished = to.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&wasm)?;
    file.sync_all()?;
    fs::rename(&unfinished, to)?;
    File::open(dir)?.sync_all()
}

/// The engines that steps of operations which have not ended were begun with.
pub(crate) fn named(state: &State) -> BTreeSet<StepEngine> {
    let lives = state.live.values();
    lives.filter_map(|live| live.engine.clone()).collect()
}

impl House {
    /// The engine that must go on with the current step of an operation; none: whichever its
    /// hypervisor names, because the step has not begun.
    ///
    /// # Errors
    /// When that one is not there any more.
    pub(crate) fn engine_of_step(
        &self,
        state: &State,
        operation: OperationId,
    ) -> Result<Option<Arc<Engine>>, Problem> {
        let begun_with = state
            .live
            .get(&operation)
            .and_then(|live| live.engine.as_ref());
        let Some(begun_with) = begun_with else {
            return Ok(None);
        };
        self.engine_named(begun_with)
            .map(Some)
            .ok_or_else(|| begun_with.missing(operation))
    }

    pub(crate) fn engine_named(&self, engine: &StepEngine) -> Option<Arc<Engine>> {
        let mut loaded = self.engines.iter();
        loaded
            .find(|one| one.hash() == engine.hash)
            .cloned()
            .or_else(|| self.kept_engines.former.lock().get(&engine.hash).cloned())
    }
}

/// Removes the copies that nothing needs any more.
pub(crate) async fn forget_unnamed(house: Arc<House>) {
    let kept = &house.kept_engines;
    let unnamed = |state: &State| -> Vec<String> {
        let named: BTreeSet<String> = named(state).into_iter().map(|one| one.hash).collect();
        let copies = kept.copies.lock();
        copies
            .iter()
            .filter(|hash| !named.contains(*hash))
            .filter(|hash| house.engines.iter().all(|engine| engine.hash() != **hash))
            .cloned()
            .collect()
    };
    let (fence, before) = {
        let state = house.state.lock();
        (state.fence, unnamed(&state))
    };
    // Memory may be ahead of the disk: what it does not name any more, the journal may.
    if before.is_empty() || house.settled(fence).await.is_err() {
        return;
    }
    let state = house.state.lock();
    for hash in unnamed(&state) {
        if !before.contains(&hash) {
            continue;
        }
        kept.former.lock().remove(&hash);
        match fs::remove_file(kept.path(&hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, %hash, "the copy of an engine was not removed");
            }
            Ok(()) | Err(_) => {
                kept.copies.lock().remove(&hash);
            }
        }
    }
}
