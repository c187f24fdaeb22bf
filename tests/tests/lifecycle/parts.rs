//! Disks and nics of a machine that is deployed: what comes, changes and goes with a `reconfigure`.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    AuditFilter, Change, ErrorCode, OnFailure, OperationKind, OperationState, Params, PlanRequest,
};
use enginehouse_sim::{Call, Fault, FaultEffect, Machine};
use enginehouse_tests::{Stage, confirmed};
use serde_json::{Value, json};

/// `/vm1` with disks root and data, and nics lan and wan.
async fn wired() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    let definition = json!({
        "disks": {"root": {}, "data": {"size": "4GiB"}},
        "nics": {"lan": {"network": "vmbr0", "vlan": 10}, "wan": {"network": "vmbr9"}},
    });
    stage.provision("/vm1", definition).await?;
    stage.deploy("/vm1").await?;
    Ok(Some(stage))
}

fn machine(stage: &Stage) -> Result<Machine> {
    let world = stage.sim.world();
    let machine = world.machines.values().find(|vm| vm.name == "vm1");
    machine.cloned().context("there is no vm1")
}

/// The labels of its disks, and its nics with their networks and VLANs.
fn parts(stage: &Stage) -> Result<String> {
    let machine = machine(stage)?;
    let disks = machine.disks.values().map(|disk| disk.label.clone());
    let nics = machine.nics.values().map(|nic| {
        let vlan = nic.vlan.map_or(String::new(), |vlan| format!(":{vlan}"));
        format!("{}={}{vlan}", nic.label, nic.network)
    });
    let parts: Vec<String> = disks.chain(nics).collect();
    Ok(parts.join(" "))
}

fn set(key: &[&str], value: Value) -> Change {
    Change::Set {
        key: key.iter().map(|part| (*part).to_owned()).collect(),
        value,
    }
}

fn unset(key: &[&str]) -> Change {
    Change::Unset {
        key: key.iter().map(|part| (*part).to_owned()).collect(),
    }
}

fn changing(changes: Vec<Change>) -> Params {
    Params {
        changes,
        ..Params::default()
    }
}

async fn plan(stage: &Stage, params: Params) -> Result<enginehouse_api::Plan> {
    let request = PlanRequest {
        kind: OperationKind::Reconfigure,
        path: "/vm1".parse()?,
        params,
        limit: None,
        refresh: true,
    };
    Ok(stage.host.client().plan(&request).await?)
}

#[tokio::test]
async fn a_disk_and_a_nic_that_are_no_longer_defined_are_removed_after_a_yes() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let before = "root data lan=vmbr0:10 wan=vmbr9";
    let all = parts(&stage)?;
    let mut sorted: Vec<&str> = all.split(' ').collect();
    sorted.sort_unstable();
    ensure!(
        sorted == ["data", "lan=vmbr0:10", "root", "wan=vmbr9"],
        "{all}, not {before}"
    );
    let less = || changing(vec![unset(&["disks", "data"]), unset(&["nics", "wan"])]);
    let revision = stage.node("/vm1").await?.revision;

    let asked = stage
        .refused(OperationKind::Reconfigure, "/vm1", less())
        .await?;
    ensure!(asked.code == ErrorCode::NeedsConfirmation, "{asked:#?}");
    ensure!(
        asked.detail.contains("disk data, nic wan of /vm1"),
        "{asked:#?}"
    );
    let command = [
        "reconfigure",
        "/vm1",
        "--unset",
        "disks.data",
        "--unset",
        "nics.wan",
    ];
    let ran = stage.run(&command).await?;
    ensure!(ran.code != 0 && ran.err.contains("--yes"), "{ran:?}");
    ensure!(parts(&stage)? == all);
    // Nothing was written, so nothing is pending.
    ensure!(stage.node("/vm1").await?.revision == revision);

    let shown = plan(&stage, less()).await?;
    ensure!(shown.counts.destructive == 2, "{}", shown.text);
    for line in [
        "- disk-remove: disk data removed, 4 GiB",
        "- nic-remove: nic wan removed",
    ] {
        ensure!(shown.text.contains(line), "{}", shown.text);
    }
    stage
        .cli(&[command.as_slice(), &["--yes"]].concat())
        .await?;
    ensure!(parts(&stage)? == "root lan=vmbr0:10", "{}", parts(&stage)?);
    ensure!(stage.sim.world().volumes.is_empty());
    let after = plan(&stage, Params::default()).await?;
    ensure!(after.text.contains("as it is defined"), "{}", after.text);

    let filter = AuditFilter {
        path: Some("/vm1".parse()?),
        action: Some("gate".to_owned()),
        after: Some(0),
        ..AuditFilter::default()
    };
    let gate = stage.host.client().audit(&filter).await?.entries;
    let gate: Vec<String> = gate
        .into_iter()
        .filter_map(|line| {
            Some(format!(
                "{} {}",
                line.entry.detail["decision"],
                line.entry.detail.get("action")?
            ))
        })
        .collect();
    ensure!(
        gate == ["passed disk-remove", "passed nic-remove"],
        "{gate:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_folder_whose_machines_would_lose_a_disk_is_not_reconfigured_without_a_yes() -> Result<()>
{
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage
        .folder(
            "/web",
            json!({"disks": {"root": {}, "scratch": {"size": "1GiB"}}}),
        )
        .await?;
    for name in ["/web/a", "/web/b"] {
        stage.provision(name, json!({})).await?;
    }
    stage.deploy("/web").await?;
    stage
        .cli(&["edit", "/web", "--unset", "disks.scratch"])
        .await?;
    let asked = stage
        .refused(OperationKind::Reconfigure, "/web", Params::default())
        .await?;
    ensure!(asked.code == ErrorCode::NeedsConfirmation, "{asked:#?}");
    ensure!(
        asked
            .detail
            .contains("disk scratch of /web/a; disk scratch of /web/b"),
        "{asked:#?}"
    );
    stage
        .order(OperationKind::Reconfigure, "/web", confirmed())
        .await?;
    let world = stage.sim.world();
    ensure!(world.machines.values().all(|vm| vm.disks.len() == 1));
    Ok(())
}

#[tokio::test]
async fn a_kept_disk_is_taken_off_and_survives() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let keep = set(&["disks", "data", "keep"], json!(true));
    stage
        .order(OperationKind::Reconfigure, "/vm1", changing(vec![keep]))
        .await?;
    let params = Params {
        confirm_destructive: true,
        ..changing(vec![unset(&["disks", "data"])])
    };
    stage
        .order(OperationKind::Reconfigure, "/vm1", params)
        .await?;
    let world = stage.sim.world();
    let volumes: Vec<&str> = world
        .volumes
        .iter()
        .map(|v| v.disk.label.as_str())
        .collect();
    ensure!(volumes == ["data"], "{volumes:?}");
    ensure!(machine(&stage)?.disks.len() == 1);
    Ok(())
}

#[tokio::test]
async fn nics_are_added_and_changed_and_their_drift_is_repaired() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let changes = vec![
        set(&["nics", "lan", "vlan"], json!(20)),
        set(&["nics", "dmz"], json!({"network": "vmbr5", "vlan": 5})),
    ];
    let ended = stage
        .order(OperationKind::Reconfigure, "/vm1", changing(changes))
        .await?;
    let steps: Vec<&str> = ended
        .steps
        .iter()
        .map(|step| step.action.as_str())
        .collect();
    ensure!(steps == ["nic-add", "nic-change"], "{steps:?}");
    let nics = "lan=vmbr0:20 wan=vmbr9 dmz=vmbr5:5";
    ensure!(parts(&stage)?.ends_with(nics), "{}", parts(&stage)?);

    // Somebody puts it elsewhere, and takes another one away.
    let id = format!("m-{}", stage.sim.world().machines_made);
    let client = reqwest::Client::new();
    let url = format!("{}/v1/machines/{id}/nics", stage.sim.url());
    let moved = client
        .patch(format!("{url}/nic0"))
        .body(r#"{"network": "vmbr7"}"#);
    moved.send().await?.error_for_status()?;
    until_free(&stage).await?;
    let removed = client.delete(format!("{url}/nic1"));
    removed.send().await?.error_for_status()?;
    until_free(&stage).await?;
    let drifted = plan(&stage, Params::default()).await?;
    for line in [
        "~ nic-change: nic lan network vmbr7 -> vmbr0   disruptive",
        "drift, from /vm1: nic lan network",
        "+ nic-add: nic wan is gone and added again, network vmbr9   benign",
    ] {
        ensure!(drifted.text.contains(line), "{}", drifted.text);
    }
    stage
        .order(OperationKind::Reconfigure, "/vm1", Params::default())
        .await?;
    let mut all = parts(&stage)?
        .split(' ')
        .map(str::to_owned)
        .collect::<Vec<_>>();
    all.sort_unstable();
    ensure!(
        all == ["data", "dmz=vmbr5:5", "lan=vmbr0:20", "root", "wan=vmbr9"],
        "{all:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_addresses_of_a_nic_are_set_seen_and_brought_back() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let changes = vec![
        set(&["nics", "lan", "addresses"], json!(["192.0.2.10/24"])),
        set(&["nics", "lan", "gateway"], json!("192.0.2.1")),
    ];
    let ended = stage
        .order(OperationKind::Reconfigure, "/vm1", changing(changes))
        .await?;
    let steps: Vec<&str> = ended.steps.iter().map(|step| &*step.action).collect();
    ensure!(steps == ["nic-change"], "{steps:?}");
    let has = |addresses: &[&str], gateway: Option<&str>| -> Result<bool> {
        let nic = machine(&stage)?.nics.get("nic0").cloned();
        let nic = nic.context("no nic0")?;
        Ok(nic.addresses == addresses && nic.gateway.as_deref() == gateway)
    };
    ensure!(has(&["192.0.2.10/24"], Some("192.0.2.1"))?);
    let after = plan(&stage, Params::default()).await?;
    ensure!(after.text.contains("as it is defined"), "{}", after.text);

    // Somebody takes the address away.
    let id = format!("m-{}", stage.sim.world().machines_made);
    let url = format!("{}/v1/machines/{id}/nics/nic0", stage.sim.url());
    let unset = reqwest::Client::new()
        .patch(url)
        .body(r#"{"addresses": null}"#);
    unset.send().await?.error_for_status()?;
    until_free(&stage).await?;
    ensure!(has(&[], Some("192.0.2.1"))?);
    let drifted = plan(&stage, Params::default()).await?;
    let line = "~ nic-change: nic lan addresses unset -> 192.0.2.10/24";
    ensure!(drifted.text.contains(line), "{}", drifted.text);
    stage
        .order(OperationKind::Reconfigure, "/vm1", Params::default())
        .await?;
    ensure!(has(&["192.0.2.10/24"], Some("192.0.2.1"))?);
    Ok(())
}

#[tokio::test]
async fn a_disk_and_a_nic_of_one_name_are_not_deployed() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let definition = json!({
        "disks": {"root": {}, "data": {"size": "4GiB"}},
        "nics": {"data": {"network": "vmbr0"}},
    });
    stage.provision("/vm1", definition).await?;
    let begun = stage
        .begin(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    let failed = stage.ended(begun.number).await?;
    ensure!(failed.state == OperationState::Failed, "{failed:#?}");
    let message = failed.error.context("it says why")?.message;
    ensure!(
        message.contains("nics.data: a disk has this name, too"),
        "{message}"
    );
    ensure!(stage.sim.world().machines.is_empty());
    Ok(())
}

/// Waits until no task has the machine locked.
async fn until_free(stage: &Stage) -> Result<()> {
    for _ in 0..1_000 {
        if machine(stage)?.lock.is_none() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    anyhow::bail!("the machine stays locked")
}

#[tokio::test]
async fn a_rollback_that_removes_a_disk_needs_a_yes() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let add = set(&["disks", "log"], json!({"size": "2GiB"}));
    let added = stage
        .order(OperationKind::Reconfigure, "/vm1", changing(vec![add]))
        .await?;
    ensure!(machine(&stage)?.disks.len() == 3);
    let begun = stage
        .begin(OperationKind::Rollback, "/vm1", Params::default())
        .await?;
    let failed = stage.ended(begun.number).await?;
    ensure!(failed.state == OperationState::Failed, "{failed:#?}");
    let error = failed.error.context("it says why")?;
    ensure!(
        error.message.contains("it needs a yes") && error.message.contains("disk log removed"),
        "{error:#?}"
    );
    ensure!(machine(&stage)?.disks.len() == 3);
    let of = added.number.to_string();
    let ran = stage.run(&["rollback", "/vm1", "--of", &of]).await?;
    ensure!(ran.code != 0 && ran.err.contains("--yes"), "{ran:?}");
    stage
        .cli(&["rollback", "/vm1", "--of", &of, "--yes"])
        .await?;
    ensure!(machine(&stage)?.disks.len() == 2);
    Ok(())
}

#[tokio::test]
async fn what_a_failed_reconfigure_has_added_is_taken_back_without_being_asked() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let before = parts(&stage)?;
    let refusal = FaultEffect::Answer {
        status: 500,
        code: "internal".to_owned(),
        message: "not that".to_owned(),
    };
    let fault = Fault::once(Call::NicAdd, refusal);
    stage.sim.tune(|knobs| knobs.faults.push(fault))?;
    let params = Params {
        on_failure: Some(OnFailure::Rollback),
        ..changing(vec![
            set(&["disks", "log"], json!({"size": "2GiB"})),
            set(&["nics", "dmz"], json!({"network": "vmbr5"})),
        ])
    };
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", params)
        .await?;
    let failed = stage.ended(begun.number).await?;
    ensure!(failed.state == OperationState::Failed, "{failed:#?}");
    let message = failed.error.context("it says why")?.message;
    ensure!(message.contains("taken back: /vm1"), "{message}");
    ensure!(parts(&stage)? == before, "{}", parts(&stage)?);
    ensure!(stage.sim.requests().count(Call::DiskRemove) == 1);
    Ok(())
}

#[tokio::test]
async fn a_protected_machine_keeps_its_disks_and_nics() -> Result<()> {
    let Some(stage) = wired().await? else {
        return Ok(());
    };
    let protect = set(&["protect"], json!(true));
    stage
        .order(OperationKind::Reconfigure, "/vm1", changing(vec![protect]))
        .await?;
    let params = Params {
        confirm_destructive: true,
        ..changing(vec![unset(&["nics", "wan"])])
    };
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", params)
        .await?;
    let failed = stage.ended(begun.number).await?;
    let message = failed.error.context("it says why")?.message;
    ensure!(message.contains("/vm1 protects /vm1"), "{message}");
    ensure!(machine(&stage)?.nics.len() == 2);
    Ok(())
}
