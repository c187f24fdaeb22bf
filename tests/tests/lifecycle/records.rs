//! What is protected on the machine's own record: at once, and whatever becomes of its descriptor.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Change, ErrorCode, OperationKind, OperationState, Params, Status};
use enginehouse_sim::Call;
use enginehouse_tests::{Stage, confirmed, defined};
use serde_json::json;

/// `/web/vm1` is deployed.
async fn deployed() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage.folder("/web", json!({})).await?;
    stage
        .provision("/web/vm1", json!({"disks": {"data": {"size": "1GiB"}}}))
        .await?;
    stage.deploy("/web/vm1").await?;
    Ok(Some(stage))
}

fn destroyed(stage: &Stage) -> u64 {
    let requests = stage.sim.requests();
    requests.count(Call::MachineDestroy) + requests.count(Call::DiskRemove)
}

#[tokio::test]
async fn a_machine_that_is_protected_stays_by_every_route_until_somebody_says_that_it_need_not()
-> Result<()> {
    let Some(mut stage) = deployed().await? else {
        return Ok(());
    };
    let said = stage.cli(&["protect", "/web/vm1"]).await?;
    ensure!(said.contains("protected /web/vm1"), "{said}");
    // It survives a kill, and an edit of what is above.
    stage.host.kill().await?;
    stage.host.restart().await?;
    stage
        .order(
            OperationKind::Edit,
            "/web",
            defined(json!({"protect": false})),
        )
        .await?;
    for path in ["/web/vm1", "/web"] {
        let refused = stage
            .refused(OperationKind::Undeploy, path, confirmed())
            .await?;
        ensure!(refused.code == ErrorCode::Forbidden, "{refused:#?}");
        let hint = refused.hint.unwrap_or_default();
        ensure!(hint.contains("enginehouse unprotect /web/vm1"), "{hint}");
    }
    // A replace, and the removal of a disk.
    let replaced = Change::Set {
        key: vec!["base_image".to_owned()],
        value: json!("d13"),
    };
    let removed = Change::Unset {
        key: vec!["disks".to_owned(), "data".to_owned()],
    };
    for change in [replaced, removed] {
        let params = Params {
            changes: vec![change],
            ..confirmed()
        };
        let begun = stage
            .begin(OperationKind::Reconfigure, "/web/vm1", params)
            .await?;
        let ended = stage.ended(begun.number).await?;
        ensure!(ended.state == OperationState::Failed, "{ended:#?}");
        let message = ended.error.context("no reason")?.message;
        ensure!(
            message.contains("protects the machine of /web/vm1"),
            "{message}"
        );
    }
    let plan = stage.cli(&["plan", "/web/vm1", "--undeploy"]).await?;
    ensure!(
        plan.contains("! protect: refused") && plan.contains("enginehouse unprotect /web/vm1"),
        "{plan}"
    );
    let shown = stage.cli(&["show", "/web/vm1"]).await?;
    ensure!(shown.contains("protected"), "{shown}");
    // What destroys nothing goes on.
    stage.cli(&["stop", "/web/vm1", "--force"]).await?;
    ensure!(destroyed(&stage) == 0);

    let unsaid = stage.run(&["unprotect", "/web/vm1"]).await?;
    ensure!(unsaid.code == 2, "{unsaid:?}");
    ensure!(
        unsaid.err.contains("/web/vm1: its machine, which")
            && unsaid.err.contains("--lower-protection"),
        "{}",
        unsaid.err
    );
    let node = stage.node("/web/vm1").await?;
    ensure!(node.protected.is_some(), "{node:#?}");
    stage
        .cli(&["unprotect", "/web/vm1", "--lower-protection"])
        .await?;
    ensure!(stage.node("/web/vm1").await?.protected.is_none());
    stage.undeploy("/web/vm1").await?;
    let listed = stage
        .cli(&["audit", "list", "--action", "protection"])
        .await?;
    ensure!(listed.contains("none -> protected"), "{listed}");
    ensure!(listed.contains("lowers: record"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn protect_acts_while_an_undeploy_waits_for_its_hypervisor() -> Result<()> {
    let Some(stage) = deployed().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| knobs.away = true)?;
    let undeploy = stage
        .begin(OperationKind::Undeploy, "/web/vm1", confirmed())
        .await?;
    stage.cli(&["protect", "/web"]).await?;
    stage.sim.tune(|knobs| knobs.away = false)?;
    stage.cli(&["hypervisors", "check"]).await?;
    let ended = stage.ended(undeploy.number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let message = ended.error.context("no reason")?.message;
    ensure!(
        message.contains("protects the machine of /web/vm1"),
        "{message}"
    );
    ensure!(destroyed(&stage) == 0);
    let node = stage.node("/web/vm1").await?;
    ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    Ok(())
}

#[tokio::test]
async fn there_has_to_be_a_machine_and_what_is_so_already_is_no_error() -> Result<()> {
    let Some(stage) = deployed().await? else {
        return Ok(());
    };
    stage.folder("/empty", json!({})).await?;
    stage.provision("/web/vm2", json!({})).await?;
    for path in ["/empty", "/web/vm2"] {
        let refused = stage
            .refused(OperationKind::Protect, path, Params::default())
            .await?;
        ensure!(refused.code == ErrorCode::WrongState, "{refused:#?}");
        ensure!(
            refused
                .hint
                .is_some_and(|hint| hint.contains("protect=true")),
            "no way out"
        );
    }
    for _ in 0..2 {
        stage.cli(&["protect", "/web"]).await?;
    }
    let listed = stage
        .cli(&["audit", "list", "--action", "protection"])
        .await?;
    ensure!(listed.matches("none -> protected").count() == 1, "{listed}");
    // Nothing is lowered by what was not protected.
    stage
        .cli(&["unprotect", "/web", "--lower-protection"])
        .await?;
    stage.cli(&["unprotect", "/web"]).await?;
    Ok(())
}
