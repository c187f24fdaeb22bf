//! Machines that are not found any more, one and many at once.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params, Status};
use enginehouse_tests::Stage;

use crate::unseen::stage;
use crate::{page, until};

/// Which of the descriptors `/vm0` to `/vmN` are so.
async fn those(stage: &Stage, machines: usize, status: Status) -> Result<Vec<usize>> {
    let mut those = Vec::new();
    for number in 0..machines {
        let node = stage.node(&format!("/vm{number}")).await?;
        if node.status == Some(status) {
            those.push(number);
        }
    }
    Ok(those)
}

/// The simulation's number of a descriptor's machine.
async fn number_of(stage: &Stage, path: &str) -> Result<u64> {
    let id = stage.node(path).await?.machine_id.context("no machine")?;
    Ok(id.trim_start_matches("m-").parse()?)
}

/// Waits for so many lists that begin from now on.
pub(crate) async fn lists(stage: &Stage, many: usize) -> Result<()> {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    until("some more lists", async || {
        let listed_at = page(&stage.host, "sim").await?.inventory.listed_at;
        let mut seen = seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        seen.extend(listed_at);
        Ok(seen.len() > many)
    })
    .await
}

#[tokio::test]
async fn a_machine_that_is_gone_is_unreachable_then_missing_and_is_not_made_again() -> Result<()> {
    let Some(stage) = stage(3).await? else {
        return Ok(());
    };
    let number = number_of(&stage, "/vm1").await?;
    let made = stage.sim.world().machines_made;
    let gone = stage.sim.edit(|world| world.machines.remove(&number))?;
    until("it is provisioned again", async || {
        Ok(stage.node("/vm1").await?.status == Some(Status::Provisioned))
    })
    .await?;
    assert_eq!(those(&stage, 3, Status::Deployed).await?, [0, 2]);
    lists(&stage, 2).await?;
    assert_eq!(stage.sim.world().machines_made, made);
    let history = format!("{:?}", stage.history("/vm1").await?);
    ensure!(history.to_lowercase().contains("lost"), "{history}");
    ensure!(history.contains(&format!("m-{number}")), "{history}");
    // It turns up again: offered, and linked by a person alone.
    let gone = gone.context("it was not there")?;
    stage
        .sim
        .edit(|world| world.machines.insert(number, gone))?;
    until("it is offered", async || {
        Ok(stage.node("/vm1").await?.returned.is_some())
    })
    .await?;
    let shown = stage.cli(&["show", "/vm1"]).await?;
    ensure!(shown.contains("enginehouse link /vm1"), "{shown}");
    assert_eq!(stage.node("/vm1").await?.status, Some(Status::Provisioned));
    stage.cli(&["link", "/vm1"]).await?;
    let linked = stage.node("/vm1").await?;
    assert_eq!(linked.status, Some(Status::Deployed));
    assert_eq!(linked.machine_id, Some(format!("m-{number}")));
    let again = stage.run(&["link", "/vm1"]).await?;
    ensure!(
        again.code != 0 && again.err.contains("has a machine"),
        "{again:?}"
    );
    // A copy in its place is not it.
    stage.sim.edit(|world| world.machines.remove(&number))?;
    until("it is provisioned again", async || {
        Ok(stage.node("/vm1").await?.status == Some(Status::Provisioned))
    })
    .await?;
    let not_there = stage.run(&["link", "/vm1"]).await?;
    ensure!(
        not_there.code != 0 && not_there.err.contains("is not on `sim`"),
        "{not_there:?}"
    );
    // A person may make it anew.
    stage.deploy("/vm1").await?;
    Ok(())
}

#[tokio::test]
async fn many_that_vanish_at_once_change_nothing_until_they_are_there_again() -> Result<()> {
    let Some(stage) = stage(12).await? else {
        return Ok(());
    };
    let vanished = stage.sim.edit(|world| {
        let keep: Vec<u64> = world.machines.keys().take(1).copied().collect();
        let mut vanished = std::mem::take(&mut world.machines);
        for number in keep {
            world.machines.extend(vanished.remove_entry(&number));
        }
        vanished
    })?;
    assert_eq!(vanished.len(), 11);
    until("the brake is on", async || {
        Ok(page(&stage.host, "sim").await?.inventory.held)
    })
    .await?;
    lists(&stage, 3).await?;
    assert_eq!(those(&stage, 12, Status::Deployed).await?.len(), 12);
    let shown = stage.cli(&["hypervisors", "missing", "sim"]).await?;
    ensure!(
        shown.contains("11 machines of sim vanished at once"),
        "{shown}"
    );
    stage.sim.edit(|world| world.machines.extend(vanished))?;
    until("the brake is off", async || {
        Ok(!page(&stage.host, "sim").await?.inventory.held)
    })
    .await?;
    assert_eq!(those(&stage, 12, Status::Deployed).await?.len(), 12);
    let shown = stage.cli(&["hypervisors", "missing", "sim"]).await?;
    assert_eq!(shown, "all machines on record were found\n");
    Ok(())
}

#[tokio::test]
async fn while_many_are_gone_nothing_is_begun_and_a_persons_word_lets_them_go() -> Result<()> {
    let Some(stage) = stage(12).await? else {
        return Ok(());
    };
    let kept = number_of(&stage, "/vm0").await?;
    stage
        .sim
        .edit(|world| world.machines.retain(|number, _| *number == kept))?;
    until("the brake is on", async || {
        Ok(page(&stage.host, "sim").await?.inventory.held)
    })
    .await?;
    let waits = stage
        .begin(OperationKind::Restart, "/vm0", Params::default())
        .await?;
    until("it says why it waits", async || {
        let shown = stage.host.client().operation(waits.number).await?;
        ensure!(!shown.state.has_ended(), "{shown:#?}");
        let reason = shown.waiting_for.unwrap_or_default();
        Ok(reason.contains("many machines of `sim` vanished at once"))
    })
    .await?;
    stage
        .cli(&["hypervisors", "missing", "sim", "--confirm"])
        .await?;
    until("they are off the record", async || {
        Ok(those(&stage, 12, Status::Provisioned).await?.len() == 11)
    })
    .await?;
    assert_eq!(those(&stage, 12, Status::Deployed).await?, [0]);
    let ended = stage.ended(waits.number).await?;
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn what_is_on_a_host_that_is_away_is_unreachable_and_never_missing() -> Result<()> {
    let Some(stage) = stage(4).await? else {
        return Ok(());
    };
    let seen = page(&stage.host, "sim").await?;
    let away = seen.machines[0].host.clone().context("no host is shown")?;
    let there = |found: &&enginehouse_api::FoundMachine| found.host.as_ref() == Some(&away);
    let many = seen.machines.iter().filter(there).count();
    stage
        .sim
        .tune(|knobs| knobs.offline_hosts = vec![away.clone()])?;
    until("its machines are unreachable", async || {
        Ok(those(&stage, 4, Status::Unreachable).await?.len() == many)
    })
    .await?;
    lists(&stage, 3).await?;
    assert_eq!(those(&stage, 4, Status::Unreachable).await?.len(), many);
    stage.sim.tune(|knobs| knobs.offline_hosts.clear())?;
    let unreachable = those(&stage, 4, Status::Unreachable).await?;
    let one = format!("/vm{}", unreachable.first().context("none is")?);
    let asks = stage.run(&["missing", &one]).await?;
    ensure!(asks.code != 0 && asks.err.contains("--confirm"), "{asks:?}");
    until("they are back", async || {
        Ok(those(&stage, 4, Status::Deployed).await?.len() == 4)
    })
    .await
}

#[tokio::test]
async fn a_person_may_say_that_a_machine_on_a_host_that_is_away_is_gone() -> Result<()> {
    let Some(stage) = stage(2).await? else {
        return Ok(());
    };
    let away = page(&stage.host, "sim").await?.machines;
    let away = away.iter().filter_map(|found| found.host.clone()).collect();
    stage.sim.tune(|knobs| knobs.offline_hosts = away)?;
    until("it is unreachable", async || {
        Ok(stage.node("/vm1").await?.status == Some(Status::Unreachable))
    })
    .await?;
    let id = stage.node("/vm1").await?.machine_id.context("no machine")?;
    stage.cli(&["missing", "/vm1", "--confirm"]).await?;
    let node = stage.node("/vm1").await?;
    assert_eq!(node.status, Some(Status::Provisioned));
    assert_eq!(node.machine_id, None);
    let history = stage.cli(&["history", "/vm1"]).await?;
    ensure!(history.contains(&id), "{history}");
    let audit = stage.cli(&["audit", "list", "--path", "/vm1"]).await?;
    ensure!(audit.contains("missing"), "{audit}");
    // It was not gone: it is offered, and not taken by itself.
    stage.sim.tune(|knobs| knobs.offline_hosts.clear())?;
    until("it is offered", async || {
        Ok(stage.node("/vm1").await?.returned.is_some())
    })
    .await?;
    lists(&stage, 2).await?;
    assert_eq!(stage.node("/vm1").await?.status, Some(Status::Provisioned));
    stage.cli(&["link", "/vm1"]).await?;
    assert_eq!(stage.node("/vm1").await?.machine_id, Some(id));
    Ok(())
}
