//! The host is killed while it recovers from being killed; and many machines at once.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params};
use enginehouse_model::OperationId;
use serde_json::json;

use crate::clone::is_deployed_once;
use crate::moment::Release::{AfterLook, Never, WhileDown};
use crate::moment::{Moment, after_ms, answered, sent, worked};
use crate::scene::{Killed, Scene};

const CLONE: &str = "/clone";
const CONFIG: &str = "/config";
const START: &str = "/status/start";

/// Where the host is killed, and then each one after it.
const ROWS: [&[Moment]; 5] = [
    &[
        worked("POST", CLONE),
        sent("GET", CONFIG, Never),
        worked("GET", "/tasks"),
        answered("GET", "qmclone", 1),
    ],
    &[
        sent("POST", CLONE, AfterLook),
        answered("GET", CONFIG, 1),
        after_ms(0),
    ],
    &[
        sent("POST", CLONE, WhileDown),
        after_ms(0),
        after_ms(5),
        after_ms(20),
    ],
    &[
        answered("POST", CLONE, 1),
        worked("PUT", CONFIG),
        worked("POST", START),
        worked("GET", "qmstart"),
    ],
    &[
        worked("POST", START),
        worked("GET", "/status/current"),
        after_ms(10),
    ],
];

#[tokio::test]
async fn a_deployment_survives_kills_while_it_recovers() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    for (at, row) in ROWS.iter().enumerate() {
        let name = format!("vm{at:02}");
        let path = format!("/{name}");
        scene
            .define(OperationKind::Provision, &path, json!({}))
            .await?;
        let before = scene.proxy.exchanges().len();
        let (first, others) = row.split_first().context("no moment")?;
        let (number, mut killed) = scene
            .kill_during(OperationKind::Deploy, &path, Params::default(), first)
            .await?;
        let mut last = first;
        for next in others {
            killed = again(&mut scene, number, last, &killed, next)
                .await
                .with_context(|| format!("row {at}, killed at {next:?}"))?;
            last = next;
        }
        scene.recover(last, &killed).await?;
        scene.succeeds(number).await?;
        scene.knows_all().await?;
        is_deployed_once(&scene, &name, number, before)
            .await
            .with_context(|| format!("row {at}"))?;
        ensure!(scene.pve.created().await?.len() == at + 1, "row {at}");
        eprintln!("row {at}, the last one was killed after: {}", killed.story);
    }
    Ok(())
}

/// Lets the host recover from one kill, and kills it at the next moment.
async fn again(
    scene: &mut Scene,
    number: OperationId,
    last: &Moment,
    killed: &Killed,
    next: &Moment,
) -> Result<Killed> {
    let before = next.arm(&scene.proxy);
    scene.recover(last, killed).await?;
    // Where recovering takes longer than the task, there is less to be asked: then it is the end.
    tokio::select! {
        biased;
        come = next.comes(&scene.proxy, before) => come?,
        ended = scene.end(number) => drop(ended?),
    }
    scene.kill(number).await
}

#[tokio::test]
async fn a_folder_of_machines_is_deployed_although_the_host_is_killed() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    const MACHINES: usize = 5;
    for (at, moment) in [
        after_ms(0),
        answered("POST", CLONE, 3),
        answered("GET", "qmclone", 6),
        worked("POST", START),
    ]
    .iter()
    .enumerate()
    {
        let folder = format!("/web{at}");
        scene
            .define(OperationKind::CreateFolder, &folder, json!({}))
            .await?;
        for machine in 0..MACHINES {
            let path = format!("{folder}/web{at}-{machine}");
            scene
                .define(OperationKind::Provision, &path, json!({}))
                .await?;
        }
        let (parent, killed) = scene
            .kill_during(OperationKind::Deploy, &folder, Params::default(), moment)
            .await?;
        scene.recover(moment, &killed).await?;
        let ended = scene.succeeds(parent).await?;
        scene.knows_all().await?;
        ensure!(ended.children.len() == MACHINES, "{ended:#?}");
        for child in &ended.children {
            ensure!(child.state == OperationState::Succeeded, "{child:#?}");
            let name = child.path.name();
            let machine = scene.only(name, child.number).await?;
            ensure!(machine.status == "running", "{machine:#?}");
            let clone = "POST /nodes/{node}/qemu/{vmid}/clone";
            let times = scene.effects(clone, &format!("name={name}")).await?;
            ensure!(times == 1, "{name} was cloned {times} times");
        }
        let machines = scene.pve.created().await?.len();
        ensure!(machines == MACHINES * (at + 1), "{machines} machines");
    }
    Ok(())
}
