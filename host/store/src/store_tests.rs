use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use enginehouse_model::{InstallationId, OperationId, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use crate::*;

pub(crate) fn opening() -> Opening {
    Opening {
        host: "here".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::from_u128(7)),
        max_pages: None,
    }
}

pub(crate) fn open(dir: &Path) -> (Store, Loaded) {
    Store::open(dir, &opening()).unwrap()
}

pub(crate) fn document(text: &str) -> Document {
    Document::of(1, &text).unwrap()
}

pub(crate) fn operation(
    number: u64,
    state: &str,
    target: &str,
    ended_at: Option<u64>,
) -> OperationRow {
    OperationRow {
        id: OperationId(number),
        state: state.to_owned(),
        targets: vec![target.to_owned()],
        queued_at: Timestamp(number),
        ended_at: ended_at.map(Timestamp),
        plan: None,
        document: document("operation"),
    }
}

pub(crate) fn line(number: u64, text: &str) -> JournalRow {
    JournalRow {
        operation: OperationId(number),
        at: Timestamp(5),
        document: document(text),
    }
}

#[tokio::test]
async fn what_was_committed_is_there_when_opened_again() {
    let dir = TempDir::new().unwrap();
    let (store, first) = open(dir.path());
    assert!(first.first);
    assert_eq!(first.fence.epoch, Epoch(1));
    assert_eq!(first.last_operation, OperationId(0));
    let mut commit = Commit::new(first.fence);
    for table in Table::ALL {
        commit = commit.put(table, "key", document(table.name()));
    }
    let commit = commit
        .operation(operation(3, "running", "vm", None))
        .journal(line(3, "intent"))
        .journal(line(3, "outcome"))
        .operation(operation(4, "succeeded", "vm", Some(9)));
    assert_eq!(store.commit(commit).await.unwrap(), Sequence(1));
    let delete = Commit::new(first.fence).delete(Table::Token, "key");
    assert_eq!(store.commit(delete).await.unwrap(), Sequence(2));
    drop(store);

    let other = Opening {
        first_installation: InstallationId::from_uuid(Uuid::from_u128(8)),
        ..opening()
    };
    let (_store, loaded) = Store::open(dir.path(), &other).unwrap();
    assert!(!loaded.first);
    assert_eq!(loaded.installation, first.installation);
    assert_eq!(loaded.sequence, Sequence(2));
    assert_eq!(loaded.last_operation, OperationId(4));
    for (table, rows) in [
        ("meta", &loaded.meta),
        ("node", &loaded.nodes),
        ("machine", &loaded.machines),
        ("reservation", &loaded.reservations),
        ("provider", &loaded.providers),
        ("secret", &loaded.secrets),
    ] {
        let [row] = rows.as_slice() else {
            panic!("{table}: {rows:?}")
        };
        assert_eq!((row.key.as_str(), row.revision), ("key", 1), "{table}");
        assert_eq!(row.document.read::<String>().unwrap(), table);
    }
    assert_eq!(loaded.tokens, []);
    let [unfinished] = loaded.unfinished.as_slice() else {
        panic!("{:?}", loaded.unfinished)
    };
    assert_eq!(unfinished.operation.id, OperationId(3));
    let journal: Vec<(String, String, u64)> = unfinished
        .journal
        .iter()
        .map(|entry| {
            let text = entry.document.read().unwrap();
            (text, entry.host.clone(), entry.epoch.0)
        })
        .collect();
    let from_here = |text: &str| (text.to_owned(), "here".to_owned(), 1);
    assert_eq!(journal, [from_here("intent"), from_here("outcome")]);
}

#[tokio::test]
async fn a_conflict_leaves_the_other_commits_of_its_group() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let fence = loaded.fence;
    let put = |key: &str| Commit::new(fence).put(Table::Node, key, document(key));
    // Enough at once that some share a transaction with a conflict.
    let tickets: Vec<_> = (0..300)
        .map(|n| {
            let commit = put(&format!("n{n}"));
            store.submit(if n % 3 == 1 {
                commit
                    .put(Table::Machine, "half", document("of a commit"))
                    .expect((Table::Node, "absent"), Some(1))
            } else {
                commit.expect((Table::Node, format!("n{n}")), None)
            })
        })
        .collect();
    for (n, ticket) in tickets.into_iter().enumerate() {
        let result = ticket.await;
        if n % 3 == 1 {
            let error = result.unwrap_err();
            assert_eq!(
                error.to_string(),
                "node absent was changed meanwhile: revision 1 expected, no row found"
            );
            assert!(!error.needs_reset());
        } else {
            result.unwrap();
        }
    }
    let stats = store.stats();
    assert_eq!(stats.commits, 200);
    assert!(stats.transactions < 100, "{stats:?}");
    let loaded = store.reset().await.unwrap();
    assert_eq!(loaded.nodes.len(), 200);
    assert_eq!(loaded.machines, []);
    assert_eq!(loaded.sequence, Sequence(200));
}

#[tokio::test]
async fn commits_are_applied_in_the_order_they_were_submitted() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let tickets: Vec<_> = (0..500_u64)
        .map(|n| {
            let seen = (n > 0).then_some(n);
            store.submit(
                Commit::new(loaded.fence)
                    .expect((Table::Node, "n"), seen)
                    .put(Table::Node, "n", document(&n.to_string())),
            )
        })
        .collect();
    for (n, ticket) in (1..).zip(tickets) {
        assert_eq!(ticket.await.unwrap(), Sequence(n));
    }
    let loaded = store.reset().await.unwrap();
    assert_eq!(loaded.nodes[0].revision, 500);
    assert_eq!(loaded.nodes[0].document, document("499"));
}

#[test]
fn many_writers_share_a_transaction() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    std::thread::scope(|scope| {
        for writer in 0..32 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..20 {
                    let commit = Commit::new(loaded.fence).put(
                        Table::Node,
                        format!("{writer}/{n}"),
                        document("x"),
                    );
                    store.commit_blocking(commit);
                }
            });
        }
    });
    let stats = store.stats();
    assert_eq!(stats.commits, 640);
    assert!(stats.transactions < 320, "{stats:?}");
}

impl Store {
    pub(crate) fn commit_blocking(&self, commit: Commit) {
        self.submit(commit).wait().unwrap();
    }
}

#[test]
fn what_was_submitted_is_written_although_nobody_waits() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    for n in 0..100 {
        drop(store.submit(Commit::new(loaded.fence).put(
            Table::Node,
            n.to_string(),
            document("x"),
        )));
    }
    drop(store);
    assert_eq!(open(dir.path()).1.nodes.len(), 100);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_works_again() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let fence = loaded.fence;
    store.limit_pages(Some(100)).await.unwrap();
    let big = document(&"x".repeat(20_000));
    let put = |n: u64| Commit::new(fence).put(Table::Node, format!("{n:03}"), big.clone());
    let mut stored = 0;
    let error = loop {
        match store.commit(put(stored)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100);
    };
    assert!(matches!(error, CommitError::Full), "{error:?}");
    assert!(stored > 5);

    // Space alone does not help: memory is ahead.
    store.limit_pages(None).await.unwrap();
    let behind = store.commit(put(stored)).await.unwrap_err();
    assert!(matches!(behind, CommitError::Behind(_)), "{behind:?}");
    assert!(behind.is_full() && behind.needs_reset());

    let loaded = store.reset().await.unwrap();
    assert_eq!(u64::try_from(loaded.nodes.len()).unwrap(), stored);
    assert_eq!(loaded.sequence, Sequence(stored));
    // Decided before the reset, submitted after it.
    let stale = store.commit(put(stored)).await.unwrap_err();
    assert!(matches!(stale, CommitError::Fenced), "{stale:?}");
    let commit = Commit::new(loaded.fence).put(Table::Node, "new", big.clone());
    assert_eq!(store.commit(commit).await.unwrap(), Sequence(stored + 1));
}

#[tokio::test]
async fn a_full_disk_refuses_everything_that_was_queued_behind() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    store.limit_pages(Some(1)).await.unwrap();
    let big = document(&"x".repeat(200_000));
    let tickets: Vec<_> = (0..50)
        .map(|n| {
            let body = if n == 0 { big.clone() } else { document("x") };
            store.submit(Commit::new(loaded.fence).put(Table::Node, n.to_string(), body))
        })
        .collect();
    for ticket in tickets {
        assert!(ticket.await.unwrap_err().is_full());
    }
    store.limit_pages(None).await.unwrap();
    assert_eq!(store.reset().await.unwrap().nodes, []);
}

/// A file system of its own, of 600 KiB; only root may make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_file_system_without_space_loses_nothing_and_works_again() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: no right to mount a tmpfs; the bounded database is tested besides");
        return;
    };
    let dir = disk.0.path().join("data");
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 300_000]).unwrap();
    let (store, loaded) = open(&dir);
    let document = document(&"x".repeat(5000));
    let mut stored = 0;
    let error = loop {
        let put = Commit::new(loaded.fence).put(Table::Node, format!("{stored}"), document.clone());
        match store.commit(put).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 200);
    };
    assert!(matches!(error, CommitError::Full), "{error:?}");

    fs::remove_file(&ballast).unwrap();
    let loaded = store.reset().await.unwrap();
    assert_eq!(loaded.nodes.len(), stored);
    let put = Commit::new(loaded.fence).put(Table::Node, "after", document);
    store.commit(put).await.unwrap();
    drop(store);
    assert_eq!(open(&dir).1.nodes.len(), stored + 1);
}

#[tokio::test]
async fn another_epoch_is_fenced() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let fence = Fence {
        epoch: Epoch(2),
        ..loaded.fence
    };
    let commit = Commit::new(fence).put(Table::Node, "n", document("x"));
    let error = store.commit(commit).await.unwrap_err();
    assert!(matches!(error, CommitError::Fenced), "{error:?}");
}

#[tokio::test]
async fn a_number_too_large_is_refused_alone() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let commit = Commit::new(loaded.fence)
        .put(Table::Node, "n", document("x"))
        .operation(operation(u64::MAX, "pending", "vm", None));
    let error = store.commit(commit).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "operation number 18446744073709551615 is too large to be stored"
    );
    let commit = Commit::new(loaded.fence).put(Table::Node, "m", document("x"));
    store.commit(commit).await.unwrap();
    let keys: Vec<_> = store.reset().await.unwrap().nodes;
    assert_eq!(keys.len(), 1);
    assert_eq!(store.operation(OperationId(u64::MAX)).await.unwrap(), None);
}

#[test]
fn a_document_of_another_shape_says_so() {
    let error = document("text").read::<u64>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a document of version 1 does not have the expected shape"
    );
}
