//! The `enginehouse` binary: `serve`, the client commands, `sim`, `demo`.
//!
//! A client command turns its arguments into requests of the REST API and its answers into text for
//! people or JSON for scripts; it decides nothing. What goes wrong anywhere becomes a
//! [`CommandError`](error::CommandError), and [`report`] is the one place that says it, with the way
//! out and the exit code.

mod args;
mod commands;
mod confirm;
mod connection;
mod doubt_text;
mod error;
mod export_files;
mod follow;
mod import_text;
mod input;
mod keep;
mod operation_text;
mod output;
mod preview_text;
mod report;
mod style;
mod table;
mod time;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.output);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(source) => return report::report(&error::CommandError::Runtime(source), &output),
    };
    match runtime.block_on(commands::run(cli, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::report(&error, &output),
    }
}
