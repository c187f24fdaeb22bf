//! The cascade against a model that is too slow to use and too simple to be wrong: all that was
//! ever said of a value, in order, read from the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::common::Estate;

/// Something that a level, or a prototype it names, says.
enum Said {
    Value(Vec<String>, Value),
    /// There is a disk of this name, whatever its fields.
    Exists(Vec<String>),
    /// Nothing of all that begins so counts.
    Unset(Vec<String>),
    /// `use_prototype: null`
    ForgetPrototypes,
}

struct Saying {
    said: Said,
    origin: String,
    via: bool,
}

fn say_all(values: &Value, origin: &str, via: bool, all: &mut Vec<Saying>) {
    let mut say = |said| {
        all.push(Saying {
            said,
            origin: origin.to_owned(),
            via,
        });
    };
    for (key, value) in values.as_object().unwrap() {
        let path = vec![key.clone()];
        match (key.as_str(), value) {
            ("prototypes" | "use_prototype", _) => {}
            (_, Value::Null) => say(Said::Unset(path)),
            ("labels" | "settings" | "disks", Value::Object(entries)) => {
                for (name, entry) in entries {
                    let path = vec![key.clone(), name.clone()];
                    match entry {
                        Value::Null => say(Said::Unset(path)),
                        Value::Object(fields) if key == "disks" => {
                            say(Said::Exists(path.clone()));
                            for (field, value) in fields {
                                let mut path = path.clone();
                                path.push(field.clone());
                                if value.is_null() {
                                    say(Said::Unset(path));
                                } else {
                                    say(Said::Value(path, value.clone()));
                                }
                            }
                        }
                        other => say(Said::Value(path, other.clone())),
                    }
                }
            }
            (_, other) => say(Said::Value(path, other.clone())),
        }
    }
}

/// All that is said on the way from the root to the last of the levels.
fn sayings(levels: &[(String, Value)]) -> Vec<Saying> {
    let mut all = Vec::new();
    let mut prototypes: BTreeMap<String, (Value, String)> = BTreeMap::new();
    for (at, level) in levels {
        if let Some(defined) = level.get("prototypes").and_then(Value::as_object) {
            for (name, values) in defined {
                prototypes.insert(name.clone(), (values.clone(), at.clone()));
            }
        }
        match level.get("use_prototype") {
            None => {}
            Some(Value::Null) => all.push(Saying {
                said: Said::ForgetPrototypes,
                origin: at.clone(),
                via: false,
            }),
            Some(name) => {
                let name = name.as_str().unwrap();
                let (values, defined_at) = &prototypes[name];
                let origin = format!("{at} via {name} ({defined_at})");
                say_all(values, &origin, true, &mut all);
            }
        }
        say_all(level, at, false, &mut all);
    }
    all
}

fn expected(levels: &[(String, Value)]) -> BTreeMap<String, (String, String)> {
    let all = sayings(levels);
    let mut result = BTreeMap::new();
    let mut disks_with_fields = BTreeSet::new();
    let mut paths: BTreeSet<&Vec<String>> = BTreeSet::new();
    let mut disks: BTreeSet<&Vec<String>> = BTreeSet::new();
    for saying in &all {
        match &saying.said {
            Said::Value(path, _) => paths.extend([path]),
            Said::Exists(path) => disks.extend([path]),
            Said::Unset(_) | Said::ForgetPrototypes => {}
        }
    }
    for path in paths {
        let mut forgotten = false;
        for saying in all.iter().rev() {
            match &saying.said {
                Said::ForgetPrototypes => forgotten = true,
                Said::Unset(unset) if path.starts_with(unset) => break,
                Said::Value(said, _) if said == path && forgotten && saying.via => break,
                Said::Value(said, value) if said == path => {
                    let text = value.as_str().map_or(value.to_string(), str::to_owned);
                    result.insert(path.join("."), (text, saying.origin.clone()));
                    disks_with_fields.insert(path[..path.len() - 1].to_vec());
                    break;
                }
                Said::Value(..) | Said::Unset(_) | Said::Exists(_) => {}
            }
        }
    }
    for path in disks {
        if disks_with_fields.contains(path) {
            continue;
        }
        // A node's own word that there is one counts more than a prototype's.
        let mut origin: Option<(&str, bool)> = None;
        for saying in &all {
            match &saying.said {
                Said::Unset(unset) if path.starts_with(unset) => origin = None,
                Said::ForgetPrototypes => origin = origin.filter(|(_, via)| !via),
                Said::Exists(said)
                    if said == path && origin.is_none_or(|(_, via)| via && !saying.via) =>
                {
                    origin = Some((&saying.origin, saying.via));
                }
                Said::Exists(_) | Said::Unset(_) | Said::Value(..) => {}
            }
        }
        if let Some((origin, _)) = origin {
            result.insert(path.join("."), ("{}".to_owned(), origin.to_owned()));
        }
    }
    result
}

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
    ]
}

fn machine() -> BoxedStrategy<Value> {
    object(machine_members())
}

/// One level; the root defines both prototypes, so that every name resolves.
fn level(root: bool) -> BoxedStrategy<Value> {
    let defined = || {
        if root {
            machine().prop_map(Some).boxed()
        } else {
            prop_oneof![2 => Just(None), 1 => machine().prop_map(Some)].boxed()
        }
    };
    let mut members = machine_members();
    members.push(("use_prototype", maybe("[pq]".prop_map(Value::from))));
    members.push((
        "prototypes",
        object(vec![("p", defined()), ("q", defined())])
            .prop_map(Some)
            .boxed(),
    ));
    object(members)
}

fn check(estate: &Estate, levels: &[(String, Value)]) -> Result<(), TestCaseError> {
    for depth in 1..=levels.len() {
        let name = &levels[depth - 1].0;
        let found: BTreeMap<String, (String, String)> = estate
            .computed(name)
            .origins()
            .into_iter()
            .filter(|line| line.key != "use_prototype")
            .map(|line| (line.key, (line.value, line.origin.to_string())))
            .collect();
        prop_assert_eq!(found, expected(&levels[..depth]), "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cascade_agrees_with_its_model_also_after_edits(
        root in level(true),
        folders in prop::collection::vec(level(false), 1..4),
        edits in prop::collection::vec((any::<prop::sample::Index>(), level(false), level(true)), 0..3),
    ) {
        let mut estate = Estate::new();
        estate.define("/", root.clone());
        let mut levels = vec![("/".to_owned(), root)];
        let mut name = String::new();
        for (at, folder) in folders.iter().enumerate() {
            name.push_str(&format!("/f{at}"));
            if at + 1 == folders.len() {
                estate.provision(&name, folder.clone());
            } else {
                estate.folder(&name, folder.clone());
            }
            levels.push((name.clone(), folder.clone()));
        }
        check(&estate, &levels)?;
        for (at, elsewhere, at_root) in edits {
            let at = at.index(levels.len());
            levels[at].1 = if at == 0 { at_root } else { elsewhere };
            let (name, definition) = levels[at].clone();
            estate.define(&name, definition);
            check(&estate, &levels)?;
        }
        prop_assert_eq!(estate.reloaded().picture(), estate.picture());
    }
}
