//! Hypervisors out of the environment and `engines.yaml`, and who wins.

use std::fs;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationFilter, OperationKind, Params};
use enginehouse_tests::{FakePve, FakePveOptions, Host, HostOptions, Site, skip_or_fail};
use serde_json::{Value, json};

/// The root's entry `proxmox`, and where the list says that it came from.
async fn entry(host: &Host) -> Result<(Value, Vec<String>)> {
    let node = host.client().node(&"/".parse()?).await?;
    let list = host.client().hypervisors(&"/".parse()?).await?;
    let from = list.hypervisors.into_iter().find(|h| h.name == "proxmox");
    Ok((
        node.local_definition
            .get("hypervisors")
            .map_or(Value::Null, |all| all["proxmox"].clone()),
        from.map(|h| h.from).unwrap_or_default(),
    ))
}

fn environment(pairs: &[(&str, &str)]) -> HostOptions {
    HostOptions {
        environment: pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..HostOptions::default()
    }
}

#[tokio::test]
async fn variables_and_a_file_make_a_hypervisor_that_works() -> Result<()> {
    if let Err(error) = enginehouse_tests::engines_dir() {
        skip_or_fail(&error.to_string());
        return Ok(());
    }
    let Some(pve) = FakePve::start_or_skip(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("engines.yaml");
    fs::write(
        &file,
        format!(
            "engines:\n  proxmox:\n    host: https://192.0.2.1:8006\n    username: {}\n    password: {}\n    node: pve1\n    verify_ssl: true\n",
            pve.token(),
            pve.secret(),
        ),
    )?;
    let mut options = environment(&[
        ("PROXMOX_HOST", pve.url()),
        ("PROXMOX_VERIFY_SSL", "false"),
        ("PROXMOX_STORAGE", "local-lvm"),
    ]);
    options.arguments = vec!["--engines-file".to_owned(), file.display().to_string()];
    let host = Host::start(options).await?;
    let (entry, from) = entry(&host).await?;
    ensure!(
        entry
            == json!({
                "type": "proxmox",
                "host": pve.url(),
                "user": pve.token(),
                "password": {"secret": "proxmox.password"},
                "tls": {"verify": false},
                "settings": {"node": "pve1", "storage": "local-lvm"},
            }),
        "{entry}"
    );
    ensure!(
        from == [
            "PROXMOX_HOST",
            "PROXMOX_STORAGE",
            "PROXMOX_VERIFY_SSL",
            "engines.yaml"
        ],
        "{from:?}"
    );
    let checked = host.run(&["hypervisors", "check", "proxmox"]).await?;
    ensure!(checked.status.success(), "{checked:?}");
    let listed = host.run(&["hypervisors", "list"]).await?;
    let listed = String::from_utf8(listed.stdout)?;
    ensure!(listed.contains("from PROXMOX_HOST"), "{listed}");
    let log = host.log();
    ensure!(
        log.contains("`proxmox` at / is out of PROXMOX_HOST"),
        "{log}"
    );
    ensure!(!log.contains(pve.secret()), "{log}");
    let operations = host
        .client()
        .operations(&OperationFilter::default())
        .await?;
    ensure!(operations.operations[0].who == "environment");
    Ok(())
}

#[tokio::test]
async fn its_own_entry_is_updated_and_taken_away_and_a_persons_is_not() -> Result<()> {
    let first = environment(&[("PROXMOX_HOST", "https://192.0.2.1:8006")]);
    let Some(mut site) = Site::start(FakePveOptions::default(), first).await? else {
        return Ok(());
    };
    ensure!(entry(&site.host).await?.0["host"] == "https://192.0.2.1:8006");
    let root = site.node("/").await?.revision;

    // The same again: nothing changes.
    site.host.kill().await?;
    site.host.restart().await?;
    ensure!(site.node("/").await?.revision == root);

    // Another value: updated.
    site.host.kill().await?;
    site.host
        .restart_in(&[
            ("PROXMOX_HOST", "https://192.0.2.2:8006"),
            ("PROXMOX_PASSWORD", "x"),
        ])
        .await?;
    let (now, from) = entry(&site.host).await?;
    ensure!(now["host"] == "https://192.0.2.2:8006", "{now}");
    ensure!(
        now["password"] == json!({"env": "PROXMOX_PASSWORD"}),
        "{now}"
    );
    ensure!(from == ["PROXMOX_HOST", "PROXMOX_PASSWORD"], "{from:?}");

    // Edited by a person: theirs from now on.
    site.cli(&[
        "edit",
        "/",
        "hypervisors.proxmox.host=https://192.0.2.3:8006",
    ])
    .await?;
    let (_, from) = entry(&site.host).await?;
    ensure!(from.is_empty(), "{from:?}");
    site.host.kill().await?;
    site.host
        .restart_in(&[("PROXMOX_HOST", "https://192.0.2.4:8006")])
        .await?;
    let (now, _) = entry(&site.host).await?;
    ensure!(now["host"] == "https://192.0.2.3:8006", "{now}");
    ensure!(site.host.log().contains("as people wrote it"));

    // Taken out by a person, it is made again; not said any more, it goes.
    site.cli(&["edit", "/", "--unset", "hypervisors.proxmox"])
        .await?;
    site.host.kill().await?;
    site.host.restart().await?;
    ensure!(entry(&site.host).await?.0["host"] == "https://192.0.2.4:8006");
    site.host.kill().await?;
    site.host.restart_in(&[]).await?;
    ensure!(entry(&site.host).await?.0.is_null());
    Ok(())
}

#[tokio::test]
async fn an_entry_that_machines_use_stays_when_nothing_says_it_any_more() -> Result<()> {
    let Some(mut site) = Site::start(FakePveOptions::default(), HostOptions::default()).await?
    else {
        return Ok(());
    };
    site.host.kill().await?;
    let (url, user, secret) = (
        site.pve.url().to_owned(),
        site.pve.token().to_owned(),
        site.pve.secret().to_owned(),
    );
    site.host
        .restart_in(&[
            ("PROXMOX_HOST", &url),
            ("PROXMOX_USER", &user),
            ("PROXMOX_PASSWORD", &secret),
            ("PROXMOX_VERIFY_SSL", "0"),
            ("PROXMOX_NODE", "pve1"),
        ])
        .await?;
    let template = enginehouse_tests::TEMPLATE.to_string();
    site.provision(
        "/vm1",
        json!({"use_hypervisor": "proxmox", "base_image": template, "vcpu": 1, "memory": "1GiB"}),
    )
    .await?;
    site.order(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    site.host.kill().await?;
    site.host.restart_in(&[]).await?;
    let (now, _) = entry(&site.host).await?;
    ensure!(now["host"] == url, "{now}");
    ensure!(
        site.host
            .log()
            .contains("it stays, since 1 machines are on it"),
        "{}",
        site.host.log()
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_used_ends_the_start_with_its_place() -> Result<()> {
    let Some(mut site) = Site::start(FakePveOptions::default(), HostOptions::default()).await?
    else {
        return Ok(());
    };
    site.host.kill().await?;
    let file = site.host.data_dir().join("engines.yaml");
    for (text, part) in [
        (
            "engines:\n  proxmox:\n    hsot: a\n",
            "engines.yaml:3:5: engines.proxmox.hsot: unknown key, did you mean `host`?",
        ),
        (
            "engines:\n  proxmocks: {}\n",
            "engines.yaml:2:3: engines.proxmocks: unknown key, did you mean `proxmox`?",
        ),
        ("engines: [\n", "engines.yaml:"),
    ] {
        fs::write(&file, text)?;
        let error = site.host.restart().await.err().context("it started")?;
        let error = error.to_string();
        ensure!(error.contains(part), "{part} is not in {error}");
    }
    fs::remove_file(&file)?;
    let error = site
        .host
        .restart_in(&[("PROXMOX_HOST", "a"), ("PROXMOX_VERIFY_SSL", "flase")])
        .await
        .err()
        .context("it started")?
        .to_string();
    ensure!(
        error.contains("PROXMOX_VERIFY_SSL is no truth value"),
        "{error}"
    );
    let error = site
        .host
        .restart_in(&[("PROXMOX_HOST", "https://root:hunter2@pve")])
        .await
        .err()
        .context("it started")?
        .to_string();
    ensure!(
        error.contains("hypervisors.proxmox.host") && !error.contains("hunter2"),
        "{error}"
    );
    site.host.restart_in(&[]).await?;
    Ok(())
}
