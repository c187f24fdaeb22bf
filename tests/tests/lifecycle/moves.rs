//! Moves: what they show first, what they do, what they wait for, and that they last.

use anyhow::{Result, ensure};
use enginehouse_api::{ErrorCode, OperationKind, OperationState, Params};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::defined;
use serde_json::json;

use enginehouse_tests::{Stage, to_name};

async fn stage() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage
        .folder("/web", json!({"memory": "4GiB", "labels": {"team": "web"}}))
        .await?;
    stage.folder("/web/front", json!({})).await?;
    stage
        .provision("/web/front/vm1", json!({"vcpu": 2}))
        .await?;
    stage
        .provision("/web/front/vm2", json!({"memory": "8GiB"}))
        .await?;
    stage.folder("/db", json!({"memory": "2GiB"})).await?;
    Ok(Some(stage))
}

#[tokio::test]
async fn a_folder_moves_with_all_below_it_and_everything_goes_by_the_new_name() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    let uid = stage.node("/web/front/vm1").await?.uid;
    let revision = stage.node("/web/front").await?.revision;
    let operation = stage.moved("/web/front", "/db/back").await?;
    assert_eq!(
        operation.path.to_string(),
        "/web/front",
        "the name at the time"
    );
    assert_eq!(operation.to, Some("/db/back".parse()?));
    let node = stage.node("/db/back/vm1").await?;
    assert_eq!(
        (node.uid, node.status),
        (uid, stage.node("/db/back/vm2").await?.status)
    );
    ensure!(!stage.is_there("/web/front").await?);
    ensure!(!stage.is_there("/web/front/vm1").await?);
    assert_eq!(stage.node("/db/back").await?.revision, revision + 1);
    assert_eq!(
        stage.computed("/db/back/vm1", "memory").await?,
        "2 GiB, from /db"
    );
    // What was ordered before is still found, by the new name.
    let listed = stage
        .cli(&["ops", "list", "--path", "/db/back/vm1"])
        .await?;
    ensure!(
        listed.contains("provision") && listed.contains("/web/front/vm1"),
        "{listed}"
    );
    let listed = stage.cli(&["ops", "list", "--path", "/db/back"]).await?;
    ensure!(listed.contains("/web/front to /db/back"), "{listed}");
    // And what is ordered next is done under the new name.
    stage.deploy("/db/back").await?;
    let mut names: Vec<String> = stage
        .sim
        .world()
        .machines
        .values()
        .map(|m| m.name.clone())
        .collect();
    names.sort();
    assert_eq!(names, ["vm1", "vm2"]);
    let tree = stage.cli(&["tree"]).await?;
    ensure!(!tree.contains("front"), "{tree}");
    Ok(())
}

#[tokio::test]
async fn a_move_shows_first_what_changes_and_is_not_made_without_a_yes() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    let preview = stage
        .preview(OperationKind::Move, "/web/front", to_name("/db/front")?)
        .await?;
    assert_eq!(
        (
            preview.counts.renamed,
            preview.counts.changed,
            preview.counts.pending
        ),
        (3, 3, 0)
    );
    let arguments = ["move", "/web/front", "/db/front"];
    let shown = stage
        .cli(&[arguments.as_slice(), &["--dry-run"]].concat())
        .await?;
    for line in [
        "/web/front/vm1 -> /db/front/vm1\n",
        "4 GiB -> 2 GiB",
        "from /web -> /db",
        "labels.team",
        "web -> nothing",
        "3 nodes get another name, 3 computed definitions change",
    ] {
        ensure!(shown.contains(line), "{line}: {shown}");
    }
    ensure!(stage.is_there("/web/front/vm1").await?);
    let refused = stage.run(&arguments).await?;
    assert_eq!(refused.code, 2, "{}", refused.err);
    ensure!(
        refused.err.contains("3 computed definitions change"),
        "{}",
        refused.err
    );
    ensure!(
        refused.err.contains("--yes") && refused.err.contains("--dry-run"),
        "{}",
        refused.err
    );
    ensure!(stage.is_there("/web/front/vm1").await?);
    let moved = stage
        .cli(&[arguments.as_slice(), &["--yes"]].concat())
        .await?;
    ensure!(
        moved.contains("moved /web/front to /db/front (operation "),
        "{moved}"
    );
    ensure!(stage.is_there("/db/front/vm1").await?);
    Ok(())
}

#[tokio::test]
async fn a_new_name_that_changes_nothing_else_needs_no_yes() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.cli(&["rename", "/web/front", "back"]).await?;
    ensure!(stage.is_there("/web/back/vm1").await?);
    let json = stage
        .cli(&[
            "rename",
            "/web/back/vm1",
            "/web/back/vm9",
            "--output",
            "json",
        ])
        .await?;
    let operation: serde_json::Value = serde_json::from_str(&json)?;
    assert_eq!(operation["to"], "/web/back/vm9");
    assert_eq!(operation["state"], "succeeded");
    // The same name again is no change, and no error.
    stage
        .cli(&["move", "/web/back/vm9", "/web/back/vm9"])
        .await?;
    ensure!(stage.is_there("/web/back/vm9").await?);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_way_out() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    for (from, to, code, said) in [
        ("/", "/new", ErrorCode::Conflict, "root"),
        ("/web", "/", ErrorCode::Conflict, "root"),
        (
            "/web",
            "/web/front/web",
            ErrorCode::Conflict,
            "below itself",
        ),
        ("/web/front", "/db", ErrorCode::Conflict, "exists"),
        (
            "/web/front/vm1",
            "/web/front/vm2",
            ErrorCode::Conflict,
            "exists",
        ),
        (
            "/web/front/vm1",
            "/web/front/vm2/x",
            ErrorCode::WrongState,
            "descriptor",
        ),
        (
            "/web/front/vm1",
            "/nowhere/vm1",
            ErrorCode::NotFound,
            "/nowhere",
        ),
        ("/web/none", "/web/other", ErrorCode::NotFound, "/web/none"),
    ] {
        let problem = stage.move_refused(from, to, code).await?;
        ensure!(problem.detail.contains(said), "{from} {to}: {problem:#?}");
    }
    let problem = stage
        .move_refused("/web/front", "/db", ErrorCode::Conflict)
        .await?;
    ensure!(problem.hint.unwrap_or_default().contains("/db/NAME"));
    for wrong in [
        "/db/a b",
        "/db/../x",
        "/db/\u{1b}[2J",
        "/db/ä",
        &format!("/db/{}", "x".repeat(64)),
    ] {
        let ran = stage.run(&["move", "/web/front", wrong, "--yes"]).await?;
        assert_eq!(ran.code, 2, "{wrong:?}: {}", ran.err);
        ensure!(!ran.err.contains('\u{1b}'), "{}", ran.err);
    }
    let none = stage
        .refused(OperationKind::Move, "/web/front", Params::default())
        .await?;
    assert_eq!(none.code, ErrorCode::BadRequest);
    let other = stage
        .refused(OperationKind::Deploy, "/web/front", to_name("/x")?)
        .await?;
    ensure!(other.detail.contains("no parameter `to`"), "{other:#?}");
    ensure!(stage.is_there("/web/front/vm1").await?);
    Ok(())
}

#[tokio::test]
async fn nothing_that_is_deployed_moves() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.deploy("/web/front/vm1").await?;
    let problem = stage
        .move_refused("/web/front/vm1", "/db/vm1", ErrorCode::WrongState)
        .await?;
    ensure!(
        problem.detail.contains("deployed") && problem.detail.contains("undeploy"),
        "{problem:#?}"
    );
    for (from, to) in [("/web/front", "/db/front"), ("/web", "/shop")] {
        let problem = stage.move_refused(from, to, ErrorCode::WrongState).await?;
        ensure!(problem.detail.contains("/web/front/vm1"), "{problem:#?}");
        assert_eq!(problem.errors.len(), 1);
        assert_eq!(problem.errors[0].message.as_deref(), Some("deployed"));
        ensure!(problem.hint.unwrap_or_default().contains("undeploy"));
    }
    // Its sibling does, and the folder does once it can.
    stage.moved("/web/front/vm2", "/db/vm2").await?;
    stage.undeploy("/web/front/vm1").await?;
    stage.moved("/web", "/shop").await?;
    ensure!(stage.is_there("/shop/front/vm1").await?);
    Ok(())
}

#[tokio::test]
async fn an_edit_of_a_folder_shows_what_is_pending_for_machines_then() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.deploy("/web/front/vm1").await?;
    let shown = stage
        .cli(&["edit", "/web", "memory=16GiB", "--dry-run"])
        .await?;
    ensure!(
        shown.contains("pending changes of deployed machines"),
        "{shown}"
    );
    ensure!(
        shown.contains("/web/front/vm1  memory 4096 MiB -> 16384 MiB"),
        "{shown}"
    );
    ensure!(shown.contains("4 GiB -> 16 GiB"), "{shown}");
    let node = stage.node("/web/front/vm1").await?;
    assert_eq!(node.pending_changes, [""; 0]);
    let preview = stage
        .preview(
            OperationKind::Reconfigure,
            "/web/front/vm1",
            defined(json!({"vcpu": 4})),
        )
        .await?;
    assert_eq!(preview.pending.len(), 1);
    assert_eq!(preview.pending[0].after, ["vcpu 2 -> 4"]);
    // A machine's own commands have plans, not previews.
    let request = enginehouse_tests::request(OperationKind::Stop, "/web", Params::default())?;
    let error = stage
        .host
        .client()
        .preview(&request, None)
        .await
        .unwrap_err();
    ensure!(
        error.to_string().contains("no change of the tree"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_moves_while_something_below_is_under_way() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("create".to_owned(), 60_000);
    })?;
    let deploy = stage
        .begin(OperationKind::Deploy, "/web/front/vm1", Params::default())
        .await?;
    for (from, to) in [("/web/front", "/db/front"), ("/web", "/shop")] {
        let problem = stage.move_refused(from, to, ErrorCode::WrongState).await?;
        let named = format!("{} (deploy /web/front/vm1)", deploy.number);
        ensure!(problem.detail.contains(&named), "{problem:#?}");
    }
    // The node itself will be deployed, if all goes well.
    let problem = stage
        .refused(OperationKind::Move, "/web/front/vm1", to_name("/db/vm1")?)
        .await?;
    assert_eq!(problem.code, ErrorCode::WrongState);
    ensure!(problem.detail.contains("deployed"), "{problem:#?}");
    stage.moved("/web/front/vm2", "/db/vm2").await?;
    Ok(())
}

#[tokio::test]
async fn a_move_waits_for_the_operations_of_its_node_and_what_comes_after_follows_it() -> Result<()>
{
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.deploy("/web/front/vm1").await?;
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("destroy".to_owned(), 1500);
    })?;
    let undeploy = stage
        .begin(
            OperationKind::Undeploy,
            "/web/front/vm1",
            enginehouse_tests::confirmed(),
        )
        .await?;
    let edit = Params {
        changes: vec![enginehouse_api::Change::Set {
            key: vec!["vcpu".to_owned()],
            value: json!(3),
        }],
        ..Params::default()
    };
    let edit = stage
        .begin(OperationKind::Edit, "/web/front/vm1", edit)
        .await?;
    let moved = stage
        .begin(OperationKind::Move, "/web/front/vm1", to_name("/db/vm1")?)
        .await?;
    let deploy = stage
        .begin(OperationKind::Deploy, "/web/front/vm1", Params::default())
        .await?;
    assert_eq!(moved.state, OperationState::Pending);
    for operation in [undeploy, edit, moved, deploy] {
        let ended = stage.ended(operation.number).await?;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    }
    let node = stage.node("/db/vm1").await?;
    assert_eq!(node.status, Some(enginehouse_api::Status::Deployed));
    let config = node.deployed_config.unwrap_or_default();
    assert_eq!((config.vcpu, config.memory), (Some(3), Some(2 << 30)));
    ensure!(!stage.is_there("/web/front/vm1").await?);
    Ok(())
}

#[tokio::test]
async fn a_move_that_waited_is_refused_when_its_place_is_taken_meanwhile() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.deploy("/web/front/vm1").await?;
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("destroy".to_owned(), 1500);
    })?;
    let kind = OperationKind::Undeploy;
    let undeploy = stage
        .begin(kind, "/web/front/vm1", enginehouse_tests::confirmed())
        .await?;
    let moved = stage
        .begin(OperationKind::Move, "/web/front/vm1", to_name("/db/vm1")?)
        .await?;
    stage.provision("/db/vm1", json!({})).await?;
    stage.ended(undeploy.number).await?;
    let ended = stage.ended(moved.number).await?;
    assert_eq!(ended.state, OperationState::Failed);
    let node = stage.node("/web/front/vm1").await?;
    let error = node.last_error.expect("a last error");
    ensure!(error.message.contains("exists already"), "{error:#?}");
    assert_eq!(error.operation, Some(moved.number));
    // The next success clears it.
    stage.moved("/web/front/vm1", "/db/vm3").await?;
    assert_eq!(stage.node("/db/vm3").await?.last_error, None);
    Ok(())
}

#[tokio::test]
async fn a_move_that_was_answered_is_there_after_a_kill() -> Result<()> {
    let Some(mut stage) = stage().await? else {
        return Ok(());
    };
    for round in 0..3 {
        let (from, to) = match round % 2 {
            0 => ("/web/front", "/db/front"),
            _ => ("/db/front", "/web/front"),
        };
        let moved = stage.moved(from, to).await?;
        stage.host.kill().await?;
        stage.host.restart().await?;
        ensure!(stage.is_there(&format!("{to}/vm1")).await?, "round {round}");
        ensure!(!stage.is_there(from).await?, "round {round}");
        let again = stage.host.client().operation(moved.number).await?;
        assert_eq!(again.to, moved.to);
        let history = stage.history(to).await?;
        assert_eq!(history.entries[0].operation, Some(moved.number));
        assert_eq!(history.entries[0].path.to_string(), to);
    }
    Ok(())
}

#[tokio::test]
async fn a_move_that_waits_goes_on_after_a_kill() -> Result<()> {
    let Some(mut stage) = stage().await? else {
        return Ok(());
    };
    stage.deploy("/web/front/vm1").await?;
    stage.sim.tune(|knobs| {
        knobs.task_ms_of.insert("destroy".to_owned(), 1500);
    })?;
    let kind = OperationKind::Undeploy;
    stage
        .begin(kind, "/web/front/vm1", enginehouse_tests::confirmed())
        .await?;
    let moved = stage
        .begin(OperationKind::Move, "/web/front/vm1", to_name("/db/vm1")?)
        .await?;
    stage.host.kill().await?;
    stage.host.restart().await?;
    let ended = stage.ended(moved.number).await?;
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:#?}");
    ensure!(stage.is_there("/db/vm1").await?);
    Ok(())
}

#[tokio::test]
async fn a_failed_deploy_leaves_an_error_and_the_next_success_clears_it() -> Result<()> {
    let Some(stage) = stage().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| {
        knobs.faults.push(Fault::once(
            Call::MachineCreate,
            FaultEffect::TaskError {
                message: "no space on the datastore".to_owned(),
                leave_half: false,
            },
        ));
    })?;
    let failed = stage
        .begin(OperationKind::Deploy, "/web/front/vm1", Params::default())
        .await?;
    let failed = stage.ended(failed.number).await?;
    assert_eq!(failed.state, OperationState::Failed, "{failed:#?}");
    let node = stage.node("/web/front/vm1").await?;
    let error = node.last_error.expect("a last error");
    ensure!(
        error.message.contains("no space on the datastore"),
        "{error:#?}"
    );
    let last = node.last_operation.expect("a last operation");
    assert_eq!(
        (last.number, last.outcome),
        (failed.number, OperationState::Failed)
    );
    stage.deploy("/web/front/vm1").await?;
    let node = stage.node("/web/front/vm1").await?;
    assert_eq!(node.last_error, None);
    let last = node.last_operation.expect("a last operation");
    assert_eq!(last.outcome, OperationState::Succeeded);
    Ok(())
}
