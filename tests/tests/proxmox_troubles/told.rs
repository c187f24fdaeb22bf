//! What the log of an operation says of the provider's tasks: their own lines, how far they are, what
//! they warn of, and why they failed.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{LogLine, LogSource, OperationKind, OperationState, Params};
use enginehouse_model::OperationId;
use enginehouse_tests::{FakePveOptions, Site};
use serde_json::json;

const DEPLOY: OperationKind = OperationKind::Deploy;

async fn site(slow_clones: f64) -> Result<Option<Site>> {
    let options = FakePveOptions {
        slow_clones,
        ..FakePveOptions::default()
    };
    let Some(site) = Site::with_root(options).await? else {
        return Ok(None);
    };
    site.provision("/vm1", json!({"power": "stopped"})).await?;
    Ok(Some(site))
}

async fn log(site: &Site, number: OperationId) -> Result<Vec<LogLine>> {
    Ok(site.host.client().log(number, 0).await?.lines)
}

/// Lines of a source that hold a text.
fn count(lines: &[LogLine], source: LogSource, level: &str, text: &str) -> usize {
    lines
        .iter()
        .filter(|line| line.source == source && line.level == level && line.text.contains(text))
        .count()
}

#[tokio::test]
async fn a_task_that_runs_says_in_its_own_lines_how_far_it_is() -> Result<()> {
    let Some(site) = site(4.0).await? else {
        return Ok(());
    };
    let said = "transferred 4.0 GiB of 8.0 GiB (50.00%)";
    site.pve.log_task("qmclone", &[said]).await?;
    let begun = site.begin(DEPLOY, "/vm1", Params::default()).await?;
    let half = |progress: &enginehouse_api::Progress| progress.percent == Some(50);
    let running = site
        .until(begun.number, |it| it.progress.as_ref().is_some_and(half))
        .await?;
    let task = running.steps[0].task.clone().context("no task")?;
    ensure!(task.contains("qmclone"), "{task}");
    let shown = site
        .cli(&["ops", "show", &begun.number.to_string()])
        .await?;
    ensure!(shown.contains("50 % cloning 9000 to 100"), "{shown}");
    let ended = site.ended(begun.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    let lines = log(&site, begun.number).await?;
    for (source, level, text) in [
        (LogSource::Host, "info", "step 1 of 1: create"),
        (LogSource::Host, "debug", &*task),
        (LogSource::Host, "info", "cloning 9000 to 100"),
        (LogSource::Task, "info", said),
        (LogSource::Host, "info", "created machine 100"),
        (LogSource::Host, "info", "step 1 is done"),
        (LogSource::Host, "info", "succeeded"),
    ] {
        assert_eq!(count(&lines, source, level, text), 1, "{text}\n{lines:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_task_that_fails_leaves_its_log_and_one_that_warns_warns_once() -> Result<()> {
    let Some(site) = site(0.0).await? else {
        return Ok(());
    };
    let said = "clone failed: copy failed";
    site.pve.fail_task("qmclone", said).await?;
    let failed = site.end(DEPLOY, "/vm1", Params::default()).await?;
    let lines = log(&site, failed.number).await?;
    ensure!(
        count(&lines, LogSource::Task, "info", "clone") > 1,
        "{lines:#?}"
    );
    let told = format!("TASK ERROR: {said}");
    assert_eq!(
        count(&lines, LogSource::Task, "info", &told),
        1,
        "{lines:#?}"
    );
    let host = |level, text: &str| count(&lines, LogSource::Host, level, text);
    assert_eq!(host("warn", "the task failed"), 1, "{lines:#?}");
    assert_eq!(host("error", said), 1, "{lines:#?}");
    assert_eq!(host("debug", "upid:UPID:pve1:"), 1, "{lines:#?}");

    site.pve.warn_task("qmclone", &["the disk is slow"]).await?;
    let warned = site.order(DEPLOY, "/vm1", Params::default()).await?;
    let lines = log(&site, warned.number).await?;
    let said = "the disk is slow";
    assert_eq!(
        count(&lines, LogSource::Task, "info", said),
        1,
        "{lines:#?}"
    );
    assert_eq!(
        count(&lines, LogSource::Host, "warn", said),
        1,
        "{lines:#?}"
    );
    assert_eq!(warned.result.context("no result")?.warnings, [said]);
    let text = site
        .cli(&["ops", "log", &warned.number.to_string()])
        .await?;
    ensure!(text.contains("warning: the disk is slow"), "{text}");
    Ok(())
}

/// Of many tasks one list says how they are; the log of the one that failed is read all the same.
#[tokio::test]
async fn of_many_tasks_at_once_the_one_that_failed_leaves_its_log() -> Result<()> {
    let Some(site) = site(3.0).await? else {
        return Ok(());
    };
    for path in ["/vm2", "/vm3", "/vm4"] {
        site.provision(path, json!({"power": "stopped"})).await?;
    }
    let said = "clone failed: copy failed";
    site.pve.fail_task("qmclone", said).await?;
    let whole = site.end(DEPLOY, "/", Params::default()).await?;
    let failed: Vec<_> = whole
        .children
        .iter()
        .filter(|part| part.state == OperationState::Failed)
        .collect();
    assert_eq!(failed.len(), 1, "{whole:#?}");
    let lines = log(&site, failed[0].number).await?;
    let told = format!("TASK ERROR: {said}");
    assert_eq!(
        count(&lines, LogSource::Task, "info", &told),
        1,
        "{lines:#?}"
    );
    let part = site.host.client().operation(failed[0].number).await?;
    let error = part.error.context("no error")?;
    ensure!(
        error.lines.iter().any(|line| line.contains(said)),
        "{error:#?}"
    );
    Ok(())
}
