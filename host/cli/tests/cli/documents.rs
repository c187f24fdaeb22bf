//! Answers that several tests give.

use serde_json::{Value, json};

/// 2026-11-21 11:47:22Z
pub const NOON: u64 = 1_795_261_642_000;

/// An operation in a state, with more members.
pub fn operation(number: u64, kind: &str, path: &str, state: &str, more: Value) -> Value {
    let mut operation = json!({
        "number": number, "kind": kind, "state": state, "path": path, "who": "operator",
        "queued_at": NOON, "started_at": NOON + 20,
    });
    let more = more.as_object().unwrap().clone();
    operation.as_object_mut().unwrap().extend(more);
    operation
}

pub fn step(number: u32, action: &str, text: &str, state: &str) -> Value {
    let mut step = json!({
        "number": number, "action": action, "text": text, "state": state, "attempt": 1,
    });
    if state != "skipped" && state != "pending" {
        step["started_at"] = json!(NOON + 100);
    }
    if state == "done" || state == "failed" {
        step["ended_at"] = json!(NOON + 1_350);
    }
    step
}

pub fn progress(percent: Option<u8>, message: &str) -> Value {
    json!({"progress": {"percent": percent, "message": message}})
}
