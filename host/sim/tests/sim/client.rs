//! One request, one connection: so a connection closed without an answer is an error of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use enginehouse_sim::{Knobs, SimConfig, SimHandle};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body.
pub type Answered = io::Result<(u16, Value)>;

pub async fn ask(to: SocketAddr, method: &str, path: &str, body: Value, header: &str) -> Answered {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n{header}content-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let wrong = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Ok((status.ok_or_else(wrong)?, body))
}

pub async fn get(sim: &SimHandle, path: &str) -> Answered {
    ask(sim.addr(), "GET", path, Value::Null, "").await
}

pub async fn post(sim: &SimHandle, path: &str, body: Value) -> Answered {
    ask(sim.addr(), "POST", path, body, "").await
}

pub async fn patch(sim: &SimHandle, path: &str, body: Value) -> Answered {
    ask(sim.addr(), "PATCH", path, body, "").await
}

pub async fn create(sim: &SimHandle, name: &str) -> Answered {
    let body = json!({"name": name, "base_image": "d12", "mark": format!("eh:{name}")});
    post(sim, "/v1/machines", body).await
}

/// Lets the world live for so long.
pub async fn pass(ms: u64) {
    tokio::time::advance(Duration::from_millis(ms)).await;
}

/// Tasks that take a second, everything else as it is.
pub fn config() -> SimConfig {
    SimConfig {
        knobs: Knobs {
            task_ms: 1000,
            ..Knobs::default()
        },
        ..SimConfig::default()
    }
}
