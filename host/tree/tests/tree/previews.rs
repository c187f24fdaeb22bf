//! What an edit would do, and that nothing is left of having looked.

use enginehouse_model::MachineUid;
use enginehouse_tree::{Change, Difference, EditError, Event, Preview, Role, Tree};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::Estate;

fn estate() -> Estate {
    let mut estate = Estate::new();
    estate.define(
        "/",
        json!({
            "hypervisors": {"h": {"type": "fake", "host": "a", "user": "root", "password": {"env": "P"}}},
            "prototypes": {"small": {"memory": "1GiB", "vcpu": 1}},
            "use_hypervisor": "h",
            "memory": "2GiB",
        }),
    );
    estate.folder("/web", json!({"memory": "4GiB", "labels": {"team": "web"}}));
    estate.folder("/web/front", json!({}));
    estate.provision("/web/front/vm1", json!({"vcpu": 2}));
    estate.provision("/web/front/vm2", json!({"memory": "8GiB"}));
    estate.folder("/db", json!({"use_prototype": "small", "memory": "4GiB"}));
    estate
}

fn text(found: &Difference) -> String {
    let side = |line: &Option<enginehouse_tree::Line>| {
        line.as_ref().map_or_else(
            || "nothing".to_owned(),
            |line| format!("{} ({})", line.value, line.origin),
        )
    };
    format!(
        "{}: {} -> {}",
        found.key,
        side(&found.before),
        side(&found.after)
    )
}

fn texts(preview: &Preview, most: usize) -> Vec<String> {
    let found = preview.differences(most);
    found
        .nodes
        .iter()
        .flat_map(|node| {
            let name = |name: &Option<enginehouse_model::FullName>| {
                name.as_ref()
                    .map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            let title = format!("{} -> {}", name(&node.before), name(&node.after));
            std::iter::once(title).chain(node.keys.iter().map(|key| format!("  {}", text(key))))
        })
        .collect()
}

fn rename(estate: &mut Estate, from: &str, to: &str) -> Result<Preview, EditError> {
    let to: enginehouse_model::FullName = to.parse().unwrap();
    let (uid, parent) = (
        estate.uid(from),
        estate.tree.find(&to.parent().unwrap()).unwrap(),
    );
    estate
        .tree
        .preview(|tree| tree.rename(uid, parent, to.name()))
}

#[test]
fn a_move_shows_whose_computed_definition_changes_and_from_where() {
    let mut estate = estate();
    let before = estate.picture();
    let computations = estate.tree.computations();
    let preview = rename(&mut estate, "/web/front", "/db/front").unwrap();
    assert_eq!(
        estate.tree.computations() - computations,
        3,
        "its subtree alone"
    );
    assert_eq!(estate.picture(), before, "nothing is left of it");
    assert_eq!(
        texts(&preview, 9),
        [
            "/web/front -> /db/front",
            "  use_prototype: nothing -> small (/db via small (/))",
            "  vcpu: nothing -> 1 (/db via small (/))",
            "  memory: 4 GiB (/web) -> 4 GiB (/db)",
            "  labels.team: web (/web) -> nothing",
            "/web/front/vm1 -> /db/front/vm1",
            "  use_prototype: nothing -> small (/db via small (/))",
            "  memory: 4 GiB (/web) -> 4 GiB (/db)",
            "  labels.team: web (/web) -> nothing",
            "/web/front/vm2 -> /db/front/vm2",
            "  use_prototype: nothing -> small (/db via small (/))",
            "  vcpu: nothing -> 1 (/db via small (/))",
            "  labels.team: web (/web) -> nothing",
        ]
    );
    let cut = preview.differences(1);
    assert_eq!(cut.nodes.len(), 1);
    assert_eq!((cut.counts.changed, cut.counts.renamed), (3, 3));
}

#[test]
fn a_new_name_in_the_same_folder_changes_no_definition() {
    let mut estate = estate();
    let preview = rename(&mut estate, "/web", "/shop").unwrap();
    let found = preview.differences(9);
    assert_eq!(found.nodes, []);
    assert_eq!((found.counts.renamed, found.counts.listed()), (4, 0));
    let names: Vec<String> = preview
        .touched
        .iter()
        .filter_map(|touched| Some(touched.full_name()?.to_string()))
        .collect();
    assert_eq!(
        names,
        ["/shop", "/shop/front", "/shop/front/vm1", "/shop/front/vm2"]
    );
}

#[test]
fn the_same_value_from_elsewhere_is_told_apart_from_another_value() {
    let mut estate = estate();
    let uid = estate.uid("/web/front/vm1");
    let local =
        enginehouse_tree::Definition::from_json(&json!({"vcpu": 2, "memory": "4GiB"})).unwrap();
    let preview = estate
        .tree
        .preview(|tree| tree.set_definition(uid, local, None, &mut Uuid::nil))
        .unwrap();
    let found = preview.differences(9);
    assert_eq!((found.counts.changed, found.counts.origins_only), (0, 1));
    assert!(!found.nodes[0].keys[0].is_of_value());
    assert_eq!(
        text(&found.nodes[0].keys[0]),
        "memory: 4 GiB (/web) -> 4 GiB (/web/front/vm1)"
    );
}

#[test]
fn a_connection_that_changes_is_shown_beyond_its_lines_and_never_with_its_password() {
    let mut estate = estate();
    let root = estate.tree.root();
    let mut document = estate.tree.node(root).unwrap().local.to_json();
    document["hypervisors"]["h"]["tls"] = json!({"verify": false});
    document["hypervisors"]["h"]["password"] = json!("hunter2");
    let local = enginehouse_tree::Definition::from_json(&document).unwrap();
    let preview = estate
        .tree
        .preview(|tree| tree.set_definition(root, local, None, &mut Uuid::nil))
        .unwrap();
    let shown = texts(&preview, 1);
    assert!(
        shown.contains(&"  hypervisors.h.tls: nothing -> {\"verify\":false} (/ via h (/))".into()),
        "{shown:?}"
    );
    assert!(
        !shown.iter().any(|line| line.contains("hunter2")),
        "{shown:?}"
    );
    assert_eq!(preview.differences(0).counts.changed, 6);
}

#[test]
fn what_would_be_made_and_removed_is_told() {
    let mut estate = estate();
    let before = estate.picture();
    let (web, vm1) = (estate.uid("/web"), estate.uid("/web/front/vm1"));
    let preview: Preview = estate
        .tree
        .preview(|tree| {
            let made = tree.provision(web, "new", Default::default(), &mut Uuid::now_v7)?;
            let removed = tree.deprovision(vm1)?;
            Ok::<Change, EditError>(made.and(removed))
        })
        .unwrap();
    let found = preview.differences(9);
    assert_eq!((found.counts.made, found.counts.removed), (1, 1));
    assert_eq!(
        texts(&preview, 9),
        [
            "/web/front/vm1 -> -",
            "- -> /web/new",
            "  use_hypervisor: nothing -> h (/ via h (/))",
            "  hypervisor_type: nothing -> fake (/ via h (/))",
            "  host: nothing -> a (/ via h (/))",
            "  user: nothing -> root (/ via h (/))",
            "  password: nothing -> (secret) (/ via h (/))",
            "  memory: nothing -> 4 GiB (/web)",
            "  labels.team: nothing -> web (/web)",
        ]
        .map(|line| line.replace("(secret)", &password(&estate)))
    );
    assert_eq!(estate.picture(), before);
}

/// However a password is shown: that is another test's business.
fn password(estate: &Estate) -> String {
    let lines = estate.computed("/web").origins();
    let line = lines.iter().find(|line| line.key == "password").unwrap();
    line.value.clone()
}

fn grant(estate: &mut Estate, name: &str, subject: &str, role: Role) {
    let uid = estate.uid(name);
    let mut grants = estate.tree.grants_on(uid).unwrap().clone();
    let roles = grants.entry(subject.parse().unwrap()).or_default();
    roles.insert(role);
    estate.apply(|tree| tree.set_grants(uid, grants));
}

fn rights(preview: &Preview) -> Vec<String> {
    let rights = preview.rights.iter();
    rights
        .map(|change| {
            format!(
                "{} {}: {:?} -> {:?}",
                change.full_name, change.subject, change.before, change.after
            )
        })
        .collect()
}

#[test]
fn a_move_shows_whose_rights_change() {
    let mut estate = estate();
    grant(&mut estate, "/", "eve", Role::Viewer);
    grant(&mut estate, "/web", "ann", Role::Operator);
    grant(&mut estate, "/web", "bob", Role::Viewer);
    grant(&mut estate, "/db", "bob", Role::Admin);
    grant(&mut estate, "/db", "dba", Role::Approver);
    grant(&mut estate, "/web/front/vm1", "ann", Role::Operator);
    let preview = rename(&mut estate, "/web/front", "/db/front").unwrap();
    assert_eq!(
        rights(&preview),
        [
            "/db/front ann: {Read, Operate} -> {}",
            "/db/front bob: {Read} -> {Read, Operate, Approve, Govern}",
            "/db/front dba: {} -> {Read, Approve}",
            "/db/front/vm1 ann: {Read, Operate} -> {Read, Operate}",
        ]
    );
    let preview = rename(&mut estate, "/web/front", "/web/back").unwrap();
    assert_eq!(rights(&preview), [""; 0]);
    let web = estate.uid("/web");
    let preview: Preview = estate
        .tree
        .preview(|tree| tree.set_grants(web, Default::default()))
        .unwrap();
    assert_eq!(
        rights(&preview),
        [
            "/web ann: {Read, Operate} -> {}",
            "/web bob: {Read} -> {}",
            "/web/front/vm1 ann: {Read, Operate} -> {Read, Operate}",
        ]
    );
    assert_eq!(estate.tree.grants_on(web).unwrap().len(), 2);
}

#[test]
fn a_refused_edit_has_no_preview_and_leaves_nothing() {
    let mut estate = estate();
    let before = estate.picture();
    let error = rename(&mut estate, "/web", "/web/front/web").unwrap_err();
    assert!(matches!(error, EditError::BelowItself(_)));
    let error = rename(&mut estate, "/web/front", "/db").unwrap_err();
    assert!(matches!(error, EditError::Exists(_)));
    assert_eq!(estate.picture(), before);
}

#[test]
fn only_the_latest_change_is_taken_back() {
    let mut estate = estate();
    let first = estate.define("/db", json!({"vcpu": 3}));
    let second = estate.define("/web", json!({"vcpu": 4}));
    let now = estate.picture();
    let error = estate.tree.revert(Change::clone(&first)).unwrap_err();
    assert_eq!(error, EditError::NotTheLatest);
    assert_eq!(estate.picture(), now);
    estate.tree.revert(Change::clone(&second)).unwrap();
    estate.tree.revert(Change::clone(&first)).unwrap();
    // Taken back once already.
    let error = estate.tree.revert(Change::clone(&second)).unwrap_err();
    assert_eq!(error, EditError::NotTheLatest);
}

/// One random edit; what it names may not be there, or refuse it.
#[derive(Clone, Debug)]
enum Edit {
    Folder(usize, u8, Value),
    Provision(usize, u8, Value),
    Define(usize, Value),
    Move(usize, usize, u8),
    Remove(usize),
    Machine(usize, u8),
    Event(usize, Event),
    LastError(usize, bool),
    Grant(usize, u8, u8),
}

fn definition() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        Just(json!({"vcpu": 3, "labels": {"a": "b"}})),
        Just(json!({"memory": "1GiB", "disks": {"root": {"size": "8GiB"}}})),
        Just(json!({"prototypes": {"p": {"vcpu": 9}}, "use_prototype": "p"})),
        Just(json!({"hypervisors": {"x": {"host": "b"}}, "use_hypervisor": "x"})),
        Just(json!({"hypervisors": {"h": {"host": "c"}, "x": {}}})),
        Just(json!({"use_hypervisor": "h", "filter_hypervisors_allow": ["h"]})),
        Just(json!({"use_hypervisor": null, "memory": null})),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let node = 0..64_usize;
    let event = prop_oneof![
        Just(Event::Deploy),
        Just(Event::Undeploy),
        Just(Event::ConnectionLost),
        Just(Event::Reconnected),
        Just(Event::MachineMissing),
        Just(Event::Deprovision),
    ];
    prop_oneof![
        3 => (node.clone(), 0..6_u8, definition()).prop_map(|(n, name, d)| Edit::Folder(n, name, d)),
        3 => (node.clone(), 0..6_u8, definition())
            .prop_map(|(n, name, d)| Edit::Provision(n, name, d)),
        4 => (node.clone(), definition()).prop_map(|(n, d)| Edit::Define(n, d)),
        4 => (node.clone(), node.clone(), 0..6_u8).prop_map(|(n, to, name)| Edit::Move(n, to, name)),
        2 => node.clone().prop_map(Edit::Remove),
        3 => (node.clone(), any::<u8>()).prop_map(|(n, m)| Edit::Machine(n, m)),
        3 => (node.clone(), event).prop_map(|(n, e)| Edit::Event(n, e)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, some)| Edit::LastError(n, some)),
        3 => (node, 0..3_u8, 0..5_u8).prop_map(|(n, subject, role)| Edit::Grant(n, subject, role)),
    ]
}

/// Makes it, with uids that follow from `next`.
fn apply(tree: &mut Tree, edit: &Edit, next: &mut u128) -> Result<Change, EditError> {
    let nodes: Vec<_> = tree.walk(tree.root())?.map(|node| node.uid).collect();
    let pick = |at: usize| nodes[at % nodes.len()];
    let mut uids = || {
        *next += 1;
        Uuid::from_u128(*next)
    };
    let parse = |document: &Value| enginehouse_tree::Definition::from_json(document).unwrap();
    match edit {
        Edit::Folder(at, name, document) => {
            tree.create_folder(pick(*at), &format!("f{name}"), parse(document), &mut uids)
        }
        Edit::Provision(at, name, document) => {
            tree.provision(pick(*at), &format!("f{name}"), parse(document), &mut uids)
        }
        Edit::Define(at, document) => {
            tree.set_definition(pick(*at), parse(document), None, &mut uids)
        }
        Edit::Move(at, to, name) => tree.rename(pick(*at), pick(*to), &format!("f{name}")),
        Edit::Remove(at) => tree.remove_folder(pick(*at)),
        Edit::Machine(at, machine) => {
            let machine = MachineUid::from_uuid(Uuid::from_u128(u128::from(*machine)));
            tree.set_machine(pick(*at), Some(machine))
        }
        Edit::Event(at, event) => tree.transition(pick(*at), *event),
        Edit::LastError(at, some) => {
            tree.set_last_error(pick(*at), some.then(|| "failed".to_owned()))
        }
        Edit::Grant(at, subject, role) => {
            let mut grants = tree.grants_on(pick(*at))?.clone();
            let roles = Role::ALL.get(usize::from(*role)).into_iter().copied();
            let subject = ["ann", "bob", "dba"][usize::from(*subject)];
            grants.insert(subject.parse().unwrap(), roles.collect());
            tree.set_grants(pick(*at), grants)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is edited: looking at it changes nothing, and taking the edits back, one by one or
    /// all at once, gives what was there, computed definitions, uids, revisions and order included.
    #[test]
    fn edits_that_are_taken_back_leave_nothing(
        edits in prop::collection::vec(edit(), 1..40),
        at_once in any::<bool>(),
    ) {
        let mut estate = estate();
        let mut next = 1000;
        let mut changes = Vec::new();
        let mut pictures = Vec::new();
        let mut taken = 0;
        for edit in &edits {
            let before = estate.whole();
            let mut uids = next;
            let looked = estate.tree.preview(|tree| apply(tree, edit, &mut uids));
            prop_assert_eq!(&estate.whole(), &before, "looking at {:?}", edit);
            let computed = estate.tree.computations();
            match apply(&mut estate.tree, edit, &mut next) {
                Ok(change) => {
                    taken += 1;
                    let looked = looked.unwrap();
                    let cost = estate.tree.computations() - computed;
                    let after = usize::try_from(cost).unwrap();
                    // What was computed was looked at, and a removed node was.
                    prop_assert_eq!(looked.touched.len(), after + change.removed.len());
                    pictures.push(before);
                    changes.push(change);
                    let reloaded = estate.reloaded();
                    prop_assert_eq!(reloaded.picture(), estate.picture());
                }
                Err(error) => {
                    prop_assert_eq!(looked.unwrap_err(), error);
                    prop_assert_eq!(&estate.whole(), &before, "refusing {:?}", edit);
                }
            }
        }
        prop_assert_eq!(taken, changes.len());
        if at_once {
            if let Some(first) = pictures.first() {
                let all = changes.into_iter().reduce(Change::and).unwrap();
                estate.tree.revert(all).unwrap();
                prop_assert_eq!(&estate.whole(), first);
            }
        } else {
            for (change, before) in changes.into_iter().zip(pictures).rev() {
                estate.tree.revert(change).unwrap();
                prop_assert_eq!(&estate.whole(), &before);
            }
        }
    }
}
