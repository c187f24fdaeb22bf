//! Disks and nics of a machine that is there.

use enginehouse_sdk::prelude::*;
use enginehouse_sim::{Call, Fault, FaultEffect, World};
use serde_json::json;

use super::{GIB, fault, on, simulated, web};
use crate::Fake;

fn disk_remove(slot: &str, keep: bool) -> ActionRequest {
    let slot = slot.to_owned();
    on("m-1", Action::DiskRemove { slot, keep })
}

fn nic_add(name: &str) -> ActionRequest {
    let nic = Nic {
        network: Some("vmbr9".to_owned()),
        vlan: Some(30),
        ..Nic::default()
    };
    let name = name.to_owned();
    on("m-1", Action::NicAdd { name, nic })
}

fn nic_change(nic: serde_json::Value, changed: &[&str]) -> ActionRequest {
    let action = Action::NicChange {
        slot: "nic0".to_owned(),
        nic: serde_json::from_value(nic).unwrap(),
        changed: changed.iter().map(|&member| member.to_owned()).collect(),
    };
    on("m-1", action)
}

fn nic_remove(slot: &str) -> ActionRequest {
    let slot = slot.to_owned();
    on("m-1", Action::NicRemove { slot })
}

/// What of `m-1` is counted below: disks, nics, volumes.
fn counts(world: &World) -> (usize, usize, usize) {
    let machine = world.machine("m-1").unwrap();
    (machine.disks.len(), machine.nics.len(), world.volumes.len())
}

#[test]
fn disks_and_nics_come_change_and_go() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let run = |request: &ActionRequest| hypervisor.run::<Fake>(request).unwrap();
    let added = run(&nic_add("wan"));
    assert_eq!(
        added.outcome.slots,
        [("wan".to_owned(), "nic1".to_owned())].into()
    );
    assert_eq!(added.created, [Object::nic("m-1/nic1")]);
    let addresses: Vec<String> = {
        let world = world.borrow();
        let nics = world.machine("m-1").unwrap().nics.values();
        nics.map(|nic| nic.mac.clone()).collect()
    };
    assert_ne!(addresses[0], addresses[1]);

    let changed = run(&nic_change(
        json!({"network": "vmbr1", "adapter": "e1000"}),
        &["network", "vlan"],
    ));
    let config = changed.outcome.machine.unwrap().config.unwrap();
    let nic = &config.nics["nic0"];
    assert_eq!(nic.network.as_deref(), Some("vmbr1"));
    assert_eq!(nic.vlan, None, "what is to change and is not said is unset");
    assert_eq!(nic.adapter.as_deref(), Some("virtio"), "the rest stays");

    let removed = run(&nic_remove("nic0"));
    let config = removed.outcome.machine.unwrap().config.unwrap();
    assert_eq!(config.nics.keys().collect::<Vec<_>>(), ["nic1"]);
    run(&disk_remove("disk1", true));
    assert_eq!(world.borrow().volumes[0].id, "m-1/disk1");
    run(&disk_remove("disk0", false));
    assert_eq!(counts(&world.borrow()), (0, 1, 1));
    // What is gone is as it is to be.
    assert!(run(&disk_remove("disk0", false)).tasks.is_empty());
    assert!(run(&nic_remove("nic0")).tasks.is_empty());
}

#[test]
fn the_addresses_of_a_nic_are_set_and_shown() {
    let (_, hypervisor) = simulated();
    let mut created = web();
    let nic = json!({"network": "lan", "addresses": ["192.0.2.10/24"], "gateway": "192.0.2.1"});
    if let Action::Create { desired } = &mut created.action {
        desired.nics = [("lan".to_owned(), serde_json::from_value(nic).unwrap())].into();
    }
    let shown = |request: &ActionRequest| {
        let ended = hypervisor.run::<Fake>(request).unwrap();
        let config = ended.outcome.machine.unwrap().config.unwrap();
        let nic = &config.nics["nic0"];
        (nic.addresses.clone(), nic.gateway.clone())
    };
    let text = |text: &str| text.to_owned();
    let expected = (vec![text("192.0.2.10/24")], Some(text("192.0.2.1")));
    assert_eq!(shown(&created), expected);
    let wanted = json!({"addresses": ["192.0.2.11/24", "dhcp"]});
    let changed = nic_change(wanted, &["addresses"]);
    let expected = (
        vec![text("192.0.2.11/24"), text("dhcp")],
        Some(text("192.0.2.1")),
    );
    assert_eq!(shown(&changed), expected);
    let unset = nic_change(json!({}), &["addresses", "gateway"]);
    assert_eq!(shown(&unset), (Vec::new(), None));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let before = world.borrow().machine("m-1").unwrap().clone();
    let refused = |request: &ActionRequest| hypervisor.run::<Fake>(request).unwrap_err();
    assert!(refused(&nic_add("lan")).is(Code::Conflict));
    let vlan = nic_change(json!({"vlan": 5000}), &["vlan"]);
    assert!(refused(&vlan).is(Code::Invalid));
    assert_eq!(world.borrow().machine("m-1").unwrap(), &before);
}

#[test]
fn a_lost_answer_adds_and_takes_away_once() {
    let cases = [
        (Call::DiskRemove, disk_remove("disk1", true), (1, 1, 1)),
        (Call::NicAdd, nic_add("wan"), (2, 2, 0)),
        (Call::NicRemove, nic_remove("nic0"), (2, 0, 0)),
    ];
    for (call, request, expected) in cases {
        // Under way still, and over by the time that is asked.
        for task_ms in [0, 3_600_000] {
            let (world, hypervisor) = simulated();
            hypervisor.run::<Fake>(&web()).unwrap();
            world.borrow_mut().knobs.task_ms = task_ms;
            fault(&world, Fault::once(call, FaultEffect::LoseAnswer));
            let tasks = world.borrow().tasks_made;
            let ended = hypervisor.run::<Fake>(&request).unwrap();
            assert_eq!(ended.settles, 1, "{call}");
            assert_eq!(world.borrow().tasks_made, tasks + 1, "{call}");
            assert_eq!(counts(&world.borrow()), expected, "{call}");
        }
        let (world, hypervisor) = simulated();
        hypervisor.run::<Fake>(&web()).unwrap();
        fault(&world, Fault::once(call, FaultEffect::Drop));
        hypervisor.run::<Fake>(&request).unwrap();
        assert_eq!(counts(&world.borrow()), expected, "{call}");
    }
}

#[test]
fn a_change_of_a_nic_is_sent_again_when_its_answer_is_lost() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let lost = Fault::once(Call::NicChange, FaultEffect::LoseAnswer);
    fault(&world, lost);
    let request = nic_change(json!({"vlan": 8}), &["vlan"]);
    let error = hypervisor.run::<Fake>(&request).unwrap_err();
    assert!(error.is(Code::Unreachable), "{error}");
    hypervisor.advance(60_000);
    hypervisor.run::<Fake>(&request).unwrap();
    let world = world.borrow();
    assert_eq!(world.machine("m-1").unwrap().nics["nic0"].vlan, Some(8));
    assert_eq!(world.machine("m-1").unwrap().disks["disk1"].size, GIB);
}
