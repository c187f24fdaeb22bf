//! A reader of events that stays connected and does not read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(60);
/// Events that the host keeps: more than one import makes, far fewer than all.
const KEPT: usize = 1000;
/// Nodes that each import changes: each is an event.
const NODES: usize = 400;
/// Imports while nobody reads. Their events are several megabytes; what the host's connection and both
/// sockets can hold is less than one.
const IMPORTS: usize = 20;

/// A client that reads when it is told to, and no byte before.
struct Raw {
    stream: TcpStream,
    text: String,
}

/// An event as it stands on the wire.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    event: String,
    /// Number of the event within this life of the host.
    place: u64,
    data: Value,
}

impl Raw {
    async fn listen(site: &Site) -> Self {
        let url = site.request("GET", "/").build().unwrap().url().clone();
        let address = url.socket_addrs(|| None).unwrap()[0];
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        // Of an answer to HTTP/1.0 the bytes are those of the stream, without chunks.
        let request = format!(
            "GET /v1/events HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n",
            site.token()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Self {
            stream,
            text: String::new(),
        };
        let head = raw.piece("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        raw
    }

    async fn piece(&mut self, end: &str) -> String {
        loop {
            if let Some((piece, rest)) = self.text.split_once(end) {
                let piece = piece.to_owned();
                self.text = rest.to_owned();
                return piece;
            }
            let mut bytes = vec![0; 1 << 16];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
            let read = read.expect("the stream is silent").unwrap();
            assert!(read > 0, "the stream has ended");
            self.text
                .push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }

    async fn told(&mut self) -> Told {
        loop {
            let piece = self.piece("\n\n").await;
            let fields: BTreeMap<&str, &str> = piece
                .lines()
                .filter_map(|line| line.split_once(": "))
                .collect();
            let Some(id) = fields.get("id") else {
                assert!(piece.starts_with(':'), "{piece}");
                continue;
            };
            let (_, place) = id.split_once('-').unwrap();
            return Told {
                event: fields["event"].to_owned(),
                place: u64::from_str_radix(place, 16).unwrap(),
                data: serde_json::from_str(fields["data"]).unwrap(),
            };
        }
    }

    /// Everything up to an event that is so.
    async fn until(&mut self, is_last: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            all.push(self.told().await);
            if all.last().is_some_and(&is_last) {
                return all;
            }
        }
    }
}

fn is_node(told: &Told, path: &str) -> bool {
    told.event == "node" && told.data["path"] == json!(path)
}

/// Changes all nodes in one commit.
async fn import(site: &Site, vcpu: usize) {
    let deep = ["a", "b", "c", "d", "e", "f"].map(|name| name.repeat(60));
    let files: Map<String, Value> = (0..NODES)
        .map(|n| {
            let file = format!("{}/{n}/_folder.yaml", deep.join("/"));
            (file, json!(format!("vcpu: {vcpu}\n")))
        })
        .collect();
    let import = json!({"path": "/", "files": files});
    let answer = site
        .ask(&site.token(), "POST", "/v1/imports", &import)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_is_told_to_start_again_and_never_silently_skipped() {
    let mut site = Site::start().await;
    site.events_kept = KEPT;
    site.restart().await;
    import(&site, 1).await;
    let mut stalled = Raw::listen(&site).await;
    let ready = stalled.told().await;
    assert_eq!(ready.event, "ready");
    // One that reads has everything in its time.
    let mut reading = Raw::listen(&site).await;
    let first = reading.told().await;
    let reading = tokio::spawn(async move {
        let told = reading.until(|told| is_node(told, "/the-end")).await;
        (reading, told)
    });
    for vcpu in 2..2 + IMPORTS {
        import(&site, vcpu).await;
    }
    site.order("create-folder", "/the-end", json!({})).await;
    let (_, read) = reading.await.unwrap();
    assert!(read.len() > NODES * IMPORTS, "{}", read.len());
    let (resets, _) = gaps(first.place, &read);
    assert_eq!(resets, 0, "who reads misses nothing");

    // Now the other one reads what was on its way to it, and learns that more has happened.
    let told = stalled.until(|told| told.event == "reset").await;
    let (resets, skipped) = gaps(ready.place, &told);
    assert_eq!(resets, 1);
    assert!(
        skipped > 0,
        "nothing was missed: the reader was not stalled"
    );
    // From there on nothing is missed any more.
    import(&site, 1).await;
    site.order("create-folder", "/more", json!({})).await;
    let more = stalled.until(|told| is_node(told, "/more")).await;
    let last = told.last().unwrap().place;
    assert_eq!(gaps(last, &more), (0, 0));
    assert!(more.len() > NODES);
}

/// How often a reader is told to start again, and how many events it is not told for it. An event that
/// is missing without that ends the test.
fn gaps(from: u64, told: &[Told]) -> (usize, u64) {
    let (mut place, mut resets, mut skipped) = (from, 0, 0);
    for event in told {
        if event.event == "reset" {
            assert!(event.place > place, "{event:?} after {place}");
            resets += 1;
            skipped += event.place - place;
        } else {
            assert_eq!(event.place, place + 1, "skipped: {event:?}");
        }
        place = event.place;
    }
    (resets, skipped)
}
