//! Disks.

use enginehouse_model::documents::{Config, Disk};

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

fn kept() -> World {
    let data = |keep| {
        let mut config = with([("root", 8 * GIB)]);
        let disk = Disk {
            size: Some(100 * GIB),
            keep,
            ..Disk::default()
        };
        config.disks.insert("data".to_owned(), disk);
        config
    };
    deployed()
        .desired(with([("root", 8 * GIB)]))
        .deployed(data(Some(true)))
        .observed(with([("scsi0", 8 * GIB), ("scsi1", 100 * GIB)]))
        .slot("data", "scsi1")
}

#[test]
fn a_disk_that_is_kept_and_no_longer_defined() {
    golden!(kept().plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_the_engine_cannot_keep() {
    golden!(kept().without("disk-remove.keep").plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_the_engine_cannot_remove() {
    let world = deployed().desired(small()).without("disk-remove");
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_whose_slot_holds_a_smaller_one_is_left_alone() {
    let world = deployed()
        .desired(small())
        .observed(with([("scsi0", 4 * GIB)]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn what_takes_away_comes_after_what_adds() {
    let world = deployed()
        .desired(with([("scratch", GIB), ("zone", 4 * GIB)]))
        .deployed(with([("root", 8 * GIB), ("zone", GIB)]))
        .observed(with([("scsi0", 8 * GIB), ("scsi1", GIB)]))
        .slot("zone", "scsi1");
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_of_a_machine_that_cannot_be_told_from_a_copy_is_not_removed() {
    let mut world = deployed().desired(small());
    world.observed.as_mut().unwrap().mark = None;
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_is_no_longer_defined_where_the_configuration_could_not_be_read() {
    let mut world = deployed().desired(small());
    world.observed.as_mut().unwrap().config = None;
    golden!(world.plan(Intent::Reconfigure));
}
