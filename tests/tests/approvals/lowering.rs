//! What lowers protection where approvals are asked for is approved by those who may sign so far, before
//! anything of it is done.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    Change, ClientError, ErrorCode, ImportRequest, OperationKind, OperationState, Params,
};
use enginehouse_model::OperationId;
use serde_json::{Value, json};

use crate::scene::Scene;

fn lowering(changes: Vec<Change>) -> Params {
    Params {
        changes,
        confirm_lowered: true,
        ..Params::default()
    }
}

fn set(key: &str, value: Value) -> Vec<Change> {
    vec![Change::Set {
        key: vec![key.to_owned()],
        value,
    }]
}

fn unset(key: &str) -> Vec<Change> {
    vec![Change::Unset {
        key: vec![key.to_owned()],
    }]
}

impl Scene {
    /// Orders something that comes to wait for approval.
    async fn waits(&self, kind: OperationKind, path: &str, params: Params) -> Result<OperationId> {
        let begun = self.stage.begin(kind, path, params).await?;
        let waits = self.stage.host.stopped(begun.number).await?;
        ensure!(
            waits.state == OperationState::WaitingApproval,
            "{waits:#?}\n{}",
            self.stage.host.log()
        );
        Ok(begun.number)
    }

    /// All that are asked sign it, and it is done.
    async fn goes_signed(&self, number: OperationId, by: &[&crate::scene::Person]) -> Result<()> {
        for person in by {
            let before = self.stage.host.client().operation(number).await?;
            ensure!(!before.state.has_ended(), "{before:#?}");
            let taken = self.approve(person, number).await?;
            ensure!(taken.is_ok(), "{taken:?}");
        }
        let ended = self.stage.ended(number).await?;
        ensure!(
            ended.state == OperationState::Succeeded,
            "{ended:#?}\n{}",
            self.stage.host.log()
        );
        Ok(())
    }

    async fn need(&self) -> Result<String> {
        self.stage.computed("/web", "approvals").await
    }
}

#[tokio::test]
async fn fewer_signatures_another_key_or_none_at_all_are_approved_by_those_in_force_so_far()
-> Result<()> {
    let Some(mut scene) = Scene::start(2).await? else {
        return Ok(());
    };
    let before = scene.need().await?;
    let keys = [&scene.ann.public, &scene.bob.public];
    let fewer = set("approvals", json!({"need": 1, "keys": keys}));
    let number = scene
        .waits(OperationKind::Edit, "/web", lowering(fewer))
        .await?;
    let text = std::fs::read_to_string(scene.text(number).await?)?;
    for part in [
        "edit, ordered by admin",
        ") approvals: {\"need\":2,",
        "-> {\"need\":1,",
    ] {
        ensure!(text.contains(part), "{text}");
    }
    // Others go on with the folder meanwhile, and a kill forgets nothing.
    scene
        .stage
        .order(
            OperationKind::Edit,
            "/web",
            Params {
                changes: set("vcpu", json!(2)),
                ..Params::default()
            },
        )
        .await?;
    scene.stage.host.kill().await?;
    scene.stage.host.restart().await?;
    ensure!(scene.need().await? == before);
    scene.goes_signed(number, &[&scene.ann, &scene.bob]).await?;
    ensure!(scene.need().await? != before);
    let decisions = scene.decisions("/web").await?;
    let expected = ["asked", "signed by ann@desk", "signed by bob@desk", "used"];
    ensure!(decisions == expected, "{decisions:?}");

    // Now one is enough, also to take all of it away.
    let number = scene
        .waits(OperationKind::Edit, "/web", lowering(unset("approvals")))
        .await?;
    scene.goes_signed(number, &[&scene.bob]).await?;
    ensure!(scene.need().await.is_err(), "approvals are still asked for");
    Ok(())
}

#[tokio::test]
async fn refused_or_unsaid_nothing_is_lowered() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let unsaid = Params {
        confirm_lowered: false,
        ..lowering(unset("approvals"))
    };
    let refused = scene
        .stage
        .refused(OperationKind::Edit, "/web", unsaid)
        .await?;
    ensure!(refused.code == ErrorCode::NeedsConfirmation, "{refused:#?}");
    let number = scene
        .waits(OperationKind::Edit, "/web", lowering(unset("approvals")))
        .await?;
    let cli = scene
        .stage
        .run(&["refuse", &number.to_string(), "--reason", "not today"])
        .await?;
    // Who ordered it may say no, too.
    ensure!(cli.code == 0, "{cli:?}");
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    ensure!(scene.need().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn what_would_be_lowered_otherwise_by_then_is_not() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    let policy = Params {
        changes: set("policy", json!("observe")),
        ..Params::default()
    };
    stage.order(OperationKind::Edit, "/web", policy).await?;
    let number = scene
        .waits(
            OperationKind::Edit,
            "/web",
            lowering(set("policy", json!("disruptive"))),
        )
        .await?;
    let file = scene.text(number).await?;
    let signature = scene.bob.sign(&file)?;
    // By then it would lower something else: less, or more.
    let other = scene
        .waits(
            OperationKind::Edit,
            "/web",
            lowering(set("policy", json!("benign"))),
        )
        .await?;
    scene.goes_signed(other, &[&scene.ann]).await?;
    let taken = scene.hand_in("bob", &signature, &file, number).await?;
    ensure!(taken.is_ok(), "{taken:?}");
    let ended = stage.ended(number).await?;
    ensure!(ended.state == OperationState::Superseded, "{ended:#?}");
    let said = ended.error.context("no reason")?.message;
    ensure!(said.contains("policy: observe -> disruptive"), "{said}");
    let shown = stage.computed("/web", "policy").await?;
    ensure!(shown.starts_with("benign"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_move_a_reconfigure_and_an_unprotect_wait_as_well_and_an_import_is_refused() -> Result<()>
{
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    // Out of the folder.
    stage.provision("/web/vm2", json!({})).await?;
    let to = Params {
        to: Some("/vm2".parse()?),
        confirm_lowered: true,
        ..Params::default()
    };
    let number = scene.waits(OperationKind::Move, "/web/vm2", to).await?;
    ensure!(stage.is_there("/web/vm2").await?);
    scene.goes_signed(number, &[&scene.ann]).await?;
    ensure!(stage.is_there("/vm2").await?);

    // What is written on a deployed descriptor.
    let protect = Params {
        changes: set("protect", json!(true)),
        ..Params::default()
    };
    stage
        .order(OperationKind::Reconfigure, "/web/vm1", protect)
        .await?;
    let lower = lowering(unset("protect"));
    let number = scene
        .waits(OperationKind::Reconfigure, "/web/vm1", lower)
        .await?;
    ensure!(stage.computed("/web/vm1", "protect").await.is_ok());
    scene.goes_signed(number, &[&scene.bob]).await?;
    ensure!(stage.computed("/web/vm1", "protect").await.is_err());

    // The machine itself.
    stage.cli(&["protect", "/web/vm1"]).await?;
    let unprotect = lowering(Vec::new());
    let number = scene
        .waits(OperationKind::Unprotect, "/web/vm1", unprotect)
        .await?;
    ensure!(stage.node("/web/vm1").await?.protected.is_some());
    scene.goes_signed(number, &[&scene.ann]).await?;
    ensure!(stage.node("/web/vm1").await?.protected.is_none());

    let import: ImportRequest = serde_json::from_value(json!({
        "path": "/web", "files": {"_folder.yaml": "vcpu: 1\n"}, "confirm_lowered": true
    }))?;
    match stage.host.client().import(&import).await {
        Err(ClientError::Refused(problem)) => {
            ensure!(
                problem.detail.contains("/web asks for approvals"),
                "{problem:#?}"
            );
        }
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}
