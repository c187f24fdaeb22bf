//! Who may resolve what, and when.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Access, OperationKind, OperationState, Params, ResolveAs};
use enginehouse_tests::{Ran, Stage, binary};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::scene::{asked, doubt, lost_creation, machines, over, resolve};

/// The command line as somebody else.
async fn as_other(stage: &Stage, token: &str, arguments: &[&str]) -> Result<Ran> {
    let access = Access::of_data_dir(stage.host.data_dir())?;
    let output = Command::new(binary().await?)
        .args(arguments)
        .env("ENGINEHOUSE_SERVER", &access.url)
        .env("ENGINEHOUSE_TOKEN", token)
        .env("NO_COLOR", "1")
        .output()
        .await?;
    Ok(Ran {
        code: output.status.code().context("it was killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// A token of somebody, who has this role on a node.
async fn token(stage: &Stage, who: &str, path: &str, role: &str) -> Result<String> {
    stage.cli(&["grant", path, who, role]).await?;
    let answer: Value = stage.json(&["token", "create", who]).await?;
    Ok(answer["token"].as_str().context("no token")?.to_owned())
}

#[tokio::test]
async fn only_who_may_operate_the_machine_may_say_what_happened() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({})).await?;
    stage.folder("/other", json!({})).await?;
    stage.provision("/web/vm1", json!({})).await?;
    let number = lost_creation(&stage, "/web/vm1", true).await?;
    let text = number.to_string();
    let viewer = token(&stage, "vera", "/web", "viewer").await?;
    let stranger = token(&stage, "sam", "/other", "admin").await?;
    let operator = token(&stage, "olga", "/web", "operator").await?;
    for verdict in ["done", "failed", "retry"] {
        let resolve = ["ops", "resolve", &text, "--as", verdict];
        let ran = as_other(&stage, &viewer, &resolve).await?;
        ensure!(ran.code == 1 && ran.err.contains("operate"), "{}", ran.err);
        // Who may not read it is not told that there is such an operation.
        let ran = as_other(&stage, &stranger, &resolve).await?;
        ensure!(
            ran.code == 2 && ran.err.contains(&format!("no operation {text}")),
            "{} {}",
            ran.code,
            ran.err
        );
    }
    // Who may read it sees what there is to decide.
    let ran = as_other(&stage, &viewer, &["ops", "show", &text]).await?;
    ensure!(
        ran.code == 0 && ran.out.contains("what you can say"),
        "{}{}",
        ran.out,
        ran.err
    );
    doubt(&over(&stage, number).await?)?;
    assert_eq!(asked(&stage), 1);
    let ran = as_other(
        &stage,
        &operator,
        &["ops", "resolve", &text, "--as", "failed"],
    )
    .await?;
    ensure!(ran.code == 0, "{}", ran.err);
    let error = over(&stage, number).await?.error.context("no error")?;
    ensure!(error.message.contains("by olga"), "{}", error.message);
    Ok(())
}

#[tokio::test]
async fn what_is_not_in_doubt_cannot_be_resolved_and_a_verdict_counts_once() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let refused = async |stage: &Stage, number: &str, verdict: &str| -> Result<Ran> {
        let ran = stage
            .run(&["ops", "resolve", number, "--as", verdict])
            .await?;
        ensure!(ran.code != 0, "{}", ran.out);
        Ok(ran)
    };
    let ran = refused(&stage, "4711", "done").await?;
    ensure!(
        ran.code == 2 && ran.err.contains("there is no operation 4711"),
        "{} {}",
        ran.code,
        ran.err
    );
    // Over, waiting, and running.
    let ran = refused(&stage, "1", "retry").await?;
    ensure!(
        ran.err.contains("operation 1 is succeeded, not in doubt"),
        "{}",
        ran.err
    );
    stage.sim.tune(|knobs| knobs.task_ms = 600_000)?;
    stage.provision("/vm2", json!({})).await?;
    let runs = stage
        .begin(OperationKind::Deploy, "/vm2", Params::default())
        .await?
        .number;
    let waits = stage
        .begin(OperationKind::Start, "/vm2", Params::default())
        .await?
        .number;
    // Its machine is being made: what the hypervisor does wrong later is not done to it.
    while stage.sim.world().tasks.is_empty() {
        let operation = stage.host.client().operation(runs).await?;
        ensure!(!operation.state.has_ended(), "{operation:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for number in [runs, waits] {
        let ran = refused(&stage, &number.to_string(), "failed").await?;
        ensure!(ran.err.contains("not in doubt"), "{}", ran.err);
    }
    stage.sim.tune(|knobs| knobs.task_ms = 10)?;

    let number = lost_creation(&stage, "/vm1", true).await?;
    let text = number.to_string();
    // Cancelling would hide what happened.
    let ran = stage.run(&["ops", "cancel", &text]).await?;
    ensure!(
        ran.code == 1 && ran.err.contains("ops resolve"),
        "{}",
        ran.err
    );
    stage.host.kill().await?;
    stage.host.restart().await?;
    let ended = resolve(&stage, number, "failed").await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    for verdict in ["failed", "retry", "done"] {
        let ran = refused(&stage, &text, verdict).await?;
        let words = format!("operation {text} is failed, not in doubt");
        ensure!(ran.err.contains(&words), "{}", ran.err);
    }
    stage.host.kill().await?;
    stage.host.restart().await?;
    let still = over(&stage, number).await?;
    ensure!(still.state == OperationState::Failed, "{still:#?}");
    ensure!(
        refused(&stage, &text, "retry")
            .await?
            .err
            .contains("failed")
    );
    Ok(())
}

#[tokio::test]
async fn verdicts_at_the_same_time_count_once() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let number = lost_creation(&stage, "/vm1", false).await?;
    let mut verdicts = JoinSet::new();
    for _ in 0..8 {
        let client = stage.host.client().clone();
        verdicts.spawn(async move { client.resolve(number, ResolveAs::Retry).await.is_ok() });
    }
    let said = verdicts.join_all().await;
    assert_eq!(said.into_iter().filter(|taken| *taken).count(), 1);
    let ended = over(&stage, number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!((asked(&stage), machines(&stage)), (2, 1));
    Ok(())
}
