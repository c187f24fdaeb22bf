//! Compiled engines on disk: compile once, load in a fraction of a millisecond.
//!
//! Compiled code is run as it is read, so only what this host wrote may be read. Each file carries a
//! MAC under a key that only this user can read, in a directory that only this user can enter; a file
//! that fails it is compiled anew, and so is one made by another wasmtime or for another processor,
//! whose name differs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::{LoadError, RuntimeError};

const KEY_FILE: &str = "key";
const SUFFIX: &str = "cwasm";
const MAC_LEN: usize = 32;
/// Files that are kept; the oldest go first.
const FILES_MAX: usize = 200;

/// The private directory of compiled engines.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    /// Of wasmtime, its settings and the processor.
    compatibility: u64,
}

impl Cache {
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Self, RuntimeError> {
        let failed = |source| RuntimeError::Cache {
            path: dir.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed)?;
        let mode = fs::metadata(dir).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(RuntimeError::CacheOpen {
                path: dir.to_owned(),
                hint: format!("its mode is {:03o}; `chmod 700` it", mode & 0o777),
            });
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir: dir.to_owned(),
            key: key(&dir.join(KEY_FILE)).map_err(failed)?,
            compatibility: hasher.finish(),
        })
    }

    /// The compiled component: from the cache, or compiled and put there.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        wasm: &[u8],
        hash: &str,
    ) -> Result<Component, LoadError> {
        let name = format!("{hash}-{:016x}.{SUFFIX}", self.compatibility);
        let path = self.dir.join(&name);
        if let Some(component) = self.read(engine, &path, &name) {
            return Ok(component);
        }
        let component = Component::new(engine, wasm).map_err(|error| {
            LoadError::Compile(crate::host::one_line(&format!("{error:#}"), 1000))
        })?;
        let stored = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| self.write(&path, &name, &code));
        // A cache that cannot be written costs time, nothing else.
        if let Err(error) = stored {
            tracing::warn!(%error, path = %path.display(), "cannot cache a compiled engine");
        }
        Ok(component)
    }

    fn read(&self, engine: &Engine, path: &Path, name: &str) -> Option<Component> {
        let file = fs::read(path).ok()?;
        let (mac, code) = file.split_at_checked(MAC_LEN)?;
        let expected = self.mac(name, code);
        if expected != <[u8; MAC_LEN]>::try_from(mac).ok()? {
            tracing::warn!(path = %path.display(), "a compiled engine was changed: compiling it anew");
            return None;
        }
        // SAFETY: `deserialize` must be given what `Component::serialize` made for this engine's
        // settings. These very bytes, already in memory, passed a MAC under a key that only this user
        // can read (0600 in a 0700 directory), and only `write` below makes such MACs, over the output
        // of `serialize`. The MAC covers the file's name and with it wasmtime's compatibility hash.
        // blake3's comparison is constant in time.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect_err(|error| tracing::warn!(%error, "cannot load a compiled engine"))
            .ok()
    }

    fn write(&self, path: &Path, name: &str, code: &[u8]) -> io::Result<()> {
        let temporary = self.dir.join(format!("{name}.{}.tmp", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(self.mac(name, code).as_bytes())?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&temporary, path)?;
        self.prune();
        Ok(())
    }

    fn mac(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }

    /// Removes the oldest files beyond the limit: engines come and go, and each has a new hash.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files: Vec<_> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == SUFFIX)
            })
            .filter_map(|path| Some((fs::metadata(&path).ok()?.mtime(), path)))
            .collect();
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(FILES_MAX)) {
            // Somebody else may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}

/// Reads the key, or makes one. A key that others can read is no key: it is made anew, and with it
/// all files.
fn key(path: &Path) -> io::Result<[u8; 32]> {
    let private = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o077 == 0);
    if private && let Ok(key) = <[u8; 32]>::try_from(fs::read(path)?) {
        return Ok(key);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match opened {
        Ok(mut file) => file.write_all(&key).map(|()| key),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component there is.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Place {
        _dir: tempfile::TempDir,
        path: PathBuf,
        engine: Engine,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        Place {
            _dir: dir,
            path,
            engine: Engine::default(),
        }
    }

    fn file(path: &Path) -> PathBuf {
        let mut files = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files
            .find(|path| path.extension().is_some_and(|e| e == SUFFIX))
            .unwrap()
    }

    #[test]
    fn what_was_compiled_is_loaded_again() {
        let place = place();
        let cache = Cache::open(&place.path, &place.engine).unwrap();
        cache.component(&place.engine, EMPTY, "h").unwrap();
        let cached = file(&place.path);
        let again = Cache::open(&place.path, &place.engine).unwrap();
        let name = cached.file_name().unwrap().to_str().unwrap();
        assert!(again.read(&place.engine, &cached, name).is_some());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.path), 0o700);
        assert_eq!(mode(&cached), 0o600);
        assert_eq!(mode(&place.path.join(KEY_FILE)), 0o600);
    }

    #[test]
    fn a_changed_file_is_compiled_anew() {
        let place = place();
        let cache = Cache::open(&place.path, &place.engine).unwrap();
        cache.component(&place.engine, EMPTY, "h").unwrap();
        let cached = file(&place.path);
        let name = cached.file_name().unwrap().to_str().unwrap().to_owned();
        let good = fs::read(&cached).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let truncated = &good[..good.len() / 2];
        for bad in [flipped.as_slice(), truncated, b"", b"short"] {
            fs::write(&cached, bad).unwrap();
            assert!(cache.read(&place.engine, &cached, &name).is_none());
            cache.component(&place.engine, EMPTY, "h").unwrap();
            assert_eq!(fs::read(&cached).unwrap().len(), good.len());
        }
        // A good file under another name is not what that name says.
        let moved = place.path.join(format!("x-{name}"));
        fs::copy(&cached, &moved).unwrap();
        assert!(
            cache
                .read(&place.engine, &moved, &format!("x-{name}"))
                .is_none()
        );
    }

    #[test]
    fn a_key_that_others_can_read_is_replaced() {
        let place = place();
        let first = Cache::open(&place.path, &place.engine).unwrap().key;
        assert_eq!(Cache::open(&place.path, &place.engine).unwrap().key, first);
        let path = place.path.join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_ne!(Cache::open(&place.path, &place.engine).unwrap().key, first);
        fs::write(&path, "short").unwrap();
        assert_ne!(Cache::open(&place.path, &place.engine).unwrap().key, first);
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let place = place();
        fs::create_dir(&place.path).unwrap();
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(&place.path, &place.engine).err().unwrap();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
}
