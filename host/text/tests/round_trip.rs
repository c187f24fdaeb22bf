//! Trees to files and back: equal definitions, equal bytes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeMap;
use std::time::Instant;

use enginehouse_model::FullName;
use enginehouse_text::{Exported, Reading, Source, read_files};
use enginehouse_tree::Definition;
use proptest::prelude::*;
use serde_json::{Value, json};

fn name(text: &str) -> FullName {
    text.parse().unwrap()
}

fn node(path: &str, is_folder: bool, definition: Value) -> Exported {
    Exported {
        node: name(path),
        is_folder,
        definition: Definition::from_json(&definition).unwrap(),
    }
}

fn read(top: &FullName, files: &BTreeMap<String, String>) -> Reading {
    let files = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_bytes()));
    read_files(top, files)
}

/// What was read, as what is written.
fn exported(reading: Reading) -> Vec<Exported> {
    assert_eq!(reading.problems, []);
    reading
        .wanted
        .into_iter()
        .map(|wanted| Exported {
            node: wanted.node,
            is_folder: wanted.is_folder,
            definition: match wanted.says {
                Source::Definition(definition) => *definition,
                other => panic!("{other:?}"),
            },
        })
        .collect()
}

fn example() -> Vec<Exported> {
    vec![
        node(
            "/",
            true,
            json!({
                "hypervisors": {"pve1": {
                    "type": "proxmox", "host": "https://pve1.example:8006",
                    "user": "enginehouse@pve", "password": {"env": "PVE_PASSWORD"},
                }},
                "prototypes": {"small": {"base_image": "debian-12", "vcpu": 2, "memory": "4GiB"}},
            }),
        ),
        node(
            "/web",
            true,
            json!({"use_hypervisor": "pve1", "use_prototype": "small"}),
        ),
        node("/web/empty", true, json!({})),
        node(
            "/web/vm1",
            false,
            json!({
                "memory": "8GiB",
                "description": "the first\nof many\n",
                "disks": {"root": {"size": "20GiB"}},
                "labels": {"tier": "no"},
            }),
        ),
    ]
}

#[test]
fn a_tree_becomes_files_that_a_person_reads() {
    let files = Exported::files(&FullName::root(), &example());
    let text: String = files
        .iter()
        .map(|(path, text)| format!("== {path}\n{text}"))
        .collect();
    insta::assert_snapshot!(text, @r#"
    == _folder.yaml
    # yaml-language-server: $schema=.enginehouse/definition.schema.json
    hypervisors:
      pve1:
        type: proxmox
        host: https://pve1.example:8006
        user: enginehouse@pve
        password:
          env: PVE_PASSWORD
    prototypes:
      small:
        base_image: debian-12
        vcpu: 2
        memory: 4 GiB
    == web/_folder.yaml
    # yaml-language-server: $schema=../.enginehouse/definition.schema.json
    use_hypervisor: pve1
    use_prototype: small
    == web/empty/_folder.yaml
    # yaml-language-server: $schema=../../.enginehouse/definition.schema.json
    == web/vm1.yaml
    # yaml-language-server: $schema=../.enginehouse/definition.schema.json
    memory: 8 GiB
    description: |
      the first
      of many
    labels:
      tier: "no"
    disks:
      root:
        size: 20 GiB
    "#);
}

#[test]
fn a_part_of_the_tree_goes_elsewhere() {
    let web: Vec<Exported> = example().into_iter().skip(1).collect();
    let files = Exported::files(&name("/web"), &web);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["_folder.yaml", "empty/_folder.yaml", "vm1.yaml"]
    );
    let names: Vec<String> = read(&name("/lab/b"), &files)
        .wanted
        .iter()
        .map(|wanted| wanted.node.to_string())
        .collect();
    assert_eq!(names, ["/lab/b", "/lab/b/empty", "/lab/b/vm1"]);
}

#[test]
fn the_order_of_nodes_makes_no_difference() {
    let mut nodes = example();
    let files = Exported::files(&FullName::root(), &nodes);
    nodes.reverse();
    assert_eq!(Exported::files(&FullName::root(), &nodes), files);
}

/// 10,000 descriptors in 250 folders: export, import, export gives the same bytes.
#[test]
fn ten_thousand_descriptors_come_back_byte_for_byte() {
    let top = FullName::root();
    let mut nodes = vec![node("/", true, json!({"prototypes": {"p": {"vcpu": 1}}}))];
    for folder in 0..250 {
        let path = format!("/f{folder}");
        nodes.push(node(
            &path,
            true,
            json!({"use_prototype": "p", "labels": {"f": format!("{folder}")}}),
        ));
        for at in 0..40 {
            let definition = json!({
                "memory": format!("{}GiB", at + 1),
                "vcpu": at + 1,
                "description": format!("machine {at}: \"{}\"\nof folder {folder}", "x ".repeat(at)),
                "labels": {"on": "off", "n": format!("0{at}"), "tier": null},
                "disks": {"root": {"size": "20GiB"}, "data": {"size": format!("{}GiB", at + 10), "keep": at % 2 == 0}},
                "nics": {"lan": {"network": "vmbr0", "addresses": [format!("10.0.{folder}.{at}/24")]}},
                "settings": {"args": ["-a", "", "~"], "ratio": 0.5, "n": -1, "deep": {"er": [{"x": null}]}},
            });
            let capital = if at % 2 == 0 { "VM" } else { "vm" };
            nodes.push(node(
                &format!("{path}/{capital}{}", at / 2),
                false,
                definition,
            ));
        }
    }
    let began = Instant::now();
    let files = Exported::files(&top, &nodes);
    let written = began.elapsed();
    assert_eq!(files.len(), 1 + 250 + 10_000);
    let reading = read(&top, &files);
    let took = began.elapsed();
    let again = exported(reading);
    assert_eq!(again.len(), nodes.len());
    assert_eq!(Exported::files(&top, &again), files);
    let bytes: usize = files.values().map(String::len).sum();
    println!(
        "{} files, {bytes} bytes: written in {written:?}, written and read in {took:?}",
        files.len()
    );
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z0-9 ._:/#-]{1,12}",
        1 => "[-+0-9._exob:]{1,8}",
        1 => any::<String>(),
    ]
}

fn any_settings() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_definition() -> impl Strategy<Value = Value> {
    let name = "[a-zA-Z0-9][a-zA-Z0-9._-]{0,10}";
    let maybe = |strategy: BoxedStrategy<Value>| {
        prop::option::of(prop_oneof![4 => strategy, 1 => Just(Value::Null)])
    };
    (
        maybe(any_text().prop_map(Value::from).boxed()),
        maybe((1u32..512).prop_map(Value::from).boxed()),
        maybe((1u64..4096).prop_map(|n| json!(format!("{n}MiB"))).boxed()),
        maybe(
            prop::collection::vec((name, any_text()), 0..4)
                .prop_map(|labels| labels.into_iter().collect::<Value>())
                .boxed(),
        ),
        maybe(
            prop::collection::vec(
                (
                    name,
                    (1u64..99).prop_map(|n| json!({"size": format!("{n}GiB")})),
                ),
                0..3,
            )
            .prop_map(|disks| disks.into_iter().collect::<Value>())
            .boxed(),
        ),
        maybe(
            prop::collection::vec((name, any_settings()), 0..4)
                .prop_map(|settings| settings.into_iter().collect::<Value>())
                .boxed(),
        ),
        maybe(any::<bool>().prop_map(Value::from).boxed()),
    )
        .prop_map(
            |(description, vcpu, memory, labels, disks, settings, protect)| {
                let keys = [
                    "description",
                    "vcpu",
                    "memory",
                    "labels",
                    "disks",
                    "settings",
                    "protect",
                ];
                let values = [description, vcpu, memory, labels, disks, settings, protect];
                keys.into_iter()
                    .zip(values)
                    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                    .collect()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_definition_is_the_same_after_its_file(document in any_definition()) {
        let Ok(definition) = Definition::from_json(&document) else {
            return Ok(());
        };
        let nodes = [Exported { node: FullName::root(), is_folder: true, definition: definition.clone() }];
        let files = Exported::files(&FullName::root(), &nodes);
        let reading = read(&FullName::root(), &files);
        prop_assert_eq!(&reading.problems, &[]);
        let Some(wanted) = reading.wanted.first() else { panic!("no file") };
        match &wanted.says {
            Source::Definition(back) => prop_assert_eq!(&**back, &definition),
            // Settings whose key speaks of a secret are hidden.
            Source::Hidden(_) => {}
            Source::Nothing => prop_assert!(false, "nothing was read"),
        }
    }
}
