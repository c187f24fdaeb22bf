//! A host whose tree knows a simulated hypervisor.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationRequest, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_sim::{Knobs, Sim, SimConfig, SimHandle};
use enginehouse_tests::{Host, HostOptions, defined, skip_or_fail};
use serde_json::{Value, json};

pub struct Stage {
    pub sim: SimHandle,
    pub host: Host,
}

/// Exit code, standard output and standard error of a command.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn request(kind: OperationKind, path: &str, params: Params) -> Result<OperationRequest> {
    Ok(OperationRequest {
        kind,
        path: path.parse()?,
        params,
    })
}

impl Stage {
    /// `None` where the engines are not built and that is no error.
    pub async fn start() -> Result<Option<Self>> {
        if let Err(error) = enginehouse_tests::engines_dir() {
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

    pub async fn provision(&self, path: &str) -> Result<Operation> {
        self.order(OperationKind::Provision, path, defined(json!({})))
            .await
    }

    /// Orders something and waits until it succeeded.
    pub async fn order(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Operation> {
        let order = request(kind, path, params)?;
        let begun = self.host.client().order(&order, None, None).await?;
        let ended = self.ended(begun.number).await?;
        ensure!(
            ended.state == OperationState::Succeeded,
            "{kind} of {path}: {ended:#?}\n{}",
            self.host.log()
        );
        Ok(ended)
    }

    /// The operation once it has ended.
    pub async fn ended(&self, number: OperationId) -> Result<Operation> {
        for _ in 0..12 {
            let wait = self.host.client().wait(number, Duration::from_secs(10));
            let operation = wait.await?;
            if operation.state.has_ended() {
                return Ok(operation);
            }
        }
        anyhow::bail!("operation {number} does not end\n{}", self.host.log())
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
        let ran = self.run(&[arguments, &["-o", "json"]].concat()).await?;
        ensure!(ran.code == 0, "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(serde_json::from_str(&ran.out)?)
    }
}
