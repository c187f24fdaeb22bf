//! The host as a process: the real binary on a data directory of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{ADDRESS_FILE, Access, Client};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::paths;

/// How long a host may take to be ready: it may have engines to compile.
const READY: Duration = Duration::from_secs(60);
/// How often is looked whether it is.
const LOOK: Duration = Duration::from_millis(10);

/// How a host is started.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Directory of its engines; `None`: those that `cargo xtask engines` built.
    pub engines: Option<PathBuf>,
    /// Where its data directory is made; `None`: where temporary directories are.
    pub data_in: Option<PathBuf>,
    /// More arguments of `enginehouse serve`.
    pub arguments: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
}

/// A host that serves, until it is killed or this is dropped. Its data directory goes with it.
#[derive(Debug)]
pub struct Host {
    options: HostOptions,
    data: TempDir,
    process: Option<Child>,
    client: Client,
}

impl Host {
    /// Starts a host on a new data directory and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be built, or ends; the message has what it said.
    pub async fn start(options: HostOptions) -> Result<Self> {
        let mut data = tempfile::Builder::new();
        data.prefix("enginehouse-");
        let data = match &options.data_in {
            Some(dir) => data.tempdir_in(dir)?,
            None => data.tempdir()?,
        };
        let (process, client) = launch(data.path(), &options).await?;
        Ok(Self {
            options,
            data,
            process: Some(process),
            client,
        })
    }

    /// Its REST API, with its token.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Process id; `None` after [`Host::kill`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// `SIGKILL`, and waits until it is gone.
    ///
    /// # Errors
    /// When it has ended already: a host does not end by itself.
    pub async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the host was killed already")?;
        if let Some(status) = process.try_wait()? {
            bail!("the host has ended by itself, {status}:\n{}", self.log());
        }
        process.kill().await?;
        Ok(())
    }

    /// Starts it again after [`Host::kill`], on the same data.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the host is still running");
        let (process, client) = launch(self.data.path(), &self.options).await?;
        self.process = Some(process);
        self.client = client;
        Ok(())
    }

    /// As [`Host::restart`], with other arguments of `serve` from now on.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn restart_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.options.arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        self.restart().await
    }

    /// As [`Host::restart`], with other variables in its environment from now on.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn restart_in(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        self.options.environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.restart().await
    }

    /// Runs an `enginehouse` command against it.
    ///
    /// # Errors
    /// When it cannot be run. What it answers, also its exit code, is in the output.
    pub async fn run(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let output = Command::new(binary().await?)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        Ok(output)
    }

    /// As [`Host::run`], with a text on standard input.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Result<std::process::Output> {
        let mut process = Command::new(binary().await?)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = process.stdin.take().context("no standard input")?;
        match stdin.write_all(input.as_bytes()).await {
            // A command that refuses its arguments does not read any more.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        drop(stdin);
        Ok(process.wait_with_output().await?)
    }

    /// All that it wrote to standard output and error, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(self.data.path())
    }
}

/// The binary as the sources are now: `cargo test` alone does not build it.
///
/// # Errors
/// When it does not build.
pub async fn binary() -> Result<&'static Path> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || async {
        if let Some(path) = std::env::var_os("ENGINEHOUSE_BINARY") {
            return Ok(PathBuf::from(path));
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "enginehouse"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(paths::workspace_dir())
            .stderr(Stdio::inherit())
            .output()
            .await?;
        ensure!(
            built.status.success(),
            "the enginehouse binary does not build"
        );
        String::from_utf8(built.stdout)?
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "enginehouse")
            .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
            .context("cargo did not say where the enginehouse binary is")
    };
    BINARY.get_or_try_init(build).await.map(PathBuf::as_path)
}

async fn launch(data: &Path, options: &HostOptions) -> Result<(Child, Client)> {
    let engines = match &options.engines {
        Some(engines) => engines.clone(),
        None => paths::engines_dir()?,
    };
    // A host that was killed leaves its address behind.
    match std::fs::remove_file(data.join(ADDRESS_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(data))?;
    let mut process = Command::new(binary().await?)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .arg("--engines")
        .arg(engines)
        .args(&options.arguments)
        .envs(options.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    let began = Instant::now();
    loop {
        if let Some(status) = process.try_wait()? {
            bail!("the host ended at its start, {status}:\n{}", log_of(data));
        }
        if let Ok(access) = Access::of_data_dir(data) {
            let client = Client::new(&access)?;
            if client.healthz().await.is_ok() {
                return Ok((process, client));
            }
        }
        ensure!(
            began.elapsed() < READY,
            "the host is not ready after {READY:?}:\n{}",
            log_of(data)
        );
        sleep(LOOK).await;
    }
}

fn log_path(data: &Path) -> PathBuf {
    data.join("serve.log")
}

fn log_of(data: &Path) -> String {
    std::fs::read_to_string(log_path(data)).unwrap_or_default()
}
