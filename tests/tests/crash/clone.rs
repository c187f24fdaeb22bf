//! A machine is deployed, and the host is killed meanwhile.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, Params, Status};
use enginehouse_model::OperationId;
use enginehouse_tests::Exchange;
use serde_json::json;
use tokio::task::JoinSet;

use crate::moment::Release::{AfterLook, Never, WhileDown};
use crate::moment::{Moment, after_ms, answered, sent, worked};
use crate::scene::{Killed, Scene};

/// Hosts that are killed at the same time, each with a hypervisor of its own.
const SCENES: usize = 4;

const CLONE: &str = "/clone";
const CONFIG: &str = "/config";
const START: &str = "/status/start";
/// In the path of a request about the task.
const CLONING: &str = "qmclone";
const STARTING: &str = "qmstart";

/// The moments, in the order of a deployment's life.
const MOMENTS: [(&str, Moment); 31] = [
    ("acknowledged", after_ms(0)),
    ("the first request is sent", sent("GET", "/version", Never)),
    ("the list is asked for", sent("GET", "/resources", Never)),
    ("the list is there", answered("GET", "/resources", 1)),
    ("the template is found", answered("GET", "/resources", 2)),
    ("clone sent, arrives late", sent("POST", CLONE, WhileDown)),
    (
        "clone sent, arrives after it was looked for",
        sent("POST", CLONE, AfterLook),
    ),
    ("clone sent, never arrives", sent("POST", CLONE, Never)),
    ("clone begun, no answer", worked("POST", CLONE)),
    ("clone answered", answered("POST", CLONE, 1)),
    ("first poll of the clone", sent("GET", CLONING, Never)),
    ("first poll without answer", worked("GET", CLONING)),
    ("one answer about the clone", answered("GET", CLONING, 1)),
    ("three answers about the clone", answered("GET", CLONING, 3)),
    ("the last poll of the clone", answered("GET", CLONING, 5)),
    ("the new machine is looked at", sent("GET", CONFIG, Never)),
    ("no answer about the new machine", worked("GET", CONFIG)),
    ("the new machine was looked at", answered("GET", CONFIG, 1)),
    (
        "configure sent, arrives late",
        sent("PUT", CONFIG, WhileDown),
    ),
    (
        "configure sent, arrives after it was looked for",
        sent("PUT", CONFIG, AfterLook),
    ),
    ("configure sent, never arrives", sent("PUT", CONFIG, Never)),
    ("configured, no answer", worked("PUT", CONFIG)),
    ("configured", answered("PUT", CONFIG, 1)),
    ("start sent, arrives late", sent("POST", START, WhileDown)),
    (
        "start sent, arrives after it was looked for",
        sent("POST", START, AfterLook),
    ),
    ("start sent, never arrives", sent("POST", START, Never)),
    ("starting, no answer", worked("POST", START)),
    ("start answered", answered("POST", START, 1)),
    ("first poll of the start", sent("GET", STARTING, Never)),
    ("one answer about the start", answered("GET", STARTING, 1)),
    (
        "three answers about the start",
        answered("GET", STARTING, 3),
    ),
];

/// Milliseconds after the acknowledgement.
const SWEEP: [u64; 12] = [2, 5, 10, 20, 30, 45, 60, 100, 200, 400, 800, 1200];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_survives_a_kill_at_every_moment() -> Result<()> {
    let mut moments: Vec<(String, Moment)> = MOMENTS
        .iter()
        .map(|(name, moment)| ((*name).to_owned(), *moment))
        .collect();
    for millis in SWEEP {
        moments.push((
            format!("{millis} ms after the acknowledgement"),
            after_ms(millis),
        ));
    }
    let mut scenes = JoinSet::new();
    for first in 0..SCENES {
        let share: Vec<(usize, String, Moment)> = moments
            .iter()
            .enumerate()
            .filter(|(at, _)| at % SCENES == first)
            .map(|(at, (name, moment))| (at, name.clone(), *moment))
            .collect();
        scenes.spawn(in_one_scene(share));
    }
    while let Some(ended) = scenes.join_next().await {
        ended??;
    }
    Ok(())
}

/// Case 13, its first half; the second is in `doubt`.
#[tokio::test]
async fn case_13_a_clone_without_an_answer_is_found_although_its_mark_shows_late() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    let killed = kill_and_recover(&mut scene, "vm", &worked("POST", CLONE)).await?;
    ensure!(killed.story.ends_with("sending"), "{}", killed.story);
    ensure!(scene.pve.created().await?.len() == 1);
    // Not even a request that would have been refused.
    ensure!(scene.proxy.count("POST", CLONE) == 1);
    Ok(())
}

async fn in_one_scene(moments: Vec<(usize, String, Moment)>) -> Result<()> {
    let Some(mut scene) = Scene::start().await? else {
        return Ok(());
    };
    for (done, (at, what, moment)) in moments.into_iter().enumerate() {
        let name = format!("vm{at:02}");
        let began = Instant::now();
        let killed = kill_and_recover(&mut scene, &name, &moment)
            .await
            .with_context(|| format!("killed at {what:?}"))?;
        let machines = scene.pve.created().await?.len();
        ensure!(machines == done + 1, "{machines} machines after {what:?}");
        eprintln!(
            "{what}: {:.1?}, killed after: {}",
            began.elapsed(),
            killed.story
        );
    }
    Ok(())
}

async fn kill_and_recover(scene: &mut Scene, name: &str, moment: &Moment) -> Result<Killed> {
    let path = format!("/{name}");
    scene
        .define(OperationKind::Provision, &path, json!({}))
        .await?;
    let first = scene.proxy.exchanges().len();
    let (number, killed) = scene
        .kill_during(OperationKind::Deploy, &path, Params::default(), moment)
        .await?;
    scene.recover(moment, &killed).await?;
    scene.succeeds(number).await?;
    scene.knows_all().await?;
    is_deployed_once(scene, name, number, first).await?;
    polled_what_was_journalled(&scene.proxy.exchanges(), first, &killed)?;
    Ok(killed)
}

/// One machine as defined, and nothing was done twice. `first`: requests before the deployment.
pub async fn is_deployed_once(
    scene: &Scene,
    name: &str,
    number: OperationId,
    first: usize,
) -> Result<()> {
    let machine = scene.only(name, number).await?;
    let id = machine.vmid.to_string();
    ensure!(machine.status == "running", "{machine:#?}");
    ensure!(machine.lock.is_none(), "{machine:#?}");
    ensure!(
        machine.value("cores").as_deref() == Some("2"),
        "{machine:#?}"
    );
    ensure!(
        machine.value("memory").as_deref() == Some("2048"),
        "{machine:#?}"
    );
    let node = scene
        .host
        .client()
        .node(&format!("/{name}").parse()?)
        .await?;
    ensure!(node.machine_id.as_deref() == Some(&id), "{node:#?}");
    ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    ensure!(node.pending_changes.is_empty(), "{node:#?}");

    let about = format!("/qemu/{id}/");
    for (request, holds) in [
        (
            "POST /nodes/{node}/qemu/{vmid}/clone",
            format!("name={name}"),
        ),
        ("PUT /nodes/{node}/qemu/{vmid}/config", about.clone()),
        ("POST /nodes/{node}/qemu/{vmid}/status/start", about),
    ] {
        let times = scene.effects(request, &holds).await?;
        ensure!(times == 1, "{request} took effect {times} times");
    }
    let exchanges = scene.proxy.exchanges();
    let clones = tasks(exchanges.iter().skip(first), CLONING);
    ensure!(clones.len() <= 1, "several clones were polled: {clones:?}");
    Ok(())
}

/// The task that was journalled is the one that is polled afterwards.
fn polled_what_was_journalled(exchanges: &[Exchange], first: usize, killed: &Killed) -> Result<()> {
    let Some(task) = killed
        .task
        .as_deref()
        .and_then(|task| task.strip_prefix("upid:"))
    else {
        return Ok(());
    };
    for kind in [CLONING, STARTING] {
        if task.contains(kind) {
            let after = tasks(exchanges.iter().skip(killed.requests), kind);
            let all = tasks(exchanges.iter().skip(first), kind);
            let only = BTreeSet::from([task.to_owned()]);
            ensure!(
                after == only && all == only,
                "{task} was journalled, polled: {all:?}"
            );
        }
    }
    Ok(())
}

/// UPIDs of tasks that were asked about.
fn tasks<'a>(exchanges: impl Iterator<Item = &'a Exchange>, kind: &str) -> BTreeSet<String> {
    exchanges
        .filter_map(|exchange| {
            let (_, rest) = exchange.path.split_once("/tasks/")?;
            let (upid, _) = rest.split_once('/')?;
            Some(
                upid.replace("%3A", ":")
                    .replace("%40", "@")
                    .replace("%21", "!"),
            )
        })
        .filter(|upid| upid.contains(kind))
        .collect()
}
