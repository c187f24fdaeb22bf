//! A small HTTP server with the answers of a test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub head: String,
    pub body: String,
    /// Number of the connection it came over.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        (self.head.lines().skip(1))
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

pub enum Reply {
    /// Status line, headers and body as they are; the connection stays open.
    Raw(String),
    /// The same, later.
    Late(Duration, String),
    /// The same; then the connection is closed without a word.
    Last(String),
    /// The connection is closed instead.
    Hangup,
}

/// `200 OK` with this body.
pub fn ok(body: &str) -> Reply {
    Reply::Raw(answer("200 OK", body))
}

pub fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub struct Provider {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Provider {
    pub async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (shared, reply) = (Arc::clone(&seen), Arc::new(reply));
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, reply) = (Arc::clone(&shared), Arc::clone(&reply));
                tokio::spawn(async move {
                    // A client may go away at any time.
                    let _ = serve(stream, connection, &shared, &*reply).await;
                });
            }
        });
        Self { address, seen }
    }

    /// All requests so far, without logins.
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| !seen.path.ends_with("/access/ticket"))
            .cloned()
            .collect()
    }

    pub fn logins(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.path.ends_with("/access/ticket"))
            .count()
    }

    pub fn posts(&self) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.method == "POST")
            .count()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    all: &Mutex<Vec<Seen>>,
    reply: &(dyn Fn(&Seen) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut words = head.split(' ');
        let mut seen = Seen {
            method: words.next().unwrap().to_owned(),
            path: words.next().unwrap().to_owned(),
            body: String::new(),
            connection,
            head: head.clone(),
        };
        let length: usize = seen
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        while buffer.len() < end + length {
            stream.read_buf(&mut buffer).await?;
        }
        seen.body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
        buffer.drain(..end + length);
        all.lock().unwrap().push(seen.clone());
        match reply(&seen) {
            Reply::Raw(text) => stream.write_all(text.as_bytes()).await?,
            Reply::Late(wait, text) => {
                tokio::time::sleep(wait).await;
                stream.write_all(text.as_bytes()).await?;
            }
            Reply::Last(text) => {
                stream.write_all(text.as_bytes()).await?;
                return Ok(());
            }
            Reply::Hangup => return Ok(()),
        }
    }
}
