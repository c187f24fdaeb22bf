//! Idempotency keys.

use std::time::Duration;

use enginehouse_server::Kept;
use serde_json::{Value, json};

use crate::site::Site;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// An order's answer: its status, whether it was replayed, and its body.
#[derive(Debug, PartialEq)]
struct Said {
    status: u16,
    replayed: bool,
    body: Value,
}

impl Said {
    fn number(&self) -> u64 {
        let body = &self.body;
        let number = body["number"].as_u64();
        number.unwrap_or_else(|| panic!("no operation: {self:?}"))
    }
}

async fn send(site: &Site, token: &str, method: &str, path: &str, key: &str, body: &Value) -> Said {
    let mut request = site.request(method, path).bearer_auth(token);
    if !key.is_empty() {
        request = request.header("Idempotency-Key", key);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let replayed = answer.headers().get("idempotent-replayed").cloned();
    Said {
        status: answer.status().as_u16(),
        replayed: replayed.is_some_and(|value| value == "true"),
        body: serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null),
    }
}

async fn order(site: &Site, key: &str, body: &Value) -> Said {
    send(site, &site.token(), "POST", "/v1/operations", key, body).await
}

fn folder(path: &str) -> Value {
    json!({"kind": "create-folder", "path": path})
}

#[tokio::test]
async fn the_same_order_with_the_same_key_is_one_operation_for_a_day_and_over_restarts() {
    let mut site = Site::start().await;
    let first = order(&site, "k-1", &folder("/a")).await;
    assert_eq!((first.status, first.replayed), (200, false), "{first:?}");
    for _ in 0..2 {
        let again = order(&site, "k-1", &folder("/a")).await;
        assert_eq!((again.status, again.replayed), (200, true), "{again:?}");
        assert_eq!(again.body, first.body);
        site.restart().await;
        site.pass(11 * HOUR_MS);
    }
    let without = order(&site, "", &folder("/a")).await;
    assert_eq!(
        (without.status, without.replayed),
        (409, false),
        "{without:?}"
    );
    // White space and the order of members of a map are nothing; a definition's are kept.
    let spaced = site
        .request("POST", "/v1/operations")
        .bearer_auth(site.token())
        .header("idempotency-key", "k-1")
        .header("content-type", "application/json")
        .body("{ \"path\": \"/a\",\n \"params\": {}, \"kind\": \"create-folder\" }");
    assert_eq!(site.send(spaced).await.body, first.body);
    site.pass(2 * HOUR_MS);
    let after_a_day = order(&site, "k-1", &folder("/b")).await;
    assert_eq!((after_a_day.status, after_a_day.replayed), (200, false));
    assert_eq!(after_a_day.number(), first.number() + 1);
}

#[tokio::test]
async fn another_order_with_the_same_key_is_refused_and_names_the_first() {
    let site = Site::start().await;
    let first = order(&site, "k", &folder("/a")).await.number();
    let another = order(&site, "k", &folder("/b")).await;
    assert_eq!(another.status, 422);
    assert_eq!(another.body["code"], "key-reused");
    let detail = another.body["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!("operation {first}")), "{detail}");
    let conditional = site
        .request("POST", "/v1/operations")
        .bearer_auth(site.token())
        .header("Idempotency-Key", "k")
        .header("If-Match", "\"1\"")
        .json(&folder("/a"));
    assert_eq!(site.send(conditional).await.status, 422);
    let (token, value) = (site.token(), json!({"value": "v"}));
    let secret = send(&site, &token, "PUT", "/v1/secrets/s", "k", &value).await;
    assert_eq!(secret.status, 422);
    assert_eq!(
        site.get(&site.token(), "/v1/nodes?path=/b").await.status,
        404
    );
}

#[tokio::test]
async fn keys_are_those_of_a_subject_with_whichever_token() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "operator").await;
    site.grant("/web", "bob", "operator").await;
    let (ann, _) = site.make_token("ann", None).await;
    let (ann_too, _) = site.make_token("ann", None).await;
    let (bob, _) = site.make_token("bob", None).await;
    let body = folder("/web/a");
    let route = "/v1/operations";
    let first = send(&site, &ann, "POST", route, "k", &body).await;
    let again = send(&site, &ann_too, "POST", route, "k", &body).await;
    assert_eq!((again.replayed, again.number()), (true, first.number()));
    let other = send(&site, &bob, "POST", route, "k", &folder("/web/b")).await;
    assert_eq!((other.status, other.replayed), (200, false));

    let grants = json!({"grants": [{"op": "remove", "subject": "ann", "roles": ["operator"]}]});
    site.order("set-grants", "/web", grants).await;
    site.grant("/web", "ann", "viewer").await;
    let reader = send(&site, &ann, "POST", route, "k", &body).await;
    assert_eq!(
        reader.status, 403,
        "who may not order it any more is not told: {reader:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_with_one_key_get_one_operation() {
    let site = Site::start().await;
    site.order("provision", "/vm", json!({})).await;
    let change = json!({
        "kind": "edit", "path": "/vm",
        "params": {"changes": [{"op": "set", "key": ["vcpu"], "value": 2}]}
    });
    let all = (0..40).map(|_| order(&site, "same", &change));
    let all = futures_util::future::join_all(all).await;
    let first = all[0].number();
    assert!(all.iter().all(|said| said.number() == first), "{all:?}");
    assert_eq!(all.iter().filter(|said| !said.replayed).count(), 1);
    let list = site
        .get(&site.token(), "/v1/operations?path=/vm")
        .await
        .body;
    assert_eq!(list["operations"].as_array().unwrap().len(), 2, "{list}");
}

#[tokio::test]
async fn what_was_refused_has_used_no_key() {
    let site = Site::start().await;
    let child = folder("/a/b");
    assert_eq!(order(&site, "k", &child).await.status, 404);
    order(&site, "other", &folder("/a")).await.number();
    let now = order(&site, "k", &child).await;
    assert_eq!((now.status, now.replayed), (200, false));
    for wrong in ["with space", &"k".repeat(256)] {
        let refused = order(&site, wrong, &folder("/c")).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
}

#[tokio::test]
async fn secrets_and_imports_have_keys_too() {
    let site = Site::start().await;
    let token = site.token();
    let twice = async |method: &str, path: &str, key: &str, body: Value| {
        let first = send(&site, &token, method, path, key, &body).await;
        let again = send(&site, &token, method, path, key, &body).await;
        assert!(
            first.status < 300 && !first.replayed,
            "{method} {path}: {first:?}"
        );
        assert!(
            again.status < 300 && again.replayed,
            "{method} {path}: {again:?}"
        );
        (first.body, again.body)
    };
    let value = json!({"value": "hunter2"});
    let (first, again) = twice("PUT", "/v1/secrets/s", "k1", value).await;
    assert_eq!(first, again);
    let other = json!({"value": "hunter3"});
    let other = send(&site, &token, "PUT", "/v1/secrets/s", "k1", &other).await;
    assert_eq!(
        other.status, 422,
        "another value is another order: {other:?}"
    );
    let (first, again) = twice("POST", "/v1/secret-key/rotate", "k2", Value::Null).await;
    assert_eq!(first, again);
    let (first, again) = twice("DELETE", "/v1/secrets/s", "k3", Value::Null).await;
    assert_eq!(first, again);
    // Keys from before the exchange are known with the new key, too.
    let value = json!({"value": "hunter2"});
    let before = send(&site, &token, "PUT", "/v1/secrets/s", "k1", &value).await;
    assert!(before.replayed, "{before:?}");
    assert_eq!(
        site.get(&token, "/v1/secrets").await.body["secrets"],
        json!([])
    );

    let import = json!({"path": "/", "files": {"web/_folder.yaml": "vcpu: 2\n"}});
    let (first, again) = twice("POST", "/v1/imports", "k4", import.clone()).await;
    assert_eq!(first["operation"], again["operation"]);
    assert_eq!(
        (first["made"].as_array().unwrap().len(), &again["replayed"]),
        (1, &json!(true))
    );
    // What changes nothing is no operation, and has no key.
    let nothing = send(&site, &token, "POST", "/v1/imports", "k5", &import).await;
    assert_eq!((nothing.status, nothing.replayed), (200, false));
    assert_eq!(nothing.body["operation"], Value::Null);
}

#[tokio::test]
async fn what_is_kept_of_a_key_says_nothing_of_the_password_in_its_order() {
    let mut site = Site::start().await;
    let password = "correct horse battery staple";
    let hypervisor = json!({"type": "fake", "host": "http://127.0.0.1:1", "password": password});
    let body = json!({
        "kind": "edit", "path": "/",
        "params": {"definition": {"hypervisors": {"h": hypervisor}}}
    });
    order(&site, "a-key-of-its-own", &body).await.number();
    site.stop().await;
    let mut database = Vec::new();
    for file in ["enginehouse.db", "enginehouse.db-wal"] {
        let path = site.data_dir().join(file);
        database.extend(std::fs::read(path).unwrap_or_default());
    }
    assert!(database.len() > 10_000);
    let holds = |what: &[u8]| database.windows(what.len()).any(|window| window == what);
    assert!(!holds(password.as_bytes()) && !holds(b"a-key-of-its-own"));
    // The hash of it without the key of this installation would let a guess be checked.
    let plain = serde_json::to_vec(&body).unwrap();
    assert!(!holds(blake3::hash(&plain).as_bytes()));
    site.restart().await;
    assert!(order(&site, "a-key-of-its-own", &body).await.replayed);
    // A key file that is lost takes the hashes with it; the host says so and goes on.
    site.order("edit", "/", json!({"definition": {}})).await;
    site.stop().await;
    std::fs::remove_file(site.data_dir().join("secret.key")).unwrap();
    site.restart().await;
    assert!(!order(&site, "a-key-of-its-own", &body).await.replayed);
}

#[tokio::test]
async fn an_operation_that_is_no_longer_kept_is_not_carried_out_again() {
    let mut site = Site::start().await;
    let number = order(&site, "k", &folder("/a")).await.number();
    site.keep.operations = Kept::new(Duration::from_secs(1), 0);
    site.pass(HOUR_MS);
    site.restart().await;
    crate::kept::until_gone(&site, number).await;
    let again = order(&site, "k", &folder("/a")).await;
    assert_eq!((again.status, &again.body["code"]), (410, &json!("gone")));
}

#[tokio::test]
async fn the_oldest_keys_go_where_there_are_too_many() {
    let mut site = Site::start().await;
    for name in ["a", "b", "c"] {
        order(&site, name, &folder(&format!("/{name}")))
            .await
            .number();
    }
    site.keep.keys = Kept {
        age: None,
        most: Some(1),
    };
    site.restart().await;
    let known = async |name: &str| {
        let said = order(&site, name, &folder(&format!("/{name}"))).await;
        said.replayed
    };
    // The round at the start may not be over yet.
    while known("a").await || known("b").await {
        tokio::task::yield_now().await;
    }
    assert!(known("c").await);
}
