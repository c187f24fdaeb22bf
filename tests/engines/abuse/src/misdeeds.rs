//! What the engine does wrong, by the setting `mode`.

use std::hint::black_box;
use std::io::Write;

use serde_json::{Value, json};

use crate::bindings::enginehouse::engine::host::{self, Call, Hypervisor, Request};
use crate::bindings::enginehouse::engine::types::{Finished, Moved, Object, Problem, Waiting};
use crate::bindings::exports::enginehouse::engine::machines::{Step, TaskQuery, TaskState};

/// An answer with its whole body.
pub struct Answer {
    pub status: u16,
    pub reason: String,
    body: Result<Vec<u8>, Problem>,
}

impl Answer {
    pub fn text(self) -> Result<String, Problem> {
        Ok(String::from_utf8_lossy(&self.body?).into_owned())
    }
}

pub fn problem(code: &str, message: &str) -> Problem {
    Problem {
        code: code.to_owned(),
        message: message.to_owned(),
        detail: String::new(),
    }
}

pub fn mode(hypervisor: &Hypervisor) -> String {
    let settings: Value = serde_json::from_str(&hypervisor.settings()).unwrap_or_default();
    settings["mode"].as_str().unwrap_or("good").to_owned()
}

pub fn get(hypervisor: &Hypervisor, endpoint: &str, path: &str) -> Result<Answer, Problem> {
    send(hypervisor, endpoint, "GET", path, "read", b"")
}

pub fn send(
    hypervisor: &Hypervisor,
    endpoint: &str,
    method: &str,
    path: &str,
    effect: &str,
    body: &[u8],
) -> Result<Answer, Problem> {
    let request = Request::new(endpoint, method, path, effect);
    if !body.is_empty() {
        request.body(body);
    }
    answer(hypervisor, request)
}

fn answer(hypervisor: &Hypervisor, request: Request) -> Result<Answer, Problem> {
    let response = host::send(hypervisor, request)?;
    let mut body = Vec::new();
    let body = loop {
        match response.read(1000) {
            Ok(piece) if piece.is_empty() => break Ok(body),
            Ok(piece) => body.extend(piece),
            Err(problem) => break Err(problem),
        }
    };
    Ok(Answer {
        status: response.status(),
        reason: response.reason(),
        body,
    })
}

#[allow(clippy::empty_loop, reason = "the very thing this engine is for")]
pub fn spin() -> ! {
    loop {
        black_box(());
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame[0] == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + frame[7]
}

fn once(call: &Call, hypervisor: &Hypervisor, path: &str) -> Result<Answer, Problem> {
    let body = format!("mark={}", call.mark());
    send(hypervisor, "host", "POST", path, "once", body.as_bytes())
}

/// What the provider saw of them, and is kind enough to tell.
fn credentials(hypervisor: &Hypervisor) -> Result<String, Problem> {
    let echoed = get(hypervisor, "host", "/echo")?.text()?;
    let value = (echoed.lines())
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.trim_start_matches("Bearer ").to_owned());
    value.ok_or_else(|| problem("provider", "no credentials were sent"))
}

fn done(said: &str) -> Result<Step, Problem> {
    Ok(Step::Done(Finished {
        created: Vec::new(),
        detail: json!({"warnings": [said]}).to_string(),
    }))
}

/// What `settle` found.
pub fn found(id: &str) -> Moved {
    Moved {
        token: b"found".to_vec(),
        created: vec![Object {
            kind: "machine".to_owned(),
            id: id.to_owned(),
        }],
        detail: String::new(),
    }
}

pub fn still_running(query: TaskQuery) -> TaskState {
    TaskState {
        state: "running".to_owned(),
        cursor: query.cursor,
        detail: String::new(),
    }
}

/// Does what the mode says, under a name of its own in backtraces; ends, if at all, with what it saw as a warning.
#[allow(clippy::panic, reason = "engines that panic are what is tested")]
#[inline(never)]
pub fn run(
    call: &Call,
    hypervisor: &Hypervisor,
    action: &str,
    token: Option<Vec<u8>>,
) -> Result<Step, Problem> {
    match mode(hypervisor).as_str() {
        "good" => {
            let answer = once(call, hypervisor, "/machines")?;
            let (status, reason) = (answer.status, answer.reason.clone());
            done(&format!("{status} {reason}: {}", answer.text()?))
        }
        "spin" => spin(),
        "hog" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(vec![1; 1 << 20]));
            }
        }
        "recurse" => done(&recurse(0).to_string()),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            done("slept")
        }
        "handles" => {
            let mut all = Vec::new();
            loop {
                all.push(Request::new("host", "GET", "/", "read"));
            }
        }
        "stranger" => done(&get(hypervisor, "elsewhere", "/")?.text()?),
        "forbidden-header" => {
            let request = Request::new("host", "GET", "/echo", "read");
            request.header("Authorization", "Bearer mine");
            done(&answer(hypervisor, request)?.text()?)
        }
        "trap-after-once" => {
            let answer = once(call, hypervisor, "/machines")?;
            if call.attempt() == 1 {
                panic!("right after the once request");
            }
            let status = answer.status;
            done(&format!(
                "attempt {}: {status} {}",
                call.attempt(),
                answer.text()?
            ))
        }
        "always-trap-after-once" | "once-in-settle" => {
            get(hypervisor, "host", "/run")?;
            once(call, hypervisor, "/machines")?;
            panic!("right after the once request");
        }
        "another-once" => {
            once(
                call,
                hypervisor,
                &format!("/machines?attempt={}", call.attempt()),
            )?;
            panic!("right after the once request");
        }
        "two-once" => {
            once(call, hypervisor, "/machines")?;
            once(call, hypervisor, "/machines")?;
            done("sent two")
        }
        "done-anyway" => {
            let lost = once(call, hypervisor, "/machines").is_err();
            done(&format!("lost: {lost}"))
        }
        "repeat" => {
            let answer = send(hypervisor, "host", "PUT", "/name", "repeat", b"x")?;
            done(&answer.status.to_string())
        }
        "print-credentials" => {
            let echoed = get(hypervisor, "host", "/echo")?.text()?;
            call.log("warn", &echoed);
            call.progress(Some(50), &echoed);
            let _ = writeln!(std::io::stderr(), "{echoed}");
            let mut problem = problem("provider", &format!("it says {echoed}"));
            problem.detail = json!({"lines": [echoed], "hint": hypervisor.settings()}).to_string();
            Err(problem)
        }
        "send-credentials" => {
            let echoed = credentials(hypervisor)?;
            let request = Request::new("host", "POST", &format!("/leak?to={echoed}"), "once");
            request.header("X-Copy", &echoed);
            request.body(echoed.as_bytes());
            done(&answer(hypervisor, request)?.text()?)
        }
        "return-credentials" => {
            let echoed = credentials(hypervisor)?;
            Ok(Step::Done(Finished {
                created: vec![Object {
                    kind: "disk".to_owned(),
                    id: echoed.clone(),
                }],
                detail: json!({
                    "machine": {"id": "7", "name": echoed, "power": "stopped"},
                    "warnings": [echoed],
                })
                .to_string(),
            }))
        }
        "keep-credentials" => Ok(Step::Again(Moved {
            token: credentials(hypervisor)?.into_bytes(),
            created: Vec::new(),
            detail: String::new(),
        })),
        "task-of-credentials" => Ok(Step::Wait(Waiting {
            task: credentials(hypervisor)?,
            token: Vec::new(),
            created: Vec::new(),
            detail: String::new(),
        })),
        "again" => Ok(Step::Again(Moved {
            token: token.unwrap_or_default(),
            created: Vec::new(),
            detail: String::new(),
        })),
        "endless-task" | "spin-in-poll" => {
            if call.ended().is_some() {
                return done("the task ended");
            }
            let task = once(call, hypervisor, "/machines")?.text()?;
            Ok(Step::Wait(Waiting {
                task,
                token: b"waiting".to_vec(),
                created: Vec::new(),
                detail: json!({"poll_after_ms": 10}).to_string(),
            }))
        }
        "panic-with-credentials" => panic!("{}", get(hypervisor, "host", "/echo")?.text()?),
        "big-token" => Ok(Step::Again(Moved {
            token: vec![0; (64 << 10) + 1],
            created: Vec::new(),
            detail: String::new(),
        })),
        "bad-json" => Ok(Step::Done(Finished {
            created: Vec::new(),
            detail: "{".to_owned(),
        })),
        "chatter" => {
            for n in 0..5000 {
                call.log("info", &format!("line {n}"));
            }
            done("said it")
        }
        "outside" => {
            let net = std::net::TcpStream::connect("127.0.0.1:80").is_err();
            let files = std::fs::read_dir("/").is_err();
            let env = std::env::vars().count();
            done(&format!("no net {net}, no files {files}, env {env}"))
        }
        "know" => {
            let known = json!({
                "operation": call.operation(),
                "attempt": call.attempt(),
                "mark": call.mark(),
                "key": call.key(3),
                "now": call.now(),
                "in_time": call.remaining() > 0,
                "cancelling": call.cancelling(),
                "ended": call.ended(),
                "name": hypervisor.name(),
                "reserved": call.reserve("vmid", 100, 200, &[]).ok(),
                "action": serde_json::from_str::<Value>(action).unwrap_or_default()["action"],
            });
            Ok(Step::Again(Moved {
                token: token.unwrap_or_else(|| known.to_string().into_bytes()),
                created: Vec::new(),
                detail: String::new(),
            }))
        }
        other => Err(problem("invalid", &format!("no such mode: {other}"))),
    }
}
