//! What each verdict does, and that what is in doubt holds its lane and no slot.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, ResolveAs, Status};
use enginehouse_sim::Call;
use enginehouse_tests::{Stage, confirmed, defined};
use serde_json::json;

use crate::scene::{
    asked, doubt, forbidden, forgotten_creation, lost_creation, machines, over, resolve,
};

#[tokio::test]
async fn retry_sends_the_request_once_more_and_makes_one_machine() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    // The first request did arrive, or did not: what the provider makes of the second is its own.
    for (path, arrives) in [("/arrived", true), ("/lost", false)] {
        stage.provision(path, json!({})).await?;
        let (asked_before, machines_before) = (asked(&stage), machines(&stage));
        let number = lost_creation(&stage, path, arrives).await?;
        // Neither time nor a restart sends it.
        stage.host.kill().await?;
        stage.host.restart().await?;
        doubt(&over(&stage, number).await?)?;
        assert_eq!(asked(&stage), asked_before + 1);
        let ended = resolve(&stage, number, "retry").await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
        assert_eq!(asked(&stage), asked_before + 2, "exactly one more");
        assert_eq!(machines(&stage), machines_before + 1);
        assert_eq!(stage.node(path).await?.status, Some(Status::Deployed));
        stage.undeploy(path).await?;
        assert_eq!(machines(&stage), machines_before);
    }
    Ok(())
}

#[tokio::test]
async fn failed_frees_the_lane_sends_nothing_and_says_what_may_be_there() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let number = lost_creation(&stage, "/vm1", true).await?;
    // Who comes next waits for it.
    let next = stage
        .begin(OperationKind::Undeploy, "/vm1", confirmed())
        .await?;
    let waits = stage.host.client().operation(next.number).await?;
    let words = format!("operation {number} on the same machine");
    ensure!(
        waits.state == OperationState::Pending && waits.waiting_for == Some(words),
        "{waits:#?}"
    );
    let sent = stage.sim.requests().total();
    let ended = resolve(&stage, number, "failed").await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    ensure!(ended.doubt.is_none(), "{ended:#?}");
    let error = ended.error.context("no error")?;
    for part in [
        "declared failed by admin",
        "POST /v1/machines may have taken effect",
    ] {
        ensure!(error.message.contains(part), "{}", error.message);
    }
    ensure!(stage.sim.requests().total() >= sent);
    // The next one has the lane now, and finds the machine that was made.
    let next = stage.ended(next.number).await?;
    ensure!(next.state == OperationState::Succeeded, "{next:#?}");
    assert_eq!((asked(&stage), machines(&stage)), (1, 0));
    // So does a deploy, which goes on with it.
    let number = lost_creation(&stage, "/vm1", true).await?;
    resolve(&stage, number, "failed").await?;
    assert_eq!((asked(&stage), machines(&stage)), (2, 1));
    stage.deploy("/vm1").await?;
    assert_eq!((asked(&stage), machines(&stage)), (2, 1));
    stage.undeploy("/vm1").await?;
    assert_eq!(machines(&stage), 0);
    Ok(())
}

#[tokio::test]
async fn done_goes_on_with_the_machine_that_is_there_and_it_can_be_removed_later() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({"vcpu": 2})).await?;
    let number = forgotten_creation(&stage, "/vm1").await?;
    let shown = over(&stage, number).await?;
    let shown = doubt(&shown)?;
    let id = shown.machine_id.clone().context("no machine id")?;
    stage.host.kill().await?;
    stage.host.restart().await?;
    let ended = resolve(&stage, number, "done").await?;
    ensure!(
        ended.state == OperationState::Succeeded,
        "{ended:#?}\n{}",
        stage.cli(&["ops", "log", &number.to_string()]).await?
    );
    assert_eq!((asked(&stage), machines(&stage)), (1, 1));
    let node = stage.node("/vm1").await?;
    assert_eq!(node.status, Some(Status::Deployed));
    assert_eq!(node.machine_id, Some(id));
    let log = stage.cli(&["ops", "log", &number.to_string()]).await?;
    ensure!(log.contains("it is there, go on with it"), "{log}");
    // It is known well enough to be changed, and to be told from a copy before it is destroyed.
    stage
        .order(
            OperationKind::Reconfigure,
            "/vm1",
            defined(json!({"vcpu": 3})),
        )
        .await?;
    stage.undeploy("/vm1").await?;
    assert_eq!(machines(&stage), 0);
    Ok(())
}

#[tokio::test]
async fn done_makes_nothing_and_touches_nobody_elses_machine() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    for path in ["/gone", "/other"] {
        stage.provision(path, json!({})).await?;
    }
    // A person said so of a machine that is not there.
    let number = forgotten_creation(&stage, "/gone").await?;
    stage.sim.edit(|world| world.machines.clear())?;
    let ended = resolve(&stage, number, "done").await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let error = ended.error.context("no error")?;
    ensure!(error.message.contains("was said to be there"), "{error:?}");
    assert_eq!((asked(&stage), machines(&stage)), (1, 0));
    stage.deploy("/gone").await?;
    assert_eq!((asked(&stage), machines(&stage)), (2, 1));

    // Of one that carries the mark of another.
    let number = forgotten_creation(&stage, "/other").await?;
    let marked = |stage: &Stage| {
        stage.sim.edit(|world| {
            let (_, machine) = world.machines.iter_mut().next_back()?;
            machine.mark = "eh:somebody:else:1".to_owned();
            Some(machine.version)
        })
    };
    let version = marked(&stage)?;
    let ended = resolve(&stage, number, "done").await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    assert_eq!((asked(&stage), machines(&stage)), (3, 2));
    assert_eq!(marked(&stage)?, version, "it was changed");
    Ok(())
}

#[tokio::test]
async fn done_is_refused_where_nobody_knows_which_machine_that_would_be() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let number = lost_creation(&stage, "/vm1", true).await?;
    let ran = stage
        .run(&["ops", "resolve", &number.to_string(), "--as", "done"])
        .await?;
    ensure!(
        ran.code == 1 && ran.err.contains("no machine id is known"),
        "{} {}",
        ran.code,
        ran.err
    );
    ensure!(
        ran.err.contains("looks for the machine by its mark"),
        "{}",
        ran.err
    );
    // Nothing has changed by that.
    let operation = over(&stage, number).await?;
    let done = doubt(&operation)?.verdicts.first().context("no verdicts")?;
    assert_eq!(done.verdict, ResolveAs::Done);
    let refused = done.refused.as_deref().unwrap_or_default();
    ensure!(refused.contains("no machine id is known"), "{done:?}");
    let ended = resolve(&stage, number, "retry").await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_a_person_says_is_there_is_not_added_again() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    stage.deploy("/vm1").await?;
    let begun = long_disk_add(&stage).await?;
    let operation = over(&stage, begun).await?;
    let shown = doubt(&operation)?;
    assert_eq!(shown.action, "disk-add");
    stage.sim.edit(|world| world.knobs.forget_tasks = false)?;
    stage.sim.tune(|knobs| knobs.faults.clear())?;
    until_unlocked(&stage).await?;
    let ended = resolve(&stage, begun, "done").await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!(stage.sim.requests().count(Call::DiskAdd), 1);
    // Nothing is left to do, so nothing is added again.
    let plan = stage.cli(&["plan", "/vm1", "--reconfigure"]).await?;
    ensure!(!plan.contains("disk"), "{plan}");
    stage
        .order(
            OperationKind::Reconfigure,
            "/vm1",
            defined(json!({"vcpu": 2, "disks": {"data": {"size": "1GiB"}}})),
        )
        .await?;
    assert_eq!(stage.sim.requests().count(Call::DiskAdd), 1);
    // It is known by the name that it has here: it grows, and goes with its machine.
    let grown = json!({"disks": {"data": {"size": "2GiB"}}});
    stage
        .order(OperationKind::Reconfigure, "/vm1", defined(grown))
        .await?;
    assert_eq!(stage.sim.requests().count(Call::DiskAdd), 1);
    assert_eq!(stage.sim.requests().count(Call::DiskGrow), 1);
    stage.undeploy("/vm1").await?;
    assert_eq!(machines(&stage), 0);
    Ok(())
}

/// A disk is being added when the hypervisor forgets its tasks and lets nobody look.
async fn long_disk_add(stage: &Stage) -> Result<enginehouse_model::OperationId> {
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("disk-add".to_owned(), 5_000);
    })?;
    let disk = json!({"disks": {"data": {"size": "1GiB"}}});
    let begun = stage
        .begin(OperationKind::Reconfigure, "/vm1", defined(disk))
        .await?;
    loop {
        let operation = stage.host.client().operation(begun.number).await?;
        ensure!(!operation.state.has_ended(), "{operation:#?}");
        if operation.steps.iter().any(|step| step.task.is_some()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stage.sim.tune(|knobs| {
        knobs.forget_tasks = true;
        knobs.faults = vec![forbidden(Call::MachineRead, 0)];
    })?;
    Ok(begun.number)
}

async fn until_unlocked(stage: &Stage) -> Result<()> {
    let look = async {
        while !stage.sim.world().running.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), look)
        .await
        .context("the disk is never added")
}

#[tokio::test]
async fn what_is_in_doubt_holds_no_slot_of_its_hypervisor() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let root = json!({
        "hypervisors": {"sim": {
            "type": "fake", "host": stage.sim.url(), "limits": {"concurrent": 1},
        }},
        "use_hypervisor": "sim",
        "prototypes": {"small": {"base_image": "d12", "vcpu": 1, "memory": "1GiB"}},
        "use_prototype": "small",
    });
    stage.order(OperationKind::Edit, "/", defined(root)).await?;
    for path in ["/vm1", "/vm2"] {
        stage.provision(path, json!({})).await?;
    }
    let number = lost_creation(&stage, "/vm1", true).await?;
    stage.deploy("/vm2").await?;
    doubt(&over(&stage, number).await?)?;
    let ended = resolve(&stage, number, "retry").await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!(machines(&stage), 2);
    Ok(())
}
