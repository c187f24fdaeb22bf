//! A folder of ten thousand.

use std::time::Instant;

use anyhow::{Result, ensure};
use enginehouse_api::OperationKind;
use enginehouse_model::NodeUid;
use enginehouse_store::{Commit, Document, Opening, Store, Table};
use enginehouse_tree::Node;
use serde_json::json;
use uuid::Uuid;

use enginehouse_tests::{Stage, to_name};

const MACHINES: usize = 10_000;

/// Writes the descriptors into the store of a host that does not run: ordering them one by one would
/// be a test of something else.
fn fill(data: &std::path::Path, folder: NodeUid) -> Result<()> {
    let opening = Opening {
        host: "test".to_owned(),
        first_installation: enginehouse_model::InstallationId::from_uuid(Uuid::now_v7()),
        max_pages: None,
    };
    let (store, loaded) = Store::open(data, &opening)?;
    let mut commit = Commit::new(loaded.fence);
    for at in 0..MACHINES {
        let uid = NodeUid::from_uuid(Uuid::now_v7());
        let mut node = Node::descriptor(uid, folder, &format!("vm{at}"));
        node.local = enginehouse_tree::Definition::from_json(&json!({"vcpu": 1 + at % 8}))
            .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        commit = commit.put(Table::Node, uid.to_string(), Document::of(1, &node)?);
    }
    store.submit(commit).wait()?;
    Ok(())
}

#[tokio::test]
async fn a_folder_of_ten_thousand_is_previewed_and_moved_in_a_moment() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.folder("/big", json!({"memory": "2GiB"})).await?;
    stage.folder("/other", json!({"memory": "4GiB"})).await?;
    let uid = stage.node("/big").await?.uid;
    stage.host.kill().await?;
    let data = stage.host.data_dir().to_owned();
    tokio::task::spawn_blocking(move || fill(&data, uid)).await??;
    stage.host.restart().await?;

    let began = Instant::now();
    let preview = stage
        .preview(OperationKind::Move, "/big", to_name("/other/big")?)
        .await?;
    let previewed = began.elapsed();
    // The folder says its own memory: all get another name, none another value.
    assert_eq!(preview.counts.renamed, MACHINES as u64 + 1);
    assert_eq!(preview.counts.changed, 0);
    let shown = stage
        .cli(&["edit", "/big", "memory=3GiB", "--dry-run"])
        .await?;
    ensure!(shown.contains("and 9981 more nodes"), "{shown}");
    ensure!(shown.lines().count() < 60, "{shown}");

    let began = Instant::now();
    stage.moved("/big", "/other/big").await?;
    let moved = began.elapsed();
    eprintln!("preview of {MACHINES}: {previewed:?}, move: {moved:?}");
    ensure!(stage.is_there("/other/big/vm9999").await?);
    let history = stage.history("/other/big").await?;
    assert_eq!(history.entries.len(), 2, "created and moved: {history:#?}");
    let own = stage.history("/other/big/vm9999").await?;
    assert_eq!(own.entries.len(), 0, "one row for a move, not ten thousand");
    Ok(())
}
