//! The data directory: its lock, its modes, and the database in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use enginehouse_model::InstallationId;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use thiserror::Error;

use crate::schema;

pub(crate) const DATABASE: &str = "enginehouse.db";
/// A restored database that has not got its name yet: see [`crate::restore`].
pub(crate) const RESTORED: &str = "enginehouse.db.restored";
/// A database that is being made; it gets its name when it is complete.
const UNFINISHED: &str = "enginehouse.db.new";
const LOCK: &str = "lock";
/// How often, and after what pause, a lock that is held is tried again.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(30);

/// What is not in the database yet, or never will be.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Name of this machine, written into journal rows.
    pub host: String,
    /// The id that a new installation gets. An existing one keeps its own.
    pub first_installation: InstallationId,
    /// Bounds the database's size, in pages of 4 KiB: a commit beyond it fails as on a full disk.
    pub max_pages: Option<u32>,
}

/// Why the store cannot be opened. The data directory is left as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{} is in use{}", .dir.display(), Holder(*.pid))]
    InUse {
        dir: PathBuf,
        /// Process that holds it; absent when it has only just begun.
        pid: Option<u32>,
    },
    #[error("cannot {what} {}", .path.display())]
    Directory {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} can be read but not written", .path.display())]
    ReadOnly { path: PathBuf },
    #[error("{} is damaged or no database of Enginehouse ({detail})", .path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("{} is missing but {} is there, which belongs to it", .path.display(), .left.display())]
    Missing { path: PathBuf, left: PathBuf },
    #[error("a restore into {} was interrupted: {} is there", .dir.display(), .left.display())]
    HalfRestored { dir: PathBuf, left: PathBuf },
    #[error("{} was written by a newer Enginehouse (schema {found}, this one knows up to {known})", .path.display())]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("no space is left to make {} or to bring it to this version", .path.display())]
    Full { path: PathBuf },
    #[error("cannot open {}", .path.display())]
    Database {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " by process {pid}"),
            None => f.write_str(" by another process"),
        }
    }
}

impl OpenError {
    /// The way out. A database is never replaced by a new one: who wants that moves it away.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let restore = |path: &Path| {
            let dir = path.parent().unwrap_or(path);
            format!(
                "`enginehouse restore BACKUP --data {}` (it keeps what is there aside)",
                dir.display()
            )
        };
        Some(match self {
            Self::InUse { .. } => "end that one first: a data directory has one host".to_owned(),
            Self::Directory { .. } => {
                "the data directory must belong to the user that serves it".to_owned()
            }
            Self::ReadOnly { .. } => {
                "check its owner and mode, and that its file system is not mounted read-only"
                    .to_owned()
            }
            Self::Damaged { path, .. } => format!(
                "restore a backup: {}; to begin anew without its content, move it away",
                restore(path)
            ),
            Self::Missing { path, left } => format!(
                "put the database back beside it, or restore a backup: {}; to begin anew, move {} away",
                restore(path),
                left.display()
            ),
            Self::HalfRestored { left, .. } => format!("run it again: {}", restore(left)),
            Self::Newer { .. } => {
                "use that version, or a newer one; or restore a backup that this one made"
                    .to_owned()
            }
            Self::Full { .. } => {
                "free some space in the data directory's file system; nothing is lost".to_owned()
            }
            Self::Database { .. } => return None,
        })
    }

    /// Sorts an error of SQLite by what a person can do about it.
    pub(crate) fn database(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path,
                detail: source.to_string(),
            },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            // A column that is missing or holds another type: somebody wrote into the file.
            None => Self::Damaged {
                path,
                detail: source.to_string(),
            },
            Some(_) => Self::Database { path, source },
        }
    }
}

/// An open data directory: the lock is held for as long as this lives.
pub(crate) struct Opened {
    pub writer: Connection,
    pub reader: Connection,
    pub path: PathBuf,
    pub lock: File,
    pub first: bool,
}

pub(crate) fn open(dir: &Path, opening: &Opening) -> Result<Opened, OpenError> {
    make_dir(dir)?;
    let lock = lock(dir)?;
    let path = dir.join(DATABASE);
    let half = dir.join(RESTORED);
    if exists(&half)? {
        return Err(OpenError::HalfRestored {
            dir: dir.to_owned(),
            left: half,
        });
    }
    let first = !exists(&path)?;
    if first {
        for suffix in ["-wal", "-shm"] {
            let left = dir.join(format!("{DATABASE}{suffix}"));
            if exists(&left)? {
                return Err(OpenError::Missing { path, left });
            }
        }
        create(dir, &path, opening)?;
    }
    if !has_log(dir)? {
        check_length(&path)?;
    }
    let writer = connect(&path)?;
    let found = check(&writer, &path)?;
    let configured = writer
        .pragma_update(None, "journal_mode", "WAL")
        .and_then(|()| writer.pragma_update(None, "synchronous", "FULL"))
        .and_then(|()| limit(&writer, opening.max_pages));
    configured.map_err(|source| OpenError::database(&path, source))?;
    migrate(&writer, &path, found)?;
    let reader = connect(&path)?;
    reader
        .pragma_update(None, "query_only", true)
        .map_err(|source| OpenError::database(&path, source))?;
    Ok(Opened {
        writer,
        reader,
        path,
        lock,
        first,
    })
}

/// Sets the most pages that the database may have; `None` is SQLite's own bound.
pub(crate) fn limit(writer: &Connection, max_pages: Option<u32>) -> rusqlite::Result<()> {
    let pages = max_pages.unwrap_or(u32::MAX - 1);
    // The pragma answers the limit now in force, which is never below the present size.
    writer.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

pub(crate) fn make_dir(dir: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed("make", dir))?;
    let mode = fs::metadata(dir)
        .map_err(failed("look at", dir))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        // Somebody made it so; the files in it have modes of their own.
        tracing::warn!(dir = %dir.display(), mode = format!("{:o}", mode & 0o7777),
            "the data directory can be entered by other users");
    }
    Ok(())
}

/// A holder that is about to end lets go within a moment, and so does a child that it has only just
/// forked: such a child holds the lock until it runs its own program.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    file.try_lock()
}

pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly { path: path.clone() },
            io::ErrorKind::StorageFull => OpenError::Full { path: path.clone() },
            _ => failed("open", &path)(source),
        })?;
    match patiently(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // What the holder is called is a courtesy: that it holds the lock is certain.
            let pid = match file.read_to_string(&mut text) {
                Ok(_) => text.trim().parse().ok(),
                Err(_) => None,
            };
            return Err(OpenError::InUse {
                dir: dir.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull => OpenError::Full { path: path.clone() },
        _ => failed("write", &path)(source),
    })?;
    Ok(file)
}

/// Makes the database under another name and renames it: a database of this name is complete, and an
/// empty or half-made one can only be damage.
fn create(dir: &Path, path: &Path, opening: &Opening) -> Result<(), OpenError> {
    let unfinished = dir.join(UNFINISHED);
    for name in [UNFINISHED.to_owned(), format!("{UNFINISHED}-journal")] {
        let left = dir.join(name);
        match fs::remove_file(&left) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("remove", &left)(error)),
        }
    }
    // SQLite gives its side files the mode of the database.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(failed("make", &unfinished))?;
    let made = Connection::open(&unfinished).and_then(|mut connection| {
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction()?;
        schema::create(&transaction)?;
        transaction.execute(
            "INSERT INTO installation (only, id, epoch, sequence) VALUES (1, ?1, 1, 0)",
            params![opening.first_installation.to_string()],
        )?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)
    });
    made.map_err(|source| OpenError::database(&unfinished, source))?;
    fs::rename(&unfinished, path).map_err(failed("rename", &unfinished))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", dir))
}

/// Whether a log is left from a crash: it holds what the file may lack.
fn has_log(dir: &Path) -> Result<bool, OpenError> {
    let log = dir.join(format!("{DATABASE}-wal"));
    match fs::metadata(&log) {
        Ok(log) => Ok(log.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", &log)(error)),
    }
}

/// Whether the file is as long as its header says. SQLite itself takes a last page that is cut short
/// as filled with zeros.
pub(crate) fn check_length(path: &Path) -> Result<(), OpenError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let length = file.metadata().map_err(failed("look at", path))?.len();
    let damaged = |detail| {
        Err(OpenError::Damaged {
            path: path.to_owned(),
            detail,
        })
    };
    // The database header (SQLite, "Database File Format", section 1.3).
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return damaged(format!("only {length} bytes"));
        }
        Err(error) => return Err(failed("read", path)(error)),
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return damaged("it does not begin like a database".to_owned());
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let expected = u64::from(pages) * page_size;
    if length != expected {
        return damaged(format!("{length} bytes long instead of {expected}"));
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let connect = || {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        // Reader and writer never wait for each other in WAL mode but for an instant at recovery.
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    connect().map_err(|source| OpenError::database(path, source))
}

/// Whether the file is ours and can be used; answers the version of its schema.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let failed = |source| OpenError::database(path, source);
    if connection.is_readonly("main").map_err(failed)? {
        return Err(OpenError::ReadOnly {
            path: path.to_owned(),
        });
    }
    let pragma = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(failed)
    };
    if pragma("application_id")? != schema::APPLICATION_ID {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            detail: "it does not carry our application id".to_owned(),
        });
    }
    let found = pragma("user_version")?.cast_unsigned();
    if found > schema::VERSION {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: schema::VERSION,
        });
    }
    if found == 0 {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            detail: "it does not say which version its schema has".to_owned(),
        });
    }
    Ok(found)
}

/// Brings an older database to this version, or leaves it as it is.
pub(crate) fn migrate(writer: &Connection, path: &Path, found: u32) -> Result<(), OpenError> {
    if found == schema::VERSION {
        return Ok(());
    }
    let migrated = writer.unchecked_transaction().and_then(|transaction| {
        schema::migrate(&transaction, found)?;
        transaction.commit()
    });
    migrated.map_err(|source| OpenError::database(path, source))?;
    tracing::info!(path = %path.display(), from = found, to = schema::VERSION,
        "the database was brought to this version");
    Ok(())
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(failed("look for", path))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Directory {
        what,
        path: path.to_owned(),
        source,
    }
}
