//! Every step of every kind of operation, with its answer lost, with the host killed before it could
//! write the answer down, and with the provider refusing it: one table, the same for the simulated
//! hypervisor and for Proxmox VE.
//!
//! A step whose answer is lost is repeated or settled, and the operation succeeds as if nothing had
//! been; a step that is refused ends the operation, what was there before stays, and the same order
//! again succeeds. The steps that take an operation back are among them: refused, what was not taken
//! back is named, and the next order mends it. What is counted is what the provider did, not what it
//! was asked. A step that runs here and has no row of its own is a failure.

mod cells;
mod provider;
mod rows;
mod stage;

use anyhow::Result;

use cells::table;
use provider::Provider;
use rows::TABLE;
use stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_on_the_simulated_hypervisor() -> Result<()> {
    let Some(provider) = Provider::sim().await? else {
        return Ok(());
    };
    let mut stage = Stage::start(provider).await?;
    pretty(&table(&mut stage).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_on_proxmox() -> Result<()> {
    let Some(provider) = Provider::pve().await? else {
        return Ok(());
    };
    let mut stage = Stage::start(provider).await?;
    pretty(&table(&mut stage).await?);
    Ok(())
}

/// Compares line by line: a long table that differs in one place is no text to search in.
fn pretty(found: &str) {
    let differing: Vec<(&str, &str)> = TABLE
        .lines()
        .zip(found.lines())
        .filter(|(expected, found)| expected != found)
        .collect();
    assert!(differing.is_empty(), "{differing:#?}\n{found}");
    assert_eq!(TABLE.lines().count(), found.lines().count(), "{found}");
}
