//! A provider that does not know a task any more: what became of it is settled from what exists.
//!
//! Nothing is polled for ever, and nothing is done twice.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params, Status};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::{FakePveOptions, Site, Stage, confirmed};
use serde_json::json;

use crate::scene::{asked, machines, over};

const DEPLOY: OperationKind = OperationKind::Deploy;

/// Every task is forgotten as soon as it is begun, so each step is settled: making, starting, stopping
/// and destroying a machine.
#[tokio::test]
async fn work_that_was_done_is_found_without_its_task() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| knobs.forget_tasks = true)?;
    stage.provision("/vm1", json!({"power": "running"})).await?;
    let number = stage.begin(DEPLOY, "/vm1", Params::default()).await?.number;
    let ended = over(&stage, number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!((asked(&stage), machines(&stage)), (1, 1));
    let world = stage.sim.world();
    let machine = world.machines.values().next().context("no machine")?;
    assert_eq!(machine.boots, 1);
    // Somebody is told.
    let log = stage.cli(&["ops", "log", &number.to_string()]).await?;
    ensure!(log.contains("no longer knows the task"), "{log}");
    // The next life of the host has no other opinion, and asks nobody any more.
    stage.host.kill().await?;
    stage.host.restart().await?;
    let polls = stage.sim.requests().count(Call::TaskList);
    assert_eq!(stage.node("/vm1").await?.status, Some(Status::Deployed));
    stage.undeploy("/vm1").await?;
    assert_eq!(machines(&stage), 0);
    assert_eq!(stage.sim.requests().count(Call::MachineDestroy), 1);
    let polls = stage.sim.requests().count(Call::TaskList) - polls;
    ensure!(polls <= 4, "{polls} polls for two tasks");
    Ok(())
}

#[tokio::test]
async fn work_that_was_not_done_is_done_once() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    // Until then a request that was not seen to work may still arrive.
    let root = json!({
        "hypervisors": {"sim": {
            "type": "fake", "host": stage.sim.url(), "limits": {"request_timeout_s": 2},
        }},
        "use_hypervisor": "sim",
        "prototypes": {"small": {"base_image": "d12", "vcpu": 1, "memory": "1GiB"}},
        "use_prototype": "small",
    });
    stage
        .order(OperationKind::Edit, "/", enginehouse_tests::defined(root))
        .await?;
    stage.provision("/vm1", json!({"power": "stopped"})).await?;
    stage.sim.tune(|knobs| {
        let effect = FaultEffect::TaskError {
            message: "the storage broke".to_owned(),
            leave_half: false,
        };
        knobs.faults = vec![Fault::once(Call::MachineCreate, effect)];
        knobs.ignore_client_token = true;
        knobs.forget_tasks = true;
    })?;
    let number = stage.begin(DEPLOY, "/vm1", Params::default()).await?.number;
    let ended = over(&stage, number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!((asked(&stage), machines(&stage)), (2, 1));
    Ok(())
}

/// A node that does not know a task says so, whoever asks: fakepve is made to forget all of them.
async fn forgetful(definition: serde_json::Value) -> Result<Option<Site>> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(None);
    };
    site.provision("/vm1", definition).await?;
    site.pve
        .fail_with(
            "GET",
            "/nodes/{node}/tasks/{upid}/status",
            400,
            "no such task",
            None,
        )
        .await?;
    Ok(Some(site))
}

async fn sent(site: &Site, method: &str, template: &str) -> Result<usize> {
    let exchanges = site.pve.exchanges().await?;
    let fits = exchanges
        .iter()
        .filter(|seen| seen.method == method && seen.template().ends_with(template));
    Ok(fits.count())
}

#[tokio::test]
async fn a_clone_that_proxmox_made_is_found_without_its_task() -> Result<()> {
    let Some(site) = forgetful(json!({"vcpu": 2})).await? else {
        return Ok(());
    };
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    let made = site.pve.created().await?;
    ensure!(made.len() == 1 && made[0].status == "running", "{made:#?}");
    assert_eq!(made[0].value("cores").as_deref(), Some("2"));
    assert_eq!(sent(&site, "POST", "/clone").await?, 1);
    assert_eq!(sent(&site, "POST", "/status/start").await?, 1);
    site.pve.take_exchanges().await?;
    site.order(OperationKind::Undeploy, "/vm1", confirmed())
        .await?;
    assert_eq!(site.pve.created().await?.len(), 0);
    assert_eq!(sent(&site, "DELETE", "/qemu/{vmid}").await?, 1);
    let polls = sent(&site, "GET", "/status").await?;
    ensure!(polls < 20, "{polls} polls");
    Ok(())
}

#[tokio::test]
async fn a_clone_that_proxmox_did_not_make_fails_once_and_leaves_nothing() -> Result<()> {
    let Some(site) = forgetful(json!({})).await? else {
        return Ok(());
    };
    site.pve
        .fail_task("qmclone", "clone failed: disk is full")
        .await?;
    let ended = site.end(DEPLOY, "/vm1", Params::default()).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let error = ended.error.context("no error")?;
    ensure!(error.message.contains("there is no"), "{error:?}");
    assert_eq!(sent(&site, "POST", "/clone").await?, 1, "not sent again");
    assert_eq!(site.pve.created().await?.len(), 0);
    // The next order begins anew.
    site.pve.stop_failing().await?;
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    assert_eq!(site.pve.created().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_start_that_did_not_happen_is_asked_for_again() -> Result<()> {
    let Some(site) = forgetful(json!({})).await? else {
        return Ok(());
    };
    site.pve
        .fail_task("qmstart", "start failed: no memory")
        .await?;
    let ended = site.end(DEPLOY, "/vm1", Params::default()).await?;
    // The node's list of tasks may still say that it failed; nobody may say that it went well.
    let machine = site.pve.created().await?;
    let runs = machine.first().is_some_and(|vm| vm.status == "running");
    let succeeded = ended.state == OperationState::Succeeded;
    assert_eq!(succeeded, runs, "{ended:#?}\n{machine:#?}");
    assert_eq!(machine.len(), 1);
    assert_eq!(sent(&site, "POST", "/clone").await?, 1);
    Ok(())
}
