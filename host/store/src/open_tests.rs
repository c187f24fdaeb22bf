use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::store_tests::{document, open, opening};
use crate::{Commit, OpenError, Store, Table, schema};

#[test]
fn a_second_store_in_one_directory_is_refused_with_the_process_id() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let error = Store::open(dir.path(), &opening()).unwrap_err();
    let OpenError::InUse { pid, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(store);
    open(dir.path());
}

#[test]
fn nobody_else_may_read_the_files() {
    let base = TempDir::new().unwrap();
    let dir = base.path().join("data");
    let (_store, _) = open(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "enginehouse.db",
            "enginehouse.db-shm",
            "enginehouse.db-wal",
            "lock"
        ]
    );
}

/// A database of some size, closed, so that all of it is in its one file.
fn filled(dir: &Path) -> Vec<u8> {
    let (store, loaded) = open(dir);
    for n in 0..50 {
        store.commit_blocking(Commit::new(loaded.fence).put(
            Table::Node,
            n.to_string(),
            document(&"x".repeat(1000)),
        ));
    }
    drop(store);
    fs::read(dir.join("enginehouse.db")).unwrap()
}

#[test]
fn a_truncated_or_foreign_file_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let whole = filled(dir.path());
    let path = dir.path().join("enginehouse.db");
    assert!(whole.len() > 50_000);
    let mut wrong: Vec<Vec<u8>> = [0, 1, 99, 100, 1000, 4096, 8192, 40_960, whole.len() - 1]
        .into_iter()
        .map(|length| whole[..length].to_vec())
        .collect();
    wrong.push(b"no database at all, but long enough to be one".repeat(200));
    let mut scribbled = whole.clone();
    scribbled[4096 * 3..].fill(0xaa);
    wrong.push(scribbled);
    for bytes in wrong {
        fs::write(&path, &bytes).unwrap();
        let error = Store::open(dir.path(), &opening()).unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{}: {error:?}",
            bytes.len()
        );
        assert!(
            error.hint().unwrap().contains("enginehouse restore"),
            "{error}"
        );
        assert!(fs::read(&path).unwrap() == bytes, "{}", bytes.len());
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(dir.path()).1.nodes.len(), 50);
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    let connection = rusqlite::Connection::open(dir.path().join("enginehouse.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Store::open(dir.path(), &opening()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 99,
                known: schema::VERSION,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_log_without_its_database_is_no_new_installation() {
    let dir = TempDir::new().unwrap();
    filled(dir.path());
    fs::rename(
        dir.path().join("enginehouse.db"),
        dir.path().join("enginehouse.db-wal"),
    )
    .unwrap();
    let error = Store::open(dir.path(), &opening()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
}

#[test]
fn a_creation_that_was_interrupted_begins_again() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("enginehouse.db.new"), b"half").unwrap();
    assert!(open(dir.path()).1.first);
    assert!(!dir.path().join("enginehouse.db.new").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    let below = dir.path().join("file/data");
    let error = Store::open(&below, &opening()).unwrap_err();
    assert!(error.to_string().ends_with("/file/data"), "{error}");
}
