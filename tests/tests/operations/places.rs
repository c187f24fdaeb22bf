//! Places in a lane: moved, overtaken, taken over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    Change, ClientError, MoveRequest, Operation, OperationKind, OperationState, Params, Problem,
};
use enginehouse_model::OperationId;
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::Stage;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

/// A deployed machine `/vm1` that is being restarted for a while.
async fn busy() -> Result<Option<(Stage, Operation)>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage.provision("/vm1", json!({})).await?;
    stage.deploy("/vm1").await?;
    stage.sim.tune(|knobs| knobs.task_ms = 1_500)?;
    let restart = stage
        .begin(OperationKind::Restart, "/vm1", Params::default())
        .await?;
    Ok(Some((stage, restart)))
}

fn set(key: &str, value: serde_json::Value) -> Params {
    Params {
        changes: vec![Change::Set {
            key: vec![key.to_owned()],
            value,
        }],
        ..Params::default()
    }
}

async fn refused_move(stage: &Stage, number: OperationId, to: MoveRequest) -> Result<Problem> {
    match stage.host.client().move_operation(number, to).await {
        Err(ClientError::Refused(problem)) => Ok(*problem),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test]
async fn what_waits_can_be_moved_where_it_can_run() -> Result<()> {
    let Some((mut stage, restart)) = busy().await? else {
        return Ok(());
    };
    let stop = stage
        .begin(OperationKind::Stop, "/vm1", Params::default())
        .await?;
    let change = stage
        .begin(OperationKind::Reconfigure, "/vm1", set("vcpu", json!(2)))
        .await?;
    let undeploy = stage
        .begin(
            OperationKind::Undeploy,
            "/vm1",
            enginehouse_tests::confirmed(),
        )
        .await?;

    let problem = refused_move(&stage, undeploy.number, MoveRequest::First).await?;
    ensure!(
        problem.detail.contains("could not run there") && problem.detail.contains("provisioned"),
        "{problem:?}"
    );
    let problem = refused_move(&stage, restart.number, MoveRequest::Last).await?;
    ensure!(problem.detail.contains("has begun"), "{problem:?}");
    let said = stage
        .cli(&["ops", "move", &change.number.to_string(), "--first"])
        .await?;
    ensure!(
        said.contains(&format!("operation {}", restart.number)),
        "{said}"
    );

    // The place is kept.
    stage.host.kill().await?;
    stage.host.restart().await?;
    let undeploy = stage.ended(undeploy.number).await?;
    assert_eq!(undeploy.state, OperationState::Succeeded);
    let stop = stage.ended(stop.number).await?;
    let change = stage.ended(change.number).await?;
    assert_eq!(change.state, OperationState::Succeeded);
    ensure!(change.ended_at <= stop.started_at, "{change:#?} {stop:#?}");
    Ok(())
}

#[tokio::test]
async fn a_newer_reconfigure_does_what_the_older_was_to_do() -> Result<()> {
    let Some((stage, _)) = busy().await? else {
        return Ok(());
    };
    let older = stage
        .begin(OperationKind::Reconfigure, "/vm1", set("vcpu", json!(2)))
        .await?;
    let newer = stage
        .begin(
            OperationKind::Reconfigure,
            "/vm1",
            set("memory", json!("2GiB")),
        )
        .await?;
    let older = stage.ended(older.number).await?;
    assert_eq!(older.state, OperationState::Superseded);
    ensure!(older.steps.is_empty(), "{older:#?}");
    let newer = stage.ended(newer.number).await?;
    assert_eq!(newer.state, OperationState::Succeeded, "{newer:#?}");
    let node = stage.node("/vm1").await?;
    let written = &node.local_definition;
    assert_eq!(written.get("vcpu"), Some(&json!(2)));
    assert_eq!(written.get("memory"), Some(&json!("2 GiB")));
    assert_eq!(node.pending_changes, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_forced_stop_overtakes() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    stage.deploy("/vm1").await?;
    stage.sim.tune(|knobs| {
        knobs.ignore_shutdown = vec!["*".to_owned()];
    })?;
    let deaf = stage
        .begin(OperationKind::Stop, "/vm1", Params::default())
        .await?;
    let later = stage
        .begin(OperationKind::Start, "/vm1", Params::default())
        .await?;
    // It is asking the guest.
    loop {
        let now = stage.host.client().operation(deaf.number).await?;
        let step = now.steps.first();
        if step.is_some_and(|step| step.task.is_some()) {
            break;
        }
        ensure!(!now.state.has_ended(), "{now:#?}");
        tokio::task::yield_now().await;
    }
    let force = Params {
        force: true,
        ..Params::default()
    };
    let forced = stage.begin(OperationKind::Stop, "/vm1", force).await?;
    let forced = stage.ended(forced.number).await?;
    assert_eq!(forced.state, OperationState::Succeeded, "{forced:#?}");
    let deaf = stage.ended(deaf.number).await?;
    assert_eq!(deaf.state, OperationState::Superseded);
    let later = stage.ended(later.number).await?;
    ensure!(later.started_at >= forced.ended_at, "{later:#?}");
    Ok(())
}

#[tokio::test]
async fn what_is_pending_on_a_machine_is_listed_and_cancelled() -> Result<()> {
    let Some((stage, restart)) = busy().await? else {
        return Ok(());
    };
    let stop = stage
        .begin(OperationKind::Stop, "/vm1", Params::default())
        .await?;
    let listed = stage
        .cli(&["ops", "list", "--path", "/vm1", "--state", "pending"])
        .await?;
    ensure!(
        listed.contains(&stop.number.to_string()) && listed.contains("stop"),
        "{listed}"
    );
    let cancelled = stage.host.client().cancel(stop.number).await?;
    assert_eq!(cancelled.state, OperationState::Cancelled);
    let waits = restart.waiting_for.as_deref();
    ensure!(waits.is_none_or(|waits| !waits.is_empty()));
    stage
        .ended(restart.number)
        .await
        .context("the one before goes on")?;
    Ok(())
}

/// Waits until the hypervisor was asked for a machine.
async fn asked_for_a_machine(stage: &Stage) -> Result<()> {
    let began = Instant::now();
    while stage.sim.requests().count(Call::MachineCreate) == 0 {
        ensure!(
            began.elapsed() < PATIENCE,
            "nobody asks: {}",
            stage.host.log()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[tokio::test]
async fn who_cancels_a_deploy_that_waits_leaves_the_machine_alone_that_is_being_made() -> Result<()>
{
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    // Until the answer comes nobody knows the machine's id.
    let late = FaultEffect::AnswerLate { ms: 1_500 };
    stage
        .sim
        .tune(|knobs| knobs.faults = vec![Fault::once(Call::MachineCreate, late)])?;
    let deploy = stage
        .begin(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    let kind = OperationKind::Undeploy;
    let undeploy = stage
        .begin(kind, "/vm1", enginehouse_tests::confirmed())
        .await?;
    let again = stage
        .begin(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    asked_for_a_machine(&stage).await?;
    let cancelled = stage.host.client().cancel(again.number).await?;
    assert_eq!(cancelled.state, OperationState::Cancelled);
    for number in [deploy.number, undeploy.number] {
        let ended = stage.ended(number).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    }
    assert!(stage.sim.world().machines.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_newer_reconfigure_carries_an_edit_that_waits() -> Result<()> {
    let Some((stage, _)) = busy().await? else {
        return Ok(());
    };
    let begin = |kind, params| stage.begin(kind, "/vm1", params);
    let kind = OperationKind::Reconfigure;
    let older = begin(kind, set("vcpu", json!(2))).await?;
    begin(OperationKind::Undeploy, enginehouse_tests::confirmed()).await?;
    begin(OperationKind::Edit, set("memory", json!("2GiB"))).await?;
    begin(OperationKind::Deploy, Params::default()).await?;
    let newer = begin(kind, set("description", json!("new"))).await?;
    let ended = stage.ended(newer.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    let older = stage.ended(older.number).await?;
    assert_eq!(older.state, OperationState::Superseded);
    assert_eq!(stage.computed("/vm1", "memory").await?, "2 GiB, from /vm1");
    assert_eq!(
        stage.computed("/vm1", "description").await?,
        "new, from /vm1"
    );
    Ok(())
}

#[tokio::test]
async fn a_machine_that_is_made_anew_is_not_in_its_own_way() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    for path in ["/vm1", "/vm2"] {
        stage.provision(path, json!({})).await?;
    }
    stage.deploy("/vm1").await?;
    let first = stage.node("/vm1").await?.machine_id;
    stage.sim.tune(|knobs| knobs.task_ms = 1_500)?;
    let confirmed = enginehouse_tests::confirmed();
    let begin = |kind, path, params| stage.begin(kind, path, params);
    let undeploy = begin(OperationKind::Undeploy, "/vm1", confirmed).await?;
    let anew = begin(OperationKind::Deploy, "/vm1", Params::default()).await?;
    // Its list shows the first machine, and is newer than the order to make it anew.
    let other = begin(OperationKind::Deploy, "/vm2", Params::default()).await?;
    for number in [undeploy.number, anew.number, other.number] {
        let ended = stage.ended(number).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    }
    let node = stage.node("/vm1").await?;
    ensure!(
        node.machine_id.is_some() && node.machine_id != first,
        "{node:#?}"
    );
    Ok(())
}
