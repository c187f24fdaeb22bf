//! `depends_on`: what is deployed before what, and taken down after it.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationState, Params};
use enginehouse_sim::{Call, Fault, FaultEffect};
use enginehouse_tests::{Stage, confirmed};
use serde_json::json;

/// `web` needs `app`, which needs all in `data`; their names are the other way round.
async fn estate() -> Result<Option<Stage>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    stage.folder("/shop", json!({})).await?;
    stage.folder("/shop/z-data", json!({})).await?;
    stage.provision("/shop/z-data/db", json!({})).await?;
    stage
        .provision("/shop/b-app", json!({"depends_on": ["/shop/z-data"]}))
        .await?;
    stage
        .provision("/shop/a-web", json!({"depends_on": ["/shop/b-app"]}))
        .await?;
    Ok(Some(stage))
}

/// Its parts in the order in which they began, each only after the one before had ended.
async fn one_after_the_other(stage: &Stage, whole: &Operation) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    for child in &whole.children {
        parts.push(stage.host.client().operation(child.number).await?);
    }
    parts.sort_by_key(|part| part.started_at);
    for pair in parts.windows(2) {
        let (ended, began) = (pair[0].ended_at, pair[1].started_at);
        ensure!(ended <= began && ended.is_some(), "{parts:#?}");
    }
    Ok(parts.iter().map(|part| part.path.to_string()).collect())
}

#[tokio::test]
async fn each_comes_after_what_it_needs_and_goes_before_it() -> Result<()> {
    let Some(stage) = estate().await? else {
        return Ok(());
    };
    let whole = stage.deploy("/shop").await?;
    assert_eq!(
        one_after_the_other(&stage, &whole).await?,
        ["/shop/z-data/db", "/shop/b-app", "/shop/a-web"]
    );
    let whole = stage.undeploy("/shop").await?;
    assert_eq!(
        one_after_the_other(&stage, &whole).await?,
        ["/shop/a-web", "/shop/b-app", "/shop/z-data/db"]
    );
    Ok(())
}

#[tokio::test]
async fn what_needs_a_machine_that_failed_is_not_begun() -> Result<()> {
    let Some(stage) = estate().await? else {
        return Ok(());
    };
    stage.sim.tune(|knobs| {
        let refuses = FaultEffect::Answer {
            status: 422,
            code: "invalid".to_owned(),
            message: "no such image".to_owned(),
        };
        knobs.faults = vec![Fault::once(Call::MachineCreate, refuses)];
    })?;
    let begun = stage
        .begin(OperationKind::Deploy, "/shop", Params::default())
        .await?;
    let ended = stage.ended(begun.number).await?;
    assert_eq!(ended.state, OperationState::Failed);
    let web = ended
        .children
        .iter()
        .find(|part| part.path.name() == "a-web");
    let error = web
        .and_then(|part| part.error.as_ref())
        .context("no error")?;
    ensure!(
        error.message.contains("not begun") && error.message.contains("/shop/b-app"),
        "{error:?}"
    );
    let made = stage.sim.world().machines.len();
    assert_eq!(made, 0, "nothing was made");
    Ok(())
}

#[tokio::test]
async fn what_is_needed_has_to_be_there_or_on_its_way() -> Result<()> {
    let Some(stage) = estate().await? else {
        return Ok(());
    };
    let refused = stage
        .refused(OperationKind::Deploy, "/shop/a-web", Params::default())
        .await?;
    ensure!(
        refused.detail == "/shop/a-web depends on /shop/b-app, which is not deployed"
            && refused.hint.is_some(),
        "{refused:?}"
    );
    stage.deploy("/shop/z-data").await?;
    stage.sim.tune(|knobs| knobs.task_ms = 400)?;
    let app = stage
        .begin(OperationKind::Deploy, "/shop/b-app", Params::default())
        .await?;
    let web = stage
        .begin(OperationKind::Deploy, "/shop/a-web", Params::default())
        .await?;
    let waits = web.waiting_for.context("it does not wait")?;
    ensure!(
        waits.contains(&format!("operation {}", app.number)),
        "{waits}"
    );
    let (app, web) = (
        stage.ended(app.number).await?,
        stage.ended(web.number).await?,
    );
    assert_eq!(web.state, OperationState::Succeeded, "{web:#?}");
    ensure!(web.started_at >= app.ended_at);
    Ok(())
}

#[tokio::test]
async fn machines_that_need_each_other_are_refused_by_name() -> Result<()> {
    let Some(stage) = estate().await? else {
        return Ok(());
    };
    stage
        .provision("/shop/c", json!({"depends_on": ["/shop/d"]}))
        .await?;
    stage
        .provision("/shop/d", json!({"depends_on": ["/shop/c"]}))
        .await?;
    let refused = stage
        .refused(OperationKind::Deploy, "/shop", Params::default())
        .await?;
    ensure!(
        refused.detail == "they depend on each other: /shop/c, /shop/d",
        "{refused:?}"
    );
    stage
        .provision("/shop/e", json!({"depends_on": ["/nowhere"]}))
        .await?;
    let refused = stage
        .refused(OperationKind::Deploy, "/shop/e", confirmed())
        .await?;
    ensure!(
        refused.detail == "/shop/e depends on /nowhere, which is not there",
        "{refused:?}"
    );
    Ok(())
}
