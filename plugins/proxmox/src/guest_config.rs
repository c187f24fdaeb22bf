//! A QEMU guest's configuration as Proxmox VE has it, and as the contract has it.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;
use serde_json::{Map, Value};

use crate::drive::{self, MIB, Properties, Slot};
use crate::settings::{MachineSettings, split_tags};
use crate::trailer::Text;

/// Parameters by name, all values as text: across versions numbers come as text and text as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Value>", into = "BTreeMap<String, String>")]
pub struct GuestConfig(BTreeMap<String, String>);

impl From<BTreeMap<String, Value>> for GuestConfig {
    fn from(values: BTreeMap<String, Value>) -> Self {
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Bool(on) => Some(if on { "1" } else { "0" }.to_owned()),
            Value::Null => None,
            other @ (Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Some(other.to_string())
            }
        };
        Self(
            values
                .into_iter()
                .filter_map(|(key, value)| Some((key, text(value)?)))
                .collect(),
        )
    }
}

impl From<GuestConfig> for BTreeMap<String, String> {
    fn from(config: GuestConfig) -> Self {
        config.0
    }
}

impl GuestConfig {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn set(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.to_owned());
    }

    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.get(key)?.trim().parse().ok()
    }

    pub fn digest(&self) -> Option<&str> {
        self.get("digest")
    }

    pub fn lock(&self) -> Option<&str> {
        self.get("lock").filter(|lock| !lock.is_empty())
    }

    /// The configuration is not there yet: while a clone runs, nothing is shown but its lock, until
    /// the first disk is copied.
    pub fn is_being_made(&self) -> bool {
        matches!(self.lock(), Some("clone" | "create"))
    }

    pub fn sockets(&self) -> u32 {
        self.number("sockets").unwrap_or(1)
    }

    /// Virtual processors. Proxmox VE's default is one core.
    pub fn vcpu(&self) -> u32 {
        self.number("cores")
            .unwrap_or(1)
            .saturating_mul(self.sockets())
    }

    /// MiB: a number, in newer versions also `current=2048`. Proxmox VE's default is 512.
    pub fn memory_mib(&self) -> u64 {
        let text = self.get("memory").unwrap_or_default();
        let text = text.strip_prefix("current=").unwrap_or(text);
        text.trim().parse().unwrap_or(512)
    }

    pub fn text(&self) -> Text {
        Text::parse(self.get("description").unwrap_or_default())
    }

    /// What the machine is in its firmware's eyes; new for every copy.
    pub fn incarnation(&self) -> Option<String> {
        let smbios = Properties::parse(self.get("smbios1")?);
        smbios.get("uuid").map(str::to_lowercase)
    }

    /// All occupied slots, also those of CD-ROMs.
    pub fn drives(&self) -> impl Iterator<Item = (Slot, &str)> {
        self.0
            .iter()
            .filter_map(|(key, value)| Some((key.parse().ok()?, value.as_str())))
    }

    pub fn disks(&self) -> BTreeMap<Slot, Disk> {
        self.drives()
            .filter_map(|(slot, value)| Some((slot, drive::disk(slot, value)?)))
            .collect()
    }

    /// Entries of volumes that belong to the machine and are not attached: `unused0`.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let keys = self.0.keys().map(String::as_str);
        keys.filter(|key| {
            key.strip_prefix("unused")
                .is_some_and(|number| number.parse::<u16>().is_ok())
        })
    }

    /// The disk that the machine boots from: the first one in `boot`, or in Proxmox VE's own order.
    pub fn boot_disk(&self) -> Option<Slot> {
        let disks = self.disks();
        let boot = Properties::parse(self.get("boot").unwrap_or_default());
        let named = boot
            .get("order")
            .unwrap_or_default()
            .split(';')
            .chain(self.get("bootdisk"))
            .filter_map(|name| name.parse().ok())
            .find(|slot| disks.contains_key(slot));
        named.or_else(|| disks.keys().next().copied())
    }

    /// Network cards by their slots, in order.
    pub fn nics(&self) -> BTreeMap<u8, &str> {
        self.0
            .iter()
            .filter_map(|(key, value)| Some((drive::nic_slot(key)?, value.as_str())))
            .collect()
    }

    fn settings(&self) -> Map<String, Value> {
        let flag = |key: &str| Some(matches!(self.get(key)?, "1" | "on" | "yes" | "true"));
        let text = |key: &str| self.get(key).map(str::to_owned);
        let settings = MachineSettings {
            tags: Some(split_tags(self.get("tags").unwrap_or_default())),
            onboot: Some(flag("onboot").unwrap_or(false)),
            agent: Some(self.agent()),
            cpu: text("cpu").map(|cpu| {
                cpu.strip_prefix("cputype=")
                    .map_or(cpu.clone(), str::to_owned)
            }),
            bios: Some(text("bios").unwrap_or_else(|| "seabios".to_owned())),
            machine: text("machine").map(|machine| {
                machine
                    .strip_prefix("type=")
                    .map_or(machine.clone(), str::to_owned)
            }),
            scsihw: Some(text("scsihw").unwrap_or_else(|| "lsi".to_owned())),
            ostype: text("ostype"),
            full_clone: None,
        };
        match serde_json::to_value(settings) {
            Ok(Value::Object(settings)) => settings,
            // These are texts, flags and lists of texts.
            Ok(_) | Err(_) => Map::new(),
        }
    }

    /// `1`, or `enabled=1,fstrim_cloned_disks=1`.
    fn agent(&self) -> bool {
        let agent = Properties::parse(self.get("agent").unwrap_or_default());
        let on = agent.get("enabled").or_else(|| agent.get(""));
        matches!(on, Some("1" | "on" | "yes" | "true"))
    }

    pub fn to_config(&self) -> Config {
        let text = self.text();
        Config {
            name: self.get("name").map(str::to_owned),
            base_image: None,
            vcpu: Some(self.vcpu()),
            memory: Some(self.memory_mib().saturating_mul(MIB)),
            description: Some(text.description),
            labels: text.labels,
            power: None,
            placement: Placement::default(),
            disks: self
                .disks()
                .into_iter()
                .map(|(slot, disk)| (slot.to_string(), disk))
                .collect(),
            nics: self
                .nics()
                .into_iter()
                .map(|(n, value)| (format!("net{n}"), drive::nic(value)))
                .collect(),
            guest: Map::new(),
            settings: self.settings(),
        }
    }

    /// The machine with this configuration. What a running clone hides is not known, rather than
    /// empty.
    pub fn to_machine(&self, vmid: u64, node: &str, power: PowerState) -> Machine {
        let hidden = self.is_being_made();
        Machine {
            id: vmid.to_string(),
            kind: Some("qemu".to_owned()),
            name: self.get("name").map(str::to_owned),
            incarnation: self.incarnation().filter(|_| !hidden),
            mark: (!hidden).then(|| self.text().mark),
            template: matches!(self.get("template"), Some("1" | "true")),
            power,
            lock: self.lock().map(str::to_owned),
            host: Some(node.to_owned()),
            config: (!hidden).then(|| self.to_config()),
            version: self.digest().filter(|_| !hidden).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: Value) -> GuestConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn numbers_are_read_as_numbers_and_as_text() {
        for (cores, memory) in [(json!(4), json!("4096")), (json!("4"), json!(4096))] {
            let config = config(json!({"cores": cores, "memory": memory, "sockets": 2}));
            assert_eq!((config.vcpu(), config.memory_mib()), (8, 4096));
        }
        let new = config(json!({"memory": "current=2048"}));
        assert_eq!((new.vcpu(), new.memory_mib()), (1, 2048));
        assert_eq!(config(json!({})).memory_mib(), 512);
    }

    #[test]
    fn the_boot_disk_is_the_first_disk_in_the_order() {
        let disks = json!({
            "ide2": "none,media=cdrom",
            "scsi0": "a:vm-1-disk-0,size=1G",
            "virtio1": "a:vm-1-disk-1,size=1G",
        });
        let with = |key: &str, value: &str| {
            let mut all = disks.clone();
            all[key] = json!(value);
            config(all).boot_disk().map(|slot| slot.to_string())
        };
        assert_eq!(
            with("boot", "order=ide2;virtio1;scsi0").as_deref(),
            Some("virtio1")
        );
        assert_eq!(with("bootdisk", "virtio1").as_deref(), Some("virtio1"));
        assert_eq!(with("boot", "cdn").as_deref(), Some("scsi0"));
        assert_eq!(config(json!({})).boot_disk(), None);
    }

    #[test]
    fn a_running_clone_hides_everything_but_its_lock() {
        let machine = config(json!({"lock": "clone", "digest": "x"})).to_machine(
            105,
            "pve1",
            PowerState::Stopped,
        );
        assert_eq!(machine.mark, None);
        assert_eq!(machine.config, None);
        assert_eq!(machine.version, None);
        assert_eq!(machine.lock.as_deref(), Some("clone"));
    }

    #[test]
    fn a_machine_is_read_whole() {
        let machine = config(json!({
            "name": "web1", "cores": 2, "memory": "2048", "digest": "d1",
            "description": "front\n<!-- enginehouse: eh:1:2:3 -->\n",
            "tags": "b;a", "agent": "enabled=1", "onboot": 1,
            "smbios1": "uuid=AB-CD,family=x",
            "scsi0": "local-lvm:vm-105-disk-0,size=8G",
            "unused0": "local-lvm:vm-105-disk-1",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
        }))
        .to_machine(105, "pve1", PowerState::Running);
        assert_eq!(machine.mark.as_deref(), Some("eh:1:2:3"));
        assert_eq!(machine.incarnation.as_deref(), Some("ab-cd"));
        assert_eq!(machine.version.as_deref(), Some("d1"));
        let config = machine.config.unwrap();
        assert_eq!(config.description.as_deref(), Some("front"));
        assert_eq!(config.memory, Some(2048 * MIB));
        assert_eq!(config.disks.keys().collect::<Vec<_>>(), ["scsi0"]);
        assert_eq!(config.nics["net0"].network.as_deref(), Some("vmbr0"));
        assert_eq!(config.settings["tags"], json!(["a", "b"]));
        assert_eq!(config.settings["agent"], json!(true));
    }
}
