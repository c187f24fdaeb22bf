//! Hosts that are not to repair anything by themselves: told so, or upgraded from one that never did.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use enginehouse_model::InstallationId;
use enginehouse_store::{Commit, Opening, Store, Table, Write};
use enginehouse_tests::Stage;
use uuid::Uuid;

use crate::drift::{automatic, cores, has_cores};
use crate::missing::lists;
use crate::unseen::stage;
use crate::until;

/// Why the drift of a machine is left as it is.
async fn left_because(stage: &Stage, path: &str) -> Result<Option<String>> {
    let drift = stage.node(path).await?.drift;
    Ok(drift.first().and_then(|drift| drift.not_repaired.clone()))
}

#[tokio::test]
async fn a_host_that_is_started_with_no_repair_shows_drift_and_leaves_it() -> Result<()> {
    let Some(mut stage) = stage(2).await? else {
        return Ok(());
    };
    stage.host.kill().await?;
    stage.host.restart_with(&["--no-repair"]).await?;
    cores(&stage, "/vm1", 4).await?;
    until("it is shown", async || {
        Ok(left_because(&stage, "/vm1").await?.is_some())
    })
    .await?;
    let because = left_because(&stage, "/vm1").await?.unwrap_or_default();
    assert_eq!(because, "the host was started with --no-repair");
    lists(&stage, 3).await?;
    assert_eq!(automatic(&stage).await?, []);
    assert_eq!(has_cores(&stage, "/vm1").await?, Some(4));
    stage.host.kill().await?;
    stage.host.restart_with(&[]).await?;
    until("it is repaired", async || {
        Ok(has_cores(&stage, "/vm1").await? == Some(1))
    })
    .await
}

/// Takes away what a host writes down that repairs drift: a host of before never did.
fn make_older(data: &Path) -> Result<()> {
    let opening = Opening {
        host: "test".to_owned(),
        first_installation: InstallationId::from_uuid(Uuid::now_v7()),
        max_pages: None,
    };
    let (store, loaded) = Store::open(data, &opening)?;
    let mut commit = Commit::new(loaded.fence);
    commit.writes.push(Write::Delete {
        table: Table::Meta,
        key: "repairs".to_owned(),
    });
    store.submit(commit).wait()?;
    Ok(())
}

#[tokio::test]
async fn a_host_that_never_repaired_begins_paused_when_it_is_upgraded() -> Result<()> {
    let Some(mut stage) = stage(2).await? else {
        return Ok(());
    };
    stage.host.kill().await?;
    cores_of_first(&stage, 4)?;
    let data = stage.host.data_dir().to_owned();
    tokio::task::spawn_blocking(move || make_older(&data)).await??;
    stage.host.restart().await?;
    until("the drift is shown", async || {
        let tree = stage.cli(&["tree"]).await?;
        Ok(tree.contains("drift"))
    })
    .await?;
    let drift = stage.cli(&["drift"]).await?;
    ensure!(drift.contains("paused at / by host"), "{drift}");
    lists(&stage, 3).await?;
    assert_eq!(automatic(&stage).await?, []);
    // Once: what a person has resumed stays so over a restart.
    stage.cli(&["resume", "/"]).await?;
    until("it is repaired", async || {
        let world = stage.sim.world();
        Ok(world.machines.values().all(|machine| machine.vcpu == 1))
    })
    .await?;
    stage.host.kill().await?;
    stage.host.restart().await?;
    let tree = stage.cli(&["tree"]).await?;
    ensure!(!tree.contains("paused"), "{tree}");
    Ok(())
}

/// Changes a machine while the host is down.
fn cores_of_first(stage: &Stage, vcpu: u32) -> Result<()> {
    let changed = stage.sim.edit(|world| {
        let machine = world.machines.values_mut().next();
        machine.map(|machine| machine.vcpu = vcpu)
    })?;
    changed.context("no machine")
}
