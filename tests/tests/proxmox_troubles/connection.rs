//! No way to the hypervisor, or nobody there who knows us.

use anyhow::{Context, Result, ensure};
use enginehouse_api::{OperationKind, OperationState, Params, Status};
use enginehouse_tests::{FakePveOptions, HostOptions, Site};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::outcome::{failed, left, nothing_changed};

const DEPLOY: OperationKind = OperationKind::Deploy;

async fn site() -> Result<Option<Site>> {
    Site::start(FakePveOptions::default(), HostOptions::default()).await
}

/// Carries connections of a port to fakepve.
async fn wire(port: u16, site: &Site) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let to = site.pve.url().trim_start_matches("https://").to_owned();
    Ok(tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                if let Ok(mut to) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    }))
}

#[tokio::test]
async fn a_hypervisor_that_is_down_is_waited_for() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    // A port on which nobody listens, for now.
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let host = json!({"host": format!("https://127.0.0.1:{port}")});
    site.set_root(site.entry_with(host)).await?;
    for path in ["/vm1", "/vm2"] {
        site.provision(path, json!({})).await?;
    }
    let first = site.begin(DEPLOY, "/vm1", Params::default()).await?.number;
    let second = site.begin(DEPLOY, "/vm2", Params::default()).await?.number;
    for number in [first, second] {
        let waiting = site
            .until(number, |operation| operation.waiting_for.is_some())
            .await?;
        assert_eq!(waiting.state, OperationState::Running);
        let reason = waiting.waiting_for.unwrap_or_default();
        let wanted = format!("no connection to 127.0.0.1:{port}");
        ensure!(reason.contains(&wanted), "{reason}");
    }
    assert_eq!(site.node("/vm1").await?.status, Some(Status::Provisioned));

    // Who does not want to wait does not have to.
    site.host.client().cancel(second).await?;
    let cancelled = site.ended(second).await?;
    assert_eq!(cancelled.state, OperationState::Cancelled);

    let carrying = wire(port, &site).await?;
    let operation = site.ended(first).await?;
    ensure!(
        operation.state == OperationState::Succeeded,
        "{operation:#?}"
    );
    let names = site.pve.created().await?;
    assert_eq!(
        names.iter().map(|vm| &*vm.name).collect::<Vec<_>>(),
        ["vm1"]
    );
    carrying.abort();
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_ends_the_operation() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    site.set_root(site.entry_with(json!({"tls": {}}))).await?;
    site.provision("/vm1", json!({})).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(
        &operation,
        "denied",
        &["the certificate of 127.0.0.1:"],
        "tls.ca_file",
    )?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;
    // The fingerprint that it showed is there to be compared.
    let hint = operation
        .error
        .and_then(|error| error.hint)
        .unwrap_or_default();
    let shown = hint.split("it showed ").nth(1).context("no fingerprint")?;
    let shown: String = shown.chars().take(95).collect();

    let other = json!({"tls": {"fingerprint": "00".repeat(32)}});
    site.set_root(site.entry_with(other)).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    let words = ["another fingerprint", shown.as_str()];
    failed(&operation, "denied", &words, "tls.fingerprint")?;

    let plain = site.pve.url().replace("https://", "http://");
    site.set_root(site.entry_with(json!({"host": plain})))
        .await?;
    let down = site.begin(DEPLOY, "/vm1", Params::default()).await?.number;
    site.until(down, |operation| operation.waiting_for.is_some())
        .await?;
    site.host.client().cancel(down).await?;
    assert_eq!(site.ended(down).await?.state, OperationState::Cancelled);
    assert_eq!(site.pve.exchanges().await?, []);

    let right = json!({"tls": {"fingerprint": shown}});
    site.set_root(site.entry_with(right)).await?;
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    assert_eq!(site.pve.created().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_or_password_ends_the_operation() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    site.set_root(site.entry_with(json!({"password": "not-it"})))
        .await?;
    site.provision("/vm1", json!({})).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(&operation, "denied", &[], "API token")?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;

    let wrong = json!({"user": site.pve.user(), "password": "not-it-either"});
    site.set_root(site.entry_with(wrong)).await?;
    let operation = site.end(DEPLOY, "/vm1", Params::default()).await?;
    failed(
        &operation,
        "denied",
        &["authentication failure"],
        "password",
    )?;
    left(&site, "/vm1", Status::Provisioned, &operation).await?;
    nothing_changed(&site).await?;
    for secret in ["not-it", "not-it-either"] {
        let error = format!("{:?}", operation.error);
        ensure!(!error.contains(&format!("{secret}\"")), "{error}");
    }

    let right = json!({"user": site.pve.user(), "password": {"file": site.file("password")}});
    site.set_root(site.entry_with(right)).await?;
    site.order(DEPLOY, "/vm1", Params::default()).await?;
    assert_eq!(site.node("/vm1").await?.last_error, None);
    Ok(())
}

#[tokio::test]
async fn a_ticket_that_expired_is_renewed_and_nothing_is_done_twice() -> Result<()> {
    let Some(site) = site().await? else {
        return Ok(());
    };
    let ticket = json!({"user": site.pve.user(), "password": {"file": site.file("password")}});
    site.set_root(site.entry_with(ticket)).await?;
    site.deployed().await?;
    site.pve.call("revoke_tickets", json!([])).await?;
    site.pve.take_exchanges().await?;
    site.provision("/vm2", json!({})).await?;
    site.order(DEPLOY, "/vm2", Params::default()).await?;
    let logins = |path: &str| path.ends_with("/access/ticket");
    let sent = site.pve.take_exchanges().await?;
    assert_eq!(sent.iter().filter(|seen| logins(&seen.path)).count(), 1);

    // It ends just when the clone is asked for: what was refused had no effect and is sent again.
    let clone = "/nodes/pve1/qemu/9000/clone";
    site.pve
        .fail("POST", clone, "invalid_ticket", Some(1))
        .await?;
    site.provision("/vm3", json!({})).await?;
    site.order(DEPLOY, "/vm3", Params::default()).await?;
    let sent = site.pve.take_exchanges().await?;
    let asked: Vec<Option<u16>> = sent
        .iter()
        .filter(|seen| seen.path.ends_with(clone))
        .map(|seen| seen.status)
        .collect();
    assert_eq!(asked, [Some(401), Some(200)]);
    assert_eq!(sent.iter().filter(|seen| logins(&seen.path)).count(), 1);
    assert_eq!(site.pve.created().await?.len(), 3);
    Ok(())
}
