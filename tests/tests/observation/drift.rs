//! Machines that somebody changes behind our back, and what the host does about it by itself.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Drift, OperationKind, OperationState, Params};
use enginehouse_model::FullName;
use enginehouse_tests::{FakePveOptions, Site, Stage, defined};
use serde_json::{Value, json};

use crate::unseen::stage;
use crate::until;

/// The simulation's number of a descriptor's machine.
async fn number_of(stage: &Stage, path: &str) -> Result<u64> {
    let id = stage.node(path).await?.machine_id.context("no machine")?;
    Ok(id.trim_start_matches("m-").parse()?)
}

pub(crate) async fn cores(stage: &Stage, path: &str, vcpu: u32) -> Result<()> {
    let number = number_of(stage, path).await?;
    stage.sim.edit(|world| {
        let machine = world.machines.get_mut(&number);
        machine.map(|machine| machine.vcpu = vcpu)
    })?;
    Ok(())
}

pub(crate) async fn has_cores(stage: &Stage, path: &str) -> Result<Option<u32>> {
    let number = number_of(stage, path).await?;
    let world = stage.sim.world();
    Ok(world.machines.get(&number).map(|machine| machine.vcpu))
}

/// Sets keys of the root.
async fn root(stage: &Stage, key: &str, value: Value) -> Result<()> {
    let params = Params {
        changes: vec![enginehouse_api::Change::Set {
            key: key.split('.').map(str::to_owned).collect(),
            value,
        }],
        confirm_lowered: true,
        ..Params::default()
    };
    stage.order(OperationKind::Edit, "/", params).await?;
    Ok(())
}

/// What the host has ordered by itself, newest first.
pub(crate) async fn automatic(stage: &Stage) -> Result<Vec<enginehouse_api::Operation>> {
    let page = stage.json(&["ops", "list", "--limit", "500"]).await?;
    let operations = page["operations"].as_array().cloned().unwrap_or_default();
    let ours = operations
        .into_iter()
        .filter(|operation| operation["who"] == "reconciler");
    ours.map(|operation| Ok(serde_json::from_value(operation)?))
        .collect()
}

#[tokio::test]
async fn benign_drift_is_repaired_by_an_operation_like_any_other() -> Result<()> {
    let Some(stage) = stage(3).await? else {
        return Ok(());
    };
    cores(&stage, "/vm1", 4).await?;
    until("it is repaired", async || {
        Ok(has_cores(&stage, "/vm1").await? == Some(1))
    })
    .await?;
    until("the drift is gone", async || {
        Ok(stage.node("/vm1").await?.drift.is_empty() && automatic(&stage).await?.len() == 1)
    })
    .await?;
    let [repair] = &automatic(&stage).await?[..] else {
        anyhow::bail!("more than one operation");
    };
    assert_eq!(repair.path, "/vm1".parse()?);
    assert_eq!(repair.kind, OperationKind::Reconfigure);
    assert_eq!(
        stage.ended(repair.number).await?.state,
        OperationState::Succeeded
    );
    let shown = stage
        .cli(&["ops", "show", &repair.number.to_string()])
        .await?;
    ensure!(shown.contains("cores 4 -> 1"), "{shown}");
    let audit = stage
        .cli(&["audit", "list", "--who", "reconciler", "--path", "/vm1"])
        .await?;
    ensure!(audit.contains("order") && audit.contains("plan"), "{audit}");
    Ok(())
}

#[tokio::test]
async fn where_the_policy_is_observe_drift_is_shown_and_left_until_it_is_benign() -> Result<()> {
    let Some(stage) = stage(3).await? else {
        return Ok(());
    };
    root(&stage, "policy", json!("observe")).await?;
    cores(&stage, "/vm1", 4).await?;
    until("it is shown", async || {
        Ok(!stage.node("/vm1").await?.drift.is_empty())
    })
    .await?;
    let drift = stage.node("/vm1").await?.drift;
    assert_eq!(drift.len(), 1, "{drift:#?}");
    assert_eq!(
        (&*drift[0].field, &*drift[0].deployed, &*drift[0].observed),
        ("vcpu", "1", "4")
    );
    assert_eq!(drift[0].not_repaired.as_deref(), Some("policy is observe"));
    let shown = stage.cli(&["show", "/vm1"]).await?;
    ensure!(
        shown.contains("vcpu 1 -> 4") && shown.contains("not repaired, because policy is observe"),
        "{shown}"
    );
    let tree = stage.cli(&["tree"]).await?;
    let lines: Vec<&str> = tree.lines().filter(|line| line.contains("drift")).collect();
    ensure!(lines.len() == 1 && lines[0].contains("vm1"), "{tree}");
    let all = FullName::root();
    let listed = stage.host.client().drift(&all, None, None).await?;
    assert_eq!(listed.machines.len(), 1);
    assert_eq!(listed.machines[0].drift, drift);
    assert_eq!(automatic(&stage).await?, []);
    assert_eq!(has_cores(&stage, "/vm1").await?, Some(4));
    // What is remembered is there after a restart, as old as it was.
    root(&stage, "policy", json!("benign")).await?;
    until("it is repaired", async || {
        Ok(has_cores(&stage, "/vm1").await? == Some(1))
    })
    .await
}

#[tokio::test]
async fn what_is_known_of_drift_survives_a_restart_with_its_age() -> Result<()> {
    let Some(mut stage) = stage(2).await? else {
        return Ok(());
    };
    root(&stage, "policy", json!("observe")).await?;
    cores(&stage, "/vm0", 2).await?;
    until("it is shown", async || {
        Ok(!stage.node("/vm0").await?.drift.is_empty())
    })
    .await?;
    let before = stage.node("/vm0").await?.drift;
    stage.host.kill().await?;
    stage.host.restart().await?;
    let after = stage.node("/vm0").await?.drift;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].since, before[0].since);
    cores(&stage, "/vm0", 1).await?;
    until("somebody set it right, and it is gone", async || {
        Ok(stage.node("/vm0").await?.drift.is_empty())
    })
    .await
}

#[tokio::test]
async fn a_folder_that_is_paused_is_left_alone_until_it_is_resumed() -> Result<()> {
    let Some(stage) = stage(2).await? else {
        return Ok(());
    };
    stage
        .cli(&["pause", "/", "--reason", "tuning by hand"])
        .await?;
    cores(&stage, "/vm1", 4).await?;
    until("it is shown", async || {
        Ok(!stage.node("/vm1").await?.drift.is_empty())
    })
    .await?;
    let shown = stage.cli(&["show", "/vm1"]).await?;
    ensure!(
        shown.contains("not repaired, because it is paused at / by admin: tuning by hand"),
        "{shown}"
    );
    let tree = stage.cli(&["tree"]).await?;
    ensure!(tree.contains("paused"), "{tree}");
    assert_eq!(automatic(&stage).await?, []);
    let refused = stage.run(&["resume", "/vm1"]).await?;
    ensure!(
        refused.code != 0 && refused.err.contains("paused because / is"),
        "{refused:?}"
    );
    stage.cli(&["resume", "/"]).await?;
    until("it is repaired", async || {
        Ok(has_cores(&stage, "/vm1").await? == Some(1))
    })
    .await?;
    let audit = stage.cli(&["audit", "list", "--action", "pause"]).await?;
    ensure!(audit.contains("pause"), "{audit}");
    Ok(())
}

#[tokio::test]
async fn what_is_changed_back_each_time_is_left_and_a_person_takes_it_up_again() -> Result<()> {
    let Some(stage) = stage(1).await? else {
        return Ok(());
    };
    for times in 1..=3 {
        cores(&stage, "/vm0", 4).await?;
        until("it is repaired", async || {
            let ended = automatic(&stage).await?;
            let ended = ended.iter().filter(|one| one.state.has_ended()).count();
            Ok(ended == times && has_cores(&stage, "/vm0").await? == Some(1))
        })
        .await?;
        until("and seen so", async || {
            Ok(stage.node("/vm0").await?.drift.is_empty())
        })
        .await?;
    }
    cores(&stage, "/vm0", 4).await?;
    until("it is left", async || {
        let drift = stage.node("/vm0").await?.drift;
        let why = drift.first().and_then(|drift| drift.not_repaired.clone());
        Ok(why.is_some_and(|why| why.contains("repaired 3 times")))
    })
    .await?;
    assert_eq!(automatic(&stage).await?.len(), 3);
    assert_eq!(has_cores(&stage, "/vm0").await?, Some(4));
    stage
        .order(OperationKind::Reconfigure, "/vm0", Params::default())
        .await?;
    assert_eq!(has_cores(&stage, "/vm0").await?, Some(1));
    until("and seen so", async || {
        Ok(stage.node("/vm0").await?.drift.is_empty())
    })
    .await?;
    cores(&stage, "/vm0", 4).await?;
    until("it is repaired again", async || {
        Ok(automatic(&stage).await?.len() == 4 && has_cores(&stage, "/vm0").await? == Some(1))
    })
    .await
}

#[tokio::test]
async fn a_folder_that_follows_its_definition_is_brought_to_it_in_waves() -> Result<()> {
    let Some(stage) = stage(1).await? else {
        return Ok(());
    };
    stage.folder("/web", json!({"follow": true})).await?;
    for number in 0..3 {
        stage
            .provision(&format!("/web/web{number}"), json!({}))
            .await?;
    }
    stage.deploy("/web").await?;
    let edit = json!({"follow": true, "vcpu": 2});
    stage
        .order(OperationKind::Edit, "/web", defined(edit))
        .await?;
    until("all of it is so", async || {
        let mut all = true;
        for number in 0..3 {
            all &= has_cores(&stage, &format!("/web/web{number}")).await? == Some(2);
        }
        Ok(all)
    })
    .await?;
    let whole = automatic(&stage).await?;
    let whole = whole.iter().find(|one| one.path.to_string() == "/web");
    let whole = stage.ended(whole.context("no order")?.number).await?;
    assert_eq!(whole.state, OperationState::Succeeded);
    assert_eq!(whole.children.len(), 3);
    let mut waves: Vec<_> = whole.children.iter().filter_map(|part| part.wave).collect();
    waves.sort_unstable();
    assert_eq!(waves, [1, 2, 3]);
    // What does not follow stays pending.
    root(&stage, "prototypes.small.memory", json!("2GiB")).await?;
    until("the folder has followed again", async || {
        let node = stage.node("/web/web2").await?;
        Ok(node.pending_changes.is_empty())
    })
    .await?;
    ensure!(!stage.node("/vm0").await?.pending_changes.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_vm_of_proxmox_that_is_changed_by_its_api_is_shown_and_repaired() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let entry = site.entry_with(json!({"observe": {"interval_s": 1, "full_s": 1}}));
    site.set_root(entry).await?;
    let vmid = site.deployed().await?;
    site.cli(&["edit", "/", "policy=observe"]).await?;
    site.pve
        .set_machine(vmid, json!({}), json!({"cores": 7}))
        .await?;
    until("it is shown", async || {
        let drift = site.node("/vm1").await?.drift;
        let cores = drift.iter().find(|drift| drift.field == "vcpu");
        let why = |drift: &Drift| drift.not_repaired.as_deref() == Some("policy is observe");
        Ok(cores.is_some_and(|drift| drift.observed == "7" && why(drift)))
    })
    .await?;
    // New cores take a restart of a machine that runs.
    let policy = ["edit", "/", "policy=disruptive", "--lower-protection"];
    site.cli(&policy).await?;
    until("it is repaired", async || {
        let machine = site.pve.machine(vmid).await?.context("no machine")?;
        Ok(machine.value("cores").as_deref() == Some("1"))
    })
    .await?;
    until("and the drift is gone", async || {
        Ok(site.node("/vm1").await?.drift.is_empty())
    })
    .await?;
    let operations = site.cli(&["ops", "list", "--path", "/vm1", "-o", "json"]);
    let operations = operations.await?;
    ensure!(operations.contains("reconciler"), "{operations}");
    let listed = site.cli(&["drift"]).await?;
    assert_eq!(listed, "no machine is known to have drifted\n");
    Ok(())
}
