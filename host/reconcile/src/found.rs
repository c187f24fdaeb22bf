//! The definition of a machine that was found: what it shows, minus what it inherits.
//!
//! What is inherited and not so on the machine is written as the machine has it, or as `null`, where
//! the machine has nothing of the kind: not managed. So the definition that results is the machine, and
//! a plan has nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::Bytes;
use enginehouse_model::documents::{Config, Disk, Machine, Nic, Power, PowerState};
use serde_json::{Map, Value, json};

use crate::Rules;
use crate::field::{Field, Seen};

/// What is to be written on the descriptor of a machine that was found, where it inherits `inherited`.
///
/// Disks and nics have the provider's slots for names. How the machine was made (`base_image`,
/// `placement`, `guest`) is not in it: it cannot be seen, and changes nothing any more.
#[must_use]
pub fn definition_of(found: &Machine, inherited: &Config, rules: &Rules) -> Map<String, Value> {
    let shown = found.config.clone().unwrap_or_default();
    let mut local = Map::new();
    let mut maps: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for field in Field::all(inherited, &shown) {
        if field == Field::Name || field.is_for_creation() || rules.is_secret(&field.key()) {
            continue;
        }
        let Some(value) = written(field, found, inherited, rules) else {
            continue;
        };
        match field {
            Field::Label(name) => insert(&mut maps, "labels", name, value),
            Field::Setting(name) => insert(&mut maps, "settings", name, value),
            _ => {
                local.insert(field.key(), value);
            }
        }
    }
    if let Some(power) = power(inherited.power, found.power) {
        local.insert("power".to_owned(), power);
    }
    for slot in names(&inherited.disks, &shown.disks) {
        let (above, here) = (inherited.disks.get(slot), shown.disks.get(slot));
        if let Some(value) = of_slot(above.map(disk), here.map(disk)) {
            insert(&mut maps, "disks", slot, value);
        }
    }
    for slot in names(&inherited.nics, &shown.nics) {
        let (above, here) = (inherited.nics.get(slot), shown.nics.get(slot));
        if let Some(value) = of_slot(above.map(nic), here.map(nic)) {
            insert(&mut maps, "nics", slot, value);
        }
    }
    let maps = maps.into_iter();
    local.extend(maps.map(|(key, members)| (key.to_owned(), Value::Object(members))));
    local
}

/// The names of its disks and nics -> the provider's slots: each is its own.
#[must_use]
pub fn slots_of(found: &Machine) -> BTreeMap<String, String> {
    let config = found.config.iter();
    let slots = config.flat_map(|config| config.disks.keys().chain(config.nics.keys()));
    slots.map(|slot| (slot.clone(), slot.clone())).collect()
}

fn insert<'k>(
    maps: &mut BTreeMap<&'k str, Map<String, Value>>,
    key: &'k str,
    name: &str,
    value: Value,
) {
    let members = maps.entry(key).or_default();
    members.insert(name.to_owned(), value);
}

fn names<'a, T>(one: &'a BTreeMap<String, T>, other: &'a BTreeMap<String, T>) -> BTreeSet<&'a str> {
    let names = one.keys().chain(other.keys());
    names.map(String::as_str).collect()
}

/// What is written of a plain field; none: what is inherited is right, or nothing is.
fn written(field: Field<'_>, found: &Machine, inherited: &Config, rules: &Rules) -> Option<Value> {
    let key = field.key();
    let above = field.read(inherited);
    let shown = match field.observe(Some(found)) {
        Seen::Is(Value::Null) | Seen::Unread => return above.map(|_| Value::Null),
        Seen::Is(shown) => shown,
    };
    match above {
        Some(above) if rules.canonical(&key, &above) == rules.canonical(&key, &shown) => None,
        // No text is what a machine has that nobody has described.
        None if field == Field::Description && shown == "" => None,
        _ => Some(match (field, shown.as_u64()) {
            (Field::Memory, Some(bytes)) => size(bytes),
            _ => shown,
        }),
    }
}

/// The run state, where another one is inherited.
fn power(inherited: Option<Power>, found: PowerState) -> Option<Value> {
    match (inherited?, found) {
        (Power::Running, PowerState::Running) | (Power::Stopped, PowerState::Stopped) => None,
        (_, PowerState::Running) => Some(json!(Power::Running)),
        (_, PowerState::Stopped) => Some(json!(Power::Stopped)),
        (_, PowerState::Paused | PowerState::Unknown) => Some(Value::Null),
    }
}

/// The members of a disk or nic that are not inherited as they are.
fn of_slot(above: Option<Map<String, Value>>, here: Option<Map<String, Value>>) -> Option<Value> {
    let Some(here) = here else {
        return above.map(|_| Value::Null);
    };
    let Some(above) = above else {
        return Some(Value::Object(here));
    };
    let mut local = Map::new();
    for (member, value) in &here {
        if above.get(member) != Some(value) {
            local.insert(member.clone(), value.clone());
        }
    }
    for member in above.keys().filter(|member| !here.contains_key(*member)) {
        local.insert(member.clone(), Value::Null);
    }
    (!local.is_empty()).then_some(Value::Object(local))
}

/// What of a disk can be seen. `keep` is nobody's but the definition's.
fn disk(disk: &Disk) -> Map<String, Value> {
    members([
        ("size", disk.size.map(size)),
        ("storage", disk.storage.as_ref().map(|text| json!(text))),
        (
            "storage_class",
            disk.storage_class.as_ref().map(|text| json!(text)),
        ),
        ("bus", disk.bus.as_ref().map(|text| json!(text))),
    ])
}

fn nic(nic: &Nic) -> Map<String, Value> {
    let addresses = Some(&nic.addresses).filter(|list| !list.is_empty());
    members([
        ("network", nic.network.as_ref().map(|text| json!(text))),
        ("vlan", nic.vlan.map(|tag| json!(tag))),
        ("mac", nic.mac.as_ref().map(|text| json!(text))),
        ("adapter", nic.adapter.as_ref().map(|text| json!(text))),
        ("addresses", addresses.map(|list| json!(list))),
        ("gateway", nic.gateway.as_ref().map(|text| json!(text))),
    ])
}

fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let there = all.into_iter();
    there
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// As a definition has it: with its unit.
fn size(bytes: u64) -> Value {
    json!(Bytes(bytes).to_string())
}
