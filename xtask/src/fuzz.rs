//! Fuzzing, for a bounded time: the targets of `tests/fuzz`.
//!
//! Without sanitizers, on the pinned toolchain: none of this code is `unsafe`, and no nightly is
//! needed. What the fuzzer finds is kept under `target/`; only the seeds are in the repository, and
//! every input that ever failed belongs among them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::command::{cargo, command, run, works};
use crate::workspace;

const DIR: &str = "tests/fuzz";
pub const TARGETS: [&str; 2] = ["import", "definition"];
const CARGO_FUZZ: &str = "0.13.2";

/// How long each target runs when nothing is said. Seconds.
const SECONDS: u64 = 30;

/// How much each target is run.
pub enum Bound {
    Runs(u64),
    Seconds(u64),
}

impl Bound {
    /// At most one of them is given.
    pub fn of(runs: Option<u64>, seconds: Option<u64>) -> Self {
        match (runs, seconds) {
            (Some(runs), _) => Self::Runs(runs),
            (None, seconds) => Self::Seconds(seconds.unwrap_or(SECONDS)),
        }
    }

    fn argument(&self) -> String {
        match self {
            Self::Runs(runs) => format!("-runs={runs}"),
            Self::Seconds(seconds) => format!("-max_total_time={seconds}"),
        }
    }
}

/// Runs every target, or one. Where cargo-fuzz cannot be installed this is said and is no failure,
/// except in CI.
pub fn fuzz(target: Option<&str>, bound: &Bound) -> Result<ExitCode> {
    let program = match program() {
        Ok(program) => program,
        Err(error) if !in_ci() => {
            println!("skipped: {error:#}");
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error),
    };
    for name in TARGETS {
        if target.is_some_and(|target| target != name) {
            continue;
        }
        println!("fuzz {name}");
        fuzz_one(&program, name, bound)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fuzz_one(program: &PathBuf, name: &str, bound: &Bound) -> Result<()> {
    let made = workspace::target().join("fuzz");
    let found = made.join("corpus").join(name);
    let failures = made.join("failures");
    for dir in [&found, &failures] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    // The first corpus is the one that is written to.
    let mut fuzz = command(program);
    // Its own instrumentation is all that is built with.
    fuzz.env_remove("RUSTFLAGS").env_remove("CARGO_TARGET_DIR");
    fuzz.args(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir", DIR])
        .arg("--target-dir")
        .arg(made.join("build"))
        .arg(name)
        .arg(&found)
        .arg(format!("{DIR}/corpus/{name}"))
        .arg("--")
        .arg(bound.argument())
        .args(["-max_len=16384", "-timeout=20", "-rss_limit_mb=2048"])
        .arg(format!("-artifact_prefix={}/{name}-", failures.display()))
        .arg("-print_final_stats=1");
    run(&mut fuzz).with_context(|| {
        format!(
            "an input of `{name}` does what it must not; it is in {}: put it into {DIR}/corpus/{name} with what mends it",
            failures.display()
        )
    })
}

/// cargo-fuzz: the one that is there, or one that is installed under `target/`.
fn program() -> Result<PathBuf> {
    let answers = |program: &PathBuf| works(Command::new(program).args(["fuzz", "--version"]));
    let there = PathBuf::from("cargo-fuzz");
    if answers(&there) {
        return Ok(there);
    }
    let root = workspace::target().join("tools");
    let own = root.join("bin/cargo-fuzz");
    if !answers(&own) {
        println!("installing cargo-fuzz {CARGO_FUZZ} into {}", root.display());
        run(cargo()
            .args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(root.join("build")))
        .context("cannot install cargo-fuzz from crates.io")?;
    }
    Ok(own)
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
