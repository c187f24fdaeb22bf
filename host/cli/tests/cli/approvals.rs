//! `approvals`, `approve`, `refuse`.

use serde_json::{Value, json};

use crate::documents::{NOON, operation};
use crate::scripted::{Scripted, problem};

fn approval(number: u64, path: &str, missing: u32) -> Value {
    json!({
        "operation": number, "parent": 11, "kind": "undeploy", "path": path, "who": "ann",
        "asked_at": NOON, "until": NOON + 86_400_000, "waits": true, "need": 2, "missing": missing,
        "by": "/web", "may_sign": ["bob", "cleo@desk\u{1b}[31m"],
        "unusable": ["key 3 of 3: it is not a public key: expected `ssh-ed25519 AAAA… NAME`"],
        "signed": [{
            "owner": "bob", "fingerprint": "SHA256:abc", "by": "robot", "at": NOON + 60_000
        }],
        "digest": "9b1d",
        "what": format!("{path} on pve1\n  destroy: with its disks (destructive)\n    disk scsi0: 32 GiB\n  digest       9b1d\n"),
    })
}

fn asked() -> Value {
    json!({
        "text": "enginehouse approval 1\nall of it\n", "not_yet": 3,
        "approvals": [approval(12, "/web/vm1", 1), approval(13, "/web/vm2", 2)],
    })
}

#[test]
fn what_waits_is_listed() {
    let page = json!({"approvals": [approval(12, "/web/vm1", 1)], "next": 12});
    let line = "GET /v1/approvals?limit=1&path=%2Fweb&after=3";
    let server = Scripted::new().on(line, 200, page);
    let ran = server.run(&[
        "approvals",
        "list",
        "--path",
        "/web",
        "--after",
        "3",
        "--limit",
        "1",
    ]);
    insta::assert_snapshot!(ran.all());
    let none = json!({"approvals": []});
    let server = Scripted::new().on("GET /v1/approvals?limit=50", 200, none);
    let ran = server.run(&["approvals", "list"]);
    assert_eq!(ran.out, "nothing waits for approval\n");
}

#[test]
fn who_may_sign_and_who_did_is_shown_with_what_is_destroyed() {
    let server = Scripted::new().on("GET /v1/operations/11/approval", 200, asked());
    insta::assert_snapshot!(server.run(&["approvals", "show", "11"]).all());
}

#[test]
fn the_text_is_printed_byte_by_byte() {
    let server = Scripted::new().on("GET /v1/operations/11/approval", 200, asked());
    let ran = server.run(&["approvals", "text", "11"]);
    assert_eq!(ran.out, "enginehouse approval 1\nall of it\n");
    assert!(
        ran.err.contains("3 more parts of operation 11"),
        "{}",
        ran.err
    );
    let none = json!({"approvals": [], "not_yet": 0});
    let server = Scripted::new().on("GET /v1/operations/12/approval", 200, none);
    let ran = server.run(&["approvals", "text", "12"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err
            .contains("nothing of operation 12 waits for approval")
    );
}

#[test]
fn a_signature_goes_with_the_text_beside_it() {
    let files = tempfile::tempdir().unwrap();
    let signature = files.path().join("undeploy.txt.sig");
    std::fs::write(&signature, "signed").unwrap();
    std::fs::write(files.path().join("undeploy.txt"), "the text\n").unwrap();
    let more = json!({"waiting_for": "1 more approval: `enginehouse approvals show 12`"});
    let waits = operation(12, "undeploy", "/web/vm1", "waiting_approval", more);
    let server = Scripted::new().on("POST /v1/operations/12/approve", 200, waits);
    let ran = server.run(&["approve", "12", "--signature", signature.to_str().unwrap()]);
    assert_eq!(
        ran.out,
        "approved; operation 12 waits for 1 more approval: `enginehouse approvals show 12`\n"
    );
    let goes_on = operation(12, "undeploy", "/web/vm1", "pending", json!({}));
    let server = Scripted::new().on("POST /v1/operations/12/approve", 200, goes_on);
    let ran = server.run(&["approve", "12", "--signature", signature.to_str().unwrap()]);
    assert_eq!(
        ran.out,
        "approved; operation 12 goes on: `enginehouse ops wait 12`\n"
    );
}

#[test]
fn a_refusal_has_a_reason_and_is_said_as_it_ended() {
    let failed = operation(12, "undeploy", "/web/vm1", "failed", json!({}));
    let server = Scripted::new().on("POST /v1/operations/12/refuse", 200, failed);
    let ran = server.run(&["refuse", "12", "--reason", "it is needed"]);
    assert_eq!(ran.out, "refused; operation 12 is failed\n");
    let gone = problem(409, "wrong-state", "operation 12 is over", json!({}));
    let server = Scripted::new().on("POST /v1/operations/12/refuse", 409, gone);
    let ran = server.run(&["refuse", "12", "--reason", "it is needed"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("operation 12 is over"), "{}", ran.err);
}
