//! `demo`: a sample tree on a simulated hypervisor, from nothing to running machines.
//!
//! It does what a person would do, with the same requests and the same output, and writes each
//! command before it. The host and the hypervisor are in this process; engine, API, store and tasks
//! are the real ones.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use enginehouse_api::{Access, Client, OperationKind, OperationRequest, Params};
use enginehouse_model::FullName;
use enginehouse_server::{Running, ServeConfig, Server};
use enginehouse_sim::{Knobs, Sim, SimConfig, SimHandle};
use enginehouse_text::write_yaml;
use serde_json::{Map, Value, json};

use super::order::finish;
use super::serve::{StopSignal, log_to_stderr};
use super::{show, tree};
use crate::error::CommandError;
use crate::follow::follow;
use crate::input::parse_set;
use crate::output::Output;
use crate::style::Style;

/// The engine that speaks to the simulated hypervisor.
const ENGINE: &str = "fake";

/// How long a task of the simulated hypervisor takes: long enough to be seen.
const TASK_MS: u64 = 1000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse demo                        ends with Ctrl-C
  enginehouse demo --once                 ends by itself
  enginehouse demo --engines ./engines    with the engines of this directory")]
pub struct DemoArgs {
    /// Directory of the engines' .wasm files; `fake` must be there [default: `engines` beside this
    /// program]
    #[arg(long, value_name = "DIR")]
    engines: Option<PathBuf>,
    /// Undeploy everything and end, instead of serving until Ctrl-C
    #[arg(long)]
    once: bool,
    /// How long a task of the simulated hypervisor takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = TASK_MS)]
    task_ms: u64,
}

pub async fn demo(args: DemoArgs, output: &Output) -> Result<(), CommandError> {
    let engines = engines_dir(args.engines)?;
    log_to_stderr("warn")?;
    let stop = StopSignal::new()?;
    let stage = Stage::build(&engines, args.task_ms, output).await?;
    let shown = tokio::select! {
        shown = stage.show(&engines, args.once) => shown.map(|()| true),
        pressed = stop.wait() => pressed.map(|()| false),
    };
    if matches!(shown, Ok(true)) && !args.once {
        stage.invite()?;
        StopSignal::new()?.wait().await?;
    }
    stage.clear().await;
    shown.map(|_| ())
}

fn engines_dir(given: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    let dir = match given {
        Some(dir) => dir,
        None => {
            let program = std::env::current_exe().map_err(CommandError::Program)?;
            program.parent().unwrap_or(Path::new(".")).join("engines")
        }
    };
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(CommandError::NoEngines(dir))
    }
}

/// Everything that the demonstration needs.
struct Stage<'a> {
    sim: SimHandle,
    host: Running,
    client: Client,
    data_dir: tempfile::TempDir,
    output: &'a Output,
}

impl<'a> Stage<'a> {
    async fn build(engines: &Path, task_ms: u64, output: &'a Output) -> Result<Self, CommandError> {
        let sim = Sim::start(SimConfig {
            knobs: Knobs {
                task_ms,
                ..Knobs::default()
            },
            ..SimConfig::default()
        })
        .await?;
        let data_dir = tempfile::Builder::new()
            .prefix("enginehouse-demo-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(CommandError::Temporary)?;
        let mut config = ServeConfig::new(data_dir.path().to_owned());
        config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.engines_dir = Some(engines.to_owned());
        let host = Server::start(config).await.map_err(CommandError::Start)?;
        let client = Client::new(&Access {
            url: host.url().to_owned(),
            token: host.token().to_owned(),
        })?;
        Ok(Self {
            sim,
            host,
            client,
            data_dir,
            output,
        })
    }

    async fn clear(self) {
        self.host.stop().await;
        self.sim.stop().await;
    }

    async fn show(&self, engines: &Path, once: bool) -> Result<(), CommandError> {
        self.say(&format!(
            "A simulated hypervisor at {}, a host at {}, both in this process.",
            self.sim.url(),
            self.host.url()
        ))?;
        self.engine_is_there(engines).await?;
        self.make_tree().await?;

        self.say("Deploy all of it: each machine a task of the hypervisor, in parallel.")?;
        self.order(OperationKind::Deploy, "/", Params::default(), "")
            .await?;
        self.tree().await?;

        self.say("Each value says where it came from.")?;
        self.command("show /db/main --origins")?;
        let node = self.client.node(&path("/db/main")?).await?;
        self.output
            .answer(&node, |paint| show::render(&node, true, paint))?;

        self.say("Change a running machine: the plan finds what is different, and only that.")?;
        self.set(OperationKind::Reconfigure, "/web/vm2", &["memory=4GiB"])
            .await?;

        if once {
            self.say("And away with it: the descriptors stay.")?;
            let yes = Params {
                confirm_destructive: true,
                ..Params::default()
            };
            self.order(OperationKind::Undeploy, "/", yes, " --yes")
                .await?;
            self.tree().await?;
            let left = self.sim.world().machines.len();
            self.say(&format!("Machines left on the hypervisor: {left}."))?;
        }
        Ok(())
    }

    /// Two folders that inherit from the root, and three machines that inherit from them.
    async fn make_tree(&self) -> Result<(), CommandError> {
        self.say("The root knows the hypervisor and two prototypes; everything below inherits.")?;
        self.write(OperationKind::Edit, "/", self.root(), "edit / -f root.yaml")
            .await?;
        let folder = OperationKind::CreateFolder;
        self.set(folder, "/web", &["labels.tier=web", "memory=2GiB"])
            .await?;
        self.set(folder, "/db", &["use_prototype=large"]).await?;

        self.say("Machines: what is not said here comes from above.")?;
        let provision = OperationKind::Provision;
        self.set(provision, "/web/vm1", &[]).await?;
        self.set(provision, "/web/vm2", &["vcpu=2", "labels.canary=yes"])
            .await?;
        let main = [
            "memory=16GiB",
            "disks.data.size=40GiB",
            "description=main database",
        ];
        self.set(provision, "/db/main", &main).await
    }

    fn root(&self) -> Value {
        json!({
            "hypervisors": {"sim": {"type": ENGINE, "host": self.sim.url()}},
            "use_hypervisor": "sim",
            "prototypes": {
                "small": {"base_image": "d12", "vcpu": 1, "memory": "1GiB"},
                "large": {"base_image": "d12", "vcpu": 4, "memory": "8GiB"},
            },
            "use_prototype": "small",
        })
    }

    /// An order whose definition stands in a file; the file is shown.
    async fn write(
        &self,
        kind: OperationKind,
        at: &str,
        definition: Value,
        command: &str,
    ) -> Result<(), CommandError> {
        let definition = match definition {
            Value::Object(map) => map,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        self.output.note(write_yaml(&definition).trim_end());
        self.command(command)?;
        let params = Params {
            definition: Some(definition),
            ..Params::default()
        };
        self.carry_out(kind, at, params).await
    }

    /// An order with `key=value`.
    async fn set(
        &self,
        kind: OperationKind,
        at: &str,
        values: &[&str],
    ) -> Result<(), CommandError> {
        let changes = values.iter().map(|text| parse_set(text));
        let params = Params {
            changes: changes.collect::<Result<_, _>>()?,
            ..Params::default()
        };
        let quoted = values.iter().map(|text| {
            if text.contains(' ') {
                format!(" '{text}'")
            } else {
                format!(" {text}")
            }
        });
        self.order(kind, at, params, &quoted.collect::<String>())
            .await
    }

    async fn order(
        &self,
        kind: OperationKind,
        at: &str,
        params: Params,
        arguments: &str,
    ) -> Result<(), CommandError> {
        let name = match kind {
            OperationKind::CreateFolder => "folder create",
            OperationKind::RemoveFolder => "folder remove",
            OperationKind::SetGrants => "grant",
            OperationKind::Provision
            | OperationKind::Deprovision
            | OperationKind::Protect
            | OperationKind::Unprotect
            | OperationKind::Import
            | OperationKind::Adopt
            | OperationKind::Edit
            | OperationKind::Move
            | OperationKind::Reconfigure
            | OperationKind::Deploy
            | OperationKind::Undeploy
            | OperationKind::Start
            | OperationKind::Stop
            | OperationKind::Restart
            | OperationKind::Rollback
            | OperationKind::Undo => kind.as_str(),
            OperationKind::SetSecret => "secret set",
            OperationKind::RemoveSecret => "secret remove",
            OperationKind::RotateKey => "secret rotate-key",
        };
        self.command(&format!("{name} {at}{arguments}"))?;
        self.carry_out(kind, at, params).await
    }

    async fn carry_out(
        &self,
        kind: OperationKind,
        at: &str,
        params: Params,
    ) -> Result<(), CommandError> {
        let request = OperationRequest {
            kind,
            path: path(at)?,
            params,
        };
        let operation = self.client.order(&request, None, None).await?;
        let operation = follow(&self.client, operation, self.output, None).await?;
        finish(operation, self.output)
    }

    async fn engine_is_there(&self, dir: &Path) -> Result<(), CommandError> {
        let list = self.client.engines().await?;
        if list.engines.iter().any(|engine| engine.name == ENGINE) {
            return Ok(());
        }
        Err(CommandError::NoEngine {
            needed: ENGINE,
            dir: dir.to_owned(),
        })
    }

    async fn tree(&self) -> Result<(), CommandError> {
        self.command("tree")?;
        let tree = self.client.tree(&FullName::root(), None).await?;
        self.output
            .answer(&tree, |paint| tree::render(&tree, paint))
    }

    fn invite(&self) -> Result<(), CommandError> {
        self.say(&format!(
            "The host serves until Ctrl-C. In another terminal:\n  export ENGINEHOUSE_DATA={}\n  \
             enginehouse tree\n  enginehouse undeploy /web/vm1",
            self.data_dir.path().display()
        ))
    }

    /// A sentence between two commands; with JSON, standard output has the answers only.
    fn say(&self, text: &str) -> Result<(), CommandError> {
        if self.output.is_json() {
            return Ok(());
        }
        self.output.text(&format!("\n{text}"))
    }

    fn command(&self, command: &str) -> Result<(), CommandError> {
        if self.output.is_json() {
            return Ok(());
        }
        let line = format!("$ enginehouse {command}");
        self.output
            .text(&self.output.out().paint(Style::Strong, &line))
    }
}

fn path(text: &str) -> Result<FullName, CommandError> {
    Ok(text.parse()?)
}
