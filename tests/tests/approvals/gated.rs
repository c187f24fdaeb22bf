//! What destroys beside an undeploy waits for approval, too: the removal of a disk or a nic, a replace, a
//! rollback. Signed, it is what was signed that is done, once, whatever the host lives through.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, Operation, OperationKind, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_sim::{Call, Disk, Fault, FaultEffect};
use enginehouse_tests::{confirmed, defined};
use serde_json::json;

use crate::scene::Scene;

/// `/web/vm1` with a disk `data` and a nic `lan`, where `/web` asks for one approval.
async fn equipped() -> Result<Option<Scene>> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(None);
    };
    let with = json!({"disks": {"data": {"size": "2GiB"}}, "nics": {"lan": {"network": "lan"}}});
    let order = scene
        .stage
        .order(OperationKind::Reconfigure, "/web/vm1", defined(with));
    order.await?;
    Ok(Some(scene))
}

fn unset(key: &[&str]) -> Params {
    let key = key.iter().map(|part| (*part).to_owned()).collect();
    Params {
        changes: vec![Change::Unset { key }],
        ..confirmed()
    }
}

fn of_d13() -> Params {
    Params {
        changes: vec![Change::Set {
            key: vec!["base_image".to_owned()],
            value: json!("d13"),
        }],
        ..confirmed()
    }
}

impl Scene {
    /// Orders something on `/web/vm1`, which comes to wait for approval with nothing done.
    async fn asks(&self, kind: OperationKind, params: Params) -> Result<OperationId> {
        let writes = self.writes();
        let begun = self.stage.begin(kind, "/web/vm1", params).await?;
        let waits = self.stage.host.stopped(begun.number).await?;
        ensure!(
            waits.state == OperationState::WaitingApproval,
            "{waits:#?}\n{}",
            self.stage.host.log()
        );
        ensure!(self.writes() == writes, "something was done");
        Ok(begun.number)
    }

    /// Requests that take something away.
    fn writes(&self) -> u64 {
        let requests = self.stage.sim.requests();
        let calls = [Call::DiskRemove, Call::NicRemove, Call::MachineDestroy];
        calls.into_iter().map(|call| requests.count(call)).sum()
    }

    async fn approved(&self, number: OperationId) -> Result<Operation> {
        let taken = self.approve(&self.bob, number).await?;
        ensure!(taken.is_ok(), "{taken:?}");
        let ended = self.stage.ended(number).await?;
        let decisions = self.decisions("/web/vm1").await?;
        let used = decisions.iter().filter(|it| *it == "used").count();
        let is_done = ended.state == OperationState::Succeeded;
        ensure!(
            used == usize::from(is_done),
            "{decisions:?} {ended:#?}\n{}",
            self.stage.host.log()
        );
        Ok(ended)
    }
}

#[tokio::test]
async fn the_removal_of_a_disk_or_a_nic_a_replace_and_a_rollback_wait_and_run_once_signed()
-> Result<()> {
    for (kind, params, what, call) in [
        (
            OperationKind::Reconfigure,
            unset(&["disks", "data"]),
            "disk-remove: disk data removed",
            Call::DiskRemove,
        ),
        (
            OperationKind::Reconfigure,
            unset(&["nics", "lan"]),
            "nic-remove: nic lan removed",
            Call::NicRemove,
        ),
        (
            OperationKind::Reconfigure,
            of_d13(),
            "destroy: with its disks, to be made anew",
            Call::MachineDestroy,
        ),
        (
            OperationKind::Rollback,
            confirmed(),
            "disk-remove: disk data removed",
            Call::DiskRemove,
        ),
    ] {
        let Some(scene) = equipped().await? else {
            return Ok(());
        };
        let number = scene.asks(kind, params).await?;
        let text = std::fs::read_to_string(scene.text(number).await?)?;
        ensure!(text.contains(what), "{text}");
        let ended = scene.approved(number).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
        let requests = scene.stage.sim.requests();
        ensure!(requests.count(call) == 1, "{what}");
        ensure!(scene.machines() == 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_another_by_then_is_not_removed() -> Result<()> {
    let Some(scene) = equipped().await? else {
        return Ok(());
    };
    let remove = unset(&["disks", "data"]);
    let number = scene.asks(OperationKind::Reconfigure, remove).await?;
    let file = scene.text(number).await?;
    let signature = scene.bob.sign(&file)?;
    each_disk(&scene, |disk| disk.size += 1 << 30)?;
    let taken = scene.hand_in("bob", &signature, &file, number).await?;
    ensure!(taken.is_ok(), "{taken:?}");
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Superseded, "{ended:#?}");
    let said = ended.error.context("no reason")?.message;
    ensure!(said.contains("GiB"), "{said}");
    ensure!(scene.writes() == 0);
    Ok(())
}

fn each_disk(scene: &Scene, change: impl Fn(&mut Disk)) -> Result<()> {
    scene.stage.sim.edit(|world| {
        for machine in world.machines.values_mut() {
            machine.disks.values_mut().for_each(&change);
        }
    })?;
    Ok(())
}

#[tokio::test]
async fn killed_between_the_signature_and_the_step_it_is_done_once() -> Result<()> {
    let Some(mut scene) = equipped().await? else {
        return Ok(());
    };
    let remove = unset(&["disks", "data"]);
    let number = scene.asks(OperationKind::Reconfigure, remove).await?;
    let file = scene.text(number).await?;
    let signature = scene.bob.sign(&file)?;
    scene.stage.sim.tune(|knobs| knobs.away = true)?;
    let joined = scene.hand_in("bob", &signature, &file, number).await?;
    joined.ok().context("refused")?;
    scene.stage.host.kill().await?;
    ensure!(scene.writes() == 0);
    scene.stage.host.restart().await?;
    scene.stage.sim.tune(|knobs| knobs.away = false)?;
    scene.stage.cli(&["hypervisors", "check"]).await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(scene.writes() == 1);
    let decisions = scene.decisions("/web/vm1").await?;
    ensure!(
        decisions == ["asked", "signed by bob@desk", "used"],
        "{decisions:?}"
    );
    Ok(())
}

/// The hypervisor says that it is busy, before anything is done, as often as it is asked to destroy.
fn busy() -> Fault {
    Fault::always(
        Call::MachineDestroy,
        FaultEffect::Answer {
            status: 409,
            code: "guest-timeout".to_owned(),
            message: "not now".to_owned(),
        },
    )
}

/// An approved undeploy is put off until it was tried so often.
async fn put_off(scene: &Scene) -> Result<OperationId> {
    scene.stage.sim.tune(|knobs| knobs.faults.push(busy()))?;
    let number = scene.undeploy("/web/vm1").await?;
    let taken = scene.approve(&scene.bob, number).await?;
    ensure!(taken.is_ok(), "{taken:?}");
    while scene.stage.sim.requests().count(Call::MachineDestroy) == 0 {
        let operation = scene.stage.host.client().operation(number).await?;
        ensure!(!operation.state.has_ended(), "{operation:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(number)
}

async fn is_stale(scene: &Scene, number: OperationId, because: &str) -> Result<()> {
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Superseded, "{ended:#?}");
    let said = ended.error.context("no reason")?.message;
    ensure!(said.contains(because), "{said}");
    ensure!(scene.machines() == 1);
    let decisions = scene.decisions("/web/vm1").await?;
    ensure!(
        decisions.last().is_some_and(|last| last == "stale"),
        "{decisions:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_step_that_was_put_off_is_not_sent_where_a_disk_came_meanwhile() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let number = put_off(&scene).await?;
    scene.stage.sim.edit(|world| {
        for machine in world.machines.values_mut() {
            let disk = machine.disks.values().next().cloned();
            let more = disk.map(|disk| ("scsi7".to_owned(), disk));
            machine.disks.extend(more);
        }
    })?;
    is_stale(&scene, number, "disk scsi7: not there -> ").await
}
