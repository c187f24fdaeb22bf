use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use enginehouse_model::{OperationId, Timestamp};
use tempfile::TempDir;

use crate::store_tests::{document, line, open, opening, operation};
use crate::*;

fn mark(_: &Restored) -> Result<RestoreMark, DocumentError> {
    Ok(RestoreMark {
        at: Timestamp(77),
        who: "operator".to_owned(),
        key: "mark".to_owned(),
        document: document("it was restored"),
        kept: "kept/".to_owned(),
    })
}

/// A directory with operations 1 to `numbers`, of which the last has not ended.
async fn filled(dir: &Path, numbers: u64) -> (Store, Loaded) {
    let (store, loaded) = open(dir);
    for number in 1..=numbers {
        let ended = (number < numbers).then_some(number);
        store
            .commit(
                Commit::new(loaded.fence)
                    .operation(operation(number, "pending", "a", ended))
                    .journal(line(number, "entry")),
            )
            .await
            .unwrap();
    }
    (store, loaded)
}

/// A backup of such a directory, with what is in it.
async fn backup(dir: &Path, numbers: u64) -> PathBuf {
    let (store, _) = filled(&dir.join("original"), numbers).await;
    let file = dir.join("backup");
    store.back_up(file.clone()).await.unwrap();
    file
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_has_all_that_was_committed_and_nothing_later() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = filled(dir.path(), 30).await;
    let file = dir.path().join("backup");
    let backed_up = store.back_up(file.clone()).await.unwrap();
    assert_eq!(backed_up.last_operation, OperationId(30));
    assert_eq!(backed_up.installation, loaded.installation);
    let found = fs::metadata(&file).unwrap();
    assert_eq!(found.len(), backed_up.bytes);
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    // The store goes on being written to.
    let later = Commit::new(loaded.fence).operation(operation(31, "pending", "a", None));
    store.commit(later).await.unwrap();

    let other = dir.path().join("other");
    let restored = restore(&other, &file, mark).unwrap();
    assert_eq!(restored.last_operation, OperationId(30));
    assert_eq!((restored.unfinished, restored.aside), (1, None));
    let (store, loaded) = open(&other);
    assert!(!loaded.first);
    assert_eq!(loaded.unfinished.len(), 1);
    assert_eq!(loaded.unfinished[0].operation.id, OperationId(30));
    assert_eq!(loaded.unfinished[0].journal.len(), 1);
    assert_eq!(loaded.meta.last().unwrap().key, "mark");
    assert!(store.operation(OperationId(31)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_that_is_there_is_not_written_to() {
    let dir = TempDir::new().unwrap();
    let (store, _) = filled(dir.path(), 1).await;
    let file = dir.path().join("backup");
    fs::write(&file, b"something").unwrap();
    let error = store.back_up(file.clone()).await.unwrap_err();
    assert!(matches!(error, BackupError::Write { .. }), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), b"something");
}

#[tokio::test]
async fn after_a_restore_no_number_is_given_again_and_the_epoch_is_new() {
    let dir = TempDir::new().unwrap();
    let file = backup(dir.path(), 3).await;
    let target = dir.path().join("original");
    // What was acknowledged after the backup.
    let (store, loaded) = open(&target);
    let later = Commit::new(loaded.fence).operation(operation(4, "pending", "a", None));
    store.commit(later).await.unwrap();
    drop(store);

    let restored = restore(&target, &file, mark).unwrap();
    assert_eq!(restored.epoch, Epoch(2));
    assert_eq!(
        restored.next_operation,
        OperationId(4 + NUMBERS_SKIPPED + 1)
    );
    let (store, loaded) = open(&target);
    assert_eq!(loaded.fence.epoch, Epoch(2));
    assert_eq!(loaded.last_operation.0 + 1, restored.next_operation.0);
    assert!(store.operation(OperationId(4)).await.unwrap().is_none());
    drop(store);
    // What was there is kept whole, with what it had in its log.
    let aside = restored.aside.unwrap();
    assert_eq!(aside, target.join("before-restore-1"));
    let (store, _) = open(&aside);
    assert!(store.operation(OperationId(4)).await.unwrap().is_some());
    drop(store);
    // The same backup again: still no number of the life before, and another directory.
    let again = restore(&target, &file, mark).unwrap();
    assert_eq!(again.epoch, Epoch(3));
    assert!(again.next_operation > restored.next_operation);
    assert_eq!(again.aside.unwrap(), target.join("before-restore-2"));
}

#[tokio::test]
async fn settings_that_hold_whatever_is_restored_are_taken_over_from_what_is_replaced() {
    let dir = TempDir::new().unwrap();
    let file = backup(dir.path(), 3).await;
    let target = dir.path().join("original");
    let put = |key: &str, text: &str| Write::Put {
        table: Table::Meta,
        key: key.to_owned(),
        document: document(text),
    };
    let (store, loaded) = open(&target);
    let mut later = Commit::new(loaded.fence);
    later.writes = vec![put("kept/1", "later"), put("other/1", "later")];
    store.commit(later).await.unwrap();
    drop(store);
    restore(&target, &file, mark).unwrap();
    let (store, loaded) = open(&target);
    let keys: Vec<&str> = loaded.meta.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["kept/1", "mark"]);
    drop(store);
    // Into another directory there is nothing to take over.
    let other = dir.path().join("new");
    restore(&other, &file, mark).unwrap();
    let (_store, loaded) = open(&other);
    let keys: Vec<&str> = loaded.meta.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["mark"]);
}

#[tokio::test]
async fn the_log_of_a_host_that_was_killed_goes_aside_with_its_database() {
    let dir = TempDir::new().unwrap();
    let file = backup(dir.path(), 3).await;
    let target = dir.path().join("target");
    let (_store, _) = filled(&dir.path().join("killed"), 2).await;
    fs::create_dir(&target).unwrap();
    for name in ["enginehouse.db", "enginehouse.db-wal"] {
        fs::copy(dir.path().join("killed").join(name), target.join(name)).unwrap();
    }
    assert!(
        fs::metadata(target.join("enginehouse.db-wal"))
            .unwrap()
            .len()
            > 0
    );
    let restored = restore(&target, &file, mark).unwrap();
    let (store, loaded) = open(&restored.aside.unwrap());
    assert_eq!(loaded.last_operation, OperationId(2));
    drop(store);
    let (_store, loaded) = open(&target);
    assert_eq!(loaded.unfinished.len(), 1);
}

#[tokio::test]
async fn what_is_no_healthy_backup_is_refused_and_the_database_stays() {
    let dir = TempDir::new().unwrap();
    let good = fs::read(backup(dir.path(), 40).await).unwrap();
    let target = dir.path().join("target");
    drop(filled(&target, 2).await);
    let before = fs::read(target.join("enginehouse.db")).unwrap();
    let mut scribbled = good.clone();
    let middle = scribbled.len() / 2;
    scribbled[middle..middle + 4096].fill(0xaa);
    let wrong: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("text", b"no database at all ".repeat(500)),
        ("cut", good[..good.len() - 4096].to_vec()),
        ("cut inside of a page", good[..good.len() - 1].to_vec()),
        ("scribbled", scribbled),
    ];
    for (title, bytes) in wrong {
        let file = dir.path().join("wrong");
        fs::write(&file, bytes).unwrap();
        let error = restore(&target, &file, mark).unwrap_err();
        assert!(
            matches!(&error, RestoreError::NoBackup { path, .. } if *path == file),
            "{title}: {error:?}"
        );
        assert!(error.hint().is_some());
        assert!(
            fs::read(target.join("enginehouse.db")).unwrap() == before,
            "{title}"
        );
        assert_eq!(names(&target), ["enginehouse.db", "lock"], "{title}");
    }
    let missing = restore(&dir.path().join("new"), &dir.path().join("none"), mark);
    assert!(
        matches!(missing, Err(RestoreError::File { .. })),
        "{missing:?}"
    );
    assert!(!dir.path().join("new").exists());
}

#[tokio::test]
async fn a_backup_of_a_newer_version_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = backup(dir.path(), 1).await;
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = restore(&dir.path().join("target"), &file, mark).unwrap_err();
    assert!(
        matches!(&error, RestoreError::Newer { path, found: 99, .. } if *path == file),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_directory_in_use_and_a_database_in_use_are_refused() {
    let dir = TempDir::new().unwrap();
    let file = backup(dir.path(), 1).await;
    let target = dir.path().join("target");
    let (store, _) = filled(&target, 1).await;
    let error = restore(&target, &file, mark).unwrap_err();
    assert!(
        matches!(error, RestoreError::Directory(OpenError::InUse { .. })),
        "{error:?}"
    );
    let error = restore(
        &dir.path().join("new"),
        &target.join("enginehouse.db"),
        mark,
    )
    .unwrap_err();
    assert!(matches!(error, RestoreError::InUse { .. }), "{error:?}");
    drop(store);
}

#[tokio::test]
async fn an_interrupted_restore_is_no_new_installation_and_goes_on() {
    let dir = TempDir::new().unwrap();
    let file = backup(dir.path(), 3).await;
    let target = dir.path().join("target");
    drop(filled(&target, 2).await);
    // As it is when the host ends between the two renames.
    fs::create_dir(target.join("before-restore-1")).unwrap();
    fs::rename(
        target.join("enginehouse.db"),
        target.join("before-restore-1/enginehouse.db"),
    )
    .unwrap();
    fs::write(target.join("enginehouse.db-wal"), b"rest").unwrap();
    fs::copy(&file, target.join("enginehouse.db.restored")).unwrap();
    let error = Store::open(&target, &opening()).unwrap_err();
    assert!(matches!(error, OpenError::HalfRestored { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("enginehouse restore"));

    let restored = restore(&target, &file, mark).unwrap();
    assert_eq!(restored.aside.unwrap(), target.join("before-restore-1"));
    assert_eq!(
        names(&target.join("before-restore-1")),
        ["enginehouse.db", "enginehouse.db-wal"]
    );
    assert_eq!(open(&target).1.unfinished.len(), 1);
}
