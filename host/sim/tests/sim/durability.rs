//! The world outlives its process.

use std::time::Duration;

use enginehouse_sim::{Call, Fault, FaultEffect, Sim, SimConfig, SimError};

use crate::client::{config, create, get, patch};
use serde_json::json;

fn at(dir: &tempfile::TempDir) -> SimConfig {
    SimConfig {
        state: Some(dir.path().join("world.json")),
        ..config()
    }
}

#[tokio::test]
async fn a_world_goes_on_where_it_was_with_its_tasks_knobs_and_faults() {
    let dir = tempfile::tempdir().unwrap();
    let sim = Sim::start(at(&dir)).await.unwrap();
    sim.tune(|knobs| {
        knobs.task_ms = 3_600_000;
        knobs.faults = vec![Fault::once(Call::Info, FaultEffect::Drop)];
    })
    .unwrap();
    create(&sim, "web").await.unwrap();
    get(&sim, "/v1/info").await.unwrap_err();
    let before = sim.world();
    sim.stop().await;
    let text = std::fs::read(dir.path().join("world.json")).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&text).unwrap();

    let sim = Sim::start(at(&dir)).await.unwrap();
    let after = sim.world();
    assert_eq!(after.identity, before.identity);
    assert_eq!(after.machines, before.machines);
    assert_eq!(after.running, before.running);
    assert!(after.now >= written["world"]["now"].as_u64().unwrap());
    // The fault was used up before, and is so still.
    assert_eq!(get(&sim, "/v1/info").await.unwrap().0, 200);
    // An hour later the task has ended.
    sim.edit(|world| world.advance(world.now + 3_600_000))
        .unwrap();
    assert_eq!(get(&sim, "/v1/tasks/t-1").await.unwrap().1["result"], "ok");
}

#[tokio::test]
async fn an_answer_is_given_only_when_its_change_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let sim = Sim::start(at(&dir)).await.unwrap();
    create(&sim, "web").await.unwrap();
    // No stop, no drop: what a killed process leaves is what is in the file now.
    let text = std::fs::read_to_string(dir.path().join("world.json")).unwrap();
    assert!(text.contains("\"mark\":\"eh:web\""), "{text}");
    std::fs::remove_dir_all(dir.path()).unwrap();
    let (status, answer) = create(&sim, "lost").await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (500, &json!("broken")));
}

#[tokio::test]
async fn a_stopped_simulation_changes_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let sim = Sim::start(at(&dir)).await.unwrap();
    sim.tune(|knobs| knobs.latency_ms = 50).unwrap();
    let address = sim.addr();
    let late = tokio::spawn(crate::client::ask(
        address,
        "POST",
        "/v1/machines",
        json!({"name": "late"}),
        "",
    ));
    while sim.requests().total() == 0 {
        tokio::task::yield_now().await;
    }
    sim.stop().await;
    late.await.unwrap().unwrap_err();
    let sim = Sim::start(at(&dir)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        // The latency of the late one has passed once another request has lived through its own.
        patch(&sim, "/_sim/knobs", json!({})).await.unwrap();
        get(&sim, "/v1/info").await.unwrap();
    })
    .await
    .unwrap();
    assert_eq!(sim.world().machines_made, 0);
}

#[tokio::test]
async fn a_file_that_is_no_world_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("world.json"), "{\"written_at\":1").unwrap();
    let refused = Sim::start(at(&dir)).await.unwrap_err();
    assert!(matches!(refused, SimError::Format { .. }), "{refused}");
    assert!(refused.to_string().contains("world.json"), "{refused}");
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let sim = Sim::start(config()).await.unwrap();
    let listen = sim.addr();
    let refused = Sim::start(SimConfig { listen, ..config() })
        .await
        .unwrap_err();
    assert!(matches!(refused, SimError::Listen { .. }), "{refused}");
}
