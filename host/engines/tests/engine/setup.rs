//! A runtime, the abusive engine, and what the server lends to a call.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enginehouse_documents::{Action, ActionRequest, Config, Problem};
use enginehouse_engines::{
    Begun, CallError, Connection, ConnectionSpec, Engine, JournalError, Observer, Occasion,
    OnceEnd, OnceJournal, OncePolicy, OnceRequest, RequestLine, Runtime, RuntimeConfig, Step,
    StoredResponse,
};
use enginehouse_model::HypervisorUid;
use futures_util::future::BoxFuture;
use serde_json::json;

/// Where `cargo xtask engines` puts components.
pub fn engines() -> PathBuf {
    let engines = std::env::var_os("ENGINEHOUSE_TARGET_ENGINES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/engines"),
        PathBuf::from,
    );
    let hint = "is missing: run `cargo xtask engines` first";
    assert!(engines.exists(), "{} {hint}", engines.display());
    engines
}

/// The abusive one.
pub fn wasm() -> PathBuf {
    let path = engines().join("test/abuse.wasm");
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask engines` first",
        path.display()
    );
    path
}

/// Compiled engines outlive a test run: the cache is what is meant to make that safe.
pub fn config() -> RuntimeConfig {
    RuntimeConfig::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
}

pub async fn engine() -> Arc<Engine> {
    engine_with(config()).await
}

pub async fn engine_with(config: RuntimeConfig) -> Arc<Engine> {
    Runtime::new(config)
        .unwrap()
        .load_file(&wasm())
        .await
        .unwrap()
}

pub fn uid(n: u128) -> HypervisorUid {
    format!("{n:032x}").parse().unwrap()
}

/// A hypervisor at this address whose engine behaves like this.
pub fn spec(address: SocketAddr, mode: &str) -> ConnectionSpec {
    let description = enginehouse_documents::Description {
        default_scheme: Some("http".into()),
        ..Default::default()
    };
    let mut spec = ConnectionSpec::new(uid(1), "lab", address.to_string(), &description);
    spec.settings = json!({"mode": mode}).as_object().unwrap().clone();
    spec
}

pub fn connection(address: SocketAddr, mode: &str) -> Arc<Connection> {
    Connection::new(spec(address, mode)).unwrap()
}

/// All that an observer hears, as text.
#[derive(Default)]
pub struct Heard {
    pub texts: Mutex<Vec<String>>,
    pub requests: Mutex<Vec<RequestLine>>,
}

impl Observer for Heard {
    fn progress(&self, percent: Option<u8>, message: &str) {
        self.texts
            .lock()
            .unwrap()
            .push(format!("{percent:?} {message}"));
    }

    fn log(&self, level: &str, message: &str) {
        self.texts
            .lock()
            .unwrap()
            .push(format!("{level}: {message}"));
    }

    fn request(&self, line: &RequestLine) {
        self.requests.lock().unwrap().push(line.clone());
    }
}

impl Heard {
    pub fn everything(&self) -> String {
        format!(
            "{:?} {:?}",
            self.texts.lock().unwrap(),
            self.requests.lock().unwrap()
        )
    }
}

/// The journal of one step, in memory.
#[derive(Default)]
pub struct Journal {
    pub row: Mutex<Option<OnceRequest>>,
    pub end: Mutex<Option<OnceEnd>>,
    /// What to say instead of doing it.
    pub begin_fails: Mutex<Option<Result<Begun, JournalError>>>,
    pub answered_fails: Mutex<bool>,
    /// How long its disk takes.
    pub begin_takes: Mutex<Duration>,
}

impl Journal {
    pub fn answer(&self) -> Option<StoredResponse> {
        match self.end.lock().unwrap().clone() {
            Some(OnceEnd::Answered(response)) => Some(response),
            Some(OnceEnd::NotSent(_) | OnceEnd::Lost(_)) | None => None,
        }
    }
}

impl OnceJournal for Journal {
    fn begin<'a>(&'a self, request: &'a OnceRequest) -> BoxFuture<'a, Result<Begun, JournalError>> {
        Box::pin(async move {
            let takes = *self.begin_takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            if let Some(said) = self.begin_fails.lock().unwrap().take() {
                return said;
            }
            if let (Some(row), Some(response)) = (self.row.lock().unwrap().clone(), self.answer()) {
                return Ok(Begun::Replay {
                    request: row,
                    response,
                });
            }
            *self.row.lock().unwrap() = Some(request.clone());
            Ok(Begun::Send)
        })
    }

    fn answered<'a>(&'a self, end: &'a OnceEnd) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            assert!(self.row.lock().unwrap().is_some(), "answered before begin");
            if *self.answered_fails.lock().unwrap() {
                return Err(JournalError("disk full".into()));
            }
            *self.end.lock().unwrap() = Some(end.clone());
            Ok(())
        })
    }
}

/// One step: its journal, what was heard, and how often it was tried.
#[derive(Default)]
pub struct Trial {
    pub heard: Arc<Heard>,
    pub journal: Arc<Journal>,
}

impl Trial {
    pub fn reading(&self) -> Occasion {
        let heard: Arc<dyn Observer> = Arc::clone(&self.heard) as Arc<dyn Observer>;
        Occasion::reading(Duration::from_secs(20), heard)
    }

    pub fn occasion(&self, attempt: u32) -> Occasion {
        let mut occasion = self.reading();
        occasion.attempt = attempt;
        occasion.once = OncePolicy::Allowed(Arc::clone(&self.journal) as Arc<dyn OnceJournal>);
        occasion
    }

    pub async fn run(
        &self,
        engine: &Engine,
        connection: &Arc<Connection>,
        attempt: u32,
    ) -> Result<Step, CallError> {
        engine
            .run(self.occasion(attempt), connection, &create(), None)
            .await
    }
}

pub fn create() -> ActionRequest {
    ActionRequest {
        machine: None,
        action: Action::Create {
            desired: Box::new(Config::default()),
        },
    }
}

/// What the engine saw: the one warning of a `done`.
pub fn said(step: Result<Step, CallError>) -> String {
    match step {
        Ok(Step::Done(finished)) => finished.outcome.warnings.concat(),
        other => panic!("not done: {other:?}"),
    }
}

pub fn problem(error: CallError) -> Problem {
    match error.failure {
        enginehouse_engines::Failure::Problem(problem) => problem,
        other => panic!("no problem: {other:?}"),
    }
}
