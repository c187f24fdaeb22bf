//! What is protected is not destroyed, whoever asks and by whatever route.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{
    AuditFilter, ErrorCode, OnFailure, OperationKind, OperationState, Params, Status,
};
use enginehouse_tests::{Stage, confirmed};
use serde_json::json;

/// The gate's entries of the audit log about a node, the oldest first: decision, and action or reason.
async fn decisions(stage: &Stage, path: &str) -> Result<Vec<String>> {
    let filter = AuditFilter {
        path: Some(path.parse()?),
        action: Some("gate".to_owned()),
        after: Some(0),
        ..AuditFilter::default()
    };
    let page = stage.host.client().audit(&filter).await?;
    let entries = page.entries.into_iter().map(|line| {
        let detail = line.entry.detail;
        let what = detail.get("action").or(detail.get("reason"));
        format!(
            "{}: {}",
            detail["decision"],
            what.map_or("", String::as_str)
        )
    });
    Ok(entries.collect())
}

#[tokio::test]
async fn an_undeploy_of_what_is_protected_is_refused_until_somebody_says_that_it_is_not()
-> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({"protect": true})).await?;
    stage.provision("/web/vm1", json!({})).await?;
    stage.deploy("/web/vm1").await?;
    for path in ["/web/vm1", "/web", "/"] {
        let refused = stage
            .refused(OperationKind::Undeploy, path, confirmed())
            .await?;
        ensure!(refused.code == ErrorCode::Forbidden, "{refused:#?}");
        ensure!(refused.detail.contains("/web protects it"), "{refused:#?}");
        let hint = refused.hint.unwrap_or_default();
        ensure!(hint.contains("--lower-protection"), "{hint}");
    }
    let plan = stage.cli(&["plan", "/web/vm1", "--undeploy"]).await?;
    ensure!(plan.contains("/web protects /web/vm1"), "{plan}");
    ensure!(decisions(&stage, "/web/vm1").await?.is_empty());

    let edit = ["edit", "/web", "protect=false"];
    let refused = stage.run(&edit).await?;
    ensure!(refused.code != 0, "{refused:?}");
    ensure!(
        refused.err.contains("/web: protect true -> false"),
        "{}",
        refused.err
    );
    ensure!(stage.computed("/web/vm1", "protect").await.is_ok());
    stage
        .cli(&[edit.as_slice(), &["--lower-protection"]].concat())
        .await?;
    stage.undeploy("/web/vm1").await?;
    ensure!(decisions(&stage, "/web/vm1").await? == ["passed: destroy"]);
    let listed = stage
        .cli(&["audit", "list", "--action", "protection"])
        .await?;
    ensure!(listed.contains("lowers: protect"), "{listed}");
    stage.cli(&["audit", "verify"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_machine_that_is_protected_while_its_undeploy_waits_stays() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({})).await?;
    stage.provision("/web/vm1", json!({})).await?;
    stage.deploy("/web/vm1").await?;
    stage.sim.tune(|knobs| knobs.away = true)?;
    let undeploy = stage
        .begin(OperationKind::Undeploy, "/web/vm1", confirmed())
        .await?;
    stage.cli(&["edit", "/web", "protect=true"]).await?;
    stage.sim.tune(|knobs| knobs.away = false)?;
    stage.cli(&["hypervisors", "check"]).await?;
    let ended = stage.ended(undeploy.number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let message = ended.error.context("no reason")?.message;
    ensure!(message.contains("/web protects /web/vm1"), "{message}");
    let node = stage.node("/web/vm1").await?;
    ensure!(node.status == Some(Status::Deployed), "{node:#?}");
    let decisions = decisions(&stage, "/web/vm1").await?;
    let [held] = decisions.as_slice() else {
        anyhow::bail!("{decisions:?}");
    };
    ensure!(held.starts_with("held: destroy is destructive"), "{held}");
    Ok(())
}

#[tokio::test]
async fn a_rollback_does_not_destroy_what_it_made_where_that_is_protected() -> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/web", json!({"protect": true})).await?;
    stage.provision("/web/a", json!({})).await?;
    let after_a = json!({"base_image": "there-is-none", "depends_on": ["/web/a"]});
    stage.provision("/web/b", after_a).await?;
    let params = Params {
        on_failure: Some(OnFailure::Rollback),
        ..Params::default()
    };
    let deploy = stage.begin(OperationKind::Deploy, "/web", params).await?;
    let ended = stage.ended(deploy.number).await?;
    ensure!(ended.state == OperationState::Failed, "{ended:#?}");
    let kept = stage.node("/web/a").await?;
    ensure!(kept.machine_id.is_some(), "{kept:#?}");
    let decisions = decisions(&stage, "/web/a").await?;
    ensure!(
        decisions.iter().any(|held| held.starts_with("held: ")),
        "{decisions:?}"
    );
    Ok(())
}
