//! Limits on destruction: what is more than a folder lets go in an hour waits, whatever destroys it, and
//! neither a kill nor a restore forgets what went.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, ErrorCode, Operation, OperationKind, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_sim::Call;
use enginehouse_tests::{Stage, confirmed, defined};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// A folder that says so, with deployed machines `vm1` and on.
async fn with_limit(limit: Value, machines: u32, definition: Value) -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    let folder = json!({"destruction_limit": limit});
    stage.folder("/web", folder).await?;
    for n in 1..=machines {
        stage
            .provision(&format!("/web/vm{n}"), definition.clone())
            .await?;
    }
    stage.deploy("/web").await?;
    Ok(Some(stage))
}

/// The operation as soon as it is as wanted.
async fn when(
    stage: &Stage,
    number: OperationId,
    wanted: impl Fn(&Operation) -> bool,
) -> Result<Operation> {
    let began = Instant::now();
    loop {
        let operation = stage.host.client().operation(number).await?;
        if wanted(&operation) {
            return Ok(operation);
        }
        let log = || stage.host.log();
        ensure!(!operation.state.has_ended(), "{operation:#?}\n{}", log());
        ensure!(began.elapsed() < PATIENCE, "{operation:#?}\n{}", log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_held(waiting_for: Option<&String>) -> bool {
    waiting_for.is_some_and(|what| {
        what.contains("room within the destruction_limit") && what.contains("looked at again 2")
    })
}

/// Of the parts: those that a limit holds until it is known when, and those that have ended well.
fn parts(whole: &Operation) -> (usize, usize) {
    let held = whole.children.iter();
    let held = held.filter(|part| is_held(part.waiting_for.as_ref()));
    let done = whole.children.iter();
    let done = done.filter(|part| part.state == OperationState::Succeeded);
    (held.count(), done.count())
}

async fn comes_to(stage: &Stage, number: OperationId, held: usize, done: usize) -> Result<()> {
    when(stage, number, |whole| parts(whole) == (held, done))
        .await
        .map(drop)
}

fn destroyed(stage: &Stage) -> u64 {
    stage.sim.requests().count(Call::MachineDestroy)
}

async fn raise(stage: &Stage, path: &str, to: u32) -> Result<()> {
    let key = format!("destruction_limit.per_hour={to}");
    stage
        .cli(&["edit", path, &key, "--lower-protection"])
        .await?;
    Ok(())
}

#[tokio::test]
async fn of_an_undeploy_of_a_folder_so_many_go_and_the_others_wait_until_the_limit_is_raised()
-> Result<()> {
    let Some(mut stage) = with_limit(json!({"per_hour": 2}), 5, json!({})).await? else {
        return Ok(());
    };
    stage.provision("/other", json!({})).await?;
    let plan = stage.cli(&["plan", "/web", "--undeploy"]).await?;
    ensure!(
        plan.matches("waits for room within the destruction_limit of /web (2 an hour)")
            .count()
            == 3,
        "{plan}"
    );
    let whole = stage
        .begin(OperationKind::Undeploy, "/web", confirmed())
        .await?;
    comes_to(&stage, whole.number, 3, 2).await?;
    ensure!(destroyed(&stage) == 2);
    // They hold no slot: others go on.
    stage.deploy("/other").await?;
    let shown = stage
        .cli(&["ops", "show", &whole.number.to_string()])
        .await?;
    ensure!(
        shown.contains("room within the destruction_limit"),
        "{shown}"
    );

    stage.host.kill().await?;
    stage.host.restart().await?;
    comes_to(&stage, whole.number, 3, 2).await?;
    ensure!(destroyed(&stage) == 2);
    let again = stage.cli(&["plan", "/web", "--undeploy"]).await?;
    ensure!(
        again.contains("2 actions that destroy go before it within the hour"),
        "{again}"
    );

    // More is a lowering of protection.
    let raised = stage
        .run(&["edit", "/web", "destruction_limit.per_hour=3"])
        .await?;
    ensure!(raised.code != 0, "{raised:?}");
    let said = r#"/web: destruction_limit {"per_hour":2} -> {"per_hour":3}"#;
    ensure!(raised.err.contains(said), "{}", raised.err);
    raise(&stage, "/web", 3).await?;
    comes_to(&stage, whole.number, 2, 3).await?;
    ensure!(destroyed(&stage) == 3);
    stage
        .cli(&[
            "edit",
            "/web",
            "--unset",
            "destruction_limit",
            "--lower-protection",
        ])
        .await?;
    let ended = stage.ended(whole.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(destroyed(&stage) == 5);
    let gate = stage.cli(&["audit", "list", "--action", "gate"]).await?;
    ensure!(gate.contains("waits"), "{gate}");
    let lowered = stage
        .cli(&["audit", "list", "--action", "protection"])
        .await?;
    ensure!(lowered.contains("lowers: destruction_limit"), "{lowered}");
    stage.cli(&["audit", "verify"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_further_down_cannot_widen_it_and_one_elsewhere_is_not_held() -> Result<()> {
    let Some(stage) = with_limit(json!({"per_hour": 1}), 1, json!({})).await? else {
        return Ok(());
    };
    let wide = json!({"destruction_limit": {"per_hour": 100}});
    stage.folder("/web/front", wide.clone()).await?;
    stage.folder("/db", json!({})).await?;
    for path in ["/web/front/vm2", "/web/front/vm3", "/db/vm4"] {
        stage.provision(path, json!({})).await?;
        stage.deploy(path).await?;
    }
    let shown = stage
        .computed("/web/front/vm2", "destruction_limit")
        .await?;
    ensure!(
        shown == "100 an hour; 1 an hour of /web, from /web/front",
        "{shown}"
    );
    stage.undeploy("/web/front/vm2").await?;
    // Neither another machine, nor one that went out of the folder since.
    let held = stage
        .begin(OperationKind::Undeploy, "/web/vm1", confirmed())
        .await?;
    when(&stage, held.number, |it| is_held(it.waiting_for.as_ref())).await?;
    stage.undeploy("/db/vm4").await?;
    ensure!(destroyed(&stage) == 2);
    // Out from under it: less protected, and what went counts where it was.
    let mut to = Params {
        to: Some("/db/vm2".parse()?),
        ..Params::default()
    };
    let path = "/web/front/vm2";
    let refused = stage.refused(OperationKind::Move, path, to.clone()).await?;
    ensure!(
        refused.code == ErrorCode::NeedsConfirmation
            && refused.detail.contains("destruction_limit"),
        "{refused:#?}"
    );
    to.confirm_lowered = true;
    stage.order(OperationKind::Move, path, to).await?;
    let plan = stage.cli(&["plan", "/web/vm1", "--undeploy"]).await?;
    ensure!(
        plan.contains("1 action that destroys goes before it within the hour"),
        "{plan}"
    );
    let cancelled = stage.host.client().cancel(held.number).await?;
    ensure!(
        cancelled.state == OperationState::Cancelled,
        "{cancelled:#?}"
    );
    ensure!(stage.node("/web/vm1").await?.machine_id.is_some());
    Ok(())
}

#[tokio::test]
async fn the_removal_of_disks_a_replace_and_a_rollback_count_and_wait_as_well() -> Result<()> {
    let data = json!({"disks": {"data": {"size": "1GiB"}}});
    let Some(stage) = with_limit(json!({"per_hour": 1}), 3, data).await? else {
        return Ok(());
    };
    // Without its disk: the first of the folder goes, the others wait.
    for n in 1..=2 {
        let without = Params {
            confirm_destructive: true,
            ..defined(json!({}))
        };
        let path = format!("/web/vm{n}");
        let begun = stage
            .begin(OperationKind::Reconfigure, &path, without)
            .await?;
        if n == 1 {
            let ended = stage.ended(begun.number).await?;
            ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
        } else {
            when(&stage, begun.number, |it| is_held(it.waiting_for.as_ref())).await?;
        }
    }
    let replaced = Params {
        confirm_destructive: true,
        changes: vec![Change::Set {
            key: vec!["base_image".to_owned()],
            value: json!("d13"),
        }],
        ..Params::default()
    };
    let replace = stage
        .begin(OperationKind::Reconfigure, "/web/vm3", replaced)
        .await?;
    when(&stage, replace.number, |it| {
        is_held(it.waiting_for.as_ref())
    })
    .await?;
    ensure!(destroyed(&stage) == 0);
    raise(&stage, "/web", 3).await?;
    for number in [replace.number] {
        let ended = stage.ended(number).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    }
    // A rollback to before a disk was added removes it: the fourth within the hour.
    let with_more = defined(json!({"disks": {"more": {"size": "1GiB"}}}));
    stage
        .order(OperationKind::Reconfigure, "/web/vm1", with_more)
        .await?;
    let back = stage
        .begin(OperationKind::Rollback, "/web/vm1", confirmed())
        .await?;
    when(&stage, back.number, |it| is_held(it.waiting_for.as_ref())).await?;
    raise(&stage, "/web", 4).await?;
    let ended = stage.ended(back.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn per_cent_are_of_the_machines_that_were_there_when_the_hour_began() -> Result<()> {
    let Some(stage) = with_limit(json!({"percent": 50}), 5, json!({})).await? else {
        return Ok(());
    };
    let whole = stage
        .begin(OperationKind::Undeploy, "/web", confirmed())
        .await?;
    // Of five, also when only three are left.
    comes_to(&stage, whole.number, 3, 2).await?;
    let shown = stage
        .cli(&["ops", "show", &whole.number.to_string()])
        .await?;
    ensure!(shown.contains("50 % of 5 machines"), "{shown}");
    ensure!(destroyed(&stage) == 2);
    Ok(())
}

#[tokio::test]
async fn a_limit_that_came_while_the_machine_was_stopped_holds_its_destruction() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({})).await?;
    for path in ["/web/vm1", "/web/vm2"] {
        stage.provision(path, json!({})).await?;
        stage.deploy(path).await?;
    }
    stage.undeploy("/web/vm1").await?;
    // The plan is made, and the guest takes its time to shut down.
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("shutdown".to_owned(), 3_600_000);
    })?;
    let begun = stage
        .begin(OperationKind::Undeploy, "/web/vm2", confirmed())
        .await?;
    when(&stage, begun.number, |it| {
        it.steps.iter().any(|step| step.task.is_some())
    })
    .await?;
    let limit = json!({"destruction_limit": {"per_hour": 1}});
    stage
        .order(OperationKind::Edit, "/web", defined(limit))
        .await?;
    stage.sim.edit(|world| {
        let now = world.now;
        let ends: Vec<(u64, u64)> = world.running.iter().copied().collect();
        for (end, task) in ends {
            world.running.remove(&(end, task));
            world.running.insert((now, task));
            if let Some(task) = world.tasks.get_mut(&task) {
                task.ends_at = now;
            }
        }
    })?;
    when(&stage, begun.number, |it| is_held(it.waiting_for.as_ref())).await?;
    ensure!(destroyed(&stage) == 1);
    raise(&stage, "/web", 2).await?;
    let ended = stage.ended(begun.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(destroyed(&stage) == 2);
    Ok(())
}

#[tokio::test]
async fn after_a_restore_what_went_since_the_backup_counts() -> Result<()> {
    let Some(mut stage) = with_limit(json!({"per_hour": 1}), 2, json!({})).await? else {
        return Ok(());
    };
    let files = tempfile::tempdir()?;
    let file = files.path().join("backup");
    let file = file.to_str().context("no text")?;
    stage.cli(&["backup", file]).await?;
    stage.undeploy("/web/vm1").await?;
    stage.host.kill().await?;
    stage.cli(&["restore", file]).await?;
    stage.host.restart().await?;
    stage.cli(&["resume"]).await?;
    let begun = stage
        .begin(OperationKind::Undeploy, "/web/vm2", confirmed())
        .await?;
    when(&stage, begun.number, |it| is_held(it.waiting_for.as_ref())).await?;
    ensure!(destroyed(&stage) == 1);
    Ok(())
}
