//! Network cards come, change and go with a `reconfigure`, and are brought back when somebody else
//! changes them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use enginehouse_api::{Operation, OperationKind, Params};
use enginehouse_tests::PveMachine;
use serde_json::json;

use crate::{changing, set, there, wired};

const RECONFIGURE: OperationKind = OperationKind::Reconfigure;
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// Model, bridge and tag, without the address: `net0=virtio,bridge=vmbr0,tag=10`.
fn cards(machine: &PveMachine) -> Vec<String> {
    let slots = machine.config.keys().filter(|key| key.starts_with("net"));
    let shown = slots.map(|slot| {
        let value = machine.value(slot).unwrap_or_default();
        let model = value.split('=').next().unwrap_or_default();
        let rest = value.split_once(',').map_or("", |(_, rest)| rest);
        format!("{slot}={model},{rest}")
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort_unstable();
    shown
}

/// The address of a card.
fn mac(machine: &PveMachine, slot: &str) -> Result<String> {
    let value = machine.value(slot).with_context(|| format!("no {slot}"))?;
    let first = value.split(',').next().unwrap_or_default();
    let (_, mac) = first.split_once('=').context("no address")?;
    Ok(mac.to_owned())
}

fn steps(operation: &Operation) -> Vec<&str> {
    let steps = operation.steps.iter();
    steps.map(|step| step.action.as_str()).collect()
}

async fn until(what: &str, is: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is().await? {
        if began.elapsed() > PATIENCE {
            bail!("it did not come to this: {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

#[tokio::test]
async fn cards_come_change_and_go_and_keep_their_addresses() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let before = there(&site, vmid).await?;
    assert_eq!(
        cards(&before),
        [
            "net0=virtio,bridge=vmbr0,tag=10",
            "net1=virtio,bridge=vmbr9"
        ]
    );
    let (lan, wan) = (mac(&before, "net0")?, mac(&before, "net1")?);

    // Another VLAN, another bridge, another card; in one order.
    let changes = vec![
        set(&["nics", "lan", "vlan"], json!(20)),
        set(&["nics", "wan", "network"], json!("vmbr7")),
        set(&["nics", "dmz"], json!({"network": "vmbr5", "vlan": 5})),
    ];
    let ended = site.order(RECONFIGURE, "/vm1", changing(changes)).await?;
    assert_eq!(steps(&ended), ["nic-add", "nic-change", "nic-change"]);
    let changed = there(&site, vmid).await?;
    assert_eq!(
        cards(&changed),
        [
            "net0=virtio,bridge=vmbr0,tag=20",
            "net1=virtio,bridge=vmbr7",
            "net2=virtio,bridge=vmbr5,tag=5",
        ]
    );
    assert_eq!((mac(&changed, "net0")?, mac(&changed, "net1")?), (lan, wan));
    ensure!(changed.pending.is_empty(), "{changed:#?}");
    let plan = site.cli(&["plan", "/vm1"]).await?;
    ensure!(plan.contains("as it is defined"), "{plan}");

    // The address and the model of one, which the definition says now.
    let changes = vec![
        set(&["nics", "dmz", "mac"], json!("02:00:00:00:00:0a")),
        set(&["nics", "dmz", "adapter"], json!("e1000")),
    ];
    site.order(RECONFIGURE, "/vm1", changing(changes)).await?;
    let changed = there(&site, vmid).await?;
    assert_eq!(cards(&changed)[2], "net2=e1000,bridge=vmbr5,tag=5");
    assert_eq!(mac(&changed, "net2")?, "02:00:00:00:00:0A");

    // One goes, after a yes; the next new one takes its place.
    let without = ["reconfigure", "/vm1", "--unset", "nics.wan"];
    let (code, said) = site.cli_fails(&without).await?;
    ensure!(code == 2 && said.contains("nic wan of /vm1"), "{said}");
    site.cli(&[without.as_slice(), &["--yes"]].concat()).await?;
    let slots: Vec<String> = cards(&there(&site, vmid).await?);
    ensure!(
        slots.len() == 2 && slots[1].starts_with("net2="),
        "{slots:?}"
    );
    let other = set(&["nics", "other"], json!({"network": "vmbr3"}));
    site.order(RECONFIGURE, "/vm1", changing(vec![other]))
        .await?;
    assert_eq!(
        cards(&there(&site, vmid).await?)[1],
        "net1=virtio,bridge=vmbr3"
    );
    let plan = site.cli(&["plan", "/vm1"]).await?;
    ensure!(plan.contains("as it is defined"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn a_card_that_somebody_changes_or_takes_away_is_brought_back() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let entry = site.entry_with(json!({"observe": {"interval_s": 1, "full_s": 1}}));
    site.set_root(entry).await?;
    site.cli(&["edit", "/", "policy=benign"]).await?;
    let before = there(&site, vmid).await?;
    let lan = mac(&before, "net0")?;
    let moved = format!("virtio={lan},bridge=vmbr4,firewall=1,tag=30");
    site.pve
        .set_machine(vmid, json!({}), json!({"net0": moved}))
        .await?;
    // The guest notices: under this policy it is shown and left.
    until("both are shown", async || {
        let drift = site.node("/vm1").await?.drift;
        let mut fields: Vec<_> = drift
            .iter()
            .filter(|drift| drift.not_repaired.is_some())
            .map(|drift| (drift.field.as_str(), drift.observed.as_str()))
            .collect();
        fields.sort_unstable();
        Ok(fields == [("nics.lan.network", "vmbr4"), ("nics.lan.vlan", "30")])
    })
    .await?;
    assert_eq!(there(&site, vmid).await?.value("net0"), Some(moved));
    let disruptive = ["edit", "/", "policy=disruptive", "--lower-protection"];
    site.cli(&disruptive).await?;
    until("it is brought back", async || {
        let card = there(&site, vmid).await?.value("net0").unwrap_or_default();
        Ok(card == format!("virtio={lan},bridge=vmbr0,firewall=1,tag=10"))
    })
    .await?;
    until("the drift is gone", async || {
        Ok(site.node("/vm1").await?.drift.is_empty())
    })
    .await?;

    // One that is gone is added again.
    let url = format!("{}/api2/json/nodes/pve1/qemu/{vmid}/config", site.pve.url());
    let removed = site.pve.client()?.put(url).json(&json!({"delete": "net1"}));
    removed.send().await?.error_for_status()?;
    until("it is there again", async || {
        let cards = cards(&there(&site, vmid).await?);
        Ok(cards.iter().any(|card| card == "net1=virtio,bridge=vmbr9"))
    })
    .await?;
    until("the drift is gone", async || {
        Ok(site.node("/vm1").await?.drift.is_empty())
    })
    .await?;
    let listed = site.cli(&["ops", "list", "--path", "/vm1", "-o", "json"]);
    let operations = listed.await?;
    ensure!(operations.contains("reconciler"), "{operations}");
    Ok(())
}

#[tokio::test]
async fn a_card_whose_answer_is_refused_is_changed_by_the_next_order() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let before = there(&site, vmid).await?;
    site.pve
        .fail("PUT", "/config", "permission_denied", Some(1))
        .await?;
    let change = changing(vec![set(&["nics", "lan", "vlan"], json!(20))]);
    let refused = site.end(RECONFIGURE, "/vm1", change).await?;
    let error = refused.error.context("it did not fail")?;
    ensure!(error.code == "denied", "{error:#?}");
    assert_eq!(there(&site, vmid).await?.config, before.config);
    site.order(RECONFIGURE, "/vm1", Params::default()).await?;
    let after = there(&site, vmid).await?;
    assert_eq!(cards(&after)[0], "net0=virtio,bridge=vmbr0,tag=20");
    assert_eq!(mac(&after, "net0")?, mac(&before, "net0")?);
    Ok(())
}

#[tokio::test]
async fn addresses_that_this_engine_does_not_set_are_refused_by_the_plan() -> Result<()> {
    let Some((site, vmid)) = wired().await? else {
        return Ok(());
    };
    let before = there(&site, vmid).await?;
    let change = changing(vec![set(
        &["nics", "lan", "addresses"],
        json!(["192.0.2.10/24"]),
    )]);
    let refused = site.end(RECONFIGURE, "/vm1", change).await?;
    let error = refused.error.context("it did not fail")?;
    let said = "the engine proxmox does not set the addresses of a nic";
    ensure!(error.message.contains("nics.lan.addresses: "), "{error:#?}");
    ensure!(error.message.contains(said), "{error:#?}");
    assert_eq!(there(&site, vmid).await?.config, before.config);
    Ok(())
}
