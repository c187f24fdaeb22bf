//! Requests that are too much of something: refused, with nothing lost, and the host goes on.

use serde_json::{Value, json};

use crate::site::Site;

/// So many keys within each other.
fn path_of(keys: usize) -> Vec<&'static str> {
    let mut path = vec!["guest", "dns"];
    path.resize(keys, "a");
    path
}

fn set(key: &[&str], value: Value) -> Value {
    json!({"definition": {}, "changes": [{"op": "set", "key": key, "value": value}]})
}

#[tokio::test]
async fn whatever_depth_of_a_definition_is_accepted_can_be_read_after_a_restart() {
    let mut site = Site::start().await;
    site.plant().await;
    let mut accepted = 0;
    for keys in [10, 40, 62, 63, 64, 65, 100, 126, 127, 128, 129, 1_000] {
        let order = set(&path_of(keys), json!(1));
        let answer = site.order_as(&site.token(), "edit", "/web", order).await;
        match answer.status {
            200 => accepted = keys,
            422 => assert!(answer.body.to_string().contains("at most 64"), "{answer:?}"),
            other => panic!("{keys}: {other} {answer:?}"),
        }
    }
    assert_eq!(accepted, 64);
    // The same from files, and with half of the depth in the value.
    for levels in [60, 100, 125] {
        let text = format!(
            "guest: {{dns: {}1{}}}\n",
            "{a: ".repeat(levels),
            "}".repeat(levels)
        );
        let body = json!({"path": "/web", "files": {"_folder.yaml": text}});
        let answer = site.ask(&site.token(), "POST", "/v1/imports", &body).await;
        assert_eq!(
            answer.status,
            if levels == 60 { 200 } else { 422 },
            "{answer:?}"
        );
        let value = (0..levels / 2).fold(json!(1), |inner, _| json!([inner]));
        let order = set(&path_of(levels.div_ceil(2)), value);
        let answer = site.order_as(&site.token(), "edit", "/web", order).await;
        assert_eq!(
            answer.status,
            if levels == 60 { 200 } else { 422 },
            "{answer:?}"
        );
    }
    site.restart().await;
    let token = site.token();
    assert_eq!(site.get(&token, "/v1/nodes?path=/web").await.status, 200);
    let history = site.get(&token, "/v1/nodes/history?path=/web").await;
    assert!(history.body["entries"].is_array(), "{history:?}");
}

#[tokio::test]
async fn a_key_of_a_million_parts_does_not_end_the_host() {
    let site = Site::start().await;
    site.plant().await;
    let order = set(&path_of(1_000_000), json!(1));
    let answer = site
        .order_as(&site.token(), "edit", "/web", order.clone())
        .await;
    assert_eq!(answer.status, 422, "{:?}", answer.said());
    assert!(answer.body.to_string().len() < 2_000);
    let body = json!({"kind": "edit", "path": "/web", "params": order});
    let answer = site.ask(&site.token(), "POST", "/v1/previews", &body).await;
    assert_eq!(answer.status, 422, "{:?}", answer.said());
    assert_eq!(site.get(&site.token(), "/v1/info").await.status, 200);
}

#[tokio::test]
async fn an_order_has_so_many_changes_and_no_more() {
    let site = Site::start().await;
    site.plant().await;
    let changes = |count: usize| {
        let change = |at| json!({"op": "set", "key": ["labels", format!("l{at}")], "value": "x"});
        json!({"changes": (0..count).map(change).collect::<Vec<_>>()})
    };
    site.order("edit", "/web", changes(10_000)).await;
    let answer = site
        .order_as(&site.token(), "edit", "/web", changes(10_001))
        .await;
    assert_eq!(answer.status, 413, "{:?}", answer.said());
}

#[tokio::test]
async fn the_deepest_tree_there_is_can_be_listed_moved_and_read_again() {
    let mut site = Site::start().await;
    let mut path = String::new();
    for _ in 0..64 {
        path.push_str("/a");
        site.order("create-folder", &path, json!({})).await;
    }
    let deeper = format!("{path}/a");
    let answer = site
        .order_as(&site.token(), "create-folder", &deeper, json!({}))
        .await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.said().contains("64 levels"), "{}", answer.said());
    let import = json!({"path": path, "files": {"a.yaml": ""}});
    let answer = site
        .ask(&site.token(), "POST", "/v1/imports", &import)
        .await;
    assert_eq!(answer.status, 422, "{answer:?}");
    // Neither by moving what holds it.
    site.order("create-folder", "/b", json!({})).await;
    let to = json!({"to": "/b/a"});
    let answer = site.order_as(&site.token(), "move", "/a", to).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    site.restart().await;
    for depth in ["", "&depth=64", "&depth=4294967295"] {
        let tree = site
            .get(&site.token(), &format!("/v1/tree?path=/{depth}"))
            .await;
        let mut here = &tree.body;
        let mut levels = 0;
        while let Some(child) = here["children"].get(0) {
            here = child;
            levels += 1;
        }
        // What is cut off is asked for by its own name.
        assert_eq!((levels, &here["cut"]), (60, &json!(true)), "{depth}");
    }
    let rest = site
        .get(&site.token(), &format!("/v1/tree?path={path}"))
        .await;
    assert_eq!(rest.body["full_name"], json!(path));
}

#[tokio::test]
async fn a_path_that_is_none_is_a_problem_like_any_other() {
    let site = Site::start().await;
    for path in [
        "/v1/operations/abc",
        "/v1/operations/-1/log",
        "/v1/operations/99999999999999999999",
        "/v1/engines/%FF",
        "/v1/plans/%FF",
        "/v1/operations/1e3/requests",
    ] {
        let answer = site.get(&site.token(), path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert_eq!(answer.body["code"], "bad-request", "{path}: {answer:?}");
    }
}
