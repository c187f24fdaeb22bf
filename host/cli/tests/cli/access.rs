//! grant, grants, token, whoami.

use serde_json::{Value, json};

use crate::documents::NOON;
use crate::scripted::{Scripted, enginehouse, problem, run};

const SECRET: &str = "eh_0123456789ab_00000000000000000000000000000000";

fn token(id: &str, subject: &str, more: Value) -> Value {
    let mut token = json!({
        "id": id, "subject": subject, "state": "valid", "created_at": NOON, "created_by": "admin",
    });
    token
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    token
}

fn set_grants() -> Value {
    json!({"number": 7, "kind": "set-grants", "state": "succeeded", "path": "/web", "who": "admin",
           "queued_at": NOON, "started_at": NOON, "ended_at": NOON, "result": {}})
}

#[test]
fn roles_are_given_and_taken_in_one_order() {
    let server = Scripted::new().on("POST /v1/operations", 200, set_grants());
    let ran = server.run(&["grant", "/web", "ann", "operator", "approver"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "set the grants of /web (operation 7)\n")
    );
    assert_eq!(server.run(&["grant", "--remove", "/web", "ann"]).code, 0);
    assert_eq!(
        server
            .run(&["grant", "/web", "ann", "viewer", "--remove"])
            .code,
        0
    );
    let order = |change: Value| json!({"kind": "set-grants", "path": "/web", "params": {"grants": [change]}});
    assert_eq!(
        server.bodies("POST /v1/operations"),
        [
            order(json!({"op": "add", "subject": "ann", "roles": ["operator", "approver"]})),
            order(json!({"op": "remove", "subject": "ann", "roles": []})),
            order(json!({"op": "remove", "subject": "ann", "roles": ["viewer"]})),
        ]
    );
}

#[test]
fn a_word_that_is_no_role_and_no_role_at_all_are_wrong_usage() {
    for args in [
        ["grant", "/web", "ann", "owner"].as_slice(),
        &["grant", "/web", "ann"],
        &["grant", "/web"],
        &["grant", "web", "ann", "viewer"],
    ] {
        assert_eq!(run(enginehouse(args)).code, 2, "{args:?}");
    }
}

#[test]
fn grants_say_where_they_come_from() {
    let grants = json!({"grants": [
        {"path": "/", "subject": "boss", "role": "admin"},
        {"path": "/web", "subject": "ann", "role": "viewer"},
        {"path": "/web", "subject": "boss", "role": "approver"},
    ]});
    let server = Scripted::new()
        .on("GET /v1/grants?path=%2Fweb", 200, grants.clone())
        .on("GET /v1/grants", 200, grants);
    let text = server.run(&["grants", "/web"]).all();
    for line in [
        "ann      viewer    here",
        "boss     admin     /",
        "boss     approver  here",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = server.run(&["grants"]).all();
    assert!(text.contains("/     boss     admin"), "{text}");
}

#[test]
fn a_new_token_goes_to_standard_output_alone() {
    let mut made = token("0123456789ab", "ann", json!({"expires_at": NOON}));
    made["token"] = json!(SECRET);
    let server = Scripted::new().on("POST /v1/tokens", 200, made);
    let ran = server.run(&[
        "token",
        "create",
        "ann",
        "--expires",
        "90d",
        "--note",
        "laptop",
    ]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, format!("{SECRET}\n").as_str())
    );
    assert!(
        ran.err.contains("shown this once") && !ran.err.contains(SECRET),
        "{}",
        ran.err
    );
    assert_eq!(
        server.bodies("POST /v1/tokens"),
        [json!({"subject": "ann", "expires_in_s": 90 * 86_400, "note": "laptop"})]
    );
    let wrong = server.run(&["token", "create", "ann", "--expires", "90"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("90d, 2w or 12h"), "{}", wrong.err);
}

#[test]
fn tokens_are_listed_revoked_and_rotated() {
    let revoked = json!({"state": "revoked", "revoked_at": NOON, "revoked_by": "admin"});
    let revoked = token("0123456789ab", "ann", revoked);
    let list = json!({"tokens": [
        revoked,
        token("ba9876543210", "ci@build", json!({"note": "nightly", "last_used_day": NOON, "expires_at": NOON})),
    ]});
    let server = Scripted::new()
        .on("GET /v1/tokens", 200, list)
        .on("DELETE /v1/tokens/0123456789ab", 200, revoked)
        .on(
            "POST /v1/tokens/rotate",
            200,
            json!({"file": "/data/token"}),
        );
    let text = server.run(&["token", "list"]).all();
    for word in ["0123456789ab", "revoked", "ci@build", "nightly", "never"] {
        assert!(text.contains(word), "{text}");
    }
    let text = server.run(&["token", "revoke", "0123456789ab"]).all();
    assert!(text.contains("revoked token 0123456789ab of ann"), "{text}");
    let text = server.run(&["token", "rotate"]).all();
    assert!(text.contains("/data/token"), "{text}");
}

#[test]
fn whoami_says_subject_token_and_roles() {
    let installation = "0199a0b0c0d07000800000000000000f";
    let me = |more: Value| {
        let mut me = json!({"subject": "ann", "installation": installation, "grants": []});
        me.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Scripted::new().on("GET /v1/whoami", 200, me)
    };
    let roles = json!({
        "token": token("0123456789ab", "ann", json!({})),
        "grants": [{"path": "/db", "subject": "ann", "role": "viewer"},
                   {"path": "/web", "subject": "ann", "role": "operator"}],
    });
    let text = me(roles).run(&["whoami"]).all();
    assert!(
        text.contains("viewer on /db") && text.contains("operator on /web"),
        "{text}"
    );
    let none = json!({"token": token("0123456789ab", "ann", json!({"expires_at": NOON}))});
    let text = me(none).run(&["whoami"]).all();
    assert!(text.contains("no role on any folder"), "{text}");
    let text = me(json!({"subject": "admin"})).run(&["whoami"]).all();
    assert!(text.contains("may do everything"), "{text}");
}

#[test]
fn a_refusal_says_what_is_missing_and_whom_to_ask() {
    let answer = problem(
        403,
        "forbidden",
        "ann may not operate on /web: it needs the role operator there or above",
        json!({"hint": "ask boss: `enginehouse grant /web ann operator`"}),
    );
    let server = Scripted::new().on("POST /v1/operations", 403, answer);
    let ran = server.run(&["deploy", "/web"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("ask boss: `enginehouse grant"),
        "{}",
        ran.err
    );
}
