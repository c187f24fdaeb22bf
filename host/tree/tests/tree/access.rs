//! What grants add up to, against a naive model that knows full names and nothing of nodes.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::{Grants, Permissions, Right, Role, Subject, Tree};
use proptest::prelude::*;
use serde_json::json;

use crate::common::Estate;

const NAMES: [&str; 3] = ["a", "b", "c"];
const SUBJECTS: [&str; 3] = ["ann", "bob", "ci@build"];

/// One edit, with numbers that pick among what is there.
#[derive(Clone, Debug)]
enum Edit {
    Folder {
        below: usize,
        name: usize,
    },
    Descriptor {
        below: usize,
        name: usize,
    },
    Grant {
        node: usize,
        subject: usize,
        roles: u8,
    },
    Move {
        node: usize,
        below: usize,
        name: usize,
    },
    Remove {
        node: usize,
    },
    Define {
        node: usize,
        vcpu: u32,
    },
    /// The edit is made and taken back.
    Revert(Box<Edit>),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let pick = 0_usize..64;
    let name = 0..NAMES.len();
    let one = prop_oneof![
        4 => (pick.clone(), name.clone()).prop_map(|(below, name)| Edit::Folder { below, name }),
        2 => (pick.clone(), name.clone()).prop_map(|(below, name)| Edit::Descriptor { below, name }),
        5 => (pick.clone(), 0..SUBJECTS.len(), 0_u8..16)
            .prop_map(|(node, subject, roles)| Edit::Grant { node, subject, roles }),
        2 => (pick.clone(), pick.clone(), name)
            .prop_map(|(node, below, name)| Edit::Move { node, below, name }),
        1 => pick.clone().prop_map(|node| Edit::Remove { node }),
        1 => (pick, 1_u32..9).prop_map(|(node, vcpu)| Edit::Define { node, vcpu }),
    ];
    let one = one.prop_recursive(1, 2, 1, |edit| {
        edit.prop_map(|edit| Edit::Revert(edit.into()))
    });
    prop::collection::vec(one, 0..60)
}

fn roles(bits: u8) -> BTreeSet<Role> {
    let given = Role::ALL.into_iter().enumerate();
    given
        .filter(|(at, _)| bits & (1 << at) != 0)
        .map(|(_, role)| role)
        .collect()
}

/// Full name -> grants of that node.
type Model = BTreeMap<FullName, Grants>;

fn names(tree: &Tree) -> Vec<(FullName, NodeUid)> {
    let walk = tree.walk(tree.root()).unwrap();
    walk.map(|node| (tree.full_name(node.uid).unwrap().clone(), node.uid))
        .collect()
}

fn carry_out(estate: &mut Estate, model: &mut Model, edit: &Edit) {
    let all = names(&estate.tree);
    let pick = |at: usize| all[at % all.len()].clone();
    match edit {
        Edit::Folder { below, name } | Edit::Descriptor { below, name } => {
            let Ok(path) = pick(*below).0.child(NAMES[*name]) else {
                return;
            };
            let made = if matches!(edit, Edit::Folder { .. }) {
                estate.try_folder(&path.to_string(), json!({})).is_ok()
            } else {
                let (parent, mut next) = (pick(*below).1, all.len() as u128 + 7_000);
                // Uids of removed nodes may come again: what they were granted must not.
                while estate
                    .tree
                    .node(NodeUid::from_uuid(uuid::Uuid::from_u128(next)))
                    .is_ok()
                {
                    next += 1;
                }
                let mut uids = || uuid::Uuid::from_u128(next);
                let definition = enginehouse_tree::Definition::default();
                let tree = &mut estate.tree;
                tree.provision(parent, NAMES[*name], definition, &mut uids)
                    .is_ok()
            };
            if made {
                model.insert(path, Grants::new());
            }
        }
        Edit::Grant {
            node,
            subject,
            roles: bits,
        } => {
            let (path, uid) = pick(*node);
            let grants = model.entry(path).or_default();
            grants.insert(SUBJECTS[*subject].parse().unwrap(), roles(*bits));
            estate.apply(|tree| tree.set_grants(uid, grants.clone()));
        }
        Edit::Move { node, below, name } => {
            let ((from, uid), (to, parent)) = (pick(*node), pick(*below));
            if estate.tree.rename(uid, parent, NAMES[*name]).is_ok() {
                let to = to.child(NAMES[*name]).unwrap();
                let moved: Vec<FullName> = model
                    .keys()
                    .filter(|path| path.is_within(&from))
                    .cloned()
                    .collect();
                for path in moved {
                    let grants = model.remove(&path).unwrap();
                    let mut new = to.clone();
                    for segment in path.segments().iter().skip(from.segments().len()) {
                        new = new.child(segment).unwrap();
                    }
                    model.insert(new, grants);
                }
            }
        }
        Edit::Remove { node } => {
            let (path, uid) = pick(*node);
            let tree = &mut estate.tree;
            if tree.remove_folder(uid).is_ok() || tree.deprovision(uid).is_ok() {
                model.remove(&path);
            }
        }
        Edit::Define { node, vcpu } => {
            let _ = estate.try_define(&pick(*node).0.to_string(), json!({ "vcpu": vcpu }));
        }
        Edit::Revert(edit) => {
            let before = estate.picture();
            let (path, uid) = match &**edit {
                Edit::Grant { node, .. } | Edit::Remove { node } | Edit::Move { node, .. } => {
                    pick(*node)
                }
                _ => return,
            };
            let tree = &mut estate.tree;
            let change = match &**edit {
                Edit::Grant {
                    subject,
                    roles: bits,
                    ..
                } => {
                    let subject: Subject = SUBJECTS[*subject].parse().unwrap();
                    tree.set_grants(uid, [(subject, roles(*bits))].into())
                }
                Edit::Remove { .. } if path.is_root() => return,
                Edit::Remove { .. } => tree.remove_folder(uid).or_else(|_| tree.deprovision(uid)),
                Edit::Move { below, name, .. } => tree.rename(uid, pick(*below).1, NAMES[*name]),
                _ => return,
            };
            if let Ok(change) = change {
                tree.revert(change).unwrap();
            }
            assert_eq!(estate.picture(), before);
        }
    }
}

fn expected(model: &Model, path: &FullName, subject: &Subject) -> Permissions {
    let above = model.iter().filter(|(folder, _)| path.is_within(folder));
    let roles = above
        .filter_map(|(_, grants)| grants.get(subject))
        .flatten();
    roles.flat_map(|role| role.permissions().iter()).collect()
}

fn agree(tree: &Tree, model: &Model) {
    let all = names(tree);
    assert_eq!(all.len(), model.len());
    for subject in SUBJECTS {
        let subject: Subject = subject.parse().unwrap();
        let holds = |path: &FullName| model[path].get(&subject).is_some_and(|r| !r.is_empty());
        let ways = tree.ways(&subject);
        for (path, uid) in &all {
            let found = tree.permissions(&subject, *uid).unwrap();
            assert_eq!(
                found,
                expected(model, path, &subject),
                "{subject} on {path}"
            );
            let on_the_way = model
                .keys()
                .any(|p| p != path && p.is_within(path) && holds(p));
            assert_eq!(
                ways.contains(uid),
                on_the_way,
                "{subject}'s way over {path}"
            );
        }
        let granted: BTreeSet<NodeUid> = tree.granted_to(&subject).collect();
        let holders = all
            .iter()
            .filter(|(path, _)| holds(path))
            .map(|(_, uid)| *uid);
        assert_eq!(granted, holders.collect());
        assert_eq!(tree.has_grants(&subject), !granted.is_empty());
    }
    for (path, uid) in &all {
        let rights = tree.subjects_with_rights(*uid).unwrap();
        for (subject, rights) in &rights {
            assert!(!rights.is_empty());
            let given = rights
                .iter()
                .flat_map(|right| right.role.permissions().iter());
            assert_eq!(
                given.collect::<Permissions>(),
                expected(model, path, subject)
            );
            for Right { role, from } in rights {
                let from = tree.full_name(*from).unwrap();
                assert!(path.is_within(from) && model[from][subject].contains(role));
            }
        }
        let nobody = SUBJECTS
            .iter()
            .filter(|subject| !rights.contains_key(**subject));
        for subject in nobody {
            assert!(expected(model, path, &subject.parse().unwrap()).is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn permissions_are_those_of_the_naive_model_after_any_edits(edits in edits()) {
        let mut estate = Estate::new();
        let mut model = Model::from([(FullName::root(), Grants::new())]);
        for edit in &edits {
            carry_out(&mut estate, &mut model, edit);
            agree(&estate.tree, &model);
        }
        agree(&estate.reloaded().tree, &model);
    }
}

#[test]
fn a_change_of_grants_computes_nothing_and_keeps_the_revision() {
    let mut estate = Estate::new();
    estate.folder("/web", json!({}));
    estate.provision("/web/vm1", json!({}));
    let (computations, web) = (estate.tree.computations(), estate.uid("/web"));
    let revision = estate.tree.node(web).unwrap().revision;
    let grants: Grants = [("ann".parse().unwrap(), [Role::Operator].into())].into();
    let change = estate.tree.set_grants(web, grants.clone()).unwrap();
    assert_eq!(
        (change.written.as_slice(), change.removed.len()),
        ([web].as_slice(), 0)
    );
    assert!(estate.tree.set_grants(web, grants).unwrap().is_empty());
    assert_eq!(estate.tree.computations(), computations);
    assert_eq!(estate.tree.node(web).unwrap().revision, revision);
}

#[test]
fn the_installations_own_subject_cannot_be_locked_out() {
    let estate = Estate::new();
    let root = estate.tree.root();
    let own = Subject::installation();
    assert_eq!(estate.tree.permissions(&own, root), Ok(Permissions::ALL));
    assert!(estate.tree.has_grants(&own));
    let gone = NodeUid::from_uuid(uuid::Uuid::from_u128(99));
    assert!(estate.tree.permissions(&own, gone).is_err());
}

#[test]
fn who_can_grant_is_named_nearest_first() {
    let mut estate = Estate::new();
    estate.folder("/web", json!({}));
    let (root, web) = (estate.tree.root(), estate.uid("/web"));
    let grants = |subjects: &[(&str, Role)]| -> Grants {
        let given = subjects.iter();
        given
            .map(|(subject, role)| (subject.parse().unwrap(), [*role].into()))
            .collect()
    };
    let on_root = grants(&[("root1", Role::Admin), ("root2", Role::Admin)]);
    estate.apply(|tree| tree.set_grants(root, on_root));
    let on_web = grants(&[("op", Role::Operator), ("web", Role::Admin)]);
    estate.apply(|tree| tree.set_grants(web, on_web));
    let asked = |most| -> Vec<String> {
        let subjects = estate.tree.may_grant(web, most);
        subjects.iter().map(ToString::to_string).collect()
    };
    assert_eq!(asked(2), ["web", "root1"]);
    assert_eq!(asked(9), ["web", "root1", "root2"]);
}
