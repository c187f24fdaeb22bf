//! The machine's own keys: what stands in a definition and in a prototype.

use enginehouse_model::documents::Power;

use crate::entries::Entries;
use crate::guest::GuestValues;
use crate::leaf::{Filled, Gateway, Json, Mac, NicAddresses, Size, Text, Vlan};
use crate::record::record;

record! {
    /// The machine, as far as one level or prototype says something of it.
    MachineValues,
    /// The machine that results from inheritance.
    MachineComputed,
    "an object with the machine's keys",
    {
        base_image: Filled,
        /// Virtual processors.
        vcpu: u32,
        memory: Size,
        description: Text,
        /// Unset: not managed.
        power: Power,
        labels: Entries<Text>,
        placement: PlacementValues,
        disks: Entries<DiskValues>,
        nics: Entries<NicValues>,
        guest: GuestValues,
        settings: Entries<Json>,
    }
}

record! {
    /// Where the machine is to be.
    PlacementValues,
    PlacementComputed,
    "an object with host, cluster, pool and folder",
    {
        host: Filled,
        cluster: Filled,
        pool: Filled,
        folder: Filled,
    }
}

record! {
    DiskValues,
    DiskComputed,
    "an object with size, storage, storage_class, bus and keep",
    {
        size: Size,
        storage: Filled,
        storage_class: Filled,
        bus: Filled,
        /// Survives the machine.
        keep: bool,
    }
}

record! {
    NicValues,
    NicComputed,
    "an object with network, vlan, mac, adapter, addresses and gateway",
    {
        network: Filled,
        vlan: Vlan,
        mac: Mac,
        adapter: Filled,
        addresses: NicAddresses,
        gateway: Gateway,
    }
}
