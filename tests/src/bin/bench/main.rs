//! `cargo xtask bench [NAME]`: what things cost, as ratios within one run where that is possible.
//!
//! A measurement is a module with a function that answers a [`Table`]. What it measures against is
//! measured in the same run, on the same machine, so a slow machine changes both.

mod sample;
mod store;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

use sample::Table;

struct Measurement {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Table>,
}

const MEASUREMENTS: &[Measurement] = &[Measurement {
    name: "store",
    what: "durable commits of 32 writers, against a raw append + fdatasync log",
    run: store::measure,
}];

fn main() -> ExitCode {
    match run(env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(only: Option<&str>) -> Result<()> {
    let mut found = false;
    for measurement in MEASUREMENTS {
        if only.is_some_and(|name| name != measurement.name) {
            continue;
        }
        found = true;
        println!("{}: {}", measurement.name, measurement.what);
        print!("{}", (measurement.run)()?);
    }
    if !found {
        let names: Vec<&str> = MEASUREMENTS.iter().map(|one| one.name).collect();
        bail!("no such measurement; there are: {}", names.join(", "));
    }
    Ok(())
}
