//! From a definition to what is written: what changed, what a new machine lacks, and in which slots the
//! definition's disks and cards are.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_sdk::prelude::*;

use crate::drive::{self, MIB, Slot};
use crate::form::{Form, same};
use crate::guest_config::GuestConfig;
use crate::settings::{self, MachineSettings};
use crate::trailer::Text;

fn vcpu(count: u32) -> Result<u32> {
    if count == 0 {
        return Err(Error::invalid("a machine needs at least one vcpu").field("vcpu"));
    }
    Ok(count)
}

/// Proxmox VE holds MiB; a wanted value is truncated.
fn memory(bytes: u64) -> Result<u64> {
    let mib = bytes / MIB;
    if mib < 16 {
        return Err(Error::invalid(format_args!(
            "{mib} MiB of memory: Proxmox VE wants at least 16"
        ))
        .field("memory"));
    }
    Ok(mib)
}

fn write_text(form: &mut Form, text: &Text) {
    let joined = text.join();
    if joined.is_empty() {
        form.delete("description");
    } else {
        form.set("description", joined);
    }
}

/// The text of a new machine.
pub fn first_text(desired: &Config, mark: &str) -> Text {
    Text {
        description: desired.description.clone().unwrap_or_default(),
        labels: desired.labels.clone(),
        mark: mark.to_owned(),
    }
}

/// Changes `changed` to what `desired` says. `text` is what stands below and in the description now.
///
/// # Errors
/// `unsupported` for a field that cannot be changed this way, `invalid` for a wrong value.
pub fn changes(desired: &Config, changed: &[String], text: &Text) -> Result<Form> {
    let machine: MachineSettings = machine_settings(desired)?;
    let mut form = Form::default();
    let mut new_text = text.clone();
    for field in changed {
        match field.split_once('.') {
            None if field == "vcpu" => match desired.vcpu {
                // The count is that of all sockets together.
                Some(count) => {
                    form.set("cores", vcpu(count)?);
                    form.set("sockets", 1);
                }
                None => {
                    form.delete("cores");
                    form.delete("sockets");
                }
            },
            None if field == "memory" => match desired.memory {
                Some(bytes) => form.set("memory", memory(bytes)?),
                None => form.delete("memory"),
            },
            None if field == "name" => match &desired.name {
                Some(name) => form.set("name", name),
                None => form.delete("name"),
            },
            None if field == "description" => {
                new_text.description = desired.description.clone().unwrap_or_default();
            }
            Some(("labels", label)) => match desired.labels.get(label) {
                Some(value) => {
                    new_text.labels.insert(label.to_owned(), value.clone());
                }
                None => {
                    new_text.labels.remove(label);
                }
            },
            Some(("settings", setting)) => {
                // What is used at creation only changes nothing later.
                if let Some(parameter) = settings::parameter(setting) {
                    match machine.value(parameter).filter(|value| !value.is_empty()) {
                        Some(value) => form.set(parameter, value),
                        None => form.delete(parameter),
                    }
                } else if setting != "full_clone" {
                    return Err(unknown(field));
                }
            }
            _ => return Err(unknown(field)),
        }
    }
    if new_text != *text {
        write_text(&mut form, &new_text);
    }
    Ok(form)
}

fn unknown(field: &str) -> Error {
    Error::unsupported(format_args!(
        "this engine cannot change {field} of a machine that exists"
    ))
    .field(field)
}

/// What is to be written after a clone, and where its disks and cards are.
pub struct Fitting {
    pub form: Form,
    /// The definition's names for disks and cards -> slots.
    pub slots: BTreeMap<String, String>,
}

/// What `config`, just made or still empty, lacks of `desired`.
///
/// # Errors
/// `invalid`, with the field.
pub fn fit(
    desired: &Config,
    config: &GuestConfig,
    mark: &str,
    connection: &settings::Connection,
) -> Result<Fitting> {
    let machine: MachineSettings = machine_settings(desired)?;
    let mut form = Form::default();
    if let Some(count) = desired.vcpu
        && vcpu(count)? != config.vcpu()
    {
        form.set("cores", count);
        if config.sockets() != 1 {
            form.set("sockets", 1);
        }
    }
    if let Some(bytes) = desired.memory
        && memory(bytes)? != config.memory_mib()
    {
        form.set("memory", memory(bytes)?);
    }
    let wanted = |form: &mut Form, key: &str, value: &str| {
        if !config.get(key).is_some_and(|have| same(key, value, have)) {
            form.set(key, value);
        }
    };
    if let Some(name) = &desired.name {
        wanted(&mut form, "name", name);
    }
    wanted(&mut form, "description", &first_text(desired, mark).join());
    for (key, value) in machine.parameters() {
        if value.is_empty() {
            if config.get(key).is_some() {
                form.delete(key);
            }
        } else {
            wanted(&mut form, key, &value);
        }
    }
    let mut slots = BTreeMap::new();
    let present = config.disks();
    let storage = default_storage(config, connection);
    let storage = storage.as_deref();
    for (name, slot) in disk_slots(&desired.disks, config)? {
        slots.insert(name.clone(), slot.to_string());
        if let Some(disk) = desired.disks.get(&name)
            && !present.contains_key(&slot)
        {
            form.set(&slot.to_string(), drive::new_disk(&name, disk, storage)?);
        }
    }
    let cards = config.nics();
    for (name, number) in nic_slots(&desired.nics, config)? {
        let slot = format!("net{number}");
        if let Some(nic) = desired.nics.get(&name) {
            let bridge = connection.bridge.as_deref();
            let value = drive::wanted_nic(&name, nic, cards.get(&number).copied(), bridge)?;
            wanted(&mut form, &slot, &value);
        }
        slots.insert(name, slot);
    }
    Ok(Fitting { form, slots })
}

/// Storage of a new disk that names none: what the operator says, or where the machine boots from.
pub fn default_storage(config: &GuestConfig, connection: &settings::Connection) -> Option<String> {
    let boot = || config.disks().remove(&config.boot_disk()?)?.storage;
    connection.storage.clone().or_else(boot)
}

/// Where the definition's disks are, or are to go. A name that is a slot is that slot; `root` is
/// the disk that the machine boots from; all others are new, in the order of their names.
fn disk_slots(
    disks: &BTreeMap<String, Disk>,
    config: &GuestConfig,
) -> Result<BTreeMap<String, Slot>> {
    let mut slots = BTreeMap::new();
    let mut taken: BTreeSet<Slot> = config.drives().map(|(slot, _)| slot).collect();
    for name in disks.keys() {
        if let Ok(slot) = name.parse::<Slot>() {
            taken.insert(slot);
            slots.insert(name.clone(), slot);
        }
    }
    // `root` first: in a machine made from nothing it gets the first slot of its bus.
    let mut names: Vec<_> = disks
        .keys()
        .filter(|name| !slots.contains_key(*name))
        .collect();
    names.sort_by_key(|name| *name != "root");
    for name in names {
        let Some(disk) = disks.get(name) else {
            continue;
        };
        let slot = match config.boot_disk() {
            Some(slot) if name == "root" => slot,
            _ => free_slot(name, disk, &taken)?,
        };
        if let Some((other, _)) = slots.iter().find(|(_, known)| **known == slot) {
            return Err(Error::invalid(format_args!(
                "disks {other} and {name} are both the disk in slot {slot}"
            ))
            .field(format_args!("disks.{name}")));
        }
        taken.insert(slot);
        slots.insert(name.clone(), slot);
    }
    Ok(slots)
}

/// The next free slot of a disk's bus, which is `scsi` where the definition says none.
///
/// # Errors
/// `invalid` for an unknown or a full bus.
pub fn free_slot(name: &str, disk: &Disk, taken: &BTreeSet<Slot>) -> Result<Slot> {
    let bus = disk.bus.as_deref().unwrap_or("scsi");
    let Some(mut slots) = Slot::all(bus) else {
        return Err(Error::invalid(format_args!("disk {name}: no bus {bus:?}"))
            .field(format_args!("disks.{name}.bus"))
            .hint("it is one of scsi, virtio, sata and ide"));
    };
    slots.find(|slot| !taken.contains(slot)).ok_or_else(|| {
        Error::invalid(format_args!(
            "disk {name}: all slots of bus {bus} are taken"
        ))
        .field(format_args!("disks.{name}.bus"))
    })
}

/// Where the definition's cards are, or are to go: a name that is a slot is that slot, the others
/// take, in the order of their names, the cards that are there, then new slots.
fn nic_slots(nics: &BTreeMap<String, Nic>, config: &GuestConfig) -> Result<BTreeMap<String, u8>> {
    let named: BTreeMap<String, u8> = nics
        .keys()
        .filter_map(|name| Some((name.clone(), drive::nic_slot(name)?)))
        .collect();
    let used: BTreeSet<u8> = named.values().copied().collect();
    let present = config.nics();
    let mut slots = named;
    let mut free = present
        .keys()
        .copied()
        .chain((0..32).filter(|n| !present.contains_key(n)))
        .filter(|n| !used.contains(n));
    for name in nics.keys() {
        if !slots.contains_key(name) {
            let slot = free.next().ok_or_else(|| {
                Error::invalid("a machine has at most 32 network cards").field("nics")
            })?;
            slots.insert(name.clone(), slot);
        }
    }
    Ok(slots)
}

/// Everything at once, for a machine made from nothing.
///
/// # Errors
/// `invalid`, with the field.
pub fn from_nothing(
    desired: &Config,
    mark: &str,
    connection: &settings::Connection,
) -> Result<Fitting> {
    let Fitting { mut form, slots } = fit(desired, &GuestConfig::default(), mark, connection)?;
    // Proxmox VE's own default controller is from 2001, and no guest of today knows it.
    if slots.values().any(|slot| slot.starts_with("scsi")) && form.value("scsihw").is_none() {
        form.set("scsihw", "virtio-scsi-single");
    }
    let disks: BTreeMap<Slot, &String> = slots
        .iter()
        .filter_map(|(name, slot)| Some((slot.parse().ok()?, name)))
        .collect();
    let root = disks.iter().find(|(_, name)| name.as_str() == "root");
    if let Some((slot, _)) = root.or_else(|| disks.iter().next()) {
        let network = slots
            .values()
            .filter_map(|slot| drive::nic_slot(slot))
            .min();
        let network = network.map_or_else(String::new, |number| format!(";net{number}"));
        form.set("boot", format!("order={slot}{network}"));
    }
    Ok(Fitting { form, slots })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: serde_json::Value) -> GuestConfig {
        serde_json::from_value(value).unwrap()
    }

    fn desired(value: serde_json::Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    fn changed(desired: &Config, fields: &[&str], text: &Text) -> Result<Form> {
        let fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        changes(desired, &fields, text)
    }

    fn show(form: &Form) -> String {
        let fields = form.fields(None);
        let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        fields.join(" ")
    }

    #[test]
    fn only_what_changed_is_written() {
        let desired = desired(json!({
            "vcpu": 4, "memory": 4_294_967_295_u64, "name": "web1", "description": "x",
            "settings": {"tags": ["b", "a"], "onboot": false},
        }));
        let text = Text::default();
        let form = changed(&desired, &["vcpu", "memory"], &text).unwrap();
        assert_eq!(show(&form), "cores=4 memory=4095 sockets=1");
        let form = changed(
            &desired,
            &["settings.tags", "settings.onboot", "name"],
            &text,
        )
        .unwrap();
        assert_eq!(show(&form), "name=web1 onboot=0 tags=a;b");
    }

    #[test]
    fn what_the_definition_lacks_is_unset() {
        let nothing = Config::default();
        let fields = ["vcpu", "memory", "name", "settings.tags", "settings.cpu"];
        let form = changed(&nothing, &fields, &Text::default()).unwrap();
        assert_eq!(show(&form), "delete=cores,cpu,memory,name,sockets,tags");
    }

    #[test]
    fn a_new_description_keeps_mark_and_labels() {
        let text = Text::parse(
            "old\n<!-- enginehouse labels: {\"a\":\"1\"} -->\n<!-- enginehouse: eh:1:2:3 -->",
        );
        let form = changed(
            &desired(json!({"description": "new"})),
            &["description"],
            &text,
        );
        let written = Text::parse(form.unwrap().value("description").unwrap());
        assert_eq!(written.description, "new");
        assert_eq!(
            (written.labels, written.mark),
            (text.labels.clone(), text.mark.clone())
        );
        let form = changed(
            &desired(json!({"labels": {"b": "2"}})),
            &["labels.a", "labels.b"],
            &text,
        );
        let written = Text::parse(form.unwrap().value("description").unwrap());
        assert_eq!(written.description, "old");
        assert_eq!(written.labels, [("b".to_owned(), "2".to_owned())].into());
    }

    #[test]
    fn fields_that_cannot_change_are_named() {
        for field in [
            "base_image",
            "disks.root.size",
            "placement.host",
            "settings.nonsense",
        ] {
            let error = changed(&Config::default(), &[field], &Text::default()).unwrap_err();
            assert!(error.is(Code::Unsupported), "{error}");
            assert_eq!(error.detail().field.as_deref(), Some(field));
        }
        let none = desired(json!({"vcpu": 0}));
        let error = changed(&none, &["vcpu"], &Text::default()).unwrap_err();
        assert!(error.is(Code::Invalid));
    }

    #[test]
    fn a_clone_that_is_as_wanted_needs_no_write() {
        let clone = config(json!({
            "name": "web1", "cores": 2, "memory": "2048", "tags": "b;a", "digest": "x",
            "description": "<!-- enginehouse: eh:1:2:3 -->\n", "boot": "order=scsi0",
            "scsi0": "local-lvm:vm-105-disk-0,size=8G",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        }));
        let wanted = desired(json!({
            "name": "web1", "vcpu": 2, "memory": 2_147_483_648_u64,
            "settings": {"tags": ["a", "b"]},
            "disks": {"root": {"size": 21_474_836_480_u64}}, "nics": {"lan": {"network": "vmbr0"}},
        }));
        let connection = settings::Connection::default();
        let fitting = fit(&wanted, &clone, "eh:1:2:3", &connection).unwrap();
        assert_eq!(show(&fitting.form), "");
        assert_eq!(fitting.slots["root"], "scsi0");
        assert_eq!(fitting.slots["lan"], "net0");
    }

    #[test]
    fn disks_that_the_template_lacks_are_added() {
        let clone = config(json!({
            "boot": "order=virtio0", "virtio0": "a:x,size=8G", "scsi0": "a:y,size=1G",
            "description": "<!-- enginehouse: m -->",
        }));
        let gib = 1_073_741_824_u64;
        let wanted = desired(json!({"disks": {
            "data": {"size": gib, "storage": "ssd"}, "root": {"size": 8 * gib},
            "sata2": {"size": gib}, "virtio0x": {"size": gib, "bus": "virtio"},
        }}));
        let connection = settings::Connection {
            storage: Some("hdd".to_owned()),
            ..settings::Connection::default()
        };
        let fitting = fit(&wanted, &clone, "m", &connection).unwrap();
        assert_eq!(show(&fitting.form), "sata2=hdd:1 scsi1=ssd:1 virtio1=hdd:1");
        assert_eq!(fitting.slots["root"], "virtio0");
        assert_eq!(fitting.slots["data"], "scsi1");
        let twice = desired(json!({"disks": {"root": {}, "virtio0": {}}}));
        let error = fit(&twice, &clone, "m", &connection).err().unwrap();
        assert!(error.is(Code::Invalid), "{error}");
    }

    #[test]
    fn a_machine_from_nothing_is_made_in_one_request() {
        let gib = 1_073_741_824_u64;
        let wanted = desired(json!({
            "name": "db1", "vcpu": 2, "memory": 4 * gib,
            "disks": {"data": {"size": gib}, "root": {"size": 8 * gib}},
            "nics": {"lan": {"network": "vmbr1", "vlan": 7}},
        }));
        let connection = settings::Connection {
            storage: Some("s".to_owned()),
            ..settings::Connection::default()
        };
        let fitting = from_nothing(&wanted, "m", &connection).unwrap();
        assert_eq!(
            show(&fitting.form),
            "boot=order=scsi0;net0 cores=2 description=<!-- enginehouse: m --> memory=4096 name=db1 \
             net0=virtio,bridge=vmbr1,tag=7 scsi0=s:8 scsi1=s:1 scsihw=virtio-scsi-single"
        );
        assert_eq!(fitting.slots["data"], "scsi1");
    }
}
