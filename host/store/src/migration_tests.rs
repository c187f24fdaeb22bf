use std::fs;
use std::path::Path;

use enginehouse_model::{OperationId, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store_tests::{document, open, opening};
use crate::{
    About, Commit, ExecutedEntry, ExecutedFilter, ExecutedRow, HistoryRow, OpenError, Sequence,
    Store, Table, Write, schema,
};

/// The schema as version 1 made it, letter by letter.
const VERSION_1: &str = include_str!("version_1.sql");
/// The same of version 2.
const VERSION_2: &str = include_str!("version_2.sql");
/// The same of version 3.
const VERSION_3: &str = include_str!("version_3.sql");

/// A database as an older version left it, with something in it.
fn older(dir: &Path, version: u32) {
    let connection = Connection::open(dir.join("enginehouse.db")).unwrap();
    let schema = match version {
        1 => VERSION_1,
        2 => VERSION_2,
        _ => VERSION_3,
    };
    connection.execute_batch(schema).unwrap();
    let executed = match version {
        1 | 2 => {
            "(40, 'edit', '[\"/web/vm2\"]', 'bob', 2, 3, 10, 'failed', 'no space'),
             (39, 'deploy', '[\"/web/vm1\"]', 'ann', 1, NULL, 20, 'succeeded', NULL)"
        }
        _ => {
            "(1, 40, 'edit', NULL, '/web/vm2', '[\"/web/vm2\"]', 'bob', 2, 3, 10, 'failed', 'no space',
                 NULL, NULL)"
        }
    };
    connection
        .execute_batch(&format!(
            "PRAGMA application_id = 0x656e6768;
             PRAGMA journal_mode = WAL;
             INSERT INTO installation VALUES (1, '00000000000000000000000000000009', 3, 17);
             INSERT INTO node VALUES ('n', 4, 1, '\"a node\"');
             INSERT INTO token VALUES ('t', 1, 1, '\"a token\"');
             INSERT INTO operation VALUES (39, 2, 'succeeded', 1, 20, NULL, 1, '\"body\"');
             INSERT INTO operation VALUES (41, 2, 'running', 5, NULL, NULL, 1, '\"body\"');
             INSERT INTO operation_target VALUES ('n', 39), ('n', 41);
             INSERT INTO journal VALUES (8, 41, 'here', 3, 5, 1, '\"intent\"');
             INSERT INTO executed VALUES {executed};",
        ))
        .unwrap();
    connection
        .pragma_update(None, "user_version", version)
        .unwrap();
    connection.close().unwrap();
}

fn version_1(dir: &Path) {
    older(dir, 1);
}

fn version_of(dir: &Path) -> u32 {
    Connection::open(dir.join("enginehouse.db"))
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

fn row(node: &str, at: u64) -> HistoryRow {
    HistoryRow {
        node: node.to_owned(),
        name: "/web/vm1".to_owned(),
        at: Timestamp(at),
        operation: Some(OperationId(41)),
        who: "ann".to_owned(),
        kind: "edit".to_owned(),
        document: document("entry"),
    }
}

#[tokio::test]
async fn an_older_database_is_kept_and_gets_the_new_tables() {
    for version in [1, 2, 3] {
        is_kept_and_gets_the_new_tables(version).await;
    }
}

async fn is_kept_and_gets_the_new_tables(version: u32) {
    let dir = TempDir::new().unwrap();
    older(dir.path(), version);
    for time in 0..2 {
        let (store, loaded) = open(dir.path());
        assert!(!loaded.first);
        assert_eq!(
            loaded.installation.to_string(),
            "00000000000000000000000000000009"
        );
        assert_eq!(loaded.fence.epoch.0, 3);
        assert_eq!(loaded.sequence, Sequence(17 + time));
        assert_eq!(loaded.last_operation, OperationId(41));
        let [node] = loaded.nodes.as_slice() else {
            panic!("{:?}", loaded.nodes)
        };
        assert_eq!((node.key.as_str(), node.revision), ("n", 4));
        assert_eq!(node.document.read::<String>().unwrap(), "a node");
        assert_eq!(loaded.tokens.len(), 1);
        let [unfinished] = loaded.unfinished.as_slice() else {
            panic!("{:?}", loaded.unfinished)
        };
        assert_eq!(unfinished.journal.len(), 1);
        assert_eq!(loaded.secrets.len(), usize::try_from(time).unwrap());
        let commit = Commit::new(loaded.fence)
            .put(Table::Secret, "s", document("sealed"))
            .write(Write::History(row("n", 9)));
        store.commit(commit).await.unwrap();
        let history = store.history("n".to_owned(), None, 9).await.unwrap();
        assert_eq!(history.len() as u64, time + 1);
        drop(store);
        assert_eq!(version_of(dir.path()), schema::VERSION);
    }
}

#[tokio::test]
async fn lines_of_an_older_executed_log_are_put_into_the_order_of_their_ends() {
    for version in [1, 2] {
        let dir = TempDir::new().unwrap();
        older(dir.path(), version);
        let (store, loaded) = open(dir.path());
        let commit = Commit::new(loaded.fence).write(Write::Executed(ExecutedRow {
            operation: OperationId(41),
            kind: "edit".to_owned(),
            node: Some("n".to_owned()),
            targets: vec!["/".to_owned()],
            who: "ann".to_owned(),
            queued_at: Timestamp(5),
            started_at: None,
            ended_at: Timestamp(6),
            outcome: "succeeded".to_owned(),
            message: None,
            result: Some(document("result")),
        }));
        store.commit(commit).await.unwrap();
        let results = store.results(0, 9).await.unwrap();
        assert_eq!((results.oldest, results.newest), (1, 3));
        let [first, second, third] = results.lines.try_into().unwrap();
        let seen = |line: &ExecutedEntry| (line.seq, line.row.operation.0);
        assert_eq!(
            [seen(&first), seen(&second), seen(&third)],
            [(1, 40), (2, 39), (3, 41)]
        );
        // What it was about is known where its operation is.
        assert_eq!(
            (first.row.node, second.row.node.as_deref()),
            (None, Some("n"))
        );
        assert_eq!(first.row.targets, ["/web/vm2"]);
        assert_eq!(first.row.started_at, Some(Timestamp(3)));
        assert_eq!(first.row.message.as_deref(), Some("no space"));
        assert_eq!((first.row.result, third.row.result.is_some()), (None, true));
        let below = ExecutedFilter {
            about: Some(About {
                node: None,
                path: "/web".to_owned(),
            }),
            ..ExecutedFilter::default()
        };
        let found = store.executed(below, None, 9).await.unwrap();
        assert_eq!(
            found.iter().map(|line| line.seq).collect::<Vec<_>>(),
            [2, 1]
        );
    }
}

#[test]
fn a_migration_without_space_leaves_the_old_version() {
    let dir = TempDir::new().unwrap();
    version_1(dir.path());
    let small = crate::Opening {
        max_pages: Some(1),
        ..opening()
    };
    let error = Store::open(dir.path(), &small).unwrap_err();
    assert!(matches!(error, OpenError::Full { .. }), "{error:?}");
    assert_eq!(version_of(dir.path()), 1);
    assert_eq!(open(dir.path()).1.nodes.len(), 1);
}

/// A migrated database and a new one have the same tables and indexes.
#[test]
fn a_migrated_schema_is_that_of_a_new_database() {
    let tables = |dir: &Path| -> Vec<(String, String)> {
        let connection = Connection::open(dir.join("enginehouse.db")).unwrap();
        let mut statement = connection
            .prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        statement
            .query_map([], |row| {
                let sql: String = row.get(1)?;
                Ok((
                    row.get(0)?,
                    sql.split_whitespace().collect::<Vec<_>>().join(" "),
                ))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let new = TempDir::new().unwrap();
    drop(open(new.path()));
    for version in [1, 2, 3] {
        let old = TempDir::new().unwrap();
        older(old.path(), version);
        drop(open(old.path()));
        assert_eq!(tables(old.path()), tables(new.path()), "from {version}");
    }
}

#[test]
fn a_database_that_does_not_say_its_version_is_refused() {
    let dir = TempDir::new().unwrap();
    version_1(dir.path());
    let connection = Connection::open(dir.path().join("enginehouse.db")).unwrap();
    connection.pragma_update(None, "user_version", 0).unwrap();
    connection.close().unwrap();
    let before = fs::read(dir.path().join("enginehouse.db")).unwrap();
    let error = Store::open(dir.path(), &opening()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(fs::read(dir.path().join("enginehouse.db")).unwrap() == before);
}
