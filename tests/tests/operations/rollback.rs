//! What is taken back, and what is said of what could not be.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, OnFailure, Operation, OperationKind, OperationState, Params};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::Stage;
use serde_json::{Value, json};

fn refuses() -> FaultEffect {
    FaultEffect::Answer {
        status: 422,
        code: "invalid".to_owned(),
        message: "not today".to_owned(),
    }
}

/// The call of this kind after so many others.
fn nth(call: Call, after: u64) -> Fault {
    Fault {
        after,
        ..Fault::once(call, refuses())
    }
}

fn all_or_nothing() -> Params {
    Params {
        on_failure: Some(OnFailure::Rollback),
        ..Params::default()
    }
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

/// `/abc/a`, then `b`, then `c`.
async fn abc() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage.folder("/abc", json!({})).await?;
    stage.provision("/abc/a", json!({})).await?;
    stage
        .provision("/abc/b", json!({"depends_on": ["/abc/a"]}))
        .await?;
    stage
        .provision("/abc/c", json!({"depends_on": ["/abc/b"]}))
        .await?;
    Ok(Some(stage))
}

async fn ends(stage: &Stage, kind: OperationKind, path: &str, params: Params) -> Result<Operation> {
    let begun = stage.begin(kind, path, params).await?;
    stage.ended(begun.number).await
}

fn machines(stage: &Stage) -> Vec<String> {
    let world = stage.sim.world();
    let mut names: Vec<String> = world
        .machines
        .values()
        .map(|machine| machine.name.clone())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn case_12_undoing_b_fails_and_c_and_a_are_gone() -> Result<()> {
    let Some(stage) = abc().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| {
        knobs.faults = vec![nth(Call::MachineStart, 2), nth(Call::MachineDestroy, 1)];
    })?;
    let ended = ends(&stage, OperationKind::Deploy, "/abc", all_or_nothing()).await?;
    assert_eq!(ended.state, OperationState::Failed);
    let undo: Vec<String> = ended
        .children
        .iter()
        .filter(|part| part.kind == OperationKind::Undo)
        .map(|part| format!("{} {}", part.path, part.state))
        .collect();
    assert_eq!(
        undo,
        ["/abc/c succeeded", "/abc/b failed", "/abc/a succeeded"]
    );
    assert_eq!(machines(&stage), ["b"]);
    let error = ended.error.context("no error")?;
    ensure!(
        error.message.contains("taken back: /abc/c, /abc/a")
            && error.message.contains("not taken back: /abc/b")
            && error.message.contains("not today"),
        "{}",
        error.message
    );
    for gone in ["/abc/a", "/abc/c"] {
        let node = stage.node(gone).await?;
        assert_eq!(node.machine_id, None, "{node:#?}");
    }
    // What could not be taken back is still ours, and can be removed.
    stage.undeploy("/abc/b").await?;
    assert_eq!(machines(&stage), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn without_the_wish_everything_stays() -> Result<()> {
    let Some(stage) = abc().await? else {
        return Ok(());
    };
    stage
        .sim
        .tune(|knobs| knobs.faults = vec![nth(Call::MachineStart, 2)])?;
    let ended = ends(&stage, OperationKind::Deploy, "/abc", Params::default()).await?;
    assert_eq!(ended.state, OperationState::Failed);
    assert_eq!(machines(&stage), ["a", "b", "c"]);
    Ok(())
}

#[tokio::test]
async fn the_definition_can_wish_it_for_its_own_machine_alone() -> Result<()> {
    let Some(stage) = abc().await? else {
        return Ok(());
    };
    stage
        .order(
            OperationKind::Edit,
            "/abc/c",
            set("on_failure", json!("rollback")),
        )
        .await?;
    stage
        .sim
        .tune(|knobs| knobs.faults = vec![nth(Call::MachineStart, 2)])?;
    let ended = ends(&stage, OperationKind::Deploy, "/abc", Params::default()).await?;
    assert_eq!(ended.state, OperationState::Failed);
    assert_eq!(machines(&stage), ["a", "b"]);

    // The same when it is deployed alone.
    stage
        .sim
        .tune(|knobs| knobs.faults = vec![nth(Call::MachineStart, 0)])?;
    let ended = ends(&stage, OperationKind::Deploy, "/abc/c", Params::default()).await?;
    assert_eq!(ended.state, OperationState::Failed, "{ended:#?}");
    assert_eq!(machines(&stage), ["a", "b"]);
    stage.deploy("/abc/c").await?;
    Ok(())
}

#[tokio::test]
async fn a_kill_in_the_middle_takes_back_all_the_same() -> Result<()> {
    let Some(mut stage) = abc().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| {
        knobs.faults = vec![nth(Call::MachineStart, 2)];
        knobs.task_ms = 150;
    })?;
    let begun = stage
        .begin(OperationKind::Deploy, "/abc", all_or_nothing())
        .await?;
    for _ in 0..12 {
        let now = stage.host.client().operation(begun.number).await?;
        if now.state.has_ended() {
            break;
        }
        stage.host.kill().await?;
        stage.host.restart().await?;
    }
    let ended = stage.ended(begun.number).await?;
    assert_eq!(ended.state, OperationState::Failed, "{ended:#?}");
    assert_eq!(machines(&stage), Vec::<String>::new(), "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn a_reconfigure_that_fails_is_taken_back_with_its_definition() -> Result<()> {
    let Some(stage) = abc().await? else {
        return Ok(());
    };
    stage.deploy("/abc").await?;
    stage
        .sim
        .tune(|knobs| knobs.faults = vec![nth(Call::MachineRestart, 0)])?;
    let params = Params {
        on_failure: Some(OnFailure::Rollback),
        ..set("vcpu", json!(4))
    };
    let ended = ends(&stage, OperationKind::Reconfigure, "/abc/a", params).await?;
    let node = stage.node("/abc/a").await?;
    if ended.state == OperationState::Failed {
        assert_eq!(node.local_definition.get("vcpu"), None, "{ended:#?}");
    }
    assert_eq!(node.pending_changes, Vec::<String>::new(), "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn a_machine_goes_back_to_what_it_was() -> Result<()> {
    let Some(stage) = abc().await? else {
        return Ok(());
    };
    let deployed = stage.deploy("/abc/a").await?;
    let never = ends(&stage, OperationKind::Rollback, "/abc/a", Params::default()).await?;
    ensure!(
        never
            .error
            .as_ref()
            .is_some_and(|error| error.message.contains("never deployed with another config")),
        "{never:#?}"
    );
    stage
        .order(OperationKind::Reconfigure, "/abc/a", set("vcpu", json!(2)))
        .await?;
    stage
        .order(OperationKind::Reconfigure, "/abc/a", set("vcpu", json!(3)))
        .await?;
    let plan = stage.cli(&["plan", "/abc/a", "--rollback"]).await?;
    ensure!(plan.contains("cores 3 -> 2"), "{plan}");
    stage.cli(&["rollback", "/abc/a"]).await?;
    let vcpu = || {
        let world = stage.sim.world();
        world.machines.values().next().map(|machine| machine.vcpu)
    };
    assert_eq!(vcpu(), Some(2));
    let pending = stage.node("/abc/a").await?.pending_changes;
    assert_eq!(pending, ["vcpu 2 -> 3"], "the definition stays");
    let to = deployed.number.to_string();
    stage.cli(&["rollback", "/abc/a", "--to", &to]).await?;
    assert_eq!(vcpu(), Some(1));

    // What the config said nothing of then, nobody can bring back.
    stage
        .order(
            OperationKind::Reconfigure,
            "/abc/a",
            set("description", json!("new")),
        )
        .await?;
    let said = stage.cli(&["rollback", "/abc/a", "--to", &to]).await?;
    ensure!(
        said.contains("description stays as it is (\"new\"): it was not managed before"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_machine_that_another_operation_made_meanwhile_is_not_taken_back() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    stage.sim.tune(|knobs| {
        knobs.task_ms = 700;
        knobs.faults = vec![nth(Call::MachineStart, 0)];
    })?;
    let begin = |kind, params| stage.begin(kind, "/vm1", params);
    let first = begin(OperationKind::Deploy, all_or_nothing()).await?;
    let undeploy = begin(OperationKind::Undeploy, enginehouse_tests::confirmed()).await?;
    let second = begin(OperationKind::Deploy, Params::default()).await?;
    let failed = stage.ended(first.number).await?;
    assert_eq!(failed.state, OperationState::Failed);
    for number in [undeploy.number, second.number] {
        let ended = stage.ended(number).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    }
    // The one that it made was gone when its turn came.
    let message = failed.error.context("no error")?.message;
    ensure!(message.ends_with("; taken back: /vm1"), "{message}");
    assert_eq!(machines(&stage), ["vm1"]);
    let node = stage.node("/vm1").await?;
    ensure!(node.machine_id.is_some(), "{node:#?}");
    Ok(())
}
