//! What several stories need.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enginehouse_api::Operation;
use enginehouse_model::OperationId;
use enginehouse_tests::Stage;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// The operation as soon as it is as wanted.
pub async fn when(
    stage: &Stage,
    number: OperationId,
    wanted: impl Fn(&Operation) -> bool,
) -> Result<Operation> {
    let began = Instant::now();
    loop {
        let operation = stage.host.client().operation(number).await?;
        if wanted(&operation) {
            return Ok(operation);
        }
        let log = || stage.host.log();
        ensure!(!operation.state.has_ended(), "{operation:#?}\n{}", log());
        ensure!(began.elapsed() < PATIENCE, "{operation:#?}\n{}", log());
        tokio::time::sleep(LOOK).await;
    }
}

/// It waits for a task of the provider.
pub fn waits_for_task(operation: &Operation) -> bool {
    operation.steps.iter().any(|step| step.task.is_some())
}

/// Runs a command that succeeds; answers its JSON.
pub async fn json(stage: &Stage, arguments: &[&str]) -> Result<Value> {
    let ran = stage.run(&[arguments, &["-o", "json"]].concat()).await?;
    ensure!(ran.code == 0, "{arguments:?}: {}{}", ran.out, ran.err);
    Ok(serde_json::from_str(&ran.out)?)
}
