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
fn a_wait_for_several_says_each_and_ends_as_the_worst() {
    let said = |number: u64, path: &str, state: &str, more: Value| {
        let line = format!("GET /v1/operations/{number}");
        (line, operation(number, "deploy", path, state, more))
    };
    let failed = json!({"error": {"code": "denied", "message": "permission check failed"}});
    let mut server = Scripted::new();
    for (line, answer) in [
        said(
            12,
            "/web/vm1",
            "succeeded",
            json!({"ended_at": NOON + 1000}),
        ),
        said(13, "/web/vm2", "failed", failed),
        said(14, "/web/vm3", "in_doubt", json!({})),
    ] {
        server = server.on(&line, 200, answer);
    }
    insta::assert_snapshot!(server.run(&["ops", "wait", "12", "13", "14"]).all());
    let ran = server.run(&["ops", "wait", "12", "14", "-o", "json"]);
    assert_eq!(
        (ran.code, ran.json().as_array().unwrap().len()),
        (4, 2),
        "{}",
        ran.err
    );
    assert_eq!(server.run(&["ops", "wait", "12", "12"]).code, 0);
}

fn ended(number: u64, kind: &str, path: &str, outcome: &str, more: Value) -> Value {
    let mut line = json!({
        "number": number, "kind": kind, "path": path, "who": "ann", "queued_at": NOON,
        "started_at": NOON + 500, "ended_at": NOON + 2500, "outcome": outcome,
    });
    line.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    line
}

#[test]
fn results_are_listed_with_what_came_out_and_where_to_go_on() {
    let page = json!({"cursor": "r1-2a", "more": true, "results": [
        ended(12, "deploy", "/web/vm1", "failed", json!({
            "result": {"machine_id": "103", "created": [{"kind": "machine", "id": "103"}],
                       "failed": [{"kind": "nic", "id": "lan", "reason": "no such bridge"}]},
            "error": {"code": "provider", "message": "bridge vmbr9\ndoes not exist"},
        })),
        ended(13, "set-secret", "/", "succeeded", json!({"secret": "pve"})),
        ended(11, "move", "/web/a", "succeeded", json!({
            "to": "/web/b", "result": {"warnings": ["a name is short"]},
        })),
    ]});
    let server = Scripted::new()
        .on("GET /v1/results?after=r1-27&limit=3", 200, page)
        .on(
            "GET /v1/results?limit=100",
            200,
            json!({"cursor": "r1-0", "results": []}),
        );
    let ran = server.run(&["ops", "results", "--after", "r1-27", "--limit", "3"]);
    insta::assert_snapshot!(ran.all());
    let none = server.run(&["ops", "results"]);
    assert_eq!(none.out, "no results\nwhat comes next: --after r1-0\n");
}

#[test]
fn results_are_followed_until_the_cursor_is_too_old() {
    let refusal = problem(
        410,
        "expired",
        "7 results after the cursor are no longer kept; the oldest one left is of operation 31",
        json!({"cursor": "r1-12", "hint": "what is still kept comes after the cursor r1-12"}),
    );
    let server = || {
        Scripted::new()
            .on(
                "GET /v1/results?limit=100",
                200,
                json!({"cursor": "r1-1", "results": [ended(1, "edit", "/", "succeeded", json!({}))]}),
            )
            .on(
                "GET /v1/results?after=r1-1&limit=100&wait_ms=60000",
                200,
                json!({"cursor": "r1-2", "results": [
                    ended(4, "deploy", "/vm", "succeeded", json!({"result": {"machine_id": "7"}})),
                ]}),
            )
            .on("GET /v1/results?after=r1-2&limit=100&wait_ms=60000", 410, refusal.clone())
    };
    insta::assert_snapshot!(server().run(&["ops", "results", "--follow"]).all());
    let ran = server().run(&["ops", "results", "--follow", "-o", "json"]);
    let pages: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(pages.len(), 2, "{}", ran.out);
    assert_eq!(pages[1]["cursor"], "r1-2");
}

#[test]
fn the_executed_log_is_listed_with_its_times() {
    let page = json!({"next": "r1-9", "lines": [
        ended(12, "deploy", "/web/vm1", "failed", json!({"message": "VM is locked (backup)"})),
        ended(10, "edit", "/", "succeeded", json!({})),
    ]});
    let line = "GET /v1/executed?path=%2Fweb&who=ann&kind=deploy&outcome=failed&since=1795219200000&until=1795255200000&before=r1-20&limit=2";
    let server = Scripted::new().on(line, 200, page).on(
        "GET /v1/executed?limit=20",
        200,
        json!({"lines": []}),
    );
    let ran = server.run(&[
        "ops",
        "executed",
        "--path",
        "/web",
        "--who",
        "ann",
        "--kind",
        "deploy",
        "--outcome",
        "failed",
        "--since",
        "2026-11-21",
        "--until",
        "2026-11-21T10:00:00Z",
        "--before",
        "r1-20",
        "--limit",
        "2",
    ]);
    insta::assert_snapshot!(ran.all());
    assert_eq!(server.run(&["ops", "executed"]).out, "no operations\n");
    for (wrong, says) in [
        (["--kind", "explode"], "the kinds are create-folder"),
        (["--outcome", "running"], "operations end succeeded"),
        (["--since", "yesterday"], "`yesterday` is no moment"),
    ] {
        let ran = server.run(&[&["ops", "executed"][..], &wrong].concat());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn every_order_has_a_key_of_its_own() {
    let done = |path: &str| operation(1, "create-folder", path, "succeeded", json!({}));
    let server = Scripted::new()
        .on("POST /v1/operations", 200, done("/a"))
        .on("DELETE /v1/secrets/s", 200, done("/"));
    for args in [
        &["folder", "create", "/a"][..],
        &["folder", "create", "/a"],
        &["secret", "remove", "s"],
    ] {
        let ran = server.run(args);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let mut keys: Vec<String> = server
        .seen()
        .into_iter()
        .filter_map(|seen| seen.key)
        .collect();
    assert!(keys.iter().all(|key| key.len() >= 32), "{keys:?}");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
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
