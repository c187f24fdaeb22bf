//! tree, show, plan, engines, hypervisors.

use serde_json::{Value, json};

use crate::documents::NOON;
use crate::scripted::{Scripted, problem};

fn tree() -> Value {
    let descriptor = |name: &str, more: Value| {
        let mut node = json!({
            "uid": "0199a0b0c0d07000800000000000000a", "full_name": name, "kind": "descriptor",
            "hypervisor": "pve1",
        });
        node.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        node
    };
    json!({
        "uid": "0199a0b0c0d07000800000000000000a", "full_name": "/", "kind": "folder",
        "children": [
            {"uid": "0199a0b0c0d07000800000000000000b", "full_name": "/db", "kind": "folder",
             "hypervisor": "pve1", "children": [
                {"uid": "0199a0b0c0d07000800000000000000d", "full_name": "/db/old", "kind": "folder",
                 "cut": true},
                descriptor("/db/main", json!({"status": "provisioned"})),
             ]},
            {"uid": "0199a0b0c0d07000800000000000000c", "full_name": "/web", "kind": "folder",
             "children": [
                descriptor("/web/vm1", json!({"status": "deployed", "machine_id": "101",
                                              "pending_change": true})),
                descriptor("/web/vm2", json!({"status": "provisioned", "busy": 12})),
                descriptor("/web/vm3", json!({"status": "unreachable", "machine_id": "9",
                                              "last_error": "no\u{1b}[31m route\nto host"})),
             ]},
        ],
    })
}

#[test]
fn a_tree_shows_states_machines_and_what_is_wrong() {
    let server = Scripted::new().on("GET /v1/tree?path=%2F&depth=2", 200, tree());
    insta::assert_snapshot!(server.run(&["tree", "--depth", "2"]).all());
}

#[test]
fn json_is_the_document_of_the_api() {
    let server = Scripted::new().on("GET /v1/tree?path=%2F", 200, tree());
    let ran = server.run(&["tree", "-o", "json"]);
    assert_eq!((ran.code, ran.json()), (0, tree()));
}

fn node() -> Value {
    let value = |key: &str, value: Value, node: &str| json!({"key": key, "value": value, "origin": {"node": node}});
    let via = |key: &str, value: Value, node: &str, name: &str, at: &str| {
        json!({"key": key, "value": value,
               "origin": {"node": node, "via": {"name": name, "defined_at": at}}})
    };
    json!({
        "uid": "0199a0b0c0d07000800000000000000a", "full_name": "/web/vm1", "kind": "descriptor",
        "revision": 7, "status": "deployed", "machine_id": "101",
        "local_definition": {"memory": "8GiB"},
        "computed_definition": [
            via("hypervisor_type", json!("proxmox"), "/", "pve1", "/"),
            via("password", json!("(secret)"), "/", "pve1", "/"),
            via("vcpu", json!(2), "/web", "small", "/"),
            value("memory", json!("8GiB"), "/web/vm1"),
            value("description", json!(""), "/web"),
            value("nics.lan.addresses", json!(["192.0.2.7/24", "dhcp"]), "/web/vm1"),
        ],
        "deployed_config": {
            "name": "vm1", "base_image": "debian-12", "vcpu": 2, "memory": 4_294_967_296_u64,
            "power": "running", "labels": {"tier": "web"},
            "disks": {"root": {"size": 21_474_836_480_u64, "storage": "local-lvm", "keep": true}},
            "nics": {"lan": {"network": "vmbr0", "vlan": 12, "addresses": ["dhcp"]}},
            "settings": {"ostype": "l26"},
        },
        "pending_changes": ["memory 4 GiB -> 8 GiB"],
        "last_error": {"operation": 11, "at": NOON, "code": "provider",
                       "message": "VM is locked (backup)", "hint": "wait for the backup"},
        "last_operation": {"number": 12, "kind": "reconfigure", "who": "operator", "at": NOON,
                           "outcome": "failed"},
    })
}

#[test]
fn a_machine_is_shown_whole() {
    let server = Scripted::new().on("GET /v1/nodes?path=%2Fweb%2Fvm1", 200, node());
    insta::assert_snapshot!(server.run(&["show", "/web/vm1"]).all());
}

#[test]
fn origins_say_where_each_value_came_from() {
    let server = Scripted::new().on("GET /v1/nodes?path=%2Fweb%2Fvm1", 200, node());
    insta::assert_snapshot!(server.run(&["show", "/web/vm1/", "--origins"]).all());
}

#[test]
fn a_node_that_is_not_there_is_said() {
    let hint = json!({"hint": "did you mean /web/vm1?"});
    let missing = problem(404, "not-found", "there is no /web/vm", hint);
    let server = Scripted::new().on("GET /v1/nodes?path=%2Fweb%2Fvm", 404, missing.clone());
    insta::assert_snapshot!(server.run(&["show", "/web/vm"]).all());
    let ran = server.run(&["show", "/web/vm", "--output", "json"]);
    assert_eq!(
        (ran.code, ran.json()),
        (2, missing),
        "a script gets the reason, too"
    );
}

#[test]
fn a_plan_is_shown_as_it_is_stored() {
    let plan = json!({
        "id": "3f9ac2d1", "kind": "undeploy", "path": "/web/vm1", "made_at": NOON,
        "text": "pve1\n  ~ stop 101   disruptive\n  - destroy 101   destructive\n\n2 actions: 1 disruptive, 1 destructive\n",
        "machines": [{"path": "/web/vm1", "hypervisor": "pve1", "machine_id": "101", "actions": [
            {"action": "stop", "text": "", "class": "disruptive"},
            {"action": "destroy", "text": "", "class": "destructive"},
        ]}],
        "counts": {"disruptive": 1, "destructive": 1},
    });
    let server = Scripted::new().on("POST /v1/plans", 200, plan);
    let ran = server.run(&["plan", "/web/vm1", "--undeploy", "--keep-disks"]);
    assert_eq!(
        server.bodies("POST /v1/plans"),
        [
            json!({"kind": "undeploy", "path": "/web/vm1", "params": {"keep_disks": true}, "limit": 50})
        ]
    );
    insta::assert_snapshot!(ran.all());
}

#[test]
fn a_plan_of_nothing_says_so() {
    let plan = json!({"id": "00", "kind": "deploy", "path": "/", "made_at": NOON, "text": "nothing to do\n",
                      "machines": [], "counts": {}});
    let server = Scripted::new().on("POST /v1/plans", 200, plan);
    let ran = server.run(&["plan", "/"]);
    assert_eq!(ran.out, "nothing to do\nplan 00\n");
    let all = server.run(&["plan", "/", "--limit", "0"]);
    assert_eq!(all.out, ran.out);
    let json = server.run(&["plan", "/", "--output", "json"]);
    assert_eq!(json.code, 0);
    let asked = |limit: Option<u32>| match limit {
        Some(limit) => json!({"kind": "deploy", "path": "/", "params": {}, "limit": limit}),
        None => json!({"kind": "deploy", "path": "/", "params": {}}),
    };
    assert_eq!(
        server.bodies("POST /v1/plans"),
        [asked(Some(50)), asked(None), asked(None)]
    );
}

#[test]
fn engines_and_what_was_refused_are_listed() {
    let list = json!({
        "engines": [
            {"name": "fake", "version": "0.1.0", "kinds": ["vm"], "file": "fake.wasm",
             "hash": "0123456789abcdef0123456789abcdef"},
            {"name": "proxmox", "version": "0.1.0", "kinds": ["qemu"], "file": "proxmox.wasm",
             "hash": "fedcba9876543210fedcba9876543210"},
        ],
        "refused": [{"file": "broken.wasm", "reason": "it exports no `machines.run`",
                     "hint": "build it against enginehouse:engine@0.1.0"}],
    });
    let server = Scripted::new().on("GET /v1/engines", 200, list);
    insta::assert_snapshot!(server.run(&["engines", "list"]).all());
}

#[test]
fn an_engine_is_shown_with_what_it_can_do() {
    let engine = json!({
        "name": "proxmox", "version": "0.1.0", "kinds": ["qemu"], "file": "proxmox.wasm",
        "hash": "fedcba9876543210",
        "description": {
            "name": "proxmox", "title": "Proxmox VE", "version": "0.1.0", "aliases": ["pve"],
            "kinds": ["qemu"], "actions": ["create", "start"],
            "auth": ["proxmox-token", "proxmox-ticket"], "default_port": 8006,
            "hypervisor_settings_schema": {"properties": {
                "page": {"type": "integer", "minimum": 1, "default": 100,
                         "description": "Machines in one page."},
                "pin": {"type": "string", "writeOnly": true, "default": "0000"},
            }},
            "machine_settings_schema": {"required": ["ostype"], "properties": {
                "ostype": {"type": "string", "examples": ["l26"],
                           "description": "Type of the guest's system, for the tuning that the provider does itself.\nTakes effect with a restart."},
                "bios": {"enum": ["seabios", "ovmf"]},
            }},
            "visibility_lag_ms": 0,
        },
    });
    let server = Scripted::new().on("GET /v1/engines/pve%2F1", 200, engine);
    insta::assert_snapshot!(server.run(&["engines", "show", "pve/1"]).all());
}

#[test]
fn hypervisors_are_listed_with_their_last_check() {
    let list = json!({"hypervisors": [
        {"uid": "0199a0b0c0d07000800000000000000a", "name": "pve1", "defined_at": "/",
         "type": "proxmox", "host": "https://pve1.example:8006", "machines": 41,
         "last_check": {"name": "pve1", "defined_at": "/", "at": NOON, "took_ms": 12,
                        "health": {"version": "9.0.3", "identity": "c1"}}},
        {"uid": "0199a0b0c0d07000800000000000000b", "name": "lab", "defined_at": "/lab",
         "type": "fake", "host": "http://127.0.0.1:7070"},
    ]});
    let server = Scripted::new().on("GET /v1/hypervisors?path=%2F", 200, list);
    insta::assert_snapshot!(server.run(&["hypervisors", "list"]).all());
}

#[test]
fn a_check_says_each_problem_and_its_way_out() {
    let results = json!({"checks": [
        {"name": "pve1", "defined_at": "/", "at": NOON, "took_ms": 12,
         "health": {"version": "9.0.3", "identity": "c1", "warnings": ["certificate is not verified"]}},
        {"name": "pve2", "defined_at": "/", "at": NOON, "took_ms": 5003,
         "problem": {"code": "unreachable", "message": "connection refused",
                     "hint": "is pveproxy running?"}},
    ]});
    let server = Scripted::new().on("POST /v1/hypervisors/check", 200, results);
    insta::assert_snapshot!(server.run(&["hypervisors", "check"]).all());
    assert_eq!(
        server.bodies("POST /v1/hypervisors/check"),
        [json!({"path": "/"})]
    );
}

#[test]
fn a_hypervisor_that_is_not_defined_is_an_error() {
    let server = Scripted::new().on("POST /v1/hypervisors/check", 200, json!({"checks": []}));
    insta::assert_snapshot!(server.run(&["hypervisors", "check", "pve9"]).all());
}
