//! How requests travel.

use enginehouse_documents::Code;
use enginehouse_engines::{Auth, Connection, ConnectionSpec, Secret};

use crate::provider::{Provider, Reply, answer, ok};
use crate::setup::{Trial, connection, engine, problem, spec};

/// The reason phrase that an engine sees.
async fn reason(reply: &str) -> String {
    let reply = answer(reply, "{}");
    let provider = Provider::start(move |_| Reply::Raw(reply.clone())).await;
    let connection = connection(provider.address, "good");
    let page = engine()
        .await
        .list(Trial::default().reading(), &connection, None)
        .await
        .unwrap();
    page.machines[0].name.clone().unwrap_or_default()
}

#[tokio::test]
async fn the_reason_phrase_is_the_server_s_own() {
    assert_eq!(
        reason("500 VM is locked (backup)").await,
        "VM is locked (backup)"
    );
    assert_eq!(
        reason("500 Internal Server Error").await,
        "Internal Server Error"
    );
    assert_eq!(reason("500 ").await, "");
    assert_eq!(reason("596 Broken pipe").await, "Broken pipe");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Provider::start(|_| ok("{}")).await;
    let to = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{}/x\r\ncontent-length: 0\r\n\r\n",
        target.address
    );
    let provider = Provider::start(move |_| Reply::Raw(to.clone())).await;
    let connection = connection(provider.address, "good");
    let page = engine()
        .await
        .list(Trial::default().reading(), &connection, None)
        .await
        .unwrap();
    assert_eq!(page.machines[0].name.as_deref(), Some("Found"));
    assert_eq!(target.seen().len(), 0);
}

#[tokio::test]
async fn a_read_over_a_dead_connection_is_sent_again_once() {
    // Each connection answers one request, keeps open, and hangs up on the second.
    let counts = std::sync::Mutex::new(std::collections::HashMap::new());
    let provider = Provider::start(move |seen| {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(seen.connection).or_insert(0);
        *count += 1;
        if *count == 1 { ok("{}") } else { Reply::Hangup }
    })
    .await;
    let (engine, connection) = (engine().await, connection(provider.address, "good"));
    for _ in 0..2 {
        engine
            .list(Trial::default().reading(), &connection, None)
            .await
            .unwrap();
    }
    let connections: Vec<usize> = provider.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_read_that_fails_twice_is_a_problem() {
    let provider = Provider::start(|_| Reply::Hangup).await;
    let (engine, connection) = (engine().await, connection(provider.address, "good"));
    let trial = Trial::default();
    let error = engine
        .list(trial.reading(), &connection, None)
        .await
        .unwrap_err();
    assert!(error.is_transient());
    assert_eq!(problem(error).code, Code::Unreachable);
    assert_eq!(provider.seen().len(), 2);
    let requests = trial.heard.requests.lock().unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].error.as_ref().unwrap().contains("broke"));
}

#[tokio::test]
async fn an_answer_has_a_size_limit() {
    let provider = Provider::start(|_| ok(&"x".repeat(5000))).await;
    let mut spec = spec(provider.address, "good");
    spec.limits.answer_max = 1000;
    let connection = Connection::new(spec).unwrap();
    let error = engine()
        .await
        .check(Trial::default().reading(), &connection)
        .await
        .unwrap_err();
    let problem = problem(error);
    assert_eq!(problem.code, Code::Provider);
    assert!(
        problem.message.contains("longer than 1000 bytes"),
        "{problem}"
    );
}

#[tokio::test]
async fn the_audit_has_a_line_for_each_request() {
    let provider = Provider::start(|_| ok("made")).await;
    let trial = Trial::default();
    trial
        .run(&*engine().await, &connection(provider.address, "good"), 1)
        .await
        .unwrap();
    let requests = trial.heard.requests.lock().unwrap();
    let line = &requests[0];
    assert_eq!(
        (line.method.as_str(), line.path.as_str(), line.status),
        ("POST", "/machines", Some(200))
    );
    assert_eq!(
        (line.effect.as_str(), line.bytes, &line.error),
        ("once", 5, &None)
    );
}

fn with(change: impl FnOnce(&mut ConnectionSpec)) -> String {
    let mut spec = spec("127.0.0.1:1".parse().unwrap(), "good");
    change(&mut spec);
    Connection::new(spec).unwrap_err().to_string()
}

#[test]
fn what_a_connection_lacks_is_said_with_the_field() {
    for (error, texts) in [
        (
            with(|spec| spec.endpoints.clear()),
            ["`host` is missing", "host name"],
        ),
        (
            with(|spec| spec.auth = Auth::ProxmoxToken),
            ["`user` is missing", "root@pam!enginehouse"],
        ),
        (
            with(|spec| {
                spec.auth = Auth::ProxmoxToken;
                spec.user = "root@pam".into();
                spec.password = Secret::new("x");
            }),
            ["`user` is `root@pam`", "whole id"],
        ),
        (
            with(|spec| {
                spec.auth = Auth::ProxmoxTicket;
                spec.user = "root".into();
                spec.password = Secret::new("x");
            }),
            ["`user` is `root`", "realm"],
        ),
        (
            with(|spec| spec.auth = Auth::Bearer),
            ["`password` is missing", "token"],
        ),
        (
            with(|spec| {
                spec.auth = Auth::Header {
                    name: "Host".into(),
                };
                spec.password = Secret::new("x");
            }),
            ["`auth.header` is `Host`", "x-auth-token"],
        ),
        (
            with(|spec| {
                spec.auth = Auth::Bearer;
                spec.password = Secret::new("a\nb");
            }),
            ["`password` is `(secret)`", "line breaks"],
        ),
    ] {
        assert!(error.starts_with("hypervisor `lab`: "), "{error}");
        assert!(texts.iter().all(|text| error.contains(text)), "{error}");
    }
}
