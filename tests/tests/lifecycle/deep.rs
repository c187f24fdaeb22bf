//! The deepest definition that is accepted, in everything that is written of it.

use anyhow::Result;
use enginehouse_api::{OperationKind, Params};
use enginehouse_tests::defined;
use enginehouse_tree::DEFINITION_DEPTH_MAX;
use serde_json::{Value, json};

use enginehouse_tests::Stage;

/// A definition of so many levels.
fn deep(levels: usize) -> Value {
    let inner = (3..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    json!({"guest": {"dns": {"a": inner}}})
}

#[tokio::test]
async fn the_deepest_definition_is_queued_and_written_and_read_again_after_a_kill() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    stage.deploy("/vm1").await?;
    // Waits in the lane, journalled with its definition.
    stage.sim.tune(|knobs| knobs.task_ms = 3_000)?;
    let restart = stage
        .begin(OperationKind::Restart, "/vm1", Params::default())
        .await?;
    let definition = deep(DEFINITION_DEPTH_MAX);
    let waits = stage
        .begin(
            OperationKind::Reconfigure,
            "/vm1",
            defined(definition.clone()),
        )
        .await?;
    stage.host.kill().await?;
    stage.host.restart().await?;
    stage.ended(restart.number).await?;
    stage.ended(waits.number).await?;
    let written = stage.node("/vm1").await?.local_definition;
    assert_eq!(Value::Object(written), definition);
    stage.host.kill().await?;
    stage.host.restart().await?;
    let history = stage.history("/vm1").await?;
    let last = history
        .entries
        .iter()
        .find_map(|entry| entry.definition.clone());
    assert_eq!(
        last.and_then(|both| both.after).map(Value::Object),
        Some(definition)
    );
    Ok(())
}
