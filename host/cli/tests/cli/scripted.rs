//! A server that gives the answers of a script, and the binary run against it.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

/// What the scripted server wants to be shown.
pub const TOKEN: &str = "t0ken-of-the-test";

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `POST /v1/operations`
    pub line: String,
    pub body: Value,
    pub if_match: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
}

#[derive(Default)]
struct Play {
    /// Answers by request line, in order; the last one stays.
    answers: HashMap<String, VecDeque<(u16, String, Value)>>,
    seen: Vec<Seen>,
}

/// A server on a free port, until it is dropped.
pub struct Scripted {
    pub url: String,
    play: Arc<Mutex<Play>>,
    _runtime: tokio::runtime::Runtime,
}

impl Scripted {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let play = Arc::new(Mutex::new(Play::default()));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&play));
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url,
            play,
            _runtime: runtime,
        }
    }

    /// The next answer to this request; the last one given stays.
    pub fn on(self, line: &str, status: u16, body: Value) -> Self {
        let kind = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        self.push(line, status, kind, body);
        self
    }

    /// An answer that no Enginehouse gives.
    pub fn on_foreign(self, line: &str, status: u16, text: &str) -> Self {
        self.push(line, status, "text/html", json!(text));
        self
    }

    /// Server-Sent Events, after which the connection ends.
    pub fn on_events(self, line: &str, text: &str) -> Self {
        self.push(line, 200, "text/event-stream", json!(text));
        self
    }

    fn push(&self, line: &str, status: u16, kind: &str, body: Value) {
        let mut play = self.play.lock().unwrap();
        let answers = play.answers.entry(line.to_owned()).or_default();
        answers.push_back((status, kind.to_owned(), body));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.play.lock().unwrap().seen.clone()
    }

    /// The bodies sent to this request line.
    pub fn bodies(&self, line: &str) -> Vec<Value> {
        let seen = self.seen().into_iter().filter(|seen| seen.line == line);
        seen.map(|seen| seen.body).collect()
    }

    /// Runs the binary against this server.
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = enginehouse(args);
        command
            .env("ENGINEHOUSE_SERVER", &self.url)
            .env("ENGINEHOUSE_TOKEN", TOKEN);
        run(command).with(&self.url, "[SERVER]")
    }
}

/// Adds what a problem answer has beside the given members.
pub fn problem(status: u16, code: &str, detail: &str, more: Value) -> Value {
    let mut problem = json!({
        "type": "about:blank", "title": code, "status": status, "code": code, "detail": detail,
    });
    let more = more.as_object().unwrap().clone();
    problem.as_object_mut().unwrap().extend(more);
    problem
}

async fn answer(State(play): State<Arc<Mutex<Play>>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let authorization = header(&request, &AUTHORIZATION);
    let if_match = header(&request, &IF_MATCH);
    let key = header(&request, &HeaderName::from_static("idempotency-key"));
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut play = play.lock().unwrap();
    play.seen.push(Seen {
        line: line.clone(),
        body,
        if_match,
        key,
    });
    if authorization.as_deref() != Some(&format!("Bearer {TOKEN}")) {
        let body = problem(401, "unauthorized", "the token is not valid", json!({}));
        return respond(401, "application/problem+json", &body);
    }
    let (status, kind, body) = match play.answers.get_mut(&line) {
        None => {
            let body = problem(
                404,
                "not-found",
                &format!("not in the script: {line}"),
                json!({}),
            );
            (404, "application/problem+json".to_owned(), body)
        }
        Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
        Some(answers) => answers[0].clone(),
    };
    respond(status, &kind, &body)
}

fn header(request: &Request, name: &HeaderName) -> Option<String> {
    let value = request.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

fn respond(status: u16, kind: &str, body: &Value) -> Response {
    let text = match body {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header(CONTENT_TYPE, kind)
        .body(Body::from(text))
        .unwrap()
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// All of it, as one snapshot.
    pub fn all(&self) -> String {
        let mut text = format!("exit code {}\n", self.code);
        for (title, part) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !part.is_empty() {
                text.push_str(&format!("-- {title} --\n{part}"));
            }
        }
        text
    }

    pub fn with(mut self, what: &str, name: &str) -> Self {
        self.out = self.out.replace(what, name);
        self.err = self.err.replace(what, name);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// The binary with an environment of its own, away from the tester's home and server.
pub fn enginehouse(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enginehouse"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

pub fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Writes what `serve` leaves in its data directory.
pub fn write_access(dir: &Path, url: &str, token: &str) {
    std::fs::write(dir.join("address"), format!("{url}\n")).unwrap();
    std::fs::write(dir.join("token"), format!("{token}\n")).unwrap();
}
