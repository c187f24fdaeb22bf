//! What a world that does not work does to the engine.

use enginehouse_sdk::prelude::*;
use enginehouse_sim::{Call, Fault, FaultEffect};
use serde_json::json;

use super::{GIB, configure, fault, on, simulated, stop, web};
use crate::{Fake, Phase};

fn lost(call: Call) -> Fault {
    Fault::once(call, FaultEffect::LoseAnswer)
}

#[test]
fn a_create_whose_answer_is_lost_makes_one_machine() {
    for task_ms in [0, 200, 3_600_000] {
        let (world, hypervisor) = simulated();
        world.borrow_mut().knobs.task_ms = task_ms;
        world.borrow_mut().knobs.ignore_client_token = true;
        fault(&world, lost(Call::MachineCreate));
        let made = hypervisor.run::<Fake>(&web()).unwrap();
        assert_eq!(
            (made.settles, made.created.as_slice()),
            (1, &[Object::machine("m-1")][..])
        );
        // The one that is still under way is waited for.
        assert_eq!(made.tasks.len(), usize::from(task_ms == 3_600_000));
        assert_eq!(world.borrow().machines_made, 1);
    }
}

#[test]
fn a_create_that_did_not_arrive_is_sent_again() {
    let (world, hypervisor) = simulated();
    fault(&world, Fault::once(Call::MachineCreate, FaultEffect::Drop));
    let made = hypervisor.run::<Fake>(&web()).unwrap();
    assert_eq!(made.settles, 1);
    assert_eq!(world.borrow().machines_made, 1);
}

#[test]
fn a_lost_create_is_found_on_any_page() {
    let (world, hypervisor) = simulated();
    let hypervisor = hypervisor.settings(json!({"page_size": 2}));
    for name in ["a", "b", "c", "d"] {
        let theirs = json!({"name": name, "mark": "theirs"}).to_string();
        world
            .borrow_mut()
            .ask("POST", "/v1/machines", &[], None, theirs.as_bytes());
    }
    fault(&world, lost(Call::MachineCreate));
    let made = hypervisor.run::<Fake>(&web()).unwrap();
    assert_eq!(made.created, [Object::machine("m-5")]);
    assert_eq!(world.borrow().machines_made, 5);
}

#[test]
fn as_long_as_a_machine_hides_its_mark_nothing_is_known() {
    let (world, hypervisor) = simulated();
    world.borrow_mut().knobs.late_mark = true;
    world.borrow_mut().knobs.task_ms = 60_000;
    fault(&world, lost(Call::MachineCreate));
    let lost = hypervisor.step::<Fake>(&web(), None).unwrap_err();
    assert!(lost.is(Code::Unreachable), "{lost}");
    let settle = || hypervisor.settle::<Fake>(&web(), None, Sent::default());
    hypervisor.advance(59_000);
    let unknown = settle().unwrap_err();
    assert!(unknown.is(Code::Busy), "{unknown}");
    assert_eq!(unknown.message(), "no mark to see yet on m-1");
    hypervisor.advance(1000);
    let id = "m-1".to_owned();
    assert_eq!(settle().unwrap().fate, Fate::Done(Phase::Made { id }));
    assert_eq!(world.borrow().machines_made, 1);
}

#[test]
fn a_host_that_is_away_may_have_the_machine() {
    let (world, hypervisor) = simulated();
    fault(&world, lost(Call::MachineCreate));
    hypervisor.step::<Fake>(&web(), None).unwrap_err();
    world
        .borrow_mut()
        .knobs
        .offline_hosts
        .push("sim-a".to_owned());
    let unknown = hypervisor
        .settle::<Fake>(&web(), None, Sent::default())
        .unwrap_err();
    assert!(unknown.is(Code::Unreachable), "{unknown}");
}

#[test]
fn two_machines_with_our_mark_are_in_doubt() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    let copy = json!({"name": "copy"}).to_string();
    world
        .borrow_mut()
        .ask("POST", "/v1/machines/m-1/clone", &[], None, copy.as_bytes());
    let settled = hypervisor
        .settle::<Fake>(&web(), None, Sent::default())
        .unwrap();
    let Fate::Unknown(why) = settled.fate else {
        panic!("{settled:?}");
    };
    assert_eq!(why, "m-1 and m-2 carry the mark of this operation");
}

#[test]
fn changes_whose_answers_are_lost_happen_once() {
    let (world, hypervisor) = simulated();
    let machine = hypervisor.run::<Fake>(&web()).unwrap().outcome.machine;
    let run = |action| hypervisor.run::<Fake>(&on("m-1", action)).unwrap();
    run(Action::Start);
    for call in [Call::MachineUpdate, Call::MachineRestart, Call::DiskAdd] {
        fault(&world, lost(call));
    }
    let desired = json!({"vcpu": 8, "labels": {"a": "b"}});
    let changed = configure(
        desired,
        &["vcpu", "labels.a", "labels.tier"],
        machine.as_ref(),
    );
    let changed = run(changed);
    assert_eq!(changed.settles, 1);
    assert_eq!(
        changed.outcome.machine.unwrap().config.unwrap().vcpu,
        Some(8)
    );
    let restarted = run(Action::Restart {
        graceful: false,
        timeout_ms: None,
    });
    assert_eq!((restarted.settles, restarted.tasks.len()), (1, 0));
    let disk = Disk {
        size: Some(GIB),
        ..Disk::default()
    };
    let added = run(Action::DiskAdd {
        name: "log".to_owned(),
        disk,
    });
    assert_eq!(
        (added.settles, added.outcome.slots["log"].as_str()),
        (1, "disk2")
    );
    let world = world.borrow();
    let machine = world.machine("m-1").unwrap();
    assert_eq!(
        (machine.boots, machine.disks.len(), machine.version),
        (2, 3, 3)
    );
}

#[test]
fn a_change_by_somebody_else_is_a_conflict() {
    let (world, hypervisor) = simulated();
    let machine = hypervisor.run::<Fake>(&web()).unwrap().outcome.machine;
    let theirs = json!({"description": "mine"}).to_string();
    world
        .borrow_mut()
        .ask("PATCH", "/v1/machines/m-1", &[], None, theirs.as_bytes());
    let change = configure(json!({"vcpu": 8}), &["vcpu"], machine.as_ref());
    let refused = hypervisor.run::<Fake>(&on("m-1", change)).unwrap_err();
    assert!(refused.is(Code::Conflict), "{refused}");
    assert_eq!(refused.message(), "the machine is at version 2, not \"1\"");
    assert_eq!(world.borrow().machine("m-1").unwrap().vcpu, 2);
}

#[test]
fn a_create_that_fails_names_what_it_left() {
    for leave_half in [false, true] {
        let (world, hypervisor) = simulated();
        let message = "no space left".to_owned();
        let effect = FaultEffect::TaskError {
            message,
            leave_half,
        };
        fault(&world, Fault::once(Call::MachineCreate, effect));
        let failed = hypervisor.run::<Fake>(&web()).unwrap_err();
        assert_eq!(
            (failed.code(), failed.message()),
            (Code::Provider, "no space left")
        );
        let left: &[&str] = if leave_half { &["machine m-1"] } else { &[] };
        assert_eq!(failed.detail().created, left);
        assert_eq!(
            failed.detail().lines.last().unwrap(),
            "ERROR: no space left"
        );
    }
}

#[test]
fn a_machine_left_half_made_is_not_taken_for_a_whole_one() {
    let (world, hypervisor) = simulated();
    let message = "no space left".to_owned();
    let effect = FaultEffect::TaskError {
        message,
        leave_half: true,
    };
    fault(&world, Fault::once(Call::MachineCreate, effect));
    fault(&world, lost(Call::MachineCreate));
    let failed = hypervisor.run::<Fake>(&web()).unwrap_err();
    assert_eq!(failed.message(), "machine m-1 was never completed");
    assert_eq!(failed.detail().created, ["machine m-1"]);
}

#[test]
fn a_task_with_warnings_succeeds_with_them() {
    let (world, hypervisor) = simulated();
    let message = "slow disk".to_owned();
    fault(
        &world,
        Fault::always(
            Call::MachineCreate,
            FaultEffect::TaskWarning {
                message: message.clone(),
            },
        ),
    );
    fault(
        &world,
        Fault::always(Call::MachineStart, FaultEffect::TaskWarning { message }),
    );
    let made = hypervisor.run::<Fake>(&web()).unwrap();
    assert_eq!(made.outcome.warnings, ["slow disk"]);
    assert!(
        made.lines.contains(&"WARNING: slow disk".to_owned()),
        "{:?}",
        made.lines
    );
    let started = hypervisor.run::<Fake>(&on("m-1", Action::Start)).unwrap();
    assert_eq!(started.outcome.warnings, ["slow disk"]);
}

#[test]
fn a_deaf_guest_makes_a_stop_busy_and_is_then_switched_off() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    hypervisor.run::<Fake>(&on("m-1", Action::Start)).unwrap();
    world
        .borrow_mut()
        .knobs
        .ignore_shutdown
        .push("*".to_owned());
    let deaf = hypervisor.run::<Fake>(&on("m-1", stop(true))).unwrap_err();
    assert_eq!(
        (deaf.code(), deaf.message()),
        (Code::Busy, "the guest did not stop within 5000 ms")
    );
    hypervisor.run::<Fake>(&on("m-1", stop(false))).unwrap();
    assert_eq!(
        world.borrow().machine("m-1").unwrap().power,
        enginehouse_sim::Power::Stopped
    );
}

#[test]
fn a_locked_machine_is_busy_and_a_running_one_is_not_destroyed() {
    let (world, hypervisor) = simulated();
    hypervisor.run::<Fake>(&web()).unwrap();
    world.borrow_mut().knobs.task_ms = 60_000;
    world
        .borrow_mut()
        .ask("POST", "/v1/machines/m-1/start", &[], None, b"");
    let locked = hypervisor
        .run::<Fake>(&on("m-1", Action::Destroy { keep: vec![] }))
        .unwrap_err();
    assert_eq!(
        (locked.code(), locked.message()),
        (Code::Busy, "machine m-1 is locked (start, t-2)")
    );
    hypervisor.advance(60_000);
    let running = hypervisor
        .run::<Fake>(&on("m-1", Action::Destroy { keep: vec![] }))
        .unwrap_err();
    assert_eq!(
        (running.code(), running.message()),
        (Code::Conflict, "machine m-1 is running: stop it first")
    );
}

#[test]
fn a_refusal_keeps_the_providers_words() {
    let (world, hypervisor) = simulated();
    let effect = FaultEffect::Answer {
        status: 507,
        code: "full".to_owned(),
        message: "storage local is full".to_owned(),
    };
    fault(&world, Fault::once(Call::MachineCreate, effect));
    let full = hypervisor.run::<Fake>(&web()).unwrap_err();
    assert_eq!(
        (full.code(), full.message()),
        (Code::Provider, "storage local is full")
    );
    assert_eq!(full.detail().status, Some(507));
}
