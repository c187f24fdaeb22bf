//! Definitions as people write them, and what they are told when they write them wrong.

use enginehouse_model::FullName;
use enginehouse_tree::{Definition, KeyEdit};
use serde_json::{Value, json};

fn node() -> FullName {
    "/web/vm1".parse().unwrap()
}

fn errors(definition: Value) -> Vec<String> {
    let error = Definition::parse(&node(), &definition).unwrap_err();
    assert!(error.to_string().starts_with("definition of `/web/vm1`: "));
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_key_of_the_table_is_read_and_written_back() {
    let written = json!({
        "hypervisors": {
            "pve": {
                "type": "proxmox", "host": "https://pve1:8006", "user": "root@pam",
                "password": {"env": "PVE"}, "auth": "proxmox-ticket",
                "endpoints": {"storage": "http://10.0.0.9:81/api"},
                "tls": {"verify": false, "ca_file": "/etc/pve.pem", "fingerprint": "ab".repeat(32)},
                "limits": {"concurrent": 4, "clones_per_template": 1, "requests": 8, "requests_per_second": 20, "request_burst": 40, "request_timeout_s": 30, "busy_timeout_s": 600, "shutdown_timeout_s": 120},
                "observe": {"interval_s": 30, "full_s": 3600},
                "settings": {"pool": "a"}
            },
            "old": null
        },
        "use_hypervisor": "pve",
        "filter_hypervisors_allow": ["pve", "other"],
        "prototypes": {"small": {"vcpu": 1, "memory": "1 GiB", "labels": {"size": "s"}}},
        "use_prototype": null,
        "base_image": "debian-12", "vcpu": 2, "memory": "4 GiB", "description": "",
        "power": "running",
        "labels": {"app.kubernetes.io/name": "web", "gone": null},
        "placement": {"host": "pve1", "cluster": "c", "pool": "p", "folder": "f"},
        "disks": {"root": {"size": "32 GiB", "storage": "local", "storage_class": "fast", "bus": "scsi", "keep": true}, "swap": null},
        "nics": {"lan": {"network": "vmbr0", "vlan": 12, "mac": "02:00:00:00:00:01", "adapter": "virtio", "addresses": ["192.0.2.10/24", "2001:db8::1/64", "dhcp"], "gateway": "192.0.2.1"}},
        "guest": {"hostname": "vm1", "users": [{"name": "a", "password": "x"}], "ssh_keys": ["ssh-ed25519 A"], "dns": {"servers": ["192.0.2.53"]}, "domain": {"domain": "d", "ou": "o", "account": "a", "password": "secret"}, "user_data": "#cloud-config\n"},
        "settings": {"tags": ["a"], "cpu": {"type": "host"}, "agent": null},
        "depends_on": ["/web/db"], "protect": true, "policy": "observe", "follow": false,
        "approvals": {"need": 1, "keys": ["ssh-ed25519 A", "ssh-ed25519 B"]},
        "on_failure": "rollback"
    });
    let definition = Definition::parse(&node(), &written).unwrap();
    assert_eq!(definition.to_json(), written);
    assert_eq!(
        Definition::from_json(&definition.to_json()).unwrap(),
        definition
    );
}

#[test]
fn other_spellings_mean_the_same() {
    let one = json!({"hypervisors": {"h": {
        "hypervisor_type": "ProxMox", "username": "root", "verify_ssl": false, "host": "HTTPS://PVE1:8006/"}},
        "memory": "8192MiB", "disks": {"root": {"size": "8G"}}, "nics": {"n": {"mac": "02-00-00-00-00-AB"}}});
    let other = json!({"hypervisors": {"h": {
        "type": "proxmox", "user": "root", "tls": {"verify": false}, "host": "https://pve1:8006"}},
        "memory": "8GiB", "disks": {"root": {"size": "8GB"}}, "nics": {"n": {"mac": "02:00:00:00:00:ab"}}});
    let parse = |value| Definition::from_json(&value).unwrap();
    assert_eq!(parse(one), parse(other));
}

#[test]
fn all_that_is_wrong_is_said_at_once_each_with_its_place() {
    let found = errors(json!({
        "memroy": "4GiB", "memory": 4096, "vcpu": 0, "power": "on", "colour": 1,
        "disks": {"root": {"size": "8GX", "sise": "1G"}, "-x": {}},
        "nics": {"n": {"vlan": 4095, "mac": "nope", "addresses": ["10.0.0.1"], "gateway": 1}},
        "labels": {"a": 1}, "prototypes": {"p": {"use_prototype": "q", "vcpu": "2"}},
        "hypervisors": {"h": {"hots": "a", "type": "x", "hypervisor_type": "y", "limits": {"requests": -1}}},
        "approvals": {"need": 2, "keys": ["a"]}, "policy": "destructive", "use_hypervisor": ["h"]
    }));
    let expected = [
        "`memroy`: unknown key, did you mean `memory`?",
        "`colour`: unknown key, known here: hypervisors, use_hypervisor,",
        "`hypervisors.h.hots`: unknown key, did you mean `host`?",
        "`hypervisors.h.hypervisor_type`: says the same as `type`; keep one of them",
        "`hypervisors.h.limits.requests`: expected a whole number, 1 or more, found the number -1",
        "`use_hypervisor`: expected a text that is not empty, on one line, found a list",
        "`prototypes.p.use_prototype`: unknown key",
        "`prototypes.p.vcpu`: expected a whole number, 1 or more, found the text \"2\"",
        "`vcpu`: expected a whole number, 1 or more, found the number 0",
        "`memory`: expected a size with a unit, such as 8GiB, found the number 4096 (write 4096MiB or 4096GiB for one of these)",
        "`power`: expected `running` or `stopped`, found the text \"on\"",
        "`labels.a`: expected a text, found the number 1",
        "`disks.root.sise`: unknown key, did you mean `size`?",
        "`disks.root.size`: expected a size with a unit, such as 8GiB, found the text \"8GX\" (`GX` is no unit of size: use KiB, MiB, GiB or TiB)",
        "`disks.-x`: expected a name of letters, digits, `-`, `_` and `.`, beginning with a letter or digit, found the text \"-x\"",
        "`nics.n.vlan`: expected a VLAN tag, 1 to 4094, found the number 4095",
        "`nics.n.mac`: expected a hardware address",
        "`nics.n.addresses`: expected a list of addresses with prefix length, such as 192.0.2.10/24, or `dhcp`, found a list (not this one: the text \"10.0.0.1\")",
        "`nics.n.gateway`: expected an IP address, found the number 1",
        "`policy`: expected `observe`, `benign` or `disruptive`, found the text \"destructive\" (what destroys never runs without a person)",
        "`approvals`: expected an object with need (a number) and keys (a list of public keys), found an object (2 signatures cannot come from 1 keys)",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

/// One wrong value for each key of the table, and what it is answered.
#[test]
fn each_key_says_what_it_expects_and_what_was_found() {
    let hypervisor = |members: Value| json!({"hypervisors": {"h": members}});
    let nic = |members: Value| json!({"nics": {"lan": members}});
    let disk = |members: Value| json!({"disks": {"root": members}});
    for (document, expected) in [
        (
            json!({"hypervisors": []}),
            "`hypervisors`: expected an object of named entries, found a list",
        ),
        (
            hypervisor(json!("pve")),
            "`hypervisors.h`: expected an object with type, host, user, password, …, found the text \"pve\"",
        ),
        (
            hypervisor(json!({"type": 1})),
            "`hypervisors.h.type`: expected a text that is not empty, on one line, found the number 1",
        ),
        (
            hypervisor(json!({"host": "ftp://pve"})),
            "`hypervisors.h.host`: expected a URL, or a host, or host:port, found a text (its scheme is not http, https or unix)",
        ),
        (
            hypervisor(json!({"host": "pve:99999"})),
            "`hypervisors.h.host`: expected a URL, or a host, or host:port, found a text (its port is not a number from 1 to 65535)",
        ),
        (
            hypervisor(json!({"user": ""})),
            "`hypervisors.h.user`: expected a text that is not empty, on one line, found the text \"\"",
        ),
        (
            hypervisor(json!({"user": "a", "username": "a"})),
            "`hypervisors.h.username`: says the same as `user`; keep one of them",
        ),
        (
            hypervisor(json!({"verify_ssl": "no"})),
            "`hypervisors.h.verify_ssl`: expected true or false, found the text \"no\"",
        ),
        (
            hypervisor(json!({"verify_ssl": false, "tls": {"verify": false}})),
            "`hypervisors.h.verify_ssl`: says the same as `tls.verify`; keep one of them",
        ),
        (
            hypervisor(json!({"auth": "magic"})),
            "`hypervisors.h.auth`: expected none, basic, bearer, proxmox-token, proxmox-ticket, or {\"scheme\": \"header\", \"header\": NAME}, found the text \"magic\"",
        ),
        (
            hypervisor(json!({"auth": "header"})),
            "`hypervisors.h.auth`: expected none, basic, bearer, proxmox-token, proxmox-ticket, or {\"scheme\": \"header\", \"header\": NAME}, found the text \"header\" (the scheme `header` needs the header's name)",
        ),
        (
            hypervisor(json!({"endpoints": {"host": "a"}})),
            "`hypervisors.h.endpoints.host`: says the same as `host`; keep one of them",
        ),
        (
            hypervisor(json!({"tls": {"fingerprint": "ab"}})),
            "`hypervisors.h.tls.fingerprint`: expected a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons, found the text \"ab\"",
        ),
        (
            hypervisor(json!({"limits": {"concurent": 1}})),
            "`hypervisors.h.limits.concurent`: unknown key, did you mean `concurrent`?",
        ),
        (
            hypervisor(json!({"limits": {"requests": 0}})),
            "`hypervisors.h.limits.requests`: expected a whole number, 1 or more, found the number 0",
        ),
        (
            hypervisor(json!({"settings": 1})),
            "`hypervisors.h.settings`: expected an object, found the number 1",
        ),
        (
            json!({"use_hypervisor": 1}),
            "`use_hypervisor`: expected a text that is not empty, on one line, found the number 1",
        ),
        (
            json!({"filter_hypervisors_allow": "h"}),
            "`filter_hypervisors_allow`: expected a list of texts, found the text \"h\"",
        ),
        (
            json!({"prototypes": {"p": 1}}),
            "`prototypes.p`: expected an object with the machine's keys, found the number 1",
        ),
        (
            json!({"prototypes": {"p": {"protect": true}}}),
            "`prototypes.p.protect`: unknown key, known here: base_image, vcpu, memory, description, power, labels, placement, disks, nics, guest, settings",
        ),
        (
            json!({"use_prototype": []}),
            "`use_prototype`: expected a text that is not empty, on one line, found a list",
        ),
        (
            json!({"base_image": "a\nb"}),
            "`base_image`: expected a text that is not empty, on one line, found the text \"a\\nb\"",
        ),
        (
            json!({"vcpu": 1.5}),
            "`vcpu`: expected a whole number, 1 or more, found the number 1.5",
        ),
        (
            json!({"memory": 8}),
            "`memory`: expected a size with a unit, such as 8GiB, found the number 8 (write 8MiB or 8GiB for one of these)",
        ),
        (
            json!({"memory": "8"}),
            "`memory`: expected a size with a unit, such as 8GiB, found the text \"8\" (a size needs a unit, as in 8MiB or 8GiB)",
        ),
        (
            json!({"memory": "8 apples"}),
            "`memory`: expected a size with a unit, such as 8GiB, found the text \"8 apples\" (`apples` is no unit of size: use KiB, MiB, GiB or TiB)",
        ),
        (
            json!({"memory": "1.5GiB"}),
            "`memory`: expected a size with a unit, such as 8GiB, found the text \"1.5GiB\" (`1.5GiB` is no size: write it as 8GiB or 512MiB)",
        ),
        (
            json!({"memory": "0GiB"}),
            "`memory`: expected a size with a unit, such as 8GiB, found the text \"0GiB\" (a size is more than nothing)",
        ),
        (
            json!({"description": 1}),
            "`description`: expected a text, found the number 1",
        ),
        (
            json!({"power": true}),
            "`power`: expected `running` or `stopped`, found true",
        ),
        (
            json!({"labels": {"a": 1}}),
            "`labels.a`: expected a text, found the number 1",
        ),
        (
            json!({"placement": "pve1"}),
            "`placement`: expected an object with host, cluster, pool and folder, found the text \"pve1\"",
        ),
        (
            json!({"placement": {"datastore": "x"}}),
            "`placement.datastore`: unknown key, known here: host, cluster, pool, folder",
        ),
        (
            disk(json!("32GiB")),
            "`disks.root`: expected an object with size, storage, storage_class, bus and keep, found the text \"32GiB\"",
        ),
        (
            disk(json!({"size": 32})),
            "`disks.root.size`: expected a size with a unit, such as 8GiB, found the number 32 (write 32MiB or 32GiB for one of these)",
        ),
        (
            disk(json!({"keep": "yes"})),
            "`disks.root.keep`: expected true or false, found the text \"yes\"",
        ),
        (
            nic(json!({"vlan": 0})),
            "`nics.lan.vlan`: expected a VLAN tag, 1 to 4094, found the number 0",
        ),
        (
            nic(json!({"vlan": "12"})),
            "`nics.lan.vlan`: expected a VLAN tag, 1 to 4094, found the text \"12\"",
        ),
        (
            nic(json!({"mac": "02:00:00:00:00"})),
            "`nics.lan.mac`: expected a hardware address, such as 02:00:00:00:00:01, found the text \"02:00:00:00:00\"",
        ),
        (
            nic(json!({"addresses": ["10.0.0.1/33"]})),
            "`nics.lan.addresses`: expected a list of addresses with prefix length, such as 192.0.2.10/24, or `dhcp`, found a list (not this one: the text \"10.0.0.1/33\")",
        ),
        (
            nic(json!({"gateway": "router"})),
            "`nics.lan.gateway`: expected an IP address, found the text \"router\"",
        ),
        (
            json!({"guest": {"hostnam": "a"}}),
            "`guest.hostnam`: unknown key, did you mean `hostname`?",
        ),
        (
            json!({"guest": {"users": {"a": 1}}}),
            "`guest.users`: expected a list, found an object",
        ),
        (
            json!({"guest": {"ssh_keys": "ssh-ed25519 A"}}),
            "`guest.ssh_keys`: expected a list of texts, found the text \"ssh-ed25519 A\"",
        ),
        (
            json!({"guest": {"dns": "192.0.2.53"}}),
            "`guest.dns`: expected an object, or a list of servers, found the text \"192.0.2.53\"",
        ),
        (
            json!({"guest": {"domain": "example.com"}}),
            "`guest.domain`: expected an object with domain, ou, account and password, found the text \"example.com\"",
        ),
        (
            json!({"guest": {"user_data": {}}}),
            "`guest.user_data`: expected a text, found an object",
        ),
        (
            json!({"settings": ["a"]}),
            "`settings`: expected an object of named entries, found a list",
        ),
        (
            json!({"depends_on": "/web/db"}),
            "`depends_on`: expected a list of full names, such as /web/db, found the text \"/web/db\"",
        ),
        (
            json!({"depends_on": ["db"]}),
            "`depends_on`: expected a list of full names, such as /web/db, found a list (`db` is no full name: it must begin with `/`, as in /web/vm1)",
        ),
        (
            json!({"protect": 1}),
            "`protect`: expected true or false, found the number 1",
        ),
        (
            json!({"policy": "everything"}),
            "`policy`: expected `observe`, `benign` or `disruptive`, found the text \"everything\"",
        ),
        (
            json!({"follow": "true"}),
            "`follow`: expected true or false, found the text \"true\"",
        ),
        (
            json!({"approvals": {"need": 1}}),
            "`approvals`: expected an object with need (a number) and keys (a list of public keys), found an object (both are needed)",
        ),
        (
            json!({"approvals": {"need": 1, "keys": ["a"], "who": "b"}}),
            "`approvals`: expected an object with need (a number) and keys (a list of public keys), found an object (not `who`)",
        ),
        (
            json!({"on_failure": "panic"}),
            "`on_failure`: expected `keep` or `rollback`, found the text \"panic\"",
        ),
    ] {
        assert_eq!(errors(document), [expected]);
    }
}

#[test]
fn what_is_no_object_or_too_much_ends_in_a_short_error() {
    assert_eq!(
        errors(json!([1])),
        ["expected an object with the keys of a definition, found a list"]
    );
    let many: serde_json::Map<String, Value> = (0..10_000)
        .map(|n| (format!("{n:0>300}"), json!(1)))
        .collect();
    let found = errors(Value::Object(many));
    assert_eq!(found.len(), 100);
    assert!(found[0].len() < 600, "{}", found[0]);
    let text = errors(json!({"memory": "x".repeat(1_000_000)})).concat();
    assert!(text.len() < 400, "{text}");
}

#[test]
fn secrets_are_in_no_output_and_no_error() {
    let secret = "hunter2hunter2";
    let definition = Definition::parse(&node(), &json!({
        "hypervisors": {"h": {"host": "a", "password": secret, "settings": {"api_token": secret}}},
        "guest": {"domain": {"password": secret}, "users": [{"name": "a", "password": secret}]},
        "settings": {"cipassword": secret, "cloud": {"secret": [secret]}},
    }))
    .unwrap();
    assert!(definition.to_json().to_string().contains(secret));
    let redacted = definition.redacted();
    assert_eq!(redacted["hypervisors"]["h"]["password"], "(secret)");
    assert!(!format!("{definition:?}").contains(secret));
    assert!(!redacted.to_string().contains(secret), "{redacted}");
    for wrong in [
        json!({"hypervisors": {"h": {"password": [secret]}}}),
        json!({"hypervisors": {"h": {"password": {"evn": secret}}}}),
        json!({"hypervisors": {"h": {"host": format!("https://root:{secret}@pve")}}}),
        json!({"guest": {"domain": {"password": {"a": secret}}}}),
    ] {
        let found = errors(wrong).concat();
        assert!(!found.contains(secret), "{found}");
    }
    // What output shows in its place cannot become the password by being sent back.
    let found = errors(json!({"hypervisors": {"h": {"password": "(secret)"}}})).concat();
    assert!(found.contains("leave the key out"), "{found}");
}

fn edited(start: Value, edits: &[(&str, KeyEdit)]) -> Result<Value, String> {
    let edits: Vec<_> = edits
        .iter()
        .map(|(path, edit)| (path.parse().unwrap(), edit.clone()))
        .collect();
    Definition::from_json(&start)
        .unwrap()
        .edited(&node(), &edits)
        .map(|definition| definition.to_json())
        .map_err(|error| error.to_string())
}

fn typed(text: &str) -> KeyEdit {
    KeyEdit::Type(text.to_owned())
}

#[test]
fn single_keys_are_set_unset_and_removed() {
    let start = json!({"memory": "4 GiB", "vcpu": 2, "disks": {"root": {"size": "8 GiB"}}});
    let result = edited(
        start,
        &[
            ("memory", typed("16GiB")),
            ("vcpu", KeyEdit::Remove),
            ("description", typed("2024")),
            ("labels.app.name", typed("null ")),
            ("disks.root.size", KeyEdit::Set(json!("32G"))),
            ("disks.data.keep", typed("true")),
            ("settings.tags", typed("[\"a\"]")),
            ("power", typed("null")),
            ("hypervisors.h.username", typed("root")),
            ("hypervisors.h.verify_ssl", typed("false")),
        ],
    );
    assert_eq!(
        result.unwrap(),
        json!({
            "hypervisors": {"h": {"user": "root", "tls": {"verify": false}}},
            "memory": "16 GiB", "description": "2024", "power": null,
            "labels": {"app.name": null},
            "disks": {"root": {"size": "32 GiB"}, "data": {"keep": true}},
            "settings": {"tags": ["a"]}
        })
    );
}

#[test]
fn a_removal_of_what_may_be_gone_is_nothing_where_it_is() {
    let start = json!({"vcpu": 2, "disks": {"root": {"size": "8GiB"}}});
    for key in ["memory", "disks.data", "nics.lan.vlan", "vcpu.x"] {
        let result = edited(start.clone(), &[(key, KeyEdit::Forget)]);
        let same = edited(start.clone(), &[]);
        assert_eq!(result.unwrap(), same.unwrap(), "{key}");
    }
    let result = edited(start, &[("disks.root", KeyEdit::Forget)]);
    assert_eq!(result.unwrap(), json!({"vcpu": 2, "disks": {}}));
}

#[test]
fn an_edit_that_cannot_be_made_says_why() {
    for (start, path, edit, reason) in [
        (
            json!({}),
            "memory",
            typed("16"),
            "expected a size with a unit, such as 8GiB, found the number 16",
        ),
        (
            json!({}),
            "memroy",
            typed("16GiB"),
            "did you mean `memory`?",
        ),
        (
            json!({}),
            "memory",
            KeyEdit::Remove,
            "nothing is written there",
        ),
        (
            json!({}),
            "disks.root.size",
            KeyEdit::Remove,
            "nothing is written there",
        ),
        (
            json!({"disks": null}),
            "disks.root.size",
            typed("1G"),
            "`disks` is null here",
        ),
        (
            json!({"vcpu": 1}),
            "vcpu.x",
            typed("1"),
            "only an object has keys",
        ),
    ] {
        let error = edited(start, &[(path, edit)]).unwrap_err();
        assert!(
            error.contains(reason) && error.contains("/web/vm1"),
            "{error}"
        );
    }
}
