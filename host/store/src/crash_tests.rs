//! A process that commits without pause is killed again and again: what it was told is stored is
//! there, and no commit is there by half.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use enginehouse_model::{OperationId, Timestamp};
use tempfile::TempDir;

use crate::audit_tests::{row, verify};
use crate::store_tests::opening;
use crate::{Commit, Document, JournalRow, OpenError, OperationRow, Store, Table, Write};

const DIRECTORY: &str = "ENGINEHOUSE_STORE_CRASH_DIRECTORY";
const ROUNDS: usize = 20;

/// Writes numbers from the first free one on, eight commits in flight, and prints what is certain.
fn write_until_killed(dir: &Path) {
    let (store, loaded) = Store::open(dir, &opening()).unwrap();
    println!("certain {}", loaded.last_operation);
    for first in (loaded.last_operation.0 + 1..).step_by(8) {
        let tickets: Vec<_> = (first..first + 8)
            .map(|n| (n, store.submit(rows(&loaded, n))))
            .collect();
        for (n, ticket) in tickets {
            ticket.wait().unwrap();
            println!("certain {n}");
        }
    }
}

/// An operation, a journal row, a node and two entries of the audit log that belong together.
fn rows(loaded: &crate::Loaded, n: u64) -> Commit {
    let document = Document::of(1, &"x".repeat(300)).unwrap();
    Commit::new(loaded.fence)
        .operation(OperationRow {
            id: OperationId(n),
            state: "running".to_owned(),
            targets: vec!["vm".to_owned()],
            queued_at: Timestamp(n),
            ended_at: None,
            plan: None,
            document: document.clone(),
        })
        .journal(JournalRow {
            operation: OperationId(n),
            at: Timestamp(n),
            document: document.clone(),
        })
        .put(Table::Node, n.to_string(), document)
        .write(Write::Audit(row(n, "ann", "/web/vm1")))
        .write(Write::Audit(row(n, "ann", "/web/vm2")))
}

fn start(dir: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "crash_tests::what_was_acknowledged_survives_a_kill",
        ])
        .args(["--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn certain(line: &str) -> Option<u64> {
    line.split_once("certain ")?.1.parse().ok()
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(dir) = env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&dir));
    }
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut written = 0;
    for round in 0..ROUNDS {
        let (mut child, mut lines) = start(dir.path());
        let mut last = None;
        // In the first round it is killed while it opens or makes the database, then later and later.
        for _ in 0..round * 7 {
            last = certain(&lines.next().unwrap().unwrap()).or(last);
        }
        if round == 5 {
            let error = Store::open(dir.path(), &opening()).unwrap_err();
            let OpenError::InUse { pid, .. } = error else {
                panic!("{error:?}")
            };
            assert_eq!(pid, Some(child.id()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            last = certain(&line.unwrap()).or(last);
        }

        let (store, loaded) = Store::open(dir.path(), &opening()).unwrap();
        let found: BTreeSet<u64> = loaded
            .unfinished
            .iter()
            .map(|unfinished| {
                assert_eq!(unfinished.journal.len(), 1);
                unfinished.operation.id.0
            })
            .collect();
        let nodes: BTreeSet<u64> = loaded
            .nodes
            .iter()
            .map(|row| row.key.parse().unwrap())
            .collect();
        assert_eq!(found, nodes, "round {round}");
        let end = u64::try_from(found.len()).unwrap();
        assert_eq!(found, (1..=end).collect(), "round {round}: a gap");
        assert!(last.unwrap_or(0) <= end, "round {round}: {last:?} of {end}");
        assert_eq!(loaded.sequence.0, end);
        let audited = runtime.block_on(verify(&store, &loaded)).unwrap();
        assert_eq!(audited.number, 2 * end, "round {round}");
        written = end;
    }
    assert!(written > 500, "{written}");
}
