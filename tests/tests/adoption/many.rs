//! Five hundred at once.

use anyhow::{Result, ensure};
use enginehouse_api::OperationState;
use enginehouse_tests::{FakePveOptions, Site, counts};

use crate::{is_as_defined, operation};

#[tokio::test]
async fn five_hundred_machines_are_adopted_with_one_command() -> Result<()> {
    const MACHINES: usize = 500;
    let pve = FakePveOptions {
        machines: 500,
        ..FakePveOptions::default()
    };
    let Some(site) = Site::with_root(pve).await? else {
        return Ok(());
    };
    site.pve.take_exchanges().await?;
    let said = site
        .cli(&["adopt", "pve", "--into", "/", "-o", "json"])
        .await?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    let adopted = operation(said.clone())?;
    ensure!(adopted.state == OperationState::Succeeded, "{adopted:#?}");
    assert_eq!(said["adopted"].as_array().map(Vec::len), Some(MACHINES));
    assert_eq!(said["templates"], 1);
    let asked = counts(&site.pve.take_exchanges().await?);
    let all: usize = asked.values().sum();
    println!("{all} requests for {MACHINES} machines: {asked:#?}");
    assert_eq!(
        asked.get("PUT /nodes/{node}/qemu/{vmid}/config"),
        Some(&MACHINES)
    );
    // To be described, before the mark is written, and to write it: its configuration three times.
    ensure!(all <= 6 * MACHINES, "{asked:#?}");
    is_as_defined(&site.host, "/").await
}
