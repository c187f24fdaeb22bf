//! The audit log: what is told in it, to whom, and that it is a chain.

use enginehouse_api::{AuditHead, AuditLine};
use enginehouse_audit::Chain;
use serde_json::{Value, json};

use crate::site::Site;

/// All of it, read in small pages and checked on the way.
async fn whole(site: &Site) -> Vec<AuditLine> {
    let head = site.get(&site.token(), "/v1/audit/head").await.body;
    let head: AuditHead = serde_json::from_value(head).unwrap();
    let mut chain = Chain::of(head.installation);
    let mut all = Vec::new();
    let mut after = Some(0);
    while let Some(number) = after {
        let path = format!("/v1/audit?after={number}&limit=3");
        let mut page = site.get(&site.token(), &path).await.body;
        let lines: Vec<AuditLine> = serde_json::from_value(page["entries"].take()).unwrap();
        for line in lines {
            chain.take(&line.entry, line.hash).unwrap();
            all.push(line);
        }
        after = page["next"].as_u64();
    }
    assert_eq!(chain.head(), head.head);
    all
}

fn shown(line: &AuditLine) -> String {
    let entry = &line.entry;
    let mut text = format!("{} {}", entry.who, entry.action);
    if let Some(path) = &entry.path {
        text.push_str(&format!(" {path}"));
    }
    for (name, value) in &entry.detail {
        // Ids are another each time.
        if name != "token" {
            text.push_str(&format!(" {name}={value}"));
        }
    }
    text
}

#[tokio::test]
async fn who_ordered_allowed_and_changed_what_is_told_in_its_order() {
    let mut site = Site::start().await;
    site.plant().await;
    let before = whole(&site).await.len();
    let set =
        |key: &str, value: Value| json!({"changes": [{"op": "set", "key": [key], "value": value}]});

    site.grant("/web", "ann", "operator").await;
    let (ann, id) = site.make_token("ann", Some(60)).await;
    let order = site.order_as(&ann, "edit", "/web/front/vm1", set("vcpu", json!(7)));
    assert_eq!(order.await.status, 200);
    site.order("edit", "/web", set("protect", json!(true)))
        .await;
    site.order("edit", "/web", set("policy", json!("observe")))
        .await;
    // What it has is given by the folder that it leaves.
    site.order(
        "move",
        "/web/front",
        json!({"to": "/db/front", "confirm_lowered": true}),
    )
    .await;
    let secret = json!({"value": "hunter2hunter2"});
    site.ask(&site.token(), "PUT", "/v1/secrets/pve", &secret)
        .await;
    let typed =
        json!({"definition": {"guest": {"users": [{"name": "u", "password": "hunter3hunter3"}]}}});
    site.order("provision", "/db/vm9", typed).await;
    let revoke = format!("/v1/tokens/{id}");
    site.ask(&site.token(), "DELETE", &revoke, &Value::Null)
        .await;
    // A second time it changes nothing, and is not told again.
    site.ask(&site.token(), "DELETE", &revoke, &Value::Null)
        .await;
    // What is refused is nobody's order.
    assert_eq!(
        site.order_as(&ann, "edit", "/", json!({})).await.status,
        401
    );
    site.ask(&site.token(), "POST", "/v1/tokens/rotate", &Value::Null)
        .await;

    let all = whole(&site).await;
    let told: Vec<String> = all[before..].iter().map(shown).collect();
    assert_eq!(
        told,
        [
            "admin grants /web ann=none -> operator",
            "admin order /web kind=set-grants",
            "admin token-created expires_at=1790000060000 subject=ann",
            "ann order /web/front/vm1 keys=vcpu kind=edit",
            "admin protection /web protect=false -> true",
            "admin order /web keys=protect kind=edit",
            "admin protection /web policy=benign -> observe",
            "admin order /web keys=policy kind=edit",
            "admin protection /db/front lowers=protect, policy policy=observe -> benign protect=true -> false",
            "admin order /web/front confirm_lowered=true kind=move to=/db/front",
            "admin order / kind=set-secret secret=pve",
            "admin order /db/vm9 definition=whole kind=provision",
            "admin token-revoked subject=ann",
            "admin token-rotated",
        ]
    );
    // The operation of an entry is that of the order, and the number leads there.
    let lowered = &all[before + 8];
    let number = lowered.entry.operation.unwrap();
    assert_eq!(all[before + 9].entry.operation, Some(number));
    let of = format!("/v1/audit?operation={number}");
    let found = site.get(&site.token(), &of).await.body;
    assert_eq!(found["entries"].as_array().unwrap().len(), 2);
    let text = serde_json::to_string(&all).unwrap();
    for secret in ["hunter", "hidden", &ann, &site.token()] {
        assert!(!text.contains(secret), "{secret}");
    }

    site.restart().await;
    assert_eq!(whole(&site).await, all, "it is as it was after a restart");
}

#[tokio::test]
async fn a_plan_is_told_when_it_is_new() {
    let site = Site::start().await;
    site.plant().await;
    let plan = json!({"kind": "stop", "path": "/web"});
    for _ in 0..2 {
        let made = site.ask(&site.token(), "POST", "/v1/plans", &plan).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let all = whole(&site).await;
    let stored = all.iter().filter(|line| line.entry.action == "plan-stored");
    let stored: Vec<&AuditLine> = stored.collect();
    let [line] = stored.as_slice() else {
        panic!("{stored:?}")
    };
    assert_eq!(line.entry.path.as_deref(), Some("/web"));
    let id = &line.entry.detail["plan"];
    let found = site.get(&site.token(), &format!("/v1/plans/{id}")).await;
    assert_eq!(found.status, 200);
}

#[tokio::test]
async fn entries_are_found_by_path_also_after_a_move_and_in_pages() {
    let site = Site::start().await;
    site.plant().await;
    site.order("move", "/web/front/vm1", json!({"to": "/web/vm7"}))
        .await;
    let list = async |query: &str| {
        let page = site.get(&site.token(), &format!("/v1/audit?{query}")).await;
        let entries = page.body["entries"].as_array().cloned().unwrap_or_default();
        let kinds = entries.iter().map(|line| line["detail"]["kind"].clone());
        (
            page.status,
            kinds.collect::<Vec<Value>>(),
            page.body["next"].clone(),
        )
    };
    // By the node it is: what it was called before is the same node.
    let (_, kinds, next) = list("path=/web/vm7").await;
    assert_eq!(
        (kinds, next),
        (vec![json!("move"), json!("provision")], Value::Null)
    );
    let (_, kinds, next) = list("who=admin&limit=2").await;
    assert_eq!(kinds, [json!("move"), json!("provision")]);
    let (_, kinds, _) = list(&format!("limit=1&before={next}")).await;
    assert_eq!(kinds, [json!("provision")]);
    assert_eq!(list("action=grants").await.1, [Value::Null; 0]);
    assert_eq!(list("before=2&after=1").await.0, 400);
    assert_eq!(list("nonsense=1").await.0, 400);
}
