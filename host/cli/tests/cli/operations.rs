//! `ops`.

use serde_json::{Value, json};

use crate::documents::{NOON, operation, progress, step};
use crate::scripted::{Scripted, problem};

#[test]
fn operations_are_listed_newest_first() {
    let mut failed = operation(
        11,
        "start",
        "/web/vm2",
        "failed",
        json!({
            "ended_at": NOON + 90_020, "error": {"code": "busy", "message": "VM is locked (backup)"},
        }),
    );
    failed["queued_at"] = json!(NOON - 1000);
    let page = json!({"operations": [
        operation(12, "deploy", "/web/vm1", "pending", json!({"waiting_for": "operation 11"})),
        failed,
    ], "next": 11});
    let line = "GET /v1/operations?state=in_doubt&path=%2Fweb&before=20&limit=2";
    let server = Scripted::new().on(line, 200, page);
    let ran = server.run(&[
        "ops", "list", "--state", "in-doubt", "--path", "/web", "--before", "20", "--limit", "2",
    ]);
    insta::assert_snapshot!(ran.all());
}

#[test]
fn no_operations_are_said() {
    let server = Scripted::new().on(
        "GET /v1/operations?limit=20",
        200,
        json!({"operations": []}),
    );
    assert_eq!(server.run(&["ops", "list"]).out, "no operations\n");
}

fn shown() -> Value {
    let mut retrying = step(2, "start", "", "retrying");
    retrying["attempt"] = json!(3);
    let mut more = progress(Some(40), "starting");
    more["steps"] = json!([step(1, "create", "from debian-12", "done"), retrying]);
    more["plan"] = json!("3f9ac2d1");
    more["parent"] = json!(9);
    more["cancel_requested"] = json!(true);
    more["waiting_for"] = json!("the next try in 4 s");
    operation(12, "deploy", "/web/vm1", "running", more)
}

#[test]
fn an_operation_is_shown_with_its_steps() {
    let server = Scripted::new().on("GET /v1/operations/12", 200, shown());
    insta::assert_snapshot!(server.run(&["ops", "show", "12"]).all());
}

#[test]
fn a_log_is_read_to_its_end() {
    let line = |seq: u64, level: &str, source: &str, text: &str| json!({"seq": seq, "at": NOON + seq, "level": level, "source": source, "text": text});
    let server = Scripted::new()
        .on(
            "GET /v1/operations/12/log?after=0",
            200,
            json!({"more": true, "lines": [
                line(1, "info", "host", "step 1: create"),
                line(2, "info", "task", "create full clone of drive\u{7}"),
            ]}),
        )
        .on(
            "GET /v1/operations/12/log?after=2",
            200,
            json!({"lines": [
                line(3, "warn", "engine", "no guest agent"),
            ]}),
        );
    insta::assert_snapshot!(server.run(&["ops", "log", "12"]).all());
}

#[test]
fn a_log_is_followed_until_the_operation_is_over() {
    let line = |seq: u64| json!({"seq": seq, "at": NOON, "level": "info", "source": "host", "text": format!("line {seq}")});
    let wait = "GET /v1/operations/12/wait?timeout_ms=500";
    let server = Scripted::new()
        .on(
            wait,
            200,
            operation(12, "deploy", "/a", "running", json!({})),
        )
        .on(
            wait,
            200,
            operation(12, "deploy", "/a", "succeeded", json!({})),
        )
        .on(
            "GET /v1/operations/12/log?after=0",
            200,
            json!({"lines": [line(1)]}),
        )
        .on(
            "GET /v1/operations/12/log?after=1",
            200,
            json!({"lines": [line(2)]}),
        );
    let ran = server.run(&["ops", "log", "12", "--follow", "-o", "json"]);
    assert_eq!(ran.json()["lines"], json!([line(1), line(2)]));
}

#[test]
fn requests_are_shown_without_secrets() {
    let requests = json!({"requests": [
        {"at": NOON, "endpoint": "host", "method": "POST", "path": "/api2/json/access/ticket",
         "effect": "repeat", "status": 200, "took_ms": 12},
        {"at": NOON + 40, "step": 1, "endpoint": "host", "method": "POST",
         "path": "/api2/json/nodes/pve/qemu/9000/clone", "effect": "once", "status": 500,
         "took_ms": 1200},
        {"at": NOON + 90, "step": 1, "endpoint": "host", "method": "GET", "path": "/x",
         "effect": "read"},
    ]});
    let server = Scripted::new().on("GET /v1/operations/12/requests", 200, requests);
    insta::assert_snapshot!(server.run(&["ops", "log", "12", "--requests"]).all());
}

#[test]
fn wait_ends_with_the_operation_or_with_its_patience() {
    let running = operation(
        12,
        "deploy",
        "/web/vm1",
        "running",
        progress(None, "create"),
    );
    let server = Scripted::new()
        .on("GET /v1/operations/12", 200, running.clone())
        .on("GET /v1/operations/12/wait?timeout_ms=250", 200, running);
    insta::assert_snapshot!(server.run(&["ops", "wait", "12", "--timeout", "0"]).all());

    let failed = operation(
        12,
        "deploy",
        "/web/vm1",
        "failed",
        json!({
            "error": {"code": "denied", "message": "permission check failed"},
        }),
    );
    let server = Scripted::new().on("GET /v1/operations/12", 200, failed);
    insta::assert_snapshot!(server.run(&["ops", "wait", "12"]).all());
}

#[test]
fn cancel_and_resolve_say_what_is_now() {
    let running = operation(
        12,
        "deploy",
        "/a",
        "running",
        json!({"cancel_requested": true}),
    );
    let server = Scripted::new()
        .on("POST /v1/operations/12/cancel", 200, running)
        .on(
            "POST /v1/operations/12/resolve",
            200,
            operation(12, "deploy", "/a", "failed", json!({})),
        );
    assert_eq!(
        server.run(&["ops", "cancel", "12"]).out,
        "operation 12 is running and ends where nothing is half done\n"
    );
    assert_eq!(
        server.run(&["ops", "resolve", "12", "--as", "failed"]).out,
        "operation 12 is failed now\n"
    );
    assert_eq!(
        server.bodies("POST /v1/operations/12/resolve"),
        [json!({"as": "failed"})]
    );
}

#[test]
fn what_the_state_does_not_allow_is_refused_with_the_way_out() {
    let refusal = problem(
        409,
        "wrong-state",
        "operation 12 is succeeded, not in doubt",
        json!({
            "hint": "nothing needs to be resolved",
        }),
    );
    let server = Scripted::new().on("POST /v1/operations/12/resolve", 409, refusal);
    insta::assert_snapshot!(server.run(&["ops", "resolve", "12", "--as", "done"]).all());
}
