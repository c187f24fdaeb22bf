//! What is refused, what fails, and what is nobody's.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationState, Status};
use enginehouse_sim::{Call, Fault, FaultEffect};
use serde_json::{Value, json};

use crate::{found, is_as_defined, made, operation};

#[tokio::test]
async fn of_machines_that_are_named_all_are_adopted_or_none() -> Result<()> {
    let Some((stage, web, db)) = found().await? else {
        return Ok(());
    };
    stage.folder("/shop", json!({})).await?;
    stage
        .cli(&["adopt", "sim", &web, "--into", "/shop"])
        .await?;
    for (ids, why) in [
        (
            vec![&*db, &*web],
            format!("{web} (web): it is the machine of /shop/web"),
        ),
        (vec![&*db, "m-999"], "m-999: it is not on sim".to_owned()),
    ] {
        let command = [&["adopt", "sim"][..], &ids, &["--into", "/shop"]].concat();
        let ran = stage.run(&command).await?;
        assert_eq!(ran.code, 1, "{ran:?}");
        ensure!(
            ran.err.contains(&format!("nothing is adopted: {why}")),
            "{}",
            ran.err
        );
        ensure!(!stage.is_there("/shop/db").await?);
    }
    for (command, why) in [
        (
            vec!["adopt", "sin", "--into", "/shop"],
            "there is no hypervisor `sin` at /shop",
        ),
        (vec!["adopt", "sim", "--into", "/nowhere"], "/nowhere"),
        (
            vec!["adopt", "sim", "--into", "/shop/web"],
            "is a descriptor",
        ),
        (
            vec!["adopt", "sim", "--into", "/shop", "--prototype", "big"],
            "big",
        ),
    ] {
        let ran = stage.run(&command).await?;
        ensure!(ran.code == 1 || ran.code == 2, "{ran:?}");
        ensure!(
            ran.err.contains(why) && !ran.err.contains("adoption-"),
            "{}",
            ran.err
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_machine_is_taken_once_whoever_asks_at_the_same_time() -> Result<()> {
    let Some((stage, ..)) = found().await? else {
        return Ok(());
    };
    stage.folder("/a", json!({})).await?;
    stage.folder("/b", json!({})).await?;
    let (one, other) = tokio::join!(
        stage.json(&["adopt", "sim", "--into", "/a"]),
        stage.json(&["adopt", "sim", "--into", "/b"]),
    );
    let taken = |answer: &Value| answer["adopted"].as_array().map_or(0, Vec::len);
    assert_eq!(taken(&one?) + taken(&other?), 2);
    let a = stage.is_there("/a/web").await?;
    ensure!(a != stage.is_there("/b/web").await?);
    is_as_defined(&stage.host, if a { "/a" } else { "/b" }).await
}

#[tokio::test]
async fn where_the_mark_is_refused_the_descriptor_waits_and_is_linked_later() -> Result<()> {
    let Some((stage, web, db)) = found().await? else {
        return Ok(());
    };
    stage.folder("/shop", json!({})).await?;
    stage.sim.tune(|knobs| {
        let refuses = FaultEffect::Answer {
            status: 422,
            code: "invalid".to_owned(),
            message: "not today".to_owned(),
        };
        knobs.faults = vec![Fault::once(Call::MachineUpdate, refuses)];
    })?;
    let ran = stage
        .run(&["adopt", "sim", "--into", "/shop", "-o", "json"])
        .await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    let adopted = operation(serde_json::from_str(&ran.out)?)?;
    assert_eq!(adopted.state, OperationState::Failed);
    let failed = adopted
        .children
        .iter()
        .find(|part| part.state == OperationState::Failed);
    let failed = failed.context("none failed")?.path.clone();
    let node = stage.host.client().node(&failed).await?;
    assert_eq!(node.status, Some(Status::Provisioned));
    assert_eq!(node.machine_id, None, "{node:#?}");
    let id = if failed.name() == "web" { &web } else { &db };
    // It is nobody's, and can be named.
    stage.cli(&["adopt", "sim", id, "--into", "/shop"]).await?;
    is_as_defined(&stage.host, "/shop").await
}

#[tokio::test]
async fn an_adoption_whose_answer_is_lost_or_whose_host_is_killed_takes_the_machine_once()
-> Result<()> {
    let Some((mut stage, web, _)) = found().await? else {
        return Ok(());
    };
    stage.folder("/shop", json!({})).await?;
    stage.sim.tune(|knobs| {
        knobs.faults = vec![Fault::once(Call::MachineUpdate, FaultEffect::LoseAnswer)];
    })?;
    let begun = stage
        .json(&["adopt", "sim", &web, "--into", "/shop", "--no-wait"])
        .await?;
    let begun = operation(begun)?;
    stage.host.kill().await?;
    stage.host.restart().await?;
    let ended = stage.ended(begun.number).await?;
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    is_as_defined(&stage.host, "/shop").await?;
    let machines = stage.sim.world().machines;
    let marked = machines.values().filter(|machine| !machine.mark.is_empty());
    assert_eq!(marked.count(), 1);
    Ok(())
}

#[tokio::test]
async fn an_orphan_is_listed_and_held_and_can_be_adopted() -> Result<()> {
    let Some((stage, web, _)) = found().await? else {
        return Ok(());
    };
    stage.folder("/shop", json!({})).await?;
    stage
        .cli(&["adopt", "sim", &web, "--into", "/shop"])
        .await?;
    let mark = stage
        .sim
        .world()
        .machines
        .values()
        .map(|machine| machine.mark.clone())
        .max();
    // As a backup would leave it that is older than its descriptor.
    let mark = mark.context("no mark")?;
    let parts: Vec<&str> = mark.split(':').collect();
    let lost = format!("eh:{}:0192f0c1a2b37c4d8e5f60718293a4b5:7", parts[1]);
    let orphan = made(&stage, "lost", json!({"mark": lost})).await?;
    let listed = stage.cli(&["hypervisors", "refresh", "sim"]).await?;
    ensure!(listed.contains("3 machines"), "{listed}");
    let listed = stage
        .cli(&["hypervisors", "machines", "sim", "--whose", "orphan"])
        .await?;
    ensure!(
        listed.contains(&orphan) && !listed.contains(&web),
        "{listed}"
    );
    // Nothing is done about it, whatever is done about others; a deploy of that name is refused.
    stage.provision("/shop/lost", json!({})).await?;
    let ran = stage.run(&["deploy", "/shop/lost"]).await?;
    ensure!(
        ran.code == 1 && ran.err.contains("already on sim"),
        "{ran:?}"
    );
    stage.cli(&["undeploy", "/shop", "--yes"]).await?;
    assert_eq!(stage.sim.world().machines.len(), 2);

    stage.cli(&["deprovision", "/shop/lost"]).await?;
    let said = stage
        .cli(&["adopt", "sim", &orphan, "--into", "/shop"])
        .await?;
    ensure!(said.contains("lost (orphan)"), "{said}");
    is_as_defined(&stage.host, "/shop").await?;
    let listed = stage
        .cli(&["hypervisors", "machines", "sim", "--whose", "orphan"])
        .await?;
    ensure!(!listed.contains(&orphan), "{listed}");
    Ok(())
}

#[tokio::test]
async fn a_machine_of_another_installation_is_left_to_it() -> Result<()> {
    let Some((stage, ..)) = found().await? else {
        return Ok(());
    };
    let theirs = "eh:0192f0c1a2b37c4d8e5f60718293a4b5:0192f0c1a2b37c4d8e5f60718293a4b6:7";
    made(&stage, "theirs", json!({"mark": theirs})).await?;
    stage.folder("/shop", json!({})).await?;
    let said = stage.cli(&["adopt", "sim", "--into", "/shop"]).await?;
    ensure!(
        said.contains("carries the mark of another installation of Enginehouse")
            && said.contains("2 machines adopted into /shop"),
        "{said}"
    );
    ensure!(!stage.is_there("/shop/theirs").await?);
    Ok(())
}
