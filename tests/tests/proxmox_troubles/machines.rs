//! A machine is gone, or is another one than was made.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, Params, Status};
use enginehouse_tests::{FakePveOptions, Site, confirmed};
use serde_json::{Value, json};

use crate::outcome::{failed, nothing_changed};

#[tokio::test]
async fn a_machine_that_is_gone_behind_our_back_is_said_to_be() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let vmid = site.deployed().await?;
    site.pve.remove_machine(vmid).await?;
    site.pve.take_exchanges().await?;
    for kind in [OperationKind::Start, OperationKind::Stop] {
        let operation = site.end(kind, "/vm1", Params::default()).await?;
        let words = [
            "machine 100 is on record, but was not seen on pve",
            "`undeploy` takes it off the record",
        ];
        failed(&operation, "conflict", &words, "")?;
    }
    nothing_changed(&site).await?;
    assert_eq!(
        site.pve.created().await?.len(),
        0,
        "none is made again by itself"
    );
    assert_eq!(site.node("/vm1").await?.status, Some(Status::Deployed));

    // Gone is what an undeploy wants.
    let undeploy = OperationKind::Undeploy;
    let operation = site.order(undeploy, "/vm1", confirmed()).await?;
    let log = site.host.client().log(operation.number, 0).await?;
    let told = log
        .lines
        .iter()
        .any(|line| line.text.contains("not there any more"));
    ensure!(told, "{log:#?}");
    let result = operation.result.context("no result")?;
    assert_eq!(result.warnings, ["the machine was not there any more"]);
    let said = site.node("/vm1").await?.last_error.context("not noted")?;
    assert_eq!(said.message, "the machine was not there any more");
    assert_eq!(site.node("/vm1").await?.status, Some(Status::Provisioned));
    site.order(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_clone_made_by_hand_is_never_destroyed_although_it_carries_our_mark() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let vmid = site.deployed().await?;
    let ours = site.pve.machine(vmid).await?.context("no machine")?;
    // A person clones it: the description, and our mark with it, is copied.
    let client = site.pve.client()?;
    let qemu = format!("{}/api2/json/nodes/pve1/qemu", site.pve.url());
    let clone = json!({"newid": 500, "name": "copy", "full": 1});
    let answer = client
        .post(format!("{qemu}/{vmid}/clone"))
        .json(&clone)
        .send()
        .await?;
    answer.error_for_status()?;
    let copy = site.pve.machine(500).await?.context("no copy")?;
    assert_eq!(copy.value("description"), ours.value("description"));

    // In the place of ours it is not taken for it.
    let copied: Value = json!({"smbios1": copy.value("smbios1")});
    site.pve.set_machine(vmid, json!({}), copied).await?;
    site.pve.take_exchanges().await?;
    let undeploy = OperationKind::Undeploy;
    let operation = site.end(undeploy, "/vm1", confirmed()).await?;
    failed(
        &operation,
        "conflict",
        &["another one than was deployed"],
        "",
    )?;
    nothing_changed(&site).await?;
    assert_eq!(site.node("/vm1").await?.status, Some(Status::Deployed));
    assert_eq!(site.pve.created().await?.len(), 2);

    // Ours is back: it goes, and the copy stays.
    let back = json!({"smbios1": ours.value("smbios1")});
    site.pve.set_machine(vmid, json!({}), back).await?;
    site.order(undeploy, "/vm1", confirmed()).await?;
    let left: Vec<u64> = site.pve.created().await?.iter().map(|vm| vm.vmid).collect();
    assert_eq!(left, [500]);
    Ok(())
}
