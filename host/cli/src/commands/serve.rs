//! `serve`: runs the host. The only command that is not a client.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use enginehouse_server::{ServeConfig, Server};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::connection::data_dir;
use crate::error::CommandError;
use crate::keep;
use crate::output::Output;
use crate::time::{parse_duration, parse_lifetime};

#[derive(Debug, Args)]
#[command(after_help = "\
Ctrl-C or SIGTERM stops it; what was running goes on at the next start, also after a kill.
One data directory has one host: a second one is refused.

For each engine NAME, the variables NAME_HOST, NAME_USERNAME, NAME_PASSWORD, NAME_VERIFY_SSL and those
of its settings (PROXMOX_NODE) make a hypervisor NAME at the root, unless people wrote one there.

Examples:
  enginehouse serve
  PROXMOX_HOST=https://192.0.2.10:8006 PROXMOX_USERNAME=root@pam enginehouse serve
  enginehouse serve --data ./data --listen 127.0.0.1:7979 --engines ./engines")]
pub struct ServeArgs {
    /// Where the API listens; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7878")]
    listen: String,
    /// Directory of the engines' .wasm files [default: `engines` in the data directory]
    #[arg(long, value_name = "DIR")]
    engines: Option<PathBuf>,
    /// File with hypervisors for the root, engines: {proxmox: {host, username, …}} [default:
    /// `engines.yaml` in the data directory, if it is there]
    #[arg(long, value_name = "FILE")]
    engines_file: Option<PathBuf>,
    /// File with the key of the secrets [default: the systemd credential `enginehouse.key`, or
    /// `secret.key` in the data directory, made at the first start]
    #[arg(long, value_name = "FILE")]
    secret_key: Option<PathBuf>,
    /// Drop the secrets whose key is lost, instead of refusing to start
    #[arg(long)]
    forget_secrets: bool,
    /// How long a guest may take to shut down, if nothing else says it; after that `undeploy`
    /// switches its machine off, and `stop` gives up
    #[arg(long, value_name = "TIME", default_value = "60s")]
    shutdown_timeout: String,
    /// How long an operation waits for something that is locked before it fails
    #[arg(long, value_name = "TIME", default_value = "15m")]
    busy_timeout: String,
    /// How long one call of an engine may take before it is ended, at least 1s
    #[arg(long, value_name = "TIME", default_value = "240s")]
    call_deadline: String,
    /// Repair no drift and follow no definition without a person, whatever `policy` and `follow` say
    #[arg(long)]
    no_repair: bool,
    /// How long people have to approve what waits for their signatures
    #[arg(long, value_name = "TIME", default_value = "24h")]
    approval_lifetime: String,
    /// How long what is over is kept: operations=90d,100000 (with their logs), executed=365d,1000000 (the
    /// executed log with the results), plans=30d,10000, keys=1d,100000 (idempotency keys). A time bounds by age, a
    /// number by count, `all` by neither; these are the defaults. May be given several times
    #[arg(long, value_name = "WHAT=TIME,COUNT")]
    keep: Vec<String>,
    /// What is logged: error, warn, info, debug, or a filter as in info,enginehouse_engines=debug
    #[arg(
        long,
        value_name = "FILTER",
        env = "ENGINEHOUSE_LOG",
        default_value = "info"
    )]
    log: String,
}

/// What `serve --output json` writes once it listens.
#[derive(Serialize)]
struct Serving<'a> {
    url: &'a str,
    data_dir: &'a std::path::Path,
}

pub async fn serve(global: &Global, args: ServeArgs, output: &Output) -> Result<(), CommandError> {
    let listen: SocketAddr = args.listen.parse().map_err(|source| CommandError::Listen {
        text: args.listen.clone(),
        source,
    })?;
    let data_dir = data_dir(global.data.as_deref())?;
    let mut config = ServeConfig::new(data_dir.clone());
    config.listen = listen;
    config.engines_dir = args.engines;
    config.engines_file = args.engines_file;
    config.environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config.secret_key = args.secret_key;
    config.credentials_dir = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    config.forget_secrets = args.forget_secrets;
    config.no_repair = args.no_repair;
    config.shutdown_timeout = parse_duration(&args.shutdown_timeout)?;
    config.busy_timeout = parse_duration(&args.busy_timeout)?;
    config.call_deadline = parse_duration(&args.call_deadline)?.max(Duration::from_secs(1));
    config.approval_lifetime = parse_lifetime(&args.approval_lifetime)?;
    for text in &args.keep {
        keep::apply(&mut config.keep, text)?;
    }
    log_to_stderr(&args.log)?;

    // Before the start: a signal during it is kept, not lost.
    let stop = StopSignal::new()?;
    let running = Server::start(config).await.map_err(CommandError::Start)?;
    let serving = Serving {
        url: running.url(),
        data_dir: &data_dir,
    };
    output.answer(&serving, |_| {
        format!(
            "serving {} from {}",
            serving.url,
            serving.data_dir.display()
        )
    })?;
    stop.wait().await?;
    output.note("stopping");
    running.stop().await;
    Ok(())
}

/// Sends what the host logs to standard error.
///
/// # Errors
/// When the filter is none.
pub fn log_to_stderr(filter: &str) -> Result<(), CommandError> {
    let filter = EnvFilter::try_new(filter).map_err(|source| CommandError::LogFilter {
        text: filter.to_owned(),
        source,
    })?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .init();
    Ok(())
}

/// Ctrl-C or SIGTERM.
pub struct StopSignal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// # Errors
    /// When the process cannot listen to signals.
    pub fn new() -> Result<Self, CommandError> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .map_err(CommandError::Signal)?,
        })
    }

    /// Until one of them comes.
    ///
    /// # Errors
    /// As above.
    #[cfg(unix)]
    pub async fn wait(mut self) -> Result<(), CommandError> {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.map_err(CommandError::Signal),
            _ = self.terminate.recv() => Ok(()),
        }
    }

    #[cfg(not(unix))]
    pub async fn wait(self) -> Result<(), CommandError> {
        tokio::signal::ctrl_c().await.map_err(CommandError::Signal)
    }
}
