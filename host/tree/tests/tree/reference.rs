//! What a tree must compute, written from the rules and too slow to use: for one node, all that was
//! ever said on the way from the root, in order, read from the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Name and definition of each node on the way, the root first.
pub type Levels = [(String, Value)];

/// Key -> value and origin, as `show --origins` prints them.
pub type Lines = BTreeMap<String, (String, String)>;

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

/// How a key is inherited.
enum Kind {
    /// Replaced.
    Whole,
    /// By key, each value replaced.
    Map,
    /// By key, and it is there also without any.
    Record,
    /// By name, then field by field.
    Records,
    /// Not of the machine.
    Other,
}

fn kind(key: &str) -> Kind {
    match key {
        "labels" | "settings" => Kind::Map,
        "placement" | "guest" => Kind::Record,
        "disks" | "nics" => Kind::Records,
        "hypervisors"
        | "use_hypervisor"
        | "filter_hypervisors_allow"
        | "prototypes"
        | "use_prototype" => Kind::Other,
        _ => Kind::Whole,
    }
}

fn say_all(values: &Value, origin: &str, via: bool, all: &mut Vec<Saying>) {
    let mut say = |said| {
        all.push(Saying {
            said,
            origin: origin.to_owned(),
            via,
        });
    };
    let mut record = |path: Vec<String>, fields: &Map<String, Value>| {
        say(Said::Exists(path.clone()));
        for (field, value) in fields {
            let mut path = path.clone();
            path.push(field.clone());
            say(match value {
                Value::Null => Said::Unset(path),
                value => Said::Value(path, value.clone()),
            });
        }
    };
    let mut later = Vec::new();
    for (key, value) in values.as_object().unwrap() {
        let path = vec![key.clone()];
        match (kind(key), value) {
            (Kind::Other, _) => {}
            (_, Value::Null) => later.push(Said::Unset(path)),
            (Kind::Whole, value) => later.push(Said::Value(path, value.clone())),
            (Kind::Record, fields) => record(path, fields.as_object().unwrap()),
            (Kind::Map | Kind::Records, entries) => {
                for (name, entry) in entries.as_object().unwrap() {
                    let path = vec![key.clone(), name.clone()];
                    match (kind(key), entry) {
                        (_, Value::Null) => later.push(Said::Unset(path)),
                        (Kind::Records, fields) => record(path, fields.as_object().unwrap()),
                        (_, value) => later.push(Said::Value(path, value.clone())),
                    }
                }
            }
        }
    }
    // One level says each thing once: the order among them does not matter.
    later.into_iter().for_each(say);
}

/// Entries that are inherited by name and whole: name -> entry and where it is defined.
type Defined = BTreeMap<String, (Value, String)>;

fn define(level: &Value, key: &str, at: &str, defined: &mut Defined) {
    match level.get(key) {
        None => {}
        Some(Value::Null) => defined.clear(),
        Some(entries) => {
            for (name, entry) in entries.as_object().unwrap() {
                match entry {
                    Value::Null => _ = defined.remove(name),
                    entry => _ = defined.insert(name.clone(), (entry.clone(), at.to_owned())),
                }
            }
        }
    }
}

/// All that is said of the machine on the way from the root to the last of the levels; none where a
/// prototype is named that is not defined there or above.
fn sayings(levels: &Levels, lines: &mut Lines) -> Option<Vec<Saying>> {
    let mut all = Vec::new();
    let mut prototypes = Defined::new();
    for (at, level) in levels {
        define(level, "prototypes", at, &mut prototypes);
        match level.get("use_prototype") {
            None => {}
            Some(Value::Null) => {
                lines.remove("use_prototype");
                all.push(Saying {
                    said: Said::ForgetPrototypes,
                    origin: at.clone(),
                    via: false,
                });
            }
            Some(name) => {
                let name = name.as_str().unwrap();
                let (values, defined_at) = prototypes.get(name)?;
                let origin = format!("{at} via {name} ({defined_at})");
                lines.insert(
                    "use_prototype".to_owned(),
                    (name.to_owned(), origin.clone()),
                );
                say_all(values, &origin, true, &mut all);
            }
        }
        say_all(level, at, false, &mut all);
    }
    Some(all)
}

/// The hypervisor that is used; none where a name is not defined or the filter does not allow it.
fn hypervisor(levels: &Levels, is_folder: bool, lines: &mut Lines) -> Option<()> {
    let mut defined = Defined::new();
    let mut used: Option<(String, Value, String)> = None;
    let mut allowed: Option<(Vec<String>, String)> = None;
    for (depth, (at, level)) in levels.iter().enumerate() {
        define(level, "hypervisors", at, &mut defined);
        if let Some(Value::Array(names)) = level.get("filter_hypervisors_allow") {
            let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
            let names = names.filter(|name| {
                allowed
                    .as_ref()
                    .is_none_or(|(above, _)| above.contains(name))
            });
            allowed = Some((names.collect(), at.clone()));
        }
        let named = level.get("use_hypervisor");
        match named {
            None => {}
            Some(Value::Null) => used = None,
            Some(name) => {
                let name = name.as_str().unwrap();
                let (entry, defined_at) = defined.get(name)?;
                used = Some((
                    name.to_owned(),
                    entry.clone(),
                    format!("{at} via {name} ({defined_at})"),
                ));
            }
        }
        // A folder may inherit what it does not allow below it.
        let is_this_a_folder = is_folder || depth + 1 < levels.len();
        if let (Some((name, ..)), Some((allowed, _))) = (&used, &allowed)
            && !(named.is_none() && is_this_a_folder)
            && !allowed.contains(name)
        {
            return None;
        }
    }
    if let Some((names, origin)) = allowed {
        let shown = format!("[{}]", names.join(", "));
        lines.insert("filter_hypervisors_allow".to_owned(), (shown, origin));
    }
    if let Some((name, entry, origin)) = used {
        lines.insert("use_hypervisor".to_owned(), (name, origin.clone()));
        for (key, shown) in [
            ("type", "hypervisor_type"),
            ("host", "host"),
            ("user", "user"),
        ] {
            if let Some(value) = entry.get(key) {
                let value = value.as_str().unwrap().to_owned();
                lines.insert(shown.to_owned(), (value, origin.clone()));
            }
        }
        if entry.get("password").is_some() {
            lines.insert("password".to_owned(), ("(secret)".to_owned(), origin));
        }
    }
    Some(())
}

/// The computed definition of the last of the levels; none where it does not resolve.
pub fn expected(levels: &Levels, is_folder: bool) -> Option<Lines> {
    let mut result = Lines::new();
    hypervisor(levels, is_folder, &mut result)?;
    let all = sayings(levels, &mut result)?;
    let mut with_fields = BTreeSet::new();
    let mut paths: BTreeSet<&Vec<String>> = BTreeSet::new();
    let mut records: BTreeSet<&Vec<String>> = BTreeSet::new();
    for saying in &all {
        match &saying.said {
            Said::Value(path, _) => paths.extend([path]),
            Said::Exists(path) => records.extend([path]),
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
                    with_fields.insert(path[..path.len() - 1].to_vec());
                    break;
                }
                Said::Value(..) | Said::Unset(_) | Said::Exists(_) => {}
            }
        }
    }
    for path in records {
        if with_fields.contains(path) {
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
    Some(result)
}
