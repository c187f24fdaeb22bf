//! `sim`: a simulated hypervisor.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use enginehouse_sim::{Knobs, Sim, SimConfig};
use serde::Serialize;

use super::serve::StopSignal;
use crate::error::CommandError;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
The engine `fake` speaks to it. Its API and the knobs for its faults: docs/sim.md.

Examples:
  enginehouse sim
  enginehouse sim --listen 127.0.0.1:7070 --state world.json --task-ms 2000")]
pub struct SimArgs {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: String,
    /// File that its world is kept in [default: in memory only]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How long a task takes, in milliseconds; a world from a file brings its own
    #[arg(long, value_name = "MS", default_value_t = 200)]
    task_ms: u64,
    /// Token that it wants to be shown [default: anybody may call]
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ENGINEHOUSE_SIM_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

/// What `sim --output json` writes once it listens.
#[derive(Serialize)]
struct Simulating {
    url: String,
    images: Vec<String>,
}

pub async fn sim(args: SimArgs, output: &Output) -> Result<(), CommandError> {
    let listen: SocketAddr = args.listen.parse().map_err(|source| CommandError::Listen {
        text: args.listen.clone(),
        source,
    })?;
    let config = SimConfig {
        listen,
        state: args.state,
        token: args.token,
        knobs: Knobs {
            task_ms: args.task_ms,
            ..Knobs::default()
        },
        ..SimConfig::default()
    };
    let stop = StopSignal::new()?;
    let sim = Sim::start(config).await?;
    let world = sim.world();
    let simulating = Simulating {
        url: sim.url(),
        images: world
            .images
            .iter()
            .map(|image| image.name.clone())
            .collect(),
    };
    output.answer(&simulating, |_| {
        format!(
            "simulated hypervisor at {}, images: {}",
            simulating.url,
            simulating.images.join(", ")
        )
    })?;
    stop.wait().await?;
    sim.stop().await;
    Ok(())
}
