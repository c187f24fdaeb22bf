//! How long what is over is kept.

use std::time::{Duration, Instant};

use enginehouse_server::{Keep, Kept};
use serde_json::{Value, json};

use crate::site::{Answer, Site};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const PATIENCE: Duration = Duration::from_secs(60);

async fn operation(site: &Site, token: &str, number: u64) -> Answer {
    site.get(token, &format!("/v1/operations/{number}")).await
}

/// Waits for the round at the host's start.
pub async fn until_gone(site: &Site, number: u64) {
    let began = Instant::now();
    while operation(site, &site.token(), number).await.status != 410 {
        assert!(began.elapsed() < PATIENCE, "operation {number} stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Edits of a folder, which shows no last operation. Answers their numbers.
async fn edits(site: &Site, path: &str, times: u32) -> Vec<u64> {
    let mut numbers = Vec::new();
    for vcpu in 0..times {
        let changes = json!({"changes": [{"op": "set", "key": ["vcpu"], "value": vcpu + 1}]});
        let done = site.order("edit", path, changes).await;
        numbers.push(done["number"].as_u64().unwrap());
    }
    numbers
}

fn all() -> Kept {
    Kept {
        age: None,
        most: None,
    }
}

#[tokio::test]
async fn old_operations_go_and_say_so_but_not_the_last_that_a_node_shows() {
    let mut site = Site::start().await;
    site.plant().await;
    let shown = edits(&site, "/web/front/vm1", 1).await[0];
    let old = edits(&site, "/web", 3).await;
    site.pass(91 * DAY_MS);
    let new = edits(&site, "/web", 2).await;
    site.restart().await;
    until_gone(&site, old[2]).await;
    let token = site.token();
    for number in &old {
        let gone = operation(&site, &token, *number).await;
        assert_eq!(gone.body["code"], "gone");
        let said = gone.said();
        assert!(
            said.contains("`edit /web`, ordered by admin, and ended succeeded"),
            "{said}"
        );
        for part in ["/log", "/requests", "/wait"] {
            let path = format!("/v1/operations/{number}{part}");
            assert_eq!(site.get(&token, &path).await.status, 410, "{path}");
        }
    }
    for number in [shown, new[0], new[1]] {
        assert_eq!(
            operation(&site, &token, number).await.status,
            200,
            "{number}"
        );
    }
    let never = operation(&site, &token, new[1] + 1).await;
    assert_eq!(never.status, 404, "{}", never.said());
    assert_eq!(operation(&site, &token, 0).await.status, 404);
    // Its line in the executed log stays for longer.
    let lines = site
        .get(&token, "/v1/executed?path=/web&kind=edit")
        .await
        .body;
    assert_eq!(lines["lines"].as_array().unwrap().len(), 6, "{lines}");
}

#[tokio::test]
async fn more_operations_than_are_kept_go_the_oldest_first() {
    let mut site = Site::start().await;
    site.order("create-folder", "/a", json!({})).await;
    let numbers = edits(&site, "/a", 9).await;
    site.keep = Keep {
        operations: Kept {
            age: None,
            most: Some(4),
        },
        executed: Kept {
            age: None,
            most: Some(6),
        },
        plans: all(),
        keys: all(),
    };
    site.restart().await;
    until_gone(&site, numbers[4]).await;
    let token = site.token();
    let list = site.get(&token, "/v1/operations").await.body;
    let listed: Vec<&Value> = list["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| &operation["number"])
        .collect();
    assert_eq!(listed, [numbers[8], numbers[7], numbers[6], numbers[5]]);
    // The first ones are in no list at all.
    let began = Instant::now();
    let first = loop {
        let gone = operation(&site, &token, numbers[0]).await;
        if gone.said().contains("nor is its line") {
            break gone;
        }
        assert!(began.elapsed() < PATIENCE, "{}", gone.said());
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(first.status, 410);
    let lines = site.get(&token, "/v1/executed").await.body;
    assert_eq!(lines["lines"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn that_an_operation_is_gone_is_told_to_who_could_have_seen_it() {
    let mut site = Site::start().await;
    site.plant().await;
    site.grant("/db", "ann", "viewer").await;
    site.grant("/web", "bob", "viewer").await;
    let (ann, _) = site.make_token("ann", None).await;
    let (bob, _) = site.make_token("bob", None).await;
    let number = edits(&site, "/web", 1).await[0];
    site.keep.operations = Kept {
        age: None,
        most: Some(0),
    };
    site.restart().await;
    until_gone(&site, number).await;
    let hidden = operation(&site, &ann, number).await.said();
    let never = operation(&site, &ann, 9999).await.said();
    assert_eq!(
        hidden.replace(&number.to_string(), "N"),
        never.replace("9999", "N")
    );
    assert_eq!(operation(&site, &bob, number).await.status, 410);

    // Nobody but who reads everything is told of what is not even in the log.
    site.keep.executed = Kept {
        age: None,
        most: Some(0),
    };
    site.restart().await;
    let began = Instant::now();
    while operation(&site, &bob, number).await.status != 404 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = operation(&site, &site.token(), number).await.said();
    assert!(
        gone.starts_with("410 ") && gone.contains("nor is its line"),
        "{gone}"
    );
}

#[tokio::test]
async fn plans_go_by_age() {
    let mut site = Site::start().await;
    site.plant().await;
    let token = site.token();
    let make = async || {
        let request = json!({"kind": "stop", "path": "/web/front"});
        let plan = site.ask(&token, "POST", "/v1/plans", &request).await;
        plan.body["id"].as_str().unwrap_or_default().to_owned()
    };
    let old = make().await;
    assert!(!old.is_empty());
    site.pass(31 * DAY_MS);
    site.restart().await;
    let began = Instant::now();
    let path = format!("/v1/plans/{old}");
    while site.get(&token, &path).await.status != 404 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
