//! The host is killed: neither the question, nor a signature, nor what it was good for gets lost.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationState, StepState};
use enginehouse_sim::Call;

use crate::scene::Scene;

fn destroys(scene: &Scene) -> u64 {
    scene.stage.sim.requests().count(Call::MachineDestroy)
}

#[tokio::test]
async fn killed_while_people_are_asked_and_between_signature_and_step() -> Result<()> {
    let Some(mut scene) = Scene::start(2).await? else {
        return Ok(());
    };
    let number = scene.undeploy("/web/vm1").await?;
    let before = scene.text(number).await?;
    let before = std::fs::read(before)?;
    scene.stage.host.kill().await?;
    scene.stage.host.restart().await?;
    let file = scene.text(number).await?;
    ensure!(
        before == std::fs::read(&file)?,
        "the text is the same bytes"
    );
    scene
        .approve(&scene.ann, number)
        .await?
        .ok()
        .context("refused")?;
    scene.stage.host.kill().await?;
    scene.stage.host.restart().await?;

    // The hypervisor is away: with the last signature it joins its lane, and waits there.
    let file = scene.text(number).await?;
    let signature = scene.bob.sign(&file)?;
    scene.stage.sim.tune(|knobs| knobs.away = true)?;
    let joined = scene.hand_in("bob", &signature, &file, number).await?;
    joined.ok().context("refused")?;
    scene.stage.host.kill().await?;
    ensure!(destroys(&scene) == 0);
    scene.stage.host.restart().await?;
    scene.stage.sim.tune(|knobs| knobs.away = false)?;
    scene.stage.cli(&["hypervisors", "check"]).await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(scene.machines() == 0 && destroys(&scene) == 1);
    let decisions = scene.decisions("/web/vm1").await?;
    let expected = ["asked", "signed by ann@desk", "signed by bob@desk", "used"];
    ensure!(decisions == expected, "{decisions:?}");
    Ok(())
}

#[tokio::test]
async fn killed_after_the_step_began_it_goes_on_with_what_was_approved() -> Result<()> {
    let Some(mut scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let destroy_takes = |ms| (String::from("destroy"), ms);
    scene
        .stage
        .sim
        .tune(|knobs| knobs.task_ms_of.extend([destroy_takes(3_600_000)]))?;
    let number = scene.undeploy("/web/vm1").await?;
    scene
        .approve(&scene.bob, number)
        .await?
        .ok()
        .context("refused")?;
    // Until the hypervisor works on it.
    loop {
        let operation = scene.stage.host.client().operation(number).await?;
        ensure!(!operation.state.has_ended(), "{operation:#?}");
        let destroy = operation.steps.iter().find(|step| step.action == "destroy");
        if destroy.is_some_and(|step| step.state == StepState::Waiting) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    scene.stage.host.kill().await?;
    scene.stage.sim.edit(|world| {
        let now = world.now;
        let ends: Vec<(u64, u64)> = world.running.iter().copied().collect();
        for (end, task) in ends {
            world.running.remove(&(end, task));
            world.running.insert((now, task));
            if let Some(task) = world.tasks.get_mut(&task) {
                task.ends_at = now;
            }
        }
    })?;
    scene.stage.host.restart().await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(scene.machines() == 0 && destroys(&scene) == 1);
    let decisions = scene.decisions("/web/vm1").await?;
    let used = decisions.iter().filter(|it| *it == "used").count();
    ensure!(used == 1, "{decisions:?}");
    Ok(())
}
