//! fakepve, a Proxmox VE API from PyPI, as a process that a test owns.
//!
//! `tests/peers/fakepve_serve.py` runs it and takes commands by standard input; see there for what
//! it makes more like a node.

use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail, ensure};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::{Exchange, paths, skip_or_fail};

/// VMID of the template named `template`: one core, 1024 MiB, `scsi0` of 8 GiB, `net0`.
pub const TEMPLATE: u64 = 9000;

/// How fakepve is to be.
#[derive(Clone, Copy, Debug)]
pub struct FakePveOptions {
    /// Running machines that are there already: VMID 100, 101, … named `old-0`, `old-1`, …
    pub machines: u32,
    /// Nodes of the cluster: `pve1`, `pve2`, …
    pub nodes: u32,
    /// Seconds that a clone of the template takes; 0: it is done when the request returns. Its disk
    /// is on a storage of its own then, on which a start and a change of a disk take as long.
    pub slow_clones: f64,
}

impl Default for FakePveOptions {
    fn default() -> Self {
        Self {
            machines: 0,
            nodes: 1,
            slow_clones: 0.0,
        }
    }
}

/// A VM as fakepve has it inside, whatever its API shows.
#[derive(Clone, Debug, Deserialize)]
pub struct PveMachine {
    pub vmid: u64,
    pub name: String,
    pub node: String,
    /// `running` or `stopped`.
    pub status: String,
    pub template: bool,
    pub lock: Option<String>,
    /// Values are numbers or text, as they were written.
    pub config: Map<String, Value>,
    /// What the next start will change.
    pub pending: Map<String, Value>,
}

impl PveMachine {
    /// A value of the configuration as text, whether it is a number there or not.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<String> {
        match self.config.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
    ca: String,
    user: String,
    password: String,
    token: String,
    secret: String,
}

/// A running fakepve. It ends with this.
#[derive(Debug)]
pub struct FakePve {
    ready: Ready,
    pipe: Mutex<Pipe>,
    /// Killed when dropped.
    _process: Child,
}

#[derive(Debug)]
struct Pipe {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl FakePve {
    /// # Errors
    /// When it is not installed under `target/peers`, or does not start.
    pub async fn start(options: FakePveOptions) -> Result<Self> {
        let python = paths::target_dir().join("peers/venv/bin/python");
        ensure!(
            python.exists(),
            "no fakepve in {}: run `cargo xtask peers`",
            python.display()
        );
        let mut process = Command::new(python)
            .arg(paths::workspace_dir().join("tests/peers/fakepve_serve.py"))
            .args(["--machines", &options.machines.to_string()])
            .args(["--nodes", &options.nodes.to_string()])
            .args(["--slow-clones", &options.slow_clones.to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start fakepve")?;
        let commands = process.stdin.take().context("fakepve has no input")?;
        let answers = process.stdout.take().context("fakepve has no output")?;
        let mut answers = BufReader::new(answers).lines();
        let line = answers.next_line().await?;
        let line = line.context("fakepve ended at once; its error output says why")?;
        #[derive(Deserialize)]
        struct First {
            ready: Ready,
        }
        let first: First =
            serde_json::from_str(&line).with_context(|| format!("fakepve began with {line:?}"))?;
        Ok(Self {
            ready: first.ready,
            pipe: Mutex::new(Pipe {
                commands,
                answers,
                asked: 0,
            }),
            _process: process,
        })
    }

    /// As [`FakePve::start`]; `None` where it is not installed and that is no error.
    ///
    /// # Panics
    /// Where it must be there: see [`skip_or_fail`].
    ///
    /// # Errors
    /// When it is installed and does not start.
    pub async fn start_or_skip(options: FakePveOptions) -> Result<Option<Self>> {
        if !paths::target_dir().join("peers/venv/bin/python").exists() {
            skip_or_fail("fakepve is not installed");
            return Ok(None);
        }
        Self::start(options).await.map(Some)
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.ready.url
    }

    /// Its self-signed certificate, as PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ready.ca
    }

    /// `root@pam`
    #[must_use]
    pub fn user(&self) -> &str {
        &self.ready.user
    }

    #[must_use]
    pub fn password(&self) -> &str {
        &self.ready.password
    }

    /// Id of the API token: `root@pam!enginehouse`.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.ready.token
    }

    /// The API token's secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.ready.secret
    }

    /// A client that trusts it and carries the API token.
    ///
    /// # Errors
    /// When its certificate cannot be read.
    pub fn client(&self) -> Result<reqwest::Client> {
        let token = format!("PVEAPIToken={}={}", self.token(), self.secret());
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&token)?);
        Ok(trusting(self.ca())?.default_headers(headers).build()?)
    }

    /// Every VM, templates too.
    ///
    /// # Errors
    /// When fakepve has ended; so for all below.
    pub async fn machines(&self) -> Result<Vec<PveMachine>> {
        self.ask("machines", json!({})).await
    }

    pub async fn machine(&self, vmid: u64) -> Result<Option<PveMachine>> {
        let machines = self.machines().await?;
        Ok(machines.into_iter().find(|machine| machine.vmid == vmid))
    }

    /// What is on a storage, by its name there: `vm-100-disk-1`.
    pub async fn volumes(&self, storage: &str) -> Result<Vec<String>> {
        self.ask("volumes", json!({ "storage": storage })).await
    }

    /// Machines that are no templates and were not there at the start.
    pub async fn created(&self) -> Result<Vec<PveMachine>> {
        let mut machines = self.machines().await?;
        machines.retain(|machine| !machine.template && !machine.name.starts_with("old-"));
        Ok(machines)
    }

    /// All requests since the start or since they were last cleared.
    pub async fn exchanges(&self) -> Result<Vec<Exchange>> {
        self.ask("exchanges", json!({})).await
    }

    /// Forgets the requests so far, and answers them.
    pub async fn take_exchanges(&self) -> Result<Vec<Exchange>> {
        self.ask("exchanges", json!({ "clear": true })).await
    }

    /// Requests whose path ends with `path` (or has this schema path, when it holds `{`) get one of
    /// Proxmox's own errors, by fakepve's name for it (`permission_denied`, `config_lock_timeout`,
    /// …); one that stands in a worker gets a task that ends with it. `times`: `None` until
    /// [`FakePve::stop_failing`]. With a whole path (`/nodes/pve1/…`) a wrong name is refused here.
    pub async fn fail(
        &self,
        method: &str,
        path: &str,
        error: &str,
        times: Option<u32>,
    ) -> Result<()> {
        let arguments = json!({ "method": method, "path": path, "error": error, "times": times });
        self.ask("fail", arguments).await
    }

    /// As [`FakePve::fail`], with a status and a text of the test's own.
    pub async fn fail_with(
        &self,
        method: &str,
        path: &str,
        status: u16,
        message: &str,
        times: Option<u32>,
    ) -> Result<()> {
        let arguments = json!({
            "method": method, "path": path, "status": status, "message": message, "times": times
        });
        self.ask("fail", arguments).await
    }

    /// The next task of a type (`qmclone`, `qmstart`) does nothing and ends with `TASK ERROR`.
    pub async fn fail_task(&self, task_type: &str, error: &str) -> Result<()> {
        self.ask("task_ends", json!({ "type": task_type, "error": error }))
            .await
    }

    /// The next task of a type succeeds with these lines in its log and `WARNINGS: n`.
    pub async fn warn_task(&self, task_type: &str, lines: &[&str]) -> Result<()> {
        let lines: Vec<String> = lines.iter().map(|line| format!("WARN: {line}")).collect();
        let arguments = json!({ "type": task_type, "warnings": lines.len(), "lines": lines });
        self.ask("task_ends", arguments).await
    }

    /// The next task of a type has these lines in its log, from its beginning.
    pub async fn log_task(&self, task_type: &str, lines: &[&str]) -> Result<()> {
        self.ask("task_ends", json!({ "type": task_type, "lines": lines }))
            .await
    }

    pub async fn stop_failing(&self) -> Result<()> {
        self.ask("stop_failing", json!({})).await
    }

    /// Errors as nodes before pve-http-server 5.2.0 gave them: the text in the reason phrase alone.
    pub async fn old_errors(&self, on: bool) -> Result<()> {
        self.ask("old_errors", json!({ "on": on })).await
    }

    /// Changes a machine behind everybody's back. `attributes` are fakepve's (`acpi`,
    /// `shutdown_secs`, `start_error`, `status`, `lock`), `config` members of its configuration.
    pub async fn set_machine(&self, vmid: u64, attributes: Value, config: Value) -> Result<()> {
        let arguments = json!({ "vmid": vmid, "attributes": attributes, "config": config });
        self.ask("set_vm", arguments).await
    }

    pub async fn add_machine(&self, vmid: u64, name: &str, config: Value) -> Result<()> {
        self.ask(
            "add_vm",
            json!({ "vmid": vmid, "name": name, "config": config }),
        )
        .await
    }

    /// A template beside [`TEMPLATE`].
    pub async fn add_template(&self, vmid: u64, name: &str, config: Value) -> Result<()> {
        let mut config = config;
        config["template"] = json!(1);
        let arguments = json!({"vmid": vmid, "name": name, "config": config, "template": true});
        self.ask("add_vm", arguments).await
    }

    pub async fn remove_machine(&self, vmid: u64) -> Result<()> {
        self.ask("remove_vm", json!({ "vmid": vmid })).await
    }

    /// Free space of a storage, in bytes.
    pub async fn free_space(&self, storage: &str, bytes: u64) -> Result<()> {
        self.ask("storage", json!({ "name": storage, "avail": bytes }))
            .await
    }

    /// Sets knobs of fakepve: `{"ticket_ttl": 1}`.
    pub async fn settings(&self, values: Value) -> Result<()> {
        self.ask("settings", values).await
    }

    /// Calls a method of fakepve's Python API: `("revoke_tickets", [])`, `("ceph_slow", [3])`,
    /// `("snapshot_lock", [100, "backup"])`, `("set_node_offline", ["pve2"])`.
    pub async fn call(&self, name: &str, arguments: Value) -> Result<Value> {
        self.ask("call", json!({ "name": name, "args": arguments }))
            .await
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str, arguments: Value) -> Result<T> {
        let mut pipe = self.pipe.lock().await;
        pipe.asked += 1;
        let number = pipe.asked;
        let Value::Object(mut command) = arguments else {
            bail!("arguments of {what} must be an object");
        };
        command.insert("id".to_owned(), number.into());
        command.insert("do".to_owned(), what.into());
        let line = format!("{}\n", Value::Object(command));
        pipe.commands.write_all(line.as_bytes()).await?;
        let line = pipe.answers.next_line().await?;
        let line = line.with_context(|| format!("fakepve ended when asked for {what}"))?;
        #[derive(Deserialize)]
        struct Answer {
            id: u64,
            #[serde(default)]
            ok: Value,
            error: Option<String>,
        }
        let answer: Answer = serde_json::from_str(&line)?;
        ensure!(
            answer.id == number,
            "fakepve answers another command: {line}"
        );
        match answer.error {
            Some(error) => Err(anyhow!("fakepve cannot do {what}: {error}")),
            None => Ok(serde_json::from_value(answer.ok)?),
        }
    }
}

/// A client that trusts this one certificate.
pub(crate) fn trusting(ca: &str) -> Result<reqwest::ClientBuilder> {
    // Fails when the process has one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = reqwest::Certificate::from_pem(ca.as_bytes())?;
    Ok(reqwest::Client::builder()
        .tls_certs_only([certificate])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy())
}
