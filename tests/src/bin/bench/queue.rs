//! Operations that wait for the provider, and operations that wait for the disk.
//!
//! Ten thousand tasks of a simulated hypervisor are under way at once: what the host needs for them.
//! And how many orders become durable in a second, beside the plainest durable log on the same disk.

use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Client, OperationKind, OperationRequest, Params};
use enginehouse_model::InstallationId;
use enginehouse_sim::{Knobs, Sim, SimConfig, SimHandle};
use enginehouse_store::{Opening, Store};
use enginehouse_tests::{Host, HostOptions, defined};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::sample::Table;
use super::store::{committed, raw};

/// Tasks under way at once.
const WAITING: [usize; 3] = [100, 1_000, 10_000];
/// Says other numbers of tasks, `100,2000`, and that nothing but these is measured.
const TASKS: &str = "ENGINEHOUSE_BENCH_TASKS";
/// Clients that order at once.
const CLIENTS: [u64; 4] = [1, 8, 32, 256];
/// How long one number of clients orders.
const ORDERING: Duration = Duration::from_secs(5);
/// What passes until polls are as far apart as they get and the host has given back what the beginning
/// took, and how long is measured then.
const SETTLE: Duration = Duration::from_secs(15);
const COUNTED: Duration = Duration::from_secs(30);
/// Milliseconds of a task: longer than the measurement.
const TASK: u64 = 24 * 3600 * 1000;
/// Orders in flight while the estate is made.
const MAKERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1200);

pub fn measure() -> Result<Table> {
    let mut table = Table::default();
    let asked = asked()?;
    let counts = asked.as_deref().unwrap_or(&WAITING);
    tokio::runtime::Runtime::new()?.block_on(waiting(&mut table, counts))?;
    if asked.is_none() {
        durable(&mut table)?;
    }
    Ok(table)
}

/// The numbers of tasks that [`TASKS`] says.
fn asked() -> Result<Option<Vec<usize>>> {
    let Ok(text) = env::var(TASKS) else {
        return Ok(None);
    };
    let counts: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    let counts = counts.with_context(|| format!("{TASKS} is `{text}`, not `100,2000`"))?;
    ensure!(
        counts.is_sorted(),
        "{TASKS} is `{text}`: smaller numbers go first"
    );
    Ok(Some(counts))
}

/// What the process has of something, from `/proc/PID/status`: `Threads`, `VmRSS` (KiB).
fn of_process(host: &Host, what: &str) -> Result<u64> {
    let pid = host.pid().context("the host has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let value = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    Ok(value.with_context(|| format!("no {what}"))?.parse()?)
}

async fn order(client: &Client, kind: OperationKind, path: String, params: Params) -> Result<()> {
    let request = OperationRequest {
        kind,
        path: path.parse()?,
        params,
    };
    client.order(&request, None, None).await?;
    Ok(())
}

async fn stage() -> Result<(SimHandle, Host)> {
    let sim = Sim::start(SimConfig {
        knobs: Knobs {
            task_ms: TASK,
            ..Knobs::default()
        },
        ..SimConfig::default()
    })
    .await?;
    let host = Host::start(HostOptions::default()).await?;
    let root = json!({
        "hypervisors": {"sim": {
            "type": "fake", "host": sim.url(),
            "limits": {"concurrent": 20_000, "clones_per_template": 20_000},
        }},
        "use_hypervisor": "sim", "base_image": "d12", "vcpu": 1, "memory": "1GiB",
    });
    let client = host.client();
    order(client, OperationKind::Edit, "/".to_owned(), defined(root)).await?;
    Ok((sim, host))
}

async fn waiting(table: &mut Table, counts: &[usize]) -> Result<()> {
    let (sim, host) = stage().await?;
    tokio::time::sleep(SETTLE).await;
    let (threads, idle) = (of_process(&host, "Threads")?, of_process(&host, "VmRSS")?);
    table.line("no operation: threads", threads);
    table.line("no operation: memory", format!("{} MiB", idle / 1024));
    let mut made = 0;
    for &count in counts {
        let began = Instant::now();
        begin(&sim, &host, made, count).await?;
        made = count;
        let begun = began.elapsed();
        tokio::time::sleep(SETTLE).await;
        let before = sim.requests();
        let mut threads = 0;
        let mut memory = 0;
        let began = Instant::now();
        while began.elapsed() < COUNTED {
            tokio::time::sleep(Duration::from_secs(1)).await;
            threads = threads.max(of_process(&host, "Threads")?);
            memory = memory.max(of_process(&host, "VmRSS")?);
        }
        let asked = sim.requests().total() - before.total();
        let rate = asked as f64 / began.elapsed().as_secs_f64();
        let name = |what| format!("{count} tasks: {what}");
        table.line(
            name("until all are under way"),
            format!("{:.1} s", begun.as_secs_f64()),
        );
        table.line(name("threads"), threads);
        table.line(name("memory"), format!("{} MiB", memory / 1024));
        let grown = memory.saturating_sub(idle) / u64::try_from(count)?.max(1);
        table.line(name("memory of each"), format!("{grown} KiB"));
        table.line(name("requests a second"), format!("{rate:.1}"));
        let each = rate / count as f64;
        table.line(name("requests a second and task"), format!("{each:.4}"));
    }
    sim.stop().await;
    Ok(())
}

/// Provisions and deploys so many more, and waits until the provider works on all of them.
async fn begin(sim: &SimHandle, host: &Host, from: usize, to: usize) -> Result<()> {
    let folder = format!("/to-{to}");
    let client = host.client();
    let kind = OperationKind::CreateFolder;
    order(client, kind, folder.clone(), defined(json!({}))).await?;
    let mut makers = JoinSet::new();
    for at in from..to {
        while makers.len() >= MAKERS {
            makers.join_next().await.context("nobody makes")???;
        }
        let (client, path) = (client.clone(), format!("{folder}/vm-{at}"));
        makers.spawn(async move {
            order(&client, OperationKind::Provision, path, defined(json!({}))).await
        });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    order(client, OperationKind::Deploy, folder, Params::default()).await?;
    let began = Instant::now();
    loop {
        let under_way = sim.world().tasks.len();
        if under_way >= to {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "only {under_way} of {to} tasks are under way"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Commits of the store, and orders over HTTP, at so many clients; the raw log before and after.
fn durable(table: &mut Table) -> Result<()> {
    let dir = tempfile::tempdir_in(enginehouse_tests::target_dir())?;
    let per_second = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
    let (took, count) = raw(&mut fs::File::create(dir.path().join("log"))?)?;
    let before = per_second(count, took);
    let opening = Opening {
        host: "bench".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::from_u128(1)),
        max_pages: None,
    };
    let (store, loaded) = Store::open(&dir.path().join("data"), &opening)?;
    let mut commits = Vec::new();
    let mut first = 0;
    for clients in CLIENTS {
        let each = (4_000 / clients).clamp(20, 1_500);
        let (took, _) = committed(&store, loaded.fence, clients, each, first)?;
        first += clients * each;
        commits.push(per_second(clients * each, took));
    }
    let orders = tokio::runtime::Runtime::new()?.block_on(ordered())?;
    let (took, count) = raw(&mut fs::File::create(dir.path().join("log"))?)?;
    let after = per_second(count, took);
    let log = (before + after) / 2.0;
    table.line(
        "append + fdatasync, before and after",
        format!("{before:.0} and {after:.0} a second"),
    );
    let rows = CLIENTS.into_iter().zip(commits).zip(orders);
    for ((clients, commits), orders) in rows {
        for (what, rate) in [
            ("commits of the store", commits),
            ("orders over HTTP", orders),
        ] {
            let ratio = rate / log;
            table.line(
                format!("{what}, {clients} clients"),
                format!("{rate:.0} a second, {ratio:.2} of the log"),
            );
        }
    }
    Ok(())
}

/// Each client edits a descriptor of its own, and waits for the answer before it orders again.
async fn ordered() -> Result<Vec<f64>> {
    // Where the raw log and the store are: a temporary directory may be another file system.
    let host = Host::start(HostOptions {
        data_in: Some(enginehouse_tests::target_dir()),
        ..HostOptions::default()
    })
    .await?;
    let most = CLIENTS.into_iter().max().unwrap_or_default();
    for at in 0..most {
        let path = format!("/vm-{at}");
        order(
            host.client(),
            OperationKind::Provision,
            path,
            defined(json!({})),
        )
        .await?;
    }
    let mut rates = Vec::new();
    for clients in CLIENTS {
        let began = Instant::now();
        let mut ordering = JoinSet::new();
        for at in 0..clients {
            let client = host.client().clone();
            ordering.spawn(async move {
                let mut count = 0_u64;
                while began.elapsed() < ORDERING {
                    count += 1;
                    let definition = json!({"labels": {"count": count.to_string()}});
                    let path = format!("/vm-{at}");
                    order(&client, OperationKind::Edit, path, defined(definition)).await?;
                }
                Ok::<_, anyhow::Error>(count)
            });
        }
        let mut all = 0;
        while let Some(count) = ordering.join_next().await {
            all += count??;
        }
        rates.push(all as f64 / began.elapsed().as_secs_f64());
    }
    Ok(rates)
}
