//! Machines that are made anew.

use enginehouse_model::FullName;
use enginehouse_model::documents::{Config, Nic, PowerState};
use serde_json::json;

use super::{golden, settings, small, traced};
use crate::Intent;
use crate::tests::world::{GIB, World, disks};

fn from(image: &str) -> Config {
    Config {
        base_image: Some(image.to_owned()),
        disks: disks([("root", 16 * GIB)]),
        ..small()
    }
}

/// Made from d12, running.
fn deployed() -> World {
    World::new(9)
        .desired(from("d12"))
        .deployed(from("d12"))
        .observed(Config {
            disks: disks([("scsi0", 16 * GIB)]),
            ..small()
        })
        .slot("root", "scsi0")
        .power(PowerState::Running)
}

#[test]
fn another_image() {
    let world = deployed().desired(from("d13"));
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[("base_image", "/ via small (/)"), ("vcpu", "/web")]
    ));
}

#[test]
fn another_image_and_everything_else_with_it() {
    let mut desired = from("d13");
    desired.vcpu = Some(4);
    desired.disks = disks([("root", 4 * GIB), ("data", GIB)]);
    desired.nics = [("lan".to_owned(), Nic::default())].into();
    let world = deployed().desired(desired).power(PowerState::Stopped);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn another_host() {
    let on = |host: &str| {
        let mut config = from("d12");
        config.placement.host = Some(host.to_owned());
        config
    };
    let world = deployed().desired(on("n2")).deployed(on("n1"));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_setting_that_takes_another_machine() {
    let with = |arch: &str| Config {
        settings: settings(json!({"arch": arch})),
        ..from("d12")
    };
    let mut seen = with("x86");
    seen.base_image = None;
    seen.disks = disks([("scsi0", 16 * GIB)]);
    let world = deployed()
        .desired(with("arm"))
        .deployed(with("x86"))
        .observed(seen);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_machine_with_a_disk_that_is_kept_is_not_replaced() {
    let kept = |image: &str| {
        let mut config = from(image);
        config.disks.get_mut("root").unwrap().keep = Some(true);
        config
    };
    let world = deployed().desired(kept("d13")).deployed(kept("d12"));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_machine_that_is_protected_is_not_replaced() {
    let mut plan = deployed().desired(from("d13")).plan(Intent::Reconfigure);
    let web: FullName = "/web".parse().unwrap();
    for machine in &mut plan.machines {
        machine.gate(Some(&web));
    }
    golden!(plan);
}

#[test]
fn a_machine_that_cannot_be_told_from_a_copy_is_not_replaced() {
    let mut world = deployed().desired(from("d13"));
    world.observed.as_mut().unwrap().incarnation = None;
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_machine_that_the_engine_cannot_destroy_is_not_replaced() {
    let world = deployed().desired(from("d13")).without("destroy");
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_machine_of_which_nobody_knows_what_it_was_made_from_is_not_replaced() {
    let mut config = from("d12");
    config.base_image = None;
    let world = deployed().desired(from("d13")).deployed(config);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_guest_that_is_to_be_set_up_otherwise_is_no_reason_to_replace_the_machine() {
    let named = |name: &str| Config {
        guest: settings(json!({"hostname": name})),
        ..from("d12")
    };
    let world = deployed().desired(named("b")).deployed(named("a"));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_deploy_that_goes_on_replaces_nothing() {
    golden!(deployed().desired(from("d13")).plan(Intent::Deploy));
}

#[test]
fn comparing_alone_says_that_another_image_is_pending() {
    golden!(deployed().desired(from("d13")).plan(Intent::Observe));
}
