//! An order on a folder: one text, and one signature of each person.

use anyhow::{Context, Result, ensure};
use enginehouse_api::OperationState;
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn one_signature_is_for_all_machines_of_a_folder_each_bound_to_its_own_guards() -> Result<()>
{
    let Some(scene) = Scene::start(2).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    for n in 2..=5 {
        stage.provision(&format!("/web/vm{n}"), json!({})).await?;
    }
    stage.deploy("/web").await?;
    let number = scene.undeploy("/web").await?;
    let asked = stage.host.client().approval(number).await?;
    ensure!(
        asked.approvals.len() == 5 && asked.not_yet == 0,
        "{asked:#?}"
    );
    let file = scene.text(number).await?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains("of 5 machines"), "{text}");
    ensure!(text.matches("  digest ").count() == 5, "{text}");

    let ann = scene.ann.sign(&file)?;
    scene
        .hand_in("ann", &ann, &file, number)
        .await?
        .ok()
        .context("refused")?;
    let waits = stage.host.client().operation(number).await?;
    ensure!(waits.state == OperationState::WaitingApproval, "{waits:#?}");
    let bob = scene.bob.sign(&file)?;

    // One of them is another machine by then, and one was refused: the others go.
    let victim = stage
        .node("/web/vm3")
        .await?
        .machine_id
        .context("no machine")?;
    let refused = stage.node("/web/vm4").await?;
    stage.sim.edit(|world| {
        for (number, machine) in &mut world.machines {
            if victim == format!("m-{number}") {
                let disk = machine.disks.values().next().cloned();
                machine
                    .disks
                    .extend(disk.map(|disk| ("scsi7".to_owned(), disk)));
            }
        }
    })?;
    let bobs = scene.hand_in("bob", &bob, &file, number).await?;
    bobs.ok().context("refused")?;
    let ended = stage.ended(number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let error = ended.error.context("no reason")?.message;
    ensure!(error.contains("1 of 5 failed, first /web/vm3"), "{error}");
    ensure!(scene.machines() == 1);
    ensure!(refused.machine_id.is_some());
    for (path, last) in [("/web/vm3", "stale"), ("/web/vm4", "used")] {
        let decisions = scene.decisions(path).await?;
        ensure!(
            decisions.last().is_some_and(|it| it == last),
            "{path}: {decisions:?}"
        );
    }
    Ok(())
}
