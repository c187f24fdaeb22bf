//! Secrets that people name: set, used, listed, removed.

use anyhow::{Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params, SecretValue};
use enginehouse_tests::{FakePveOptions, HostOptions, Site};
use serde_json::json;

async fn site() -> Result<Option<Site>> {
    Site::start(FakePveOptions::default(), HostOptions::default()).await
}

async fn set(site: &Site, name: &str, value: &str) -> Result<(bool, String)> {
    let output = site.host.run_with(&["secret", "set", name], value).await?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[tokio::test]
async fn a_changed_secret_is_used_at_once_and_a_missing_one_says_what_mends_it() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    site.set_root(site.entry_with(json!({"password": {"secret": "pve/root"}})))
        .await?;
    let (_, said) = site.cli_fails(&["hypervisors", "check", "pve"]).await?;
    let shown = site.host.run(&["hypervisors", "check", "pve"]).await?;
    let shown = String::from_utf8(shown.stdout)? + &said;
    for part in [
        "`pve`",
        "no secret `pve/root`",
        "enginehouse secret set pve/root",
    ] {
        ensure!(shown.contains(part), "{part} is not in {shown}");
    }

    let (well, said) = set(&site, "pve/root", "wrong\n").await?;
    ensure!(well && said.contains("set secret pve/root"), "{said}");
    site.cli_fails(&["hypervisors", "check", "pve"]).await?;
    let right = format!("{}\n", site.pve.secret());
    let (well, said) = set(&site, "pve/root", &right).await?;
    ensure!(well && !said.contains(site.pve.secret()), "{said}");
    site.cli(&["hypervisors", "check", "pve"]).await?;

    let list = site.cli(&["secret", "list"]).await?;
    ensure!(list.contains("pve/root") && list.contains('/'), "{list}");
    ensure!(!list.contains(site.pve.secret()));
    let secrets = site.host.client().secrets().await?.secrets;
    ensure!(secrets[0].used_by == ["/".parse()?] && !secrets[0].generated);
    ensure!(secrets[0].changed_at >= secrets[0].created_at);
    Ok(())
}

#[tokio::test]
async fn a_secret_in_use_is_not_removed_also_while_a_deploy_waits() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    set(&site, "pve/root", site.pve.secret()).await?;
    set(&site, "unused", "x").await?;
    site.set_root(site.entry_with(json!({"password": {"secret": "pve/root"}})))
        .await?;
    site.provision("/vm1", json!({})).await?;
    // Accepted, and not over when the removal is asked for.
    let deploy = site
        .begin(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    let (code, said) = site.cli_fails(&["secret", "remove", "pve/root"]).await?;
    ensure!(code == 1 && said.contains("used by /"), "{said}");
    let ended = site.ended(deploy.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:?}");

    let said = site.cli(&["secret", "remove", "unused"]).await?;
    ensure!(said.contains("removed secret unused"), "{said}");
    let (_, said) = site.cli_fails(&["secret", "remove", "unused"]).await?;
    ensure!(said.contains("no secret `unused`"), "{said}");
    Ok(())
}

#[tokio::test]
async fn values_of_any_kind_are_kept_and_what_is_none_is_refused() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    for value in [
        "§",
        "päss wörd 🔑",
        "two\nlines",
        "-----BEGIN-----\r\nx\r\n",
    ] {
        let (well, said) = set(&site, "a/b.c-d_e", value).await?;
        ensure!(well && !said.contains(value), "{said}");
    }
    for (name, value, part) in [
        ("a", "", "is empty"),
        ("a", "\n", "is empty"),
        ("a", &"x".repeat(1 << 20), "at most 65536"),
        ("/..", "x", "no name of a secret"),
        ("a/../b", "x", "no name of a secret"),
        ("a b", "x", "no name of a secret"),
        ("", "x", "must not be empty"),
        (&"a".repeat(300), "x", "at most 253"),
    ] {
        let (well, said) = set(&site, name, value).await?;
        ensure!(!well && said.contains(part), "{name}: {said}");
    }
    let list = site.host.client().secrets().await?.secrets;
    ensure!(list.len() == 1 && list[0].name.as_str() == "a/b.c-d_e");

    // Names in a URL are checked by the server too.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let token = std::fs::read_to_string(site.host.data_dir().join("token"))?;
    let url = site.host.client().url().to_owned();
    for name in ["%2F..", "a%2F..%2Fb", "a%00", "%FF"] {
        let answer = http
            .put(format!("{url}/v1/secrets/{name}"))
            .bearer_auth(token.trim())
            .json(&SecretValue { value: "x".into() })
            .send()
            .await?;
        ensure!(answer.status() == 400, "{name}: {}", answer.status());
    }
    // The value has no place in an order.
    let order = json!({"kind": "set-secret", "path": "/", "params": {}});
    let answer = http
        .post(format!("{url}/v1/operations"))
        .bearer_auth(token.trim())
        .json(&order)
        .send()
        .await?;
    ensure!(answer.status() == 400, "{}", answer.status());
    Ok(())
}
