//! A host with the misbehaving engine, and one machine for each misdeed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{Operation, OperationKind, OperationRequest, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_tests::{Host, HostOptions, skip_or_fail, test_engine};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::provider::Provider;

/// The password of every connection. In a file, so that the database has no business to hold it.
pub const SECRET: &str = "kept-0f/all+the=9d1c7a55";

/// How long a test waits for what has to come; nothing takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(20);
const LOOK_LONG: Duration = Duration::from_secs(10);

pub struct Stage {
    pub host: Host,
    pub provider: Provider,
    /// Engines and the password file.
    _files: TempDir,
}

impl Stage {
    /// A machine `/MODE` on a hypervisor of its own for each mode; `None` where the engine is not
    /// built and that is no error.
    pub async fn with(modes: &[&str], arguments: &[&str]) -> Result<Option<Self>> {
        let engine = match test_engine("abuse") {
            Ok(engine) => engine,
            Err(error) => {
                skip_or_fail(&error.to_string());
                return Ok(None);
            }
        };
        let files = tempfile::tempdir()?;
        let engines = files.path().join("engines");
        std::fs::create_dir(&engines)?;
        std::fs::copy(engine, engines.join("abuse.wasm"))?;
        std::fs::write(files.path().join("password"), SECRET)?;
        let options = HostOptions {
            engines: Some(engines),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            // Everything that the host has to say.
            environment: vec![("ENGINEHOUSE_LOG".to_owned(), "trace".to_owned())],
            ..HostOptions::default()
        };
        let host = Host::start(options).await?;
        let provider = Provider::start().await?;
        let stage = Self {
            host,
            provider,
            _files: files,
        };
        stage.make_tree(modes).await?;
        Ok(Some(stage))
    }

    async fn make_tree(&self, modes: &[&str]) -> Result<()> {
        let hypervisors: Map<String, Value> = modes
            .iter()
            .map(|mode| ((*mode).to_owned(), self.hypervisor(mode)))
            .collect();
        let root = json!({ "hypervisors": hypervisors, "vcpu": 1, "power": "stopped" });
        self.carry_out(OperationKind::Edit, "/", root).await?;
        for mode in modes {
            let machine = json!({ "use_hypervisor": mode });
            self.carry_out(OperationKind::Provision, &format!("/{mode}"), machine)
                .await?;
        }
        Ok(())
    }

    fn hypervisor(&self, mode: &str) -> Value {
        json!({
            "type": "abuse",
            "host": self.provider.url(),
            "password": { "file": self.files().join("password") },
            "settings": { "mode": mode },
        })
    }

    fn files(&self) -> &Path {
        self._files.path()
    }

    async fn carry_out(&self, kind: OperationKind, path: &str, definition: Value) -> Result<()> {
        let Value::Object(definition) = definition else {
            bail!("a definition is an object");
        };
        let request = OperationRequest {
            kind,
            path: path.parse()?,
            params: Params {
                definition: Some(definition),
                ..Params::default()
            },
        };
        let ended = self.host.client().order(&request, None, None).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:?}");
        Ok(())
    }

    /// Orders `deploy /MODE` and returns at once.
    pub async fn order(&self, mode: &str) -> Result<OperationId> {
        let request = OperationRequest {
            kind: OperationKind::Deploy,
            path: format!("/{mode}").parse()?,
            params: Params::default(),
        };
        let operation = self.host.client().order(&request, None, None).await?;
        Ok(operation.number)
    }

    /// The operation when it has ended or needs a person.
    pub async fn end(&self, number: OperationId) -> Result<Operation> {
        let rests =
            |operation: &Operation| operation.state.has_ended() || operation.state.needs_person();
        let began = Instant::now();
        loop {
            let operation = self.host.client().wait(number, LOOK_LONG).await?;
            if rests(&operation) {
                return Ok(operation);
            }
            ensure!(began.elapsed() < PATIENCE, "it does not end: {operation:?}");
        }
    }

    pub async fn deploy(&self, mode: &str) -> Result<Operation> {
        let number = self.order(mode).await?;
        self.end(number).await
    }

    /// The operation as soon as it is as wanted.
    pub async fn when(
        &self,
        number: OperationId,
        wanted: impl Fn(&Operation) -> bool,
    ) -> Result<Operation> {
        let look = async {
            loop {
                let operation = self.host.client().operation(number).await?;
                if wanted(&operation) {
                    return Ok(operation);
                }
                ensure!(!operation.state.has_ended(), "it ended: {operation:?}");
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .context("the operation does not become what it should")?
    }

    /// All that the host tells about an operation: itself, its log, its requests.
    pub async fn told(&self, number: OperationId) -> Result<String> {
        let client = self.host.client();
        let operation = client.operation(number).await?;
        let log = client.log(number, 0).await?;
        let requests = client.requests(number).await?;
        Ok(format!("{operation:?}\n{log:?}\n{requests:?}"))
    }
}

/// The message of a failed operation.
pub fn reason(operation: &Operation) -> Result<&str> {
    ensure!(operation.state == OperationState::Failed, "{operation:?}");
    let error = operation.error.as_ref().context("no reason")?;
    Ok(&error.message)
}
