//! A folder is reconfigured in waves: stopped by a failure, gone on with, taken back.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    Change, ErrorCode, Operation, OperationKind, OperationState, Params, PlanRequest, WaveSize,
};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::Stage;
use serde_json::{Value, json};

const GIB: u64 = 1 << 30;

/// `/web/vm-00` to `/web/vm-11`, deployed with 1 GiB; then `/web` says 2.
async fn web() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage.folder("/web", json!({})).await?;
    for at in 0..12 {
        let path = format!("/web/vm-{at:02}");
        stage.provision(&path, json!({"power": "running"})).await?;
    }
    stage.deploy("/web").await?;
    let more = set("memory", json!("2GiB"));
    stage.order(OperationKind::Edit, "/web", more).await?;
    Ok(Some(stage))
}

fn set(key: &str, value: Value) -> Params {
    Params {
        changes: vec![Change::Set {
            key: vec![key.to_owned()],
            value,
        }],
        ..Params::default()
    }
}

/// The configuration of the n-th machine from now on is refused.
fn refuse_the(stage: &Stage, nth: u64) -> Result<()> {
    let refuses = FaultEffect::Answer {
        status: 422,
        code: "invalid".to_owned(),
        message: "not today".to_owned(),
    };
    stage.sim.tune(|knobs| {
        knobs.faults = vec![Fault {
            after: nth - 1,
            ..Fault::once(Call::MachineUpdate, refuses)
        }];
    })?;
    Ok(())
}

/// How many machines have so much memory.
fn with_memory(stage: &Stage, bytes: u64) -> usize {
    let world = stage.sim.world();
    let machines = world.machines.values();
    machines.filter(|machine| machine.memory == bytes).count()
}

async fn reconfigure(stage: &Stage, params: Params) -> Result<Operation> {
    let begun = stage.begin(OperationKind::Reconfigure, "/web", params);
    stage.ended(begun.await?.number).await
}

fn sizes(operation: &Operation) -> Vec<usize> {
    let waves: Vec<u32> = operation.children.iter().filter_map(|c| c.wave).collect();
    let last = waves.iter().copied().max().unwrap_or_default();
    (1..=last)
        .map(|wave| waves.iter().filter(|other| **other == wave).count())
        .collect()
}

#[tokio::test]
async fn one_machine_then_a_tenth_then_the_rest() -> Result<()> {
    let Some(stage) = web().await? else {
        return Ok(());
    };
    let request = PlanRequest {
        kind: OperationKind::Reconfigure,
        path: "/web".parse()?,
        params: Params::default(),
        limit: None,
        refresh: false,
    };
    let plan = stage.host.client().plan(&request).await?;
    let planned: Vec<usize> = plan.waves.iter().map(Vec::len).collect();
    assert_eq!(planned, [1, 2, 9]);
    let shown = stage.cli(&["reconfigure", "/web", "--dry-run"]).await?;
    ensure!(
        shown.contains("in 3 waves, and nothing more is begun after a failure")
            && shown.contains("  2  /web/vm-01, /web/vm-02\n")
            && shown.contains("  3  /web/vm-03, /web/vm-04, /web/vm-05, /web/vm-06 and 5 more"),
        "{shown}"
    );
    assert_eq!(with_memory(&stage, 2 * GIB), 0);

    let ended = reconfigure(&stage, Params::default()).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!(sizes(&ended), [1, 2, 9]);
    assert_eq!(with_memory(&stage, 2 * GIB), 12);
    // Each wave begins after the end of the one before.
    let mut times = Vec::new();
    for child in &ended.children {
        let part = stage.ended(child.number).await?;
        let span = part.started_at.zip(part.ended_at).context("it ran")?;
        times.push((child.wave.context("it has a wave")?, span));
    }
    for (wave, (began, _)) in &times {
        let before = times.iter().filter(|(other, _)| other < wave);
        ensure!(
            before.clone().all(|(_, (_, over))| over <= began),
            "{times:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_failure_stops_it_it_goes_on_and_it_goes_back() -> Result<()> {
    let Some(stage) = web().await? else {
        return Ok(());
    };
    refuse_the(&stage, 2)?;
    let ran = stage.run(&["reconfigure", "/web"]).await?;
    assert_ne!(ran.code, 0);
    let stopped = stage.host.client().operations(&Default::default()).await?;
    let stopped = stopped.operations.first().context("it is listed")?.clone();
    let whole = match stopped.parent {
        Some(parent) => parent,
        None => stopped.number,
    };
    let stopped = stage.ended(whole).await?;
    assert_eq!(stopped.state, OperationState::Failed);
    let error = stopped.error.clone().context("it says why")?;
    ensure!(
        error.message.starts_with("1 of 12 failed, first /web/vm-0")
            && error.message.ends_with("; 9 were not begun"),
        "{error:?}"
    );
    let hint = error.hint.context("it says what next")?;
    let back = format!("rollback /web --of {whole}");
    ensure!(
        hint.contains("reconfigure /web") && hint.contains(&back),
        "{hint}"
    );
    ensure!(
        ran.out.contains("9 were not begun") && ran.err.contains(&back),
        "{}\n{}",
        ran.out,
        ran.err
    );
    // One in the first wave, one in the second; the other of the second failed.
    assert_eq!(with_memory(&stage, 2 * GIB), 2);

    // Back: two machines, and no other.
    let number = whole.to_string();
    let shown = stage
        .cli(&["plan", "/web", "--rollback", "--of", &number])
        .await?;
    ensure!(
        shown.matches("memory 2048 MiB -> 1024 MiB").count() == 2,
        "{shown}"
    );
    let said = stage
        .cli(&["rollback", "/web", "--of", &whole.to_string()])
        .await?;
    ensure!(
        said.lines()
            .filter(|line| line.contains("/web/vm-"))
            .count()
            <= 3,
        "{said}"
    );
    assert_eq!(with_memory(&stage, GIB), 12);

    // On: all that are still pending, with three that may fail.
    let tolerant = Params {
        waves: Some(vec![
            WaveSize::Count(4),
            WaveSize::Percent(50),
            WaveSize::Rest,
        ]),
        max_failures: Some(2),
        ..Params::default()
    };
    refuse_the(&stage, 3)?;
    let ended = reconfigure(&stage, tolerant).await?;
    assert_eq!(sizes(&ended), [4, 6, 2]);
    assert_eq!(ended.state, OperationState::Failed);
    assert_eq!(with_memory(&stage, 2 * GIB), 11);
    let ended = reconfigure(&stage, Params::default()).await?;
    assert_eq!(ended.state, OperationState::Succeeded);
    assert_eq!(with_memory(&stage, 2 * GIB), 12);
    Ok(())
}

#[tokio::test]
async fn it_goes_on_after_a_kill_and_holds_what_comes_later() -> Result<()> {
    let Some(mut stage) = web().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| knobs.task_ms = 400)?;
    let begun = stage
        .begin(OperationKind::Reconfigure, "/web", Params::default())
        .await?;
    let held: Vec<String> = begun
        .children
        .iter()
        .filter_map(|child| child.waiting_for.clone())
        .collect();
    let first_wave = format!("wave 1 of operation {}", begun.number);
    let second_wave = format!("wave 2 of operation {}", begun.number);
    let count = |text: &String| held.iter().filter(|other| *other == text).count();
    assert_eq!((count(&first_wave), count(&second_wave)), (2, 9));
    for _ in 0..3 {
        stage.host.kill().await?;
        stage.host.restart().await?;
    }
    let ended = stage.ended(begun.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    assert_eq!(sizes(&ended), [1, 2, 9]);
    assert_eq!(with_memory(&stage, 2 * GIB), 12);
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() -> Result<()> {
    let Some(stage) = web().await? else {
        return Ok(());
    };
    let waves = |waves: Vec<WaveSize>| Params {
        waves: Some(waves),
        ..Params::default()
    };
    let failures = |max_failures| Params {
        max_failures: Some(max_failures),
        ..Params::default()
    };
    for (path, params, words) in [
        ("/web/vm-01", waves(vec![WaveSize::Rest]), "one machine"),
        ("/web", waves(Vec::new()), "`waves` is empty"),
        ("/web", failures(0), "nothing would ever begin"),
        (
            "/web",
            waves(vec![WaveSize::Count(1); 101]),
            "at most 100 waves",
        ),
    ] {
        let kind = OperationKind::Reconfigure;
        let problem = stage.refused(kind, path, params).await?;
        ensure!(problem.code == ErrorCode::BadRequest, "{problem:?}");
        ensure!(problem.detail.contains(words), "{problem:?}");
    }
    let kind = OperationKind::Deploy;
    let problem = stage
        .refused(kind, "/web", waves(vec![WaveSize::Rest]))
        .await?;
    ensure!(
        problem.detail.contains("no parameter `waves`"),
        "{problem:?}"
    );
    for (of, words) in [
        ("1", "only what reconfigures"),
        ("999", "there is no operation"),
    ] {
        let ran = stage.run(&["rollback", "/web", "--of", of]).await?;
        ensure!(ran.code != 0 && ran.err.contains(words), "{}", ran.err);
    }
    for wrong in ["0", "some", "101%"] {
        let ran = stage
            .run(&["reconfigure", "/web", "--waves", wrong])
            .await?;
        ensure!(ran.code == 2 && ran.err.contains("`rest`"), "{}", ran.err);
    }
    Ok(())
}

#[tokio::test]
async fn what_somebody_has_changed_since_is_not_taken_back() -> Result<()> {
    let Some(stage) = web().await? else {
        return Ok(());
    };
    let rollout = reconfigure(&stage, Params::default()).await?;
    let kind = OperationKind::Reconfigure;
    let later = stage
        .order(kind, "/web/vm-03", set("vcpu", json!(2)))
        .await?;
    let of = rollout.number.to_string();
    let ran = stage.run(&["rollback", "/web", "--of", &of]).await?;
    let changed = format!("/web/vm-03 by operation {}", later.number);
    ensure!(ran.code != 0 && ran.err.contains(&changed), "{}", ran.err);
    assert_eq!(with_memory(&stage, 2 * GIB), 12);
    // One machine of it alone can be.
    stage.cli(&["rollback", "/web/vm-04", "--of", &of]).await?;
    assert_eq!(with_memory(&stage, 2 * GIB), 11);
    Ok(())
}
