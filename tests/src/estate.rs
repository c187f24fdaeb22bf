//! A large estate: what a tree is measured and counted with.

use enginehouse_model::{HypervisorUid, NodeUid};
use enginehouse_tree::{Definition, Node};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Descriptors in each folder.
const EACH: u32 = 50;

/// Folders in two branches below each folder, with 50 descriptors in every one, and something
/// said at several levels: connections and prototypes at the root, which hypervisor and prototype
/// further down, single values anywhere, most descriptors with a few of their own. The same each
/// time.
#[derive(Clone, Copy, Debug)]
pub struct Estate {
    folders: u32,
}

/// A node before it is one.
#[derive(Clone, Debug)]
pub struct Planted {
    pub uid: NodeUid,
    /// Absent for the root.
    pub parent: Option<NodeUid>,
    pub name: String,
    pub is_folder: bool,
    pub local: Value,
}

impl Estate {
    /// 100,000 descriptors in 2,000 folders, 12 levels below the root.
    pub const LARGE: Self = Self { folders: 2_000 };
    /// 10,000 descriptors in 200 folders, 9 levels below the root.
    pub const SMALL: Self = Self { folders: 200 };

    /// 1,000 descriptors in 20 folders, 6 levels below the root.
    pub const SMALLEST: Self = Self { folders: 20 };

    /// Without the root.
    #[must_use]
    pub fn folders(self) -> u32 {
        self.folders
    }

    #[must_use]
    pub fn descriptors(self) -> u32 {
        self.folders * EACH
    }

    /// With the root.
    #[must_use]
    pub fn nodes(self) -> u32 {
        1 + self.folders + self.descriptors()
    }

    #[must_use]
    pub fn root(self) -> NodeUid {
        node_uid(0)
    }

    /// The folder with this number, from 1; number `n` has 2n and 2n + 1 below it.
    #[must_use]
    pub fn folder(self, number: u32) -> NodeUid {
        node_uid(u128::from(number))
    }

    /// The folders and descriptors from this folder downwards, itself included.
    #[must_use]
    pub fn nodes_from(self, number: u32) -> u32 {
        if number > self.folders {
            return 0;
        }
        1 + EACH + self.nodes_from(2 * number) + self.nodes_from(2 * number + 1)
    }

    /// A descriptor of a folder that has no other below it.
    #[must_use]
    pub fn bottom(self) -> NodeUid {
        self.descriptor(self.folders, 1)
    }

    fn descriptor(self, folder: u32, number: u32) -> NodeUid {
        node_uid(u128::from(1_000_000 + folder * EACH + number))
    }

    /// All nodes, parents before children.
    pub fn planted(self) -> impl Iterator<Item = Planted> {
        let root = Planted {
            uid: self.root(),
            parent: None,
            name: String::new(),
            is_folder: true,
            local: root(),
        };
        let folders = (1..=self.folders).map(move |number| Planted {
            uid: self.folder(number),
            parent: Some(self.folder(number / 2)),
            name: format!("folder-{number}"),
            is_folder: true,
            local: folder(number),
        });
        let descriptors = (1..=self.folders).flat_map(move |number| {
            (0..EACH).map(move |at| Planted {
                uid: self.descriptor(number, at),
                parent: Some(self.folder(number)),
                name: format!("vm-{number}-{at}"),
                is_folder: false,
                local: descriptor(number, at),
            })
        });
        std::iter::once(root).chain(folders).chain(descriptors)
    }

    /// What the store holds of it.
    ///
    /// # Errors
    /// With what is wrong in a definition.
    pub fn stored(self) -> anyhow::Result<Vec<Node>> {
        self.planted().map(Planted::stored).collect()
    }
}

impl Planted {
    fn stored(self) -> anyhow::Result<Node> {
        let mut node = match self.parent {
            None => Node::root(self.uid),
            Some(parent) if self.is_folder => Node::folder(self.uid, parent, &self.name),
            Some(parent) => Node::descriptor(self.uid, parent, &self.name),
        };
        node.local = Definition::from_json(&self.local)
            .map_err(|problems| anyhow::anyhow!("{}: {problems:?}", self.name))?;
        let hypervisors = self.local.get("hypervisors").and_then(Value::as_object);
        let names = hypervisors.into_iter().flat_map(Map::keys);
        for (at, name) in (1..).zip(names) {
            let uid = HypervisorUid::from_uuid(Uuid::from_u128(at));
            node.hypervisor_uids.insert(name.clone(), uid);
        }
        Ok(node)
    }
}

fn node_uid(number: u128) -> NodeUid {
    // Spread as real ones are: those of one folder are not beside each other in the store.
    NodeUid::from_uuid(Uuid::from_u128(
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    ))
}

fn root() -> Value {
    let prototype = |image: &str, vcpu: u32, memory: &str, disk: &str| {
        json!({
            "base_image": image, "vcpu": vcpu, "memory": memory, "power": "running",
            "disks": {"root": {"size": disk, "storage": "local-lvm", "bus": "scsi"}},
            "nics": {"lan": {"network": "vmbr0", "adapter": "virtio"}},
            "labels": {"size": format!("{vcpu}-{memory}")},
        })
    };
    json!({
        "hypervisors": {
            "pve-a": {"type": "proxmox", "host": "https://pve-a.example.com:8006", "user": "root@pam",
                      "password": {"env": "PVE_A"}, "limits": {"concurrent": 8}},
            "pve-b": {"type": "proxmox", "host": "https://pve-b.example.com:8006", "user": "root@pam",
                      "password": {"env": "PVE_B"}, "tls": {"ca_file": "/etc/enginehouse/pve-b.pem"}},
            "spare": {"type": "proxmox", "host": "https://spare.example.com:8006", "user": "root@pam",
                      "password": {"file": "/run/credentials/spare"}},
        },
        "filter_hypervisors_allow": ["pve-a", "pve-b"],
        "prototypes": {
            "small": prototype("debian-12", 1, "2GiB", "16GiB"),
            "medium": prototype("debian-12", 4, "8GiB", "32GiB"),
            "large": prototype("debian-12", 16, "64GiB", "64GiB"),
            "database": prototype("debian-12-pg", 8, "32GiB", "64GiB"),
        },
        "use_hypervisor": "pve-a",
        "use_prototype": "small",
        "labels": {"owner": "operations", "site": "north"},
        "settings": {"onboot": true},
        "policy": "benign",
    })
}

/// Each level has its own things to say.
fn folder(number: u32) -> Value {
    match number.ilog2() {
        0 => json!({"labels": {"zone": "a"}, "guest": {"dns": {"servers": ["192.0.2.53"]}}}),
        1 if number == 3 => {
            json!({"use_hypervisor": "pve-b", "filter_hypervisors_allow": ["pve-b"]})
        }
        2 => {
            json!({"placement": {"pool": format!("pool-{number}")}, "labels": {"team": format!("team-{number}")}})
        }
        3 => json!({"use_prototype": if number.is_multiple_of(2) { "medium" } else { "small" }}),
        4 => {
            json!({"protect": number.is_multiple_of(2), "guest": {"ssh_keys": ["ssh-ed25519 AAAA team"]}})
        }
        5 => json!({"memory": "4GiB", "nics": {"lan": {"vlan": number}}}),
        7 => json!({
            "prototypes": {"cache": {"vcpu": 2, "memory": "16GiB"}},
            "settings": {"cpu": "host"},
        }),
        9 => json!({"disks": {"root": {"storage": format!("ceph-{}", number % 4)}}}),
        10 => {
            json!({"labels": {"rack": format!("r{}", number % 40)}, "description": "a rack of its own"})
        }
        _ => json!({}),
    }
}

/// Five kinds that take turns.
fn descriptor(folder: u32, at: u32) -> Value {
    let octet = 1 + at % 250;
    match at % 5 {
        0 => json!({}),
        1 => json!({"vcpu": 4, "memory": "8GiB", "labels": {"app": "web"}}),
        2 => json!({
            "disks": {"data": {"size": "100GiB", "storage": "ceph", "keep": true}},
            "labels": {"app": "store", "tier": "gold"},
        }),
        3 => json!({
            "description": format!("vm {at} of {folder}"),
            "nics": {"lan": {
                "mac": format!("02:00:00:{:02x}:{:02x}:{octet:02x}", folder >> 8, folder & 0xff),
                "addresses": [format!("10.{}.{}.{octet}/24", folder >> 8, folder & 0xff)],
                "gateway": format!("10.{}.{}.254", folder >> 8, folder & 0xff),
            }},
        }),
        _ => json!({
            "use_prototype": "database",
            "settings": {"numa": true},
            "disks": {"root": {"size": "128GiB"}, "wal": {"size": "20GiB"}},
            "depends_on": [],
        }),
    }
}
