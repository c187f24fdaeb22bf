use std::task::Poll;
use std::time::Duration;

use enginehouse_store::ExecutedRow;

use super::*;
use crate::Server;

#[tokio::test]
async fn what_follows_from_a_commit_is_done_although_its_caller_has_gone() {
    let data = tempfile::tempdir().unwrap();
    let mut config = ServeConfig::new(data.path().to_owned());
    config.listen.set_port(0);
    let running = Server::start(config).await.unwrap();
    let house = running.house();
    let mut ended = house.ended.subscribe();
    let row = ExecutedRow {
        operation: OperationId(1),
        kind: "edit".to_owned(),
        node: None,
        targets: Vec::new(),
        who: "ann".to_owned(),
        queued_at: Timestamp(1),
        started_at: None,
        ended_at: Timestamp(1),
        outcome: "succeeded".to_owned(),
        message: None,
        result: None,
    };
    let mut deciding = Box::pin(house.transact(|_, staged, _| {
        staged.writes.push(Write::Executed(row));
        Ok(())
    }));
    // As the request of a client that hangs up: it is polled once and never again.
    std::future::poll_fn(|context| {
        assert!(deciding.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(deciding);
    let followed = ended.wait_for(|commits| *commits == 1);
    let followed = tokio::time::timeout(Duration::from_secs(30), followed).await;
    assert!(followed.is_ok(), "nothing follows");
    assert_eq!(house.store.results(0, 9).await.unwrap().lines.len(), 1);
    running.stop().await;
}

/// The commit has failed, and memory is not loaded again yet.
#[tokio::test]
async fn nobody_is_shown_what_a_full_disk_took_back() {
    let data = tempfile::tempdir().unwrap();
    let mut config = ServeConfig::new(data.path().to_owned());
    config.listen.set_port(0);
    let running = Server::start(config).await.unwrap();
    // Fails when the process has one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1", running.url());
    let order = |name: &str, label: String| {
        let order = serde_json::json!({
            "kind": "provision", "path": name,
            "params": {"definition": {"labels": {"about": label}}},
        });
        let request = http.post(format!("{url}/operations")).json(&order);
        request.bearer_auth(running.token()).send()
    };
    let shown = |path: &str| {
        let request = http.get(format!("{url}/{path}"));
        request.bearer_auth(running.token()).send()
    };
    let kept = order("/kept", "small".to_owned()).await.unwrap();
    assert!(kept.status().is_success(), "{:?}", kept.text().await);

    running.house().store.limit_pages(Some(1)).await.unwrap();
    let refused = order("/lost", "x".repeat(60_000)).await.unwrap();
    assert_eq!(refused.status().as_u16(), 503);
    let tree = shown("tree").await.unwrap();
    assert!(tree.status().is_success());
    let tree = tree.text().await.unwrap();
    assert!(tree.contains("/kept") && !tree.contains("/lost"), "{tree}");

    running.house().store.limit_pages(None).await.unwrap();
    let there = order("/lost", "small".to_owned()).await.unwrap();
    assert!(there.status().is_success(), "{:?}", there.text().await);
    assert!(
        shown("tree")
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("/lost")
    );
    running.stop().await;
}
