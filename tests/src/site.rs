//! A host whose tree knows one hypervisor: a fakepve, or a proxy before it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{Node, Operation, OperationKind, OperationState, Params};
use enginehouse_model::{FullName, OperationId};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{FakePve, FakePveOptions, Host, HostOptions, TEMPLATE, paths, skip_or_fail};

/// How long an operation may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked how far it is.
const LOOK: Duration = Duration::from_millis(20);

/// Both, and the files that the entry names. All of it ends with this.
#[derive(Debug)]
pub struct Site {
    pub pve: FakePve,
    pub host: Host,
    files: TempDir,
}

impl Site {
    /// A fakepve and a host without a tree; `None` where they are not built and that is no error.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start(pve: FakePveOptions, host: HostOptions) -> Result<Option<Self>> {
        if host.engines.is_none()
            && let Err(error) = paths::engines_dir()
        {
            skip_or_fail(&error.to_string());
            return Ok(None);
        }
        let Some(pve) = FakePve::start_or_skip(pve).await? else {
            return Ok(None);
        };
        let files = tempfile::Builder::new()
            .prefix("enginehouse-site-")
            .tempdir()?;
        std::fs::write(files.path().join("ca.pem"), pve.ca())?;
        std::fs::write(files.path().join("token"), pve.secret())?;
        std::fs::write(files.path().join("password"), pve.password())?;
        Ok(Some(Self {
            pve,
            host: Host::start(host).await?,
            files,
        }))
    }

    /// As [`Site::start`], with a root that every machine below inherits from: the hypervisor `pve`,
    /// and a clone of the template with 1 CPU and 1 GiB.
    ///
    /// # Errors
    /// As [`Site::start`].
    pub async fn with_root(pve: FakePveOptions) -> Result<Option<Self>> {
        let Some(site) = Self::start(pve, HostOptions::default()).await? else {
            return Ok(None);
        };
        site.set_root(site.entry()).await?;
        Ok(Some(site))
    }

    /// Writes the root, with this entry as the hypervisor `pve`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn set_root(&self, entry: Value) -> Result<()> {
        self.order(OperationKind::Edit, "/", root(entry)).await?;
        Ok(())
    }

    /// The entry of fakepve itself: API token from a file, and its certificate as authority.
    #[must_use]
    pub fn entry(&self) -> Value {
        json!({
            "type": "proxmox",
            "host": self.pve.url(),
            "user": self.pve.token(),
            "password": {"file": self.file("token")},
            "tls": {"ca_file": self.file("ca.pem")},
            "settings": {"node": "pve1", "storage": "local-lvm", "bridge": "vmbr0"},
        })
    }

    /// The entry with other members in place of its own.
    #[must_use]
    pub fn entry_with(&self, members: Value) -> Value {
        let mut entry = self.entry();
        if let (Value::Object(entry), Value::Object(members)) = (&mut entry, members) {
            entry.extend(members);
        }
        entry
    }

    /// Path of a file of this site: `ca.pem`, `token` (the API token's secret), `password`.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// Orders something and waits until it succeeded.
    ///
    /// # Errors
    /// When it is refused or ends otherwise; the message has the operation.
    pub async fn order(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Operation> {
        let operation = self.end(kind, path, params).await?;
        ensure!(
            operation.state == OperationState::Succeeded,
            "{kind} of {path} ended {}: {operation:#?}\n{}",
            operation.state,
            self.host.log()
        );
        Ok(operation)
    }

    /// Orders something and waits until it has ended, or needs a person.
    ///
    /// # Errors
    /// When it is refused or takes too long; so below.
    pub async fn end(&self, kind: OperationKind, path: &str, params: Params) -> Result<Operation> {
        let operation = self.begin(kind, path, params).await?;
        self.ended(operation.number).await
    }

    /// Orders something.
    pub async fn begin(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Operation> {
        self.host.begin(kind, path, params).await
    }

    /// The operation once it has ended, or needs a person.
    pub async fn ended(&self, number: OperationId) -> Result<Operation> {
        self.host.stopped(number).await
    }

    /// The operation as soon as it is so.
    pub async fn until(
        &self,
        number: OperationId,
        is: impl Fn(&Operation) -> bool,
    ) -> Result<Operation> {
        let began = Instant::now();
        loop {
            let operation = self.host.client().operation(number).await?;
            if is(&operation) {
                return Ok(operation);
            }
            if operation.state.has_ended() || began.elapsed() > PATIENCE {
                bail!(
                    "operation {number} did not get there: {operation:#?}\n{}",
                    self.host.log()
                );
            }
            sleep(LOOK).await;
        }
    }

    /// Makes a descriptor with this definition.
    pub async fn provision(&self, path: &str, definition: Value) -> Result<()> {
        self.order(OperationKind::Provision, path, defined(definition))
            .await?;
        Ok(())
    }

    /// Makes a descriptor `/vm1` and its machine; answers its VMID.
    pub async fn deployed(&self) -> Result<u64> {
        self.provision("/vm1", json!({})).await?;
        self.order(OperationKind::Deploy, "/vm1", Params::default())
            .await?;
        self.vmid("/vm1").await
    }

    pub async fn node(&self, path: &str) -> Result<Node> {
        let path: FullName = path.parse()?;
        Ok(self.host.client().node(&path).await?)
    }

    /// The VMID on record.
    pub async fn vmid(&self, path: &str) -> Result<u64> {
        let node = self.node(path).await?;
        let id = node.machine_id.context("there is no machine")?;
        Ok(id.parse()?)
    }

    /// Runs a command, which has to succeed; answers its standard output.
    pub async fn cli(&self, arguments: &[&str]) -> Result<String> {
        let output = self.host.run(arguments).await?;
        let out = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success(),
            "enginehouse {} ended {}:\n{out}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(out)
    }

    /// Runs a command, which has to fail; answers its exit code and what it wrote to standard error.
    pub async fn cli_fails(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.host.run(arguments).await?;
        ensure!(
            !output.status.success(),
            "enginehouse {} succeeded:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout)
        );
        let code = output.status.code().context("it was killed")?;
        Ok((code, String::from_utf8(output.stderr)?))
    }
}

fn root(entry: Value) -> Params {
    defined(json!({
        "hypervisors": {"pve": entry},
        "use_hypervisor": "pve",
        "prototypes": {
            "small": {"base_image": TEMPLATE.to_string(), "vcpu": 1, "memory": "1GiB"},
        },
        "use_prototype": "small",
    }))
}

/// Parameters with a whole definition.
#[must_use]
pub fn defined(definition: Value) -> Params {
    let definition = match definition {
        Value::Object(definition) => definition,
        _ => Map::new(),
    };
    Params {
        definition: Some(definition),
        ..Params::default()
    }
}

/// Parameters with a yes to what is destroyed.
#[must_use]
pub fn confirmed() -> Params {
    Params {
        confirm_destructive: true,
        ..Params::default()
    }
}
