//! What goes wrong on request.

use std::io::ErrorKind;
use std::time::Duration;

use enginehouse_sim::{Call, Fault, FaultEffect, Sim};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::client::{ask, config, create, get, pass, patch, post};

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_the_work_done() {
    let sim = Sim::start(config()).await.unwrap();
    sim.tune(|knobs| {
        knobs.faults = vec![Fault::once(Call::MachineCreate, FaultEffect::LoseAnswer)]
    })
    .unwrap();
    let lost = create(&sim, "web").await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(sim.world().named("web").len(), 1);
    let requests = sim.requests();
    assert_eq!(
        (
            requests.count(Call::MachineCreate),
            requests.transcript[0].cut
        ),
        (1, true)
    );
    assert_eq!(create(&sim, "web2").await.unwrap().0, 202);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_has_no_effect() {
    let sim = Sim::start(config()).await.unwrap();
    sim.tune(|knobs| knobs.faults = vec![Fault::once(Call::MachineCreate, FaultEffect::Drop)])
        .unwrap();
    create(&sim, "web").await.unwrap_err();
    assert_eq!(sim.world().machines_made, 0);
}

#[tokio::test(start_paused = true)]
async fn away_closes_every_connection_but_the_knobs() {
    let sim = Sim::start(config()).await.unwrap();
    let (status, knobs) = patch(&sim, "/_sim/knobs", json!({"away": true}))
        .await
        .unwrap();
    assert_eq!(
        (status, &knobs["away"], &knobs["task_ms"]),
        (200, &json!(true), &json!(1000))
    );
    get(&sim, "/v1/info").await.unwrap_err();
    patch(&sim, "/_sim/knobs", json!({"away": null}))
        .await
        .unwrap();
    assert_eq!(get(&sim, "/v1/info").await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn knobs_that_make_no_sense_are_refused_and_change_nothing() {
    let sim = Sim::start(config()).await.unwrap();
    for wrong in [
        json!({"speed": 9}),
        json!({"task_ms": "soon"}),
        json!({"faults": [{"call": "*"}]}),
        json!(3),
    ] {
        let (status, answer) = patch(&sim, "/_sim/knobs", wrong.clone()).await.unwrap();
        assert_eq!(status, 400, "{wrong} {answer}");
    }
    assert_eq!(sim.knobs(), config().knobs);
}

#[tokio::test(start_paused = true)]
async fn work_arrives_late_or_answers_late_and_a_client_that_left_stops_neither() {
    let sim = Sim::start(config()).await.unwrap();
    let began = Instant::now();
    sim.tune(|knobs| knobs.latency_ms = 3000).unwrap();
    assert_eq!(get(&sim, "/v1/info").await.unwrap().0, 200);
    assert_eq!(began.elapsed().as_secs(), 3);

    let left = timeout(Duration::from_secs(1), create(&sim, "web")).await;
    assert!(left.is_err());
    assert_eq!(sim.world().machines_made, 0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sim.world().machines_made, 1);

    sim.tune(|knobs| (knobs.latency_ms, knobs.answer_late_ms) = (0, 3000))
        .unwrap();
    let left = timeout(Duration::from_secs(1), create(&sim, "web")).await;
    assert!(left.is_err());
    assert_eq!(sim.world().machines_made, 2);
}

#[tokio::test(start_paused = true)]
async fn a_mark_shows_late_or_a_machine_does() {
    let sim = Sim::start(config()).await.unwrap();
    sim.tune(|knobs| knobs.late_mark = true).unwrap();
    create(&sim, "web").await.unwrap();
    let veiled = json!({
        "id": "m-1", "kind": "vm", "host": "sim-a", "power": "stopped", "lock": "create",
        "task": "t-1",
    });
    assert_eq!(get(&sim, "/v1/machines/m-1").await.unwrap().1, veiled);
    assert_eq!(
        get(&sim, "/v1/machines").await.unwrap().1["machines"],
        json!([veiled])
    );
    pass(1000).await;
    assert_eq!(
        get(&sim, "/v1/machines/m-1").await.unwrap().1["mark"],
        "eh:web"
    );

    sim.tune(|knobs| knobs.hidden_ms = 400).unwrap();
    create(&sim, "other").await.unwrap();
    assert_eq!(get(&sim, "/v1/machines/m-2").await.unwrap().0, 404);
    pass(400).await;
    assert_eq!(get(&sim, "/v1/machines/m-2").await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn tasks_end_with_an_error_or_a_warning() {
    let sim = Sim::start(config()).await.unwrap();
    let error = |leave_half| FaultEffect::TaskError {
        message: "no space left".to_owned(),
        leave_half,
    };
    let warning = FaultEffect::TaskWarning {
        message: "slow disk".to_owned(),
    };
    sim.tune(|knobs| {
        knobs.faults = vec![
            Fault::once(Call::MachineCreate, error(false)),
            Fault {
                after: 1,
                ..Fault::once(Call::MachineCreate, error(true))
            },
            Fault {
                after: 2,
                ..Fault::once(Call::MachineCreate, warning)
            },
        ];
    })
    .unwrap();
    for _ in 0..3 {
        create(&sim, "web").await.unwrap();
    }
    pass(1000).await;
    let (_, tasks) = get(&sim, "/v1/tasks?ids=t-1,t-2,t-3").await.unwrap();
    let results: Vec<&Value> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["result"])
        .collect();
    assert_eq!(results, ["error", "error", "warning"]);
    assert_eq!(tasks["tasks"][0]["error"]["message"], "no space left");
    assert_eq!(tasks["tasks"][2]["warnings"], json!(["slow disk"]));
    let world = sim.world();
    assert!(world.machine("m-1").is_none());
    assert!(world.machine("m-2").unwrap().incomplete);
    assert!(!world.machine("m-3").unwrap().incomplete);
    assert_eq!(
        post(&sim, "/v1/machines/m-2/start", Value::Null)
            .await
            .unwrap()
            .0,
        409
    );
}

#[tokio::test(start_paused = true)]
async fn a_deaf_guest_runs_on_until_it_is_switched_off() {
    let sim = Sim::start(config()).await.unwrap();
    create(&sim, "web").await.unwrap();
    pass(1000).await;
    post(&sim, "/v1/machines/m-1/start", Value::Null)
        .await
        .unwrap();
    pass(1000).await;
    sim.tune(|knobs| knobs.ignore_shutdown = vec!["web".to_owned()])
        .unwrap();
    post(
        &sim,
        "/v1/machines/m-1/shutdown",
        json!({"timeout_ms": 5000}),
    )
    .await
    .unwrap();
    pass(4999).await;
    assert_eq!(
        get(&sim, "/v1/tasks/t-3").await.unwrap().1["state"],
        "running"
    );
    pass(1).await;
    let (_, task) = get(&sim, "/v1/tasks/t-3").await.unwrap();
    assert_eq!(
        task["error"],
        json!({"code": "guest-timeout", "message": "the guest did not stop within 5000 ms"})
    );
    assert_eq!(
        get(&sim, "/v1/machines/m-1").await.unwrap().1["power"],
        "running"
    );
    post(&sim, "/v1/machines/m-1/stop", Value::Null)
        .await
        .unwrap();
    pass(1000).await;
    assert_eq!(
        get(&sim, "/v1/machines/m-1").await.unwrap().1["power"],
        "stopped"
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_has_room_for_so_many_clones() {
    let sim = Sim::start(config()).await.unwrap();
    sim.tune(|knobs| knobs.clones_per_image = Some(1)).unwrap();
    assert_eq!(create(&sim, "a").await.unwrap().0, 202);
    let (status, refused) = create(&sim, "b").await.unwrap();
    assert_eq!((status, &refused["error"]["code"]), (423, &json!("locked")));
    pass(1000).await;
    assert_eq!(create(&sim, "b").await.unwrap().0, 202);
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_be_put_in_place_of_the_work() {
    let sim = Sim::start(config()).await.unwrap();
    let full = json!({"faults": [{
        "call": "machine.create", "times": 2, "after": 1,
        "effect": {"type": "answer", "status": 507, "code": "full", "message": "storage local is full"},
    }]});
    assert_eq!(patch(&sim, "/_sim/knobs", full).await.unwrap().0, 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(create(&sim, "web").await.unwrap().0);
    }
    assert_eq!(statuses, [202, 507, 507, 202]);
    let (_, knobs) = get(&sim, "/_sim/knobs").await.unwrap();
    assert_eq!(
        (&knobs["faults"][0]["seen"], &knobs["faults"][0]["fired"]),
        (&json!(4), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn a_reset_begins_anew_under_the_same_identity() {
    let sim = Sim::start(config()).await.unwrap();
    let identity = sim.world().identity;
    sim.tune(|knobs| knobs.late_mark = true).unwrap();
    create(&sim, "web").await.unwrap();
    assert_eq!(post(&sim, "/_sim/reset", Value::Null).await.unwrap().0, 200);
    let (_, world) = get(&sim, "/_sim/world").await.unwrap();
    assert_eq!(
        (&world["identity"], &world["machines"]),
        (&json!(identity), &json!({}))
    );
    assert_eq!((sim.knobs(), sim.requests().total()), (config().knobs, 0));
    let gone = ask(sim.addr(), "DELETE", "/_sim/requests", Value::Null, "").await;
    assert_eq!(gone.unwrap().0, 204);
}
