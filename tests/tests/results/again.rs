//! Orders whose answer was lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enginehouse_api::{Access, Client, ClientError, OperationKind, OperationState, Params};
use enginehouse_tests::defined;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use enginehouse_tests::{Stage, request};

#[tokio::test]
async fn what_was_ordered_before_a_kill_is_known_after_it() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    stage.provision("/vm1", json!({})).await?;
    let deploy = request(OperationKind::Deploy, "/vm1", Params::default())?;
    let first = stage
        .host
        .client()
        .order(&deploy, Some("deploy-vm1"), None)
        .await?;
    stage.host.kill().await?;
    stage.host.restart().await?;
    let client = stage.host.client().clone();
    let again = client.order(&deploy, Some("deploy-vm1"), None).await?;
    ensure!(again.number == first.number, "{first:#?}\n{again:#?}");
    let ended = stage.ended(first.number).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:#?}");
    let after = client.order(&deploy, Some("deploy-vm1"), None).await?;
    ensure!(after == ended, "as it is now: {after:#?}");
    let machines = stage.sim.world().named("vm1").len();
    ensure!(machines == 1, "{machines} machines");
    let other = request(OperationKind::Stop, "/vm1", Params::default())?;
    match client.order(&other, Some("deploy-vm1"), None).await {
        Err(ClientError::Refused(problem)) => ensure!(problem.status == 422, "{problem:#?}"),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

/// The host is killed while orders are on their way: whatever was heard of them, each is there once
/// after it was sent again.
#[tokio::test]
async fn orders_that_a_kill_has_interrupted_are_carried_out_once() -> Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    for round in 0..6 {
        let orders: Vec<_> = (0..8)
            .map(|n| {
                request(
                    OperationKind::CreateFolder,
                    &format!("/r{round}n{n}"),
                    defined(json!({})),
                )
            })
            .collect::<Result<_>>()?;
        let client = stage.host.client().clone();
        let sending = tokio::spawn({
            let (orders, client) = (orders.clone(), client);
            async move {
                let mut heard = Vec::new();
                for (n, order) in orders.iter().enumerate() {
                    let key = format!("r{round}n{n}");
                    let sent = client.order(order, Some(&key), None);
                    // It would be sent again for longer, to a port where nobody is any more.
                    let sent = tokio::time::timeout(Duration::from_millis(300), sent).await;
                    let Ok(Ok(made)) = sent else {
                        break;
                    };
                    heard.push(made.number);
                }
                heard
            }
        });
        // How far it gets differs from round to round.
        for _ in 0..round * 3 {
            stage.host.client().healthz().await?;
        }
        stage.host.kill().await?;
        stage.host.restart().await?;
        let heard = sending.await?;
        let client = stage.host.client();
        for (n, order) in orders.iter().enumerate() {
            let key = format!("r{round}n{n}");
            let made = client.order(order, Some(&key), None).await?;
            ensure!(made.state == OperationState::Succeeded, "{made:#?}");
            if let Some(number) = heard.get(n).copied() {
                ensure!(
                    made.number == number,
                    "{key}: {number}, then {}",
                    made.number
                );
            }
        }
    }
    let log = stage
        .json(&[
            "ops",
            "executed",
            "--kind",
            "create-folder",
            "--limit",
            "1000",
        ])
        .await?;
    let lines = log["lines"].as_array().context("no lines")?;
    ensure!(lines.len() == 48, "{} folders were made", lines.len());
    Ok(())
}

/// Forwards connections; of the first one with an order, it swallows the answer.
async fn losing_relay(to: String) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut lost = false;
        while let Ok((mut client, _)) = listener.accept().await {
            let Ok(mut host) = TcpStream::connect(&to).await else {
                return;
            };
            if lost {
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut host).await });
                continue;
            }
            lost = true;
            let mut bytes = vec![0; 64 << 10];
            let Ok(read) = client.read(&mut bytes).await else {
                return;
            };
            if host.write_all(&bytes[..read]).await.is_err() {
                return;
            }
            // The answer has come, so the order is on disk; the client never sees it.
            let _ = host.read(&mut bytes).await;
        }
    });
    Ok(format!("http://{address}"))
}

#[tokio::test]
async fn a_client_whose_connection_was_lost_sends_its_order_again_and_it_is_done_once() -> Result<()>
{
    let Some(stage) = Stage::start().await? else {
        return Ok(());
    };
    let access = Access::of_data_dir(stage.host.data_dir())?;
    let to = access.url.trim_start_matches("http://").to_owned();
    let client = Client::new(&Access {
        url: losing_relay(to).await?,
        token: access.token,
    })?;
    let order = request(OperationKind::CreateFolder, "/web", defined(json!({})))?;
    let made = client.order(&order, None, None).await?;
    ensure!(made.state == OperationState::Succeeded, "{made:#?}");
    // Without the key, the second one would have been refused: the folder is there.
    match stage.host.client().order(&order, None, None).await {
        Err(ClientError::Refused(problem)) => ensure!(problem.status == 409, "{problem:#?}"),
        other => anyhow::bail!("{other:?}"),
    }
    let results = stage
        .host
        .client()
        .results(None, None, Duration::ZERO)
        .await?;
    ensure!(results.results.len() == 2, "{results:#?}");
    Ok(())
}
