//! Where a key is on disk, and how it is exchanged so that no kill loses one.
//!
//! **The exchange.** The new key is written beside the old one (`secret.key.next`) and is on disk
//! before anything is encrypted with it. Then all secrets are encrypted anew in one commit. Then the
//! new file takes the name of the old one. Killed at any moment, the files there hold the key of what
//! is in the database: a start reads both, sees which one the secrets were made with, and finishes
//! the exchange or drops it ([`KeyFile::finish`], [`KeyFile::drop_next`]).
//!
//! **A key from elsewhere** (a systemd credential, a file that another program manages) is only read.
//! Its predecessor may stand beside it with `.old` at its end; what was made with that one is
//! encrypted anew at the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::key::{KeyError, SecretKey};
use crate::sealed::RandomError;

/// Bytes that a key's file may have; a key has less than a hundred.
const LONGEST: u64 = 4096;

/// A file with a key.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// Whether the host makes and exchanges it.
    ours: bool,
    /// Whether others than the owner must not read it.
    private: bool,
}

/// A key cannot be read or written.
#[derive(Debug, Error)]
pub enum KeyFileError {
    #[error("cannot {what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} can be read by others than its owner (mode {mode:04o})", .path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    #[error("{} holds no key", .path.display())]
    Form {
        path: PathBuf,
        #[source]
        source: KeyError,
    },
    #[error("{} is larger than a key", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl KeyFile {
    /// `secret.key` of a data directory: made and exchanged by the host.
    #[must_use]
    pub fn of_data_dir(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("secret.key"),
            ours: true,
            private: true,
        }
    }

    /// A file that an operator names: only read.
    #[must_use]
    pub fn given(path: PathBuf) -> Self {
        Self {
            path,
            ours: false,
            private: true,
        }
    }

    /// `enginehouse.key` of systemd's credentials directory: only read. Who may read it is systemd's
    /// to say: it gives the service's user access by an ACL, which shows as a mode for a group.
    #[must_use]
    pub fn credential(directory: &Path) -> Self {
        Self {
            path: directory.join("enginehouse.key"),
            ours: false,
            private: false,
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the host makes and exchanges it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// The key; `None` when there is no such file.
    ///
    /// # Errors
    /// When others can read the file, or there is no key in it.
    pub fn read(&self) -> Result<Option<SecretKey>, KeyFileError> {
        read(&self.path, self.private)
    }

    /// The key before or after this one, where one is kept: see the module's page.
    ///
    /// # Errors
    /// As [`KeyFile::read`].
    pub fn read_beside(&self) -> Result<Option<SecretKey>, KeyFileError> {
        read(&self.beside(), self.private)
    }

    /// Makes a key where there is none yet.
    ///
    /// # Errors
    /// When the file is there, or cannot be written.
    pub fn make(&self) -> Result<SecretKey, KeyFileError> {
        let key = SecretKey::random()?;
        // Under its name only when it is whole: an empty key file would look like a lost key.
        let unfinished = with_end(&self.path, ".new");
        write(&unfinished, &key)?;
        let linked = fs::hard_link(&unfinished, &self.path);
        let _ = fs::remove_file(&unfinished);
        match linked {
            Ok(()) => sync_dir(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyFileError::Exists(self.path.clone()));
            }
            Err(source) => return Err(failed("make", &self.path)(source)),
        }
        Ok(key)
    }

    /// Begins an exchange: the next key, on disk beside the present one. One that is there already,
    /// from an exchange that did not come to its end, is taken.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn next(&self) -> Result<SecretKey, KeyFileError> {
        if let Some(begun) = self.read_beside()? {
            return Ok(begun);
        }
        Self {
            path: self.beside(),
            ours: true,
            private: true,
        }
        .make()
    }

    /// Ends an exchange: the next key takes the present one's place.
    ///
    /// # Errors
    /// When it cannot be renamed; both are there then.
    pub fn finish(&self) -> Result<(), KeyFileError> {
        let next = self.beside();
        fs::rename(&next, &self.path).map_err(failed("rename", &next))?;
        sync_dir(&self.path)
    }

    /// Drops an exchange that encrypted nothing.
    ///
    /// # Errors
    /// When the next key cannot be removed.
    pub fn drop_next(&self) -> Result<(), KeyFileError> {
        let next = self.beside();
        match fs::remove_file(&next) {
            Ok(()) => sync_dir(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("remove", &next)(source)),
        }
    }

    fn beside(&self) -> PathBuf {
        with_end(&self.path, if self.ours { ".next" } else { ".old" })
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn read(path: &Path, private: bool) -> Result<Option<SecretKey>, KeyFileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path)(source)),
    };
    let metadata = file.metadata().map_err(failed("look at", path))?;
    if !metadata.is_file() {
        return Err(KeyFileError::NoFile(path.to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if private && mode & 0o077 != 0 {
        return Err(KeyFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    // Room for all of it: a text that grows leaves copies that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(failed("read", path))?;
    if text.len() as u64 > LONGEST {
        return Err(KeyFileError::TooLarge(path.to_owned()));
    }
    match text.parse() {
        Ok(key) => Ok(Some(key)),
        Err(source) => Err(KeyFileError::Form {
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    // What a kill has left of an earlier attempt.
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed("remove", path)(source)),
    }
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(key.text().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(failed("write", path))
}

fn sync_dir(path: &Path) -> Result<(), KeyFileError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", dir))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> KeyFileError + 'a {
    move |source| KeyFileError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::of_data_dir(dir.path());
        assert!(file.read().unwrap().is_none());
        let made = file.make().unwrap();
        assert_eq!(file.read().unwrap().unwrap().id(), made.id());
        let found = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(found & 0o7777, 0o600);
        assert!(matches!(file.make(), Err(KeyFileError::Exists(_))));
        assert_eq!(file.read().unwrap().unwrap().id(), made.id());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_but_a_credential_is_systemds_business() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::of_data_dir(dir.path());
        let made = file.make().unwrap();
        for wrong in [0o640, 0o604, 0o620] {
            mode(file.path(), wrong);
            let error = file.read().unwrap_err();
            assert!(matches!(error, KeyFileError::Open { mode, .. } if mode == wrong));
        }
        fs::copy(file.path(), dir.path().join("enginehouse.key")).unwrap();
        let credential = KeyFile::credential(dir.path());
        mode(credential.path(), 0o440);
        assert_eq!(credential.read().unwrap().unwrap().id(), made.id());
        assert!(!credential.is_ours());
    }

    #[test]
    fn what_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for content in [
            &b""[..],
            b"hunter2",
            b"\xff\xfe",
            "x".repeat(5000).as_bytes(),
        ] {
            let file = KeyFile::given(dir.path().join("k"));
            fs::write(file.path(), content).unwrap();
            mode(file.path(), 0o600);
            let error = file.read().unwrap_err().to_string();
            assert!(
                error.contains("/k") && !error.contains("hunter2"),
                "{error}"
            );
        }
        let error = KeyFile::given(dir.path().to_owned()).read().unwrap_err();
        assert!(matches!(error, KeyFileError::NoFile(_)), "{error}");
    }

    #[test]
    fn an_exchange_can_be_finished_or_dropped_wherever_it_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::of_data_dir(dir.path());
        let first = file.make().unwrap();
        let next = file.next().unwrap();
        assert_ne!(first.id(), next.id());
        // Asked again after a kill, it is the same one: something may be encrypted with it already.
        assert_eq!(file.next().unwrap().id(), next.id());
        assert_eq!(file.read().unwrap().unwrap().id(), first.id());
        file.finish().unwrap();
        assert_eq!(file.read().unwrap().unwrap().id(), next.id());
        assert!(file.read_beside().unwrap().is_none());

        file.next().unwrap();
        file.drop_next().unwrap();
        file.drop_next().unwrap();
        assert!(file.read_beside().unwrap().is_none());
        assert_eq!(file.read().unwrap().unwrap().id(), next.id());

        // Half a file under the name of an attempt is overwritten, never read.
        fs::write(dir.path().join("secret.key.next.new"), "enginehouse-ke").unwrap();
        assert!(file.read_beside().unwrap().is_none());
        file.next().unwrap();
    }
}
