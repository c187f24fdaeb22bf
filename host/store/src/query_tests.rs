use enginehouse_model::{OperationId, Timestamp};
use tempfile::TempDir;

use crate::store_tests::{document, open, operation};
use crate::{Commit, HistoryRow, OperationFilter, PageCursor, Prune, StoredOperation, Write};

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

fn row(node: &str, name: &str, at: u64) -> Write {
    Write::History(HistoryRow {
        node: node.to_owned(),
        name: name.to_owned(),
        at: Timestamp(at),
        operation: at.is_multiple_of(2).then_some(OperationId(at)),
        who: "ann".to_owned(),
        kind: "edit".to_owned(),
        document: document(&format!("{name} {at}")),
    })
}

#[tokio::test]
async fn the_history_of_a_node_is_paged_newest_first() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let mut commit = Commit::new(loaded.fence);
    for at in 1..=9 {
        commit = commit
            .write(row("a", "/web/a", at))
            .write(row("b", "/web/b", at));
    }
    store.commit(commit).await.unwrap();
    let page = async |before, limit| store.history("a".to_owned(), before, limit).await.unwrap();
    let first = page(None, 4).await;
    let at = |entries: &[crate::HistoryEntry]| -> Vec<u64> {
        entries.iter().map(|entry| entry.row.at.0).collect()
    };
    assert_eq!(at(&first), [9, 8, 7, 6]);
    assert_eq!(first[0].row.operation, None);
    assert_eq!(first[1].row.operation, Some(OperationId(8)));
    assert_eq!(first[1].row.name, "/web/a");
    assert_eq!(first[1].row.document.read::<String>().unwrap(), "/web/a 8");
    let second = page(Some(first[3].seq), 9).await;
    assert_eq!(at(&second), [5, 4, 3, 2, 1]);
    assert_eq!(page(Some(second[4].seq), 9).await, []);
    assert_eq!(page(Some(u64::MAX), 1).await.len(), 1);
    assert_eq!(store.history("c".to_owned(), None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_name_leads_to_the_nodes_that_had_it() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let commit = Commit::new(loaded.fence)
        .write(row("first", "/web/vm1", 1))
        .write(row("first", "/web/vm1", 2))
        .write(row("second", "/web/vm1", 3))
        .write(row("first", "/web/vm2", 4));
    store.commit(commit).await.unwrap();
    let named = async |name: &str| -> Vec<(String, u64)> {
        let nodes = store.named(name.to_owned(), 9).await.unwrap();
        nodes
            .into_iter()
            .map(|node| (node.node, node.at.0))
            .collect()
    };
    assert_eq!(
        named("/web/vm1").await,
        [("second".to_owned(), 3), ("first".to_owned(), 2)]
    );
    assert_eq!(named("/web/vm2").await, [("first".to_owned(), 4)]);
    assert_eq!(named("/web").await, []);
}

#[tokio::test]
async fn pruning_the_history_leaves_the_newest_row_of_each_node() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let commit = Commit::new(loaded.fence)
        .write(row("gone", "/a", 1))
        .write(row("gone", "/a", 2))
        .write(row("alive", "/b", 1))
        .write(row("alive", "/b", 50))
        .write(Write::Prune(Prune::History {
            before: Timestamp(40),
        }));
    store.commit(commit).await.unwrap();
    let at = async |node: &str| -> Vec<u64> {
        let entries = store.history(node.to_owned(), None, 9).await.unwrap();
        entries.into_iter().map(|entry| entry.row.at.0).collect()
    };
    assert_eq!(at("gone").await, [2]);
    assert_eq!(at("alive").await, [50]);
}
