//! A run is recorded on the real store, and the store is cut: after every commit, and at every byte of
//! the last frames of its write-ahead log. Each cut loads, is what was committed until then and
//! nothing else, and goes on to a true end.

use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use enginehouse_model::InstallationId;
use enginehouse_simulation::{Disk, Kill, Outside, Settings, Simulation};
use enginehouse_store::{
    Commit, ExecutedFilter, Fence, Opening, OperationFilter, PageCursor, Store, Write,
};
use tempfile::TempDir;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DATABASE: &str = "enginehouse.db";
const LOG: &str = "enginehouse.db-wal";
/// Bytes of a frame of the log: a page and its header (SQLite, "WAL file format").
const FRAME: usize = 4096 + 24;

/// What the disk was after a commit, and the world around it.
struct Cut {
    /// Which of [`Recording::bases`] it belongs to, and how long the log was.
    base: usize,
    log: usize,
    picture: String,
    outside: Outside,
    writes: Vec<Write>,
}

/// A database with the log that grew upon it.
struct Base {
    database: Vec<u8>,
    log: Vec<u8>,
}

struct Recording {
    dir: TempDir,
    store: Store,
    fence: Fence,
    mirror: Disk,
    bases: Vec<Base>,
    cuts: Vec<Cut>,
}

fn opening() -> Opening {
    Opening {
        host: "simulation".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::from_u128(0xe1)),
        max_pages: None,
    }
}

fn open(dir: &Path) -> Result<(Store, Disk, Fence)> {
    let (store, loaded) = Store::open(dir, &opening())?;
    for unfinished in &loaded.unfinished {
        if unfinished.journal.is_empty() {
            return Err("an operation without a journal".into());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (ended, executed) = runtime.block_on(async {
        let page = PageCursor {
            before: None,
            limit: 100_000,
        };
        let ended = store.operations(OperationFilter::default(), page).await?;
        let filter = ExecutedFilter::default();
        let executed = store.executed(filter, None, 100_000).await?;
        Ok::<_, enginehouse_store::ReadError>((ended, executed))
    })?;
    let executed = executed.into_iter().map(|line| line.row).collect();
    let disk = Disk::of_store(&loaded, ended, executed);
    Ok((store, disk, loaded.fence))
}

fn bytes(path: PathBuf) -> Result<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

impl Recording {
    /// Begins where a simulation begins.
    fn of(simulation: &Simulation) -> Result<Self> {
        let dir = temporary()?;
        let (store, _, fence) = open(dir.path())?;
        let mut recording = Self {
            dir,
            store,
            fence,
            mirror: Disk::default(),
            bases: Vec::new(),
            cuts: Vec::new(),
        };
        recording.commit(&simulation.disk.rows(), &simulation.outside)?;
        Ok(recording)
    }

    fn commit(&mut self, writes: &[Write], outside: &Outside) -> Result<()> {
        let before = self.database()?;
        let mut commit = Commit::new(self.fence);
        commit.writes = writes.to_vec();
        self.store.submit(commit).wait()?;
        self.mirror.commit(writes);
        let log = bytes(self.dir.path().join(LOG))?;
        // A checkpoint was made: the log begins anew, upon another database.
        let grows = self
            .bases
            .last()
            .is_some_and(|base| log.len() >= base.log.len() && log.get(..32) == base.log.get(..32));
        if !grows {
            self.bases.push(Base {
                database: before,
                log: Vec::new(),
            });
        }
        let base = self.bases.len() - 1;
        self.cuts.push(Cut {
            base,
            log: log.len(),
            picture: self.mirror.picture(),
            outside: outside.clone(),
            writes: writes.to_vec(),
        });
        if let Some(base) = self.bases.last_mut() {
            base.log = log;
        }
        Ok(())
    }

    fn database(&self) -> Result<Vec<u8>> {
        bytes(self.dir.path().join(DATABASE))
    }
}

/// A run of this seed, recorded commit by commit.
fn record(seed: u64) -> Result<Recording> {
    let mut simulation = Simulation::seeded(seed, Settings::foul(Kill::Never))?;
    let recording = Rc::new(RefCell::new(Recording::of(&simulation)?));
    let own = Rc::clone(&recording);
    let failed = Rc::new(RefCell::new(None));
    let told = Rc::clone(&failed);
    simulation.record(move |writes, outside| {
        if let Err(error) = own.borrow_mut().commit(writes, outside) {
            told.borrow_mut().get_or_insert(error.to_string());
        }
    });
    simulation.run()?;
    drop(simulation);
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    let recording = Rc::into_inner(recording).ok_or("the recording is still in use")?;
    Ok(recording.into_inner())
}

/// In memory where there is such a place: thousands of databases are opened, and none has to last.
fn temporary() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(match memory.is_dir() {
        true => TempDir::new_in(memory)?,
        false => TempDir::new()?,
    })
}

/// A data directory with so much of the log.
fn lay(base: &Base, log: usize) -> Result<TempDir> {
    let dir = temporary()?;
    fs::write(dir.path().join(DATABASE), &base.database)?;
    fs::write(
        dir.path().join(LOG),
        base.log.get(..log).unwrap_or_default(),
    )?;
    Ok(dir)
}

/// The host comes back from this disk, in this world.
fn goes_on(cut: &Cut, disk: Disk) -> Result<()> {
    let settings = Settings::foul(Kill::Never);
    let mut simulation = Simulation::after_a_kill(settings, cut.outside.clone(), disk);
    simulation.run()?;
    simulation.check_over()?;
    simulation.settle_down()?;
    Ok(())
}

#[test]
fn every_commit_of_a_run_can_be_the_last() {
    let mut cuts = 0;
    for seed in [7, 11, 15, 18, 19, 20, 26, 33, 34, 38] {
        let recording = record(seed).unwrap();
        for (at, cut) in recording.cuts.iter().enumerate() {
            let dir = lay(&recording.bases[cut.base], cut.log).unwrap();
            let (_store, disk, _) = open(dir.path()).unwrap();
            assert_eq!(disk.sequence, at as u64 + 1, "seed {seed}, commit {at}");
            assert_eq!(disk.picture(), cut.picture, "seed {seed}, commit {at}");
            goes_on(cut, disk).unwrap_or_else(|error| panic!("seed {seed}, commit {at}: {error}"));
        }
        cuts += recording.cuts.len();
    }
    assert!(cuts > 300, "{cuts}");
}

/// A commit of several frames, alone in its log upon the database before it, and what the store
/// says before and after it.
fn alone(before: &Cut, after: &Cut, base: &Base) -> Result<(Base, String, String)> {
    let dir = lay(base, before.log)?;
    // Closing it moves the log into the database.
    drop(open(dir.path())?);
    let database = bytes(dir.path().join(DATABASE))?;
    let (store, _, fence) = open(dir.path())?;
    let mut commit = Commit::new(fence);
    commit.writes = after.writes.clone();
    store.submit(commit).wait()?;
    let log = bytes(dir.path().join(LOG))?;
    let short = Base { database, log };
    let without = begins_with(&short, 0)?;
    let with = begins_with(&short, short.log.len())?;
    Ok((short, without, with))
}

/// What a host begins with on so much of the log: documents, open operations and their journals.
fn begins_with(base: &Base, log: usize) -> Result<String> {
    let dir = lay(base, log)?;
    let (_store, loaded) = Store::open(dir.path(), &opening())?;
    let disk = Disk::of_store(&loaded, Vec::new(), Vec::new());
    Ok(format!("{}\n{}", loaded.sequence.0, disk.picture()))
}

#[test]
fn every_byte_of_the_last_frames_can_be_the_last() {
    let recording = record(11).unwrap();
    let mut pairs = recording.cuts.windows(2).rev();
    let pair =
        pairs.find(|pair| pair[0].base == pair[1].base && pair[1].log - pair[0].log >= 4 * FRAME);
    let Some([before, after]) = pair else {
        panic!("no commit has several frames");
    };
    let (base, without, with) = alone(before, after, &recording.bases[after.base]).unwrap();
    assert_ne!(without, with);
    let whole = base.log.len();
    let last_two = whole - 2 * FRAME;
    let coarse = (0..last_two).step_by(61);
    let mut cuts = 0;
    for log in coarse.chain(last_two..whole) {
        // All of it, or nothing.
        assert_eq!(
            begins_with(&base, log).unwrap(),
            without,
            "{log} of {whole}"
        );
        cuts += 1;
    }
    assert!(cuts > 2 * FRAME, "{cuts}");
    for log in [0, last_two, whole - 1] {
        let dir = lay(&base, log).unwrap();
        let (_store, disk, _) = open(dir.path()).unwrap();
        goes_on(before, disk).unwrap();
    }
}

#[test]
fn a_byte_that_is_wrong_in_the_last_frames_takes_only_its_commit() {
    let recording = record(11).unwrap();
    let [.., before, after] = recording.cuts.as_slice() else {
        panic!("a run has many commits");
    };
    let (base, without, _) = alone(before, after, &recording.bases[after.base]).unwrap();
    // After the header of the log.
    for at in (32..base.log.len()).step_by(13) {
        let mut log = base.log.clone();
        log[at] ^= 0x20;
        let torn = Base {
            database: base.database.clone(),
            log,
        };
        assert_eq!(
            begins_with(&torn, torn.log.len()).unwrap(),
            without,
            "byte {at}"
        );
    }
}
