use std::fs;
use std::path::Path;

use enginehouse_model::{OperationId, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::store_tests::{document, open, opening};
use crate::{Commit, HistoryRow, OpenError, Sequence, Store, Table, Write, schema};

/// The schema as version 1 made it, letter by letter.
const VERSION_1: &str = include_str!("version_1.sql");

/// A database as version 1 left it, with something in it.
fn version_1(dir: &Path) {
    let connection = Connection::open(dir.join("enginehouse.db")).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    connection
        .execute_batch(
            "PRAGMA application_id = 0x656e6768;
             PRAGMA user_version = 1;
             PRAGMA journal_mode = WAL;
             INSERT INTO installation VALUES (1, '00000000000000000000000000000009', 3, 17);
             INSERT INTO node VALUES ('n', 4, 1, '\"a node\"');
             INSERT INTO token VALUES ('t', 1, 1, '\"a token\"');
             INSERT INTO operation VALUES (41, 2, 'running', 5, NULL, NULL, 1, '\"body\"');
             INSERT INTO operation_target VALUES ('n', 41);
             INSERT INTO journal VALUES (8, 41, 'here', 3, 5, 1, '\"intent\"');",
        )
        .unwrap();
    connection.close().unwrap();
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
async fn a_database_of_version_1_is_kept_and_gets_the_new_tables() {
    let dir = TempDir::new().unwrap();
    version_1(dir.path());
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
    let old = TempDir::new().unwrap();
    version_1(old.path());
    drop(open(old.path()));
    let new = TempDir::new().unwrap();
    drop(open(new.path()));
    assert_eq!(tables(old.path()), tables(new.path()));
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
