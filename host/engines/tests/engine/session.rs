//! Logging in to Proxmox VE with a ticket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use enginehouse_documents::Code;
use enginehouse_engines::{Auth, Connection, OnceState, Secret};

use crate::provider::{Provider, Reply, Seen, answer, ok};
use crate::setup::{Trial, engine, problem, said, spec};

const PASSWORD: &str = "pass word&more";

fn connect(provider: &Provider) -> Arc<Connection> {
    let mut spec = spec(provider.address, "good");
    spec.auth = Auth::ProxmoxTicket;
    spec.user = "root@pam".into();
    spec.password = Secret::new(PASSWORD);
    Connection::new(spec).unwrap()
}

fn ticket(n: usize) -> String {
    let data =
        format!(r#"{{"ticket":"PVE:root@pam:{n}::sig==","CSRFPreventionToken":"csrf-{n}"}}"#);
    answer("200 OK", &format!(r#"{{"data":{data}}}"#))
}

fn is_login(seen: &Seen) -> bool {
    seen.path == "/api2/json/access/ticket"
}

#[tokio::test]
async fn one_login_serves_all_who_wait_for_it() {
    let provider = Provider::start(|seen| {
        if is_login(seen) {
            assert_eq!(seen.body, "username=root%40pam&password=pass%20word%26more");
            return Reply::Raw(ticket(1));
        }
        ok("made")
    })
    .await;
    let (engine, connection) = (engine().await, connect(&provider));
    assert_eq!(connection.session(), 0);
    let trial = Trial::default();
    let reads = (0..8).map(|_| engine.list(trial.reading(), &connection, None));
    for read in futures_util::future::join_all(reads).await {
        read.unwrap();
    }
    said(trial.run(&engine, &connection, 1).await);
    assert_eq!((provider.logins(), connection.session()), (1, 1));
    for seen in provider.seen() {
        assert_eq!(
            seen.header("cookie"),
            Some("PVEAuthCookie=PVE:root@pam:1::sig==")
        );
        let csrf = (seen.method != "GET").then_some("csrf-1");
        assert_eq!(seen.header("csrfpreventiontoken"), csrf, "{}", seen.method);
    }
    let requests = trial.heard.requests.lock().unwrap();
    assert_eq!(requests.iter().filter(|line| line.login).count(), 1);
    let all = format!("{requests:?}");
    assert!(
        !all.contains("sig==") && !all.contains("csrf-1") && !all.contains("pass"),
        "{all}"
    );
}

#[tokio::test]
async fn an_expired_session_is_renewed_once_and_the_read_repeated() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let provider = Provider::start(move |seen| {
        if is_login(seen) {
            return Reply::Raw(ticket(count.fetch_add(1, Ordering::Relaxed) + 1));
        }
        // The first ticket is no longer good.
        if seen.header("cookie").unwrap().contains(":1:") {
            return Reply::Raw(answer("401 No ticket", ""));
        }
        ok("{}")
    })
    .await;
    let (engine, connection) = (engine().await, connect(&provider));
    engine
        .list(Trial::default().reading(), &connection, None)
        .await
        .unwrap();
    assert_eq!((provider.logins(), connection.session()), (2, 2));
    // An old generation expires nothing.
    connection.expire_session(1);
    engine
        .list(Trial::default().reading(), &connection, None)
        .await
        .unwrap();
    assert_eq!(provider.logins(), 2);
    connection.expire_session(2);
    engine
        .list(Trial::default().reading(), &connection, None)
        .await
        .unwrap();
    assert_eq!((provider.logins(), connection.session()), (3, 3));
}

#[tokio::test]
async fn a_wrong_password_is_denied_by_name_and_not_tried_by_everybody() {
    let provider = Provider::start(|_| Reply::Raw(answer("401 authentication failure", ""))).await;
    let (engine, connection, trial) = (engine().await, connect(&provider), Trial::default());
    for _ in 0..3 {
        let error = trial.run(&engine, &connection, 1).await.unwrap_err();
        assert_eq!(
            (error.once, error.is_transient()),
            (OnceState::NotSent, false)
        );
        let problem = problem(error);
        assert_eq!(problem.code, Code::Denied);
        assert_eq!(
            problem.message,
            "hypervisor `lab` refuses the password of user `root@pam`: authentication failure"
        );
        assert_eq!(problem.detail.status, Some(401));
        assert!(problem.detail.hint.unwrap().contains("root@pam"));
    }
    assert_eq!((provider.logins(), provider.posts()), (1, 0));
}

#[tokio::test]
async fn what_is_no_proxmox_is_said_so() {
    let provider = Provider::start(|_| ok("<html>")).await;
    let (engine, connection) = (engine().await, connect(&provider));
    let error = engine
        .list(Trial::default().reading(), &connection, None)
        .await
        .unwrap_err();
    let problem = problem(error);
    assert!(problem.message.contains("without a ticket"), "{problem}");
    assert!(problem.detail.hint.unwrap().contains("8006"));
}

#[tokio::test]
async fn without_a_session_session_expired_is_denied() {
    let provider = Provider::start(|_| Reply::Raw(answer("401 No ticket", ""))).await;
    let connection = Connection::new(spec(provider.address, "good")).unwrap();
    let list = engine()
        .await
        .list(Trial::default().reading(), &connection, None)
        .await;
    assert_eq!(problem(list.unwrap_err()).code, Code::Denied);
    assert_eq!(provider.seen().len(), 1);
}
