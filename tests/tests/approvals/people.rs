//! Who approves, who does not, and what an approval is good for.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{ErrorCode, OperationKind, OperationState, Params, RefuseRequest, Status};
use serde_json::json;

use crate::scene::Scene;

#[tokio::test]
async fn two_people_sign_and_it_is_done_once() -> Result<()> {
    let Some(scene) = Scene::start(2).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    let plan = stage.cli(&["plan", "/web/vm1", "--undeploy"]).await?;
    ensure!(
        plan.contains("waits for 2 approvals, which /web asks for"),
        "{plan}"
    );
    let ran = stage.run(&["undeploy", "/web/vm1", "--yes"]).await?;
    ensure!(ran.code == 4, "{ran:?}");
    ensure!(
        ran.err.contains("enginehouse approvals show"),
        "{}",
        ran.err
    );
    let listed = stage.json(&["approvals", "list"]).await?;
    let number = listed["approvals"][0]["operation"]
        .as_u64()
        .context("none")?;
    let number = enginehouse_model::OperationId(number);
    let shown = stage
        .cli(&["approvals", "show", &number.to_string()])
        .await?;
    for part in [
        "/web/vm1 on sim",
        "destroy: ",
        "0 of 2",
        "ann@desk, bob@desk",
        "disk ",
    ] {
        ensure!(shown.contains(part), "{part}: {shown}");
    }
    let listed = stage.cli(&["approvals", "list", "--path", "/web"]).await?;
    ensure!(
        listed.contains("/web/vm1") && listed.contains("0 of 2"),
        "{listed}"
    );

    // Who waits is in nobody's way.
    let stop = stage.order(OperationKind::Stop, "/web/vm1", Params::default());
    stop.await?;

    let first = scene
        .approve(&scene.ann, number)
        .await?
        .ok()
        .context("refused")?;
    ensure!(first.state == OperationState::WaitingApproval, "{first:#?}");
    ensure!(
        first
            .waiting_for
            .is_some_and(|it| it.starts_with("1 more approval:"))
    );
    let again = scene.approve(&scene.ann, number).await?;
    ensure!(again.is_err_and(|problem| problem.code == ErrorCode::Conflict));
    ensure!(scene.machines() == 1, "it is there yet");
    scene
        .approve(&scene.bob, number)
        .await?
        .ok()
        .context("refused")?;
    let ended = stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    ensure!(scene.machines() == 0);
    let decisions = scene.decisions("/web/vm1").await?;
    let expected = ["asked", "signed by ann@desk", "signed by bob@desk", "used"];
    ensure!(decisions == expected, "{decisions:?}");
    stage.cli(&["audit", "verify"]).await?;

    // What was signed is over: the next one is asked for anew, and is another.
    let file = scene.files.path().join(format!("{number}.txt"));
    let old = scene.bob.sign(&file)?;
    stage.deploy("/web/vm1").await?;
    let next = scene.undeploy("/web/vm1").await?;
    let refused = scene.hand_in("bob", &old, &file, next).await?;
    ensure!(refused.is_err(), "{refused:?}");
    let request = enginehouse_api::ApproveRequest {
        signature: std::fs::read_to_string(&old)?,
        text: None,
    };
    let refused = scene.client_of("bob").await?.approve(next, &request).await;
    ensure!(refused.is_err(), "{refused:?}");
    ensure!(scene.machines() == 1);
    Ok(())
}

#[tokio::test]
async fn who_ordered_it_neither_signs_it_nor_hands_it_in() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    stage.cli(&["grant", "/web", "ann", "operator"]).await?;
    let ann = scene.client_of("ann").await?;
    let order = enginehouse_tests::request(
        OperationKind::Undeploy,
        "/web/vm1",
        enginehouse_tests::confirmed(),
    )?;
    let number = ann.order(&order, None, None).await?.number;
    stage.host.stopped(number).await?;
    let file = scene.text(number).await?;
    let by_ann = scene.ann.sign(&file)?;
    // Neither herself, nor through somebody else.
    for who in ["ann", "bob"] {
        let refused = scene.hand_in(who, &by_ann, &file, number).await?;
        let problem = refused.err().context("it was taken")?;
        ensure!(problem.code == ErrorCode::Forbidden, "{problem:#?}");
        ensure!(
            problem.detail.contains("does not approve it"),
            "{problem:#?}"
        );
    }
    let by_bob = scene.bob.sign(&file)?;
    let refused = scene.hand_in("ann", &by_bob, &file, number).await?;
    ensure!(refused.is_err(), "{refused:?}");
    // Who has no role there cannot even try.
    let refused = scene.hand_in("zoe", &by_bob, &file, number).await?;
    ensure!(refused.is_err(), "{refused:?}");
    ensure!(scene.machines() == 1);
    scene
        .hand_in("bob", &by_bob, &file, number)
        .await?
        .ok()
        .context("refused")?;
    let ended = stage.ended(number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    Ok(())
}

#[tokio::test]
async fn the_command_line_signs_with_ssh_keygen_and_another_text_is_not_taken() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let number = scene.undeploy("/web/vm1").await?;
    let file = scene.text(number).await?;
    let token = scene.files.path().join("token");
    let made = scene.stage.json(&["token", "create", "bob"]).await?;
    std::fs::write(&token, made["token"].as_str().context("no token")?)?;
    let url = std::fs::read_to_string(scene.stage.host.data_dir().join("address"))?;
    let as_bob = [
        "--server",
        url.trim(),
        "--token-file",
        token.to_str().context("path")?,
    ];

    let text = std::fs::read_to_string(&file)?;
    let other = scene.files.path().join("other.txt");
    std::fs::write(&other, text.replace("destroy: ", "destroy:  "))?;
    let signature = scene.bob.sign(&other)?;
    let number = number.to_string();
    let approve = |signature: &std::path::Path| {
        let signature = signature.display().to_string();
        let arguments = [
            "approve".to_owned(),
            number.clone(),
            "--signature".to_owned(),
            signature,
        ];
        arguments
            .into_iter()
            .chain(as_bob.map(str::to_owned))
            .collect::<Vec<String>>()
    };
    let run = async |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        scene.stage.run(&arguments).await
    };
    let ran = run(approve(&signature)).await?;
    ensure!(
        ran.code == 1 && ran.err.contains("not the one that is to be signed"),
        "{ran:?}"
    );
    let ran = run(approve(&scene.files.path().join("none.sig"))).await?;
    ensure!(ran.code == 2 && ran.err.contains("none.sig"), "{ran:?}");
    let ran = run(approve(&scene.bob.sign(&file)?)).await?;
    ensure!(
        ran.code == 0 && ran.out.contains("approved; operation"),
        "{ran:?}"
    );
    scene.stage.cli(&["ops", "wait", &number]).await?;
    ensure!(scene.machines() == 0);
    Ok(())
}

#[tokio::test]
async fn refused_nothing_is_done_and_the_reason_is_said() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let number = scene.undeploy("/web/vm1").await?;
    let reason = RefuseRequest {
        reason: "the customer needs it".to_owned(),
    };
    let client = scene.client_of("bob").await?;
    client.refuse(number, &reason).await?;
    let ended = scene.stage.ended(number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let said = ended.error.context("no reason")?.message;
    ensure!(said == "bob refused it: the customer needs it", "{said}");
    let node = scene.stage.node("/web/vm1").await?;
    ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    ensure!(scene.decisions("/web/vm1").await? == ["asked", "refused"]);
    // It is over: there is nothing to say any more.
    ensure!(client.refuse(number, &reason).await.is_err());
    let late = scene.approve(&scene.bob, number).await;
    ensure!(late.is_err(), "there is no text any more");
    Ok(())
}

#[tokio::test]
async fn what_nobody_can_approve_fails_at_once_with_the_way_out() -> Result<()> {
    let Some(scene) = Scene::start(1).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    let keys = ["ssh-ed25519 AAAA not-a-key"];
    let approvals = json!({"approvals": {"need": 1, "keys": keys}});
    stage.folder("/db", approvals).await?;
    stage.provision("/db/vm2", json!({})).await?;
    stage.deploy("/db/vm2").await?;
    let begun = stage
        .begin(
            OperationKind::Undeploy,
            "/db/vm2",
            enginehouse_tests::confirmed(),
        )
        .await?;
    let ended = stage.ended(begun.number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let error = ended.error.context("no reason")?;
    ensure!(error.message.contains("nobody can sign"), "{error:#?}");
    ensure!(error.message.contains("key 1 of 1"), "{error:#?}");
    ensure!(error.hint.is_some_and(|hint| hint.contains("/db")));
    ensure!(scene.machines() == 2);
    Ok(())
}

#[tokio::test]
async fn what_destroys_nothing_waits_for_nobody() -> Result<()> {
    let Some(scene) = Scene::start(2).await? else {
        return Ok(());
    };
    let stage = &scene.stage;
    for kind in [
        OperationKind::Stop,
        OperationKind::Start,
        OperationKind::Restart,
    ] {
        stage.order(kind, "/web/vm1", Params::default()).await?;
    }
    stage.cli(&["reconfigure", "/web/vm1", "vcpu=2"]).await?;
    ensure!(scene.decisions("/web/vm1").await?.is_empty());
    Ok(())
}
