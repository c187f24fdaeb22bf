use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

fn open(dir: &Path) -> (Store, Loaded) {
    Store::open(dir, &opening()).unwrap()
}

fn document(text: &str) -> Document {
    Document::of(1, &text).unwrap()
}

fn operation(number: u64, state: &str, target: &str, ended_at: Option<u64>) -> OperationRow {
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

fn line(number: u64, text: &str) -> JournalRow {
    JournalRow {
        operation: OperationId(number),
        at: Timestamp(5),
        document: document(text),
    }
}

fn page(before: Option<u64>, limit: u32) -> PageCursor {
    PageCursor {
        before: before.map(OperationId),
        limit,
    }
}

fn numbers(operations: &[StoredOperation]) -> Vec<u64> {
    operations.iter().map(|operation| operation.id.0).collect()
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
    fn commit_blocking(&self, commit: Commit) {
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
        assert!(error.to_string().contains("restore a backup"), "{error}");
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

#[tokio::test]
async fn operations_are_paged_newest_first_and_filtered() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let mut commit = Commit::new(loaded.fence);
    for n in 1..=9 {
        let state = if n % 3 == 0 { "failed" } else { "succeeded" };
        let target = if n % 2 == 0 { "even" } else { "odd" };
        commit = commit.operation(operation(n, state, target, Some(n)));
    }
    store.commit(commit).await.unwrap();
    let any = OperationFilter::default;
    let list = |filter, cursor| {
        let store = &store;
        async move { numbers(&store.operations(filter, cursor).await.unwrap()) }
    };
    assert_eq!(list(any(), page(None, 4)).await, [9, 8, 7, 6]);
    assert_eq!(list(any(), page(Some(6), 4)).await, [5, 4, 3, 2]);
    assert_eq!(list(any(), page(Some(2), 4)).await, [1]);
    let even = OperationFilter {
        target: Some("even".to_owned()),
        ..any()
    };
    assert_eq!(list(even.clone(), page(None, 3)).await, [8, 6, 4]);
    let failed = OperationFilter {
        states: vec!["failed".to_owned(), "in_doubt".to_owned()],
        ..even
    };
    assert_eq!(list(failed, page(None, 9)).await, [6]);

    // A target that is dropped is no longer found.
    let moved = Commit::new(loaded.fence)
        .expect(OperationId(8), Some(1))
        .operation(operation(8, "succeeded", "odd", Some(8)));
    store.commit(moved).await.unwrap();
    let found = store.operation(OperationId(8)).await.unwrap().unwrap();
    assert_eq!((found.revision, found.targets), (2, vec!["odd".to_owned()]));
}

#[tokio::test]
async fn what_ended_long_ago_is_pruned_and_its_number_is_not_used_again() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let plan = |id: &str, at| {
        Write::Plan(PlanRow {
            id: id.to_owned(),
            used_at: Timestamp(at),
            document: document(id),
        })
    };
    let executed = |n| {
        Write::Executed(ExecutedRow {
            operation: OperationId(n),
            kind: "deploy".to_owned(),
            targets: vec!["/web/vm1".to_owned()],
            who: "ann".to_owned(),
            queued_at: Timestamp(1),
            started_at: None,
            ended_at: Timestamp(n * 10),
            outcome: "succeeded".to_owned(),
            message: None,
        })
    };
    let mut waiting = operation(1, "waiting_approval", "vm", None);
    waiting.plan = Some("waited-for".to_owned());
    let commit = Commit::new(loaded.fence)
        .operation(waiting)
        .operation(operation(2, "succeeded", "vm", Some(20)))
        .operation(operation(3, "failed", "vm", Some(30)))
        .journal(line(1, "one"))
        .journal(line(2, "two"))
        .journal(line(3, "three"))
        .write(plan("waited-for", 1))
        .write(plan("old", 1))
        .write(plan("again", 1))
        .write(plan("again", 50))
        .write(executed(2))
        .write(executed(3));
    store.commit(commit).await.unwrap();

    let at = Timestamp(25);
    let prune = |what| Commit::new(loaded.fence).write(Write::Prune(what));
    let journal = async |n| store.journal(OperationId(n)).await.unwrap().len();
    store
        .commit(prune(Prune::Journal { ended_before: at }))
        .await
        .unwrap();
    assert_eq!(
        (journal(1).await, journal(2).await, journal(3).await),
        (1, 0, 1)
    );
    assert!(store.operation(OperationId(2)).await.unwrap().is_some());

    let later = Timestamp(40);
    store
        .commit(prune(Prune::Operations {
            ended_before: later,
        }))
        .await
        .unwrap();
    assert_eq!(journal(3).await, 0);
    let left = store.operations(OperationFilter::default(), page(None, 9));
    assert_eq!(numbers(&left.await.unwrap()), [1]);

    store
        .commit(prune(Prune::Plans {
            unused_since: later,
        }))
        .await
        .unwrap();
    let plan_left = async |id: &str| store.plan(id.to_owned()).await.unwrap().is_some();
    assert!(plan_left("waited-for").await);
    assert!(!plan_left("old").await);
    assert!(plan_left("again").await);

    let log = async || store.executed(page(None, 9)).await.unwrap();
    assert_eq!(log().await.len(), 2);
    store
        .commit(prune(Prune::Executed { ended_before: at }))
        .await
        .unwrap();
    let [line] = log().await.try_into().unwrap();
    assert_eq!(
        (line.operation, line.targets),
        (OperationId(3), vec!["/web/vm1".to_owned()])
    );

    drop(store);
    assert_eq!(open(dir.path()).1.last_operation, OperationId(3));
}

#[test]
fn a_document_of_another_shape_says_so() {
    let error = document("text").read::<u64>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a document of version 1 does not have the expected shape"
    );
}
