//! The events of an operation while it works on a machine.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    Access, EndReason, LogLine, OperationEvent, OperationKind, OperationState, Params,
};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::binary;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use enginehouse_tests::{Stage, request};
use serde_json::json;

#[tokio::test]
async fn a_deploy_is_told_from_its_beginning_to_its_end_with_each_line_once() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let client = stage.host.client().clone();
    let deploy = request(OperationKind::Deploy, "/vm1", Params::default())?;
    let number = client.order(&deploy, None, None).await?.number;
    let mut events = client.operation_events(number, true).await?;
    let (mut states, mut lines): (Vec<OperationState>, Vec<LogLine>) = Default::default();
    let mut last = None;
    loop {
        match events.next().await?.context("the stream broke off")? {
            OperationEvent::Operation(operation) => {
                if states.last() != Some(&operation.state) {
                    states.push(operation.state);
                }
                last = Some(operation);
            }
            OperationEvent::Log(line) => lines.push(line),
            OperationEvent::Reset(reset) => anyhow::bail!("{reset:?}"),
            OperationEvent::End(end) => {
                ensure!(end.reason == EndReason::Over, "{end:?}");
                break;
            }
        }
    }
    ensure!(events.next().await?.is_none());
    ensure!(
        states.last() == Some(&OperationState::Succeeded),
        "{states:?}"
    );
    ensure!(
        states.iter().rev().skip(1).all(|state| !state.has_ended()),
        "{states:?}"
    );
    ensure!(last.as_deref() == Some(&client.operation(number).await?));
    let log = client.log(number, 0).await?.lines;
    ensure!(!log.is_empty() && lines == log, "{lines:#?}\n{log:#?}");

    // In the next life of the host, who was there to the end gets no line again; who had something
    // else, all of them.
    stage.host.kill().await?;
    stage.host.restart().await?;
    let access = Access::of_data_dir(stage.host.data_dir())?;
    let stream = async |last_id: &str| -> Result<String> {
        let url = format!("{}/v1/operations/{number}/events", access.url);
        let request = reqwest::Client::builder().no_proxy().build()?.get(url);
        let request = request.bearer_auth(&access.token);
        let answer = request.header("Last-Event-ID", last_id).send().await?;
        Ok(answer.text().await?)
    };
    let whole = stream("").await?;
    ensure!(whole.matches("event: log").count() == log.len(), "{whole}");
    let id = whole
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .context("no id")?;
    let rest = stream(id).await?;
    ensure!(
        !rest.contains("event: log") && !rest.contains("event: reset"),
        "{rest}"
    );
    ensure!(
        rest.contains("event: operation") && rest.contains("event: end"),
        "{rest}"
    );
    let other = id.replace(|c: char| c.is_ascii_digit(), "0");
    let again = stream(&format!("1-{other}")).await?;
    ensure!(
        again.starts_with("id: 0-00000000\nevent: reset\n"),
        "{again}"
    );
    ensure!(again.matches("event: log").count() == log.len(), "{again}");
    Ok(())
}

#[tokio::test]
async fn a_command_that_follows_says_how_it_ended_also_when_the_host_goes_away_meanwhile()
-> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let ran = stage.run(&["deploy", "/vm1"]).await?;
    ensure!(
        ran.code == 0 && ran.out.contains("deployed /vm1"),
        "{}{}",
        ran.out,
        ran.err
    );
    stage.sim.tune(|knobs| {
        let effect = FaultEffect::TaskError {
            message: "the guest is on fire".to_owned(),
            leave_half: false,
        };
        knobs.faults.push(Fault::once(Call::MachineStop, effect));
    })?;
    let ran = stage.run(&["stop", "/vm1", "--force"]).await?;
    ensure!(
        ran.code == 1 && ran.err.contains("on fire"),
        "{}{}",
        ran.out,
        ran.err
    );

    // The hypervisor takes its time, and the host is killed under the command that waits.
    stage.sim.tune(|knobs| knobs.task_ms = 600_000)?;
    let params = Params {
        force: true,
        ..Params::default()
    };
    let stop = request(OperationKind::Stop, "/vm1", params)?;
    let number = stage.host.client().order(&stop, None, None).await?.number;
    let access = Access::of_data_dir(stage.host.data_dir())?;
    let mut waiting = Command::new(binary().await?)
        .args(["ops", "wait", &number.to_string()])
        .env("ENGINEHOUSE_SERVER", &access.url)
        .env("ENGINEHOUSE_TOKEN", &access.token)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stderr = waiting.stderr.take().context("no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let first = lines.next_line().await?.context("nothing is said")?;
    ensure!(first.contains("/vm1"), "{first}");
    stage.host.kill().await?;
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        said.push_str(&line);
    }
    let code = waiting.wait().await?.code();
    ensure!(
        code == Some(3) && said.contains("lost sight of operation"),
        "{code:?} {said}"
    );
    Ok(())
}
