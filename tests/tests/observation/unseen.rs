//! What could not be seen is not absent.

use anyhow::{Context, Result, ensure};
use enginehouse_api::OperationKind;
use enginehouse_api::Status;
use enginehouse_sim::{Fault, FaultEffect};
use enginehouse_tests::{FakePveOptions, Site, Stage, defined};
use serde_json::json;

use crate::{machine, page, until};

/// A stage with `machines` deployed, whose hypervisor is looked at every second, in pages of two.
pub(crate) async fn stage(machines: usize) -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    let root = json!({
        "hypervisors": {"sim": {
            "type": "fake", "host": stage.sim.url(),
            "settings": {"page_size": 2},
            "observe": {"interval_s": 1},
        }},
        "use_hypervisor": "sim",
        "prototypes": {"small": {"base_image": "d12", "vcpu": 1, "memory": "1GiB"}},
        "use_prototype": "small",
    });
    stage.order(OperationKind::Edit, "/", defined(root)).await?;
    for number in 0..machines {
        stage.provision(&format!("/vm{number}"), json!({})).await?;
    }
    stage.deploy("/").await?;
    stage.cli(&["hypervisors", "refresh", "sim"]).await?;
    Ok(Some(stage))
}

#[tokio::test]
async fn a_host_that_is_away_leaves_its_machines_as_they_were_seen() -> Result<()> {
    let Some(stage) = stage(4).await? else {
        return Ok(());
    };
    let before = page(&stage.host, "sim").await?;
    assert_eq!(before.machines.len(), 4);
    let away = before.machines[0]
        .host
        .clone()
        .context("no host is shown")?;
    stage
        .sim
        .tune(|knobs| knobs.offline_hosts = vec![away.clone()])?;
    let said = stage.cli(&["hypervisors", "refresh", "sim"]).await?;
    ensure!(
        said.contains(&format!("not seen: sim: host {away}: away")),
        "{said}"
    );
    let after = page(&stage.host, "sim").await?;
    assert_eq!(after.machines.len(), 4, "{after:#?}");
    let unseen = machine(&after, &before.machines[0].id).context("it is gone")?;
    ensure!(unseen.listed_at < after.inventory.listed_at.unwrap_or_default());
    ensure!(unseen.problem.is_some(), "{unseen:#?}");
    Ok(())
}

#[tokio::test]
async fn a_page_that_fails_makes_no_list() -> Result<()> {
    let Some(stage) = stage(5).await? else {
        return Ok(());
    };
    let before = page(&stage.host, "sim").await?;
    stage.sim.tune(|knobs| {
        knobs.faults = vec![Fault {
            call: "machine.list".to_owned(),
            times: None,
            rate: 0.5,
            after: 1,
            effect: FaultEffect::Answer {
                status: 500,
                code: "provider".to_owned(),
                message: "the second page is broken".to_owned(),
            },
            seen: 0,
            fired: 0,
        }];
    })?;
    until("a list broke off", async || {
        let page = page(&stage.host, "sim").await?;
        assert_eq!(page.machines.len(), 5, "{page:#?}");
        Ok(page.inventory.problem.is_some())
    })
    .await?;
    stage.sim.tune(|knobs| knobs.faults.clear())?;
    until("the next one is whole", async || {
        let page = page(&stage.host, "sim").await?;
        Ok(page.inventory.problem.is_none()
            && page.inventory.listed_at > before.inventory.listed_at)
    })
    .await
}

#[tokio::test]
async fn a_hypervisor_that_is_down_is_found_out_and_left_alone_until_it_is_back() -> Result<()> {
    let Some(stage) = stage(2).await? else {
        return Ok(());
    };
    let has = async |status: Status| -> Result<bool> {
        Ok(stage.node("/vm1").await?.status == Some(status))
    };
    stage.sim.tune(|knobs| knobs.away = true)?;
    until(
        "nobody ordered anything, and it is unreachable",
        async || has(Status::Unreachable).await,
    )
    .await?;
    let page = page(&stage.host, "sim").await?;
    assert_eq!(page.machines.len(), 2);
    ensure!(page.inventory.problem.is_some(), "{page:#?}");
    stage.sim.tune(|knobs| knobs.away = false)?;
    until("it is back", async || has(Status::Deployed).await).await
}

#[tokio::test]
async fn after_a_restart_machines_are_listed_and_not_all_read_at_once() -> Result<()> {
    let pve = FakePveOptions {
        machines: 200,
        ..FakePveOptions::default()
    };
    let Some(mut site) = Site::with_root(pve).await? else {
        return Ok(());
    };
    let entry = site.entry_with(json!({"observe": {"interval_s": 1, "full_s": 86400}}));
    site.set_root(entry).await?;
    site.deployed().await?;
    site.host.kill().await?;
    site.pve.take_exchanges().await?;
    site.host.restart().await?;
    until("three lists", async || {
        let sent = site.pve.exchanges().await?;
        let lists = sent
            .iter()
            .filter(|one| one.path.ends_with("/cluster/resources"));
        Ok(lists.count() >= 3)
    })
    .await?;
    let sent = site.pve.take_exchanges().await?;
    let reads = sent.iter().filter(|one| one.path.ends_with("/config"));
    // 202 machines in a day are one in seven minutes.
    ensure!(reads.count() <= 1, "{sent:#?}");
    assert_eq!(page(&site.host, "pve").await?.machines.len(), 202);
    Ok(())
}
