//! A backup is made while the host runs, and restored after more was done.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params};
use enginehouse_tests::Stage;
use serde_json::json;

use crate::scene::{json as json_of, waits_for_task, when};

#[tokio::test]
async fn a_restored_host_is_on_hold_until_somebody_says_resume() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    for path in ["/a", "/b"] {
        stage.provision(path, json!({})).await?;
    }
    stage.deploy("/a").await?;
    // The backup is made while `/b` is being created, and its creation ends after it.
    stage.sim.tune(|knobs| knobs.task_ms = 6_000)?;
    let b = stage
        .begin(OperationKind::Deploy, "/b", Params::default())
        .await?
        .number;
    when(&stage, b, waits_for_task).await?;
    let files = tempfile::tempdir()?;
    let file = files.path().join("monday.db");
    let name = file.to_str().context("a name")?;
    let made = json_of(&stage, &["backup", name]).await?;
    ensure!(made["last_operation"] == json!(b), "{made}");
    let found = std::fs::metadata(&file)?;
    ensure!(found.permissions().mode() & 0o777 == 0o600, "{found:?}");
    ensure!(made["bytes"] == json!(found.len()), "{made}");

    let again = stage.run(&["backup", name]).await?;
    ensure!(
        again.code == 2 && again.err.contains("--force"),
        "{again:?}"
    );
    ensure!(std::fs::read_dir(files.path())?.count() == 1);
    let forced = stage.run(&["backup", name, "--force"]).await?;
    ensure!(forced.code == 0, "{forced:?}");
    for part in ["secret", "token", "engines"] {
        ensure!(forced.out.contains(part), "{forced:?}");
    }

    // What comes after the backup.
    stage.sim.tune(|knobs| knobs.task_ms = 10)?;
    stage.ended(b).await?;
    stage.provision("/late", json!({})).await?;
    let late = stage.deploy("/late").await?.number;

    let running = stage.run(&["restore", name]).await?;
    ensure!(running.code == 1, "{running:?}");
    ensure!(running.err.contains("in use"), "{running:?}");

    stage.host.kill().await?;
    let restored = stage.run(&["restore", name]).await?;
    ensure!(restored.code == 0, "{restored:?}");
    ensure!(
        restored.out.contains("1 of them unfinished"),
        "{restored:?}"
    );
    ensure!(restored.out.contains("before-restore-1"), "{restored:?}");
    ensure!(restored.out.contains("enginehouse resume"), "{restored:?}");
    stage.host.restart().await?;

    let requests = stage.sim.requests().total();
    let hold = stage
        .host
        .client()
        .info()
        .await?
        .on_hold
        .context("no hold")?;
    ensure!(hold.last_operation == b, "{hold:?}");
    ensure!(hold.next_operation > late, "{hold:?}");
    let whoami = stage.run(&["whoami"]).await?;
    ensure!(whoami.err.contains("enginehouse resume"), "{whoami:?}");
    let shown = stage.run(&["ops", "show", &b.to_string()]).await?;
    ensure!(shown.out.contains("enginehouse resume"), "{shown:?}");
    ensure!(stage.host.client().node(&"/late".parse()?).await.is_err());
    // Orders are taken in, with numbers that nobody had, and wait.
    stage.provision("/new", json!({})).await?;
    let new = stage
        .begin(OperationKind::Deploy, "/new", Params::default())
        .await?
        .number;
    ensure!(new >= hold.next_operation, "{new}");

    // A restart does not end it.
    stage.host.kill().await?;
    stage.host.restart().await?;
    ensure!(stage.host.client().info().await?.on_hold.is_some());
    let waiting = stage.host.client().operation(new).await?;
    ensure!(!waiting.state.has_ended(), "{waiting:#?}");
    let reason = waiting.waiting_for.context("it does not say why")?;
    ensure!(reason.contains("enginehouse resume"), "{reason}");
    ensure!(
        stage.sim.requests().total() == requests,
        "something was asked while on hold"
    );

    let resumed = json_of(&stage, &["resume"]).await?;
    ensure!(resumed["was_on_hold"] == json!(true), "{resumed}");
    for number in [b, new] {
        let ended = stage.ended(number).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    }
    for machine in ["a", "b", "new"] {
        let world = stage.sim.world();
        let machines = world.named(machine).len();
        ensure!(machines == 1, "{machines} machines {machine}");
    }
    ensure!(stage.host.client().info().await?.on_hold.is_none());
    let again = json_of(&stage, &["resume"]).await?;
    ensure!(again["was_on_hold"] == json!(false), "{again}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_backup_leaves_the_data_directory_as_it_was() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/a", json!({})).await?;
    let files = tempfile::tempdir()?;
    let file = files.path().join("backup.db");
    let name = file.to_str().context("a name")?;
    ensure!(stage.run(&["backup", name]).await?.code == 0);
    let mut bytes = std::fs::read(&file)?;
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, &bytes)?;
    stage.host.kill().await?;
    for (name, says) in [
        (name, "backup"),
        (
            files.path().join("none").to_str().context("a name")?,
            "none",
        ),
    ] {
        let refused = stage.run(&["restore", name]).await?;
        ensure!(refused.code == 1, "{refused:?}");
        ensure!(refused.err.contains(says), "{refused:?}");
    }
    stage.host.restart().await?;
    stage.host.client().node(&"/a".parse()?).await?;
    ensure!(stage.host.client().info().await?.on_hold.is_none());
    Ok(())
}
