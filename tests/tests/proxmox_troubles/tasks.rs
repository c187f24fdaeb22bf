//! A task of the provider fails, warns, or cannot do what it was asked for.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, Params, Status};
use enginehouse_tests::{FakePveOptions, Site, confirmed};
use serde_json::{Value, json};

use crate::outcome::{failed, left};

const DEPLOY: OperationKind = OperationKind::Deploy;
const GIB: u64 = 1 << 30;

async fn site(definition: Value) -> Result<Option<Site>> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(None);
    };
    site.provision("/vm1", definition).await?;
    Ok(Some(site))
}

#[tokio::test]
async fn a_task_that_fails_is_told_in_its_own_words() -> Result<()> {
    let Some(site) = site(json!({})).await? else {
        return Ok(());
    };
    let said = "clone failed: copy failed";
    site.pve.fail_task("qmclone", said).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "provider", &[said], "")?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;
    assert_eq!(site.pve.created().await?.len(), 0);
    // With nothing left of it, the next try begins anew.
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    assert_eq!(site.pve.created().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_machine_that_does_not_start_stays_on_record_and_deploy_goes_on_with_it() -> Result<()> {
    let Some(site) = site(json!({"vcpu": 2})).await? else {
        return Ok(());
    };
    let said = "start failed: QEMU exited with code 1";
    site.pve.fail_task("qmstart", said).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "provider", &[said], "")?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;
    let result = operation.result.context("no result")?;
    assert_eq!(result.machine_id.as_deref(), Some("100"));
    assert_eq!(result.created.len(), 1, "{result:#?}");
    let (_, told) = site.cli_fails(&["deprovision", "/vm1"]).await?;
    ensure!(told.contains("undeploy"), "{told}");

    site.order(DEPLOY, "/vm1", Params::default()).await?;
    let machines = site.pve.created().await?;
    assert_eq!(machines.len(), 1);
    assert_eq!((machines[0].vmid, &*machines[0].status), (100, "running"));
    Ok(())
}

#[tokio::test]
async fn a_task_with_warnings_succeeded_with_warnings() -> Result<()> {
    let Some(site) = site(json!({})).await? else {
        return Ok(());
    };
    site.pve.warn_task("qmclone", &["the disk is slow"]).await?;
    let operation = site.order(DEPLOY, "/vm1", Params::default()).await?;
    let warnings = operation.result.context("no result")?.warnings;
    let told = warnings
        .iter()
        .any(|line| line.contains("the disk is slow"));
    ensure!(told, "{warnings:#?}");
    assert_eq!(site.node("/vm1").await?.status, Some(Status::Deployed));
    assert_eq!(site.pve.created().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_storage_that_is_full_fails_the_step_and_leaves_what_was_done() -> Result<()> {
    let Some(site) = site(json!({"disks": {"root": {"size": "20GiB"}}})).await? else {
        return Ok(());
    };
    // There is room for the clone's 8 GiB, not for what they are to grow to.
    site.pve.free_space("local-lvm", 10 * GIB).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    let hint = "free space on that storage";
    failed(&operation, "provider", &["No space left on device"], hint)?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;
    let machines = site.pve.created().await?;
    assert_eq!(machines.len(), 1);
    assert_eq!(machines[0].status, "stopped", "never powered on");

    // From nothing: nothing is left.
    let scratch = json!({
        "use_prototype": null, "vcpu": 1, "memory": "1GiB", "disks": {"root": {"size": "8GiB"}},
    });
    site.provision("/scratch", scratch).await?;
    let operation = site.end(DEPLOY, "/scratch", Params::default()).await?;
    failed(&operation, "provider", &["No space left on device"], hint)?;
    left(&site, "/scratch", Status::Provisioned, &operation).await?;
    assert_eq!(site.pve.created().await?.len(), 1);

    site.pve.free_space("local-lvm", 100 * GIB).await?;
    site.order(DEPLOY, "/", Params::default()).await?;
    let machines = site.pve.created().await?;
    assert_eq!(machines.len(), 2);
    ensure!(
        machines.iter().all(|vm| vm.status == "running"),
        "{machines:#?}"
    );
    let disk = machines[0].value("scsi0").unwrap_or_default();
    ensure!(disk.contains("size=20G"), "{disk}");
    Ok(())
}

#[tokio::test]
async fn a_guest_that_ignores_its_shutdown_is_stopped_in_the_end() -> Result<()> {
    let Some(site) = site(json!({})).await? else {
        return Ok(());
    };
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    let vmid = site.vmid("/vm1").await?;
    // From now on fakepve takes its time.
    site.pve.settings(json!({"time_scale": 1.0})).await?;
    site.pve
        .set_machine(vmid, json!({"acpi": false}), json!({}))
        .await?;
    // A stop gives it as long as the hypervisor's entry says, and then says so.
    let limits = json!({"limits": {"shutdown_timeout_s": 2}});
    site.set_root(site.entry_with(limits)).await?;
    site.pve.take_exchanges().await?;
    let operation = site
        .end(OperationKind::Stop, "/vm1", Params::default())
        .await?;
    let shutdown = "POST /nodes/{node}/qemu/{vmid}/status/shutdown timeout=";
    let stop = "POST /nodes/{node}/qemu/{vmid}/status/stop ";
    failed(&operation, "busy", &["got timeout"], "without asking")?;
    left(&site, "/vm1", Status::Deployed, &operation).await?;
    // Who asked for a stop did not ask for the plug to be pulled.
    assert_eq!(changes(&site).await?, [format!("{shutdown}2")]);
    let machine = site.pve.machine(vmid).await?.context("no machine")?;
    assert_eq!(machine.status, "running");

    // An undeploy as long as the person says.
    site.pve.take_exchanges().await?;
    let params = Params {
        shutdown_timeout_s: Some(1),
        ..confirmed()
    };
    let operation = site.order(OperationKind::Undeploy, "/vm1", params).await?;
    let log = site.host.client().log(operation.number, 0).await?;
    let text: Vec<&str> = log.lines.iter().map(|line| &*line.text).collect();
    let told = text.iter().any(|line| line.contains("got timeout"));
    ensure!(told, "{text:#?}");
    let destroy = "DELETE /nodes/{node}/qemu/{vmid} ";
    assert_eq!(
        changes(&site).await?,
        [&*format!("{shutdown}1"), stop, destroy]
    );
    assert_eq!(site.pve.created().await?.len(), 0);
    assert_eq!(site.node("/vm1").await?.status, Some(Status::Provisioned));
    Ok(())
}

/// The requests that change something, with their bodies.
async fn changes(site: &Site) -> Result<Vec<String>> {
    let sent = site.pve.exchanges().await?;
    Ok(sent
        .iter()
        .filter(|seen| seen.method != "GET")
        .map(|seen| format!("{} {}", seen.template(), seen.body))
        .collect())
}
