use std::collections::BTreeMap;
use std::path::Path;

use enginehouse_audit::{Action, Break, Chain, Compared, Head};
use enginehouse_model::{OperationId, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store_tests::{document, open, operation};
use crate::*;

pub(crate) fn row(at: u64, who: &str, path: &str) -> AuditRow {
    AuditRow {
        at: Timestamp(at),
        who: who.to_owned(),
        action: Action::Order,
        node: Some(format!("uid of {path}")),
        path: Some(path.to_owned()),
        operation: Some(OperationId(at)),
        detail: BTreeMap::from([("kind".to_owned(), "deploy".to_owned())]),
    }
}

fn commit(loaded: &Loaded, rows: impl IntoIterator<Item = AuditRow>) -> Commit {
    rows.into_iter()
        .fold(Commit::new(loaded.fence), |commit, row| {
            commit.write(Write::Audit(row))
        })
}

/// Reads the log in pages, as who checks it does.
pub(crate) async fn verify(store: &Store, loaded: &Loaded) -> Result<Head, Break> {
    let newest = store.audit_head().await.unwrap();
    let mut chain = Chain::of(loaded.installation).watching(newest);
    loop {
        let from = AuditFrom::After(chain.head().number);
        let page = store.audit(AuditFilter::default(), from, 7).await.unwrap();
        if page.is_empty() {
            chain.ends(newest.number)?;
            assert_eq!(chain.compared(), Some(Compared::Holds));
            return Ok(chain.head());
        }
        for AuditEntry { entry, hash } in page {
            chain.take(&entry, hash)?;
        }
    }
}

#[tokio::test]
async fn entries_are_chained_in_the_order_of_the_commits_whatever_is_refused_between() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let empty = verify(&store, &loaded).await.unwrap();
    assert_eq!(empty.number, 0);
    let tickets: Vec<_> = (1..=60)
        .map(|n| {
            let rows = (0..1 + n % 3).map(|part| row(n * 10 + part, "ann", "/web/vm1"));
            let commit = commit(&loaded, rows);
            // Every fourth expects what is not there.
            store.submit(match n % 4 {
                0 => commit.expect((Table::Node, "none"), Some(1)),
                _ => commit.put(Table::Node, n.to_string(), document("x")),
            })
        })
        .collect();
    let mut expected = 0;
    for (n, ticket) in (1_u64..=60).zip(tickets) {
        let result = ticket.await;
        assert_eq!(result.is_err(), n % 4 == 0, "{result:?}");
        expected += if n % 4 == 0 { 0 } else { 1 + n % 3 };
    }
    assert_eq!(verify(&store, &loaded).await.unwrap().number, expected);
    drop(store);
    // It goes on from there after the host was started again.
    let (store, loaded) = open(dir.path());
    store
        .commit(commit(&loaded, [row(9, "bob", "/")]))
        .await
        .unwrap();
    assert_eq!(verify(&store, &loaded).await.unwrap().number, expected + 1);
}

#[tokio::test]
async fn entries_are_found_by_what_they_are_about() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    let rows = [
        row(10, "ann", "/web"),
        row(20, "bob", "/web/vm1"),
        row(30, "ann", "/web2"),
        AuditRow {
            action: Action::Grants,
            ..row(40, "bob", "/web/vm2")
        },
    ];
    store.commit(commit(&loaded, rows)).await.unwrap();
    let numbers = async |filter: AuditFilter, from: AuditFrom, limit: u32| {
        let page = store.audit(filter, from, limit).await.unwrap();
        let numbers: Vec<u64> = page.iter().map(|found| found.entry.number).collect();
        numbers
    };
    let all = AuditFilter::default;
    assert_eq!(numbers(all(), AuditFrom::Before(None), 3).await, [4, 3, 2]);
    assert_eq!(numbers(all(), AuditFrom::Before(Some(2)), 9).await, [1]);
    assert_eq!(numbers(all(), AuditFrom::After(2), 9).await, [3, 4]);
    assert!(
        numbers(all(), AuditFrom::After(u64::MAX), 9)
            .await
            .is_empty()
    );
    let below = |node: Option<&str>| AuditFilter {
        about: Some(About {
            node: node.map(str::to_owned),
            path: "/web".to_owned(),
        }),
        ..all()
    };
    let newest = AuditFrom::Before(None);
    assert_eq!(numbers(below(None), newest, 9).await, [4, 2, 1]);
    let renamed = below(Some("uid of /web2"));
    assert_eq!(numbers(renamed, newest, 9).await, [4, 3, 2, 1]);
    let filters = [
        (
            AuditFilter {
                who: Some("ann".to_owned()),
                ..all()
            },
            vec![3, 1],
        ),
        (
            AuditFilter {
                action: Some("grants".to_owned()),
                ..all()
            },
            vec![4],
        ),
        (
            AuditFilter {
                operation: Some(OperationId(20)),
                ..all()
            },
            vec![2],
        ),
        (
            AuditFilter {
                since: Some(Timestamp(30)),
                ..all()
            },
            vec![4, 3],
        ),
        (
            AuditFilter {
                until: Some(Timestamp(30)),
                ..all()
            },
            vec![2, 1],
        ),
    ];
    for (filter, expected) in filters {
        assert_eq!(
            numbers(filter.clone(), newest, 9).await,
            expected,
            "{filter:?}"
        );
    }
}

/// As somebody would who may write the file.
fn behind_the_back(dir: &Path, sql: &str) {
    let connection = Connection::open(dir.join("enginehouse.db")).unwrap();
    connection
        .execute_batch(&format!(
            "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut; {sql}"
        ))
        .unwrap();
}

#[tokio::test]
async fn what_was_changed_in_the_database_is_found() {
    let hash = "x'0000000000000000000000000000000000000000000000000000000000000000'";
    let changed = [
        (
            "UPDATE audit SET who = 'eve' WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET at = at + 1 WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET epoch = 2 WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET action = 'plan' WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET node = NULL WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET path = '/' WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET operation = 1 WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            "UPDATE audit SET detail = '{}' WHERE number = 5",
            Break::Hash { number: 5 },
        ),
        (
            &format!("UPDATE audit SET hash = {hash} WHERE number = 5"),
            Break::Hash { number: 5 },
        ),
        (
            "DELETE FROM audit WHERE number = 1",
            Break::Gap { after: 0, found: 2 },
        ),
        (
            "DELETE FROM audit WHERE number = 5",
            Break::Gap { after: 4, found: 6 },
        ),
        (
            "DELETE FROM audit WHERE number = 5; UPDATE audit SET number = number - 1 WHERE number > 5",
            Break::Hash { number: 5 },
        ),
    ];
    for (sql, expected) in changed {
        let dir = TempDir::new().unwrap();
        let (store, loaded) = open(dir.path());
        let rows = (1..=9).map(|n| row(n, "ann", "/web/vm1"));
        store.commit(commit(&loaded, rows)).await.unwrap();
        assert_eq!(verify(&store, &loaded).await.unwrap().number, 9);
        drop(store);
        behind_the_back(dir.path(), sql);
        let (store, loaded) = open(dir.path());
        assert_eq!(verify(&store, &loaded).await, Err(expected), "{sql}");
    }
}

#[tokio::test]
async fn no_statement_of_the_program_changes_an_entry() {
    let dir = TempDir::new().unwrap();
    let (store, loaded) = open(dir.path());
    store
        .commit(commit(&loaded, [row(1, "ann", "/")]))
        .await
        .unwrap();
    drop(store);
    let connection = Connection::open(dir.path().join("enginehouse.db")).unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET who = 'eve'"] {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("only appended to"), "{error}");
    }
}

#[tokio::test]
async fn a_restored_log_goes_on_from_the_backup_and_says_what_it_lost() {
    let dir = TempDir::new().unwrap();
    let target = dir.path().join("target");
    let (store, loaded) = open(&target);
    let first = (1..=5).map(|n| row(n, "ann", "/web/vm1"));
    store
        .commit(commit(&loaded, first).operation(operation(1, "succeeded", "a", Some(2))))
        .await
        .unwrap();
    let backed_up = store.audit_head().await.unwrap();
    let file = dir.path().join("backup");
    store.back_up(file.clone()).await.unwrap();
    let later = (6..=8).map(|n| row(n, "eve", "/web/vm1"));
    store.commit(commit(&loaded, later)).await.unwrap();
    let lost = store.audit_head().await.unwrap();
    drop(store);

    let restored = restore(&target, &file, |_| {
        Ok(RestoreMark {
            at: Timestamp(99),
            who: "admin".to_owned(),
            key: "mark".to_owned(),
            document: document("mark"),
            kept: "kept/".to_owned(),
        })
    })
    .unwrap();
    assert_eq!(restored.audited, backed_up);
    assert_eq!(restored.audited_before, Some(lost));
    let (store, loaded) = open(&target);
    assert_eq!(verify(&store, &loaded).await.unwrap().number, 6);
    let newest = AuditFrom::Before(None);
    let page = store
        .audit(AuditFilter::default(), newest, 1)
        .await
        .unwrap();
    let entry = &page[0].entry;
    assert_eq!((entry.number, entry.epoch, entry.at.0), (6, 2, 99));
    assert_eq!(entry.action, "restore");
    assert_eq!(entry.detail["backup_ends_with"], backed_up.to_string());
    assert_eq!(entry.detail["replaced_ended_with"], lost.to_string());
    store
        .commit(commit(&loaded, [row(100, "ann", "/")]))
        .await
        .unwrap();
    assert_eq!(verify(&store, &loaded).await.unwrap().number, 7);
}
