//! Many edits as one: the same as one after the other, but computed once and all or nothing.

use enginehouse_model::{FullName, MachineUid};
use enginehouse_tree::{BatchErrors, Change, Definition, Event, NodeEdit, Tree};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::Estate;

fn name(text: &str) -> FullName {
    text.parse().unwrap()
}

fn definition(value: Value) -> Definition {
    Definition::from_json(&value).unwrap()
}

fn folder(at: &str, value: Value) -> NodeEdit {
    NodeEdit::Folder {
        at: name(at),
        definition: definition(value),
    }
}

fn descriptor(at: &str, value: Value) -> NodeEdit {
    NodeEdit::Descriptor {
        at: name(at),
        definition: definition(value),
    }
}

fn define(estate: &Estate, at: &str, value: Value) -> NodeEdit {
    NodeEdit::Define {
        node: estate.uid(at),
        definition: definition(value),
    }
}

fn remove(estate: &Estate, at: &str) -> NodeEdit {
    NodeEdit::Remove {
        node: estate.uid(at),
    }
}

fn apply(tree: &mut Tree, edits: Vec<NodeEdit>) -> Result<Change, BatchErrors> {
    let mut last = 1_000_000_u128;
    tree.apply_all(edits, &mut || {
        last += 1;
        Uuid::from_u128(last)
    })
}

fn refused(estate: &mut Estate, edits: Vec<NodeEdit>) -> Vec<String> {
    let before = estate.whole();
    let BatchErrors(errors) = apply(&mut estate.tree, edits).unwrap_err();
    assert_eq!(estate.whole(), before);
    let mut said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    said.sort();
    said
}

fn estate() -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({
            "hypervisors": {"h": {"type": "fake", "host": "a", "user": "root", "password": {"env": "P"}}},
            "prototypes": {"small": {"memory": "1GiB"}},
            "use_hypervisor": "h",
        }),
    );
    estate.folder("/web", json!({"use_prototype": "small"}));
    estate.provision("/web/vm1", json!({"vcpu": 2}));
    estate.provision("/web/vm2", json!({}));
    estate.folder("/old", json!({}));
    estate.provision("/old/vm3", json!({}));
    estate
}

fn deploy(estate: &mut Estate, at: &str) {
    let uid = estate.uid(at);
    let machine = MachineUid::from_uuid(Uuid::from_u128(77));
    estate.apply(|tree| tree.set_machine(uid, Some(machine)));
    estate.apply(|tree| tree.transition(uid, Event::Deploy));
}

#[test]
fn folders_descriptors_and_definitions_change_together_and_each_is_computed_once() {
    let mut estate = estate();
    let before = estate.whole();
    // The prototype goes away and whoever used it says something else, in the same breath.
    let edits = vec![
        define(
            &estate,
            "/",
            json!({"hypervisors": {"g": {"type": "fake", "host": "b", "user": "u", "password": {"env": "Q"}}}, "use_hypervisor": "g", "memory": "3GiB"}),
        ),
        define(&estate, "/web", json!({"labels": {"team": "web"}})),
        define(&estate, "/web/vm1", json!({"vcpu": 4})),
        folder("/new", json!({})),
        folder("/new/deep", json!({"memory": "9GiB"})),
        descriptor("/new/deep/vm", json!({})),
        remove(&estate, "/old"),
        remove(&estate, "/old/vm3"),
    ];
    let computations = estate.tree.computations();
    let change = apply(&mut estate.tree, edits).unwrap();
    // /, /web, vm1, vm2, /new, /new/deep, vm.
    assert_eq!(estate.tree.computations() - computations, 7);
    assert_eq!(change.written.len(), 6);
    assert_eq!(change.removed.len(), 2);
    assert_eq!(change.hypervisors_removed.len(), 1);
    assert_eq!(
        estate.line("/new/deep/vm", "memory"),
        "memory 9 GiB, from /new/deep"
    );
    assert_eq!(estate.line("/web/vm2", "memory"), "memory 3 GiB, from /");
    assert_eq!(
        estate.line("/web/vm1", "use_hypervisor"),
        "use_hypervisor g, from / via g (/)"
    );
    assert_eq!(estate.reloaded().whole(), estate.whole());

    estate.tree.revert(change).unwrap();
    assert_eq!(estate.whole(), before);
}

#[test]
fn a_preview_of_many_edits_leaves_nothing_behind() {
    let mut estate = estate();
    let before = estate.whole();
    let edits = vec![
        define(&estate, "/web", json!({"memory": "2GiB"})),
        descriptor("/web/vm9", json!({})),
        remove(&estate, "/old/vm3"),
    ];
    let preview = estate.tree.preview(|tree| apply(tree, edits)).unwrap();
    let counts = preview.differences(100).counts;
    assert_eq!((counts.made, counts.removed, counts.changed), (1, 1, 3));
    assert_eq!(estate.whole(), before);
}

#[test]
fn all_that_is_wrong_is_said_and_nothing_changes() {
    let mut estate = estate();
    deploy(&mut estate, "/web/vm2");
    let edits = vec![
        define(&estate, "/web/vm2", json!({"vcpu": 8})),
        descriptor("/web/vm1", json!({})),
        descriptor("/nowhere/vm", json!({})),
        descriptor("/web/vm1/below", json!({})),
        folder("/new", json!({"use_prototype": "smal"})),
        folder("/new2", json!({"use_hypervisor": "none"})),
        remove(&estate, "/"),
        remove(&estate, "/old"),
        remove(&estate, "/web/vm2"),
        NodeEdit::Reconfigure {
            node: estate.uid("/web/vm1"),
            definition: Definition::default(),
        },
    ];
    insta::assert_snapshot!(refused(&mut estate, edits).join("\n"), @r#"
    `/web/vm1` exists already; choose another name
    `/web/vm1` is a descriptor, not a folder
    `/web/vm1` is provisioned; edit its definition instead, deploy applies it
    `/web/vm2` is deployed: its definition cannot be changed directly; reconfigure changes the machine with its definition, undeploy makes the descriptor free to edit
    `/web/vm2`: `deprovision` is refused while deployed: undeploy the machine first
    folder `/old` is not empty: it has 1 nodes, `vm3` first; remove them, or name them one by one
    the change of `/new2` is refused: `/new2`: `use_hypervisor` names `none`, which is not defined there or above; there are: h
    the change of `/new` is refused: `/new`: `use_prototype` names `smal`, which is not defined there or above; did you mean `small`?
    the root cannot be removed
    there is no `/nowhere`; `/` is there, see what it holds
    "#);
}

#[test]
fn an_entry_with_machines_on_it_stays() {
    let mut estate = estate();
    deploy(&mut estate, "/web/vm1");
    let edits = vec![define(&estate, "/", json!({"prototypes": {"small": {}}}))];
    insta::assert_snapshot!(refused(&mut estate, edits).join("\n"), @r#"
    hypervisor `h` cannot be removed from `/` while machines are on it: /web/vm1; undeploy them first
    "#);
}

#[test]
fn a_name_that_is_freed_can_be_taken_by_the_other_kind() {
    let mut estate = estate();
    let edits = vec![
        remove(&estate, "/old/vm3"),
        remove(&estate, "/old"),
        descriptor("/old", json!({"vcpu": 1})),
    ];
    let before = estate.whole();
    let change = apply(&mut estate.tree, edits).unwrap();
    assert!(!estate.tree.node(estate.uid("/old")).unwrap().is_folder());
    assert_eq!(estate.reloaded().whole(), estate.whole());
    estate.tree.revert(change).unwrap();
    assert_eq!(estate.whole(), before);
}

#[test]
fn ten_thousand_new_descriptors_are_ten_thousand_computations() {
    let mut estate = Estate::new();
    let mut edits = vec![NodeEdit::Define {
        node: estate.tree.root(),
        definition: definition(json!({"memory": "1GiB"})),
    }];
    for at in 0..100 {
        edits.push(folder(&format!("/f{at}"), json!({})));
        for vm in 0..100 {
            edits.push(descriptor(&format!("/f{at}/vm{vm}"), json!({"vcpu": 2})));
        }
    }
    let computations = estate.tree.computations();
    let change = apply(&mut estate.tree, edits).unwrap();
    assert_eq!(estate.tree.computations() - computations, 1 + 100 + 10_000);
    assert_eq!(change.written.len(), 1 + 100 + 10_000);
    assert_eq!(estate.line("/f7/vm9", "memory"), "memory 1 GiB, from /");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever single edits, made one after the other, come to.
    #[test]
    fn together_is_the_same_as_one_after_the_other(
        parts in prop::collection::vec((0..4usize, 0..4usize, 1..9u32, any::<bool>()), 1..20)
    ) {
        let mut one = Estate::new();
        for at in 0..4 {
            one.folder(&format!("/f{at}"), json!({"vcpu": 1}));
            one.provision(&format!("/f{at}/old"), json!({}));
        }
        let mut all = one.reloaded();
        let mut edits = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (at, vm, vcpu, defines) in parts {
            let (path, value) = if defines {
                (format!("/f{at}"), json!({"vcpu": vcpu}))
            } else {
                (format!("/f{at}/vm{vm}"), json!({"labels": {"n": format!("{vcpu}")}}))
            };
            // Of two edits of one node the later would count; here each node has one.
            if !seen.insert(path.clone()) {
                continue;
            }
            if defines {
                edits.push(define(&all, &path, value.clone()));
                one.define(&path, value);
            } else {
                edits.push(descriptor(&path, value.clone()));
                one.provision(&path, value);
            }
        }
        let before = all.whole();
        let change = apply(&mut all.tree, edits).unwrap();
        let picture = |estate: &Estate| -> Vec<String> {
            let walk = estate.tree.walk(estate.tree.root()).unwrap();
            walk.map(|node| {
                let computed = estate.tree.computed(node.uid).unwrap();
                format!("{} {} {:?}", computed.full_name(), node.revision, estate.lines(&computed.full_name().to_string()))
            })
            .collect()
        };
        prop_assert_eq!(picture(&all), picture(&one));
        prop_assert_eq!(all.reloaded().whole(), all.whole());
        all.tree.revert(change).unwrap();
        prop_assert_eq!(all.whole(), before);
    }
}
