//! A host on a simulated hypervisor.

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{
    ClientError, ErrorCode, HistoryOf, HistoryPage, Node, Operation, OperationKind, OperationState,
    Params, Preview, Problem,
};
use enginehouse_model::{FullName, OperationId};
use enginehouse_sim::{Knobs, Sim, SimConfig, SimHandle};
use serde_json::{Value, json};

use crate::{Host, HostOptions, confirmed, defined, engines_dir, request, skip_or_fail};

/// A simulated hypervisor, and a host whose tree knows it.
///
/// Errors of its methods: what was expected of the host did not happen; the message has the rest.
#[expect(missing_debug_implementations, reason = "the simulation has none")]
pub struct Stage {
    pub sim: SimHandle,
    pub host: Host,
}

/// Exit code, standard output and standard error of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Stage {
    /// The root knows the hypervisor `sim` and a prototype `small` that everything inherits. `None`
    /// where the engines are not built and that is no error.
    pub async fn start() -> Result<Option<Self>> {
        if let Err(error) = engines_dir() {
            skip_or_fail(&error.to_string());
            return Ok(None);
        }
        let sim = Sim::start(SimConfig {
            knobs: Knobs {
                task_ms: 10,
                ..Knobs::default()
            },
            ..SimConfig::default()
        })
        .await?;
        let host = Host::start(HostOptions::default()).await?;
        let stage = Self { sim, host };
        let root = json!({
            "hypervisors": {"sim": {"type": "fake", "host": stage.sim.url()}},
            "use_hypervisor": "sim",
            "prototypes": {"small": {"base_image": "d12", "vcpu": 1, "memory": "1GiB"}},
            "use_prototype": "small",
        });
        stage.order(OperationKind::Edit, "/", defined(root)).await?;
        Ok(Some(stage))
    }

    pub async fn folder(&self, path: &str, definition: Value) -> Result<()> {
        let kind = OperationKind::CreateFolder;
        self.order(kind, path, defined(definition)).await?;
        Ok(())
    }

    pub async fn provision(&self, path: &str, definition: Value) -> Result<Operation> {
        let kind = OperationKind::Provision;
        self.order(kind, path, defined(definition)).await
    }

    pub async fn deploy(&self, path: &str) -> Result<Operation> {
        let kind = OperationKind::Deploy;
        self.order(kind, path, Params::default()).await
    }

    pub async fn undeploy(&self, path: &str) -> Result<Operation> {
        let kind = OperationKind::Undeploy;
        self.order(kind, path, confirmed()).await
    }

    pub async fn moved(&self, from: &str, to: &str) -> Result<Operation> {
        self.order(OperationKind::Move, from, to_name(to)?).await
    }

    /// Orders something and waits until it succeeded.
    pub async fn order(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Operation> {
        let begun = self.begin(kind, path, params).await?;
        let ended = self.ended(begun.number).await?;
        ensure!(
            ended.state == OperationState::Succeeded,
            "{kind} of {path}: {ended:#?}\n{}",
            self.host.log()
        );
        Ok(ended)
    }

    /// Orders something that is taken in.
    pub async fn begin(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Operation> {
        self.host.begin(kind, path, params).await
    }

    /// Orders something that is refused, and answers how.
    pub async fn refused(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Problem> {
        let request = request(kind, path, params)?;
        match self.host.client().order(&request, None, None).await {
            Err(ClientError::Refused(problem)) => Ok(*problem),
            Err(error) => Err(error.into()),
            Ok(operation) => bail!("{kind} of {path} was taken in: {operation:#?}"),
        }
    }

    pub async fn move_refused(&self, from: &str, to: &str, code: ErrorCode) -> Result<Problem> {
        let problem = self
            .refused(OperationKind::Move, from, to_name(to)?)
            .await?;
        ensure!(problem.code == code, "{from} to {to}: {problem:#?}");
        // What is refused has no preview either, for the same reason.
        let request = request(OperationKind::Move, from, to_name(to)?)?;
        match self.host.client().preview(&request, None).await {
            Err(ClientError::Refused(other)) => {
                ensure!(other.detail == problem.detail, "{other:#?}, {problem:#?}");
            }
            other => bail!("{other:#?}"),
        }
        Ok(problem)
    }

    pub async fn preview(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Preview> {
        let request = request(kind, path, params)?;
        Ok(self.host.client().preview(&request, None).await?)
    }

    /// The operation once it has ended.
    pub async fn ended(&self, number: OperationId) -> Result<Operation> {
        self.host.ended(number).await
    }

    pub async fn node(&self, path: &str) -> Result<Node> {
        Ok(self.host.client().node(&path.parse()?).await?)
    }

    pub async fn is_there(&self, path: &str) -> Result<bool> {
        match self.host.client().node(&path.parse()?).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused(problem)) if problem.code == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A value of the computed definition, with its origin.
    pub async fn computed(&self, path: &str, key: &str) -> Result<String> {
        let node = self.node(path).await?;
        let found = node.computed_definition.iter().find(|line| line.key == key);
        let found = found.with_context(|| format!("{path} has no {key}"))?;
        let value = found.value.as_str().unwrap_or_default();
        Ok(format!("{value}, from {}", found.origin))
    }

    pub async fn history(&self, path: &str) -> Result<HistoryPage> {
        let of = HistoryOf::Path(path.parse()?);
        Ok(self.host.client().history(&of, None, None).await?)
    }

    /// Runs a command, without a terminal.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let output = self.host.run(arguments).await?;
        Ok(Ran {
            code: output.status.code().context("it was killed")?,
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs a command that succeeds; answers its JSON.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let out = self.cli(&[arguments, &["-o", "json"]].concat()).await?;
        Ok(serde_json::from_str(&out)?)
    }

    /// Runs a command that succeeds.
    pub async fn cli(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.run(arguments).await?;
        ensure!(ran.code == 0, "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.out)
    }
}

pub fn to_name(to: &str) -> Result<Params> {
    Ok(Params {
        to: Some(to.parse::<FullName>()?),
        ..Params::default()
    })
}
