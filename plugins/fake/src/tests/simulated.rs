//! Every action on a world that works.

use enginehouse_sdk::prelude::*;
use enginehouse_sim::{Firmware, World};
use serde_json::json;

use super::{GIB, configure, create, on, simulated, stop, web};
use crate::Fake;

#[test]
fn a_machine_is_made_changed_run_and_destroyed() {
    let (world, hypervisor) = simulated();
    let made = hypervisor.run::<Fake>(&web()).unwrap();
    let machine = made.outcome.machine.unwrap();
    assert_eq!(machine.id, "m-1");
    assert_eq!(machine.mark.as_deref(), Some("eh:0123abcd:4567ef:7"));
    assert_eq!(made.created, [Object::machine("m-1")]);
    let slots: Vec<(&str, &str)> = made
        .outcome
        .slots
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        slots,
        [("data", "disk1"), ("lan", "nic0"), ("root", "disk0")]
    );
    let config = machine.config.clone().unwrap();
    assert_eq!((config.vcpu, config.memory), (Some(2), Some(GIB)));
    assert_eq!(config.base_image.as_deref(), Some("d12"));
    assert_eq!(config.disks["disk0"].size, Some(10 * GIB));
    assert_eq!(config.nics["nic0"].vlan, Some(7));
    assert_eq!(
        (config.power, config.settings["firmware"].as_str()),
        (None, Some("bios"))
    );

    let run = |action| hypervisor.run::<Fake>(&on("m-1", action)).unwrap();
    let desired = json!({"vcpu": 4, "labels": {"a": "1"}, "description": "x"});
    let fields = ["vcpu", "labels.a", "labels.tier", "description"];
    let changed = run(configure(desired, &fields, Some(&machine)));
    let config = changed.outcome.machine.unwrap().config.unwrap();
    assert_eq!(
        (config.vcpu, config.description.as_deref()),
        (Some(4), Some("x"))
    );
    assert_eq!(config.labels, [("a".to_owned(), "1".to_owned())].into());

    run(Action::DiskGrow {
        slot: "disk0".to_owned(),
        size: 12 * GIB,
    });
    let disk = Disk {
        size: Some(GIB),
        ..Disk::default()
    };
    let added = run(Action::DiskAdd {
        name: "log".to_owned(),
        disk,
    });
    assert_eq!(
        added.outcome.slots,
        [("log".to_owned(), "disk2".to_owned())].into()
    );
    assert_eq!(added.created, [Object::disk("m-1/disk2")]);

    run(Action::Start);
    run(Action::Restart {
        graceful: true,
        timeout_ms: Some(5000),
    });
    assert_eq!(world.borrow().machine("m-1").unwrap().boots, 2);
    run(stop(true));
    let keep = |slot: &str| Action::Destroy {
        keep: vec![slot.to_owned()],
    };
    // A disk that is not there is no reason to take the machine for gone.
    let refused = hypervisor
        .run::<Fake>(&on("m-1", keep("disk9")))
        .unwrap_err();
    assert!(refused.is(Code::NotFound), "{refused}");
    run(keep("disk1"));
    let world = world.borrow();
    assert!(world.machines.is_empty());
    assert_eq!(world.volumes[0].id, "m-1/disk1");
}

#[test]
fn a_deploy_takes_five_requests() {
    let (_, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    hypervisor.run::<Fake>(&on("m-1", Action::Start)).unwrap();
    let transcript: Vec<String> = hypervisor
        .requests()
        .iter()
        .map(|request| {
            format!(
                "{} {} {}",
                request.method,
                request.path,
                request.effect.as_str()
            )
        })
        .collect();
    assert_eq!(
        transcript,
        [
            "POST /v1/machines once",
            "GET /v1/tasks read",
            "GET /v1/machines/m-1 read",
            "POST /v1/machines/m-1/start repeat",
            "GET /v1/tasks read",
        ]
    );
}

#[test]
fn a_machine_from_nothing_has_what_is_asked_for() {
    let (world, hypervisor) = simulated();
    let desired = json!({
        "name": "bare", "disks": {"root": {"size": GIB, "storage": "fast", "bus": "scsi"}},
        "settings": {"firmware": "uefi-secure"},
    });
    hypervisor.run::<Fake>(&create(desired)).unwrap();
    let world = world.borrow();
    let machine = world.machine("m-1").unwrap();
    assert_eq!(
        (machine.image.as_deref(), machine.firmware),
        (None, Firmware::UefiSecure)
    );
    assert_eq!(machine.disks["disk0"].storage, "fast");
}

#[test]
fn what_is_so_already_is_done() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let run = |id: &str, action| hypervisor.run::<Fake>(&on(id, action)).unwrap();
    run("m-1", Action::Start);
    assert!(run("m-1", Action::Start).tasks.is_empty());
    run("m-1", stop(false));
    assert!(run("m-1", stop(false)).tasks.is_empty());
    assert!(run("m-1", stop(true)).tasks.is_empty());
    run("m-9", Action::Destroy { keep: vec![] });
    assert_eq!(world.borrow().machine("m-1").unwrap().boots, 1);
}

#[test]
fn firmware_says_that_it_needs_a_restart() {
    let (_, hypervisor) = simulated();
    let uefi = create(json!({"name": "u", "settings": {"firmware": "uefi"}}));
    hypervisor.run::<Fake>(&uefi).unwrap();
    hypervisor.run::<Fake>(&on("m-1", Action::Start)).unwrap();
    let secure = json!({"settings": {"firmware": "uefi-secure"}});
    let change = on("m-1", configure(secure, &["settings.firmware"], None));
    assert!(
        hypervisor
            .run::<Fake>(&change)
            .unwrap()
            .outcome
            .restart_needed
    );
    let bios = json!({"settings": {"firmware": "bios"}});
    let change = on("m-1", configure(bios, &["settings.firmware"], None));
    let refused = hypervisor.run::<Fake>(&change).unwrap_err();
    assert!(refused.is(Code::Invalid), "{refused}");
    assert!(
        refused.message().contains("the disk would not boot"),
        "{refused}"
    );
}

#[test]
fn a_list_goes_through_all_pages_and_says_what_it_misses() {
    let (world, hypervisor) = simulated();
    let hypervisor = hypervisor.settings(json!({"page_size": 2}));
    world.borrow_mut().hosts.push("sim-b".to_owned());
    // Each is a new one, although the test's key is always the same.
    world.borrow_mut().knobs.ignore_client_token = true;
    for _ in 0..5 {
        hypervisor.run::<Fake>(&web()).unwrap();
    }
    let ids = |page: &Page| -> Vec<String> {
        page.machines
            .iter()
            .map(|machine| machine.id.clone())
            .collect()
    };
    let before = hypervisor.requests().len();
    let page = hypervisor.list::<Fake>().unwrap();
    assert_eq!(ids(&page), ["m-1", "m-2", "m-3", "m-4", "m-5"]);
    assert_eq!(hypervisor.requests().len() - before, 3);
    assert!(page.coverage.gaps.is_empty());

    world
        .borrow_mut()
        .knobs
        .offline_hosts
        .push("sim-b".to_owned());
    let page = hypervisor.list::<Fake>().unwrap();
    assert_eq!(ids(&page), ["m-1", "m-3", "m-5"]);
    let gap = &page.coverage.gaps[0];
    assert_eq!((gap.scope.as_str(), gap.name.as_str()), ("host", "sim-b"));

    let at = |id: &str| MachineRef {
        id: id.to_owned(),
        ..MachineRef::default()
    };
    let read = hypervisor
        .read::<Fake>(&[at("m-1"), at("m-2"), at("m-9")])
        .unwrap();
    assert_eq!(read[0].as_ref().unwrap().name.as_deref(), Some("web"));
    assert!(read[1].as_ref().unwrap_err().is(Code::Unreachable));
    assert!(read[2].as_ref().unwrap_err().is(Code::NotFound));
}

#[test]
fn the_identity_is_the_worlds() {
    let (world, hypervisor) = simulated();
    let health = hypervisor.check::<Fake>().unwrap();
    assert_eq!(health.identity, world.borrow().identity);
    assert!(!health.version.is_empty());
}

#[test]
fn an_observed_description_that_is_unset_is_empty() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let description = |world: &World| world.machine("m-1").unwrap().description.clone();
    assert_eq!(description(&world.borrow()), None);
    let page = hypervisor.list::<Fake>().unwrap();
    let config = page.machines[0].config.as_ref().unwrap();
    assert_eq!(config.description.as_deref(), Some(""));
}

#[test]
fn what_an_earlier_creation_left_is_brought_to_what_it_is_to_be() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let mut again = on("m-1", web().action);
    again.action.desired_mut().unwrap().vcpu = Some(8);
    let ended = hypervisor.run::<Fake>(&again).unwrap();
    let slots: Vec<&String> = ended.outcome.slots.keys().collect();
    assert_eq!(slots, ["data", "lan", "root"]);
    let world = world.borrow();
    assert_eq!(
        (world.machines_made, world.machine("m-1").unwrap().vcpu),
        (1, 8)
    );
}

#[test]
fn a_machine_of_somebody_else_gets_our_mark_and_nothing_else() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    world
        .borrow_mut()
        .machines
        .values_mut()
        .for_each(|machine| machine.mark = "theirs".to_owned());
    let before = world.borrow().machines[&1].clone();
    let adopted = hypervisor.run::<Fake>(&on("m-1", Action::Adopt)).unwrap();
    let machine = adopted.outcome.machine.unwrap();
    assert_eq!(machine.mark.as_deref(), Some("eh:0123abcd:4567ef:7"));
    let mut after = world.borrow().machines[&1].clone();
    (after.mark, after.version) = (before.mark.clone(), before.version);
    assert_eq!(after, before);
}
