//! Machines that are on a hypervisor already are taken into the tree, as they are.

#[cfg(test)]
mod many;
#[cfg(test)]
mod taken;
#[cfg(test)]
mod troubles;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Operation, OperationKind, Params, PlanRequest};
use enginehouse_tests::{Host, Stage};
use serde_json::{Value, json};

/// Makes a machine behind the host's back; answers its id.
async fn made(stage: &Stage, name: &str, configuration: Value) -> Result<String> {
    let mut body = configuration;
    body["name"] = json!(name);
    let url = format!("{}/v1/machines", stage.sim.url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let id = answer["machine"].as_str().context("no id")?.to_owned();
    // Its task has to end.
    let task = answer["task"].as_str().context("no task")?;
    let url = format!("{}/v1/tasks/{task}", stage.sim.url());
    loop {
        let task: Value = reqwest::get(&url).await?.json().await?;
        if task["state"] == "ended" {
            return Ok(id);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Two machines that somebody has made: `web` and `db`.
async fn found() -> Result<Option<(Stage, String, String)>> {
    let Some(stage) = Stage::start().await? else {
        return Ok(None);
    };
    let web = json!({
        "vcpu": 2, "memory": 2_147_483_648_u64, "description": "the shop",
        "labels": {"team": "web"},
        "disks": {"root": {"size": 8_589_934_592_u64}},
        "nics": {"lan": {"network": "lan", "vlan": 20}},
    });
    let web = made(&stage, "web", web).await?;
    let db = json!({"base_image": "d12", "vcpu": 1, "memory": 1_073_741_824_u64});
    let db = made(&stage, "db", db).await?;
    Ok(Some((stage, web, db)))
}

/// The text of a plan.
async fn plan(host: &Host, kind: OperationKind, path: &str) -> Result<String> {
    let request = PlanRequest {
        kind,
        path: path.parse()?,
        params: Params::default(),
        limit: None,
        refresh: true,
    };
    let plan = host.client().plan(&request).await?;
    Ok(plan.text)
}

/// There is nothing to do below.
async fn is_as_defined(host: &Host, path: &str) -> Result<()> {
    let text = plan(host, OperationKind::Reconfigure, path).await?;
    ensure!(
        text.contains("nothing to do on") && !text.contains("drift") && !text.contains("pending"),
        "{text}"
    );
    Ok(())
}

fn operation(answer: Value) -> Result<Operation> {
    Ok(serde_json::from_value(answer["operation"].clone())?)
}
