//! At most once, whatever happens to the guest.

use std::time::Duration;

use enginehouse_documents::{Code, Sent};
use enginehouse_engines::{Begun, Connection, Failure, JournalError, OnceEnd, OnceState, Settled};

use crate::provider::{Provider, Reply, answer, ok};
use crate::setup::{Trial, connection, create, engine, problem, said, spec};

#[tokio::test]
async fn after_a_trap_the_step_runs_again_with_the_answer_it_had() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let (engine, trial) = (engine().await, Trial::default());
    let connection = connection(provider.address, "trap-after-once");
    let error = trial.run(&engine, &connection, 1).await.unwrap_err();
    assert_eq!(error.once, OnceState::Answered);
    assert!(error.is_crash() && !error.is_transient());
    let Failure::Trap { reason, backtrace } = &error.failure else {
        panic!("{error:?}")
    };
    assert!(reason.ends_with("right after the once request"), "{reason}");
    assert!(reason.contains("misdeeds.rs:"), "{reason}");
    assert!(
        backtrace
            .iter()
            .any(|frame| frame.contains("misdeeds::run")),
        "{backtrace:?}"
    );
    assert_eq!(trial.journal.answer().unwrap().body, b"vm 7");

    let step = trial.run(&engine, &connection, 2).await;
    assert_eq!(said(step), "attempt 2: 200 vm 7");
    assert_eq!(provider.posts(), 1);
    let requests = trial.heard.requests.lock().unwrap();
    let replayed: Vec<bool> = requests.iter().map(|line| line.replayed).collect();
    assert_eq!(replayed, [false, true]);
}

#[tokio::test]
async fn another_request_than_the_journalled_one_ends_the_step() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let (engine, trial) = (engine().await, Trial::default());
    let connection = connection(provider.address, "another-once");
    trial.run(&engine, &connection, 1).await.unwrap_err();
    let error = trial.run(&engine, &connection, 2).await.unwrap_err();
    assert_eq!(
        error.failure,
        Failure::Replay {
            journalled: "POST /machines?attempt=1".into(),
            now: "POST /machines?attempt=2".into(),
        }
    );
    assert_eq!(error.once, OnceState::Answered);
    assert_eq!(provider.posts(), 1);
}

#[tokio::test]
async fn a_second_once_request_of_a_call_is_refused() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let (engine, trial) = (engine().await, Trial::default());
    let error = trial
        .run(&engine, &connection(provider.address, "two-once"), 1)
        .await
        .unwrap_err();
    assert_eq!(error.once, OnceState::Answered);
    assert!(problem(error).message.contains("return `again`"));
    assert_eq!(provider.posts(), 1);
}

/// Whoever asks what became of it relies on the deadline that was written down.
#[tokio::test]
async fn a_request_that_was_written_down_too_late_is_not_sent() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let (engine, trial) = (engine().await, Trial::default());
    *trial.journal.begin_takes.lock().unwrap() = Duration::from_millis(300);
    let mut spec = spec(provider.address, "good");
    spec.limits.request_timeout = Duration::from_millis(200);
    let connection = Connection::new(spec).unwrap();
    let error = trial.run(&engine, &connection, 1).await.unwrap_err();
    assert_eq!(error.once, OnceState::NotSent);
    assert_eq!(problem(error).code, Code::Unreachable);
    assert_eq!(provider.posts(), 0);
    let end = trial.journal.end.lock().unwrap().clone();
    assert!(matches!(end, Some(OnceEnd::NotSent(_))), "{end:?}");
}

#[tokio::test]
async fn the_request_outlives_the_deadline_of_its_guest() {
    let late = Duration::from_millis(700);
    let provider = Provider::start(move |_| Reply::Late(late, answer("200 OK", "vm 7"))).await;
    let (engine, trial) = (engine().await, Trial::default());
    let mut occasion = trial.occasion(1);
    occasion.deadline = Duration::from_millis(200);
    let connection = connection(provider.address, "good");
    let error = engine
        .run(occasion, &connection, &create(), None)
        .await
        .unwrap_err();
    assert_eq!(error.failure, Failure::Deadline(Duration::from_millis(200)));
    assert_eq!(error.once, OnceState::Answered);
    assert_eq!(trial.journal.answer().unwrap().body, b"vm 7");
    assert_eq!(
        said(trial.run(&engine, &connection, 2).await),
        "200 OK: vm 7"
    );
    assert_eq!(provider.posts(), 1);
}

#[tokio::test]
async fn it_reaches_the_journal_even_if_the_caller_is_gone() {
    let late = Duration::from_millis(300);
    let provider = Provider::start(move |_| Reply::Late(late, answer("200 OK", "vm 7"))).await;
    let (engine, trial) = (engine().await, Trial::default());
    let connection = connection(provider.address, "good");
    let run = trial.run(&engine, &connection, 1);
    tokio::time::timeout(Duration::from_millis(100), run)
        .await
        .unwrap_err();
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while trial.journal.answer().is_none() {
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("journalled");
}

#[tokio::test]
async fn an_answer_that_got_lost_is_never_believed_to_be_done() {
    let provider = Provider::start(|_| Reply::Hangup).await;
    let (engine, trial) = (engine().await, Trial::default());
    let connection = connection(provider.address, "done-anyway");
    let error = trial.run(&engine, &connection, 1).await.unwrap_err();
    assert_eq!(error.once, OnceState::Lost);
    assert!(!error.is_transient());
    assert_eq!(problem(error).code, Code::Unreachable);
    assert!(matches!(
        *trial.journal.end.lock().unwrap(),
        Some(OnceEnd::Lost(_))
    ));
    assert_eq!(provider.posts(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_lost_answer() {
    let provider = Provider::start(|_| {
        Reply::Last("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nUPID".into())
    })
    .await;
    let (engine, trial) = (engine().await, Trial::default());
    let error = trial
        .run(&engine, &connection(provider.address, "good"), 1)
        .await
        .unwrap_err();
    assert_eq!(error.once, OnceState::Lost);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_lost() {
    let late = Duration::from_secs(60);
    let provider = Provider::start(move |_| Reply::Late(late, String::new())).await;
    let (engine, trial) = (engine().await, Trial::default());
    let mut spec = spec(provider.address, "good");
    spec.limits.request_timeout = Duration::from_millis(200);
    let connection = Connection::new(spec).unwrap();
    let error = trial.run(&engine, &connection, 1).await.unwrap_err();
    assert_eq!(error.once, OnceState::Lost);
    assert!(problem(error).message.contains("within 0.2 s"));
    let sent = trial.journal.row.lock().unwrap().clone().unwrap().sent;
    assert_eq!(sent.deadline - sent.at, 200);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (engine, trial) = (engine().await, Trial::default());
    let error = trial
        .run(&engine, &connection(address, "good"), 1)
        .await
        .unwrap_err();
    assert_eq!(
        (error.once, error.is_transient()),
        (OnceState::NotSent, true)
    );
    let problem = problem(error);
    assert_eq!(problem.code, Code::Unreachable);
    assert!(
        problem
            .message
            .starts_with(&format!("no connection to {address}: ")),
        "{problem}"
    );
    assert!(matches!(
        *trial.journal.end.lock().unwrap(),
        Some(OnceEnd::NotSent(_))
    ));
}

#[tokio::test]
async fn a_journal_that_fails_lets_nothing_out() {
    let provider = Provider::start(|_| ok("vm 7")).await;
    let engine = engine().await;
    let connection = connection(provider.address, "good");
    for (said, text) in [
        (Err(JournalError("disk full".into())), "disk full"),
        (
            Ok(Begun::Refuse("the lease ran out".into())),
            "the lease ran out",
        ),
    ] {
        let trial = Trial::default();
        *trial.journal.begin_fails.lock().unwrap() = Some(said);
        let error = trial.run(&engine, &connection, 1).await.unwrap_err();
        assert_eq!(error.failure, Failure::Journal(JournalError(text.into())));
        assert_eq!(error.once, OnceState::NotSent);
    }
    assert_eq!(provider.posts(), 0);
    // When the answer cannot be written, nobody may act on it.
    let trial = Trial::default();
    *trial.journal.answered_fails.lock().unwrap() = true;
    let error = trial.run(&engine, &connection, 1).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Journal(_)), "{error:?}");
    assert_eq!(error.once, OnceState::Lost);
    assert_eq!(provider.posts(), 1);
}

#[tokio::test]
async fn an_answer_too_long_for_the_journal_is_cut_and_the_guest_told() {
    let provider = Provider::start(|_| ok(&"x".repeat(5000))).await;
    let (engine, trial) = (engine().await, Trial::default());
    let mut spec = spec(provider.address, "good");
    spec.limits.once_answer_max = 2000;
    let connection = Connection::new(spec).unwrap();
    let error = trial.run(&engine, &connection, 1).await.unwrap_err();
    assert_eq!(error.once, OnceState::Answered);
    assert!(
        problem(error)
            .message
            .contains("longer than what is journalled")
    );
    let stored = trial.journal.answer().unwrap();
    assert_eq!((stored.body.len(), stored.truncated), (2000, true));
}

#[tokio::test]
async fn settle_is_told_what_was_sent() {
    let provider = Provider::start(|_| ok("looked at tasks")).await;
    let (engine, trial) = (engine().await, Trial::default());
    let mut occasion = trial.reading();
    occasion.sent = Some(Sent {
        path: "/machines".into(),
        ..Sent::default()
    });
    let connection = connection(provider.address, "good");
    let settled = engine
        .settle(occasion, &connection, &create(), None)
        .await
        .unwrap();
    let Settled::Unknown(text) = settled else {
        panic!("{settled:?}")
    };
    assert!(
        text.contains("looked at tasks") && text.contains("\"path\":\"/machines\""),
        "{text}"
    );
}
