//! Machines that are made, or made to the end.

use enginehouse_model::documents::{Config, Nic, Placement, Power, PowerState};
use serde_json::json;

use super::{all, golden, settings, small, traced};
use crate::Intent;
use crate::tests::world::{GIB, World, disks};

fn from_image() -> Config {
    Config {
        base_image: Some("d12".to_owned()),
        disks: disks([("data", 100 * GIB), ("root", 16 * GIB)]),
        ..small()
    }
}

#[test]
fn a_new_machine() {
    golden!(World::unborn(7).desired(from_image()).plan(Intent::Deploy));
}

#[test]
fn a_new_machine_with_origins() {
    let world = World::unborn(7).desired(Config {
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        power: Some(Power::Running),
        nics: [(
            "lan".to_owned(),
            Nic {
                network: Some("vmbr0".to_owned()),
                vlan: Some(20),
                addresses: vec!["192.0.2.10/24".to_owned()],
                ..Nic::default()
            },
        )]
        .into(),
        placement: Placement {
            host: Some("n2".to_owned()),
            ..Placement::default()
        },
        ..from_image()
    });
    golden!(traced(
        &world,
        Intent::Deploy,
        &[
            ("base_image", "/web via small (/)"),
            ("vcpu", "/web via small (/)"),
            ("memory", "/web/vm7"),
            ("power", "/"),
            ("labels.env", "/"),
            ("placement.host", "/web"),
            ("disks.data.size", "/web/vm7"),
            ("disks.root.size", "/web via small (/)"),
            ("nics.lan.network", "/"),
            ("nics.lan.vlan", "/"),
            ("nics.lan.addresses", "/web/vm7"),
        ]
    ));
}

#[test]
fn a_new_machine_from_scratch_that_stays_off() {
    let world = World::unborn(7).desired(Config {
        disks: disks([("root", 16 * GIB)]),
        power: Some(Power::Stopped),
        ..small()
    });
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_new_machine_with_secrets_in_settings_and_guest() {
    let world = World::unborn(7).desired(Config {
        settings: settings(json!({"key": "hunter2", "onboot": true})),
        guest: settings(json!({"hostname": "web7"})),
        ..from_image()
    });
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_new_machine_that_the_engine_cannot_make() {
    let world = World::unborn(7)
        .desired(small())
        .without("create.from-scratch");
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_new_machine_with_memory_too_small_to_hold() {
    let world = World::unborn(7).desired(Config {
        memory: Some(1000),
        ..from_image()
    });
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_creation_that_broke_off_and_is_finished() {
    let world = World::new(7).desired(from_image()).observed(Config {
        disks: disks([("scsi0", 8 * GIB)]),
        ..small()
    });
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_creation_whose_machine_may_be_another() {
    let mut world = World::new(7).desired(from_image());
    world.record.as_mut().unwrap().identity = None;
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_creation_of_which_nothing_is_left() {
    let mut world = World::new(7).desired(from_image());
    world.observed = None;
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_machine_that_is_deployed_and_was_never_started() {
    let world = World::new(7)
        .desired(small())
        .deployed(small())
        .observed(small())
        .power(PowerState::Stopped);
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_machine_that_nobody_made_is_not_changed() {
    let mut world = World::new(7).desired(small()).observed(small());
    world.record = None;
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn a_folder_of_which_one_is_there_already() {
    let mut there = super::same(3).power(PowerState::Running);
    there.record.as_mut().unwrap().deployed.power = Some(Power::Running);
    let new = World::unborn(4).desired(from_image());
    golden!(all(&[new, there], Intent::Deploy));
}
