//! A backup becomes the database of a data directory.
//!
//! **What changes on the way.** The copy gets a new epoch, so cursors and fences of the time before
//! are known to be of another life. Numbers of operations go on [`NUMBERS_SKIPPED`] above the highest
//! one that is known, from the backup and from the database that is replaced: numbers that were given
//! after the backup was made are not given again. And it gets a row of the caller's, in the same
//! transaction, which says that it was restored, and an entry of the audit log, which goes on from the
//! last one in the backup and names the newest one that is lost with the replaced database.
//!
//! **What is there already** is never lost: it is moved, with its log, into a directory of its own.
//!
//! **When it is interrupted.** The copy is made and checked under another name. Only then it is
//! renamed to [`RESTORED`], the old files are moved, and it gets its own name. While a file
//! [`RESTORED`] is there, the directory is not opened: between the two there is no database of the
//! right name, and a new one must not be made. Another restore goes on from there.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use enginehouse_audit::{Action, Head};
use enginehouse_model::{InstallationId, OperationId, Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use thiserror::Error;

use crate::apply::ApplyError;
use crate::open::{self, DATABASE, OpenError, RESTORED};
use crate::{AuditRow, Document, DocumentError, Epoch, ReadError, Table, audit, backup, load};

/// How far numbers of operations skip ahead: more than any installation orders between two backups.
pub const NUMBERS_SKIPPED: u64 = 1_000_000;

/// A copy that is not complete yet.
const UNFINISHED: &str = "enginehouse.db.restoring";
/// Of the directories with what was there before.
const ASIDE: &str = "before-restore-";

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub installation: InstallationId,
    /// The new one.
    pub epoch: Epoch,
    /// The highest number that an operation has in the backup; 0: there is none.
    pub last_operation: OperationId,
    /// The number of the next operation.
    pub next_operation: OperationId,
    /// Operations in the backup that have not ended.
    pub unfinished: u64,
    /// The newest entry of the audit log in the backup.
    pub audited: Head,
    /// The same of the database that is replaced, where that is of the same installation.
    pub audited_before: Option<Head>,
    /// Where the database is now that was there before.
    pub aside: Option<PathBuf>,
}

/// What a restored database says of the restore.
#[derive(Clone, Debug)]
pub struct RestoreMark {
    pub at: Timestamp,
    /// For the audit log.
    pub who: String,
    /// A row of the table of settings.
    pub key: String,
    pub document: Document,
    /// Rows of the settings whose keys begin so are taken over from the database that is replaced,
    /// where that is of the same installation: what they say holds for it all the same.
    pub kept: String,
}

/// Why a backup was not restored. The directory's own database is as it was.
#[derive(Debug, Error)]
pub enum RestoreError {
    #[error(transparent)]
    Directory(#[from] OpenError),
    #[error("cannot {what} {}", .path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no backup of Enginehouse, or it is damaged: {detail}", .path.display())]
    NoBackup { path: PathBuf, detail: String },
    #[error("{} is the database of a host, not a backup: {} belongs to it", .path.display(), .log.display())]
    InUse { path: PathBuf, log: PathBuf },
    #[error("{} was written by a newer Enginehouse (schema {found}, this one knows up to {known})", .path.display())]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("no space is left for {}", .0.display())]
    Full(PathBuf),
    #[error("that it was restored cannot be noted")]
    Mark(#[source] DocumentError),
    #[error("cannot make {} of the backup", .path.display())]
    Database {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

impl RestoreError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directory(error) => error.hint(),
            Self::File { .. } | Self::Database { .. } | Self::Mark(_) => None,
            Self::NoBackup { .. } => {
                Some("name a file that `enginehouse backup` made; try an older one".to_owned())
            }
            Self::InUse { .. } => Some(
                "put both into a directory of their own and serve that, or make a backup of it with `enginehouse backup`"
                    .to_owned(),
            ),
            Self::Newer { .. } => Some("restore it with that version".to_owned()),
            Self::Full(_) => Some(
                "free some space in the data directory's file system: the backup is copied while the present database stays"
                    .to_owned(),
            ),
        }
    }
}

/// Makes the backup in the file `from` the database of `dir`, which nothing may have open. `mark` says
/// what tells that it was restored.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(
    dir: &Path,
    from: &Path,
    mark: impl FnOnce(&Restored) -> Result<RestoreMark, DocumentError>,
) -> Result<Restored, RestoreError> {
    // Before anything is made: a name that was mistyped leaves no directory behind.
    look_at(from)?;
    open::make_dir(dir)?;
    let _lock = open::lock(dir)?;
    let unfinished = dir.join(UNFINISHED);
    let prepared = copy(from, &unfinished).and_then(|()| prepare(dir, &unfinished, from, mark));
    let mut restored = match prepared {
        Ok(restored) => restored,
        Err(error) => {
            for suffix in ["", "-journal", "-wal", "-shm"] {
                let _ = fs::remove_file(dir.join(format!("{UNFINISHED}{suffix}")));
            }
            return Err(error);
        }
    };
    restored.aside = exchange(dir, &unfinished)?;
    Ok(restored)
}

fn look_at(from: &Path) -> Result<(), RestoreError> {
    let found = fs::metadata(from).map_err(failed("read", from))?;
    if !found.is_file() {
        return Err(no_backup(from, "it is no file".to_owned()));
    }
    let mut log = from.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    match fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(RestoreError::InUse {
            path: from.to_owned(),
            log,
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), RestoreError> {
    let mut source = File::open(from).map_err(failed("read", from))?;
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(failed("make", to))?;
    let copied = io::copy(&mut source, &mut target).and_then(|_| target.sync_all());
    copied.map_err(failed("write", to))
}

/// Checks the copy and makes it what it is to become.
fn prepare(
    dir: &Path,
    copy: &Path,
    from: &Path,
    mark: impl FnOnce(&Restored) -> Result<RestoreMark, DocumentError>,
) -> Result<Restored, RestoreError> {
    let of_copy = |error| match error {
        OpenError::Damaged { detail, .. } => no_backup(from, detail),
        OpenError::Newer { found, known, .. } => RestoreError::Newer {
            path: from.to_owned(),
            found,
            known,
        },
        other => RestoreError::Directory(other),
    };
    let database = |source| of_database(copy, from, source);
    open::check_length(copy).map_err(of_copy)?;
    let connection = Connection::open_with_flags(
        copy,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(database)?;
    let found = open::check(&connection, copy).map_err(of_copy)?;
    if let Some(fault) = fault(&connection).map_err(database)? {
        return Err(no_backup(from, fault));
    }
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .map_err(database)?;
    open::migrate(&connection, copy, found).map_err(of_copy)?;
    let read = |error| match error {
        ReadError::Database(source) => database(source),
        ReadError::Value { .. } | ReadError::Closed => no_backup(from, error.to_string()),
    };
    let (installation, epoch, last_operation) = load::counters(&connection).map_err(read)?;
    // That it can be loaded whole is found out now, not when the host is started.
    let loaded = load::load(&connection, 1, false).map_err(read)?;
    let audited = audit::newest(&connection).map_err(read)?;
    let mut audited_before = None;
    let mut is_ours = false;
    let (mut newest_epoch, mut newest_number) = (epoch, last_operation);
    if let Some((present, epoch, number, head)) = present(dir)
        && present == installation
    {
        is_ours = true;
        newest_epoch = newest_epoch.max(epoch);
        newest_number = newest_number.max(number);
        audited_before = head;
    }
    let skipped = newest_number.0.saturating_add(NUMBERS_SKIPPED);
    let restored = Restored {
        installation,
        epoch: Epoch(newest_epoch.0.saturating_add(1)),
        last_operation,
        next_operation: OperationId(skipped.saturating_add(1)),
        unfinished: loaded.unfinished.len() as u64,
        audited,
        audited_before,
        aside: None,
    };
    let mark = mark(&restored).map_err(RestoreError::Mark)?;
    let row = audit_row(&restored, &mark);
    let kept = match is_ours {
        true => kept(dir, &mark.kept),
        false => Vec::new(),
    };
    let written = || {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute(
            "UPDATE installation SET epoch = ?1",
            params![number(restored.epoch.0)],
        )?;
        transaction.execute("DELETE FROM sqlite_sequence WHERE name = 'operation'", [])?;
        transaction.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('operation', ?1)",
            params![number(skipped)],
        )?;
        transaction.execute(
            &format!(
                "INSERT OR REPLACE INTO {} (key, revision, version, body) VALUES (?1, 1, ?2, ?3)",
                Table::Meta.name()
            ),
            params![mark.key, mark.document.version, mark.document.body],
        )?;
        for (key, version, body) in &kept {
            transaction.execute(
                &format!(
                    "INSERT OR IGNORE INTO {} (key, revision, version, body) VALUES (?1, 1, ?2, ?3)",
                    Table::Meta.name()
                ),
                params![key, version, body],
            )?;
        }
        audit::append(&transaction, restored.epoch, &row).map_err(|error| match error {
            ApplyError::Database(error) => error,
            // A time or a number beyond what a database holds.
            ApplyError::Refused(_) => rusqlite::Error::InvalidQuery,
        })?;
        transaction.commit()
    };
    written().map_err(database)?;
    connection.close().map_err(|(_, source)| database(source))?;
    Ok(restored)
}

/// The entry of the audit log that tells of it.
fn audit_row(restored: &Restored, mark: &RestoreMark) -> AuditRow {
    let mut detail = BTreeMap::from([
        ("backup_ends_with".to_owned(), restored.audited.to_string()),
        (
            "last_operation".to_owned(),
            restored.last_operation.to_string(),
        ),
        (
            "next_operation".to_owned(),
            restored.next_operation.to_string(),
        ),
    ]);
    if let Some(head) = restored.audited_before {
        detail.insert("replaced_ended_with".to_owned(), head.to_string());
    }
    AuditRow {
        at: mark.at,
        who: mark.who.clone(),
        action: Action::Restore,
        node: None,
        path: None,
        operation: None,
        detail,
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The first thing that is wrong with any of its pages and indices.
fn fault(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let first: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((first != "ok").then_some(first))
}

/// What the database says that is there now, where it can be asked.
fn present(dir: &Path) -> Option<(InstallationId, Epoch, OperationId, Option<Head>)> {
    let path = dir.join(DATABASE);
    if !path.exists() {
        return None;
    }
    let counters = backup::read_only(&path)
        .map_err(ReadError::from)
        .and_then(|connection| {
            let (installation, epoch, number) = load::counters(&connection)?;
            // One of a version before has no such log.
            let head = audit::newest(&connection).ok();
            Ok((installation, epoch, number, head))
        });
    // It is damaged or another's: that is why there is a restore.
    counters.ok()
}

/// Rows of the settings of the database that is there now: key, version and body. None where it cannot be
/// read: that is why there is a restore.
fn kept(dir: &Path, prefix: &str) -> Vec<(String, i64, String)> {
    let rows = backup::read_only(&dir.join(DATABASE)).and_then(|connection| {
        let mut statement = connection.prepare(&format!(
            "SELECT key, version, body FROM {} WHERE substr(key, 1, length(?1)) = ?1",
            Table::Meta.name()
        ))?;
        let rows = statement.query_map(params![prefix], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        rows.collect()
    });
    rows.unwrap_or_default()
}

/// The old files go aside, the new one gets its name.
fn exchange(dir: &Path, prepared: &Path) -> Result<Option<PathBuf>, RestoreError> {
    let restored = dir.join(RESTORED);
    let goes_on = restored.exists();
    fs::rename(prepared, &restored).map_err(failed("rename", prepared))?;
    sync(dir)?;
    let mut aside = None;
    // First the database, then its log: a log alone is known to be the rest of something.
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{DATABASE}{suffix}");
        let old = dir.join(&name);
        match fs::symlink_metadata(&old) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("look at", &old)(error)),
        }
        let directory = match &aside {
            Some(directory) => directory,
            None => aside.insert(make_aside(dir, goes_on)?),
        };
        fs::rename(&old, directory.join(&name)).map_err(failed("move", &old))?;
        sync(directory)?;
        sync(dir)?;
    }
    let path = dir.join(DATABASE);
    fs::rename(&restored, &path).map_err(failed("rename", &restored))?;
    sync(dir)?;
    Ok(aside)
}

/// The next directory of that name; the last one, where an earlier restore was interrupted and its
/// database is there already.
fn make_aside(dir: &Path, goes_on: bool) -> Result<PathBuf, RestoreError> {
    let named = |at: u32| dir.join(format!("{ASIDE}{at}"));
    let free = (1..=u32::MAX)
        .find(|at| fs::symlink_metadata(named(*at)).is_err())
        .unwrap_or(u32::MAX);
    if goes_on && free > 1 && !dir.join(DATABASE).exists() {
        return Ok(named(free - 1));
    }
    let path = named(free);
    DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(failed("make", &path))?;
    Ok(path)
}

fn sync(dir: &Path) -> Result<(), RestoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", dir))
}

fn no_backup(from: &Path, detail: String) -> RestoreError {
    RestoreError::NoBackup {
        path: from.to_owned(),
        detail,
    }
}

fn of_database(copy: &Path, from: &Path, source: rusqlite::Error) -> RestoreError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => RestoreError::Full(copy.to_owned()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => {
            no_backup(from, source.to_string())
        }
        Some(_) => RestoreError::Database {
            path: copy.to_owned(),
            source,
        },
    }
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RestoreError + 'a {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull => RestoreError::Full(path.to_owned()),
        _ => RestoreError::File {
            what,
            path: path.to_owned(),
            source,
        },
    }
}
