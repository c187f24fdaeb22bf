//! What a deploy sends to a Proxmox API, counted on its side, and what is never written anywhere.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use enginehouse_api::{OperationKind, Params};
use enginehouse_tests::{Exchange, FakePveOptions, Site, counts};
use serde_json::json;

/// What asks who the provider is, once for a connection, and the list that all who wait share.
const SHARED: [&str; 5] = [
    "GET /version",
    "GET /cluster/status",
    "GET /access/permissions",
    "GET /cluster/resources",
    "POST /access/ticket",
];

/// The requests of the machines themselves; a task that is asked for again counts once.
fn own(exchanges: &[Exchange]) -> Vec<String> {
    let mut polled = Vec::new();
    let mut own = Vec::new();
    for seen in exchanges {
        let template = seen.template();
        if SHARED.contains(&&*template) || polled.contains(&seen.path) {
            continue;
        }
        if template.contains("{upid}") {
            polled.push(seen.path.clone());
        }
        own.push(template);
    }
    own
}

const CLONED: [&str; 6] = [
    "POST /nodes/{node}/qemu/{vmid}/clone",
    "GET /nodes/{node}/tasks/{upid}/status",
    "GET /nodes/{node}/qemu/{vmid}/config",
    "PUT /nodes/{node}/qemu/{vmid}/config",
    "POST /nodes/{node}/qemu/{vmid}/status/start",
    "GET /nodes/{node}/tasks/{upid}/status",
];

#[tokio::test]
async fn a_clone_that_is_configured_and_started_takes_six_requests() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let deploy = async |path: &str| -> Result<Vec<Exchange>> {
        site.pve.take_exchanges().await?;
        site.order(OperationKind::Deploy, path, Params::default())
            .await?;
        site.pve.take_exchanges().await
    };
    site.provision("/first", json!({"vcpu": 2, "memory": "2GiB"}))
        .await?;
    let sent = deploy("/first").await?;
    println!("the requests of the first deploy of a host:");
    for seen in &sent {
        println!("  {} {} {}", seen.method, seen.path, seen.body);
    }
    assert_eq!(own(&sent), CLONED);
    let sent = counts(&sent);
    assert_eq!(sent.get("GET /cluster/resources"), Some(&1));
    assert_eq!(sent.get("GET /version"), Some(&1));

    // The next one does not ask who the provider is; a disk that grows takes two more.
    let grown = json!({"vcpu": 2, "memory": "2GiB", "disks": {"root": {"size": "20GiB"}}});
    site.provision("/second", grown).await?;
    let sent = deploy("/second").await?;
    let mut wanted = CLONED.to_vec();
    wanted.insert(4, "PUT /nodes/{node}/qemu/{vmid}/resize");
    wanted.insert(5, "GET /nodes/{node}/tasks/{upid}/status");
    assert_eq!(own(&sent), wanted);
    assert_eq!(sent.len(), wanted.len() + 1, "{:#?}", counts(&sent));

    // The same list, as a person sees it.
    let number = site.host.client().operations(&Default::default()).await?;
    let number = number.operations.first().context("no operation")?.number;
    let shown = site.host.client().requests(number).await?.requests;
    let shown: Vec<String> = shown
        .iter()
        .map(|request| format!("{} {}", request.method, request.path))
        .collect();
    let sent: Vec<String> = sent
        .iter()
        .map(|seen| format!("{} {}", seen.method, seen.path))
        .collect();
    assert_eq!(shown, sent);
    Ok(())
}

#[tokio::test]
async fn twenty_machines_at_once_share_one_list() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    for number in 0..20 {
        site.provision(&format!("/vm{number}"), json!({"vcpu": 2}))
            .await?;
    }
    site.pve.take_exchanges().await?;
    site.order(OperationKind::Deploy, "/", Params::default())
        .await?;
    let sent = site.pve.take_exchanges().await?;
    assert_eq!(site.pve.created().await?.len(), 20);
    let counted = counts(&sent);
    println!("the requests of 20 deploys at once: {counted:#?}");
    assert_eq!(counted.get("GET /cluster/resources"), Some(&1));
    assert_eq!(counted.get("GET /version"), Some(&1));
    assert_eq!(counted.get(CLONED[0]), Some(&20));
    // Tasks are asked for together: less than six for each.
    ensure!(own(&sent).len() <= 20 * CLONED.len(), "{counted:#?}");
    Ok(())
}

#[tokio::test]
async fn no_secret_of_the_connection_is_written_anywhere() -> Result<()> {
    let Some(site) = Site::with_root(FakePveOptions::default()).await? else {
        return Ok(());
    };
    let (token, password) = (site.pve.secret().to_owned(), site.pve.password().to_owned());
    site.provision("/vm1", json!({"vcpu": 2})).await?;
    site.order(OperationKind::Deploy, "/vm1", Params::default())
        .await?;
    // With a ticket too: it is a secret of its own.
    let ticket = json!({"user": site.pve.user(), "password": {"file": site.file("password")}});
    site.set_root(site.entry_with(ticket)).await?;
    site.cli(&["reconfigure", "/vm1", "description=x"]).await?;
    // One that is wrong, and told in an error.
    site.pve
        .fail_with(
            "PUT",
            "/config",
            500,
            &format!("you said {password}?"),
            Some(1),
        )
        .await?;
    let change = ["reconfigure", "/vm1", "description=y"];
    let (_, failed) = site.cli_fails(&change).await?;
    ensure!(failed.contains("you said [redacted]?"), "{failed}");

    let mut shown = vec![site.host.log(), failed];
    let operations = site.host.client().operations(&Default::default()).await?;
    for operation in operations.operations {
        let number = operation.number;
        shown.push(serde_json::to_string(
            &site.host.client().operation(number).await?,
        )?);
        shown.push(serde_json::to_string(
            &site.host.client().log(number, 0).await?,
        )?);
        shown.push(serde_json::to_string(
            &site.host.client().requests(number).await?,
        )?);
    }
    for command in [
        &["plan", "/vm1"][..],
        &["show", "/", "--output", "json"],
        &["show", "/vm1", "--origins"],
        &["hypervisors", "check"],
    ] {
        shown.push(site.cli(command).await?);
    }
    let requests = shown.iter().filter(|text| text.contains("/clone")).count();
    ensure!(requests > 0, "the requests are among what is looked at");
    // And all files: the database with its log, the compile cache, what the host wrote.
    let mut files = Vec::new();
    read_all(site.host.data_dir(), &mut files)?;
    ensure!(
        files
            .iter()
            .any(|(name, _)| name.ends_with("enginehouse.db"))
    );
    files.extend(
        shown
            .into_iter()
            .map(|text| ("what was shown".to_owned(), text.into_bytes())),
    );
    let whole = format!("{}={token}", site.pve.token());
    let user_and_password = format!("{}:{password}", site.pve.user());
    let secrets = [
        token.clone(),
        STANDARD.encode(&token),
        STANDARD.encode(whole),
        password.clone(),
        STANDARD.encode(&password),
        STANDARD.encode(user_and_password),
        "PVE:root@pam:".to_owned(),
        "PVE%3Aroot".to_owned(),
    ];
    for (name, bytes) in &files {
        for secret in &secrets {
            let held = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            ensure!(!held, "{secret} is in {name}");
        }
    }
    Ok(())
}

/// Files below a directory with what is in them.
fn read_all(dir: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, files)?;
        } else if path.is_file() {
            files.push((path.display().to_string(), std::fs::read(&path)?));
        }
    }
    Ok(())
}
