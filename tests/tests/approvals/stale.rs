//! What was signed is what is done: where it is another by then, nothing is.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Status};
use enginehouse_tests::defined;
use serde_json::json;

use crate::scene::Scene;

async fn is_stale(
    scene: &Scene,
    number: enginehouse_model::OperationId,
    because: &str,
) -> Result<()> {
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Superseded, "{ended:#?}");
    let said = ended.error.context("no reason")?.message;
    ensure!(said.contains(because), "{said}");
    let node = scene.stage.node("/web/vm1").await?;
    ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    ensure!(scene.machines() == 1);
    let decisions = scene.decisions("/web/vm1").await?;
    ensure!(
        decisions.last().is_some_and(|last| last == "stale"),
        "{decisions:?}"
    );
    ensure!(!decisions.contains(&"used".to_owned()), "{decisions:?}");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_came_meanwhile_is_not_destroyed_with_the_machine() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let number = scene.undeploy("/web/vm1").await?;
    let file = scene.text(number).await?;
    let signature = scene.bob.sign(&file)?;
    scene.stage.sim.edit(|world| {
        for machine in world.machines.values_mut() {
            let disk = machine.disks.values().next().cloned();
            machine
                .disks
                .extend(disk.map(|disk| ("scsi7".to_owned(), disk)));
        }
    })?;
    let taken = scene.hand_in("bob", &signature, &file, number).await?;
    ensure!(taken.is_ok(), "{taken:?}");
    is_stale(&scene, number, "disk scsi7: not there -> ").await
}

#[tokio::test]
async fn a_key_that_was_taken_out_does_not_count_any_more() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let number = scene.undeploy("/web/vm1").await?;
    let file = scene.text(number).await?;
    let signature = scene.ann.sign(&file)?;
    // Ann approves it, and before its turn comes her key is taken out: that lowers nothing.
    scene.stage.sim.tune(|knobs| knobs.away = true)?;
    let taken = scene.hand_in("ann", &signature, &file, number).await?;
    ensure!(taken.is_ok(), "{taken:?}");
    let approvals = json!({"need": 1, "keys": [scene.bob.public]});
    let params = defined(json!({"approvals": approvals}));
    scene
        .stage
        .order(OperationKind::Edit, "/web", params)
        .await?;
    scene.stage.sim.tune(|knobs| knobs.away = false)?;
    scene.stage.cli(&["hypervisors", "check"]).await?;
    is_stale(&scene, number, "the keys of /web were changed").await
}

#[tokio::test]
async fn unrelated_machines_change_and_the_approval_stands() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    stage.provision("/web/vm2", json!({})).await?;
    let number = scene.undeploy("/web/vm1").await?;
    let file = scene.text(number).await?;
    let signature = scene.bob.sign(&file)?;
    stage.deploy("/web/vm2").await?;
    stage.cli(&["reconfigure", "/web/vm2", "vcpu=2"]).await?;
    // And what does not make another destruction of it.
    stage.cli(&["stop", "/web/vm1", "--force"]).await?;
    stage.cli(&["reconfigure", "/web/vm1", "vcpu=2"]).await?;
    let taken = scene.hand_in("bob", &signature, &file, number).await?;
    ensure!(taken.is_ok(), "{taken:?}");
    let ended = stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(scene.machines() == 1, "vm2 stays");
    Ok(())
}

#[tokio::test]
async fn what_was_ordered_before_approvals_were_asked_for_does_not_run_without() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    stage.folder("/db", json!({})).await?;
    stage.provision("/db/vm2", json!({})).await?;
    stage.deploy("/db/vm2").await?;
    stage.sim.tune(|knobs| knobs.away = true)?;
    let begun = stage
        .begin(
            OperationKind::Undeploy,
            "/db/vm2",
            enginehouse_tests::confirmed(),
        )
        .await?;
    let approvals = json!({"need": 1, "keys": [scene.bob.public]});
    let params = defined(json!({"approvals": approvals}));
    stage.order(OperationKind::Edit, "/db", params).await?;
    stage.sim.tune(|knobs| knobs.away = false)?;
    stage.cli(&["hypervisors", "check"]).await?;
    let waits = stage.host.stopped(begun.number).await?;
    ensure!(waits.state == OperationState::WaitingApproval, "{waits:#?}");
    Ok(())
}
