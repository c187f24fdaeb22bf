//! Orders: who may, and what is said to who may not.

use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn a_refusal_names_role_folder_keys_and_whom_to_ask() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "operator").await;
    site.grant("/web", "boss", "admin").await;
    site.grant("/", "root-boss", "admin").await;
    site.grant("/web/front", "eve", "viewer").await;
    let (ann, _) = site.make_token("ann", None).await;
    let (eve, _) = site.make_token("eve", None).await;
    let mut said = String::new();
    let change =
        |key: Value, value: Value| json!({"changes": [{"op": "set", "key": key, "value": value}]});
    let two = json!({"definition": {"protect": true, "policy": "observe", "vcpu": 3}});
    for (who, token, kind, path, params) in [
        ("eve", &eve, "deploy", "/web/front/vm1", json!({})),
        ("eve", &eve, "deploy", "/web", json!({})),
        ("ann", &ann, "edit", "/web/front", two),
        (
            "ann",
            &ann,
            "edit",
            "/web/front",
            change(json!(["hypervisors", "h", "host"]), json!("x")),
        ),
        (
            "ann",
            &ann,
            "set-grants",
            "/web",
            json!({"grants": [{"op": "remove", "subject": "eve"}]}),
        ),
        ("ann", &ann, "create-folder", "/db/new", json!({})),
        ("ann", &ann, "edit", "/web/front/vm9", json!({})),
    ] {
        let answer = site.order_as(token, kind, path, params).await;
        said.push_str(&format!("{who}: {kind} {path}: {}\n", answer.said()));
    }
    insta::assert_snapshot!(said);
}

#[tokio::test]
async fn an_operation_is_signed_by_who_ordered_it() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "operator").await;
    let (ann, _) = site.make_token("ann", None).await;
    let changes = json!({"changes": [{"op": "set", "key": ["vcpu"], "value": 7}]});
    let done = site.order_as(&ann, "edit", "/web/front/vm1", changes).await;
    assert_eq!((done.status, &done.body["who"]), (200, &json!("ann")));
    let node = site.get(&ann, "/v1/nodes?path=/web/front/vm1").await.body;
    assert_eq!(node["last_operation"]["who"], "ann");
    assert_eq!(site.order("edit", "/web", json!({})).await["who"], "admin");
}

#[tokio::test]
async fn grants_add_up_and_are_taken_back_one_by_one_or_all() {
    let site = Site::start().await;
    site.plant().await;
    let grants = |changes: Value| json!({ "grants": changes });
    let shown = || async {
        let list = site
            .get(&site.token(), "/v1/grants?path=/web/front")
            .await
            .body;
        let all = list["grants"].as_array().unwrap().iter();
        all.map(|grant| {
            format!("{} {} {}", grant["path"], grant["subject"], grant["role"]).replace('"', "")
        })
        .collect::<Vec<_>>()
    };
    let both = json!([
        {"op": "add", "subject": "ann", "roles": ["viewer", "approver"]},
        {"op": "add", "subject": "bob", "roles": ["operator"]},
        {"op": "remove", "subject": "bob", "roles": ["operator", "admin"]},
    ]);
    site.order("set-grants", "/web/front", grants(both)).await;
    site.grant("/", "ann", "operator").await;
    assert_eq!(
        shown().await,
        [
            "/ ann operator",
            "/web/front ann viewer",
            "/web/front ann approver"
        ]
    );
    let one = json!([{"op": "remove", "subject": "ann", "roles": ["viewer"]}]);
    site.order("set-grants", "/web/front", grants(one)).await;
    assert_eq!(shown().await, ["/ ann operator", "/web/front ann approver"]);
    let all = json!([{"op": "remove", "subject": "ann"}]);
    site.order("set-grants", "/web/front", grants(all)).await;
    assert_eq!(shown().await, ["/ ann operator"]);
    for wrong in [
        json!([]),
        json!([{"op": "add", "subject": "ann", "roles": []}]),
        json!([{"op": "add", "subject": "Ann", "roles": ["viewer"]}]),
        json!([{"op": "add", "subject": "ann", "roles": ["owner"]}]),
        json!([{"op": "give", "subject": "ann", "roles": ["viewer"]}]),
    ] {
        let answer = site
            .order_as(&site.token(), "set-grants", "/web", grants(wrong.clone()))
            .await;
        assert!((400..=422).contains(&answer.status), "{wrong}: {answer:?}");
    }
    assert_eq!(shown().await, ["/ ann operator"]);
}

#[tokio::test]
async fn rights_end_with_the_grant_and_are_there_after_a_restart() {
    let mut site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "operator").await;
    let (ann, _) = site.make_token("ann", None).await;
    site.restart().await;
    let edit = json!({"changes": [{"op": "set", "key": ["vcpu"], "value": 4}]});
    let done = site
        .order_as(&ann, "edit", "/web/front/vm1", edit.clone())
        .await;
    assert_eq!(done.status, 200, "{done:?}");
    let taken = json!({"grants": [{"op": "remove", "subject": "ann"}]});
    site.order("set-grants", "/web", taken).await;
    let refused = site.order_as(&ann, "edit", "/web/front/vm1", edit).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.said().contains("was not given a role"),
        "{}",
        refused.said()
    );
}

#[tokio::test]
async fn an_admin_of_a_folder_gives_roles_there_and_nowhere_else() {
    let site = Site::start().await;
    site.plant().await;
    site.grant("/web", "ann", "admin").await;
    let (ann, _) = site.make_token("ann", None).await;
    let give = json!({"grants": [{"op": "add", "subject": "bob", "roles": ["admin"]}]});
    for (path, status) in [
        ("/web", 200),
        ("/web/front/vm1", 200),
        ("/", 404),
        ("/db", 404),
    ] {
        let answer = site.order_as(&ann, "set-grants", path, give.clone()).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    // A node with grants of its own goes only with the right to change them.
    let (op, _) = site.make_token("op", None).await;
    site.grant("/web", "op", "operator").await;
    let refused = site
        .order_as(&op, "deprovision", "/web/front/vm1", json!({}))
        .await;
    assert_eq!(refused.status, 403);
    assert!(refused.said().contains("`grants`"), "{}", refused.said());
}

#[tokio::test]
async fn what_is_written_again_as_it_stands_is_no_change_of_a_governed_key() {
    let site = Site::start().await;
    site.plant().await;
    site.order(
        "edit",
        "/web/front",
        json!({"definition": {"protect": true, "vcpu": 1}}),
    )
    .await;
    site.grant("/web", "ann", "operator").await;
    let (ann, _) = site.make_token("ann", None).await;
    // An editor sends the whole definition back.
    for (definition, status) in [
        (json!({"protect": true, "vcpu": 2}), 200),
        (json!({"vcpu": 2}), 403),
        (json!({"protect": null, "vcpu": 2}), 403),
        (json!({"protect": false, "vcpu": 2}), 403),
    ] {
        let params = json!({ "definition": definition });
        let answer = site.order_as(&ann, "edit", "/web/front", params).await;
        assert_eq!(answer.status, status, "{definition}: {answer:?}");
    }
}
