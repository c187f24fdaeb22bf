//! `cargo xtask`: what a fresh clone needs, and the chores around it.
//!
//! Each command prepares what it stands on: engines for wasm, test peers, the binary. All of that goes
//! under `target/`, and what is there and still right is left alone.

mod command;
mod engines;
mod fuzz;
mod host;
mod peers;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show what Enginehouse does: deploy a sample tree on a simulated hypervisor and serve it
    Run {
        /// End after the demonstration instead of serving until Ctrl-C
        #[arg(long)]
        once: bool,
    },
    /// Prepare everything and run all tests
    Test {
        /// Only tests whose name holds this
        filter: Option<String>,
        /// Handed to the test programs: `cargo xtask test clone -- --nocapture`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Measure
    Bench {
        /// Only this measurement
        name: Option<String>,
        /// With what the tests are built with instead of a release build: soon ready, and good for a
        /// look at the ratios
        #[arg(long)]
        quick: bool,
    },
    /// Fuzz what reads files and definitions, for a bounded time
    Fuzz {
        /// Only this target
        #[arg(value_parser = fuzz::TARGETS)]
        target: Option<String>,
        /// Runs of each target
        #[arg(long, conflicts_with = "seconds")]
        runs: Option<u64>,
        /// Seconds that each target runs, when not the number of runs is given: 30
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// Build the engines of this repository, and those of its tests, into target/engines
    Engines,
    /// Install the test peers into target/peers
    Peers,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            // One line for each cause: the last one names what to do.
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", chain.join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}

/// Answers the exit code of the program that a task ends with.
fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Run { once } => {
            engines::build_ours()?;
            host::demo(once)
        }
        Task::Test { filter, arguments } => {
            engines::build_all()?;
            peers::install()?;
            host::test(filter.as_deref(), &arguments)
        }
        Task::Bench { name, quick } => {
            engines::build_all()?;
            peers::install()?;
            host::bench(name.as_deref(), quick)
        }
        Task::Fuzz {
            target,
            runs,
            seconds,
        } => fuzz::fuzz(target.as_deref(), &fuzz::Bound::of(runs, seconds)),
        Task::Engines => engines::build_all().map(|()| ExitCode::SUCCESS),
        Task::Peers => peers::install().map(|()| ExitCode::SUCCESS),
    }
}
