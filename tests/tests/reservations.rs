//! Ids that the provider lets us choose.

use anyhow::{Context, Result};
use enginehouse_api::{OperationKind, Params};
use enginehouse_tests::{FakePveOptions, HostOptions, Site};
use serde_json::json;

#[tokio::test]
async fn machines_that_share_one_list_are_not_refused_each_other_s_vmid() -> Result<()> {
    let site = Site::start(FakePveOptions::default(), HostOptions::default()).await?;
    let Some(site) = site else {
        return Ok(());
    };
    // One after another: the list that all of them wait for is older than the first machine.
    site.set_root(site.entry_with(json!({ "limits": { "concurrent": 1 } })))
        .await?;
    for n in 1..=4 {
        site.provision(&format!("/vm{n}"), json!({})).await?;
    }
    site.pve.take_exchanges().await?;
    site.order(OperationKind::Deploy, "/", Params::default())
        .await?;
    let seen = site.pve.exchanges().await?;
    let (lists, clones): (Vec<_>, Vec<_>) = seen
        .iter()
        .filter(|seen| seen.path.contains("/cluster/resources") || seen.path.ends_with("/clone"))
        .partition(|seen| seen.method == "GET");
    assert_eq!(lists.len(), 1);
    let statuses: Vec<u16> = clones.iter().filter_map(|seen| seen.status).collect();
    assert_eq!(statuses, [200; 4]);
    let last = site.vmid("/vm4").await.context("no machine")?;
    assert_eq!(last, 103);
    Ok(())
}
