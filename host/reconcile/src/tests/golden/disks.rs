//! Disks and nics.

use enginehouse_model::documents::{Config, Disk, Nic};

use super::{golden, same, small, traced};
use crate::Intent;
use crate::tests::world::{GIB, World, disks};

fn with<const N: usize>(sizes: [(&str, u64); N]) -> Config {
    Config {
        disks: disks(sizes),
        ..small()
    }
}

/// Root of 8 GiB in scsi0.
fn deployed() -> World {
    same(9)
        .deployed(with([("root", 8 * GIB)]))
        .observed(with([("scsi0", 8 * GIB)]))
        .slot("root", "scsi0")
}

#[test]
fn case_9_a_disk_that_grows() {
    let world = deployed().desired(with([("root", 16 * GIB)]));
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[("disks.root.size", "/web via small (/)")]
    ));
}

#[test]
fn case_9_a_disk_that_would_shrink() {
    let world = deployed().desired(with([("root", 4 * GIB)]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_is_added() {
    let mut config = with([("root", 8 * GIB)]);
    config.disks.insert(
        "data".to_owned(),
        Disk {
            size: Some(100 * GIB),
            storage: Some("ceph".to_owned()),
            ..Disk::default()
        },
    );
    let world = deployed().desired(config);
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[
            ("disks.root.size", "/"),
            ("disks.data.size", "/web/vm9"),
            ("disks.data.storage", "/")
        ]
    ));
}

#[test]
fn a_disk_that_somebody_moved() {
    let on = |slot: &str, storage: &str| Config {
        disks: [(
            slot.to_owned(),
            Disk {
                size: Some(8 * GIB),
                storage: Some(storage.to_owned()),
                ..Disk::default()
            },
        )]
        .into(),
        ..small()
    };
    let world = same(9)
        .desired(on("root", "local"))
        .deployed(on("root", "local"))
        .observed(on("scsi0", "ceph"))
        .slot("root", "scsi0");
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_is_gone() {
    let world = deployed()
        .desired(with([("root", 8 * GIB)]))
        .observed(small());
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_is_no_longer_defined() {
    let world = deployed().desired(small());
    golden!(world.plan(Intent::Reconfigure));
}

fn wired(vlan: u16) -> Config {
    Config {
        nics: [(
            "lan".to_owned(),
            Nic {
                network: Some("vmbr0".to_owned()),
                vlan: Some(vlan),
                ..Nic::default()
            },
        )]
        .into(),
        ..small()
    }
}

#[test]
fn a_nic_in_another_vlan() {
    let mut observed = wired(10);
    let nic = observed.nics.remove("lan").unwrap();
    observed.nics.insert("net0".to_owned(), nic);
    let world = same(9)
        .desired(wired(20))
        .deployed(wired(10))
        .observed(observed)
        .slot("lan", "net0");
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_that_is_added() {
    golden!(same(9).desired(wired(20)).plan(Intent::Reconfigure));
}
