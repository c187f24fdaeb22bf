//! Commands that write definitions.

use serde_json::json;

use crate::documents::operation;
use crate::scripted::{Scripted, problem};

const ORDER: &str = "POST /v1/operations";

fn done(kind: &str) -> Scripted {
    Scripted::new().on(
        ORDER,
        200,
        operation(3, kind, "/web/vm1", "succeeded", json!({})),
    )
}

#[test]
fn a_definition_comes_from_a_file_and_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vm.yaml");
    std::fs::write(&file, "vcpu: 2\nmemory: 4GiB\nlabels:\n  tier: web\n").unwrap();
    let server = done("provision");
    let ran = server.run(&[
        "provision",
        "/web/vm1",
        "-f",
        file.to_str().unwrap(),
        "memory=8GiB",
        "disks.root.size=20G",
        "nics.lan={network: vmbr0, vlan: 12}",
        "use_prototype=null",
    ]);
    assert_eq!(
        ran.all(),
        "exit code 0\n-- stdout --\nprovisioned /web/vm1 (operation 3)\n"
    );
    assert_eq!(
        server.bodies(ORDER),
        [json!({"kind": "provision", "path": "/web/vm1", "params": {
            "definition": {"vcpu": 2, "memory": "4GiB", "labels": {"tier": "web"}},
            "changes": [
                {"op": "set", "key": ["memory"], "value": "8GiB"},
                {"op": "set", "key": ["disks", "root", "size"], "value": "20G"},
                {"op": "set", "key": ["nics", "lan"], "value": {"network": "vmbr0", "vlan": 12}},
                {"op": "set", "key": ["use_prototype"], "value": null},
            ],
        }})]
    );
}

#[test]
fn an_edit_may_be_bound_to_a_revision_and_unset_keys() {
    let server = done("edit");
    let ran = server.run(&[
        "edit",
        "/web/vm1",
        "--unset",
        "memory",
        "--revision",
        "7",
        "vcpu=4",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let seen = server.seen();
    assert_eq!(seen[0].if_match.as_deref(), Some("\"7\""));
    assert_eq!(
        seen[0].body["params"]["changes"],
        json!([
            {"op": "unset", "key": ["memory"]},
            {"op": "set", "key": ["vcpu"], "value": 4},
        ])
    );
}

#[test]
fn an_edit_without_a_change_is_not_ordered_and_a_reconfigure_is() {
    let server = done("edit");
    let ran = server.run(&["edit", "/web/vm1"]);
    assert_eq!(server.seen(), []);
    insta::assert_snapshot!(ran.all());

    let server = done("reconfigure");
    assert_eq!(server.run(&["reconfigure", "/web/vm1"]).code, 0);
    assert_eq!(
        server.bodies(ORDER),
        [json!({"kind": "reconfigure", "path": "/web/vm1", "params": {}})]
    );
}

#[test]
fn each_error_of_a_definition_is_shown_with_node_key_and_way_out() {
    let errors = json!({"errors": [
        {"node": "/web/vm1", "key": "memroy", "message": "unknown key",
         "hint": "did you mean `memory`?"},
        {"node": "/web/vm1", "key": "disks.root.size", "expected": "a size as in 20GiB",
         "found": "the number 20"},
        {"node": "/web/vm1", "key": "vcpu", "expected": "a whole number"},
    ]});
    let refusal = problem(
        422,
        "invalid",
        "3 errors in the definition of /web/vm1",
        errors,
    );
    let server = Scripted::new().on(ORDER, 422, refusal);
    let ran = server.run(&["provision", "/web/vm1", "memroy=4GiB", "disks.root.size=20"]);
    insta::assert_snapshot!(ran.all());
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_is_sent() {
    let server = Scripted::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vm.yaml");
    std::fs::write(&file, "vcpu: 2\nmemory: [4GiB\nlabels: {}\n").unwrap();
    let file = file.to_str().unwrap();
    let mut shown = String::new();
    for args in [
        vec!["provision", "/web/vm1", "-f", file],
        vec!["provision", "/web/vm1", "-f", "/nowhere/vm.yaml"],
        vec!["provision", "/web/vm1", "memory"],
        vec!["provision", "/web/vm1", "disks..size=1G"],
        vec!["provision", "/web/vm1", "nics.lan={network"],
        vec!["provision", "web/vm1"],
        vec!["undeploy", "/web/vm1", "--yes", "--timeout", "soon"],
    ] {
        let ran = server.run(&args).with(file, "vm.yaml");
        shown.push_str(&format!(
            "$ {}\n{}\n",
            args.join(" ").replace(file, "vm.yaml"),
            ran.all()
        ));
    }
    assert_eq!(server.seen(), []);
    insta::assert_snapshot!(shown);
}
