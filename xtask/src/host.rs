//! What is run at the end: the demonstration, the tests, the measurements.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::command::{cargo, command, last, run};
use crate::workspace;

/// Builds the `enginehouse` binary and answers where it is.
fn binary() -> Result<PathBuf> {
    // Its own target directory, whatever the environment says: it is started by its path.
    run(cargo()
        .args(["build", "--package", "enginehouse", "--target-dir"])
        .arg(workspace::target()))?;
    Ok(built("debug", "enginehouse"))
}

/// Where cargo puts a binary of this profile.
fn built(profile: &str, name: &str) -> PathBuf {
    workspace::target().join(profile).join(name)
}

/// `enginehouse demo`, with the engines just built.
pub fn demo(once: bool) -> Result<ExitCode> {
    let mut demo = command(binary()?);
    demo.arg("demo")
        .arg("--engines")
        .arg(workspace::target().join("engines"));
    if once {
        demo.arg("--once");
    }
    last(&mut demo)
}

/// All tests of the workspace; the peers are there, so a test that lacks one fails.
pub fn test(filter: Option<&str>, arguments: &[String]) -> Result<ExitCode> {
    // One build of everything with one set of features: `cargo build` of the binary alone would
    // have another, and build most dependencies a second time.
    let tests = || {
        let mut test = cargo();
        test.args(["test", "--workspace", "--target-dir"])
            .arg(workspace::target());
        test
    };
    run(tests().arg("--no-run"))?;
    let mut test = tests();
    // The binary is among it: the command line has integration tests.
    test.env("ENGINEHOUSE_BINARY", built("debug", "enginehouse"))
        .env("ENGINEHOUSE_PEERS", "required");
    if let Some(filter) = filter {
        test.arg(filter);
    }
    // All that fails is said in one run: a run takes long.
    test.args(["--no-fail-fast", "--"]).args(arguments);
    last(&mut test)
}

/// The measurements, built as they would be shipped.
pub fn bench(name: Option<&str>, quick: bool) -> Result<ExitCode> {
    let mut build = cargo();
    let profile = if quick {
        // What the tests have built is taken as it is, the binaries among it.
        build.args(["test", "--workspace", "--no-run"]);
        "debug"
    } else {
        build.args(["build", "--release", "--package", "enginehouse"]);
        build.args(["--package", "enginehouse-tests"]);
        "release"
    };
    run(build.arg("--target-dir").arg(workspace::target()))?;
    let mut bench = command(built(profile, "bench"));
    bench
        .env("ENGINEHOUSE_BINARY", built(profile, "enginehouse"))
        .env("ENGINEHOUSE_PEERS", "required");
    if let Some(name) = name {
        bench.arg(name);
    }
    last(&mut bench)
}
