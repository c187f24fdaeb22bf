//! A machine that exists is changed or removed, and the host is killed meanwhile.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, OperationKind, Params, Status};
use serde_json::{Value, json};

use crate::moment::Release::{AfterLook, Never, WhileDown};
use crate::moment::{Moment, after_ms, answered, sent, worked};
use crate::scene::Scene;

const CONFIG: &str = "/config";
const REBOOT: &str = "/status/reboot";
const RESIZE: &str = "/resize";
const SHUTDOWN: &str = "/status/shutdown";
/// What `DELETE` is about.
const MACHINE: &str = "/qemu/";

const RECONFIGURE: [Moment; 13] = [
    after_ms(0),
    sent("PUT", CONFIG, WhileDown),
    sent("PUT", CONFIG, AfterLook),
    sent("PUT", CONFIG, Never),
    worked("PUT", CONFIG),
    answered("PUT", CONFIG, 1),
    sent("POST", REBOOT, WhileDown),
    sent("POST", REBOOT, AfterLook),
    sent("POST", REBOOT, Never),
    worked("POST", REBOOT),
    answered("POST", REBOOT, 1),
    answered("GET", "qmreboot", 1),
    answered("GET", "qmreboot", 5),
];

const GROW: [Moment; 6] = [
    after_ms(0),
    sent("PUT", RESIZE, WhileDown),
    sent("PUT", RESIZE, Never),
    worked("PUT", RESIZE),
    answered("PUT", RESIZE, 1),
    answered("GET", "%3Aresize%3A", 1),
];

/// The disk is taken off, then its volume is destroyed.
const REMOVE: [Moment; 12] = [
    after_ms(0),
    sent("PUT", CONFIG, WhileDown),
    sent("PUT", CONFIG, AfterLook),
    sent("PUT", CONFIG, Never),
    worked("PUT", CONFIG),
    answered("PUT", CONFIG, 1),
    sent("PUT", CONFIG, WhileDown).of_second(),
    sent("PUT", CONFIG, AfterLook).of_second(),
    sent("PUT", CONFIG, Never).of_second(),
    worked("PUT", CONFIG).of_second(),
    answered("PUT", CONFIG, 2),
    answered("GET", CONFIG, 1),
];

const UNDEPLOY: [Moment; 13] = [
    after_ms(0),
    sent("POST", SHUTDOWN, WhileDown),
    sent("POST", SHUTDOWN, AfterLook),
    sent("POST", SHUTDOWN, Never),
    worked("POST", SHUTDOWN),
    answered("POST", SHUTDOWN, 1),
    answered("GET", "qmshutdown", 1),
    sent("DELETE", MACHINE, WhileDown),
    sent("DELETE", MACHINE, AfterLook),
    sent("DELETE", MACHINE, Never),
    worked("DELETE", MACHINE),
    answered("DELETE", MACHINE, 1),
    answered("GET", "qmdestroy", 1),
];

/// Deploys a machine without any trouble; answers its VMID.
async fn deployed(scene: &mut Scene, name: &str) -> Result<u64> {
    let path = format!("/{name}");
    scene
        .define(OperationKind::Provision, &path, json!({}))
        .await?;
    let deploy = scene
        .order(OperationKind::Deploy, &path, Params::default())
        .await?;
    scene.succeeds(deploy).await?;
    Ok(scene.only(name, deploy).await?.vmid)
}

fn set(key: &[&str], value: Value) -> Params {
    Params {
        changes: vec![Change::Set {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            value,
        }],
        ..Params::default()
    }
}

/// Orders it, kills the host at that moment, and waits until the next host has finished it.
async fn survive(
    scene: &mut Scene,
    kind: OperationKind,
    path: &str,
    params: Params,
    moment: &Moment,
) -> Result<()> {
    let began = Instant::now();
    let killed = async {
        let (number, killed) = scene.kill_during(kind, path, params, moment).await?;
        scene.recover(moment, &killed).await?;
        scene.succeeds(number).await?;
        scene.knows_all().await?;
        Ok::<_, anyhow::Error>(killed)
    };
    let killed = killed
        .await
        .with_context(|| format!("{kind} killed at {moment:?}"))?;
    let took = began.elapsed();
    eprintln!("{kind} {:?}: {took:.1?}, {}", moment.when, killed.story);
    Ok(())
}

/// `PUT …/config` and `POST …/status/reboot` that took effect.
async fn written_and_rebooted(scene: &Scene, id: u64) -> Result<(usize, usize)> {
    let about = format!("/qemu/{id}/");
    let put = "PUT /nodes/{node}/qemu/{vmid}/config";
    let reboot = "POST /nodes/{node}/qemu/{vmid}/status/reboot";
    Ok((
        scene.effects(put, &about).await?,
        scene.effects(reboot, &about).await?,
    ))
}

#[tokio::test]
async fn a_change_with_a_restart_survives_a_kill() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    let id = deployed(&mut scene, "vm").await?;
    for (at, moment) in RECONFIGURE.iter().enumerate() {
        let (written, rebooted) = written_and_rebooted(&scene, id).await?;
        let gib = at + 3;
        let params = set(&["memory"], json!(format!("{gib}GiB")));
        survive(
            &mut scene,
            OperationKind::Reconfigure,
            "/vm",
            params,
            moment,
        )
        .await?;
        let machine = scene.pve.machine(id).await?.context("it is gone")?;
        let mib = (gib * 1024).to_string();
        ensure!(
            machine.value("memory") == Some(mib),
            "{moment:?} {machine:#?}"
        );
        ensure!(
            machine.status == "running" && machine.pending.is_empty(),
            "{machine:#?}"
        );
        let after = written_and_rebooted(&scene, id).await?;
        ensure!(
            after == (written + 1, rebooted + 1),
            "{moment:?}: {after:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_grows_survives_a_kill() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    let id = deployed(&mut scene, "vm").await?;
    for (at, moment) in GROW.iter().enumerate() {
        let gib = at + 9;
        let params = set(&["disks", "root", "size"], json!(format!("{gib}GiB")));
        survive(
            &mut scene,
            OperationKind::Reconfigure,
            "/vm",
            params,
            moment,
        )
        .await?;
        let machine = scene.pve.machine(id).await?.context("it is gone")?;
        let disk = machine.value("scsi0").unwrap_or_default();
        ensure!(
            disk.ends_with(&format!("size={gib}G")),
            "{moment:?} {machine:#?}"
        );
        ensure!(machine.value("scsi1").is_none(), "{machine:#?}");
        ensure!(machine.status == "running", "{machine:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_removed_survives_a_kill() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    let id = deployed(&mut scene, "vm").await?;
    let others = volumes(&scene, id).await?;
    for moment in &REMOVE {
        let data = json!({"size": "4GiB", "storage": "local-lvm"});
        let add = set(&["disks", "data"], data);
        let kind = OperationKind::Reconfigure;
        let added = scene.order(kind, "/vm", add).await?;
        scene.succeeds(added).await?;
        ensure!(volumes(&scene, id).await?.len() == others.len() + 1);
        let (written, _) = written_and_rebooted(&scene, id).await?;
        let remove = Params {
            changes: vec![Change::Unset {
                key: vec!["disks".to_owned(), "data".to_owned()],
            }],
            confirm_destructive: true,
            ..Params::default()
        };
        survive(&mut scene, kind, "/vm", remove, moment).await?;
        let machine = scene.pve.machine(id).await?.context("it is gone")?;
        let left = ["scsi1", "unused0"].map(|key| machine.value(key));
        ensure!(left == [None, None], "{moment:?} {machine:#?}");
        ensure!(
            machine.status == "running" && machine.pending.is_empty(),
            "{machine:#?}"
        );
        ensure!(volumes(&scene, id).await? == others, "{moment:?}");
        let (after, _) = written_and_rebooted(&scene, id).await?;
        ensure!(
            after == written + 2,
            "{moment:?}: {after}, not {written} + 2"
        );
    }
    Ok(())
}

/// The volumes of a machine, wherever they are.
async fn volumes(scene: &Scene, id: u64) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for storage in ["local-lvm", "ceph-pool"] {
        all.extend(scene.pve.volumes(storage).await?);
    }
    all.retain(|name| name.contains(&format!("vm-{id}-")));
    Ok(all)
}

#[tokio::test]
async fn an_end_of_a_machine_survives_a_kill() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    let stays = deployed(&mut scene, "stays").await?;
    for (at, moment) in UNDEPLOY.iter().enumerate() {
        let name = format!("vm{at:02}");
        let path = format!("/{name}");
        let id = deployed(&mut scene, &name).await?;
        let destroyed = scene
            .effects("DELETE /nodes/{node}/qemu/{vmid}", "")
            .await?;
        let yes = Params {
            confirm_destructive: true,
            ..Params::default()
        };
        survive(&mut scene, OperationKind::Undeploy, &path, yes, moment).await?;
        let left: Vec<u64> = scene
            .pve
            .created()
            .await?
            .iter()
            .map(|vm| vm.vmid)
            .collect();
        ensure!(left == [stays], "{moment:?}: {left:?}, not without {id}");
        let node = scene.host.client().node(&path.parse()?).await?;
        ensure!(node.status == Some(Status::Provisioned), "{node:#?}");
        ensure!(node.machine_id.is_none(), "{node:#?}");
        let after = scene
            .effects("DELETE /nodes/{node}/qemu/{vmid}", "")
            .await?;
        ensure!(
            after == destroyed + 1,
            "{moment:?}: destroyed {after} times"
        );
    }
    Ok(())
}
