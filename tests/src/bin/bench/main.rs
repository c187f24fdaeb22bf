//! `cargo xtask bench [NAME]`: what things cost, as ratios within one run where that is possible.
//!
//! A measurement is a module with a function that answers a [`Table`]. What it measures against is
//! measured in the same run, on the same machine, so a slow machine changes both.

mod clones;
mod core_time;
mod engine;
mod grpc;
mod load;
mod plan;
mod queue;
mod sample;
mod store;
mod tree;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use sample::Table;

struct Measurement {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Table>,
}

const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "engine",
        what: "a call of an engine, against a gRPC round trip to a process",
        run: engine::measure,
    },
    Measurement {
        name: "load",
        what: "20 engines to ready, from the compile cache and without it",
        run: load::measure,
    },
    Measurement {
        name: "store",
        what: "durable commits of 32 writers, against a raw append + fdatasync log",
        run: store::measure,
    },
    Measurement {
        name: "queue",
        what: "10,000 operations that wait for tasks; durable operations at 1 to 256 clients",
        run: queue::measure,
    },
    Measurement {
        name: "clones",
        what: "100 clones on fakepve, with the default limits and with wide ones",
        run: clones::measure,
    },
    Measurement {
        name: "tree",
        what: "100,000 descriptors: load, edits, memory, against maps cloned and merged",
        run: tree::measure,
    },
    Measurement {
        name: "plan",
        what: "1,000 to 100,000 machines planned, 1 % changed, against maps that are compared",
        run: plan::measure,
    },
];

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (first, second) = (arguments.next(), arguments.next());
    let result = match (first.as_deref(), second) {
        (Some(grpc::PLUGIN), Some(socket)) => grpc::serve(Path::new(&socket)),
        (only, _) => run(only),
    };
    match result {
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
