//! Bodies of requests.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::answer::Refusal;
use crate::world::{lan, local, virtio};
use crate::{Disk, Firmware, Nic};

const MIB: u64 = 1 << 20;

/// A configuration, and whose it is. What is null or absent is chosen here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    pub name: String,
    #[serde(default)]
    pub base_image: Option<String>,
    #[serde(default)]
    pub vcpu: Option<u32>,
    /// Bytes, whole MiB.
    #[serde(default)]
    pub memory: Option<u64>,
    #[serde(default)]
    pub mark: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub settings: Settings,
    /// By label.
    #[serde(default)]
    pub disks: BTreeMap<String, NewDisk>,
    /// By label.
    #[serde(default)]
    pub nics: BTreeMap<String, NewNic>,
    #[serde(default)]
    pub client_token: Option<String>,
    // Understood, and without effect: nothing runs in these machines, and hosts are taken in turn.
    #[serde(default, rename = "power")]
    _power: IgnoredAny,
    #[serde(default, rename = "placement")]
    _placement: IgnoredAny,
    #[serde(default, rename = "guest")]
    _guest: IgnoredAny,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub firmware: Option<Firmware>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddDisk {
    pub label: String,
    pub disk: NewDisk,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NewDisk {
    /// Bytes. Needed, but for a disk that the image has.
    pub size: Option<u64>,
    pub storage: Option<String>,
    pub bus: Option<String>,
    // Understood, and without effect.
    #[serde(rename = "storage_class")]
    _storage_class: IgnoredAny,
    #[serde(rename = "keep")]
    _keep: IgnoredAny,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NewNic {
    pub network: Option<String>,
    pub vlan: Option<u16>,
    pub mac: Option<String>,
    pub adapter: Option<String>,
    pub addresses: Vec<String>,
    pub gateway: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddNic {
    pub label: String,
    pub nic: NewNic,
}

/// Absent: as it is. `null` where it is understood: unset.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChangeNic {
    pub network: Option<String>,
    #[serde(deserialize_with = "present")]
    pub vlan: Option<Option<u16>>,
    pub mac: Option<String>,
    pub adapter: Option<String>,
    #[serde(deserialize_with = "present")]
    pub addresses: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "present")]
    pub gateway: Option<Option<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clone {
    pub name: String,
}

/// Absent: as it is. `null` where it is understood: unset.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Update {
    pub name: Option<String>,
    pub vcpu: Option<u32>,
    pub memory: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub description: Option<Option<String>>,
    /// Merged by key.
    pub labels: BTreeMap<String, Option<String>>,
    pub settings: Settings,
    pub mark: Option<String>,
}

fn present<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(from).map(Some)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PowerOff {
    /// Milliseconds for the guest.
    pub timeout_ms: Option<u64>,
    /// Restart only: do not ask the guest.
    pub force: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grow {
    /// Bytes.
    pub size: u64,
}

/// An absent body is an empty object.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::new(400, "bad-request", error.to_string()))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(422, "invalid", message)
}

pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > 63 || !name.chars().all(good) {
        return Err(invalid(format!(
            "name `{}` is not 1 to 63 of letters, digits, `-`, `.`, `_`",
            name.escape_debug()
        )));
    }
    Ok(())
}

pub(crate) fn check_size(vcpu: u32, memory: u64) -> Result<(), Refusal> {
    if !(1..=256).contains(&vcpu) {
        return Err(invalid(format!("vcpu {vcpu} is not from 1 to 256")));
    }
    if memory < 16 * MIB || !memory.is_multiple_of(MIB) {
        return Err(invalid(format!(
            "memory {memory} is not a whole number of MiB, 16 at least"
        )));
    }
    Ok(())
}

pub(crate) fn check_mark(mark: &str) -> Result<(), Refusal> {
    if mark.len() > 96 {
        return Err(invalid("mark is longer than 96 bytes".to_owned()));
    }
    Ok(())
}

impl NewDisk {
    pub(crate) fn disk(self, label: String) -> Result<Disk, Refusal> {
        let size = self.size.unwrap_or(0);
        if size < MIB {
            return Err(invalid(format!(
                "disk `{label}` has {size} bytes, 1 MiB is the least"
            )));
        }
        Ok(Disk {
            label,
            size,
            storage: self.storage.unwrap_or_else(local),
            bus: self.bus.unwrap_or_else(virtio),
        })
    }
}

fn check_vlan(label: &str, vlan: Option<u16>) -> Result<(), Refusal> {
    match vlan {
        Some(vlan) if !(1..=4094).contains(&vlan) => Err(invalid(format!(
            "vlan of nic `{label}` is not from 1 to 4094"
        ))),
        Some(_) | None => Ok(()),
    }
}

impl ChangeNic {
    pub(crate) fn of(self, nic: &Nic) -> Result<Nic, Refusal> {
        let changed = Nic {
            label: nic.label.clone(),
            network: self.network.unwrap_or_else(|| nic.network.clone()),
            vlan: self.vlan.unwrap_or(nic.vlan),
            mac: self.mac.unwrap_or_else(|| nic.mac.clone()),
            adapter: self.adapter.unwrap_or_else(|| nic.adapter.clone()),
            addresses: match self.addresses {
                Some(addresses) => addresses.unwrap_or_default(),
                None => nic.addresses.clone(),
            },
            gateway: self.gateway.unwrap_or_else(|| nic.gateway.clone()),
        };
        check_vlan(&changed.label, changed.vlan)?;
        Ok(changed)
    }
}

impl NewNic {
    /// An empty address is filled in when the machine has its number.
    pub(crate) fn nic(self, label: String) -> Result<Nic, Refusal> {
        check_vlan(&label, self.vlan)?;
        Ok(Nic {
            label,
            network: self.network.unwrap_or_else(lan),
            vlan: self.vlan,
            mac: self.mac.unwrap_or_default(),
            adapter: self.adapter.unwrap_or_else(virtio),
            addresses: self.addresses,
            gateway: self.gateway,
        })
    }
}

impl Create {
    pub(crate) fn vcpu(&self) -> u32 {
        self.vcpu.unwrap_or(1)
    }

    pub(crate) fn memory(&self) -> u64 {
        self.memory.unwrap_or(512 * MIB)
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        check_name(&self.name)?;
        check_size(self.vcpu(), self.memory())?;
        check_mark(&self.mark)
    }
}
