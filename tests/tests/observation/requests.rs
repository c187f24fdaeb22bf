//! What looking costs, counted on the provider's side.

use anyhow::{Result, ensure};
use enginehouse_tests::{FakePveOptions, Site, counts};

/// Machines that are looked at in one call of the engine, which asks for their run states once.
const AT_ONCE: usize = 50;

#[tokio::test]
async fn a_refresh_costs_one_request_however_many_machines_there_are() -> Result<()> {
    println!("| machines | refresh | full refresh | for each |");
    for machines in [1_u32, 100, 1000] {
        let pve = FakePveOptions {
            machines,
            ..FakePveOptions::default()
        };
        let Some(site) = Site::with_root(pve).await? else {
            return Ok(());
        };
        // The first one asks who the provider is, too.
        site.cli(&["hypervisors", "refresh", "pve"]).await?;
        let first = site.pve.take_exchanges().await?;
        ensure!(first.len() <= 4, "{:#?}", counts(&first));
        site.cli(&["hypervisors", "refresh", "pve"]).await?;
        let again = counts(&site.pve.take_exchanges().await?);
        assert_eq!(again.get("GET /cluster/resources"), Some(&1));
        assert_eq!(again.values().sum::<usize>(), 1, "{again:#?}");

        let said = site
            .cli(&["hypervisors", "refresh", "pve", "--full"])
            .await?;
        let all = machines as usize + 1;
        ensure!(said.contains(&format!("{all} read in full")), "{said}");
        let full = counts(&site.pve.take_exchanges().await?);
        let sum: usize = full.values().sum();
        // The template is a machine too. Where there are few, each is asked for its run state.
        let states = if all < 3 { all } else { all.div_ceil(AT_ONCE) };
        assert_eq!(sum, 1 + all + states, "{full:#?}");
        let hundredths = sum * 100 / all;
        println!(
            "| {all} | 1 | {sum} | {}.{:02} |",
            hundredths / 100,
            hundredths % 100
        );
    }
    Ok(())
}
