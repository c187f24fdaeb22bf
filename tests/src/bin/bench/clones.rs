//! A hundred clones of one template on fakepve, through the whole host.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{OperationKind, OperationRequest, OperationState, Params};
use enginehouse_tests::{Exchange, FakePve, FakePveOptions, Host, HostOptions, TEMPLATE};
use serde_json::{Value, json};

use super::sample::Table;

const MACHINES: usize = 100;
const LOOK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(600);
/// Ticks of `/proc/PID/stat` in a second, on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// What a run of all clones took.
struct Took {
    wall: Duration,
    cpu: f64,
    requests: f64,
    /// How many of each kind, refused ones apart.
    kinds: BTreeMap<String, usize>,
}

pub fn measure() -> Result<Table> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let default = clones(json!({})).await?;
        let wide = clones(json!({ "concurrent": 64, "clones_per_template": 64 })).await?;
        let mut table = Table::default();
        describe(&mut table, "default limits", &default);
        describe(&mut table, "64 at a time", &wide);
        let ratio = wide.wall.as_secs_f64() / default.wall.as_secs_f64();
        table.line("64 at a time / default, wall", format!("{ratio:.2}"));
        Ok(table)
    })
}

fn describe(table: &mut Table, name: &str, took: &Took) {
    let wall = took.wall.as_secs_f64();
    table.line(format!("{name}: wall"), format!("{wall:.2} s"));
    let each = took.cpu * 1e3 / MACHINES as f64;
    let cpu = format!("{:.2} s ({each:.1} ms a machine)", took.cpu);
    table.line(format!("{name}: CPU of the host"), cpu);
    let requests = format!("{:.2}", took.requests);
    table.line(format!("{name}: requests a machine"), requests);
    for (kind, count) in &took.kinds {
        table.line(format!("  {kind}"), count);
    }
}

async fn clones(limits: Value) -> Result<Took> {
    let pve = FakePve::start(FakePveOptions::default()).await?;
    let files = tempfile::tempdir()?;
    let (ca, token) = (files.path().join("ca.pem"), files.path().join("token"));
    fs::write(&ca, pve.ca())?;
    fs::write(&token, pve.secret())?;
    let host = Host::start(HostOptions::default()).await?;
    let root = json!({
        "hypervisors": { "pve": {
            "type": "proxmox", "host": pve.url(), "user": pve.token(),
            "password": { "file": token }, "tls": { "ca_file": ca }, "limits": limits,
            "settings": { "node": "pve1", "storage": "local-lvm", "bridge": "vmbr0" },
        } },
        "use_hypervisor": "pve", "base_image": TEMPLATE.to_string(), "vcpu": 2, "memory": "2GiB",
    });
    order(&host, OperationKind::Edit, "/", root).await?;
    for n in 0..MACHINES {
        order(
            &host,
            OperationKind::Provision,
            &format!("/vm{n}"),
            json!({}),
        )
        .await?;
    }
    pve.take_exchanges().await?;
    let before = cpu(&host)?;
    let began = Instant::now();
    order(&host, OperationKind::Deploy, "/", json!({})).await?;
    let (wall, cpu) = (began.elapsed(), cpu(&host)? - before);
    let made = pve.created().await?;
    let running = made.iter().filter(|machine| machine.status == "running");
    ensure!(running.count() == MACHINES, "not all of them run: {made:?}");
    let exchanges = pve.take_exchanges().await?;
    Ok(Took {
        wall,
        cpu,
        requests: exchanges.len() as f64 / MACHINES as f64,
        kinds: kinds(&exchanges),
    })
}

fn kinds(exchanges: &[Exchange]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for exchange in exchanges {
        let refused = match exchange.status {
            Some(status) if status >= 400 => format!(", refused ({status})"),
            Some(_) | None => String::new(),
        };
        let kind = format!("{}{refused}", exchange.template());
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// Orders something and waits until it succeeded.
async fn order(host: &Host, kind: OperationKind, path: &str, definition: Value) -> Result<()> {
    let Value::Object(definition) = definition else {
        bail!("a definition is an object");
    };
    let mut params = Params::default();
    if !definition.is_empty() {
        params.definition = Some(definition);
    }
    let request = OperationRequest {
        kind,
        path: path.parse()?,
        params,
    };
    let mut operation = host.client().order(&request, None, None).await?;
    let began = Instant::now();
    while !operation.state.has_ended() {
        ensure!(began.elapsed() < PATIENCE, "it does not end: {operation:?}");
        operation = host.client().wait(operation.number, LOOK).await?;
    }
    ensure!(
        operation.state == OperationState::Succeeded,
        "{operation:?}"
    );
    Ok(())
}

/// Seconds of processor time that the host's process has used.
fn cpu(host: &Host) -> Result<f64> {
    let pid = host.pid().context("the host has ended")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name, in parentheses, may hold anything; utime and stime come 12th and 13th after.
    let (_, after) = stat.rsplit_once(')').context("no stat")?;
    let ticks = |at| -> Result<f64> {
        let field = after.split_whitespace().nth(at).context("a short stat")?;
        Ok(field.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}
