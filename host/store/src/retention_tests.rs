use enginehouse_model::{OperationId, Timestamp};
use tempfile::TempDir;

use crate::store_tests::{document, line, open, operation};
use crate::{
    About, Commit, EndedAt, ExecutedFilter, ExecutedRow, IdempotencyRow, OperationFilter,
    PageCursor, PlanRow, Prune, Write,
};

fn ended(at: u64, operation: u64) -> EndedAt {
    EndedAt {
        at: Timestamp(at),
        operation: OperationId(operation),
    }
}

fn executed(number: u64, path: &str, ended_at: u64) -> ExecutedRow {
    ExecutedRow {
        operation: OperationId(number),
        kind: if number.is_multiple_of(2) {
            "deploy"
        } else {
            "edit"
        }
        .to_owned(),
        node: Some(format!("uid of {path}")),
        targets: vec![path.to_owned()],
        who: if number < 5 { "ann" } else { "bob" }.to_owned(),
        queued_at: Timestamp(1),
        started_at: Some(Timestamp(2)),
        ended_at: Timestamp(ended_at),
        outcome: if number == 4 { "failed" } else { "succeeded" }.to_owned(),
        message: (number == 4).then(|| "no space".to_owned()),
        result: Some(document(&format!("result of {number}"))),
    }
}

fn plan(id: &str, at: u64) -> Write {
    Write::Plan(PlanRow {
        id: id.to_owned(),
        used_at: Timestamp(at),
        document: document(id),
    })
}

#[tokio::test]
async fn operations_go_by_age_and_by_count_but_never_unfinished_ones() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let mut commit = Commit::new(loaded.fence)
        .operation(operation(1, "waiting_approval", "vm", None))
        .journal(line(1, "one"));
    // The last to be queued ends first.
    for n in 2..=6 {
        commit = commit
            .operation(operation(n, "succeeded", "vm", Some(100 - n * 10)))
            .journal(line(n, "ended"));
    }
    store.commit(commit).await.unwrap();
    let old = async |before: u64, most: u64, after: Option<EndedAt>, limit: u32| {
        let old = store.old_operations(Timestamp(before), most, after, limit);
        old.await.unwrap()
    };
    let all = [
        ended(40, 6),
        ended(50, 5),
        ended(60, 4),
        ended(70, 3),
        ended(80, 2),
    ];
    assert_eq!(old(60, 99, None, 9).await, all[..2]);
    assert_eq!(old(0, 2, None, 9).await, all[..3]);
    assert_eq!(old(60, 2, None, 9).await, all[..3], "by either");
    assert_eq!(old(1000, 0, None, 2).await, all[..2]);
    assert_eq!(old(1000, 0, Some(all[1]), 2).await, all[2..4]);
    assert_eq!(old(0, 5, None, 9).await, []);

    let numbers = [1, 3, 5, 9].map(OperationId).to_vec();
    let prune = Commit::new(loaded.fence).write(Write::Prune(Prune::Operations { numbers }));
    store.commit(prune).await.unwrap();
    let page = PageCursor {
        before: None,
        limit: 9,
    };
    let left = store.operations(OperationFilter::default(), page).await;
    let left: Vec<u64> = left.unwrap().iter().map(|row| row.id.0).collect();
    assert_eq!(left, [6, 4, 2, 1]);
    for (number, lines) in [(1, 1), (3, 0), (4, 1), (5, 0)] {
        let journal = store.journal(OperationId(number)).await.unwrap();
        assert_eq!(journal.len(), lines, "{number}");
    }
    let of_target = OperationFilter {
        target: Some("vm".to_owned()),
        ..OperationFilter::default()
    };
    assert_eq!(store.operations(of_target, page).await.unwrap().len(), 4);
    drop(store);
    assert_eq!(open(dir.path()).1.last_operation, OperationId(6));
}

#[tokio::test]
async fn plans_go_unless_an_unfinished_operation_or_somebody_meanwhile_needs_them() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let mut waiting = operation(1, "waiting_approval", "vm", None);
    waiting.plan = Some("waited-for".to_owned());
    let commit = Commit::new(loaded.fence)
        .operation(waiting)
        .write(plan("waited-for", 1))
        .write(plan("old", 2))
        .write(plan("made-again", 3))
        .write(plan("new", 50));
    store.commit(commit).await.unwrap();
    let (before, ids) = store.old_plans(Timestamp(10), 9, 9).await.unwrap();
    assert_eq!(before, Timestamp(10));
    assert_eq!(ids, ["waited-for", "old", "made-again"]);
    let (before, ids) = store.old_plans(Timestamp(0), 2, 9).await.unwrap();
    assert_eq!((before, ids.len()), (Timestamp(3), 2), "by count");
    let (unused_since, ids) = store.old_plans(Timestamp(10), 9, 9).await.unwrap();
    let prune = Commit::new(loaded.fence)
        .write(plan("made-again", 60))
        .write(Write::Prune(Prune::Plans { ids, unused_since }));
    store.commit(prune).await.unwrap();
    for (id, there) in [
        ("waited-for", true),
        ("old", false),
        ("made-again", true),
        ("new", true),
    ] {
        let found = store.plan(id.to_owned()).await.unwrap();
        assert_eq!(found.is_some(), there, "{id}");
    }
}

#[tokio::test]
async fn the_executed_log_is_read_both_ways_and_loses_its_oldest_lines_only() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let none = store.results(0, 9).await.unwrap();
    assert_eq!((none.oldest, none.newest, none.lines.len()), (1, 0, 0));
    let commit = |rows: Vec<ExecutedRow>| {
        let writes = rows.into_iter().map(Write::Executed);
        writes.fold(Commit::new(loaded.fence), Commit::write)
    };
    let rows = vec![
        executed(3, "/web/vm1", 10),
        executed(1, "/web", 30),
        executed(2, "/website", 20),
        executed(4, "/web/front/vm2", 40),
        executed(6, "/", 50),
    ];
    store.commit(commit(rows)).await.unwrap();
    let page = async |filter: ExecutedFilter, before: Option<u64>, limit: u32| {
        let lines = store.executed(filter, before, limit).await.unwrap();
        let numbers = lines.iter().map(|line| line.row.operation.0);
        numbers.collect::<Vec<u64>>()
    };
    let all = ExecutedFilter::default;
    assert_eq!(page(all(), None, 2).await, [6, 4]);
    assert_eq!(page(all(), Some(4), 9).await, [2, 1, 3]);
    let about = |path: &str, node: Option<&str>| ExecutedFilter {
        about: Some(About {
            node: node.map(str::to_owned),
            path: path.to_owned(),
        }),
        ..all()
    };
    assert_eq!(page(about("/web", None), None, 9).await, [4, 1, 3]);
    assert_eq!(page(about("/", None), None, 9).await.len(), 5);
    let renamed = about("/db", Some("uid of /website"));
    assert_eq!(page(renamed, None, 9).await, [2]);
    let narrow = ExecutedFilter {
        who: Some("ann".to_owned()),
        kind: Some("deploy".to_owned()),
        outcome: Some("failed".to_owned()),
        since: Some(Timestamp(40)),
        until: Some(Timestamp(41)),
        ..all()
    };
    assert_eq!(page(narrow.clone(), None, 9).await, [4]);
    let until = Some(Timestamp(40));
    assert_eq!(
        page(ExecutedFilter { until, ..narrow }, None, 9)
            .await
            .len(),
        0
    );
    let line = store.executed_of(OperationId(4)).await.unwrap().unwrap();
    assert_eq!(
        (line.seq, &line.row),
        (4, &executed(4, "/web/front/vm2", 40))
    );

    // The second line ended later than the third: it keeps that one.
    assert_eq!(store.old_lines(Timestamp(25), 9, 9).await.unwrap(), Some(1));
    assert_eq!(store.old_lines(Timestamp(35), 9, 9).await.unwrap(), Some(3));
    assert_eq!(store.old_lines(Timestamp(35), 9, 2).await.unwrap(), Some(2));
    assert_eq!(store.old_lines(Timestamp(0), 1, 9).await.unwrap(), Some(4));
    assert_eq!(store.old_lines(Timestamp(0), 5, 9).await.unwrap(), None);
    let prune = |through| {
        let prune = Write::Prune(Prune::Executed { through });
        store.commit(Commit::new(loaded.fence).write(prune))
    };
    prune(3).await.unwrap();
    let results = store.results(0, 1).await.unwrap();
    assert_eq!((results.oldest, results.newest), (4, 5));
    assert_eq!(results.lines[0].row.operation, OperationId(4));
    prune(5).await.unwrap();
    let empty = store.results(5, 9).await.unwrap();
    assert_eq!(
        (empty.oldest, empty.newest),
        (6, 5),
        "no number is used twice"
    );
    assert_eq!(store.old_lines(Timestamp(99), 0, 9).await.unwrap(), None);
    store
        .commit(commit(vec![executed(7, "/", 60)]))
        .await
        .unwrap();
    assert_eq!(store.results(5, 9).await.unwrap().lines[0].seq, 6);
    assert!(store.executed_of(OperationId(4)).await.unwrap().is_none());
}

#[tokio::test]
async fn idempotency_keys_are_loaded_and_go_in_the_order_of_their_operations() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let row = |number: u64| IdempotencyRow {
        operation: OperationId(number),
        at: Timestamp(number * 10),
        name: [u8::try_from(number).unwrap(); 32],
        digest: [9; 32],
    };
    let commit = [3, 5, 9]
        .into_iter()
        .map(|number| Write::Idempotency(row(number)))
        .fold(Commit::new(loaded.fence), Commit::write);
    store.commit(commit).await.unwrap();
    drop(store);
    let (store, loaded) = open(dir.path());
    assert_eq!(loaded.idempotency, [row(3), row(5), row(9)]);
    let through = OperationId(5);
    let prune = Write::Prune(Prune::Idempotency { through });
    let commit = Commit::new(loaded.fence).write(prune);
    store.commit(commit).await.unwrap();
    drop(store);
    assert_eq!(open(dir.path()).1.idempotency, [row(9)]);
    let shown = format!("{:?}", row(9));
    assert!(
        !shown.contains("name") && !shown.contains("digest"),
        "{shown}"
    );
}
