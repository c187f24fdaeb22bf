//! Drives and network cards as Proxmox VE writes them: `local-lvm:vm-105-disk-0,iothread=1,size=8G`.

use std::fmt;
use std::str::FromStr;

use enginehouse_sdk::prelude::*;

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;
pub const GIB: u64 = 1024 * MIB;

/// Buses of drives with the number of slots each, in the order in which Proxmox VE looks for a boot
/// disk (`PVE::QemuServer::Drive`).
const BUSES: [(&str, u8); 4] = [("ide", 4), ("sata", 6), ("scsi", 31), ("virtio", 16)];

/// Where a drive is attached: `scsi0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    bus: usize,
    number: u8,
}

impl Slot {
    pub fn bus(self) -> &'static str {
        BUSES.get(self.bus).map_or("", |(name, _)| name)
    }

    /// All slots of a bus; `None` if Proxmox VE has no such bus.
    pub fn all(bus: &str) -> Option<impl Iterator<Item = Self>> {
        let at = BUSES.iter().position(|(name, _)| *name == bus)?;
        let (_, count) = BUSES.get(at)?;
        Some((0..*count).map(move |number| Self { bus: at, number }))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.bus(), self.number)
    }
}

/// Not the name of a slot.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSlot;

impl FromStr for Slot {
    type Err = NoSlot;

    fn from_str(text: &str) -> Result<Self, NoSlot> {
        let (bus, (name, count)) = BUSES
            .iter()
            .enumerate()
            .find(|(_, (name, _))| text.starts_with(name))
            .ok_or(NoSlot)?;
        let digits = text.get(name.len()..).unwrap_or_default();
        let number: u8 = digits.parse().map_err(|_| NoSlot)?;
        if number >= *count || number.to_string() != digits {
            return Err(NoSlot);
        }
        Ok(Self { bus, number })
    }
}

/// Number of a network card's slot: 3 for `net3`.
pub fn nic_slot(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("net")?;
    let number: u8 = digits.parse().ok()?;
    (number < 32 && number.to_string() == digits).then_some(number)
}

/// A property string: the parts between commas, `KEY=VALUE` or a value alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    pub fn parse(text: &str) -> Self {
        let parts = text.split(',').filter(|part| !part.is_empty());
        Self(
            parts
                .map(|part| match part.split_once('=') {
                    Some((key, value)) => (key.to_owned(), value.to_owned()),
                    None => (String::new(), part.to_owned()),
                })
                .collect(),
        )
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Changes a value in its place, or adds it; `None` removes it.
    pub fn set(&mut self, key: &str, value: Option<String>) {
        let at = self.0.iter().position(|(known, _)| known == key);
        match (at, value) {
            (Some(at), Some(value)) => {
                if let Some(pair) = self.0.get_mut(at) {
                    pair.1 = value;
                }
            }
            (None, Some(value)) => self.0.push((key.to_owned(), value)),
            (Some(at), None) => {
                self.0.remove(at);
            }
            (None, None) => {}
        }
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (key, value)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let equals = if key.is_empty() { "" } else { "=" };
            write!(f, "{comma}{key}{equals}{value}")?;
        }
        Ok(())
    }
}

/// A drive that holds data of the machine: `None` for CD-ROMs, cloud-init drives and empty ones.
pub fn disk(slot: Slot, value: &str) -> Option<Disk> {
    let properties = Properties::parse(value);
    let volume = properties.get("").or_else(|| properties.get("file"))?;
    if properties.get("media") == Some("cdrom") || matches!(volume, "none" | "cdrom") {
        return None;
    }
    // A disk that a running machine gets with its next start is still as it was asked for.
    let pending = || new_disk_size(value).map(|(_, size)| size);
    Some(Disk {
        size: properties.get("size").and_then(parse_size).or_else(pending),
        storage: volume
            .split_once(':')
            .filter(|_| !volume.starts_with('/'))
            .map(|(storage, _)| storage.to_owned()),
        storage_class: None,
        bus: Some(slot.bus().to_owned()),
        keep: None,
    })
}

/// Bytes of `8G`, `8192M`, `528K`, `1T` or `1024`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.chars().last()? {
        'K' => (text.strip_suffix('K')?, KIB),
        'M' => (text.strip_suffix('M')?, MIB),
        'G' => (text.strip_suffix('G')?, GIB),
        'T' => (text.strip_suffix('T')?, 1024 * GIB),
        _ => (text, 1),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    // `1.5T` is rare, and exact for every size that a disk can have.
    let (whole, fraction) = number.split_once('.')?;
    let (whole, unit) = (whole.parse::<u128>().ok()?, u128::from(unit));
    let places = u32::try_from(fraction.len()).ok().filter(|n| *n <= 12)?;
    let fraction: u128 = fraction.parse().ok()?;
    u64::try_from(whole * unit + fraction * unit / 10_u128.pow(places)).ok()
}

/// As Proxmox VE writes a size: in the largest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    for (unit, name) in [(1024 * GIB, "T"), (GIB, "G"), (MIB, "M"), (KIB, "K")] {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// What makes Proxmox VE create a disk: `local-lvm:8`. The size is in GiB, and may have a fraction
/// (`$NEW_DISK_RE` in `PVE::QemuServer::Drive`); less than a MiB is cut off.
///
/// # Errors
/// `invalid` without a size or a storage.
pub fn new_disk(name: &str, disk: &Disk, default_storage: Option<&str>) -> Result<String> {
    let size = disk.size.unwrap_or(0) / MIB;
    if size == 0 {
        return Err(
            Error::invalid(format_args!("disk {name} is new and has no size"))
                .field(format_args!("disks.{name}.size"))
                .hint("give it a size, such as 8GiB"),
        );
    }
    let Some(storage) = disk.storage.as_deref().or(default_storage) else {
        return Err(
            Error::invalid(format_args!("disk {name} is new and has no storage"))
                .field(format_args!("disks.{name}.storage"))
                .hint("name a storage, or set `storage` in the hypervisor's settings"),
        );
    };
    // 1 MiB is 0.0009765625 GiB: ten places are exact.
    let fraction = (size % 1024) * 9_765_625;
    let mut gib = format!("{}.{fraction:010}", size / 1024);
    gib.truncate(gib.trim_end_matches('0').trim_end_matches('.').len());
    Ok(format!("{storage}:{gib}"))
}

/// Storage and bytes of a disk to be made: `local-lvm:8`.
pub fn new_disk_size(value: &str) -> Option<(&str, u64)> {
    let (storage, gib) = value.split_once(':')?;
    if !gib.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let size = parse_size(&format!("{gib}G"))?;
    Some((storage, size))
}

/// A card, out of `virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5`.
pub fn nic(value: &str) -> Nic {
    let properties = Properties::parse(value);
    let model = model(&properties);
    Nic {
        network: properties.get("bridge").map(str::to_owned),
        vlan: properties.get("tag").and_then(|tag| tag.parse().ok()),
        mac: model
            .as_ref()
            .and_then(|(_, mac)| mac.clone())
            .or_else(|| properties.get("macaddr").map(str::to_owned)),
        adapter: model.map(|(model, _)| model),
        addresses: Vec::new(),
        gateway: None,
    }
}

/// Every key of a card that is not its model.
const NIC_KEYS: [&str; 11] = [
    "bridge",
    "firewall",
    "host_mtu",
    "link_down",
    "macaddr",
    "model",
    "mtu",
    "queues",
    "rate",
    "tag",
    "trunks",
];

/// Model and address: `virtio=MAC`, or a `virtio` alone, or `model=virtio`.
fn model(properties: &Properties) -> Option<(String, Option<String>)> {
    properties.0.iter().find_map(|(key, value)| match &**key {
        "" => Some((value.clone(), None)),
        "model" => Some((value.clone(), None)),
        key if NIC_KEYS.contains(&key) => None,
        key => Some((key.to_owned(), Some(value.clone()))),
    })
}

/// The card as wanted, with what the definition does not say taken from what is there.
///
/// # Errors
/// `invalid` for a new card without a network.
pub fn wanted_nic(
    name: &str,
    nic: &Nic,
    present: Option<&str>,
    default_bridge: Option<&str>,
) -> Result<String> {
    let old = Properties::parse(present.unwrap_or_default());
    let (old_model, old_mac) = match model(&old) {
        Some((model, mac)) => (
            Some(model),
            mac.or_else(|| old.get("macaddr").map(str::to_owned)),
        ),
        None => (None, None),
    };
    let adapter = nic.adapter.clone().or(old_model);
    let adapter = adapter.unwrap_or_else(|| "virtio".to_owned());
    let mac = nic.mac.as_ref().map(|mac| mac.to_uppercase()).or(old_mac);
    let mut wanted = Properties(vec![match mac {
        Some(mac) => (adapter, mac),
        None => (String::new(), adapter),
    }]);
    for (key, value) in &old.0 {
        if NIC_KEYS.contains(&key.as_str()) && !matches!(&**key, "model" | "macaddr") {
            wanted.set(key, Some(value.clone()));
        }
    }
    let bridge = nic.network.as_deref().or_else(|| old.get("bridge"));
    let Some(bridge) = bridge.or(default_bridge.filter(|_| present.is_none())) else {
        if present.is_some() {
            return Ok(wanted.to_string());
        }
        return Err(Error::invalid(format_args!(
            "network card {name} is new and has no network"
        ))
        .field(format_args!("nics.{name}.network"))
        .hint("name a bridge, or set `bridge` in the hypervisor's settings"));
    };
    wanted.set("bridge", Some(bridge.to_owned()));
    if let Some(vlan) = nic.vlan {
        wanted.set("tag", Some(vlan.to_string()));
    }
    Ok(wanted.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(text: &str) -> Slot {
        text.parse().unwrap()
    }

    #[test]
    fn slots_are_those_of_proxmox() {
        for good in ["ide0", "ide3", "sata5", "scsi0", "scsi30", "virtio15"] {
            assert_eq!(slot(good).to_string(), good);
        }
        for bad in [
            "ide4", "scsi31", "scsi", "scsi01", "scsihw", "net0", "efidisk0", "x", "scsi-1",
        ] {
            assert_eq!(bad.parse::<Slot>(), Err(NoSlot), "{bad}");
        }
        assert!(slot("scsi9") < slot("scsi10"));
        assert!(slot("sata0") < slot("scsi0"));
        assert!(Slot::all("floppy").is_none());
        assert_eq!(
            (nic_slot("net0"), nic_slot("net01"), nic_slot("netx")),
            (Some(0), None, None)
        );
    }

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, bytes) in [
            ("8G", 8 * GIB),
            ("8192M", 8 * GIB),
            ("528K", 528 * KIB),
            ("1T", 1024 * GIB),
            ("1.5T", 1536 * GIB),
            ("512", 512),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "G", "x", "-1G", "99999999999T"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        for bytes in [1, 512, 528 * KIB, 8 * GIB, 1536 * GIB, 3 * 1024 * GIB] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
    }

    #[test]
    fn drives_without_data_are_no_disks() {
        let of = |value| disk(slot("ide2"), value);
        assert_eq!(of("none,media=cdrom"), None);
        assert_eq!(of("local:iso/d.iso,media=cdrom,size=1G"), None);
        assert_eq!(of("local-lvm:vm-100-cloudinit,media=cdrom"), None);
        assert_eq!(
            disk(slot("scsi1"), "local-lvm:1.5").unwrap().size,
            Some(1536 * MIB)
        );
        let disk = disk(slot("scsi0"), "local-lvm:vm-100-disk-0,iothread=1,size=8G").unwrap();
        assert_eq!(disk.size, Some(8 * GIB));
        assert_eq!(disk.storage.as_deref(), Some("local-lvm"));
        assert_eq!(disk.bus.as_deref(), Some("scsi"));
    }

    #[test]
    fn new_disks_have_an_exact_size_in_gib() {
        let of = |mib: u64| {
            let disk = Disk {
                size: Some(mib * MIB),
                ..Disk::default()
            };
            new_disk("data", &disk, Some("s")).unwrap()
        };
        assert_eq!(of(8192), "s:8");
        assert_eq!(of(1536), "s:1.5");
        assert_eq!(of(1), "s:0.0009765625");
        assert_eq!(of(10 * 1024 + 1), "s:10.0009765625");
        let none = new_disk("data", &Disk::default(), Some("s")).unwrap_err();
        assert_eq!(none.detail().field.as_deref(), Some("disks.data.size"));
        let disk = Disk {
            size: Some(GIB),
            ..Disk::default()
        };
        let none = new_disk("data", &disk, None).unwrap_err();
        assert_eq!(none.detail().field.as_deref(), Some("disks.data.storage"));
    }

    #[test]
    fn cards_are_read_in_every_spelling() {
        let first = nic("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5");
        assert_eq!(first.adapter.as_deref(), Some("virtio"));
        assert_eq!(first.mac.as_deref(), Some("BC:24:11:00:00:01"));
        assert_eq!(
            (first.network.as_deref(), first.vlan),
            (Some("vmbr0"), Some(5))
        );
        let other = nic("model=e1000,macaddr=BC:24:11:00:00:02,bridge=vmbr1");
        assert_eq!(other.adapter.as_deref(), Some("e1000"));
        assert_eq!(other.mac.as_deref(), Some("BC:24:11:00:00:02"));
    }

    #[test]
    fn a_card_keeps_what_the_definition_does_not_say() {
        let wanted = Nic {
            network: Some("vmbr7".to_owned()),
            ..Nic::default()
        };
        let present = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5";
        assert_eq!(
            wanted_nic("lan", &wanted, Some(present), None).unwrap(),
            "virtio=BC:24:11:00:00:01,bridge=vmbr7,firewall=1,tag=5"
        );
        assert_eq!(
            wanted_nic("lan", &wanted, None, None).unwrap(),
            "virtio,bridge=vmbr7"
        );
        let unnamed = wanted_nic("lan", &Nic::default(), None, Some("vmbr0")).unwrap();
        assert_eq!(unnamed, "virtio,bridge=vmbr0");
        let error = wanted_nic("lan", &Nic::default(), None, None).unwrap_err();
        assert_eq!(error.detail().field.as_deref(), Some("nics.lan.network"));
    }
}
