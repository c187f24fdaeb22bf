//! Edits: what they write, what they cost, what they refuse, and that a refused one changes nothing.

use crate::common::Estate;
use enginehouse_model::{FullName, MachineUid, NodeUid};
use enginehouse_tree::{
    Change, EditError, Event, LastOperation, LoadError, LookupError, Node, Status, Tree,
};
use serde_json::json;
use uuid::Uuid;

fn estate() -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({
            "hypervisors": {"h": {"type": "fake", "host": "a"}},
            "prototypes": {"small": {"memory": "1GiB", "disks": {"root": {"size": "8GiB"}, "swap": {}}}},
            "labels": {"owner": "ops"},
        }),
    );
    estate.folder(
        "/web",
        json!({"use_hypervisor": "h", "use_prototype": "small"}),
    );
    estate.folder("/web/front", json!({}));
    estate.provision("/web/front/vm1", json!({"vcpu": 2}));
    estate.provision("/web/front/vm2", json!({"disks": {"swap": null}}));
    estate.folder("/db", json!({}));
    estate.provision("/db/vm1", json!({}));
    estate
}

fn deploy(estate: &mut Estate, name: &str, machine: u128) {
    let uid = estate.uid(name);
    let machine = MachineUid::from_uuid(Uuid::from_u128(machine));
    estate.apply(|tree| tree.set_machine(uid, Some(machine)));
    estate.apply(|tree| tree.transition(uid, Event::Deploy));
}

#[test]
fn a_node_is_at_most_64_levels_below_the_root_however_it_gets_there() {
    let mut estate = Estate::new();
    let mut name = String::new();
    for _ in 0..64 {
        name.push_str("/a");
        estate.folder(&name, json!({}));
    }
    let parent = estate.uid(&name);
    let uids = &mut Uuid::now_v7;
    let deeper: FullName = format!("{name}/vm").parse().unwrap();
    let error = estate
        .tree
        .provision(parent, "vm", Default::default(), uids);
    assert_eq!(error.unwrap_err(), EditError::TooDeep(deeper.clone()));
    let made = enginehouse_tree::NodeEdit::Descriptor {
        at: deeper.clone(),
        definition: Default::default(),
    };
    let errors = estate.tree.apply_all(vec![made], uids).unwrap_err();
    assert_eq!(errors.0, [EditError::TooDeep(deeper)]);
    estate.folder("/b", json!({}));
    let (top, other) = (estate.uid("/a"), estate.uid("/b"));
    let error = estate.tree.rename(top, other, "a").unwrap_err();
    assert_eq!(
        error,
        EditError::TooDeep(format!("/b{name}").parse().unwrap())
    );
    // What is there already, at any depth, can be edited and renamed.
    estate.define(&name, json!({"vcpu": 1}));
    estate.apply(|tree| tree.rename(top, tree.root(), "c"));
}

#[test]
fn an_edit_computes_its_subtree_and_nothing_else() {
    let mut estate = estate();
    for (name, cost) in [
        ("/web/front/vm1", 1),
        ("/web/front", 3),
        ("/web", 4),
        ("/", 7),
    ] {
        let before = estate.tree.computations();
        let uid = estate.uid(name);
        let mut document = estate.tree.node(uid).unwrap().local.to_json();
        document["description"] = json!("changed");
        let change = estate.define(name, document.clone());
        assert_eq!(change.written, [uid], "one document for one edit");
        assert_eq!(estate.tree.computations() - before, cost, "{name}");
        // The same again is no change.
        assert!(estate.define(name, document).is_empty());
        assert_eq!(estate.tree.computations() - before, cost, "{name}");
    }
    // What the host records computes nothing and leaves the revision alone.
    let before = estate.tree.computations();
    let revision = estate
        .tree
        .node(estate.uid("/web/front/vm1"))
        .unwrap()
        .revision;
    deploy(&mut estate, "/web/front/vm1", 9);
    assert_eq!(estate.tree.computations(), before);
    assert_eq!(
        estate
            .tree
            .node(estate.uid("/web/front/vm1"))
            .unwrap()
            .revision,
        revision
    );
}

#[test]
fn what_the_store_reads_back_is_the_same_tree() {
    let mut estate = estate();
    deploy(&mut estate, "/web/front/vm1", 9);
    assert_eq!(estate.reloaded().picture(), estate.picture());
}

#[test]
fn an_edit_that_breaks_a_node_below_is_refused_and_changes_nothing() {
    let mut estate = estate();
    let before = estate.picture();
    let error = estate.try_define("/", json!({})).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`/` is refused") && text.contains("`/web`"),
        "{text}"
    );
    assert!(text.contains("`use_hypervisor` names `h`"), "{text}");
    assert!(text.contains("`use_prototype` names `small`"), "{text}");
    let root = estate
        .tree
        .node(estate.tree.root())
        .unwrap()
        .local
        .to_json();
    let mut narrowed = root;
    narrowed["filter_hypervisors_allow"] = json!(["other"]);
    let text = estate.try_define("/", narrowed).unwrap_err().to_string();
    assert!(text.contains("filter at `/`"), "{text}");
    assert_eq!(estate.picture(), before);
}

#[test]
fn names_that_are_not_defined_come_with_the_nearest() {
    let mut estate = estate();
    let text = estate
        .try_define("/db", json!({"use_prototype": "smal"}))
        .unwrap_err()
        .to_string();
    assert!(text.contains("did you mean `small`?"), "{text}");
    let find = |name: &str| estate.tree.find(&name.parse().unwrap()).unwrap_err();
    assert_eq!(
        find("/wbe/front").to_string(),
        "there is no `/wbe/front`; did you mean `/web`?"
    );
    assert_eq!(
        find("/web/front/other").to_string(),
        "there is no `/web/front/other`; `/web/front` is there, see what it holds"
    );
}

#[test]
fn every_change_can_be_taken_back() {
    let mut estate = estate();
    let vm1 = estate.uid("/web/front/vm1");
    let db = estate.uid("/db");
    let machine = MachineUid::from_uuid(Uuid::from_u128(5));
    let operation = LastOperation {
        number: enginehouse_model::OperationId(3),
        kind: "deploy".into(),
        who: "ops".into(),
        when: enginehouse_model::Timestamp(1),
        outcome: "failed".into(),
    };
    let start = estate.picture();
    let mut changes = vec![
        estate.define("/web", json!({"vcpu": 7})),
        estate.folder("/new", json!({"hypervisors": {"n": {}}})),
        estate.provision("/new/vm", json!({"use_hypervisor": "n"})),
        estate.apply(|tree| tree.rename(vm1, db, "moved")),
        estate.apply(|tree| tree.set_machine(vm1, Some(machine))),
        estate.apply(|tree| tree.set_last_operation(vm1, operation, Some("full".into()))),
        estate.apply(|tree| tree.transition(vm1, Event::Deploy)),
    ];
    let vm2 = estate.uid("/web/front/vm2");
    changes.push(estate.apply(|tree| tree.deprovision(vm2)));
    let front = estate.uid("/web/front");
    changes.push(estate.apply(|tree| tree.remove_folder(front)));
    let changed = estate.picture();
    assert_ne!(changed, start);
    let all = changes
        .iter()
        .map(|change| Change::clone(change))
        .reduce(Change::and)
        .unwrap();
    assert_eq!(all.removed, [vm2, front]);
    estate.tree.revert(all).unwrap();
    assert_eq!(estate.picture(), start);
    assert_eq!(estate.reloaded().picture(), start);
    assert_eq!(estate.tree.hypervisors().len(), 1);
}

#[test]
fn an_edit_based_on_an_older_revision_is_refused() {
    let mut estate = estate();
    let uid = estate.uid("/db");
    let local = enginehouse_tree::Definition::from_json(&json!({"vcpu": 1})).unwrap();
    let error = estate
        .tree
        .set_definition(uid, local.clone(), Some(2), &mut Uuid::nil)
        .unwrap_err();
    assert!(matches!(
        error,
        EditError::Stale {
            expected: 2,
            found: 1,
            ..
        }
    ));
    estate.apply(|tree| tree.set_definition(uid, local, Some(1), &mut Uuid::nil));
    assert_eq!(estate.tree.node(uid).unwrap().revision, 2);
}

#[test]
fn a_reconfigure_writes_the_definition_of_a_deployed_descriptor_only() {
    let mut estate = estate();
    let uid = estate.uid("/db/vm1");
    let local = || enginehouse_tree::Definition::from_json(&json!({"vcpu": 8})).unwrap();
    let error = estate
        .tree
        .apply_reconfigure(uid, local(), None, &mut Uuid::nil)
        .unwrap_err();
    assert!(matches!(error, EditError::NothingToReconfigure(_)));
    deploy(&mut estate, "/db/vm1", 9);
    estate.apply(|tree| tree.apply_reconfigure(uid, local(), Some(1), &mut Uuid::nil));
    assert_eq!(estate.computed("/db/vm1").config().vcpu, Some(8));
}

#[test]
fn a_failed_deploy_leaves_a_machine_that_undeploy_removes() {
    let mut estate = estate();
    let uid = estate.uid("/db/vm1");
    assert!(matches!(
        estate.tree.transition(uid, Event::Deploy),
        Err(EditError::NoMachineOnRecord(_))
    ));
    let machine = MachineUid::from_uuid(Uuid::from_u128(5));
    estate.apply(|tree| tree.set_machine(uid, Some(machine)));
    let other = MachineUid::from_uuid(Uuid::from_u128(6));
    assert!(matches!(
        estate.tree.set_machine(uid, Some(other)),
        Err(EditError::OtherMachine { .. })
    ));
    let text = estate.tree.deprovision(uid).unwrap_err().to_string();
    assert!(text.contains("undeploy removes it"), "{text}");
    estate.apply(|tree| tree.transition(uid, Event::Undeploy));
    assert_eq!(estate.tree.descriptor(uid).unwrap().machine, None);
    let change = estate.apply(|tree| tree.deprovision(uid));
    assert_eq!(change.removed, [uid]);
    assert_eq!(estate.tree.node(uid), Err(LookupError::Gone(uid)));
}

#[test]
fn a_missing_machine_stays_in_the_history() {
    let mut estate = estate();
    let uid = estate.uid("/db/vm1");
    deploy(&mut estate, "/db/vm1", 9);
    estate.apply(|tree| tree.transition(uid, Event::ConnectionLost));
    estate.apply(|tree| tree.transition(uid, Event::MachineMissing));
    let body = estate.tree.descriptor(uid).unwrap();
    assert_eq!(body.status, Status::Provisioned);
    assert_eq!(body.machine, None);
    assert_eq!(
        body.lost_machines,
        [MachineUid::from_uuid(Uuid::from_u128(9))]
    );
}

#[test]
fn a_hypervisor_with_machines_is_not_removed_and_keeps_its_uid_when_it_changes() {
    let mut estate = estate();
    deploy(&mut estate, "/web/front/vm1", 9);
    let used = |estate: &Estate| {
        estate
            .computed("/web/front/vm1")
            .hypervisor()
            .unwrap()
            .clone()
    };
    let before = used(&estate);
    let mut document = estate
        .tree
        .node(estate.tree.root())
        .unwrap()
        .local
        .to_json();
    document["hypervisors"]["h"]["host"] = json!("b");
    estate.define("/", document.clone());
    let after = used(&estate);
    assert_eq!(after.uid, before.uid);
    assert_eq!(after.entry.host.as_ref().unwrap().to_string(), "b");
    assert_eq!(
        estate
            .tree
            .hypervisor(after.uid)
            .unwrap()
            .origin
            .to_string(),
        "/"
    );

    // A name above it would let the names resolve: the machine would be on another hypervisor.
    estate.folder("/x", json!({"hypervisors": {"h": {"host": "c"}}}));
    estate.provision("/x/vm", json!({"use_hypervisor": "h"}));
    deploy(&mut estate, "/x/vm", 10);
    let error = estate.try_define("/x", json!({})).unwrap_err();
    assert!(matches!(&error, EditError::HypervisorInUse { hypervisor, .. } if hypervisor == "h"));
    assert!(error.to_string().contains("/x/vm"), "{error}");
    let uid = estate.uid("/x/vm");
    estate.apply(|tree| tree.transition(uid, Event::Undeploy));
    let change = estate.define("/x", json!({}));
    assert_eq!(change.hypervisors_removed.len(), 1);
    assert!(
        estate
            .tree
            .hypervisor(change.hypervisors_removed[0])
            .is_none()
    );
}

#[test]
fn null_unsets_and_use_prototype_null_also_what_it_gave() {
    let mut estate = estate();
    let vm2 = estate.computed("/web/front/vm2").config();
    assert_eq!(vm2.disks.keys().collect::<Vec<_>>(), ["root"]);
    estate.define(
        "/web/front/vm1",
        json!({"use_prototype": null, "use_hypervisor": null, "labels": {"owner": null, "a": "b"},
               "disks": {"data": {"size": "1GiB"}}}),
    );
    assert_eq!(
        estate.lines("/web/front/vm1"),
        [
            "labels.a b, from /web/front/vm1",
            "disks.data.size 1 GiB, from /web/front/vm1",
        ]
    );
    assert!(estate.computed("/web/front/vm1").hypervisor().is_none());
}

#[test]
fn disks_merge_field_by_field_and_settings_by_key() {
    let mut estate = estate();
    estate.define(
        "/web/front",
        json!({"disks": {"root": {"storage": "fast"}}, "settings": {"a": {"x": 1}, "b": 1}}),
    );
    estate.define(
        "/web/front/vm1",
        json!({"disks": {"root": {"keep": true}}, "settings": {"a": {"y": 2}}}),
    );
    assert_eq!(
        estate.lines("/web/front/vm1"),
        [
            "use_hypervisor h, from /web via h (/)",
            "hypervisor_type fake, from /web via h (/)",
            "host a, from /web via h (/)",
            "use_prototype small, from /web via small (/)",
            "memory 1 GiB, from /web via small (/)",
            "labels.owner ops, from /",
            "disks.root.size 8 GiB, from /web via small (/)",
            "disks.root.storage fast, from /web/front",
            "disks.root.keep true, from /web/front/vm1",
            "disks.swap {}, from /web via small (/)",
            "settings.a {\"y\":2}, from /web/front/vm1",
            "settings.b 1, from /web/front",
        ]
    );
    let config = estate.computed("/web/front/vm1").config();
    assert_eq!(config.name.as_deref(), Some("vm1"));
    assert_eq!(config.disks["root"].size, Some(8 << 30));
    assert_eq!(config.settings["a"], json!({"y": 2}));
}

#[test]
fn structure_is_kept_whole() {
    let mut estate = estate();
    let (root, web, vm1) = (
        estate.tree.root(),
        estate.uid("/web"),
        estate.uid("/db/vm1"),
    );
    let before = estate.picture();
    let below = estate.uid("/web/front");
    let texts = [
        estate.tree.remove_folder(root).unwrap_err().to_string(),
        estate.tree.remove_folder(web).unwrap_err().to_string(),
        estate.tree.remove_folder(vm1).unwrap_err().to_string(),
        estate.tree.rename(web, below, "x").unwrap_err().to_string(),
        estate.tree.rename(web, root, "db").unwrap_err().to_string(),
        estate.try_folder("/db", json!({})).unwrap_err().to_string(),
        estate
            .try_folder("/db/vm1/x", json!({}))
            .unwrap_err()
            .to_string(),
        estate
            .tree
            .rename(web, root, "a b")
            .unwrap_err()
            .to_string(),
    ];
    assert_eq!(
        texts,
        [
            "the root cannot be removed",
            "folder `/web` is not empty: it has 1 nodes, `front` first; remove them, or name them one by one",
            "`/db/vm1` is a descriptor, not a folder",
            "`/web` cannot move below itself",
            "`/db` exists already; choose another name",
            "`/db` exists already; choose another name",
            "`/db/vm1` is a descriptor, not a folder",
            "`a b` cannot be the name of a node",
        ]
    );
    assert_eq!(estate.picture(), before);
    estate.apply(|tree| tree.rename(web, root, "www"));
    assert_eq!(
        estate.line("/www/front/vm1", "memory"),
        "memory 1 GiB, from /www via small (/)"
    );
    let names: Vec<String> = estate
        .tree
        .descriptors(root)
        .unwrap()
        .map(|node| estate.tree.full_name(node.uid).unwrap().to_string())
        .collect();
    assert_eq!(names, ["/db/vm1", "/www/front/vm1", "/www/front/vm2"]);
}

#[test]
fn nodes_that_are_no_tree_are_not_loaded() {
    let uid = |n| NodeUid::from_uuid(Uuid::from_u128(n));
    let (root, a, b) = (
        Node::root(uid(1)),
        Node::folder(uid(2), uid(1), "a"),
        Node::descriptor(uid(3), uid(2), "b"),
    );
    assert!(Tree::load(vec![b.clone(), a.clone(), root.clone()]).is_ok());
    let load = |nodes: &[&Node]| Tree::load(nodes.iter().copied().cloned().collect()).unwrap_err();
    assert_eq!(load(&[&a]), LoadError::NoRoot);
    assert!(matches!(
        load(&[&root, &Node::root(uid(9))]),
        LoadError::TwoRoots(..)
    ));
    assert_eq!(load(&[&root, &a, &a]), LoadError::Twice(uid(2)));
    assert!(matches!(load(&[&root, &b]), LoadError::NoParent { .. }));
    let under_descriptor = Node::folder(uid(4), uid(3), "c");
    assert!(matches!(
        load(&[&root, &a, &b, &under_descriptor]),
        LoadError::NoParent { .. }
    ));
    let (ring1, ring2) = (
        Node::folder(uid(5), uid(6), "x"),
        Node::folder(uid(6), uid(5), "y"),
    );
    assert!(matches!(
        load(&[&root, &ring1, &ring2]),
        LoadError::NoParent { .. }
    ));
    let same = Node::folder(uid(7), uid(1), "a");
    assert!(matches!(
        load(&[&root, &a, &same]),
        LoadError::SameName { .. }
    ));
    assert!(matches!(
        load(&[&root, &Node::folder(uid(8), uid(1), "/")]),
        LoadError::Name { .. }
    ));
    let mut unresolved = a.clone();
    unresolved.local =
        enginehouse_tree::Definition::from_json(&json!({"use_hypervisor": "h"})).unwrap();
    assert!(matches!(
        load(&[&root, &unresolved]),
        LoadError::Unresolved(_)
    ));
}

#[test]
fn a_very_deep_tree_is_no_danger() {
    let mut estate = Estate::new();
    let uid = |n| NodeUid::from_uuid(Uuid::from_u128(n));
    let mut nodes = vec![Node::root(uid(1))];
    nodes.extend((2..2_000).map(|n| Node::folder(uid(n), uid(n - 1), "d")));
    estate.tree = Tree::load(nodes).unwrap();
    estate.define("/", json!({"vcpu": 3}));
    let deepest = estate.tree.computed(uid(1_999)).unwrap();
    assert_eq!(deepest.config().vcpu, Some(3));
    let name: &FullName = deepest.full_name();
    assert_eq!(name.segments().len(), 1_998);
}
