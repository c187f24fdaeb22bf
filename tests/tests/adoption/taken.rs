//! What adoption does, and what it leaves.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Status};
use enginehouse_sim::Power;
use enginehouse_tests::{FakePveOptions, Site, confirmed};
use serde_json::json;

use crate::{found, is_as_defined, made, operation, plan};

#[tokio::test]
async fn a_machine_becomes_a_descriptor_with_what_was_seen_of_it() -> Result<()> {
    let Some((stage, web, db)) = found().await? else {
        return Ok(());
    };
    stage
        .folder("/shop", json!({"labels": {"team": "web"}}))
        .await?;
    let before = stage.sim.world();
    let shown = stage
        .cli(&["adopt", "sim", "--into", "/shop", "--dry-run"])
        .await?;
    ensure!(
        shown.contains(&format!("{web}  web   /shop/web"))
            && shown.contains("vcpu 2, memory 2 GiB, description the shop")
            && shown.contains("2 machines would be adopted into /shop"),
        "{shown}"
    );
    ensure!(!stage.is_there("/shop/web").await?, "a dry run made it");
    assert_eq!(stage.sim.world().machines, before.machines);

    let said = stage.json(&["adopt", "sim", "--into", "/shop"]).await?;
    let adopted = operation(said.clone())?;
    assert_eq!(adopted.state, OperationState::Succeeded, "{adopted:#?}");
    assert_eq!(said["adopted"].as_array().map(Vec::len), Some(2));
    // What the folder gives is not written again, and what it gives and the machine lacks is unset.
    let node = stage.node("/shop/web").await?;
    assert_eq!(node.status, Some(Status::Deployed));
    assert_eq!(
        serde_json::to_value(&node.local_definition)?,
        json!({
            "vcpu": 2, "memory": "2 GiB", "description": "the shop",
            "disks": {"disk0": {"size": "8 GiB", "storage": "local", "bus": "virtio"}},
            "nics": {"nic0": {
                "network": "lan", "vlan": 20, "mac": "02:00:00:00:00:01", "adapter": "virtio",
            }},
            "settings": {"firmware": "bios"},
        })
    );
    let node = stage.node("/shop/db").await?;
    let local = serde_json::to_value(&node.local_definition)?;
    assert_eq!(local["labels"], json!({"team": null}), "{local}");
    ensure!(local["memory"].is_null(), "the prototype says it: {local}");

    // Nothing but the mark was changed on the machines, and they have not been restarted.
    let mut after = stage.sim.world();
    for (id, machine) in &mut after.machines {
        let was = &before.machines[id];
        ensure!(!machine.mark.is_empty() && was.mark.is_empty(), "{id}");
        machine.mark.clear();
        machine.version = was.version;
    }
    assert_eq!(after.machines, before.machines);
    is_as_defined(&stage.host, "/shop").await?;
    let again = stage.cli(&["adopt", "sim", "--into", "/shop"]).await?;
    assert_eq!(again, "nothing to adopt on sim, 2 ours already\n");
    let listed = stage.cli(&["hypervisors", "machines", "sim"]).await?;
    ensure!(
        listed.contains("ours /shop/web") && listed.contains("ours /shop/db"),
        "{listed}"
    );

    // They are machines like all others now.
    stage.cli(&["reconfigure", "/shop/web", "vcpu=4"]).await?;
    stage
        .order(
            OperationKind::Start,
            "/shop/db",
            enginehouse_api::Params::default(),
        )
        .await?;
    let world = stage.sim.world();
    let running = world
        .machines
        .values()
        .filter(|machine| machine.power == Power::Running);
    assert_eq!(running.count(), 1);
    ensure!(world.machines.values().any(|machine| machine.vcpu == 4));
    stage
        .order(OperationKind::Undeploy, "/shop", confirmed())
        .await?;
    ensure!(stage.sim.world().machines.is_empty(), "{db} is left");
    Ok(())
}

#[tokio::test]
async fn one_that_is_named_is_taken_with_its_prototype_and_the_others_stay() -> Result<()> {
    let Some((stage, web, db)) = found().await? else {
        return Ok(());
    };
    stage
        .folder(
            "/shop",
            json!({
                "prototypes": {"shop": {"vcpu": 2, "memory": "2GiB", "labels": {"team": "web"}}},
            }),
        )
        .await?;
    let command = [
        "adopt",
        "sim",
        &web,
        "--into",
        "/shop",
        "--prototype",
        "shop",
    ];
    let said = stage.cli(&command).await?;
    ensure!(
        said.contains("1 machine adopted into /shop (operation "),
        "{said}"
    );
    let local = serde_json::to_value(stage.node("/shop/web").await?.local_definition)?;
    assert_eq!(local["use_prototype"], "shop");
    ensure!(
        local["vcpu"].is_null() && local["labels"].is_null(),
        "{local}"
    );
    is_as_defined(&stage.host, "/shop").await?;
    let left = stage
        .cli(&["hypervisors", "machines", "sim", "--whose", "foreign"])
        .await?;
    ensure!(
        left.contains(&db) && !left.contains(&format!("{web}  ")),
        "{left}"
    );
    Ok(())
}

#[tokio::test]
async fn a_machine_that_inherits_another_run_state_stays_in_its_own() -> Result<()> {
    let Some((stage, ..)) = found().await? else {
        return Ok(());
    };
    stage.folder("/shop", json!({"power": "running"})).await?;
    stage.cli(&["adopt", "sim", "--into", "/shop"]).await?;
    is_as_defined(&stage.host, "/shop").await?;
    let local = serde_json::to_value(stage.node("/shop/web").await?.local_definition)?;
    assert_eq!(local["power"], "stopped");
    Ok(())
}

#[tokio::test]
async fn names_that_no_descriptor_can_have_are_left_or_given_anew() -> Result<()> {
    let Some((stage, web, _)) = found().await? else {
        return Ok(());
    };
    let twin = made(&stage, "web", json!({})).await?;
    stage.folder("/shop", json!({})).await?;
    stage.provision("/shop/db", json!({})).await?;
    let said = stage
        .cli(&["adopt", "sim", "--into", "/shop", "--dry-run"])
        .await?;
    ensure!(
        said.contains(&format!(
            "left: {twin} web: another machine is called `web`, too"
        )) && said.contains("db: /shop/db is there already")
            && said.contains("hint: with `rename` its descriptor gets another name")
            && said.contains("1 machine would be adopted into /shop, 2 left"),
        "{said}"
    );
    let said = stage
        .cli(&["adopt", "sim", "--into", "/shop", "--rename"])
        .await?;
    ensure!(
        said.contains(&format!(
            "then: /shop/web-{twin}: configure: name web -> web-{twin}"
        )) && said.contains("3 machines adopted into /shop"),
        "{said}"
    );
    let text = plan(&stage.host, OperationKind::Reconfigure, "/shop").await?;
    ensure!(text.contains("2 actions on 2 of"), "{text}");
    let node = stage.node("/shop/web").await?;
    assert_eq!(node.machine_id.as_deref(), Some(&*web));
    Ok(())
}

#[tokio::test]
async fn a_descriptor_that_waits_for_its_machine_is_linked_with_the_one_that_is_named() -> Result<()>
{
    let Some((stage, web, _)) = found().await? else {
        return Ok(());
    };
    stage.folder("/shop", json!({})).await?;
    stage
        .provision("/shop/web", json!({"vcpu": 3, "use_prototype": null}))
        .await?;
    let said = stage
        .cli(&["adopt", "sim", &web, "--into", "/shop"])
        .await?;
    ensure!(
        said.contains("then: /shop/web: configure: cores 2 -> 3"),
        "{said}"
    );
    let node = stage.node("/shop/web").await?;
    assert_eq!(
        serde_json::to_value(&node.local_definition)?,
        json!({"vcpu": 3, "use_prototype": null})
    );
    assert_eq!(node.machine_id.as_deref(), Some(&*web));
    Ok(())
}

#[tokio::test]
async fn on_proxmox_the_mark_joins_what_stands_in_the_description() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions {
        machines: 2,
        ..FakePveOptions::default()
    })
    .await?
    else {
        return Ok(());
    };
    let text = "kept by hand\nfor years";
    site.pve
        .set_machine(100, json!({}), json!({"description": text, "cores": 3}))
        .await?;
    let said = site.cli(&["adopt", "pve", "100", "--into", "/"]).await?;
    ensure!(said.contains("1 machine adopted into /"), "{said}");
    let machine = site.pve.machine(100).await?.context("it is gone")?;
    let written = machine.value("description").unwrap_or_default();
    ensure!(
        written.starts_with(text) && written.contains("eh:"),
        "{written}"
    );
    assert_eq!(machine.status, "running");
    let other = site.pve.machine(101).await?.context("it is gone")?;
    ensure!(
        !other
            .value("description")
            .unwrap_or_default()
            .contains("eh:")
    );
    is_as_defined(&site.host, "/").await?;
    let node = site.node("/old-0").await?;
    assert_eq!(
        serde_json::to_value(&node.local_definition)?["description"],
        text
    );
    // Changed behind our back, it is drift of a machine of ours.
    site.pve
        .set_machine(100, json!({}), json!({"cores": 5}))
        .await?;
    let plan = plan(&site.host, OperationKind::Reconfigure, "/old-0").await?;
    ensure!(
        plan.contains("cores 5 -> 3") && plan.contains("drift"),
        "{plan}"
    );
    Ok(())
}
