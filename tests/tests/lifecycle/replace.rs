//! What only another machine can be: destroyed and made anew, whatever happens in between.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    Change, ErrorCode, Operation, OperationKind, OperationState, Params, Status,
};
use enginehouse_model::OperationId;
use enginehouse_sim::{Call, Fault, FaultEffect, World};
use enginehouse_tests::Stage;
use serde_json::json;

const SLOW: FaultEffect = FaultEffect::AnswerLate { ms: 600_000 };

/// `/vm1` of image d12, deployed as m-1.
async fn deployed() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage
        .provision("/vm1", json!({"disks": {"data": {"size": "1GiB"}}}))
        .await?;
    stage.deploy("/vm1").await?;
    Ok(Some(stage))
}

fn of_d13() -> Params {
    Params {
        confirm_destructive: true,
        changes: vec![Change::Set {
            key: vec!["base_image".to_owned()],
            value: json!("d13"),
        }],
        ..Params::default()
    }
}

fn steps(operation: &Operation) -> Vec<&str> {
    let steps = operation.steps.iter();
    steps.map(|step| step.action.as_str()).collect()
}

/// Ids and images of the machines there are.
fn machines(world: &World) -> Vec<(String, String)> {
    let machines = world.machines.iter();
    machines
        .map(|(number, vm)| (format!("m-{number}"), vm.image.clone().unwrap_or_default()))
        .collect()
}

async fn until(stage: &Stage, what: impl Fn(&World) -> bool) -> Result<()> {
    for _ in 0..10_000 {
        if what(&stage.sim.world()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("it does not come to that: {}", stage.host.log())
}

/// The new machine is the descriptor's, and the old one is in its history.
async fn is_replaced(stage: &Stage, number: OperationId) -> Result<()> {
    let ended = stage.ended(number).await?;
    ensure!(
        ended.state == OperationState::Succeeded,
        "{ended:#?}\n{}",
        stage.host.log()
    );
    let world = stage.sim.world();
    ensure!(
        machines(&world) == [("m-2".to_owned(), "d13".to_owned())],
        "{:?}",
        machines(&world)
    );
    let mark = &world.machine("m-2").context("m-2")?.mark;
    ensure!(mark.ends_with(&format!(":{number}")), "{mark}");
    let node = stage.node("/vm1").await?;
    ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    ensure!(node.machine_id.as_deref() == Some("m-2"), "{node:#?}");
    let history = stage.cli(&["history", "/vm1"]).await?;
    for line in ["m-1", "m-2", "removed"] {
        ensure!(history.contains(line), "{history}");
    }
    let left = stage
        .cli(&["plan", "/vm1", "--reconfigure", "--refresh"])
        .await?;
    ensure!(left.contains("as it is defined"), "{left}");
    Ok(())
}

#[tokio::test]
async fn another_image_takes_another_machine_after_a_yes() -> Result<()> {
    let Some(stage) = deployed().await? else {
        return Ok(());
    };
    let unsaid = Params {
        confirm_destructive: false,
        ..of_d13()
    };
    let asked = stage
        .refused(OperationKind::Reconfigure, "/vm1", unsaid)
        .await?;
    ensure!(asked.code == ErrorCode::NeedsConfirmation, "{asked:#?}");
    ensure!(
        asked
            .detail
            .contains("the machine itself, for base_image d12 -> d13 of /vm1"),
        "{asked:#?}"
    );
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", of_d13())
        .await?;
    is_replaced(&stage, begun.number).await?;
    let ended = stage.ended(begun.number).await?;
    ensure!(
        steps(&ended) == ["stop", "destroy", "create", "disk-grow", "start"],
        "{:?}",
        steps(&ended)
    );
    // It is a machine like any other.
    stage.undeploy("/vm1").await?;
    ensure!(stage.sim.world().machines.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_killed_when_the_old_machine_goes_makes_the_new_one() -> Result<()> {
    let Some(mut stage) = deployed().await? else {
        return Ok(());
    };
    let late = Fault::once(Call::MachineDestroy, SLOW);
    stage.sim.tune(|knobs| knobs.faults.push(late))?;
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", of_d13())
        .await?;
    until(&stage, |world| world.machines.is_empty()).await?;
    stage.host.kill().await?;
    stage.sim.tune(|knobs| knobs.faults.clear())?;
    stage.host.restart().await?;
    is_replaced(&stage, begun.number).await
}

#[tokio::test]
async fn a_host_that_is_killed_while_the_new_machine_is_made_makes_one() -> Result<()> {
    let Some(mut stage) = deployed().await? else {
        return Ok(());
    };
    let late = Fault::once(Call::MachineCreate, SLOW);
    stage.sim.tune(|knobs| knobs.faults.push(late))?;
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", of_d13())
        .await?;
    until(&stage, |world| world.machines_made == 2).await?;
    stage.host.kill().await?;
    stage.sim.tune(|knobs| knobs.faults.clear())?;
    stage.host.restart().await?;
    is_replaced(&stage, begun.number).await
}

#[tokio::test]
async fn when_the_new_machine_is_refused_the_old_one_is_not_thought_to_be_there() -> Result<()> {
    let Some(stage) = deployed().await? else {
        return Ok(());
    };
    let refusal = FaultEffect::Answer {
        status: 500,
        code: "internal".to_owned(),
        message: "not that".to_owned(),
    };
    let fault = Fault::once(Call::MachineCreate, refusal);
    stage.sim.tune(|knobs| knobs.faults.push(fault))?;
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", of_d13())
        .await?;
    let failed = stage.ended(begun.number).await?;
    ensure!(failed.state == OperationState::Failed, "{failed:#?}");
    ensure!(stage.sim.world().machines.is_empty());
    let node = stage.node("/vm1").await?;
    ensure!(node.status == Some(Status::Provisioned), "{node:#?}");
    ensure!(node.machine_id.is_none(), "{node:#?}");
    let history = stage.cli(&["history", "/vm1"]).await?;
    ensure!(
        history.contains("m-1") && history.contains("removed"),
        "{history}"
    );
    stage.deploy("/vm1").await?;
    let world = stage.sim.world();
    ensure!(machines(&world) == [("m-2".to_owned(), "d13".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn where_another_machine_has_the_name_the_old_one_stays() -> Result<()> {
    let Some(stage) = deployed().await? else {
        return Ok(());
    };
    let client = reqwest::Client::new();
    let url = format!("{}/v1/machines", stage.sim.url());
    let stranger = client
        .post(url)
        .body(r#"{"name": "vm1", "mark": "theirs"}"#);
    stranger.send().await?.error_for_status()?;
    until(&stage, |world| world.machines.len() == 2).await?;
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", of_d13())
        .await?;
    let failed = stage.ended(begun.number).await?;
    let message = failed.error.context("it says why")?.message;
    ensure!(message.contains("with id m-2"), "{message}");
    ensure!(stage.sim.requests().count(Call::MachineDestroy) == 0);
    ensure!(stage.node("/vm1").await?.machine_id.as_deref() == Some("m-1"));
    Ok(())
}
