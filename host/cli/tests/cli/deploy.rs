//! Commands about machines: progress, results, failures.

use serde_json::{Value, json};

use crate::documents::{NOON, operation, progress, step};
use crate::scripted::Scripted;

const ORDER: &str = "POST /v1/operations";

/// `wait` of operation 12, as the command asks for it.
const WAIT: &str = "GET /v1/operations/12/wait?timeout_ms=250";

fn deploy(state: &str, more: Value) -> Value {
    operation(12, "deploy", "/web/vm1", state, more)
}

fn ended(mut more: Value) -> Value {
    more["ended_at"] = json!(NOON + 2_370);
    more
}

#[test]
fn a_deploy_shows_its_progress_and_its_machine() {
    let steps = json!([
        step(1, "create", "from debian-12, 2 vcpu, 4 GiB", "done"),
        step(2, "start", "", "done"),
    ]);
    let result = json!({"machine_id": "101", "created": [{"kind": "machine", "id": "101"}],
                        "warnings": ["task ended with 1 warning"]});
    let server = Scripted::new()
        .on(ORDER, 202, deploy("pending", json!({})))
        .on(
            WAIT,
            200,
            deploy(
                "pending",
                json!({"waiting_for": "operation 11 on the same machine"}),
            ),
        )
        .on(WAIT, 200, deploy("running", progress(None, "create")))
        .on(
            WAIT,
            200,
            deploy("running", progress(Some(4), "transferred 1.0 of 20.0 GiB")),
        )
        .on(
            WAIT,
            200,
            deploy("running", progress(Some(9), "transferred 1.0 of 20.0 GiB")),
        )
        .on(
            WAIT,
            200,
            deploy(
                "succeeded",
                ended(json!({"steps": steps, "result": result})),
            ),
        );
    let ran = server.run(&["deploy", "/web/vm1"]);
    assert_eq!(
        server.bodies(ORDER),
        [json!({"kind": "deploy", "path": "/web/vm1", "params": {}})]
    );
    insta::assert_snapshot!(ran.all());
}

#[test]
fn json_has_no_progress_and_the_operation_as_it_ended() {
    let end = deploy("succeeded", ended(json!({})));
    let server = Scripted::new()
        .on(ORDER, 202, deploy("pending", json!({})))
        .on(WAIT, 200, end.clone());
    let ran = server.run(&["deploy", "/web/vm1", "--output", "json"]);
    assert_eq!((ran.code, ran.err.as_str(), ran.json()), (0, "", end));
}

#[test]
fn no_wait_prints_the_number() {
    let server = Scripted::new().on(ORDER, 202, deploy("pending", json!({})));
    let ran = server.run(&["deploy", "/web/vm1", "--no-wait"]);
    assert_eq!(ran.all(), "exit code 0\n-- stdout --\n12\n");
}

#[test]
fn a_failure_says_what_failed_what_exists_and_what_to_do() {
    let mut failed = step(2, "disk-grow", "disk root 10 GiB -> 40 GiB", "failed");
    failed["error"] = json!({"code": "provider", "message": "storage 'local' is full"});
    let steps = json!([
        step(1, "create", "from debian-12", "done"),
        failed,
        step(3, "start", "", "skipped"),
    ]);
    let end = deploy(
        "failed",
        ended(json!({
            "steps": steps,
            "result": {"machine_id": "101", "created": [{"kind": "machine", "id": "101"}],
                       "failed": [{"kind": "disk", "id": "root", "reason": "not grown"}]},
            "error": {"code": "provider", "message": "storage 'local' is full",
                      "hint": "free space on `local`, then `enginehouse deploy /web/vm1` goes on",
                      "lines": ["resizing\u{1b}[0m", "TASK ERROR: storage 'local' is full"]},
        })),
    );
    let server = Scripted::new()
        .on(ORDER, 202, deploy("running", progress(Some(50), "create")))
        .on(WAIT, 200, end);
    insta::assert_snapshot!(server.run(&["deploy", "/web/vm1"]).all());
}

#[test]
fn an_operation_in_doubt_asks_for_a_person() {
    let error = json!({"code": "unknown", "message": "neither task nor machine can be found"});
    let steps = json!([step(1, "create", "from debian-12", "in_doubt")]);
    let server = Scripted::new()
        .on(ORDER, 202, deploy("running", json!({})))
        .on(
            WAIT,
            200,
            deploy("in_doubt", json!({"error": error, "steps": steps})),
        );
    insta::assert_snapshot!(server.run(&["deploy", "/web/vm1"]).all());
}

#[test]
fn a_folder_shows_each_machine() {
    let part = |number: u64, name: &str, state: &str, more: Value| {
        let mut part = json!({"number": number, "kind": "deploy", "path": name, "state": state});
        part.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        part
    };
    let parts = |a: &str, b: &str| {
        let error = json!({"error": {"code": "denied", "message": "permission check failed"}});
        let b_more = if b == "failed" {
            error
        } else {
            json!({"waiting_for": "a free slot on pve1"})
        };
        json!({"children": [
            part(13, "/web/vm1", a, if a == "succeeded" {
                json!({"result": {"machine_id": "101"}})
            } else {
                progress(Some(30), "cloning")
            }),
            part(14, "/web/vm2", b, b_more),
        ]})
    };
    let whole = |state: &str, more: Value| operation(12, "deploy", "/web", state, more);
    let server = Scripted::new()
        .on(ORDER, 202, whole("running", parts("running", "pending")))
        .on(WAIT, 200, whole("running", parts("succeeded", "pending")))
        .on(
            WAIT,
            200,
            whole("failed", ended(parts("succeeded", "failed"))),
        );
    insta::assert_snapshot!(server.run(&["deploy", "/web"]).all());
}

#[test]
fn an_undeploy_that_nobody_can_be_asked_about_is_not_ordered() {
    let server = Scripted::new();
    let ran = server.run(&["undeploy", "/web/vm1"]);
    assert_eq!(server.seen(), []);
    insta::assert_snapshot!(ran.all());
}

#[test]
fn yes_says_yes_to_the_server() {
    let end = operation(12, "undeploy", "/web/vm1", "succeeded", ended(json!({})));
    let server = Scripted::new().on(ORDER, 200, end);
    let args = [
        "undeploy",
        "/web/vm1",
        "--yes",
        "--keep-disks",
        "--timeout",
        "2m",
    ];
    let ran = server.run(&args);
    assert_eq!(
        ran.all(),
        "exit code 0\n-- stdout --\nundeployed /web/vm1 (operation 12)\n  nothing to do\n"
    );
    assert_eq!(
        server.bodies(ORDER),
        [json!({"kind": "undeploy", "path": "/web/vm1", "params": {
            "keep_disks": true, "shutdown_timeout_s": 120, "confirm_destructive": true,
        }})]
    );
}

#[test]
fn start_stop_and_restart_are_ordered_with_their_parameters() {
    for (args, kind, params) in [
        (vec!["start", "/a"], "start", json!({})),
        (
            vec!["stop", "/a", "--force"],
            "stop",
            json!({"force": true}),
        ),
        (
            vec!["restart", "/a", "--timeout", "30s"],
            "restart",
            json!({"shutdown_timeout_s": 30}),
        ),
        (vec!["deprovision", "/a"], "deprovision", json!({})),
        (vec!["protect", "/a"], "protect", json!({})),
        (
            vec!["unprotect", "/a", "--lower-protection"],
            "unprotect",
            json!({"confirm_lowered": true}),
        ),
        (vec!["folder", "remove", "/a"], "remove-folder", json!({})),
    ] {
        let server =
            Scripted::new().on(ORDER, 200, operation(1, kind, "/a", "succeeded", json!({})));
        let ran = server.run(&args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        assert_eq!(
            server.bodies(ORDER),
            [json!({"kind": kind, "path": "/a", "params": params})]
        );
    }
}

/// An operation as a stream of events tells it.
fn told(operation: &Value) -> String {
    format!("id: 0-00000000\nevent: operation\ndata: {operation}\n\n")
}

const EVENTS: &str = "GET /v1/operations/12/events?log=false";

#[test]
fn what_the_server_tells_is_shown_and_it_is_not_asked() {
    let running = deploy("running", progress(Some(40), "cloning"));
    let events = format!(
        ": alive\n\n{}{}event: news\ndata: of a later version\n\n{}event: end\ndata: {{\"reason\":\"over\"}}\n\n",
        told(&running),
        told(&deploy("running", progress(Some(90), "starting"))),
        told(&deploy("succeeded", ended(json!({})))),
    );
    let server = Scripted::new()
        .on(ORDER, 202, deploy("pending", json!({})))
        .on_events(EVENTS, &events);
    let ran = server.run(&["deploy", "/web/vm1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("40 % cloning") && ran.err.contains("90 % starting"),
        "{}",
        ran.err
    );
    assert!(ran.out.starts_with("deployed /web/vm1"), "{}", ran.out);
    let asked: Vec<String> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(asked, [ORDER, EVENTS]);
}

#[test]
fn when_the_events_break_off_the_server_is_asked() {
    let cut = told(&deploy("running", progress(Some(40), "cloning")));
    for events in [
        &cut[..],
        &cut[..cut.len() - 9],
        "",
        "event: operation\ndata: {}\n\n",
    ] {
        let server = Scripted::new()
            .on(ORDER, 202, deploy("pending", json!({})))
            .on_events(EVENTS, events)
            .on(WAIT, 200, deploy("succeeded", ended(json!({}))));
        let ran = server.run(&["deploy", "/web/vm1"]);
        assert_eq!(ran.code, 0, "{events:?}: {}", ran.err);
        assert_eq!(server.seen().last().unwrap().line, WAIT);
    }
}

#[test]
fn a_server_that_is_lost_while_it_works_leaves_the_operation_going() {
    let server = Scripted::new()
        .on(ORDER, 202, deploy("running", json!({})))
        .on_foreign(WAIT, 502, "<html>Bad gateway</html>");
    insta::assert_snapshot!(server.run(&["deploy", "/web/vm1"]).all());
}
