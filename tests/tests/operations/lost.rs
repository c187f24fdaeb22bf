//! A hypervisor that does not answer: its operations wait with the reason, and nothing is asked but
//! whether it is back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params, Status};
use enginehouse_model::OperationId;
use enginehouse_tests::Stage;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(120);

async fn has_status(stage: &Stage, path: &str, status: Status) -> Result<()> {
    let began = Instant::now();
    loop {
        let node = stage.node(path).await?;
        if node.status == Some(status) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{node:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is in a call at this moment says so as soon as that has ended.
async fn all_say_why(stage: &Stage, whole: OperationId, parts: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let shown = stage.host.client().operation(whole).await?;
        let reasons = shown
            .children
            .iter()
            .filter_map(|part| part.waiting_for.as_deref())
            .filter(|reason| reason.contains("`sim` does not answer"));
        if reasons.count() == parts {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{shown:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn operations_wait_and_go_on_when_it_is_back() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    for at in 0..30 {
        stage.provision(&format!("/vm{at}"), json!({})).await?;
    }
    stage.deploy("/").await?;
    stage.sim.tune(|knobs| knobs.away = true)?;
    let whole = stage
        .begin(OperationKind::Restart, "/", Params::default())
        .await?;
    has_status(&stage, "/vm1", Status::Unreachable).await?;
    all_say_why(&stage, whole.number, 30).await?;

    // What is ordered now is refused or waits, and costs the hypervisor nothing.
    let refused = stage
        .refused(OperationKind::Start, "/vm1", Params::default())
        .await?;
    ensure!(refused.detail.contains("unreachable"), "{refused:?}");

    // It is known after a restart, too.
    stage.host.kill().await?;
    stage.host.restart().await?;
    has_status(&stage, "/vm1", Status::Unreachable).await?;

    stage.sim.tune(|knobs| knobs.away = false)?;
    let ended = stage.ended(whole.number).await?;
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    has_status(&stage, "/vm1", Status::Deployed).await?;
    Ok(())
}

#[tokio::test]
async fn a_check_that_succeeds_lets_all_go_on_at_once() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    stage.deploy("/vm1").await?;
    stage.sim.tune(|knobs| knobs.away = true)?;
    let stop = stage
        .begin(OperationKind::Stop, "/vm1", Params::default())
        .await?;
    has_status(&stage, "/vm1", Status::Unreachable).await?;
    stage.sim.tune(|knobs| knobs.away = false)?;
    stage.cli(&["hypervisors", "check"]).await?;
    has_status(&stage, "/vm1", Status::Deployed).await?;
    let stop = stage.ended(stop.number).await?;
    assert_eq!(stop.state, OperationState::Succeeded);
    Ok(())
}
