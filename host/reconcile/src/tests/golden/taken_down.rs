//! Machines that are destroyed.

use enginehouse_model::documents::{Config, Disk, PowerState};

use super::{golden, small};
use crate::tests::world::{GIB, World, disks};
use crate::{Intent, KeepDisks};

fn two_disks() -> World {
    let mut config = Config {
        disks: disks([("root", GIB)]),
        ..small()
    };
    config.disks.insert(
        "data".to_owned(),
        Disk {
            keep: Some(true),
            ..Disk::default()
        },
    );
    World::new(9)
        .desired(config.clone())
        .deployed(config)
        .observed(Config {
            disks: disks([("scsi0", GIB), ("scsi1", GIB), ("scsi2", GIB)]),
            ..small()
        })
        .slot("data", "scsi1")
        .slot("root", "scsi0")
        .power(PowerState::Running)
}

#[test]
fn undeploy_with_a_disk_that_is_kept() {
    let keep = KeepDisks::Marked;
    golden!(two_disks().plan(Intent::Undeploy { keep }));
}

#[test]
fn undeploy_that_keeps_all_disks() {
    let keep = KeepDisks::All;
    golden!(two_disks().plan(Intent::Undeploy { keep }));
}

#[test]
fn undeploy_that_keeps_none() {
    let keep = KeepDisks::None;
    golden!(two_disks().plan(Intent::Undeploy { keep }));
}

#[test]
fn undeploy_where_the_engine_cannot_keep_disks() {
    let keep = KeepDisks::Marked;
    let world = two_disks().without("destroy.keep-disks");
    golden!(world.plan(Intent::Undeploy { keep }));
}

#[test]
fn undeploy_of_what_was_never_made() {
    let keep = KeepDisks::Marked;
    golden!(World::unborn(9).plan(Intent::Undeploy { keep }));
}
