//! Nics.

use enginehouse_model::documents::{ChangeClass, Config, FieldRule, Nic, PowerState};

use super::{golden, same, small, traced};
use crate::tests::world::{World, description, disks};
use crate::{Intent, KeepDisks, Rules};

fn nic(network: &str, vlan: Option<u16>) -> Nic {
    Nic {
        network: Some(network.to_owned()),
        vlan,
        ..Nic::default()
    }
}

fn wired<const N: usize>(nics: [(&str, Nic); N]) -> Config {
    Config {
        nics: nics.map(|(name, nic)| (name.to_owned(), nic)).into(),
        ..small()
    }
}

/// `lan` in vmbr0 and VLAN 10, running.
fn deployed() -> World {
    let lan = || nic("vmbr0", Some(10));
    same(9)
        .desired(wired([("lan", lan())]))
        .deployed(wired([("lan", lan())]))
        .observed(wired([("net0", lan())]))
        .slot("lan", "net0")
        .power(PowerState::Running)
}

/// The engine says how heavy a change of this member is.
fn with_class(member: &str, class: ChangeClass) -> Rules {
    let mut description = description();
    let rule = FieldRule {
        class: Some(class),
        ..FieldRule::default()
    };
    description.fields.insert(format!("nics.{member}"), rule);
    Rules::new(&description)
}

fn in_vlan_20() -> World {
    deployed().desired(wired([("lan", nic("vmbr0", Some(20)))]))
}

#[test]
fn a_nic_in_another_vlan() {
    golden!(traced(
        &in_vlan_20(),
        Intent::Reconfigure,
        &[("nics.lan.network", "/"), ("nics.lan.vlan", "/web")]
    ));
}

#[test]
fn a_nic_in_another_vlan_of_a_machine_that_stands_still() {
    let world = in_vlan_20().power(PowerState::Stopped);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_whose_change_the_engine_calls_in_place() {
    let mut world = in_vlan_20();
    world.rules = with_class("vlan", ChangeClass::InPlace);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_whose_change_takes_a_restart() {
    let mut world = in_vlan_20();
    world.rules = with_class("vlan", ChangeClass::Restart);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_whose_change_takes_another() {
    let mut world = in_vlan_20();
    world.rules = with_class("vlan", ChangeClass::Replace);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_whose_tag_somebody_took_away() {
    let world = deployed().observed(wired([("net0", nic("vmbr0", None))]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_that_drifted_and_is_to_be_elsewhere() {
    let world = in_vlan_20().observed(wired([("net0", nic("vmbr1", Some(10)))]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_whose_vlan_is_no_longer_managed() {
    let world = deployed().desired(wired([("lan", nic("vmbr0", None))]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_that_gets_an_address() {
    let mut lan = nic("vmbr0", Some(10));
    lan.addresses = vec!["192.0.2.10/24".to_owned()];
    golden!(
        deployed()
            .desired(wired([("lan", lan)]))
            .plan(Intent::Reconfigure)
    );
}

#[test]
fn a_mac_address_in_capitals_is_the_same() {
    let with = |mac: &str| Nic {
        mac: Some(mac.to_owned()),
        ..nic("vmbr0", None)
    };
    let world = deployed()
        .desired(wired([("lan", with("02:00:00:00:00:0a"))]))
        .deployed(wired([("lan", with("02:00:00:00:00:0a"))]))
        .observed(wired([("net0", with("02:00:00:00:00:0A"))]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_that_is_added() {
    let lan = nic("vmbr0", Some(20));
    golden!(
        same(9)
            .desired(wired([("lan", lan)]))
            .plan(Intent::Reconfigure)
    );
}

#[test]
fn a_nic_that_is_gone_is_added_again() {
    golden!(deployed().observed(small()).plan(Intent::Reconfigure));
}

#[test]
fn a_nic_that_is_no_longer_defined() {
    golden!(deployed().desired(small()).plan(Intent::Reconfigure));
}

#[test]
fn a_nic_that_is_neither_defined_nor_there() {
    let world = deployed().desired(small()).observed(small());
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_whose_slot_nobody_knows() {
    let mut world = in_vlan_20();
    world.record.as_mut().unwrap().slots.clear();
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_nic_with_the_name_of_a_disk_is_not_added() {
    let mut config = wired([("data", nic("vmbr0", None))]);
    config.disks = disks([("data", 1 << 30)]);
    golden!(same(9).desired(config).plan(Intent::Reconfigure));
}

#[test]
fn a_new_machine_whose_disk_and_nic_have_one_name() {
    let mut config = wired([("data", nic("vmbr0", None))]);
    config.disks = disks([("data", 1 << 30)]);
    golden!(World::unborn(7).desired(config).plan(Intent::Deploy));
}

#[test]
fn a_disk_with_the_name_of_a_nic_that_goes_is_not_added() {
    let mut config = small();
    config.disks = disks([("lan", 1 << 30)]);
    golden!(deployed().desired(config).plan(Intent::Reconfigure));
}

/// Both were made before that was refused: the one slot on record may be of either.
fn with_one_name() -> World {
    let lan = || nic("vmbr0", Some(10));
    let mut config = wired([("data", lan())]);
    config.disks = disks([("data", 1 << 30)]);
    let mut seen = wired([("net0", lan())]);
    seen.disks = disks([("scsi1", 1 << 30)]);
    same(9)
        .desired(config.clone())
        .deployed(config)
        .observed(seen)
        .slot("data", "net0")
}

#[test]
fn a_disk_that_shares_its_name_with_a_nic_is_not_removed() {
    let mut world = with_one_name();
    let lan = nic("vmbr0", Some(10));
    world = world.desired(wired([("data", lan)]));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_disk_that_is_kept_and_shares_its_name_with_a_nic_is_not_destroyed() {
    let intent = Intent::Undeploy {
        keep: KeepDisks::All,
    };
    golden!(with_one_name().plan(intent));
}

/// An engine that sets no addresses.
fn without_addresses() -> Rules {
    let mut description = description();
    description
        .actions
        .retain(|action| action != "nic.addresses");
    Rules::new(&description)
}

fn addressed() -> Config {
    let lan = Nic {
        addresses: vec!["192.0.2.10/24".to_owned()],
        gateway: Some("192.0.2.1".to_owned()),
        ..nic("vmbr0", Some(10))
    };
    wired([("lan", lan)])
}

#[test]
fn a_new_machine_with_addresses_that_the_engine_does_not_set() {
    let mut world = World::unborn(7).desired(addressed());
    world.rules = without_addresses();
    golden!(world.plan(Intent::Deploy));
}

#[test]
fn addresses_that_the_engine_does_not_set_are_refused_later_too() {
    let mut world = deployed().desired(addressed());
    world.rules = without_addresses();
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn addresses_that_somebody_took_away() {
    let world = deployed().desired(addressed()).deployed(addressed());
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn nics_that_the_engine_can_neither_add_nor_change_nor_remove() {
    let mut world = in_vlan_20()
        .desired(wired([
            ("lan", nic("vmbr0", Some(20))),
            ("wan", nic("vmbr9", None)),
        ]))
        .deployed(wired([
            ("lan", nic("vmbr0", Some(10))),
            ("old", nic("vmbr3", None)),
        ]))
        .observed(wired([
            ("net0", nic("vmbr0", Some(10))),
            ("net1", nic("vmbr3", None)),
        ]))
        .slot("old", "net1");
    let mut description = description();
    let actions = &mut description.actions;
    actions.retain(|action| !action.starts_with("nic-"));
    world.rules = Rules::new(&description);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn nics_are_added_and_changed_before_others_are_removed() {
    let world = deployed()
        .desired(wired([
            ("lan", nic("vmbr0", Some(20))),
            ("wan", nic("vmbr9", None)),
        ]))
        .deployed(wired([
            ("a-former", nic("vmbr3", None)),
            ("lan", nic("vmbr0", Some(10))),
        ]))
        .observed(wired([
            ("net0", nic("vmbr0", Some(10))),
            ("net1", nic("vmbr3", None)),
        ]))
        .slot("a-former", "net1");
    golden!(world.plan(Intent::Reconfigure));
}
