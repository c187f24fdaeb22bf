use enginehouse_model::{OperationId, Timestamp};
use tempfile::TempDir;

use crate::store_tests::{document, line, open, operation};
use crate::{
    Commit, ExecutedRow, OperationFilter, PageCursor, PlanRow, Prune, StoredOperation, Write,
};

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
