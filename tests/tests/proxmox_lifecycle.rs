//! A machine lives and dies on a Proxmox API, through the real host, the sandboxed engine and HTTPS.
//! What is so is looked up on both sides.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, Params, Status};
use enginehouse_tests::{FakePve, FakePveOptions, PveMachine, Site, confirmed};
use serde_json::json;

const MIB: u64 = 1 << 20;

/// The machine of that VMID as fakepve has it.
async fn there(pve: &FakePve, vmid: u64) -> Result<PveMachine> {
    let machine = pve.machine(vmid).await?;
    machine.with_context(|| format!("fakepve has no machine {vmid}"))
}

/// Cores, memory in MiB, and the disk `scsi0`.
fn size(machine: &PveMachine) -> (String, String, String) {
    let value = |key| machine.value(key).unwrap_or_default();
    let disk = value("scsi0");
    let size = disk.split("size=").nth(1).unwrap_or_default().to_owned();
    (value("cores"), value("memory"), size)
}

fn sized(cores: &str, memory: &str, disk: &str) -> (String, String, String) {
    (cores.to_owned(), memory.to_owned(), disk.to_owned())
}

/// The description ends with exactly one mark of ours; answers what a person wrote before it, and
/// the mark.
fn description(machine: &PveMachine) -> Result<(String, String)> {
    let text = machine.value("description").context("no description")?;
    let (written, rest) = text
        .split_once("<!-- enginehouse: ")
        .with_context(|| format!("no mark in {text:?}"))?;
    let mark = rest.trim_end().strip_suffix(" -->").context("no end")?;
    ensure!(!mark.contains("enginehouse"), "two marks in {text:?}");
    Ok((written.trim_end().to_owned(), mark.to_owned()))
}

#[tokio::test]
async fn a_machine_lives_and_dies() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let pve = &site.pve;
    site.cli(&["folder", "create", "/web", "memory=2GiB"])
        .await?;
    site.cli(&[
        "folder",
        "create",
        "/web/front",
        "vcpu=2",
        "description=front end\nof the shop",
    ])
    .await?;

    // Provisioned: only a plan, and nothing on the other side.
    site.cli(&["provision", "/web/front/vm1", "disks.root.size=20GiB"])
        .await?;
    let node = site.node("/web/front/vm1").await?;
    assert_eq!(node.status, Some(Status::Provisioned));
    assert_eq!(node.machine_id, None);
    let plan = site.cli(&["plan", "/web/front/vm1"]).await?;
    ensure!(plan.contains("create") && plan.contains("start"), "{plan}");
    assert_eq!(pve.created().await?.len(), 0);
    let changing = |method: &str| method != "GET";
    let sent = pve.exchanges().await?;
    ensure!(!sent.iter().any(|seen| changing(&seen.method)), "{sent:#?}");

    // Deployed: a clone of the template, configured, grown and running.
    let said = site.cli(&["deploy", "/web/front/vm1"]).await?;
    ensure!(
        said.starts_with("deployed /web/front/vm1 (machine 100"),
        "{said}"
    );
    let vmid = site.vmid("/web/front/vm1").await?;
    let machine = there(pve, vmid).await?;
    assert_eq!(machine.name, "vm1");
    assert_eq!(machine.status, "running");
    assert_eq!(size(&machine), sized("2", "2048", "20G"));
    assert_eq!(machine.lock, None);
    let (written, mark) = description(&machine)?;
    assert_eq!(written, "front end\nof the shop");
    let node = site.node("/web/front/vm1").await?;
    assert_eq!(node.status, Some(Status::Deployed));
    let config = node.deployed_config.context("no deployed config")?;
    assert_eq!((config.vcpu, config.memory), (Some(2), Some(2048 * MIB)));
    assert_eq!(pve.created().await?.len(), 1);

    // Every value says where it came from.
    let origins = site.cli(&["show", "/web/front/vm1", "--origins"]).await?;
    for (value, origin) in [
        ("20 GiB", "/web/front/vm1"),
        ("2 GiB", "/web"),
        ("front end", "/web/front"),
        ("9000", "/ via small (/)"),
    ] {
        let line = origins.lines().find(|line| line.contains(value));
        let line = line.with_context(|| format!("no {value} in {origins}"))?;
        ensure!(line.trim_end().ends_with(origin), "{line:?}: {origins}");
    }

    // Changed through `reconfigure`: written, and the mark stays.
    let change = [
        "reconfigure",
        "/web/front/vm1",
        "description=back end",
        "disks.root.size=24GiB",
    ];
    site.cli(&change).await?;
    let machine = there(pve, vmid).await?;
    assert_eq!(size(&machine), sized("2", "2048", "24G"));
    assert_eq!(
        description(&machine)?,
        ("back end".to_owned(), mark.clone())
    );
    assert_eq!(machine.status, "running");

    site.cli(&["stop", "/web/front/vm1"]).await?;
    assert_eq!(there(pve, vmid).await?.status, "stopped");
    // While it is stopped, memory and cores are written at once.
    site.cli(&["reconfigure", "/web/front/vm1", "memory=3GiB", "vcpu=4"])
        .await?;
    let machine = there(pve, vmid).await?;
    assert_eq!(size(&machine), sized("4", "3072", "24G"));
    assert_eq!(machine.status, "stopped", "a person's stop stays");
    site.cli(&["start", "/web/front/vm1"]).await?;
    assert_eq!(there(pve, vmid).await?.status, "running");
    site.cli(&["restart", "/web/front/vm1"]).await?;
    let machine = there(pve, vmid).await?;
    assert_eq!(machine.status, "running");
    assert_eq!(description(&machine)?, ("back end".to_owned(), mark));

    // Gone, with its disks; the descriptor stays until it is deprovisioned.
    let (code, said) = site.cli_fails(&["undeploy", "/web/front/vm1"]).await?;
    assert_eq!(code, 2);
    ensure!(said.contains("--yes"), "{said}");
    site.cli(&["undeploy", "/web/front/vm1", "--yes"]).await?;
    assert_eq!(pve.created().await?.len(), 0);
    let node = site.node("/web/front/vm1").await?;
    assert_eq!(node.status, Some(Status::Provisioned));
    assert_eq!((node.machine_id, node.deployed_config), (None, None));
    site.cli(&["deprovision", "/web/front/vm1"]).await?;
    let (_, said) = site.cli_fails(&["show", "/web/front/vm1"]).await?;
    ensure!(said.contains("/web/front/vm1"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_machine_is_made_from_scratch() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let definition = json!({
        "use_prototype": null,
        "vcpu": 2,
        "memory": "2GiB",
        "description": "from nothing",
        "disks": {"root": {"size": "10GiB"}, "data": {"size": "4GiB"}},
        "nics": {"lan": {"network": "vmbr0", "vlan": 12}},
        "settings": {"tags": ["web", "blue"], "onboot": true},
    });
    site.provision("/scratch", definition).await?;
    site.order(OperationKind::Deploy, "/scratch", Params::default())
        .await?;
    let vmid = site.vmid("/scratch").await?;
    let machine = there(&site.pve, vmid).await?;
    assert_eq!(machine.status, "running");
    assert_eq!(size(&machine), sized("2", "2048", "10G"));
    assert_eq!(description(&machine)?.0, "from nothing");
    let value = |key: &str| machine.value(key).unwrap_or_default();
    ensure!(value("scsi1").contains("size=4G"), "{:?}", machine.config);
    ensure!(
        value("net0").contains("bridge=vmbr0,tag=12"),
        "{:?}",
        machine.config
    );
    assert_eq!(value("tags"), "blue;web");
    assert_eq!(value("onboot"), "1");

    site.order(OperationKind::Undeploy, "/scratch", confirmed())
        .await?;
    assert_eq!(site.pve.created().await?.len(), 0);
    Ok(())
}
