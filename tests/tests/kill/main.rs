//! The real host, killed again and again at random moments while several clients work: what was
//! acknowledged is there afterwards, nothing was done twice, and the hypervisor has what the host
//! says.
//!
//! `ENGINEHOUSE_KILLS=5000` kills more often, `ENGINEHOUSE_KILL_SECONDS=3600` goes on as long as that;
//! `ENGINEHOUSE_SEED=…` orders and kills as the run that printed it did, as far as the clock lets it.

mod check;
mod clients;
mod door;
mod ledger;

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_simulation::random::Random;
use enginehouse_tests::{FakePveOptions, Site};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use check::check;
use clients::{Kinds, MACHINES, work};
use door::Door;
use ledger::Ledger;

/// Kills where nobody says otherwise.
const KILLS: u32 = 200;
/// Seconds that a clone takes: there is a middle to be killed in.
const CLONE: f64 = 0.15;

/// A number of the environment; none where it is not set.
fn number(name: &str) -> Result<Option<u64>> {
    let Ok(text) = env::var(name) else {
        return Ok(None);
    };
    let number = text.parse();
    number
        .map(Some)
        .with_context(|| format!("{name} is no number: {text}"))
}

/// How often, or how long, the host is killed.
struct Bound {
    kills: u32,
    until: Option<Instant>,
}

impl Bound {
    fn of_environment() -> Result<Self> {
        let kills = number("ENGINEHOUSE_KILLS")?
            .map(u32::try_from)
            .transpose()?;
        let seconds = number("ENGINEHOUSE_KILL_SECONDS")?;
        Ok(Self {
            kills: kills.unwrap_or(match seconds {
                Some(_) => u32::MAX,
                None => KILLS,
            }),
            until: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        })
    }

    fn is_reached(&self, kills: u32) -> bool {
        kills >= self.kills || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

async fn stage() -> Result<Option<Site>> {
    let slow = FakePveOptions {
        slow_clones: CLONE,
        ..FakePveOptions::default()
    };
    let Some(site) = Site::with_root(slow).await? else {
        return Ok(None);
    };
    let short = json!({"request_timeout_s": 2, "shutdown_timeout_s": 2, "concurrent": 6});
    site.set_root(site.entry_with(json!({ "limits": short })))
        .await?;
    for folder in ["/web", "/db", "/notes"] {
        let kind = enginehouse_api::OperationKind::CreateFolder;
        site.order(kind, folder, enginehouse_tests::defined(json!({})))
            .await?;
    }
    for path in MACHINES {
        site.provision(path, json!({})).await?;
    }
    Ok(Some(site))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_every_kill() -> Result<()> {
    let seed = match number("ENGINEHOUSE_SEED")? {
        Some(seed) => seed,
        None => u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32,
    };
    println!("again: ENGINEHOUSE_SEED={seed}");
    let bound = Bound::of_environment()?;
    let Some(mut site) = stage().await? else {
        return Ok(());
    };
    let mut random = Random::new(seed);
    let ledger = Arc::new(Ledger::default());
    let (doors, door) = watch::channel(Some(Door::of(site.host.data_dir())?));
    let (stop, stopping) = watch::channel(false);
    let mut clients = JoinSet::new();
    for (at, kinds) in [
        Kinds::Machines,
        Kinds::Machines,
        Kinds::Tree,
        Kinds::Cancels,
    ]
    .into_iter()
    .enumerate()
    {
        let own = Random::new(random.draw());
        clients.spawn(work(
            at,
            kinds,
            own,
            door.clone(),
            stopping.clone(),
            Arc::clone(&ledger),
        ));
    }
    let mut kills = 0;
    while !bound.is_reached(kills) {
        // Mostly shortly after it is back, while it finds out what became of everything.
        let lives = match random.below(4) {
            0 => random.below(600),
            _ => random.below(120),
        };
        tokio::time::sleep(Duration::from_millis(lives)).await;
        site.host.kill().await?;
        doors.send_replace(None);
        kills += 1;
        site.host.restart().await?;
        doors.send_replace(Some(Door::of(site.host.data_dir())?));
        if let Some(ended) = clients.try_join_next() {
            ended??;
            anyhow::bail!("a client has ended by itself");
        }
    }
    stop.send_replace(true);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    let found = check(&mut site, &ledger).await?;
    println!("{kills} kills, {found}");
    // The run was about something.
    ensure!(
        found.acknowledged > u64::from(kills.min(KILLS)),
        "only {} orders were acknowledged",
        found.acknowledged
    );
    ensure!(found.clones > 0, "no machine was made");
    Ok(())
}
