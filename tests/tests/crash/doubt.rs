//! What cannot be known is said to be in doubt, and a person ends it.
//!
//! Case 13, its second half: a provider that can neither be given an id nor asked.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use enginehouse_api::{Operation, OperationKind, OperationRequest, OperationState, Params, Status};
use enginehouse_model::OperationId;
use enginehouse_tests::{Host, HostOptions, skip_or_fail, test_engine};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::moment::worked;
use crate::scene::Scene;

/// How long a test waits for what has to come; nothing takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the provider has been told, and how it is.
#[derive(Clone, Debug, Default)]
struct Books {
    /// Requests to make a machine.
    made: usize,
    /// Answers no such request.
    silent: bool,
}

/// A provider that makes what it is told to and shows nothing of it.
struct Blind {
    address: SocketAddr,
    books: watch::Sender<Books>,
    serving: JoinHandle<()>,
}

impl Blind {
    async fn start() -> Result<Self> {
        let books = watch::Sender::new(Books::default());
        let router = Router::new().fallback(answer).with_state(books.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            books,
            serving,
        })
    }

    fn made(&self) -> usize {
        self.books.borrow().made
    }

    fn silent(&self, silent: bool) {
        self.books.send_modify(|books| books.silent = silent);
    }

    async fn has_made(&self, count: usize) -> Result<()> {
        let mut books = self.books.subscribe();
        let reached = books.wait_for(|books| books.made >= count);
        tokio::time::timeout(PATIENCE, reached).await??;
        Ok(())
    }
}

impl Drop for Blind {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(books): State<watch::Sender<Books>>, request: Request) -> &'static str {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/machines") => {
            books.send_modify(|books| books.made += 1);
            if books.borrow().silent {
                std::future::pending::<()>().await;
            }
            "made"
        }
        (_, "/identity") => "provider-1",
        (_, "/settle") => "it has no list",
        _ => "",
    }
}

/// A host with an engine for such a provider, and the machines `/a`, `/b` and `/c` to be.
struct Stage {
    host: Host,
    blind: Blind,
    _engines: TempDir,
}

impl Stage {
    async fn start() -> Result<Option<Self>> {
        let engine = match test_engine("abuse") {
            Ok(engine) => engine,
            Err(error) => {
                skip_or_fail(&error.to_string());
                return Ok(None);
            }
        };
        let engines = tempfile::tempdir()?;
        std::fs::copy(engine, engines.path().join("abuse.wasm"))?;
        let options = HostOptions {
            engines: Some(engines.path().to_owned()),
            ..HostOptions::default()
        };
        let stage = Self {
            host: Host::start(options).await?,
            blind: Blind::start().await?,
            _engines: engines,
        };
        let root = json!({
            "hypervisors": { "blind": {
                "type": "abuse",
                "host": format!("http://{}", stage.blind.address),
                "settings": { "mode": "good" },
            } },
            "use_hypervisor": "blind",
            "vcpu": 1,
            "power": "stopped",
        });
        stage.order(OperationKind::Edit, "/", root).await?;
        for path in ["/a", "/b", "/c"] {
            stage
                .order(OperationKind::Provision, path, json!({}))
                .await?;
        }
        Ok(Some(stage))
    }

    async fn order(
        &self,
        kind: OperationKind,
        path: &str,
        definition: Value,
    ) -> Result<OperationId> {
        let request = OperationRequest {
            kind,
            path: path.parse()?,
            params: Params {
                definition: definition.as_object().cloned(),
                ..Params::default()
            },
        };
        let operation = self.host.client().order(&request, None, None).await?;
        Ok(operation.number)
    }

    /// Kills the host when the provider has the request and has not answered it.
    async fn in_doubt(&mut self, path: &str) -> Result<OperationId> {
        self.blind.silent(true);
        let before = self.blind.made();
        let number = self.order(OperationKind::Deploy, path, Value::Null).await?;
        self.blind.has_made(before + 1).await?;
        self.host.kill().await?;
        self.blind.silent(false);
        self.host.restart().await?;
        let operation = end(&self.host, number).await?;
        ensure!(operation.state == OperationState::InDoubt, "{operation:#?}");
        let said = serde_json::to_string(&operation)?;
        ensure!(said.contains("it has no list"), "{said}");
        ensure!(self.blind.made() == before + 1, "it was sent again");
        Ok(number)
    }

    async fn status(&self, path: &str) -> Result<Option<Status>> {
        Ok(self.host.client().node(&path.parse()?).await?.status)
    }
}

async fn end(host: &Host, number: OperationId) -> Result<Operation> {
    let look = async {
        loop {
            let operation = host.client().wait(number, Duration::from_secs(20)).await?;
            if operation.state.has_ended() || operation.state.needs_person() {
                return Ok(operation);
            }
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .with_context(|| format!("operation {number} does not end"))?
}

async fn has_started(scene: &Scene, name: &str) -> Result<()> {
    let look = async {
        loop {
            let machines = scene.pve.created().await?;
            if machines
                .iter()
                .any(|machine| machine.name == name && machine.status == "running")
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .with_context(|| format!("{name} is not started"))?
}

/// `enginehouse ops resolve`; what it said, when it was refused.
async fn resolve(host: &Host, number: OperationId, verdict: &str) -> Result<Result<(), String>> {
    let number = number.to_string();
    let output = host
        .run(&["ops", "resolve", &number, "--as", verdict])
        .await?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test]
async fn case_13_what_cannot_be_asked_for_is_in_doubt_and_not_sent_again() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    // A person found nothing.
    let failed = stage.in_doubt("/a").await?;
    // Neither does another restart send it.
    stage.host.kill().await?;
    stage.host.restart().await?;
    let still = end(&stage.host, failed).await?;
    ensure!(still.state == OperationState::InDoubt, "{still:#?}");
    assert_eq!(stage.blind.made(), 1);
    // Done it cannot be: nobody knows which machine it is.
    let refused = resolve(&stage.host, failed, "done").await?.unwrap_err();
    ensure!(refused.contains("no machine id is known"), "{refused}");
    resolve(&stage.host, failed, "failed")
        .await?
        .map_err(anyhow::Error::msg)?;
    let ended = end(&stage.host, failed).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    assert_eq!(stage.status("/a").await?, Some(Status::Provisioned));
    assert_eq!(stage.blind.made(), 1);

    // A person found that it never arrived.
    let again = stage.in_doubt("/b").await?;
    assert_eq!(stage.blind.made(), 2);
    resolve(&stage.host, again, "retry")
        .await?
        .map_err(anyhow::Error::msg)?;
    let ended = end(&stage.host, again).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!(stage.blind.made(), 3);

    // What was resolved is resolved.
    let late = resolve(&stage.host, again, "failed").await?.unwrap_err();
    ensure!(late.contains("not in doubt"), "{late}");
    Ok(())
}

#[tokio::test]
async fn what_may_not_be_looked_at_is_in_doubt_until_a_person_says_that_it_is_done() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    for (name, verdict) in [("vm00", "done"), ("vm01", "retry")] {
        let path = format!("/{name}");
        scene
            .define(OperationKind::Provision, &path, json!({}))
            .await?;
        let moment = worked("POST", "/status/start");
        let (number, killed) = scene
            .kill_during(OperationKind::Deploy, &path, Params::default(), &moment)
            .await?;
        let machines = scene.pve.created().await?;
        let machine = machines.iter().find(|machine| machine.name == name);
        let id = machine.context("no machine")?.vmid;
        let status = format!("/nodes/pve1/qemu/{id}/status/current");
        scene
            .pve
            .fail("GET", &status, "permission_denied", None)
            .await?;
        scene.recover(&moment, &killed).await?;
        let doubtful = scene.end(number).await?;
        ensure!(doubtful.state == OperationState::InDoubt, "{doubtful:#?}");
        scene.pve.stop_failing().await?;
        // A person sees the end of it before saying so.
        has_started(&scene, name).await?;
        resolve(&scene.host, number, verdict)
            .await?
            .map_err(anyhow::Error::msg)?;
        scene.succeeds(number).await?;
        let machine = scene.only(name, number).await?;
        ensure!(machine.status == "running", "{machine:#?}");
        let node = scene.host.client().node(&path.parse()?).await?;
        ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    }
    Ok(())
}
