//! A call of an engine: in a fresh sandbox, as every call is, and in one that is there already.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_engines::{
    Connection, ConnectionSpec, Engine, Occasion, Runtime, RuntimeConfig, Silent,
};
use enginehouse_model::HypervisorUid;
use enginehouse_model::documents::MachineRef;
use enginehouse_tests::{engines_dir, test_engine};
use uuid::Uuid;

use super::grpc;
use super::sample::{Samples, Table};

const WARM_UP: usize = 200;
const CALLS: usize = 2000;
const DEADLINE: Duration = Duration::from_secs(60);

pub fn measure() -> Result<Table> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(calls())
}

async fn calls() -> Result<Table> {
    let cache = tempfile::tempdir()?;
    let runtime = Runtime::new(RuntimeConfig::new(cache.path().join("cache")))?;
    let small = load(&runtime, &test_engine("abuse")?).await?;
    let real = load(&runtime, &engines_dir()?.join("proxmox.wasm")).await?;

    let read = reads(&small).await?;
    let fresh = fresh(&real).await?;
    let warm = warm(&real).await?;
    let grpc = grpc::round_trips(WARM_UP, CALLS).await?;

    let mut table = Table::default();
    let pooled = if runtime.is_pooled() { "yes" } else { "no" };
    table.line("pool of instances", pooled);
    table.line("fresh sandbox + `read`, small engine", &read);
    table.line("fresh sandbox + `describe`, proxmox", &fresh);
    table.line("warm `describe`, proxmox", &warm);
    table.line("gRPC round trip over a Unix socket", &grpc);
    let against = |ours: &Samples| ours.ratio(&grpc);
    table.line(
        "`read` / gRPC",
        format!("{:.2} (must be below 1)", against(&read)),
    );
    table.line("`describe` / gRPC", format!("{:.2}", against(&fresh)));
    table.line("fresh / warm", format!("{:.2}", fresh.ratio(&warm)));
    Ok(table)
}

async fn load(runtime: &Runtime, path: &Path) -> Result<Arc<Engine>> {
    let engine = runtime.load_file(path).await;
    engine.with_context(|| format!("{} is refused", path.display()))
}

/// The whole way of a call: sandbox, arguments and answer as JSON, what has to be taken down.
async fn reads(engine: &Engine) -> Result<Samples> {
    let hypervisor = HypervisorUid::from_uuid(Uuid::from_u128(1));
    let spec = ConnectionSpec::new(hypervisor, "bench", "127.0.0.1:9", engine.description());
    let connection = Connection::new(spec)?;
    let machine = MachineRef {
        id: "100".to_owned(),
        kind: None,
        host: None,
    };
    let mut samples = Samples::default();
    for n in 0..WARM_UP + CALLS {
        let began = Instant::now();
        let occasion = Occasion::reading(DEADLINE, Arc::new(Silent));
        let read = engine
            .read(occasion, &connection, std::slice::from_ref(&machine))
            .await?;
        let took = began.elapsed();
        ensure!(matches!(read.as_slice(), [Ok(_)]), "{read:?}");
        if n >= WARM_UP {
            samples.add(took);
        }
    }
    Ok(samples)
}

async fn fresh(engine: &Engine) -> Result<Samples> {
    let mut samples = Samples::default();
    for n in 0..WARM_UP + CALLS {
        let began = Instant::now();
        engine.describe_repeatedly(1).await?;
        let took = began.elapsed();
        if n >= WARM_UP {
            samples.add(took);
        }
    }
    Ok(samples)
}

async fn warm(engine: &Engine) -> Result<Samples> {
    let mut samples = Samples::default();
    let times = engine.describe_repeatedly(WARM_UP + CALLS).await?;
    times
        .into_iter()
        .skip(WARM_UP)
        .for_each(|took| samples.add(took));
    Ok(samples)
}
