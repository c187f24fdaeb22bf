//! A host in this process, on a directory and a clock of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enginehouse_engines::Clock;
use enginehouse_model::Timestamp;
use enginehouse_server::{Keep, Running, ServeConfig, Server};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// When the clock begins: some moment in 2026.
pub const BEGIN_MS: u64 = 1_790_000_000_000;

pub struct Site {
    data: TempDir,
    running: Option<Running>,
    clock: Arc<AtomicU64>,
    http: reqwest::Client,
    /// How it is run from the next start on.
    pub keep: Keep,
    pub heartbeat: Duration,
    pub events_kept: usize,
}

/// An answer: its status and its JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// Detail and hint of a problem.
    pub fn said(&self) -> String {
        let text = |key: &str| self.body[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} | {}", self.status, text("detail"), text("hint"))
    }
}

impl Site {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut site = Self {
            data: tempfile::tempdir().unwrap(),
            running: None,
            clock: Arc::new(AtomicU64::new(BEGIN_MS)),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            keep: Keep::default(),
            heartbeat: Duration::from_secs(15),
            events_kept: 8192,
        };
        site.restart().await;
        site
    }

    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        let mut config = ServeConfig::new(self.data.path().to_owned());
        config.listen.set_port(0);
        config.keep = self.keep;
        config.heartbeat = self.heartbeat;
        config.events_kept = self.events_kept;
        let clock = Arc::clone(&self.clock);
        let clock = Clock::from_fn(move || Timestamp(clock.load(Ordering::Relaxed)));
        self.running = Some(Server::start_at(config, clock).await.unwrap());
    }

    pub fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// The installation's token, as its file has it now.
    pub fn token(&self) -> String {
        let text = std::fs::read_to_string(self.data.path().join("token")).unwrap();
        text.trim().to_owned()
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = self.running.as_ref().unwrap().url();
        let method: Method = method.parse().unwrap();
        self.http.request(method, format!("{url}{path}"))
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// A request with a token; `body` null: without one.
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let mut request = self.request(method, path).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        self.send(request).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, &Value::Null).await
    }

    /// What the installation's own subject orders, which must be done.
    pub async fn order(&self, kind: &str, path: &str, params: Value) -> Value {
        let answer = self.order_as(&self.token(), kind, path, params).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind} {path}: {answer:?}");
        answer.body
    }

    pub async fn order_as(&self, token: &str, kind: &str, path: &str, params: Value) -> Answer {
        let body = json!({"kind": kind, "path": path, "params": params});
        self.ask(token, "POST", "/v1/operations", &body).await
    }

    /// Gives a role on a node.
    pub async fn grant(&self, path: &str, subject: &str, role: &str) {
        let grants = json!({"grants": [{"op": "add", "subject": subject, "roles": [role]}]});
        self.order("set-grants", path, grants).await;
    }

    /// A new token: its text and its id.
    pub async fn make_token(&self, subject: &str, expires_in_s: Option<u64>) -> (String, String) {
        let body = json!({"subject": subject, "expires_in_s": expires_in_s});
        let answer = self.ask(&self.token(), "POST", "/v1/tokens", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let text = |key: &str| answer.body[key].as_str().unwrap().to_owned();
        (text("token"), text("id"))
    }

    /// `/web/front/vm1` and `/db/vm2`, with a hypervisor at the root and one at `/db`.
    pub async fn plant(&self) {
        let hypervisor = |host: &str| json!({"type": "fake", "host": host, "password": "hidden"});
        let root = json!({"definition": {
            "hypervisors": {"top": hypervisor("http://127.0.0.1:1")},
            "prototypes": {"small": {"vcpu": 1}}
        }});
        self.order("edit", "/", root).await;
        self.order("create-folder", "/web", json!({})).await;
        self.order("create-folder", "/web/front", json!({})).await;
        let db = json!({"definition": {"hypervisors": {"own": hypervisor("http://127.0.0.1:2")}}});
        self.order("create-folder", "/db", db).await;
        let vm1 = json!({"definition": {"use_hypervisor": "top", "use_prototype": "small"}});
        self.order("provision", "/web/front/vm1", vm1).await;
        self.order("provision", "/db/vm2", json!({})).await;
    }
}
