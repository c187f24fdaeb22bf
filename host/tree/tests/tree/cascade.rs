//! The cascade against its reference: trees of random shape, edited, moved and pruned at random.
//! What an edit computes must be what a fresh start computes, and both what the rules say; what the
//! rules refuse must be refused and change nothing.

use std::collections::BTreeMap;

use enginehouse_model::FullName;
use enginehouse_tree::Definition;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use crate::common::Estate;
use crate::reference::{Lines, expected};

/// Absent, `null` or a value.
fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Value::Null)),
        3 => value.prop_map(Some),
    ]
    .boxed()
}

fn object(members: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (keys, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    values
        .prop_map(move |values| {
            let members: Map<String, Value> = keys
                .iter()
                .zip(values)
                .filter_map(|(key, value)| value.map(|value| ((*key).to_owned(), value)))
                .collect();
            Value::Object(members)
        })
        .boxed()
}

fn size() -> BoxedStrategy<Value> {
    (1..5u32)
        .prop_map(|gib| json!(format!("{gib} GiB")))
        .boxed()
}

fn disk() -> BoxedStrategy<Value> {
    object(vec![
        ("size", maybe(size())),
        ("keep", maybe(any::<bool>().prop_map(Value::from))),
    ])
}

fn nic() -> BoxedStrategy<Value> {
    object(vec![
        ("network", maybe("[xyz]".prop_map(Value::from))),
        ("vlan", maybe(number())),
    ])
}

/// The domain is one value: none of it comes from elsewhere.
fn guest() -> BoxedStrategy<Value> {
    let word = || prop_oneof![Just(None), "[xyz]".prop_map(|text| Some(Value::from(text)))].boxed();
    let domain = object(vec![("domain", word()), ("account", word())]);
    object(vec![
        ("hostname", maybe("[xyz]".prop_map(Value::from))),
        ("domain", maybe(domain)),
    ])
}

fn number() -> BoxedStrategy<Value> {
    (1..5u32).prop_map(Value::from).boxed()
}

fn machine_members() -> Vec<(&'static str, BoxedStrategy<Option<Value>>)> {
    let label = || maybe("[xyz]".prop_map(Value::from));
    vec![
        ("vcpu", maybe(number())),
        ("memory", maybe(size())),
        (
            "labels",
            maybe(object(vec![("a", label()), ("b", label())])),
        ),
        ("settings", maybe(object(vec![("s", maybe(number()))]))),
        (
            "disks",
            maybe(object(vec![("r", maybe(disk())), ("d", maybe(disk()))])),
        ),
        ("nics", maybe(object(vec![("n", maybe(nic()))]))),
        (
            "placement",
            maybe(object(vec![("pool", label()), ("host", label())])),
        ),
        ("guest", maybe(guest())),
    ]
}

fn machine() -> BoxedStrategy<Value> {
    object(machine_members())
}

/// Absent, `null` or entries; `null` for the whole only where it says so.
fn entries(
    names: &'static [&'static str],
    entry: BoxedStrategy<Value>,
) -> BoxedStrategy<Option<Value>> {
    let one = move || {
        prop_oneof![4 => Just(None), 1 => Just(Some(Value::Null)), 3 => entry.clone().prop_map(Some)].boxed()
    };
    let some = object(names.iter().map(|name| (*name, one())).collect());
    prop_oneof![5 => Just(None), 4 => some.prop_map(Some), 1 => Just(Some(Value::Null))].boxed()
}

fn hypervisor() -> BoxedStrategy<Value> {
    let word = |word: &'static str| prop_oneof![Just(None), Just(Some(Value::from(word)))].boxed();
    object(vec![
        ("type", word("fake")),
        (
            "host",
            prop_oneof![Just(None), "[ab]".prop_map(|host| Some(Value::from(host)))].boxed(),
        ),
        ("user", word("root")),
        ("password", word("p")),
    ])
}

fn filter() -> BoxedStrategy<Option<Value>> {
    let names = prop::collection::vec("[hik]".prop_map(Value::from), 0..4).prop_map(Value::from);
    prop_oneof![6 => Just(None), 1 => Just(Some(Value::Null)), 1 => names.prop_map(Some)].boxed()
}

fn named(names: &'static str) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Value::Null)),
        3 => names.prop_map(|name| Some(Value::from(name))),
    ]
    .boxed()
}

/// One level. Names that it uses need not be defined.
fn level() -> BoxedStrategy<Value> {
    let mut members = machine_members();
    members.push(("protect", maybe(any::<bool>().prop_map(Value::from))));
    members.push(("prototypes", entries(&["p", "q"], machine())));
    members.push(("use_prototype", named("[pq]")));
    members.push(("hypervisors", entries(&["h", "i"], hypervisor())));
    members.push(("use_hypervisor", named("[hi]")));
    members.push(("filter_hypervisors_allow", filter()));
    object(members)
}

/// A level that says little: most nodes of a real tree.
fn slight() -> BoxedStrategy<Value> {
    object(vec![
        ("vcpu", maybe(number())),
        ("use_prototype", named("[pq]")),
        ("disks", maybe(object(vec![("r", maybe(disk()))]))),
    ])
}

/// The root: it defines all names, so that most of what follows resolves.
fn root() -> BoxedStrategy<Value> {
    let defined = object(vec![
        ("p", machine().prop_map(Some).boxed()),
        ("q", machine().prop_map(Some).boxed()),
    ]);
    let connections = object(vec![
        ("h", hypervisor().prop_map(Some).boxed()),
        ("i", hypervisor().prop_map(Some).boxed()),
    ]);
    (level(), defined, connections)
        .prop_map(|(mut level, prototypes, hypervisors)| {
            level["prototypes"] = prototypes;
            level["hypervisors"] = hypervisors;
            level
        })
        .boxed()
}

#[derive(Clone, Debug)]
enum Step {
    /// Below any node, or below the last.
    Create {
        below: Option<Index>,
        is_folder: bool,
        level: Value,
    },
    Edit {
        at: Index,
        level: Value,
    },
    EditRoot(Value),
    Move {
        at: Index,
        below: Index,
    },
    Remove(Index),
}

fn step() -> BoxedStrategy<Step> {
    let any_level = || prop_oneof![2 => slight(), 1 => level()];
    prop_oneof![
        5 => (any::<Index>(), prop::bool::weighted(0.6), any_level())
            .prop_map(|(below, is_folder, level)| Step::Create { below: Some(below), is_folder, level }),
        3 => (any::<Index>(), any_level()).prop_map(|(at, level)| Step::Edit { at, level }),
        1 => root().prop_map(Step::EditRoot),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(at, below)| Step::Move { at, below }),
        1 => any::<Index>().prop_map(Step::Remove),
    ]
    .boxed()
}

/// What the tree must hold: full name -> whether it is a folder, and its definition.
#[derive(Clone)]
struct Model(BTreeMap<FullName, (bool, Value)>);

impl Model {
    fn pick(&self, at: &Index) -> FullName {
        self.0.keys().nth(at.index(self.0.len())).unwrap().clone()
    }

    fn pick_or_last(&self, at: Option<&Index>) -> FullName {
        match at {
            Some(at) => self.pick(at),
            None => self.0.keys().next_back().unwrap().clone(),
        }
    }

    fn levels(&self, name: &FullName) -> Vec<(String, Value)> {
        let mut levels = Vec::new();
        let mut next = Some(name.clone());
        while let Some(name) = next {
            levels.push((name.to_string(), self.0[&name].1.clone()));
            next = name.parent();
        }
        levels.reverse();
        levels
    }

    /// All computed definitions; none where one does not resolve.
    fn expected(&self) -> Option<BTreeMap<String, Lines>> {
        let all = self.0.iter().map(|(name, (is_folder, _))| {
            let lines = expected(&self.levels(name), *is_folder)?;
            Some((name.to_string(), lines))
        });
        all.collect()
    }

    /// The tree after a step; none where the step itself is not possible.
    fn after(&self, step: &Step, number: usize) -> Option<Self> {
        let mut after = self.clone();
        match step {
            Step::Create {
                below,
                is_folder,
                level,
            } => {
                let parent = self.pick_or_last(below.as_ref());
                let name = parent.child(&format!("n{number}")).unwrap();
                after.0.insert(name, (*is_folder, level.clone()));
                self.0[&parent].0.then_some(after)
            }
            Step::Edit { at, level } => {
                after.0.get_mut(&self.pick(at))?.1 = level.clone();
                Some(after)
            }
            Step::EditRoot(level) => {
                after.0.get_mut(&FullName::root())?.1 = level.clone();
                Some(after)
            }
            Step::Move { at, below } => {
                let (from, parent) = (self.pick(at), self.pick(below));
                if from.is_root() || parent.is_within(&from) || !self.0[&parent].0 {
                    return None;
                }
                let to = parent.child(&format!("n{number}")).unwrap();
                let moved = |name: &FullName| {
                    let rest = name.as_str().strip_prefix(from.as_str()).unwrap();
                    format!("{to}{rest}").parse().unwrap()
                };
                after.0 = self
                    .0
                    .iter()
                    .map(|(name, node)| {
                        let name = if name.is_within(&from) {
                            moved(name)
                        } else {
                            name.clone()
                        };
                        (name, node.clone())
                    })
                    .collect();
                Some(after)
            }
            Step::Remove(at) => {
                let name = self.pick(at);
                after.0.remove(&name);
                let is_empty = !after.0.keys().any(|other| other.is_within(&name));
                (is_empty && !name.is_root()).then_some(after)
            }
        }
    }
}

/// The same step on the tree; says whether it was made.
fn take(estate: &mut Estate, model: &Model, step: &Step, number: usize) -> bool {
    let define = |estate: &mut Estate, name: &FullName, level: &Value| {
        estate.try_define(&name.to_string(), level.clone()).is_ok()
    };
    match step {
        Step::Create {
            below,
            is_folder,
            level,
        } => {
            let parent = estate.uid(&model.pick_or_last(below.as_ref()).to_string());
            let definition = Definition::from_json(level).unwrap();
            let name = format!("n{number}");
            let made = if *is_folder {
                estate.with_uids(|tree, uids| tree.create_folder(parent, &name, definition, uids))
            } else {
                estate.with_uids(|tree, uids| tree.provision(parent, &name, definition, uids))
            };
            made.is_ok()
        }
        Step::Edit { at, level } => define(estate, &model.pick(at), level),
        Step::EditRoot(level) => define(estate, &FullName::root(), level),
        Step::Move { at, below } => {
            let uid = estate.uid(&model.pick(at).to_string());
            let parent = estate.uid(&model.pick(below).to_string());
            estate
                .tree
                .rename(uid, parent, &format!("n{number}"))
                .is_ok()
        }
        Step::Remove(at) => {
            let name = model.pick(at);
            let uid = estate.uid(&name.to_string());
            if model.0[&name].0 {
                estate.tree.remove_folder(uid).is_ok()
            } else {
                estate.tree.deprovision(uid).is_ok()
            }
        }
    }
}

fn found(estate: &Estate) -> BTreeMap<String, Lines> {
    let nodes = estate.tree.walk(estate.tree.root()).unwrap();
    nodes
        .map(|node| {
            let computed = estate.tree.computed(node.uid).unwrap();
            let lines = computed.origins().into_iter();
            let lines = lines.map(|line| (line.key, (line.value, line.origin.to_string())));
            (computed.full_name().to_string(), lines.collect())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cascade_agrees_with_its_reference_whatever_is_done_to_the_tree(
        first in root(),
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let mut estate = Estate::new();
        let mut model = Model([(FullName::root(), (true, json!({})))].into());
        let steps = std::iter::once(Step::EditRoot(first)).chain(steps);
        for (number, step) in steps.enumerate() {
            let before = estate.picture();
            let after = model.after(&step, number);
            let expected = after.as_ref().and_then(Model::expected);
            let made = take(&mut estate, &model, &step, number);
            prop_assert_eq!(made, expected.is_some(), "{:?}", step);
            match (after, expected) {
                (Some(after), Some(expected)) => {
                    prop_assert_eq!(found(&estate), expected, "{:?}", step);
                    prop_assert_eq!(estate.reloaded().picture(), estate.picture());
                    model = after;
                }
                _ => prop_assert_eq!(estate.picture(), before, "refused, but something changed"),
            }
        }
    }

    /// One line of folders in which every level says much.
    #[test]
    fn the_cascade_agrees_with_its_reference_level_by_level(
        first in root(),
        levels in prop::collection::vec(level(), 1..5),
    ) {
        let mut estate = Estate::new();
        let mut model = Model([(FullName::root(), (true, json!({})))].into());
        let steps = levels.into_iter().map(|level| Step::Create { below: None, is_folder: true, level });
        for (number, step) in std::iter::once(Step::EditRoot(first)).chain(steps).enumerate() {
            let after = model.after(&step, number);
            let expected = after.as_ref().and_then(Model::expected);
            prop_assert_eq!(take(&mut estate, &model, &step, number), expected.is_some());
            if let (Some(after), Some(expected)) = (after, expected) {
                prop_assert_eq!(found(&estate), expected);
                model = after;
            }
        }
    }
}
