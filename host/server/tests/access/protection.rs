//! Protection is not lowered by the way: by no route, and not by who governs the folder either, unless
//! they say that they want it.

use serde_json::{Value, json};

use crate::site::Site;

fn set(key: &str, value: Value) -> Value {
    json!({"changes": [{"op": "set", "key": [key], "value": value}]})
}

fn confirmed(mut params: Value) -> Value {
    params["confirm_lowered"] = json!(true);
    params
}

async fn defined(web: Value) -> Site {
    let site = Site::start().await;
    site.plant().await;
    site.order("edit", "/web", json!({ "definition": web }))
        .await;
    site
}

async fn protected() -> Site {
    let approvals = json!({"need": 2, "keys": ["ssh-ed25519 A", "ssh-ed25519 B"]});
    defined(json!({"protect": true, "policy": "observe", "approvals": approvals})).await
}

/// Nobody is asked to approve that it is lowered.
async fn protected_alone() -> Site {
    defined(json!({"protect": true, "policy": "observe"})).await
}

#[tokio::test]
async fn what_is_lowered_is_said_and_done_only_when_it_is_confirmed() {
    let site = protected().await;
    let mut said = String::new();
    let fewer = json!({"need": 1, "keys": ["ssh-ed25519 A", "ssh-ed25519 B"]});
    let other = json!({"need": 2, "keys": ["ssh-ed25519 A", "ssh-ed25519 E"]});
    for (kind, path, params) in [
        ("edit", "/web", set("protect", json!(false))),
        ("edit", "/web", set("protect", Value::Null)),
        ("edit", "/web", json!({"definition": {}})),
        ("edit", "/web", set("policy", json!("disruptive"))),
        ("edit", "/web", set("follow", json!(true))),
        ("edit", "/web", set("approvals", fewer)),
        ("edit", "/web", set("approvals", other)),
        ("edit", "/web/front", set("protect", json!(false))),
        ("edit", "/web/front/vm1", set("policy", json!("benign"))),
        ("move", "/web/front/vm1", json!({"to": "/db/vm1"})),
        ("move", "/web/front", json!({"to": "/front"})),
        ("deprovision", "/web/front/vm1", json!({})),
    ] {
        let before = site
            .get(&site.token(), &format!("/v1/nodes?path={path}"))
            .await;
        let answer = site
            .order_as(&site.token(), kind, path, params.clone())
            .await;
        assert_eq!(answer.status, 409, "{kind} {path} {params}: {answer:?}");
        assert_eq!(answer.body["code"], "needs-confirmation");
        said.push_str(&format!(
            "{kind} {path} {params}\n  {}\n",
            answer.body["detail"]
        ));
        let after = site
            .get(&site.token(), &format!("/v1/nodes?path={path}"))
            .await;
        assert_eq!(before.body, after.body, "nothing was changed");
    }
    insta::assert_snapshot!(said);
    let site = protected_alone().await;
    for (kind, path, params) in [
        ("edit", "/web/front", set("protect", json!(false))),
        ("move", "/web/front/vm1", json!({"to": "/db/vm1"})),
        ("remove-folder", "/web/front", json!({})),
        ("edit", "/web", json!({"definition": {}})),
    ] {
        site.order(kind, path, confirmed(params)).await;
    }
    let audit = site
        .get(&site.token(), "/v1/audit?action=protection&after=0")
        .await;
    let lowers = audit.body["entries"].as_array().unwrap().iter();
    let lowers: Vec<&str> = lowers
        .filter_map(|line| line["detail"]["lowers"].as_str())
        .collect();
    assert_eq!(lowers, ["protect", "policy", "protect, policy"]);
}

#[tokio::test]
async fn what_raises_protection_or_leaves_it_needs_no_word() {
    let site = protected().await;
    for (kind, path, params) in [
        ("edit", "/web", set("vcpu", json!(4))),
        ("edit", "/web/front", set("protect", json!(true))),
        ("edit", "/web/front", json!({"definition": {}})),
        (
            "create-folder",
            "/web/new",
            json!({"definition": {"protect": false}}),
        ),
        ("remove-folder", "/web/new", json!({})),
        ("edit", "/db", set("protect", json!(true))),
        ("move", "/web/front/vm1", json!({"to": "/web/vm1"})),
        ("move", "/db/vm2", json!({"to": "/web/vm2"})),
    ] {
        site.order(kind, path, params).await;
    }
    // A parameter of orders that cannot lower anything is refused, as any other.
    let odd = site
        .order_as(&site.token(), "create-folder", "/x", confirmed(json!({})))
        .await;
    assert_eq!(odd.status, 400, "{odd:?}");
}

#[tokio::test]
async fn an_import_that_lowers_protection_says_all_of_it_and_is_one_transaction() {
    let site = protected().await;
    let files = json!({
        "_folder.yaml": "vcpu: 8\n",
        "front/_folder.yaml": "memory: 1GiB\n",
    });
    let mut request = json!({"path": "/web", "files": files, "prune": true, "dry_run": true});
    let looked = site
        .ask(&site.token(), "POST", "/v1/imports", &request)
        .await;
    assert_eq!(looked.status, 200, "{looked:?}");
    let lowered = looked.body["lowered"].as_array().unwrap();
    let lowered: Vec<&str> = lowered.iter().filter_map(Value::as_str).collect();
    // What the folders below inherit is said once; what is pruned is named.
    assert_eq!(lowered.len(), 2, "{lowered:?}");
    assert!(lowered[0].starts_with("/web: protect true -> false, policy observe -> benign"));
    assert_eq!(
        lowered[1],
        "/web/front/vm1 is removed, and /web protects it"
    );

    request["dry_run"] = json!(false);
    let refused = site
        .ask(&site.token(), "POST", "/v1/imports", &request)
        .await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (409, &json!("needs-confirmation"))
    );
    let node = site
        .get(&site.token(), "/v1/nodes?path=/web/front/vm1")
        .await;
    assert_eq!(node.status, 200);
    request["confirm_lowered"] = json!(true);
    // Where approvals are asked for, it is lowered node by node.
    let waits = site
        .ask(&site.token(), "POST", "/v1/imports", &request)
        .await;
    assert_eq!(
        (waits.status, &waits.body["code"]),
        (409, &json!("conflict")),
        "{waits:?}"
    );
    let site = protected_alone().await;
    let done = site
        .ask(&site.token(), "POST", "/v1/imports", &request)
        .await;
    assert_eq!(done.status, 200, "{done:?}");
    let node = site
        .get(&site.token(), "/v1/nodes?path=/web/front/vm1")
        .await;
    assert_eq!(node.status, 404);
}
