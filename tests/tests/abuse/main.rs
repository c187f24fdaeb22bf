//! Engines that misbehave: each ends as a failed step with a reason, and delays nobody.

mod provider;
mod stage;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationState, ResolveAs, StepState};
use stage::{SECRET, Stage, reason};

/// A misdeed in `run`, a part of the reason that a person reads, and how often the step ran.
const MISDEEDS: &[(&str, &str, u32)] = &[
    ("hog", "wanted more than 256 MiB of memory", 2),
    ("recurse", "the engine trapped", 2),
    ("handles", "trapped", 2),
    ("stranger", "has no endpoint `elsewhere`; it has: host", 1),
    ("forbidden-header", "`authorization`", 1),
    ("print-credentials", "[redacted]", 1),
    ("panic-with-credentials", "[redacted]", 2),
    ("bad-json", "breaks the contract", 2),
    ("big-token", "a token of 65537 bytes", 2),
    ("again", "1000 phases of one step without an end", 1),
    ("unheard-of", "no such mode: unheard-of", 1),
];

#[tokio::test]
async fn each_misdeed_is_a_failed_step_with_its_reason() -> Result<()> {
    let modes: Vec<&str> = MISDEEDS.iter().map(|(mode, ..)| *mode).collect();
    let Some(stage) = Stage::with(&modes, &[]).await? else {
        return Ok(());
    };
    let mut numbers = Vec::new();
    for mode in &modes {
        numbers.push(stage.order(mode).await?);
    }
    for ((mode, wanted, attempts), number) in MISDEEDS.iter().zip(numbers) {
        let ended = stage.end(number).await?;
        let said = reason(&ended)?;
        ensure!(said.contains(wanted), "{mode}: {said}");
        let [step] = ended.steps.as_slice() else {
            anyhow::bail!("{mode}: not one step: {ended:?}");
        };
        assert_eq!(step.state, StepState::Failed, "{mode}");
        assert_eq!(step.attempt, *attempts, "{mode}: {said}");
        let node = stage
            .host
            .client()
            .node(&format!("/{mode}").parse()?)
            .await?;
        ensure!(format!("{node:?}").contains("Provisioned"), "{node:?}");
    }
    assert_eq!(stage.provider.count("POST", ""), 0);
    Ok(())
}

#[tokio::test]
async fn an_endless_loop_delays_nobody_and_is_ended_at_its_deadline() -> Result<()> {
    let Some(mut stage) = Stage::with(&["spin", "good"], &[]).await? else {
        return Ok(());
    };
    let loops = stage.order("spin").await?;
    stage
        .when(loops, |operation| {
            operation
                .steps
                .iter()
                .any(|step| step.state == StepState::Running)
        })
        .await?;
    let good = stage.deploy("good").await?;
    ensure!(good.state == OperationState::Succeeded, "{good:?}");
    let still = stage.host.client().operation(loops).await?;
    assert_eq!(still.state, OperationState::Running);
    // It was meant to loop for as long as the default allows; nobody waits for that.
    stage.host.kill().await?;
    stage.host.restart_with(&["--call-deadline", "1s"]).await?;
    let ended = stage.end(loops).await?;
    assert_eq!(reason(&ended)?, "the engine did not answer within 1 s");
    Ok(())
}

#[tokio::test]
async fn what_trapped_after_its_request_runs_once_more_with_the_answer_it_had() -> Result<()> {
    let modes = ["trap-after-once", "always-trap-after-once", "another-once"];
    let Some(stage) = Stage::with(&modes, &[]).await? else {
        return Ok(());
    };
    stage.provider.says("/settle", "exists");

    let recovered = stage.deploy("trap-after-once").await?;
    ensure!(
        recovered.state == OperationState::Succeeded,
        "{recovered:?}"
    );
    let result = recovered.result.context("no result")?;
    assert_eq!(result.warnings, ["attempt 2: 200 made"]);
    assert_eq!(stage.provider.count("POST", ""), 1);

    let failed = stage.deploy("always-trap-after-once").await?;
    let said = reason(&failed)?;
    ensure!(said.contains("right after the once request"), "{said}");
    // It looked at something first, so both runs were seen.
    assert_eq!(stage.provider.count("GET", "/run"), 2);
    let attempts: Vec<u32> = failed.steps.iter().map(|step| step.attempt).collect();
    assert_eq!(attempts, [2]);
    let result = failed.result.context("no result")?;
    let made: Vec<&str> = result
        .created
        .iter()
        .map(|object| object.id.as_str())
        .collect();
    assert_eq!(made, ["7"], "what settle found is on record");
    assert_eq!(stage.provider.count("POST", ""), 2);
    assert_eq!(stage.provider.count("GET", "/settle"), 1);

    let other = stage.deploy("another-once").await?;
    let said = reason(&other)?;
    ensure!(said.contains("but this step already sent"), "{said}");
    assert_eq!(stage.provider.count("POST", ""), 3);
    Ok(())
}

#[tokio::test]
async fn a_second_request_in_a_call_and_one_in_settle_are_not_sent() -> Result<()> {
    let Some(stage) = Stage::with(&["two-once", "once-in-settle"], &[]).await? else {
        return Ok(());
    };
    let two = stage.deploy("two-once").await?;
    let said = reason(&two)?;
    ensure!(said.contains("once"), "{said}");
    assert_eq!(stage.provider.count("POST", ""), 1);

    let doubt = stage.deploy("once-in-settle").await?;
    assert_eq!(doubt.state, OperationState::InDoubt, "{doubt:?}");
    let said = doubt.error.context("no reason")?;
    ensure!(said.message.contains("may only read"), "{said:?}");
    assert_eq!(stage.provider.count("POST", ""), 2);
    let resolved = stage
        .host
        .client()
        .resolve(doubt.number, ResolveAs::Failed)
        .await?;
    assert_eq!(resolved.state, OperationState::Failed);
    Ok(())
}

#[tokio::test]
async fn an_engine_that_traps_again_and_again_rests_on_that_hypervisor_alone() -> Result<()> {
    let Some(stage) = Stage::with(&["recurse", "good"], &[]).await? else {
        return Ok(());
    };
    for _ in 0..2 {
        let ended = stage.deploy("recurse").await?;
        reason(&ended)?;
    }
    // Two traps each; the fifth begins the rest.
    let rests = stage.order("recurse").await?;
    let waiting = stage
        .when(rests, |operation| {
            let why = operation.waiting_for.as_deref().unwrap_or_default();
            why.contains("quarantined after 5 traps")
        })
        .await?;
    assert_eq!(waiting.state, OperationState::Running);
    let good = stage.deploy("good").await?;
    ensure!(good.state == OperationState::Succeeded, "{good:?}");
    stage.host.client().cancel(rests).await?;
    let ended = stage.end(rests).await?;
    assert_eq!(ended.state, OperationState::Cancelled);
    Ok(())
}

#[tokio::test]
async fn a_task_that_never_ends_holds_nobody_up() -> Result<()> {
    let modes = ["endless-task", "spin-in-poll", "good"];
    let Some(mut stage) = Stage::with(&modes, &["--call-deadline", "1s"]).await? else {
        return Ok(());
    };
    stage.provider.says("/task", "running");
    let endless = stage.order("endless-task").await?;
    let spins = stage.order("spin-in-poll").await?;
    for number in [endless, spins] {
        stage
            .when(number, |operation| {
                operation
                    .steps
                    .iter()
                    .any(|step| step.state == StepState::Waiting)
            })
            .await?;
    }
    // A poll that does not end is said, and asked again.
    stage
        .when(spins, |operation| {
            let why = operation.waiting_for.as_deref().unwrap_or_default();
            why.contains("did not answer within 1 s")
        })
        .await?;
    // The provider works: a cancel is noted, and the operation ends where nothing is half done.
    let asked = stage.host.client().cancel(endless).await?;
    ensure!(
        asked.cancel_requested && !asked.state.has_ended(),
        "{asked:?}"
    );
    let good = stage.deploy("good").await?;
    ensure!(good.state == OperationState::Succeeded, "{good:?}");

    stage.provider.says("/task", "ended");
    let ended = stage.end(endless).await?;
    ensure!(ended.state.has_ended(), "{ended:?}");
    assert_eq!(stage.provider.count("POST", ""), 3);
    // After a kill the task of the other is still waited for, and nothing is sent again.
    stage.host.kill().await?;
    stage.host.restart_with(&["--call-deadline", "1s"]).await?;
    let still = stage.host.client().operation(spins).await?;
    assert_eq!(still.state, OperationState::Running, "{still:?}");
    assert_eq!(stage.provider.count("POST", ""), 3);
    Ok(())
}

#[tokio::test]
async fn no_secret_is_in_any_answer_log_or_file() -> Result<()> {
    let modes = [
        "print-credentials",
        "panic-with-credentials",
        "send-credentials",
        "return-credentials",
        "keep-credentials",
        "task-of-credentials",
    ];
    let Some(mut stage) = Stage::with(&modes, &[]).await? else {
        return Ok(());
    };
    let mut told = String::new();
    for mode in modes {
        let ended = stage.deploy(mode).await?;
        told += &stage.told(ended.number).await?;
        let node = stage
            .host
            .client()
            .node(&format!("/{mode}").parse()?)
            .await?;
        told += &format!("{node:?}\n");
        let shown = stage
            .host
            .run(&["ops", "log", &ended.number.to_string()])
            .await?;
        told += &String::from_utf8_lossy(&shown.stdout);
        told += &String::from_utf8_lossy(&shown.stderr);
    }
    ensure!(told.contains("[redacted]"), "nothing was shown: {told}");
    ensure!(
        stage.provider.count("POST", "/leak") == 1,
        "it was not sent"
    );
    stage.host.kill().await?;
    told += &stage.host.log();
    for file in files_below(stage.host.data_dir())? {
        told += &String::from_utf8_lossy(&std::fs::read(file)?);
    }
    // The secret, its percent-encoding, and the parts of its base64 that stay the same wherever it
    // begins.
    for part in [
        SECRET,
        "kept-0f",
        "kept%2D0f",
        "9d1c7a55",
        "a2VwdC0wZi9h",
        "tlcHQtMGYvYWxs",
        "ZXB0LTBmL2Fsb",
    ] {
        let at = told.find(part);
        ensure!(at.is_none(), "{part} is in: {}", around(&told, at));
    }
    Ok(())
}

fn around(text: &str, at: Option<usize>) -> String {
    let at = at.unwrap_or_default();
    let before: String = text[..at].chars().rev().take(300).collect();
    let before: String = before.chars().rev().collect();
    let after: String = text[at..].chars().take(100).collect();
    before + &after
}

fn files_below(dir: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
