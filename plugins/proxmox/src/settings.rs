//! What an operator may set: for a connection, and for a machine.

use enginehouse_sdk::prelude::*;

/// `settings` of a hypervisor of this type.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// The node that holds the templates, and that new machines go to where their definition has no
    /// `placement.host`. Without it a template is looked up first, which costs one request.
    #[schemars(example = &"pve1")]
    pub node: Option<String>,
    /// Storage for new disks that name none.
    #[schemars(example = &"local-lvm")]
    pub storage: Option<String>,
    /// Bridge for new network cards that name none.
    #[schemars(example = &"vmbr0")]
    pub bridge: Option<String>,
    /// Lowest VMID for new machines. Default: 100.
    #[schemars(range(min = 100, max = 999_999_999), example = 1000)]
    pub lowest_vmid: Option<u64>,
    /// Highest VMID for new machines. Default: 999999999.
    #[schemars(range(min = 100, max = 999_999_999), example = 8999)]
    pub highest_vmid: Option<u64>,
}

impl Connection {
    /// VMIDs that may be chosen. Proxmox VE keeps those below 100 for itself.
    pub fn vmids(&self) -> std::ops::RangeInclusive<u64> {
        let lowest = self.lowest_vmid.unwrap_or(100).max(100);
        lowest..=self.highest_vmid.unwrap_or(999_999_999)
    }
}

/// `settings` of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachineSettings {
    /// Tags, lower case. Their order is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = two_tags())]
    pub tags: Option<Vec<String>>,
    /// Start with the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = true)]
    pub onboot: Option<bool>,
    /// Talk to the QEMU guest agent. Takes effect with a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = true)]
    pub agent: Option<bool>,
    /// CPU type. Takes effect with a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"x86-64-v2-AES")]
    pub cpu: Option<String>,
    /// Firmware: `seabios` or `ovmf`. Takes effect with a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"ovmf")]
    pub bios: Option<String>,
    /// Machine type. Takes effect with a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"q35")]
    pub machine: Option<String>,
    /// SCSI controller. Takes effect with a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"virtio-scsi-single")]
    pub scsihw: Option<String>,
    /// Type of the guest's system, for Proxmox VE's own tuning. Takes effect with a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"l26")]
    pub ostype: Option<String>,
    /// Copy all disks of the template instead of linking to them. Used at creation only. Default:
    /// linked where the template allows it, copied where a storage is named for the disk `root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = true)]
    pub full_clone: Option<bool>,
}

/// Settings that are a parameter of Proxmox VE by the same name.
const SAME_NAME: [&str; 7] = [
    "onboot", "agent", "cpu", "bios", "machine", "scsihw", "ostype",
];

/// The parameter behind a setting; `None` for one that is used at creation only.
pub fn parameter(setting: &str) -> Option<&str> {
    SAME_NAME
        .iter()
        .chain(&["tags"])
        .find(|name| **name == setting)
        .copied()
}

fn two_tags() -> [&'static str; 2] {
    ["web", "production"]
}

impl MachineSettings {
    /// Value of a parameter, if the settings say one.
    pub fn value(&self, parameter: &str) -> Option<String> {
        let flag = |value: Option<bool>| value.map(|on| if on { "1" } else { "0" }.to_owned());
        match parameter {
            "tags" => self.tags.as_deref().map(join_tags),
            "onboot" => flag(self.onboot),
            "agent" => flag(self.agent),
            "cpu" => self.cpu.clone(),
            "bios" => self.bios.clone(),
            "machine" => self.machine.clone(),
            "scsihw" => self.scsihw.clone(),
            "ostype" => self.ostype.clone(),
            _ => None,
        }
    }

    /// All parameters that the settings say a value for.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        SAME_NAME
            .iter()
            .chain(&["tags"])
            .filter_map(|name| Some((*name, self.value(name)?)))
    }
}

/// Proxmox VE keeps tags sorted, each once, in lower case (`PVE::GuestHelpers`, unless the
/// datacenter's options say otherwise).
pub fn join_tags(tags: &[String]) -> String {
    let mut tags: Vec<_> = tags.iter().map(|tag| tag.trim().to_lowercase()).collect();
    tags.retain(|tag| !tag.is_empty());
    tags.sort();
    tags.dedup();
    tags.join(";")
}

/// Tags out of a configuration: separated by `;`, in old ones also by `,` and spaces.
pub fn split_tags(text: &str) -> Vec<String> {
    let mut tags: Vec<_> = text
        .split([';', ',', ' '])
        .filter(|tag| !tag.is_empty())
        .map(str::to_lowercase)
        .collect();
    tags.sort();
    tags.dedup();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_a_set() {
        assert_eq!(split_tags("b;a,B c"), ["a", "b", "c"]);
        let tags = ["b", " A ", "b", ""].map(str::to_owned);
        assert_eq!(join_tags(&tags), "a;b");
    }

    #[test]
    fn every_setting_but_the_way_of_copying_is_a_parameter() {
        let schema = settings_schema::<MachineSettings>();
        for name in schema["properties"].as_object().unwrap().keys() {
            assert_eq!(parameter(name).is_none(), name == "full_clone", "{name}");
        }
    }

    #[test]
    fn ids_below_100_are_never_chosen() {
        let range = |lowest_vmid, highest_vmid| {
            let connection = Connection {
                lowest_vmid,
                highest_vmid,
                ..Connection::default()
            };
            connection.vmids()
        };
        assert_eq!(range(None, None), 100..=999_999_999);
        assert_eq!(range(Some(1), Some(200)), 100..=200);
    }
}
