//! The machine's own keys: what stands in a definition and in a prototype.

use enginehouse_model::documents::Power;

use crate::entries::Entries;
use crate::guest::GuestValues;
use crate::leaf::{Filled, Gateway, Json, Mac, NicAddresses, Size, Text, Vlan};
use crate::record::record;

record! {
    /// The machine, as far as one level or prototype says something of it.
    MachineValues as "prototype",
    /// The machine that results from inheritance.
    MachineComputed,
    "an object with the machine's keys",
    {
        /// Template or image that the machine is made from, in the provider's words.
        base_image: Filled,
        /// Virtual processors.
        vcpu: u32,
        /// Main memory.
        memory: Size,
        /// A note on the machine, for people; also shown by the hypervisor.
        description: Text,
        /// Whether it is to run. Unset: not managed.
        power: Power,
        /// Texts by key, inherited key by key.
        labels: Entries<Text>,
        /// Where the machine is to be.
        placement: PlacementValues,
        /// Disks by name, inherited field by field.
        disks: Entries<DiskValues>,
        /// Network adapters by name, inherited field by field.
        nics: Entries<NicValues>,
        /// Configuration inside the guest.
        guest: GuestValues,
        /// The engine's own settings of a machine, by its schema; inherited key by key.
        settings: Entries<Json>,
    }
}

record! {
    /// Where the machine is to be.
    PlacementValues as "placement",
    PlacementComputed,
    "an object with host, cluster, pool and folder",
    {
        /// Node or host of a cluster.
        host: Filled,
        /// Cluster of the hypervisor.
        cluster: Filled,
        /// Resource pool.
        pool: Filled,
        /// Folder on the hypervisor; the tree's own folders are not meant.
        folder: Filled,
    }
}

record! {
    DiskValues as "disk",
    DiskComputed,
    "an object with size, storage, storage_class, bus and keep",
    {
        /// Disks only grow.
        size: Size,
        /// Storage or datastore that holds it.
        storage: Filled,
        /// Kind of storage, where the provider chooses the place.
        storage_class: Filled,
        /// How it is attached: `scsi`, `virtio`, `sata`, …
        bus: Filled,
        /// Whether it survives the machine. Unset: no.
        keep: bool,
    }
}

record! {
    NicValues as "nic",
    NicComputed,
    "an object with network, vlan, mac, adapter, addresses and gateway",
    {
        /// Bridge, network or port group.
        network: Filled,
        /// VLAN tag.
        vlan: Vlan,
        /// Hardware address. Unset: the provider chooses one.
        mac: Mac,
        /// Model: `virtio`, `e1000`, `vmxnet3`, …
        adapter: Filled,
        /// Addresses inside the guest.
        addresses: NicAddresses,
        /// Where the default route goes.
        gateway: Gateway,
    }
}
