//! What a list shows to whom.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::site::Site;

/// Names of a tree, `(way)` where only that is shown.
fn names(node: &Value, to: &mut Vec<String>) {
    let way = if node["way"] == json!(true) {
        " (way)"
    } else {
        ""
    };
    to.push(format!("{}{way}", node["full_name"].as_str().unwrap()));
    for child in node["children"].as_array().into_iter().flatten() {
        names(child, to);
    }
}

fn pick(body: &Value, list: &str, keys: &[&str]) -> String {
    let rows = body[list].as_array().unwrap().iter().map(|row| {
        let cells = keys.iter().map(|key| match &row[*key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        cells.collect::<Vec<_>>().join(" ")
    });
    rows.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn an_empty_list_is_an_answer() {
    let site = Site::start().await;
    for list in [
        "/v1/operations",
        "/v1/results",
        "/v1/executed",
        "/v1/hypervisors",
        "/v1/grants",
        "/v1/secrets",
        "/v1/tokens",
        "/v1/tree",
        "/v1/nodes/history?path=/",
        "/v1/export",
        "/v1/engines",
    ] {
        let answer = site.get(&site.token(), list).await;
        assert_eq!(answer.status, 200, "{list}: {}", answer.said());
    }
}

#[tokio::test]
async fn everyone_sees_what_they_may_read_and_the_way_there() {
    let site = Site::start().await;
    site.plant().await;
    for (path, subject) in [
        ("/", "all"),
        ("/web", "web"),
        ("/web/front/vm1", "vm1"),
        ("/db", "db"),
    ] {
        site.grant(path, subject, "viewer").await;
    }
    site.grant("/web/front/vm1", "two", "viewer").await;
    site.grant("/db", "two", "operator").await;
    let mut seen = String::new();
    for subject in ["all", "web", "vm1", "db", "two"] {
        let (token, _) = site.make_token(subject, None).await;
        let tree = site.get(&token, "/v1/tree").await;
        let mut shown = Vec::new();
        names(&tree.body, &mut shown);
        let operations = site.get(&token, "/v1/operations").await.body;
        let hypervisors = site.get(&token, "/v1/hypervisors").await.body;
        let grants = site.get(&token, "/v1/grants").await.body;
        let _ = write!(
            seen,
            "{subject}\n  tree: {}\n  operations: {}\n  hypervisors: {}\n  grants: {}\n",
            shown.join(", "),
            pick(&operations, "operations", &["number", "kind", "path"]),
            pick(&hypervisors, "hypervisors", &["name", "defined_at", "host"]),
            pick(&grants, "grants", &["path", "subject", "role"]),
        );
    }
    insta::assert_snapshot!(seen);
}

#[tokio::test]
async fn what_is_inherited_shows_with_its_origin_and_without_its_secrets() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web/front/vm1", "ann", "viewer").await;
    let (ann, _) = site.make_token("ann", None).await;
    let node = site.get(&ann, "/v1/nodes?path=/web/front/vm1").await;
    let computed = node.body["computed_definition"].to_string();
    assert!(computed.contains("http://127.0.0.1:1"), "{computed}");
    assert!(computed.contains("small"), "{computed}");
    assert!(!node.body.to_string().contains("hidden"), "{computed}");
    // What it is inherited from is not to be read for that.
    assert_eq!(site.get(&ann, "/v1/nodes?path=/").await.status, 404);
}

#[tokio::test]
async fn hidden_and_missing_are_one_answer_word_for_word() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "admin").await;
    let (ann, _) = site.make_token("ann", None).await;
    let ops = site
        .get(&site.token(), "/v1/operations?path=/db/vm2")
        .await
        .body;
    let hidden_number = ops["operations"][0]["number"].as_u64().unwrap();
    let said = |method: &'static str, path: String, body: Value| {
        let (site, ann) = (&site, &ann);
        async move { site.ask(ann, method, &path, &body).await.said() }
    };
    for (hidden, missing) in [
        ("/db/vm2", "/db/vm9"),
        ("/db", "/dd"),
        ("/db/vm2", "/dc/vm2"),
    ] {
        let same = |text: String| text.replace(hidden, "PATH").replace(missing, "PATH");
        for route in [
            "/v1/nodes",
            "/v1/tree",
            "/v1/operations",
            "/v1/hypervisors",
            "/v1/grants",
        ] {
            let one = said("GET", format!("{route}?path={hidden}"), Value::Null).await;
            let other = said("GET", format!("{route}?path={missing}"), Value::Null).await;
            assert_eq!(same(one.clone()), same(other), "{route}");
            assert!(one.starts_with("404 "), "{one}");
        }
        for kind in [
            "deploy",
            "edit",
            "deprovision",
            "set-grants",
            "remove-folder",
        ] {
            let order = |path: &str| json!({"kind": kind, "path": path});
            let one = said("POST", "/v1/operations".into(), order(hidden)).await;
            let other = said("POST", "/v1/operations".into(), order(missing)).await;
            assert_eq!(same(one), same(other), "{kind}");
        }
    }
    for end in ["", "/log", "/requests", "/wait", "/cancel", "/resolve"] {
        let (method, body) = match end {
            "/cancel" => ("POST", Value::Null),
            "/resolve" => ("POST", json!({"as": "done"})),
            _ => ("GET", Value::Null),
        };
        let at = |number: u64| format!("/v1/operations/{number}{end}");
        let one = said(method, at(hidden_number), body.clone()).await;
        let other = said(method, at(9_999), body).await;
        assert_eq!(
            one.replace(&hidden_number.to_string(), "N"),
            other.replace("9999", "N")
        );
        assert!(one.starts_with("404 "), "{one}");
    }
    // Within what she may read, she is helped.
    let near = said("GET", "/v1/nodes?path=/web/fromt".into(), Value::Null).await;
    assert!(near.contains("did you mean `/web/front`?"), "{near}");
    let ours = said("GET", "/v1/nodes?path=/wen".into(), Value::Null).await;
    assert!(!ours.contains("did you mean"), "{ours}");
}

#[tokio::test]
async fn pages_of_operations_are_full_and_miss_nothing_among_those_of_others() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "viewer").await;
    let (ann, _) = site.make_token("ann", None).await;
    let mut expected = Vec::new();
    for n in 0..60_u32 {
        // In no even rhythm: mostly those of others.
        let ours = n % 7 == 0 || (20..24).contains(&n);
        let path = if ours { "/web/front/vm1" } else { "/db/vm2" };
        let changes = json!({"changes": [{"op": "set", "key": ["vcpu"], "value": n + 1}]});
        let done = site.order("edit", path, changes).await;
        if ours {
            expected.push(done["number"].as_u64().unwrap());
        }
    }
    expected.reverse();
    for limit in [1, 3, 5, 50] {
        let (mut got, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/operations?path=/web/front/vm1&limit={limit}{before}");
            let all = format!("/v1/operations?limit={limit}{before}");
            let page = site.get(&ann, &all).await.body;
            let numbers: Vec<u64> = page["operations"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|operation| operation["kind"] == "edit")
                .map(|operation| operation["number"].as_u64().unwrap())
                .collect();
            assert!(page["operations"].as_array().unwrap().len() <= limit);
            assert_eq!(site.get(&ann, &path).await.status, 200);
            got.extend(numbers);
            match page["next"].as_u64() {
                Some(next) => {
                    assert_eq!(page["operations"].as_array().unwrap().len(), limit);
                    before = format!("&before={next}");
                }
                None => break,
            }
        }
        assert_eq!(got, expected, "pages of {limit}");
    }
}

#[tokio::test]
async fn an_operation_of_a_node_that_is_gone_is_seen_by_who_reads_its_folder() {
    let site = Site::start().await;
    site.plant().await;
    site.order("provision", "/web/front/old", json!({})).await;
    let gone = site.order("deprovision", "/web/front/old", json!({})).await;
    let path = format!("/v1/operations/{}", gone["number"]);
    for (folder, status) in [("/web/front", 200), ("/db", 404), ("/", 200)] {
        let subject = format!("v{}", folder.len());
        site.grant(folder, &subject, "viewer").await;
        let (token, _) = site.make_token(&subject, None).await;
        assert_eq!(site.get(&token, &path).await.status, status, "{folder}");
    }
}
