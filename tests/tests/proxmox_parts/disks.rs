//! A disk is taken off its machine, and its volume is destroyed: that one, and no other.

use anyhow::{Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationState};
use enginehouse_tests::{PveMachine, Site};
use serde_json::json;

use crate::{changing, set, there, unset, wired};

const RECONFIGURE: OperationKind = OperationKind::Reconfigure;

/// The volumes of a machine: what is attached, and what is not.
fn volumes(machine: &PveMachine) -> Vec<String> {
    let slots = |key: &str| key.starts_with("scsi") || key.starts_with("sata");
    let drives = machine
        .config
        .keys()
        .filter(|key| (slots(key) && *key != "scsihw") || key.starts_with("unused"));
    let shown = drives.map(|key| {
        let value = machine.value(key).unwrap_or_default();
        let volume = value.split(',').next().unwrap_or_default();
        format!("{key}={volume}")
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort_unstable();
    shown
}

/// The volumes on the storage that carry the VMID.
async fn stored(site: &Site, vmid: u64) -> Result<Vec<String>> {
    let mut all = site.pve.volumes("local-lvm").await?;
    all.retain(|name| name.contains(&format!("vm-{vmid}-")));
    Ok(all)
}

async fn without_data(site: &Site) -> Result<Operation> {
    let params = changing(vec![unset(&["disks", "data"])]);
    site.end(RECONFIGURE, "/vm1", params).await
}

fn failed(operation: &Operation, words: &str) -> Result<()> {
    ensure!(operation.state == OperationState::Failed, "{operation:#?}");
    let message = operation.error.as_ref().map(|error| &*error.message);
    ensure!(
        message.is_some_and(|text| text.contains(words)),
        "{operation:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_no_longer_defined_goes_with_its_volume() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let before = there(&site, vmid).await?;
    ensure!(
        before.status == "running" && before.pending.is_empty(),
        "{before:#?}"
    );
    let volume = |number: u32| format!("vm-{vmid}-disk-{number}");
    let attached = |slot: u32| format!("scsi{slot}=local-lvm:{}", volume(slot));
    assert_eq!(volumes(&before), [attached(0), attached(1)]);
    let log = set(&["disks", "log"], json!({"size": "2GiB"}));
    site.order(RECONFIGURE, "/vm1", changing(vec![log])).await?;

    let asked = ["reconfigure", "/vm1", "--unset", "disks.data"];
    let (code, said) = site.cli_fails(&asked).await?;
    ensure!(code == 2 && said.contains("disk data of /vm1"), "{said}");
    assert_eq!(
        stored(&site, vmid).await?,
        [volume(0), volume(1), volume(2)]
    );
    site.cli(&[asked.as_slice(), &["--yes"]].concat()).await?;
    let after = there(&site, vmid).await?;
    assert_eq!(volumes(&after), [attached(0), attached(2)]);
    assert_eq!(stored(&site, vmid).await?, [volume(0), volume(2)]);
    ensure!(
        after.status == "running" && after.pending.is_empty(),
        "{after:#?}"
    );
    let plan = site.cli(&["plan", "/vm1"]).await?;
    ensure!(plan.contains("as it is defined"), "{plan}");

    // Stopped, and with another volume that somebody has detached by hand.
    site.cli(&["stop", "/vm1"]).await?;
    let by_hand = json!({"unused0": format!("local-lvm:{}", volume(7))});
    site.pve.set_machine(vmid, json!({}), by_hand).await?;
    let params = changing(vec![unset(&["disks", "log"])]);
    site.order(RECONFIGURE, "/vm1", params).await?;
    let after = there(&site, vmid).await?;
    let unused = format!("unused0=local-lvm:{}", volume(7));
    assert_eq!(volumes(&after), [attached(0), unused]);
    assert_eq!(stored(&site, vmid).await?, [volume(0), volume(7)]);
    Ok(())
}

#[tokio::test]
async fn a_running_machine_that_does_not_let_go_of_it_stays_as_it_was() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let off = json!({"hotplug": "network"});
    site.pve.set_machine(vmid, json!({}), off).await?;
    let before = there(&site, vmid).await?;
    let refused = without_data(&site).await?;
    failed(&refused, "does not let go of scsi1")?;
    let hint = refused.error.and_then(|error| error.hint);
    ensure!(hint.is_some_and(|hint| hint.contains("stop the machine")));
    let after = there(&site, vmid).await?;
    assert_eq!(after.config, before.config);
    assert_eq!(after.pending, before.pending);
    let pending = site.node("/vm1").await?.pending_changes;
    ensure!(
        pending
            .iter()
            .any(|change| change.starts_with("disks.data ")),
        "{pending:#?}"
    );

    site.cli(&["stop", "/vm1"]).await?;
    let again = changing(Vec::new());
    site.order(RECONFIGURE, "/vm1", again).await?;
    assert_eq!(stored(&site, vmid).await?, [format!("vm-{vmid}-disk-0")]);
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_kept_is_not_removed_here_and_the_plan_says_so() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let keep = set(&["disks", "data", "keep"], json!(true));
    site.order(RECONFIGURE, "/vm1", changing(vec![keep]))
        .await?;
    let before = there(&site, vmid).await?;
    let refused = without_data(&site).await?;
    failed(&refused, "the engine proxmox cannot do `disk-remove.keep`")?;
    assert_eq!(there(&site, vmid).await?.config, before.config);
    Ok(())
}

#[tokio::test]
async fn a_volume_of_another_machine_is_taken_off_and_left_alone() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    // Somebody has put another machine's disk in its place: as large, so that it cannot be told apart.
    let theirs = json!({"scsi1": "local-lvm:vm-900-disk-0,size=4G"});
    site.pve.set_machine(vmid, json!({}), theirs).await?;
    let holder = json!({"scsi0": "local-lvm:vm-900-disk-0,size=4G"});
    site.pve.add_machine(900, "old-other", holder).await?;
    let ended = without_data(&site).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    let warnings = ended
        .result
        .map(|result| result.warnings)
        .unwrap_or_default();
    let told = "local-lvm:vm-900-disk-0 was taken off";
    ensure!(
        warnings.iter().any(|text| text.contains(told)),
        "{warnings:?}"
    );
    let left = site.pve.volumes("local-lvm").await?;
    ensure!(left.contains(&"vm-900-disk-0".to_owned()), "{left:?}");
    ensure!(there(&site, vmid).await?.value("scsi1").is_none());
    Ok(())
}

#[tokio::test]
async fn a_disk_that_a_snapshot_holds_stays_where_it_is() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let url = format!(
        "{}/api2/json/nodes/pve1/qemu/{vmid}/snapshot",
        site.pve.url()
    );
    let client = site.pve.client()?;
    let snapshot = client.post(&url).json(&json!({"snapname": "before"}));
    snapshot.send().await?.error_for_status()?;
    let before = there(&site, vmid).await?;
    let refused = without_data(&site).await?;
    failed(&refused, "snapshot before of 100 holds the disk in scsi1")?;
    assert_eq!(there(&site, vmid).await?.config, before.config);
    client
        .delete(format!("{url}/before"))
        .send()
        .await?
        .error_for_status()?;
    site.order(RECONFIGURE, "/vm1", changing(Vec::new()))
        .await?;
    assert_eq!(stored(&site, vmid).await?, [format!("vm-{vmid}-disk-0")]);
    Ok(())
}

#[tokio::test]
async fn a_rollback_takes_a_disk_back_that_was_added() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let before = there(&site, vmid).await?;
    let log = set(&["disks", "log"], json!({"size": "2GiB"}));
    let added = site.order(RECONFIGURE, "/vm1", changing(vec![log])).await?;
    let of = added.number.to_string();
    site.cli(&["rollback", "/vm1", "--of", &of, "--yes"])
        .await?;
    assert_eq!(volumes(&there(&site, vmid).await?), volumes(&before));
    Ok(())
}
