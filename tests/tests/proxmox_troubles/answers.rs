//! The provider says no to a request.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params, Status};
use enginehouse_tests::{FakePveOptions, HidingProxy, Moment, Rule, Site, Trouble};
use serde_json::json;

use crate::outcome::{failed, left, nothing_changed};

const DEPLOY: OperationKind = OperationKind::Deploy;
const CLONE: &str = "/nodes/pve1/qemu/9000/clone";

async fn site() -> Result<Option<Site>> {
    Site::with_root(FakePveOptions::default()).await
}

/// The hypervisor is reached through a proxy from now on.
async fn through_proxy(site: &Site) -> Result<HidingProxy> {
    let proxy = HidingProxy::start(&site.pve).await?;
    let host = json!({"host": proxy.url(), "tls": {}});
    site.set_root(site.entry_with(host)).await?;
    Ok(proxy)
}

#[tokio::test]
async fn a_machine_that_is_locked_is_waited_for_and_not_for_ever() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    let vmid = site.deployed().await?;
    site.pve
        .call("snapshot_lock", json!([vmid, "backup"]))
        .await?;
    let described = |text: &str| Params {
        changes: vec![enginehouse_api::Change::Set {
            key: vec!["description".to_owned()],
            value: json!(text),
        }],
        ..Params::default()
    };
    let change = OperationKind::Reconfigure;
    let number = site.begin(change, "/vm1", described("one")).await?.number;
    let waiting = site
        .until(number, |operation| operation.waiting_for.is_some())
        .await?;
    let reason = waiting.waiting_for.unwrap_or_default();
    ensure!(reason.contains("VM is locked (backup)"), "{reason}");
    site.pve.call("unlock", json!([vmid])).await?;
    let operation = site.ended(number).await?;
    ensure!(
        operation.state == OperationState::Succeeded,
        "{operation:#?}"
    );
    let text = async || -> Result<String> {
        let machine = site.pve.machine(vmid).await?.context("no machine")?;
        Ok(machine.value("description").unwrap_or_default())
    };
    ensure!(text().await?.starts_with("one\n"));

    let limits = json!({"limits": {"busy_timeout_s": 1}});
    site.set_root(site.entry_with(limits)).await?;
    site.pve
        .call("snapshot_lock", json!([vmid, "backup"]))
        .await?;
    let operation = site.end(change, "/vm1", described("two")).await?;
    failed(&operation, "busy", &["VM is locked (backup)"], "qm unlock")?;
    left(&site, "/vm1", Status::Deployed, &operation).await?;
    ensure!(text().await?.starts_with("one\n"));
    // What was wanted stays as a pending change.
    let node = site.node("/vm1").await?;
    assert_eq!(node.pending_changes.len(), 1, "{:?}", node.pending_changes);
    site.pve.call("unlock", json!([vmid])).await?;
    site.order(change, "/vm1", Params::default()).await?;
    ensure!(text().await?.starts_with("two\n"));
    let node = site.node("/vm1").await?;
    assert_eq!(node.pending_changes, Vec::<String>::new());
    assert_eq!(node.last_error, None);
    Ok(())
}

#[tokio::test]
async fn a_missing_privilege_is_named() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    site.provision("/vm1", json!({})).await?;
    let said = "Permission check failed (/vms/9000, VM.Clone)";
    site.pve
        .fail_with("POST", CLONE, 403, said, Some(2))
        .await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "denied", &[said], "grant VM.Clone on /vms/9000")?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;

    // Older nodes say it in the reason phrase alone.
    site.pve.old_errors(true).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "denied", &[said], "grant VM.Clone on /vms/9000")?;
    let said = "unable to do it today";
    site.pve
        .fail_with("POST", CLONE, 500, said, Some(1))
        .await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "provider", &[said], "")?;
    assert_eq!(site.pve.created().await?.len(), 0);
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_vmid_that_somebody_took_between_is_chosen_again() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    let proxy = through_proxy(&site).await?;
    proxy.on(Rule::once("POST", "/clone", Trouble::HoldRequest));
    site.provision("/vm1", json!({})).await?;
    let number = site.begin(DEPLOY, "/vm1", Params::default()).await?.number;
    proxy.reached("POST", "/clone", Moment::Arrived, 1).await?;
    site.pve.add_machine(100, "theirs", json!({})).await?;
    proxy.release();
    let operation = site.ended(number).await?;
    ensure!(
        operation.state == OperationState::Succeeded,
        "{operation:#?}"
    );
    assert_eq!(site.vmid("/vm1").await?, 101);
    let theirs = site.pve.machine(100).await?.context("it is gone")?;
    assert_eq!(
        (&*theirs.name, theirs.value("description")),
        ("theirs", None)
    );
    assert_eq!(site.pve.created().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_foreign_machine_of_the_same_name_is_a_conflict_without_a_request() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    site.pve.add_machine(150, "vm1", json!({})).await?;
    site.provision("/vm1", json!({})).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "conflict", &["`vm1`", "150"], "another name")?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;
    nothing_changed(&site).await?;
    site.pve.remove_machine(150).await?;
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    Ok(())
}

#[tokio::test]
async fn of_two_who_change_a_machine_none_is_overwritten() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    let proxy = through_proxy(&site).await?;
    let vmid = site.deployed().await?;
    let changed = |key: &str, value: &str| Params {
        changes: vec![enginehouse_api::Change::Set {
            key: key.split('.').map(str::to_owned).collect(),
            value: json!(value),
        }],
        ..Params::default()
    };
    let config = format!("/qemu/{vmid}/config");
    let during = async |params: Params, theirs: serde_json::Value, nth: usize| -> Result<_> {
        proxy.on(Rule::once("PUT", &config, Trouble::HoldRequest));
        let number = site
            .begin(OperationKind::Reconfigure, "/vm1", params)
            .await?
            .number;
        proxy.reached("PUT", &config, Moment::Arrived, nth).await?;
        site.pve.set_machine(vmid, json!({}), theirs).await?;
        proxy.release();
        site.ended(number).await
    };
    // Something else was changed: both stay.
    let before = proxy.count("PUT", &config);
    let theirs = json!({"onboot": 1});
    let operation = during(changed("description", "ours"), theirs, before + 1).await?;
    ensure!(
        operation.state == OperationState::Succeeded,
        "{operation:#?}"
    );
    let machine = site.pve.machine(vmid).await?.context("no machine")?;
    assert_eq!(machine.value("onboot").as_deref(), Some("1"));
    let text = machine.value("description").unwrap_or_default();
    ensure!(text.starts_with("ours\n"), "{text}");

    // The very same was changed: theirs stays, and a person decides.
    let before = proxy.count("PUT", &config);
    let theirs = json!({"description": text.replace("ours", "theirs")});
    let operation = during(changed("description", "again"), theirs, before + 1).await?;
    let words = ["somebody else has changed description"];
    failed(&operation, "conflict", &words, "new plan")?;
    left(&site, "/vm1", Status::Deployed, &operation).await?;
    let machine = site.pve.machine(vmid).await?.context("no machine")?;
    let text = machine.value("description").unwrap_or_default();
    ensure!(text.starts_with("theirs\n"), "{text}");
    Ok(())
}
