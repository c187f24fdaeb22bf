//! The JSON Schema and the parser say the same, but for what a schema cannot say.

use std::fs;
use std::path::Path;

use enginehouse_tree::{Definition, definition_schema};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// How the parser words the rules that are its alone; see the head of `src/schema.rs`.
const PARSER_ALONE: [&str; 3] = [
    "signatures cannot come from",
    "is larger than 16 EiB",
    "leave the key out to keep what is there",
];

fn validator() -> Validator {
    jsonschema::draft202012::new(&definition_schema()).unwrap()
}

/// After a change of the keys: `ENGINEHOUSE_WRITE_SCHEMAS=1 cargo test -p enginehouse-tree`, and
/// look at the difference before you commit it.
#[test]
fn the_published_schema_is_that_of_the_parser() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/definition.schema.json");
    let text = serde_json::to_string_pretty(&definition_schema()).unwrap() + "\n";
    if std::env::var_os("ENGINEHOUSE_WRITE_SCHEMAS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &text).unwrap();
    }
    // A checkout may have turned the line ends.
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published.replace("\r\n", "\n") == text,
        "not as the parser is: docs/schemas/definition.schema.json; see the top of this test"
    );
}

#[test]
fn it_is_a_schema_in_which_every_key_is_described_and_no_other_allowed() {
    let schema = definition_schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let mut objects = vec![&schema];
    objects.extend(schema["$defs"].as_object().unwrap().values());
    for object in objects {
        assert_eq!(object["additionalProperties"], false, "{object}");
        for (key, schema) in object["properties"].as_object().unwrap() {
            let described = schema["description"].as_str().is_some_and(|text| {
                let starts = text.starts_with(|c: char| c.is_uppercase());
                starts && (text.ends_with('.') || text.ends_with('…'))
            });
            assert!(described, "{key}: {schema}");
        }
    }
}

/// A definition that says something of every key, in the spellings there are.
fn full() -> Value {
    json!({
        "hypervisors": {
            "pve": {
                "type": "proxmox", "host": "https://pve1:8006/api", "user": "root@pam",
                "password": {"env": "PVE"}, "auth": "proxmox-ticket",
                "endpoints": {"storage": "http://10.0.0.9:81/api", "v6": "[2001:db8::1]:443"},
                "tls": {"verify": false, "ca_file": "/etc/pve.pem", "fingerprint": "AB:".repeat(32)},
                "limits": {"concurrent": 4, "clones_per_template": 1, "requests": 8, "requests_per_second": 20, "request_burst": 40,
                           "request_timeout_s": 30, "busy_timeout_s": 600, "shutdown_timeout_s": 120},
                "observe": {"interval_s": 30, "full_s": 2_678_400},
                "settings": {"pool": "a"}
            },
            "other": {
                "hypervisor_type": "VMware", "username": "a", "verify_ssl": true, "password": "p",
                "auth": {"scheme": "header", "header": "X-Token"}, "host": "2001:db8::1"
            },
            "third": {"auth": {"scheme": "basic"}, "password": {"file": "/run/p"},
                      "host": "unix:///run/docker.sock"},
            "old": null
        },
        "use_hypervisor": "pve", "filter_hypervisors_allow": ["pve"],
        "prototypes": {"small": {"vcpu": 1, "memory": "1GiB", "disks": {"root": {"size": "8G"}}}, "x": null},
        "use_prototype": "small",
        "base_image": "debian-12", "vcpu": 2, "memory": " 4 gib ", "description": "", "power": "running",
        "labels": {"app.kubernetes.io/name": "web", "ü ": null},
        "placement": {"host": "pve1", "cluster": "c", "pool": "p", "folder": "f"},
        "disks": {"root": {"size": "32GiB", "storage": "s", "storage_class": "c", "bus": "scsi", "keep": true},
                  "swap": null},
        "nics": {"lan": {"network": "vmbr0", "vlan": 12, "mac": "02-00-00-00-00-AB", "adapter": "virtio",
                         "addresses": ["192.0.2.10/24", "2001:db8::1/64", "dhcp"], "gateway": "192.0.2.1"},
                 "san": {"mac": "02:00:00:00:00:ac"}},
        "guest": {"hostname": "vm1", "users": [{"name": "a"}], "ssh_keys": ["ssh-ed25519 A"],
                  "dns": {"servers": ["192.0.2.53"]},
                  "domain": {"domain": "d", "ou": "o", "account": "a", "password": "s"}, "user_data": "#c\n"},
        "settings": {"tags": ["a"], "cpu": {"type": "host"}, "agent": null},
        "depends_on": ["/web/db"], "protect": true, "policy": "observe", "follow": false,
        "approvals": {"need": 1, "keys": ["ssh-ed25519 A", "ssh-ed25519 B"]}, "on_failure": "rollback",
        "destruction_limit": {"per_hour": 5, "percent": 10}
    })
}

#[test]
fn what_the_parser_alone_refuses() {
    let validator = validator();
    let port = |text: &str| json!({"hypervisors": {"h": {"host": text}}});
    for document in [
        json!({"memory": "99999999999999TiB"}),
        json!({"vcpu": 4.0}),
        json!({"approvals": {"need": 2, "keys": ["a"]}}),
        json!({"hypervisors": {"h": {"password": "(secret)"}}}),
        json!({"nics": {"n": {"gateway": "1::2::3"}}}),
        json!({"nics": {"n": {"addresses": ["1::2::3/64"]}}}),
        port("pve1:99999"),
        port("1::2::3"),
        port("pve1/a://b"),
    ] {
        assert!(Definition::from_json(&document).is_err(), "{document}");
        assert!(validator.is_valid(&document), "{document}");
    }
    // Names are looked up in the tree.
    let unresolved = json!({"use_hypervisor": "x", "use_prototype": "y"});
    assert!(Definition::from_json(&unresolved).is_ok() && validator.is_valid(&unresolved));
}

/// Values that are right in one place and wrong in another.
fn atom() -> BoxedStrategy<Value> {
    let plain = json!([
        null,
        true,
        false,
        0,
        1,
        -1,
        2,
        12,
        4094,
        4095,
        4.5,
        4_294_967_295_u64,
        4_294_967_296_u64,
        "",
        " ",
        "\u{a0}",
        "x",
        "a b",
        "a\nb",
        "\u{85}",
        "ü",
        "8",
        "8GiB",
        " 8 gib\n",
        "0GiB",
        "8GX",
        "1.5G",
        "8kb",
        "running",
        "stopped",
        "observe",
        "benign",
        "disruptive",
        "destructive",
        "keep",
        "rollback"
    ]);
    let addresses = json!([
        "dhcp",
        "10.0.0.1/24",
        "10.0.0.1/33",
        "10.0.0.1/032",
        "10.0.0.1",
        "010.0.0.1",
        "10.0.0.256",
        "::1",
        "::1/128",
        "::1/129",
        "02-00-00-00-00-01",
        "02-00-00-00-00-FF",
        "02:00:00:00:0g",
        "0g:00:00:00:00:01",
        "https://pve:8006",
        "HTTP://pve:8006/a b",
        "ftp://x",
        "https://root:pw@pve",
        "pve:0",
        "pve:",
        "pve/?q",
        "unix:///run/x",
        "unix://run",
        "[::1]",
        "[::1",
        "-x",
        " pve ",
        "/web/db"
    ]);
    let objects = json!(["none", "basic", "header", "proxmox-token", {"scheme": "header"}, {"scheme": "header", "header": "x"},
        {"scheme": "basic", "header": null}, {"scheme": "basic", "header": "x"},
        [], ["a"], [""], [1], [null], ["a", "b"], ["dhcp"], {}, {"env": "X"}, {"file": "/x"}, {"env": ""},
        {"env": "A", "file": "B"}, {"env": 1}, {"secret": "a/b"}, {"secret": "/a"}, {"secret": ""}, {"x": 1}, {"x": "y"}, {"x": null}, {"": "y"}, {"-": {}}, {"a": {}},
        {"size": "1G"}, {"verify": true}, {"verify": null}, {"host": "pve"}, {"need": 1, "keys": ["a"]}, {"need": 1}]);
    let values: Vec<Value> = [plain, addresses, objects]
        .iter()
        .flat_map(|values| values.as_array().unwrap().clone())
        .collect();
    prop_oneof![
        9 => prop::sample::select(values),
        1 => ".{0,6}".prop_map(Value::from),
    ]
    .boxed()
}

fn key() -> BoxedStrategy<String> {
    let known = [
        "x",
        "-x",
        "",
        "a b",
        "host",
        "vcpu",
        "memory",
        "memroy",
        "type",
        "hypervisor_type",
        "user",
        "username",
        "verify_ssl",
        "tls",
        "verify",
        "size",
        "domain",
        "null",
        "h\u{7f}",
    ];
    prop_oneof![
        9 => prop::sample::select(known.map(str::to_owned).to_vec()),
        1 => ".{0,4}",
        1 => (252..255usize).prop_map(|length| "ü".repeat(length)),
        1 => (252..255usize).prop_map(|length| "x".repeat(length)),
    ]
    .boxed()
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(Value),
    Remove,
    Add(String, Value),
    Rename(String),
}

fn mutation() -> BoxedStrategy<Mutation> {
    prop_oneof![
        4 => atom().prop_map(Mutation::Replace),
        2 => Just(Mutation::Remove),
        2 => (key(), atom()).prop_map(|(key, value)| Mutation::Add(key, value)),
        1 => key().prop_map(Mutation::Rename),
    ]
    .boxed()
}

/// Paths of all values that are in another one.
fn paths(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        _ => return,
    };
    for (key, value) in members {
        found.push((path.to_owned(), key.clone()));
        let escaped = key.replace('~', "~0").replace('/', "~1");
        paths(value, &format!("{path}/{escaped}"), found);
    }
}

fn mutate(document: &mut Value, at: &Index, mutation: Mutation) {
    let mut places = Vec::new();
    paths(document, "", &mut places);
    if places.is_empty() {
        return;
    }
    let (parent, key) = &places[at.index(places.len())];
    match document.pointer_mut(parent).unwrap() {
        Value::Object(members) => match mutation {
            Mutation::Replace(value) => _ = members.insert(key.clone(), value),
            Mutation::Remove => _ = members.shift_remove(key),
            Mutation::Add(key, value) => _ = members.insert(key, value),
            Mutation::Rename(to) => {
                if let Some(value) = members.shift_remove(key) {
                    members.insert(to, value);
                }
            }
        },
        Value::Array(items) => match mutation {
            Mutation::Replace(value) | Mutation::Add(_, value) => {
                items[key.parse::<usize>().unwrap()] = value;
            }
            Mutation::Remove | Mutation::Rename(_) => _ = items.remove(key.parse().unwrap()),
        },
        _ => {}
    }
}

fn check(validator: &Validator, document: &Value) -> Result<(), TestCaseError> {
    let valid = validator.is_valid(document);
    match Definition::from_json(document) {
        Ok(definition) => {
            prop_assert!(valid, "the schema alone refuses {document}");
            // Also in the form that output and the store have.
            prop_assert!(validator.is_valid(&definition.to_json()), "{definition:?}");
        }
        Err(problems) => {
            let alone = problems.iter().all(|problem| {
                let text = problem.to_string();
                PARSER_ALONE.iter().any(|rule| text.contains(rule))
            });
            prop_assert!(
                !valid || alone,
                "the parser alone refuses {document}: {problems:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_definition_with_every_key_fits() {
    check(&validator(), &full()).unwrap();
    assert!(validator().is_valid(&full()));
    let mut unknown = Vec::new();
    paths(&full(), "", &mut unknown);
    let said: Vec<&str> = unknown.iter().map(|(_, key)| key.as_str()).collect();
    for (key, _) in definition_schema()["properties"].as_object().unwrap() {
        assert!(
            said.contains(&key.as_str()),
            "{key} is not in the definition with every key"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn schema_and_parser_agree_on_mutated_definitions(
        mutations in prop::collection::vec((any::<Index>(), mutation()), 1..4),
    ) {
        let validator = thread_validator();
        let mut document = full();
        for (at, mutation) in mutations {
            mutate(&mut document, &at, mutation);
        }
        check(&validator, &document)?;
    }

    /// Each mutation by itself: none hides behind another one.
    #[test]
    fn schema_and_parser_agree_on_a_single_key(at in any::<Index>(), value in atom()) {
        let mut places = Vec::new();
        let full = full();
        paths(&full, "", &mut places);
        let (parent, key) = &places[at.index(places.len())];
        let mut document = value;
        let mut pointer = format!("{parent}/{}", key.replace('/', "~1"));
        while let Some((parent, key)) = pointer.rsplit_once('/') {
            let in_list = full.pointer(parent).unwrap().is_array();
            document = if in_list { json!([document]) } else { json!({ key.replace("~1", "/"): document }) };
            pointer = parent.to_owned();
        }
        check(&thread_validator(), &document)?;
    }
}

fn thread_validator() -> std::rc::Rc<Validator> {
    thread_local!(static MADE: std::rc::Rc<Validator> = std::rc::Rc::new(validator()));
    MADE.with(Clone::clone)
}
