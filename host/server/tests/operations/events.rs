//! Server-Sent Events.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(30);

/// A stream as a client reads it.
struct Reader {
    answer: reqwest::Response,
    text: String,
}

/// An event: its name, its id, its data.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    event: String,
    id: String,
    data: Value,
}

impl Told {
    /// `operation edit /web succeeded`, `node /web`, …
    fn short(&self) -> String {
        let text = |key: &str| self.data[key].as_str().unwrap_or_default();
        match self.event.as_str() {
            "operation" => {
                let (kind, path, state) = (text("kind"), text("path"), text("state"));
                format!("operation {kind} {path} {state}")
            }
            "node" if self.data["removed"] == json!(true) => format!("no {}", text("path")),
            "node" => format!("node {}", text("path")),
            "end" => format!("end {}", text("reason")),
            other => other.to_owned(),
        }
    }
}

impl Reader {
    async fn open(site: &Site, token: &str, path: &str, last: Option<&str>) -> Self {
        let mut request = site.request("GET", path).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next event, or the next comment; `None` at the end.
    async fn piece(&mut self) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.text.split_once("\n\n") {
                let piece = piece.to_owned();
                self.text = rest.to_owned();
                return Some(piece);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.expect("the stream is silent").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Told> {
        loop {
            let piece = self.piece().await?;
            if piece.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let lines = piece.lines().filter_map(|line| line.strip_prefix(name));
                lines.collect::<Vec<_>>().join("\n")
            };
            return Some(Told {
                event: field("event: "),
                id: field("id: "),
                data: serde_json::from_str(&field("data: ")).unwrap(),
            });
        }
    }

    async fn told(&mut self) -> Told {
        self.next().await.expect("the stream has ended")
    }

    /// Events up to one that is so, in short.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let short = self.told().await.short();
            all.push(short);
            if all.last().is_some_and(|short| short == last) {
                return all;
            }
        }
    }
}

async fn edit(site: &Site, path: &str, vcpu: u32) -> u64 {
    let changes = json!({"changes": [{"op": "set", "key": ["vcpu"], "value": vcpu}]});
    let done = site.order("edit", path, changes).await;
    done["number"].as_u64().unwrap()
}

#[tokio::test]
async fn an_operation_that_is_over_is_told_whole_and_the_stream_ends() {
    let site = Site::start().await;
    site.plant().await;
    let number = edit(&site, "/web/front/vm1", 2).await;
    let path = format!("/v1/operations/{number}/events");
    let mut reader = Reader::open(&site, &site.token(), &path, None).await;
    let first = reader.told().await;
    assert_eq!(first.short(), "operation edit /web/front/vm1 succeeded");
    let shown = site
        .get(&site.token(), &format!("/v1/operations/{number}"))
        .await;
    assert_eq!(first.data, shown.body);
    assert_eq!(reader.told().await.short(), "end over");
    assert_eq!(reader.next().await, None);
    let missing = site.get(&site.token(), "/v1/operations/9999/events").await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn what_happens_is_told_in_order_and_from_an_id_on_nothing_is_missed() {
    let site = Site::start().await;
    site.plant().await;
    let token = site.token();
    let mut reader = Reader::open(&site, &token, "/v1/events", None).await;
    let ready = reader.told().await;
    assert_eq!(ready.event, "ready");
    edit(&site, "/web/front/vm1", 2).await;
    let first = reader
        .until("operation edit /web/front/vm1 succeeded")
        .await;
    assert!(
        first.contains(&"node /web/front/vm1".to_owned()),
        "{first:?}"
    );
    site.order("move", "/web/front/vm1", json!({"to": "/db/vm1"}))
        .await;
    let moved = reader
        .until("operation move /web/front/vm1 succeeded")
        .await;
    assert!(moved.contains(&"no /web/front/vm1".to_owned()), "{moved:?}");
    assert!(moved.contains(&"node /db/vm1".to_owned()), "{moved:?}");
    site.order("deprovision", "/db/vm1", json!({})).await;
    let gone = reader
        .until("operation deprovision /db/vm1 succeeded")
        .await;
    assert!(gone.contains(&"no /db/vm1".to_owned()), "{gone:?}");
    drop(reader);
    // Somebody who was not there meanwhile gets the same, from where they were.
    let mut again = Reader::open(&site, &token, "/v1/events", Some(&ready.id)).await;
    assert_eq!(again.told().await.event, "ready");
    let all = again.until("operation deprovision /db/vm1 succeeded").await;
    assert_eq!(all, [&first[..], &moved, &gone].concat());
    for (vcpu, unknown) in [(3, "1-1"), (4, "no-id"), (5, &ready.id.replace('-', "-f"))] {
        let mut reader = Reader::open(&site, &token, "/v1/events", Some(unknown)).await;
        let told = reader.told().await;
        assert_eq!(told.event, "reset", "{unknown}");
        // From its id on, it goes on.
        edit(&site, "/web", vcpu).await;
        assert_eq!(reader.told().await.short(), "node /web");
    }
}

#[tokio::test]
async fn a_stream_ends_after_the_time_that_was_asked_for() {
    let site = Site::start().await;
    let token = site.token();
    let mut reader = Reader::open(&site, &token, "/v1/events?timeout_ms=0", None).await;
    assert_eq!(reader.told().await.event, "ready");
    assert_eq!(reader.told().await.short(), "end time");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn who_is_too_late_is_told_to_read_the_state_again() {
    let mut site = Site::start().await;
    site.events_kept = 16;
    site.restart().await;
    site.order("create-folder", "/web", json!({})).await;
    let token = site.token();
    let mut reader = Reader::open(&site, &token, "/v1/events", None).await;
    let ready = reader.told().await.id;
    for vcpu in 1..20 {
        edit(&site, "/web", vcpu).await;
    }
    let mut late = Reader::open(&site, &token, "/v1/events", Some(&ready)).await;
    let reset = late.told().await;
    assert_eq!(reset.event, "reset");
    assert!(
        reset.data["reason"]
            .as_str()
            .unwrap()
            .contains("no longer there")
    );
    // An import that changes very much is not told node by node.
    let files: serde_json::Map<String, Value> = (0..600)
        .map(|n| (format!("big/f{n}/_folder.yaml"), json!("")))
        .collect();
    let import = json!({"path": "/", "files": files});
    let imported = site.ask(&token, "POST", "/v1/imports", &import).await;
    assert_eq!(imported.status, 200, "{}", imported.said());
    assert_eq!(late.told().await.event, "reset");
}

#[tokio::test]
async fn everyone_is_told_what_they_may_read_and_only_while_they_may() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "viewer").await;
    let (ann, _) = site.make_token("ann", None).await;
    let mut reader = Reader::open(&site, &ann, "/v1/events", None).await;
    assert_eq!(reader.told().await.event, "ready");
    edit(&site, "/db", 1).await;
    edit(&site, "/web", 1).await;
    assert_eq!(
        reader.until("operation edit /web succeeded").await,
        ["node /web", "operation edit /web succeeded"]
    );
    let grants = json!({"grants": [{"op": "remove", "subject": "ann", "roles": ["viewer"]}]});
    site.order("set-grants", "/web", grants).await;
    site.grant("/db", "ann", "viewer").await;
    edit(&site, "/web", 2).await;
    edit(&site, "/db", 2).await;
    let told = reader.until("operation edit /db succeeded").await;
    assert!(told.iter().all(|short| !short.contains("/web")), "{told:?}");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let mut site = Site::start().await;
    site.heartbeat = Duration::from_millis(20);
    site.restart().await;
    site.plant().await;
    site.grant("/", "ann", "viewer").await;
    let (revoked, id) = site.make_token("ann", None).await;
    let (expiring, _) = site.make_token("ann", Some(60)).await;
    let own = site.token();
    let mut readers = Vec::new();
    for token in [&revoked, &expiring, &own] {
        let mut reader = Reader::open(&site, token, "/v1/events", None).await;
        assert_eq!(reader.told().await.event, "ready");
        // It says that it is alive.
        assert!(reader.piece().await.unwrap().starts_with(':'));
        readers.push(reader);
    }
    let path = format!("/v1/tokens/{id}");
    assert_eq!(
        site.ask(&own, "DELETE", &path, &Value::Null).await.status,
        200
    );
    assert_eq!(readers[0].told().await.short(), "end token");
    assert_eq!(readers[0].next().await, None);
    site.pass(60_000);
    assert_eq!(readers[1].told().await.short(), "end token");
    let rotated = site
        .ask(&own, "POST", "/v1/tokens/rotate", &Value::Null)
        .await;
    assert_eq!(rotated.status, 200);
    assert_eq!(readers[2].told().await.short(), "end token");
}

#[tokio::test]
async fn a_host_that_stops_ends_its_streams() {
    let mut site = Site::start().await;
    let token = site.token();
    let mut reader = Reader::open(&site, &token, "/v1/events", None).await;
    assert_eq!(reader.told().await.event, "ready");
    let began = Instant::now();
    let (told, ()) = tokio::join!(reader.told(), site.stop());
    assert_eq!(told.short(), "end stopping");
    assert_eq!(reader.next().await, None);
    // The patience of a stop is for answers that do not end.
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

/// A thousand listeners read everything; orders are answered about as fast as without them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_listeners_do_not_slow_orders_down() {
    let site = Site::start().await;
    site.plant().await;
    let token = site.token();
    let timed = async |times: u32| {
        let mut took = Vec::new();
        for vcpu in 0..times {
            let began = Instant::now();
            edit(&site, "/web", vcpu + 1).await;
            took.push(began.elapsed());
        }
        took.sort();
        took[took.len() / 2]
    };
    timed(20).await;
    let alone = timed(100).await;
    let mut readers = Vec::new();
    for _ in 0..1000 {
        let mut reader = Reader::open(&site, &token, "/v1/events", None).await;
        assert_eq!(reader.told().await.event, "ready");
        readers.push(tokio::spawn(async move {
            let mut events = 0_usize;
            while let Some(told) = reader.next().await {
                assert_ne!(told.event, "reset");
                events += 1;
                if told.short() == "node /done" {
                    break;
                }
            }
            events
        }));
    }
    let watched = timed(100).await;
    site.order("create-folder", "/done", json!({})).await;
    for reader in readers {
        // Each edit is a node and an operation.
        assert!(reader.await.unwrap() > 200);
    }
    println!("median of an order: {alone:?} alone, {watched:?} with 1,000 listeners");
    // The listeners are in this process, too, and take their share of the machine.
    assert!(
        watched < alone * 10 + Duration::from_millis(100),
        "{alone:?} alone, {watched:?} with listeners"
    );
}
