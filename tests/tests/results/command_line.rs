//! `ops results`, `ops executed`, `ops wait`, `serve --keep`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Access, OperationKind, Params};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::{binary, confirmed};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use enginehouse_tests::{Stage, request};

#[tokio::test]
async fn results_have_machines_and_errors_and_are_followed_from_a_cursor() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let before = stage.json(&["ops", "results"]).await?;
    let cursor = before["cursor"].as_str().context("no cursor")?.to_owned();
    let access = Access::of_data_dir(stage.host.data_dir())?;
    let mut following = Command::new(binary().await?)
        .args([
            "ops", "results", "--follow", "-o", "json", "--after", &cursor,
        ])
        .env("ENGINEHOUSE_SERVER", &access.url)
        .env("ENGINEHOUSE_TOKEN", &access.token)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = following.stdout.take().context("no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let deployed = stage
        .order(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    let next = async |lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>| {
        loop {
            let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await??;
            let page: Value = serde_json::from_str(&line.context("it has ended")?)?;
            if let Some(result) = page["results"].as_array().and_then(|all| all.first()) {
                return Ok::<Value, anyhow::Error>(result.clone());
            }
        }
    };
    let result = next(&mut lines).await?;
    ensure!(result["number"] == json!(deployed.number.0), "{result:#}");
    ensure!(result["result"]["machine_id"].is_string(), "{result:#}");
    ensure!(
        result["result"]["created"][0]["kind"] == "machine",
        "{result:#}"
    );
    stage
        .order(OperationKind::Undeploy, "/vm1", confirmed())
        .await?;
    let result = next(&mut lines).await?;
    ensure!(result["kind"] == "undeploy", "{result:#}");

    // The same cursor leads to the same results, also in the next life of the host.
    stage.host.kill().await?;
    stage.host.restart().await?;
    let again = stage.json(&["ops", "results", "--after", &cursor]).await?;
    let kinds: Vec<&Value> = again["results"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| &it["kind"])
        .collect();
    ensure!(kinds == ["deploy", "undeploy"], "{again:#}");
    let text = stage.run(&["ops", "results", "--after", &cursor]).await?;
    ensure!(
        text.code == 0 && text.out.contains("machine "),
        "{}",
        text.out
    );
    ensure!(
        text.out.contains("what comes next: --after r1-"),
        "{}",
        text.out
    );
    Ok(())
}

#[tokio::test]
async fn a_wait_for_several_ends_as_the_worst_of_them() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let mut numbers = Vec::new();
    for name in ["/vm1", "/vm2"] {
        stage.provision(name, json!({})).await?;
        let deploy = request(OperationKind::Deploy, name, Params::default())?;
        numbers.push(
            stage
                .host
                .client()
                .order(&deploy, None, None)
                .await?
                .number
                .to_string(),
        );
    }
    let ran = stage
        .run(&["ops", "wait", &numbers[0], &numbers[1]])
        .await?;
    ensure!(ran.code == 0, "{}{}", ran.out, ran.err);
    ensure!(ran.out.matches("succeeded").count() == 2, "{}", ran.out);
    let both = stage
        .json(&["ops", "wait", &numbers[0], &numbers[1]])
        .await?;
    ensure!(
        both.as_array().is_some_and(|all| all.len() == 2),
        "{both:#}"
    );

    stage.provision("/odd", json!({})).await?;
    stage.sim.tune(|knobs| {
        knobs.faults.push(Fault::once(
            Call::MachineStart,
            FaultEffect::TaskError {
                message: "no".to_owned(),
                leave_half: false,
            },
        ));
    })?;
    let deploy = request(OperationKind::Deploy, "/odd", Params::default())?;
    let failing = stage
        .host
        .client()
        .order(&deploy, None, None)
        .await?
        .number
        .to_string();
    let ran = stage.run(&["ops", "wait", &numbers[0], &failing]).await?;
    ensure!(ran.code == 1, "{}{}", ran.out, ran.err);
    ensure!(
        ran.err.contains("1 of 2 operations did not end well"),
        "{}",
        ran.err
    );
    let log = stage
        .run(&["ops", "executed", "--outcome", "failed"])
        .await?;
    ensure!(
        log.out.contains("/odd") && log.out.lines().count() == 2,
        "{}",
        log.out
    );
    Ok(())
}

#[tokio::test]
async fn what_is_kept_is_said_at_the_start_and_what_is_gone_says_so() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let gone = stage
        .order(OperationKind::CreateFolder, "/web", Params::default())
        .await?;
    let number = gone.number.to_string();
    stage.host.kill().await?;
    stage
        .host
        .restart_with(&["--keep", "operations=all", "--keep", "operations=90d,0"])
        .await?;
    let began = std::time::Instant::now();
    let ran = loop {
        let ran = stage.run(&["ops", "show", &number]).await?;
        if ran.code != 0 {
            break ran;
        }
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "{}",
            stage.host.log()
        );
    };
    ensure!(ran.code == 1, "{}", ran.err);
    ensure!(
        ran.err
            .contains("is no longer kept: it was `create-folder /web`"),
        "{}",
        ran.err
    );
    // What a node shows as its last operation stays.
    let node = stage.host.client().node(&"/vm1".parse()?).await?;
    let last = node
        .last_operation
        .context("no operation")?
        .number
        .to_string();
    ensure!(stage.run(&["ops", "show", &last]).await?.code == 0);
    let log = stage.run(&["ops", "executed", "--path", "/web"]).await?;
    ensure!(log.out.contains("create-folder"), "{}", log.out);
    Ok(())
}
