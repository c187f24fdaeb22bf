//! No more requests a second than the operator allows.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use enginehouse_documents::Code;
use enginehouse_engines::{Auth, Connection, OnceEnd, OnceState, Rate, Secret};

use crate::provider::{Provider, ok};
use crate::setup::{Trial, engine, problem, said, spec};

fn connection(provider: &Provider, per_second: u32, burst: u32) -> Arc<Connection> {
    let mut spec = spec(provider.address, "good");
    spec.limits.rate = Some(Rate {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    });
    Connection::new(spec).unwrap()
}

/// As fast as this machine is, it cannot be done before the last turn.
#[tokio::test]
async fn what_asks_at_once_leaves_one_after_another() {
    let provider = Provider::start(|_| ok("{}")).await;
    let (engine, connection) = (engine().await, connection(&provider, 20, 2));
    let began = Instant::now();
    let lists = (0..12).map(|_| async {
        let trial = Trial::default();
        engine.list(trial.reading(), &connection, None).await
    });
    for list in futures_util::future::join_all(lists).await {
        list.unwrap();
    }
    assert_eq!(provider.seen().len(), 12);
    // Two at once, ten turns of 50 ms.
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn the_wait_is_no_part_of_the_request_s_own_time() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let mut spec = spec(provider.address, "good");
    spec.limits.rate = Some(Rate {
        per_second: NonZeroU32::new(1).unwrap(),
        burst: NonZeroU32::MIN,
    });
    spec.limits.request_timeout = Duration::from_millis(900);
    let (engine, connection) = (engine().await, Connection::new(spec).unwrap());
    let first = Trial::default();
    assert_eq!(
        said(first.run(&engine, &connection, 1).await),
        "200 OK: vm 7"
    );
    let second = Trial::default();
    assert_eq!(
        said(second.run(&engine, &connection, 1).await),
        "200 OK: vm 7"
    );
    // Who asks what became of it waits for the turn too.
    let sent = second.journal.row.lock().unwrap().clone().unwrap().sent;
    assert!(sent.deadline - sent.at > 900, "{sent:?}");
    let sent = first.journal.row.lock().unwrap().clone().unwrap().sent;
    assert_eq!(sent.deadline - sent.at, 900);
}

#[tokio::test]
async fn a_turn_that_is_too_far_off_is_busy_and_nothing_is_sent() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let (engine, connection) = (engine().await, connection(&provider, 1, 1));
    let answered = Trial::default();
    assert_eq!(
        said(answered.run(&engine, &connection, 1).await),
        "200 OK: vm 7"
    );
    // All turns of the next twenty seconds are taken by those who do not wait for them.
    let moment = Duration::from_millis(20);
    let (trial, error) = loop {
        let trial = Trial::default();
        let run = trial.run(&engine, &connection, 1);
        if let Ok(run) = tokio::time::timeout(moment, run).await {
            break (trial, run.unwrap_err());
        }
    };
    assert_eq!(error.once, OnceState::NotSent);
    assert!(error.is_transient());
    let said_so = problem(error);
    assert_eq!(said_so.code, Code::Busy);
    assert!(
        said_so
            .message
            .starts_with("hypervisor `lab` is sent at most 1 requests a second"),
        "{said_so:?}"
    );
    let end = trial.journal.end.lock().unwrap().clone();
    assert!(matches!(end, Some(OnceEnd::NotSent(_))), "{end:?}");
    // What was answered before needs no turn.
    assert_eq!(
        said(answered.run(&engine, &connection, 2).await),
        "200 OK: vm 7"
    );
    assert_eq!(provider.posts(), 1);
}

#[tokio::test]
async fn a_login_is_a_request_too() {
    let provider = Provider::start(|seen| {
        if seen.path.ends_with("/access/ticket") {
            ok(r#"{"data":{"ticket":"PVE:t","CSRFPreventionToken":"c"}}"#)
        } else {
            ok("{}")
        }
    })
    .await;
    let mut spec = spec(provider.address, "good");
    spec.auth = Auth::ProxmoxTicket;
    spec.user = "root@pam".to_owned();
    spec.password = Secret::new("pw");
    spec.limits.rate = Some(Rate {
        per_second: NonZeroU32::new(4).unwrap(),
        burst: NonZeroU32::MIN,
    });
    let (engine, connection) = (engine().await, Connection::new(spec).unwrap());
    let began = Instant::now();
    let trial = Trial::default();
    engine
        .list(trial.reading(), &connection, None)
        .await
        .unwrap();
    assert!(began.elapsed() >= Duration::from_millis(250));
}
