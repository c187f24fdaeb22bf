//! `move`, `--dry-run` and `history`.

use serde_json::{Value, json};

use crate::documents::{NOON, operation};
use crate::scripted::Scripted;

const PREVIEWS: &str = "POST /v1/previews?limit=20";

fn preview(counts: Value, more: Value) -> Value {
    let mut preview = json!({
        "kind": "move", "path": "/web/front", "to": "/db/front", "counts": counts, "nodes": [],
    });
    if let (Some(preview), Value::Object(more)) = (preview.as_object_mut(), more) {
        preview.extend(more);
    }
    preview
}

fn changing() -> Value {
    let value = |value: &str, node: &str| json!({"value": value, "origin": {"node": node}});
    preview(
        json!({"changed": 43, "renamed": 44, "rights": 2, "pending": 1}),
        json!({
            "nodes": [{
                "before": "/web/front/vm1", "after": "/db/front/vm1",
                "keys": [
                    {"key": "memory", "before": value("4 GiB", "/web"), "after": value("2 GiB", "/db")},
                    {"key": "vcpu", "before": value("2", "/web"), "after": value("2", "/db")},
                    {"key": "labels.team", "before": value("web", "/web")},
                ],
            }],
            "rights": [
                {"path": "/db/front", "subject": "ann", "before": ["read", "operate"], "after": []},
                {"path": "/db/front/vm1", "subject": "ann", "before": ["read"], "after": ["read"]},
            ],
            "pending": [{"path": "/db/front/vm1", "after": ["memory 4 GiB -> 2 GiB"]}],
        }),
    )
}

#[test]
fn what_a_move_changes_is_grouped_by_node_and_cut() {
    let server = Scripted::new().on(PREVIEWS, 200, changing());
    let ran = server.run(&["move", "/web/front", "/db/front", "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.out,
        "\
/web/front/vm1 -> /db/front/vm1
  memory       4 GiB -> 2 GiB  from /web -> /db
  vcpu         2 (the same)    from /web -> /db
  labels.team  web -> nothing  from /web
  and 42 more nodes; see --limit or --output json
rights
  /db/front      ann  read, operate -> none
  /db/front/vm1  ann  read (stays)
pending changes of deployed machines
  /db/front/vm1  memory 4 GiB -> 2 GiB
44 nodes get another name, 43 computed definitions change, 2 rights change, 1 machine with another pending change
"
    );
    let body = json!({"kind": "move", "path": "/web/front", "params": {"to": "/db/front"}});
    assert_eq!(server.bodies(PREVIEWS), [body]);
}

#[test]
fn without_a_terminal_a_move_that_changes_others_is_not_ordered() {
    let server = Scripted::new().on(PREVIEWS, 200, changing());
    let ran = server.run(&["move", "/web/front", "/db/front"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    for part in ["43 computed definitions change", "--dry-run", "--yes"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    assert!(server.bodies("POST /v1/operations").is_empty());
}

#[test]
fn a_yes_or_a_mere_name_orders_it_at_once() {
    let mut moved = operation(7, "move", "/web/front", "succeeded", json!({}));
    moved["to"] = json!("/web/back");
    let mere = preview(json!({"renamed": 44, "origins_only": 3}), json!({}));
    for (arguments, previews) in [
        (["rename", "/web/front", "back"].as_slice(), 1),
        (["move", "/web/front", "/web/back", "--yes"].as_slice(), 0),
    ] {
        let server = Scripted::new().on(PREVIEWS, 200, mere.clone()).on(
            "POST /v1/operations",
            200,
            moved.clone(),
        );
        let ran = server.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(
            ran.out.contains("moved /web/front to /web/back ("),
            "{}",
            ran.out
        );
        let body = json!({"kind": "move", "path": "/web/front", "params": {"to": "/web/back"}});
        assert_eq!(server.bodies("POST /v1/operations"), [body]);
        assert_eq!(server.bodies(PREVIEWS).len(), previews);
    }
}

#[test]
fn a_history_is_told_entry_by_entry() {
    let uid = "0192f1c0a5b37c4e8b6d1f2a3c4d5e6f";
    let page = json!({
        "uid": uid, "full_name": "/web/vm1", "gone": true, "next": 40,
        "others": [{"uid": "0192f1c0a5b37c4e8b6d1f2a3c4d5e70", "at": NOON}],
        "entries": [
            {"seq": 42, "at": NOON, "operation": 12, "who": "ann", "kind": "deploy", "path": "/web/vm1",
             "changes": [{"of": "deployed", "key": "memory", "before": "1 GiB", "after": "2 GiB"}],
             "machine": {"uid": uid, "machine_id": "104", "hypervisor": "pve1", "event": "linked"}},
            {"seq": 41, "at": NOON, "who": "host", "kind": "host", "path": "/web/vm1",
             "changes": [{"of": "name", "key": "", "before": "/a", "after": "/web/vm1"}]},
        ],
    });
    let server = Scripted::new().on(
        "GET /v1/nodes/history?path=%2Fweb%2Fvm1&limit=20",
        200,
        page,
    );
    let ran = server.run(&["history", "/web/vm1"]);
    assert_eq!(
        ran.out,
        "\
/web/vm1 is gone (uid 0192f1c0a5b37c4e8b6d1f2a3c4d5e6f)
#42  2026-11-21 11:47:22Z  deploy by ann (operation 12): machine 104 on pve1
    deployed memory  1 GiB -> 2 GiB
#41  2026-11-21 11:47:22Z  host by host
    name  /a -> /web/vm1
older ones: --before 40
another node was called so until 2026-11-21 11:47:22Z: --uid 0192f1c0a5b37c4e8b6d1f2a3c4d5e70
"
    );
}
