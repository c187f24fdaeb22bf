//! Bodies of requests.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::answer::Refusal;
use crate::{Disk, Firmware, Nic};

const MIB: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    pub name: String,
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default = "one")]
    pub vcpu: u32,
    /// Bytes, whole MiB.
    #[serde(default = "half_a_gib")]
    pub memory: u64,
    #[serde(default)]
    pub mark: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub firmware: Option<Firmware>,
    #[serde(default)]
    pub disks: Vec<Disk>,
    #[serde(default)]
    pub nics: Vec<Nic>,
    #[serde(default)]
    pub client_token: Option<String>,
}

fn one() -> u32 {
    1
}

fn half_a_gib() -> u64 {
    512 * MIB
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
    pub firmware: Option<Firmware>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
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

pub(crate) fn check_disk(disk: &Disk) -> Result<(), Refusal> {
    if disk.size < MIB {
        return Err(invalid(format!(
            "disk `{}` has {} bytes, 1 MiB is the least",
            disk.label, disk.size
        )));
    }
    Ok(())
}

impl Create {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        check_name(&self.name)?;
        check_size(self.vcpu, self.memory)?;
        if self.mark.len() > 96 {
            return Err(invalid("mark is longer than 96 bytes".to_owned()));
        }
        if let Some(nic) = self
            .nics
            .iter()
            .find(|nic| nic.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)))
        {
            return Err(invalid(format!(
                "vlan of nic `{}` is not from 1 to 4094",
                nic.label
            )));
        }
        Ok(())
    }
}
