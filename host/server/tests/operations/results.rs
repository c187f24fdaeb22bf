//! Results with cursors, and the executed log.

use enginehouse_server::Kept;
use serde_json::{Value, json};

use crate::site::Site;

async fn results(site: &Site, token: &str, query: &str) -> Value {
    let answer = site.get(token, &format!("/v1/results?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.said());
    answer.body
}

fn numbers(page: &Value, list: &str) -> Vec<u64> {
    let rows = page[list].as_array().unwrap().iter();
    rows.map(|row| row["number"].as_u64().unwrap()).collect()
}

fn cursor(page: &Value) -> &str {
    page["cursor"].as_str().unwrap()
}

#[tokio::test]
async fn results_come_in_pages_in_the_order_of_the_ends_and_each_once() {
    let mut site = Site::start().await;
    let token = site.token();
    let none = results(&site, &token, "").await;
    assert_eq!(
        (numbers(&none, "results"), &none["more"]),
        (vec![], &Value::Null)
    );
    site.plant().await;
    let warned = site
        .order("edit", "/web/front/vm1", json!({"changes": []}))
        .await;
    let last = warned["number"].as_u64().unwrap();
    let all: Vec<u64> = (1..=last).collect();
    for limit in [1, 2, 50] {
        let (mut seen, mut after) = (Vec::new(), cursor(&none).to_owned());
        loop {
            let page = results(&site, &token, &format!("after={after}&limit={limit}")).await;
            assert!(numbers(&page, "results").len() <= limit);
            seen.extend(numbers(&page, "results"));
            after = cursor(&page).to_owned();
            if page["more"] != json!(true) {
                break;
            }
        }
        assert_eq!(seen, all, "pages of {limit}");
        // From there on there is nothing, also for the next host on this directory.
        site.restart().await;
        let rest = results(&site, &token, &format!("after={after}")).await;
        assert_eq!(
            (numbers(&rest, "results"), cursor(&rest)),
            (vec![], after.as_str())
        );
    }
    let first = results(&site, &token, "limit=1").await;
    let first = &first["results"][0];
    assert_eq!(
        (
            &first["kind"],
            &first["path"],
            &first["who"],
            &first["outcome"]
        ),
        (
            &json!("edit"),
            &json!("/"),
            &json!("admin"),
            &json!("succeeded")
        )
    );
    assert!(first["ended_at"].as_u64() >= first["queued_at"].as_u64());
}

#[tokio::test]
async fn who_waits_for_results_gets_the_next_one_as_soon_as_it_is_there() {
    let site = Site::start().await;
    let token = site.token();
    let waiting = results(&site, &token, "wait_ms=60000");
    let ordering = async {
        let mut ordered = 0;
        // Whichever comes first: who asks later finds it without waiting.
        for name in ["a", "b"] {
            let done = site
                .order("create-folder", &format!("/{name}"), json!({}))
                .await;
            ordered = done["number"].as_u64().unwrap();
        }
        ordered
    };
    let (page, ordered) = tokio::join!(waiting, ordering);
    assert!(page["results"][0]["number"] == 1, "{page}");
    let rest = results(&site, &token, &format!("after={}", cursor(&page))).await;
    let seen = numbers(&page, "results").len() + numbers(&rest, "results").len();
    assert_eq!(seen as u64, ordered);
    // Nothing comes: an empty page with a cursor, after the time that was asked for.
    let nothing = results(
        &site,
        &token,
        &format!("after={}&wait_ms=20", cursor(&rest)),
    )
    .await;
    assert_eq!(numbers(&nothing, "results"), Vec::<u64>::new());
}

#[tokio::test]
async fn results_of_others_are_passed_over_and_the_cursor_with_them() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "viewer").await;
    let (ann, _) = site.make_token("ann", None).await;
    for n in 0..450_u32 {
        let changes = json!({"changes": [{"op": "set", "key": ["vcpu"], "value": n + 1}]});
        site.order("edit", "/db/vm2", changes).await;
    }
    let ours = site.order("create-folder", "/web/new", json!({})).await;
    let page = results(&site, &ann, "").await;
    assert!(
        page["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|result| { result["path"].as_str().unwrap().starts_with("/web") })
    );
    assert_eq!(
        numbers(&page, "results").last(),
        ours["number"].as_u64().as_ref()
    );
    let own = results(&site, &site.token(), &format!("after={}", cursor(&page))).await;
    assert_eq!(
        numbers(&own, "results"),
        Vec::<u64>::new(),
        "nothing came after it"
    );
    let lines = site.get(&ann, "/v1/executed?path=/db").await;
    assert_eq!((lines.status, &lines.body["lines"]), (200, &json!([])));
}

#[tokio::test]
async fn a_cursor_before_what_is_kept_is_told_where_to_go_on() {
    let mut site = Site::start().await;
    let token = site.token();
    let begin = cursor(&results(&site, &token, "").await).to_owned();
    for n in 0..6 {
        site.order("create-folder", &format!("/f{n}"), json!({}))
            .await;
    }
    let third = cursor(&results(&site, &token, "limit=3").await).to_owned();
    site.keep.executed = Kept {
        age: None,
        most: Some(2),
    };
    site.restart().await;
    let expired = loop {
        let answer = site
            .get(&token, &format!("/v1/results?after={third}"))
            .await;
        if answer.status == 410 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(expired.body["code"], "expired");
    let detail = expired.body["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        "1 results after the cursor are no longer kept; the oldest one left is of operation 5"
    );
    let go_on = expired.body["cursor"].as_str().unwrap();
    let page = results(&site, &token, &format!("after={go_on}")).await;
    assert_eq!(numbers(&page, "results"), [5, 6]);
    assert_eq!(
        site.get(&token, &format!("/v1/results?after={begin}"))
            .await
            .status,
        410
    );
    // Without a cursor it begins with the oldest that is there.
    assert_eq!(
        numbers(&results(&site, &token, "").await, "results"),
        [5, 6]
    );
    for (wrong, status) in [("x", 400), ("r1-fff", 410), ("r7-5", 410)] {
        let answer = site
            .get(&token, &format!("/v1/results?after={wrong}"))
            .await;
        assert_eq!(answer.status, status, "{wrong}: {}", answer.said());
    }
}

#[tokio::test]
async fn the_executed_log_has_one_line_for_each_order_and_is_filtered_and_paged() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "operator").await;
    let (ann, _) = site.make_token("ann", None).await;
    let before = site.get(&site.token(), "/v1/info").await;
    assert_eq!(before.status, 200);
    site.pass(1000);
    site.order_as(&ann, "provision", "/web/front/vm3", json!({}))
        .await;
    site.order_as(&ann, "move", "/web/front/vm3", json!({"to": "/web/vm4"}))
        .await;
    site.order_as(&ann, "deprovision", "/web/vm4", json!({}))
        .await;
    let token = site.token();
    let lines = async |query: &str| {
        let answer = site.get(&token, &format!("/v1/executed?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.said());
        answer.body
    };
    let all = lines("limit=1000").await;
    let newest = numbers(&all, "lines")[0];
    let expected: Vec<u64> = (1..=newest).rev().collect();
    assert_eq!(numbers(&all, "lines"), expected);
    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let page = lines(&format!("limit=2{next}")).await;
        paged.extend(numbers(&page, "lines"));
        match page["next"].as_str() {
            Some(before) => next = format!("&before={before}"),
            None => break,
        }
    }
    assert_eq!(paged, expected);

    let kinds = async |query: &str| {
        let page = lines(query).await;
        let lines = page["lines"].as_array().unwrap().iter();
        let kinds = lines.map(|line| line["kind"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds("who=ann").await, "deprovision move provision");
    // By the names that it had, and by what was below a folder.
    assert_eq!(kinds("path=/web/vm4").await, "deprovision");
    assert_eq!(kinds("path=/web/front/vm3").await, "move provision");
    assert_eq!(
        kinds("path=/web&who=ann").await,
        "deprovision move provision"
    );
    assert_eq!(kinds("path=/nowhere").await, "");
    assert_eq!(kinds("kind=move").await, "move");
    assert_eq!(kinds("outcome=failed").await, "");
    let since = crate::site::BEGIN_MS + 1000;
    assert_eq!(
        kinds(&format!("since={since}")).await,
        "deprovision move provision"
    );
    assert!(!kinds(&format!("until={since}")).await.contains("move"));
    let wrong = site.get(&token, "/v1/executed?outcome=running").await;
    assert_eq!(wrong.status, 400, "{}", wrong.said());
    let moved = results(&site, &token, "limit=1000").await;
    let moved = moved["results"].as_array().unwrap();
    assert_eq!(moved[moved.len() - 2]["to"], "/web/vm4");
}
