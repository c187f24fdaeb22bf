use std::task::Poll;

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
