//! What a guest cannot do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enginehouse_documents::{Code, MachineRef, Question, TaskEnd};
use enginehouse_engines::{
    Auth, CallError, Clock, Connection, Failure, Occasion, OnceState, Reservations, Secret, Step,
    TaskQuery,
};
use enginehouse_model::{OperationId, Timestamp};
use futures_util::future::BoxFuture;

use crate::provider::{Provider, ok};
use crate::setup::{
    Trial, config, connection, create, engine, engine_with, problem, said, spec, uid,
};

async fn provider() -> Provider {
    Provider::start(|seen| match seen.path.as_str() {
        "/echo" => ok(&seen.head),
        "/identity" => ok("cluster-1"),
        _ => ok("made"),
    })
    .await
}

async fn run(mode: &str, deadline: Duration) -> Result<Step, CallError> {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let mut occasion = trial.occasion(1);
    occasion.deadline = deadline;
    engine
        .run(
            occasion,
            &connection(provider.address, mode),
            &create(),
            None,
        )
        .await
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline_and_delays_nobody() {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let spinning = connection(provider.address, "spin");
    let mut occasion = trial.occasion(1);
    occasion.deadline = Duration::from_secs(2);
    // One thread for both: the other call ends while the loop still spins.
    let action = create();
    let spin = engine.run(occasion, &spinning, &action, None);
    let other = Trial::default();
    let good_connection = connection(provider.address, "good");
    let good = async {
        // Begins when the loop has had its first turn.
        tokio::task::yield_now().await;
        said(other.run(&engine, &good_connection, 1).await)
    };
    tokio::pin!(spin, good);
    tokio::select! {
        ended = &mut spin => panic!("the loop ended first: {ended:?}"),
        answer = &mut good => assert_eq!(answer, "200 OK: made"),
    }
    let error = spin.await.unwrap_err();
    assert_eq!(error.failure, Failure::Deadline(Duration::from_secs(2)));
    assert_eq!(error.to_string(), "the engine did not answer within 2 s");
    assert!(error.is_crash());
}

#[tokio::test]
async fn a_guest_that_sleeps_ends_at_its_deadline() {
    assert_eq!(
        run("sleep", SHORT).await.unwrap_err().failure,
        Failure::Deadline(SHORT)
    );
}

#[tokio::test]
async fn memory_without_end_is_refused_and_said_so() {
    let error = run("hog", LONG).await.unwrap_err();
    assert_eq!(error.failure, Failure::Memory { limit: 256 << 20 });
    assert_eq!(
        error.to_string(),
        "the engine wanted more than 256 MiB of memory"
    );
}

#[tokio::test]
async fn handles_and_the_stack_have_an_end() {
    for (mode, reason) in [("handles", "handle limit"), ("recurse", "out of bounds")] {
        match run(mode, LONG).await.unwrap_err().failure {
            Failure::Trap { reason: said, .. } => assert!(said.contains(reason), "{mode}: {said}"),
            other => panic!("{mode}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn there_is_no_network_no_file_and_no_environment() {
    assert_eq!(
        said(run("outside", LONG).await),
        "no net true, no files true, env 0"
    );
}

#[tokio::test]
async fn an_endpoint_that_nobody_named_is_refused_by_name() {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let stranger = connection(provider.address, "stranger");
    let error = trial.run(&engine, &stranger, 1).await.unwrap_err();
    assert!(!error.is_transient());
    let problem = problem(error);
    assert_eq!(problem.code, Code::Denied);
    assert_eq!(
        problem.message,
        "hypervisor `lab` has no endpoint `elsewhere`; it has: host"
    );
    assert!(problem.detail.hint.unwrap().contains("endpoints.elsewhere"));
    assert_eq!(provider.seen().len(), 0);
}

#[tokio::test]
async fn a_header_of_credentials_is_refused() {
    let problem = problem(run("forbidden-header", LONG).await.unwrap_err());
    assert_eq!(problem.code, Code::Denied);
    assert!(problem.message.contains("`authorization`"), "{problem}");
}

#[tokio::test]
async fn no_secret_leaves_in_logs_problems_prints_and_panics() {
    const SECRET: &str = "s3cret/of+the lab=";
    let (engine, provider) = (engine().await, provider().await);
    for (auth, user) in [
        (Auth::Bearer, ""),
        (Auth::Basic, "admin"),
        (Auth::ProxmoxToken, "root@pam!eh"),
        (
            Auth::Header {
                name: "X-Auth-Token".into(),
            },
            "",
        ),
    ] {
        for mode in ["print-credentials", "panic-with-credentials"] {
            let trial = Trial::default();
            let mut spec = spec(provider.address, mode);
            spec.auth = auth.clone();
            spec.user = user.to_owned();
            spec.password = Secret::new(SECRET);
            let connection = Connection::new(spec).unwrap();
            let error = trial.run(&engine, &connection, 1).await.unwrap_err();
            let all = format!(
                "{error} {error:?} {} {connection:?}",
                trial.heard.everything()
            );
            assert!(
                all.contains("[redacted]"),
                "{auth:?} {mode}: nothing was shown: {all}"
            );
            // Of the secret, and of its base64 (with a user before it), no telling part is left.
            for part in ["s3cret", "of+the", "czNjcmV0", "M2NyZXQv", "zY3JldC9v"] {
                assert!(!all.contains(part), "{auth:?} {mode}: {part} in {all}");
            }
        }
    }
    // The provider did get them.
    let seen = provider.seen();
    assert!(seen[0].header("authorization").unwrap().contains(SECRET));
}

#[tokio::test]
async fn what_breaks_the_contract_is_said_by_export() {
    for (mode, text) in [
        ("big-token", "`run` answered a token of 65537 bytes"),
        ("bad-json", "`outcome`"),
    ] {
        let error = run(mode, LONG).await.unwrap_err();
        assert!(matches!(error.failure, Failure::Contract(_)), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let tasks = vec![TaskQuery {
        task: "t".into(),
        cursor: String::new(),
    }];
    let forgetful = connection(provider.address, "forgetful");
    let error = engine
        .poll(trial.reading(), &forgetful, &tasks)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("0 tasks, but was asked for 1"),
        "{error}"
    );
}

#[tokio::test]
async fn who_talks_too_much_is_cut_off() {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    said(
        trial
            .run(&engine, &connection(provider.address, "chatter"), 1)
            .await,
    );
    let texts = trial.heard.texts.lock().unwrap();
    assert_eq!(texts.len(), 2000);
    assert!(texts.last().unwrap().contains("the rest is dropped"));
}

#[tokio::test]
async fn reading_calls_may_only_read() {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let sly = connection(provider.address, "once-in-list");
    // Even where the caller lent a journal.
    let error = engine
        .list(trial.occasion(1), &sly, None)
        .await
        .unwrap_err();
    assert!(
        problem(error)
            .message
            .contains("may only read: POST /machines")
    );
    let repeat = connection(provider.address, "repeat");
    let error = engine
        .run(trial.reading(), &repeat, &create(), None)
        .await
        .unwrap_err();
    assert_eq!(problem(error).code, Code::Denied);
    assert_eq!(provider.posts(), 0);
    assert_eq!(said(trial.run(&engine, &repeat, 1).await), "200");
}

#[tokio::test]
async fn an_engine_that_traps_again_and_again_rests_on_that_hypervisor() {
    let mut config = config();
    config.quarantine_after = 2;
    let (engine, provider, trial) = (
        engine_with(config).await,
        provider().await,
        Trial::default(),
    );
    let now = Arc::new(AtomicU64::new(1_000_000));
    let clock = Arc::clone(&now);
    let clock = Clock::from_fn(move || Timestamp(clock.load(Ordering::Relaxed)));
    let occasion = || Occasion {
        clock: clock.clone(),
        ..trial.occasion(1)
    };
    let bad = connection(provider.address, "recurse");
    for _ in 0..2 {
        let error = engine
            .run(occasion(), &bad, &create(), None)
            .await
            .unwrap_err();
        assert!(matches!(error.failure, Failure::Trap { .. }), "{error:?}");
    }
    let error = engine
        .run(occasion(), &bad, &create(), None)
        .await
        .unwrap_err();
    let until = Timestamp(1_010_000);
    assert_eq!(error.failure, Failure::Quarantined { traps: 2, until });
    assert!(error.is_transient());
    let mut elsewhere = spec(provider.address, "good");
    elsewhere.hypervisor = uid(2);
    let elsewhere = Connection::new(elsewhere).unwrap();
    assert_eq!(
        said(trial.run(&engine, &elsewhere, 1).await),
        "200 OK: made"
    );
    now.store(until.0, Ordering::Relaxed);
    let error = engine
        .run(occasion(), &bad, &create(), None)
        .await
        .unwrap_err();
    assert!(matches!(error.failure, Failure::Trap { .. }), "{error:?}");
}

#[tokio::test]
async fn a_call_waits_for_its_turn_only_so_long() {
    let mut config = config();
    config.concurrency = 1;
    config.wait = Duration::from_millis(100);
    let (engine, provider, trial) = (
        engine_with(config).await,
        provider().await,
        Trial::default(),
    );
    let spinning = connection(provider.address, "spin");
    let mut occasion = trial.occasion(1);
    occasion.deadline = Duration::from_secs(1);
    let action = create();
    let spin = engine.run(occasion, &spinning, &action, None);
    let good = connection(provider.address, "good");
    let (first, second) = tokio::join!(spin, trial.run(&engine, &good, 1));
    assert!(matches!(first.unwrap_err().failure, Failure::Deadline(_)));
    let second = second.unwrap_err();
    assert!(
        matches!(second.failure, Failure::Overloaded { .. }),
        "{second:?}"
    );
    assert_eq!(
        (second.once, second.is_transient()),
        (OnceState::None, true)
    );
}

#[tokio::test]
async fn with_and_without_a_pool_calls_work_alike() {
    for pooling in [true, false] {
        let mut config = config();
        config.pooling = pooling;
        config.concurrency = 4;
        let (engine, provider) = (engine_with(config).await, provider().await);
        let connection = connection(provider.address, "good");
        for _ in 0..20 {
            assert_eq!(
                said(Trial::default().run(&engine, &connection, 1).await),
                "200 OK: made"
            );
        }
    }
}

struct Fixed;

impl Reservations for Fixed {
    fn reserve<'a>(
        &'a self,
        space: &'a str,
        lowest: u64,
        _: u64,
        _: &'a [u64],
    ) -> BoxFuture<'a, Result<u64, enginehouse_documents::Problem>> {
        assert_eq!(space, "vmid");
        Box::pin(async move { Ok(lowest + 5) })
    }
}

#[tokio::test]
async fn a_call_knows_its_occasion_and_gets_its_token_back() {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let connection = connection(provider.address, "know");
    let occasion = Occasion {
        operation: OperationId(42),
        key_seed: "42/1".into(),
        clock: Clock::from_fn(|| Timestamp(7)),
        ended: Some(TaskEnd {
            warnings: vec!["w".into()],
            problem: None,
        }),
        reservations: Some(Arc::new(Fixed)),
        ..trial.occasion(3)
    };
    let Step::Again(moved) = engine
        .run(occasion.clone(), &connection, &create(), None)
        .await
        .unwrap()
    else {
        panic!("not again")
    };
    let known: serde_json::Value = serde_json::from_slice(&moved.token).unwrap();
    assert_eq!(known["operation"], 42);
    assert_eq!(known["attempt"], 3);
    assert_eq!(known["now"], 7);
    assert_eq!(known["in_time"], true);
    assert_eq!(known["cancelling"], false);
    assert_eq!(known["ended"], r#"{"warnings":["w"]}"#);
    assert_eq!(known["name"], "lab");
    assert_eq!(known["reserved"], 105);
    assert_eq!(known["action"], "create");
    assert_eq!(known["key"].as_str().unwrap().len(), 32);
    let again = engine
        .run(occasion, &connection, &create(), Some(b"tok"))
        .await
        .unwrap();
    assert!(matches!(again, Step::Again(moved) if moved.token == b"tok"));
}

#[tokio::test]
async fn reads_and_polls_keep_their_order_and_go_in_batches() {
    let (engine, provider, trial) = (engine().await, provider().await, Trial::default());
    let connection = connection(provider.address, "good");
    let ids = ["7", "none", "9"];
    let refs: Vec<MachineRef> = (ids.iter())
        .map(|id| MachineRef {
            id: (*id).to_owned(),
            ..MachineRef::default()
        })
        .collect();
    let read = engine
        .read(trial.reading(), &connection, &refs)
        .await
        .unwrap();
    assert_eq!(read[0].as_ref().unwrap().id, "7");
    assert_eq!(read[1].as_ref().unwrap_err().code, Code::NotFound);
    assert_eq!(read[2].as_ref().unwrap().id, "9");
    let tasks: Vec<TaskQuery> = (0..450)
        .map(|n| TaskQuery {
            task: n.to_string(),
            cursor: "c".into(),
        })
        .collect();
    let states = engine
        .poll(trial.reading(), &connection, &tasks)
        .await
        .unwrap();
    assert_eq!(states.len(), 450);
    assert_eq!(states[449].report.lines, ["449"]);
    assert_eq!(states[449].cursor, "c+");
}

#[tokio::test]
async fn an_assessment_is_pure_and_its_refusal_a_problem() {
    let engine = engine().await;
    assert!(engine.has_assess());
    let mut question = Question::default();
    let assessed = engine.assess(&question).await.unwrap();
    assert_eq!(assessed.fields["vcpu"].reason, "no hotplug");
    question
        .desired
        .settings
        .insert("mode".into(), "refuse".into());
    let error = engine.assess(&question).await.unwrap_err();
    assert_eq!(problem(error).code, Code::Invalid);
}
