//! Settings against what engines take: where the tree asks, how often, and what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use enginehouse_tree::{
    BatchErrors, Change, Definition, EditError, EngineSettings, NodeEdit, SettingFault,
    SettingFaultKind, SettingProblem,
};
use serde_json::{Map, Value, json};

use crate::common::Estate;

/// Engine `fake` takes `firmware`, a text, and for a hypervisor `page`, a number; `pve` needs `cpu`.
#[derive(Debug, Default)]
struct Engines {
    asked: AtomicUsize,
    strict: bool,
}

fn fault(name: &str, kind: SettingFaultKind) -> SettingFault {
    SettingFault {
        path: vec![name.to_owned()],
        kind,
        description: Some(format!("what {name} is.")),
    }
}

fn texts(settings: &Map<String, Value>, known: &[&str]) -> Vec<SettingFault> {
    settings
        .iter()
        .filter_map(|(name, value)| {
            if !known.contains(&name.as_str()) {
                let kind = SettingFaultKind::Unknown {
                    nearest: None,
                    known: known.iter().map(|&name| name.to_owned()).collect(),
                };
                return Some(fault(name, kind));
            }
            (!value.is_string()).then(|| {
                let kind = SettingFaultKind::Expected {
                    expected: "a text".to_owned(),
                    found: value.to_string(),
                    hint: None,
                };
                fault(name, kind)
            })
        })
        .collect()
}

impl EngineSettings for Engines {
    fn of_machine(&self, kind: &str, settings: &Map<String, Value>) -> Vec<SettingFault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut faults = match kind {
            "fake" if self.strict => texts(settings, &["boot"]),
            "fake" => texts(settings, &["firmware", "boot"]),
            "pve" => texts(settings, &["cpu"]),
            _ => return Vec::new(),
        };
        if kind == "pve" && !settings.contains_key("cpu") {
            let expected = "a text".to_owned();
            faults.push(fault("cpu", SettingFaultKind::Missing { expected }));
        }
        faults
    }

    fn of_hypervisor(&self, kind: &str, settings: &Map<String, Value>) -> Vec<SettingFault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match kind {
            "fake" => texts(settings, &["page"]),
            _ => Vec::new(),
        }
    }
}

/// The root defines a hypervisor of each engine, and one of an engine that nobody knows.
fn estate() -> (Estate, Arc<Engines>) {
    let mut estate = Estate::new();
    let engines = Arc::new(Engines::default());
    estate
        .tree
        .set_engine_settings(Arc::clone(&engines) as Arc<dyn EngineSettings>);
    estate.define("/", root(json!({})));
    (estate, engines)
}

fn root(more: Value) -> Value {
    let mut root = json!({
        "hypervisors": {
            "f": {"type": "fake", "host": "http://f"},
            "p": {"type": "pve", "host": "https://p"},
            "x": {"type": "xen", "host": "https://x"},
        },
        "prototypes": {"small": {"settings": {"firmware": 1}}},
    });
    root.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    root
}

fn problems(result: Result<Change, EditError>) -> Vec<SettingProblem> {
    match result {
        Err(EditError::Settings(errors)) => errors.problems,
        other => panic!("not refused for its settings: {other:?}"),
    }
}

fn said(result: Result<Change, EditError>) -> Vec<String> {
    problems(result).iter().map(ToString::to_string).collect()
}

#[test]
fn a_wrong_setting_names_its_node_its_key_and_what_the_engine_says_of_it() {
    let (mut estate, _) = estate();
    estate.folder("/web", json!({"use_hypervisor": "f"}));
    assert_eq!(
        said(estate.try_define(
            "/web",
            json!({"use_hypervisor": "f", "settings": {"firmware": true, "colour": "red"}})
        )),
        [
            "`/web`: `settings.colour`: fake has no such setting, it has: firmware, boot [fake: what colour is.]",
            "`/web`: `settings.firmware`: expected a text, found true [fake: what firmware is.]",
        ]
    );
    assert_eq!(
        estate.computed("/web").machine().settings,
        None,
        "nothing changed"
    );
}

#[test]
fn a_value_of_a_prototype_is_told_where_the_prototype_is_written() {
    let (mut estate, _) = estate();
    estate.folder("/web", json!({"use_hypervisor": "f"}));
    assert_eq!(
        said(estate.try_define(
            "/web",
            json!({"use_hypervisor": "f", "use_prototype": "small"})
        )),
        [
            "`/`: `prototypes.small.settings.firmware`: expected a text, found 1 (in effect at /web) [fake: what firmware is.]"
        ]
    );
    // Mended there, and unset here.
    estate.define(
        "/web",
        json!({"use_hypervisor": "f", "use_prototype": "small", "settings": {"firmware": null}}),
    );
}

#[test]
fn what_is_inherited_is_checked_with_the_engine_of_each_node_below() {
    let (mut estate, _) = estate();
    estate.folder("/a", json!({"use_hypervisor": "f"}));
    estate.folder("/b", json!({"use_hypervisor": "p"}));
    estate.folder("/c", json!({"use_hypervisor": "x"}));
    for n in 0..3 {
        estate.provision(&format!("/b/vm{n}"), json!({}));
    }
    assert_eq!(
        said(estate.try_define("/", root(json!({"settings": {"firmware": "uefi"}})))),
        [
            "`/`: `settings.firmware`: pve has no such setting, it has: cpu (in effect at /b and 3 more) [pve: what firmware is.]"
        ]
    );
    // Nobody knows what the third engine takes.
    estate.define(
        "/c",
        json!({"use_hypervisor": "x", "settings": {"anything": [1]}}),
    );
    // Another engine takes other settings.
    estate.define(
        "/a",
        json!({"use_hypervisor": "f", "settings": {"firmware": "uefi"}}),
    );
    assert_eq!(
        said(estate.try_define(
            "/a",
            json!({"use_hypervisor": "p", "settings": {"firmware": "uefi"}})
        ))
        .len(),
        1
    );
}

#[test]
fn a_hypervisor_is_checked_where_it_is_defined() {
    let (mut estate, engines) = estate();
    let entry = json!({"type": "fake", "host": "http://f", "settings": {"page": 1}});
    assert_eq!(
        said(estate.try_folder("/web", json!({"hypervisors": {"mine": entry}}))),
        [
            "`/web`: `hypervisors.mine.settings.page`: expected a text, found 1 [fake: what page is.]"
        ]
    );
    let entry =
        json!({"type": "fake", "host": "http://f", "settings": {"page": "1", "else": null}});
    estate.folder("/web", json!({"hypervisors": {"mine": entry}}));
    // What stays the same is not asked about again.
    let before = engines.asked.load(Ordering::Relaxed);
    estate.define(
        "/web",
        json!({"hypervisors": {"mine": entry}, "memory": "1GiB"}),
    );
    assert_eq!(engines.asked.load(Ordering::Relaxed), before);
}

#[test]
fn what_is_missing_is_no_error_before_the_machine_is_to_be_made() {
    let (mut estate, _) = estate();
    estate.folder("/web", json!({"use_hypervisor": "p"}));
    estate.provision("/web/vm", json!({}));
    estate.define("/web/vm", json!({"settings": {}}));
    let problems = estate
        .tree
        .settings_problems(&[estate.uid("/web/vm")])
        .unwrap();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        ["`/web/vm`: `settings.cpu`: missing, expected a text [pve: what cpu is.]"]
    );
    assert!(problems[0].is_missing());
    estate.define(
        "/web",
        json!({"use_hypervisor": "p", "settings": {"cpu": "host"}}),
    );
    assert_eq!(
        estate
            .tree
            .settings_problems(&[estate.uid("/web/vm")])
            .unwrap(),
        []
    );
}

#[test]
fn an_edit_is_refused_for_what_it_makes_wrong_and_not_for_what_was_so() {
    let (mut estate, _) = estate();
    estate.folder(
        "/web",
        json!({"use_hypervisor": "f", "settings": {"firmware": "uefi"}}),
    );
    estate.provision("/web/vm", json!({}));
    // The engine was loaded anew and takes less.
    let strict = Engines {
        strict: true,
        ..Engines::default()
    };
    estate.tree.set_engine_settings(Arc::new(strict));
    estate.define(
        "/web/vm",
        json!({"memory": "2GiB", "settings": {"boot": "net"}}),
    );
    estate.define(
        "/web",
        json!({"use_hypervisor": "f", "settings": {"firmware": "uefi", "boot": "net"}}),
    );
    assert_eq!(
        said(estate.try_define("/web/vm", json!({"settings": {"boot": 1}}))),
        ["`/web/vm`: `settings.boot`: expected a text, found 1 [fake: what boot is.]"]
    );
    let uid = estate.uid("/web/vm");
    let text: Vec<String> = estate
        .tree
        .settings_problems(&[uid])
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        text,
        [
            "`/web`: `settings.firmware`: fake has no such setting, it has: boot (in effect at /web/vm) [fake: what firmware is.]"
        ]
    );
}

#[test]
fn a_move_is_checked_with_the_engine_it_comes_to() {
    let (mut estate, _) = estate();
    estate.folder("/a", json!({"use_hypervisor": "f"}));
    estate.folder("/b", json!({"use_hypervisor": "p"}));
    estate.provision("/a/vm", json!({"settings": {"firmware": "uefi"}}));
    let (vm, b) = (estate.uid("/a/vm"), estate.uid("/b"));
    assert_eq!(
        said(estate.tree.rename(vm, b, "vm")),
        [
            "`/b/vm`: `settings.firmware`: pve has no such setting, it has: cpu [pve: what firmware is.]"
        ]
    );
    assert!(
        estate.tree.find(&"/a/vm".parse().unwrap()).is_ok(),
        "it stays"
    );
}

#[test]
fn a_definition_for_later_is_checked_without_writing_it() {
    let (mut estate, _) = estate();
    estate.folder("/web", json!({"use_hypervisor": "f"}));
    let uid = estate.uid("/web");
    let mut uids = || uuid::Uuid::nil();
    for (settings, fits) in [
        (json!({"firmware": "a"}), true),
        (json!({"firmware": 1}), false),
    ] {
        let document = json!({"use_hypervisor": "f", "settings": settings});
        let definition = Definition::parse(&"/web".parse().unwrap(), &document).unwrap();
        let checked = estate.tree.check_definition(uid, definition, &mut uids);
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
        assert_eq!(estate.computed("/web").machine().settings, None);
    }
}

#[test]
fn ten_thousand_nodes_are_asked_about_as_often_as_their_settings_differ() {
    let (mut estate, engines) = estate();
    let with = |firmware: Value, memory: &str| {
        root(json!({
            "use_hypervisor": "f",
            "memory": memory,
            "settings": {"firmware": firmware},
            "prototypes": {"net": {"settings": {"boot": "net"}}},
        }))
    };
    estate.define("/", with(json!("bios"), "1GiB"));
    for folder in 0..100 {
        estate.folder(&format!("/f{folder}"), json!({}));
        for vm in 0..100 {
            let name = format!("/f{folder}/vm{vm}");
            let definition = match vm % 4 {
                0 => json!({"use_prototype": "net"}),
                1 => json!({"memory": "2GiB"}),
                _ => json!({}),
            };
            estate.provision(&name, definition);
        }
    }
    let asked = |estate: &mut Estate, definition: Value| {
        let before = engines.asked.load(Ordering::Relaxed);
        let result = estate.try_define("/", definition);
        (engines.asked.load(Ordering::Relaxed) - before, result)
    };
    let (times, result) = asked(&mut estate, with(json!("bios"), "4GiB"));
    assert!(!result.unwrap().is_empty());
    assert_eq!(times, 0, "no settings changed");
    let (times, result) = asked(&mut estate, with(json!("uefi"), "4GiB"));
    assert!(!result.unwrap().is_empty());
    assert_eq!(times, 2, "with and without the prototype");
    let (times, result) = asked(&mut estate, with(json!(7), "4GiB"));
    assert_eq!(
        said(result),
        [
            "`/`: `settings.firmware`: expected a text, found 7 (in effect at / and 10100 more) [fake: what firmware is.]"
        ]
    );
    assert_eq!(times, 4, "and what they were before");
}

#[test]
fn several_edits_together_are_checked_when_all_of_them_are_made() {
    let (mut estate, _) = estate();
    estate.folder(
        "/a",
        json!({"use_hypervisor": "f", "settings": {"firmware": "uefi"}}),
    );
    estate.provision("/a/vm", json!({}));
    let (a, vm) = (estate.uid("/a"), estate.uid("/a/vm"));
    let definition =
        |name: &str, document: Value| Definition::parse(&name.parse().unwrap(), &document).unwrap();
    // The machine's setting is wrong until the folder has the other engine.
    let both = |cpu: Value| {
        vec![
            NodeEdit::Define {
                node: vm,
                definition: definition(
                    "/a/vm",
                    json!({"settings": {"firmware": null, "cpu": cpu}}),
                ),
            },
            NodeEdit::Define {
                node: a,
                definition: definition("/a", json!({"use_hypervisor": "p"})),
            },
        ]
    };
    let mut uids = || uuid::Uuid::nil();
    let BatchErrors(errors) = estate
        .tree
        .apply_all(both(json!(1)), &mut uids)
        .unwrap_err();
    let texts: Vec<String> = errors
        .into_iter()
        .flat_map(|error| said(Err(error)))
        .collect();
    assert_eq!(
        texts,
        ["`/a/vm`: `settings.cpu`: expected a text, found 1 [pve: what cpu is.]"]
    );
    let used = |estate: &Estate| estate.computed("/a/vm").hypervisor().unwrap().name.clone();
    assert_eq!(used(&estate), "f", "nothing has changed");
    let first = both(json!("host")).remove(0);
    assert!(
        estate.tree.apply_all(vec![first], &mut uids).is_err(),
        "one by one"
    );
    let change = estate
        .tree
        .apply_all(both(json!("host")), &mut uids)
        .unwrap();
    assert_eq!(change.written.len(), 2);
    assert_eq!(used(&estate), "p");
}
