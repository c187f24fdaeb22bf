//! Durable commits: what an acknowledged operation costs on this disk.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use enginehouse_model::{InstallationId, OperationId, Timestamp};
use enginehouse_store::{Commit, Document, Fence, JournalRow, Opening, OperationRow, Store};
use uuid::Uuid;

use super::sample::{Samples, Table};

const WRITERS: u64 = 32;
const EACH: u64 = 150;
/// Bytes of an operation's document: about what one of ours has.
const BODY: usize = 600;

pub fn measure() -> Result<Table> {
    let dir = tempfile::tempdir_in(enginehouse_tests::target_dir())?;
    let raw = raw(&mut File::create(dir.path().join("log"))?)?;
    let opening = Opening {
        host: "bench".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::from_u128(1)),
        max_pages: None,
    };
    let (store, loaded) = Store::open(&dir.path().join("data"), &opening)?;
    let (took, latency) = committed(&store, loaded.fence, WRITERS, EACH, 0)?;
    let stats = store.stats();

    let per_second = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
    let log = per_second(raw.1, raw.0);
    let ours = per_second(WRITERS * EACH, took);
    let mut table = Table::default();
    table.line("append + fdatasync", format!("{log:.0} per second"));
    table.line("operations, 32 clients", format!("{ours:.0} per second"));
    table.line("ratio", format!("{:.2} (must be 0.5 or more)", ours / log));
    table.line("one operation", latency);
    table.line(
        "operations in one fsync",
        format!("{:.1}", stats.commits as f64 / stats.transactions as f64),
    );
    Ok(table)
}

/// One writer that syncs every record: the plainest durable log there is.
pub fn raw(log: &mut File) -> Result<(Duration, u64)> {
    let record = vec![b'x'; BODY];
    let count = WRITERS * EACH / 4;
    let began = Instant::now();
    for _ in 0..count {
        log.write_all(&record)?;
        log.sync_data()?;
    }
    Ok((began.elapsed(), count))
}

/// Each writer waits for its operation before it orders the next. Numbers begin after `first`.
pub fn committed(
    store: &Store,
    fence: Fence,
    writers: u64,
    each: u64,
    first: u64,
) -> Result<(Duration, Samples)> {
    let began = Instant::now();
    let writers: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || -> Result<Vec<Duration>> {
                let mut latencies = Vec::new();
                for n in 0..each {
                    let began = Instant::now();
                    store
                        .submit(operation(fence, first + writer * each + n + 1)?)
                        .wait()?;
                    latencies.push(began.elapsed());
                }
                Ok(latencies)
            })
        })
        .collect();
    let mut samples = Samples::default();
    for writer in writers {
        let latencies = writer.join().map_err(|_| anyhow!("a writer panicked"))??;
        latencies
            .into_iter()
            .for_each(|latency| samples.add(latency));
    }
    Ok((began.elapsed(), samples))
}

/// An operation as a command of a client leaves it: its row and the first line of its journal.
fn operation(fence: Fence, number: u64) -> Result<Commit> {
    let document = Document::of(1, &"x".repeat(BODY))?;
    Ok(Commit::new(fence)
        .expect(OperationId(number), None)
        .operation(OperationRow {
            id: OperationId(number),
            state: "pending".to_owned(),
            targets: vec![Uuid::from_u128(number.into()).simple().to_string()],
            queued_at: Timestamp(number),
            ended_at: None,
            plan: None,
            document: document.clone(),
        })
        .journal(JournalRow {
            operation: OperationId(number),
            at: Timestamp(number),
            document,
        }))
}
