//! A machine keeps the hypervisor that it is on, whatever its definition says by now.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use enginehouse_api::{Change, ClientError, ErrorCode, ImportRequest, OperationKind, Params};
use serde_json::json;

use enginehouse_tests::Stage;

fn changes(changes: Vec<Change>) -> Params {
    Params {
        changes,
        ..Params::default()
    }
}

fn unset(keys: &[&str]) -> Change {
    Change::Unset {
        key: keys.iter().map(|&key| key.to_owned()).collect(),
    }
}

fn set(key: &str, value: &str) -> Change {
    Change::Set {
        key: vec![key.to_owned()],
        value: json!(value),
    }
}

#[tokio::test]
async fn the_entry_of_a_machine_on_record_stays_also_when_its_definition_names_another()
-> Result<()> {
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let entry = json!({"type": "fake", "host": stage.sim.url()});
    let hypervisors = json!({"hypervisors": {"a": entry, "b": entry}, "use_hypervisor": "a"});
    stage.folder("/web", hypervisors).await?;
    stage.provision("/web/vm1", json!({})).await?;
    stage.deploy("/web/vm1").await?;
    let kind = OperationKind::Edit;
    stage
        .order(kind, "/web", changes(vec![set("use_hypervisor", "b")]))
        .await?;

    let gone = || changes(vec![unset(&["hypervisors", "a"])]);
    let refused = stage.refused(kind, "/web", gone()).await?;
    assert_eq!(refused.code, ErrorCode::Conflict, "{refused:#?}");
    ensure!(refused.detail.contains("/web/vm1"), "{refused:#?}");
    let whole = enginehouse_tests::defined(json!({"hypervisors": {"b": entry}}));
    let refused = stage.refused(kind, "/web", whole).await?;
    assert_eq!(refused.code, ErrorCode::Conflict, "{refused:#?}");
    let url = stage.sim.url();
    let text = format!("hypervisors: {{b: {{type: fake, host: '{url}'}}}}\nuse_hypervisor: b\n");
    let import = ImportRequest {
        path: "/web".parse()?,
        files: BTreeMap::from([("_folder.yaml".to_owned(), text)]),
        prune: false,
        dry_run: false,
        no_reconfigure: false,
        confirm_lowered: false,
        confirm_destructive: false,
        digest: None,
    };
    match stage.host.client().import(&import).await {
        Err(ClientError::Refused(problem)) => {
            ensure!(problem.errors.len() == 1, "{problem:#?}");
            let said = problem.errors[0].message.clone().unwrap_or_default();
            ensure!(said.contains("/web/vm1"), "{problem:#?}");
        }
        other => anyhow::bail!("{other:#?}"),
    }

    // With the machine goes what holds the entry.
    stage.undeploy("/web/vm1").await?;
    stage.order(kind, "/web", gone()).await?;
    Ok(())
}
