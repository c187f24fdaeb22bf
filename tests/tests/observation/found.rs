//! What the host finds by itself, and whose it says that it is.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, Params, Whose};
use enginehouse_model::documents::PowerState;
use enginehouse_tests::{FakePveOptions, Site};
use serde_json::json;

use crate::{machine, page, until};

#[tokio::test]
async fn a_machine_that_was_changed_behind_our_back_is_found_without_anybody_asking() -> Result<()>
{
    let pve = FakePveOptions {
        machines: 2,
        ..FakePveOptions::default()
    };
    let Some(site) = Site::with_root(pve).await? else {
        return Ok(());
    };
    let entry = site.entry_with(json!({"observe": {"interval_s": 1, "full_s": 86400}}));
    site.set_root(entry).await?;
    let vmid = site.deployed().await?;
    let id = vmid.to_string();
    until("the machine is listed and read in full", async || {
        let page = page(&site.host, "pve").await?;
        Ok(machine(&page, &id).is_some_and(|found| found.read_at.is_some()))
    })
    .await?;
    let before = page(&site.host, "pve").await?;
    let ours = machine(&before, &id).context("it is gone")?;
    assert_eq!((ours.whose, ours.power), (Whose::Ours, PowerState::Running));
    assert_eq!(ours.path, Some("/vm1".parse()?));
    let template = machine(&before, "9000").context("no template")?;
    assert_eq!(template.whose, Whose::Template);
    // Neither new nor changed, so its turn has not come yet.
    let old = machine(&before, "100").context("no old machine")?;
    assert_eq!((old.whose, old.read_at), (Whose::Unread, None));

    // Nothing is repaired before it was looked at.
    site.cli(&["pause", "/"]).await?;
    let stopped = json!({"status": "stopped"});
    site.pve
        .set_machine(vmid, stopped, json!({"cores": 7}))
        .await?;
    until(
        "it is seen stopped, and was read in full again",
        async || {
            let page = page(&site.host, "pve").await?;
            let found = machine(&page, &id).context("it is gone")?;
            Ok(found.power == PowerState::Stopped && found.read_at > ours.read_at)
        },
    )
    .await?;
    site.pve.remove_machine(100).await?;
    until("the other one is gone", async || {
        Ok(machine(&page(&site.host, "pve").await?, "100").is_none())
    })
    .await?;
    let plan = site
        .cli(&["plan", "/vm1", "--reconfigure", "--refresh"])
        .await?;
    ensure!(plan.contains("cores 7 -> 1"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn a_full_refresh_tells_ours_from_orphans_copies_and_strangers() -> Result<()> {
    let pve = FakePveOptions {
        machines: 1,
        ..FakePveOptions::default()
    };
    let Some(site) = Site::with_root(pve).await? else {
        return Ok(());
    };
    let nothing = site.cli(&["hypervisor", "machines", "pve"]).await?;
    ensure!(nothing.contains("was not looked at"), "{nothing}");
    let vmid = site.deployed().await?;
    let ours = site.pve.machine(vmid).await?.context("no machine")?;
    let marked = ours.value("description").context("no description")?;
    let copy = json!({"description": marked});
    site.pve.add_machine(700, "copy", copy).await?;
    // Of this installation, and of a machine that no descriptor has.
    let (_, mark) = marked.split_once("eh:").context("no mark")?;
    let machine_uid = mark.split(':').nth(1).context("no mark")?;
    let orphan = marked.replace(machine_uid, "00000000-0000-7000-8000-000000000001");
    let orphan = json!({"description": orphan});
    site.pve.add_machine(701, "orphan", orphan).await?;

    let said = site
        .cli(&["hypervisor", "refresh", "pve", "--full"])
        .await?;
    ensure!(
        said.contains("5 machines") && said.contains("5 read in full"),
        "{said}"
    );
    let page = page(&site.host, "pve").await?;
    let whose = |id: &str| machine(&page, id).map(|found| found.whose);
    assert_eq!(whose(&vmid.to_string()), Some(Whose::Ours));
    assert_eq!(whose("700"), Some(Whose::Foreign));
    assert_eq!(whose("701"), Some(Whose::Orphan));
    assert_eq!(whose("100"), Some(Whose::Foreign));
    assert_eq!(whose("9000"), Some(Whose::Template));
    let copied = machine(&page, "700").and_then(|found| found.problem.clone());
    ensure!(
        copied.is_some_and(|text| text.starts_with("a copy")),
        "{page:#?}"
    );

    let shown = site
        .cli(&["hypervisors", "machines", "pve", "--whose", "orphan"])
        .await?;
    ensure!(shown.contains("701") && !shown.contains("700 "), "{shown}");
    let json = ["hypervisors", "machines", "pve", "--output", "json"];
    let json: serde_json::Value = serde_json::from_str(&site.cli(&json).await?)?;
    assert_eq!(json["machines"].as_array().map(Vec::len), Some(5));
    let (code, unknown) = site.cli_fails(&["hypervisors", "machines", "pv"]).await?;
    ensure!(code != 0 && unknown.contains("there are: pve"), "{unknown}");
    Ok(())
}

#[tokio::test]
async fn a_plan_of_many_rests_on_what_was_read_and_says_so() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    for number in 1..=5 {
        site.provision(&format!("/vm{number}"), json!({})).await?;
    }
    site.order(OperationKind::Deploy, "/", Params::default())
        .await?;
    let reads = async || -> Result<(usize, usize)> {
        let sent = site.pve.take_exchanges().await?;
        let count = |end: &str| sent.iter().filter(|one| one.path.ends_with(end)).count();
        Ok((count("/config"), count("/cluster/resources")))
    };
    site.cli(&["hypervisors", "refresh", "pve", "--full"])
        .await?;
    reads().await?;
    let plan = site.cli(&["plan", "/", "--reconfigure"]).await?;
    ensure!(plan.contains("5 of 5 machines were read before"), "{plan}");
    assert_eq!(reads().await?, (0, 1), "one list, and nothing else");

    // What only a full read shows is as old as that one.
    let vmid = site.vmid("/vm3").await?;
    site.pve
        .set_machine(vmid, json!({}), json!({"cores": 9}))
        .await?;
    let plan = site.cli(&["plan", "/", "--reconfigure"]).await?;
    ensure!(!plan.contains("cores"), "{plan}");
    reads().await?;
    let plan = site
        .cli(&["plan", "/", "--reconfigure", "--refresh"])
        .await?;
    ensure!(
        plan.contains("cores 9 -> 1") && !plan.contains("before"),
        "{plan}"
    );
    assert_eq!(reads().await?, (5, 0));

    // After a step, what was read before it does not count.
    site.order(OperationKind::Stop, "/vm3", Params::default())
        .await?;
    reads().await?;
    let plan = site.cli(&["plan", "/", "--reconfigure"]).await?;
    ensure!(plan.contains("4 of 5 machines were read before"), "{plan}");
    assert_eq!(reads().await?, (1, 1));
    Ok(())
}
