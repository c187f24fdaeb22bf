//! The numbered cases of the planner, with their values and their texts.

use enginehouse_model::documents::{Action, Config, Power, PowerState};

use super::world::{GIB, MIB, World, disks};
use crate::{FieldChange, Intent, MachinePlan, Plan, plan};

fn names(plan: &Plan) -> Vec<String> {
    plan.actions()
        .map(|action| {
            let id = action
                .request
                .machine
                .as_ref()
                .map(|machine| machine.id.as_str());
            format!("{} {}", action.request.action.name(), id.unwrap_or("-"))
        })
        .collect()
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.actions()
        .map(|action| action.reason.as_str())
        .collect()
}

fn only(plan: &Plan) -> &MachinePlan {
    let [machine] = plan.machines.as_slice() else {
        unreachable!("one subject, one plan");
    };
    machine
}

fn change(field: &str, from: &str, to: &str) -> FieldChange {
    FieldChange {
        field: field.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

fn sized(memory: u64) -> Config {
    Config {
        memory: Some(memory),
        ..Config::default()
    }
}

fn described(text: &str) -> Config {
    Config {
        description: Some(text.to_owned()),
        ..Config::default()
    }
}

fn cores(vcpu: u32) -> Config {
    Config {
        vcpu: Some(vcpu),
        ..Config::default()
    }
}

#[test]
fn case_5_configuration_goes_before_run_state_and_guests_by_number() {
    let before = Config {
        vcpu: Some(2),
        memory: Some(2048 * MIB),
        ..Config::default()
    };
    let nine = World::new(9)
        .desired(Config {
            vcpu: Some(4),
            memory: Some(4 * GIB),
            power: Some(Power::Running),
            ..Config::default()
        })
        .deployed(before.clone())
        .observed(before);
    let ten = World::new(10).desired(Config {
        power: Some(Power::Running),
        ..Config::default()
    });
    let plan = plan(&[
        ten.subject(Intent::Reconfigure),
        nine.subject(Intent::Reconfigure),
    ]);
    assert_eq!(names(&plan), ["configure 9", "start 9", "start 10"]);
    assert_eq!(
        reasons(&plan),
        [
            "cores 2 -> 4, memory 2048 MiB -> 4096 MiB",
            "run stopped -> running",
            "run stopped -> running",
        ]
    );
    let orders: Vec<u32> = plan.actions().map(|action| action.order).collect();
    assert_eq!(orders, [1, 2, 3]);
    let first = plan.actions().next().unwrap();
    let Action::Configure {
        desired,
        changed,
        observed,
    } = &first.request.action
    else {
        unreachable!("{first:?}");
    };
    assert_eq!(changed, &["vcpu", "memory"]);
    assert_eq!((desired.vcpu, desired.memory), (Some(4), Some(4096 * MIB)));
    assert_eq!(observed.as_ref().unwrap().version.as_deref(), Some("v1"));
}

#[test]
fn case_6_an_unreadable_configuration_leaves_only_the_run_state() {
    let mut world = World::new(9)
        .desired(Config {
            vcpu: Some(4),
            disks: disks([("root", GIB)]),
            power: Some(Power::Running),
            ..Config::default()
        })
        .deployed(cores(2));
    world.observed.as_mut().unwrap().config = None;
    let plan = world.plan(Intent::Reconfigure);
    assert_eq!(names(&plan), ["start 9"]);
    assert_eq!(only(&plan).refused, []);
    assert_eq!(
        only(&plan).notes,
        ["the configuration could not be read: only the run state was compared"]
    );
}

#[test]
fn case_7_memory_is_truncated_to_what_the_provider_holds() {
    let world = |bytes| {
        World::new(9)
            .desired(sized(bytes))
            .deployed(sized(4096 * MIB))
            .observed(sized(4096 * MIB))
            .plan(Intent::Reconfigure)
    };
    let same = world(4_294_967_297);
    assert_eq!(names(&same), Vec::<String>::new());
    assert_eq!(only(&same).pending, []);
    let smaller = world(4_294_967_295);
    assert_eq!(reasons(&smaller), ["memory 4096 MiB -> 4095 MiB"]);
    let Action::Configure { desired, .. } = &smaller.actions().next().unwrap().request.action
    else {
        unreachable!("{smaller:?}");
    };
    assert_eq!(desired.memory, Some(4095 * MIB));
}

#[test]
fn case_8_descriptions_are_compared_as_the_engine_says() {
    let plan = |desired: Config, observed: &str| {
        World::new(9)
            .desired(desired)
            .observed(described(observed))
            .plan(Intent::Reconfigure)
    };
    assert_eq!(names(&plan(Config::default(), "x")), Vec::<String>::new());
    assert_eq!(names(&plan(described("a"), "a\n")), Vec::<String>::new());
    let emptied = plan(described(""), "x");
    assert_eq!(reasons(&emptied), ["description \"x\" -> \"\""]);
    let Action::Configure {
        desired, changed, ..
    } = &emptied.actions().next().unwrap().request.action
    else {
        unreachable!("{emptied:?}");
    };
    assert_eq!(changed, &["description"]);
    assert_eq!(desired.description.as_deref(), Some(""));
}

#[test]
fn case_9_a_disk_grows_by_itself_and_never_shrinks() {
    let plan = |size| {
        let disk = |name, size| Config {
            disks: disks([(name, size)]),
            ..cores(2)
        };
        World::new(9)
            .slot("root", "scsi0")
            .desired(disk("root", size))
            .deployed(disk("root", 8 * GIB))
            .observed(disk("scsi0", 8 * GIB))
            .plan(Intent::Reconfigure)
    };
    let larger = plan(16 * GIB);
    assert_eq!(names(&larger), ["disk-grow 9"]);
    assert_eq!(reasons(&larger), ["disk root 8 GiB -> 16 GiB"]);
    assert_eq!(
        larger.actions().next().unwrap().request.action,
        Action::DiskGrow {
            slot: "scsi0".to_owned(),
            size: 16 * GIB
        }
    );
    let smaller = plan(4 * GIB);
    assert_eq!(names(&smaller), Vec::<String>::new());
    let [refusal] = only(&smaller).refused.as_slice() else {
        unreachable!("{smaller:?}");
    };
    assert_eq!(refusal.reason, "disks only grow");
    assert_eq!(
        refusal.change,
        Some(change("disks.root.size", "8 GiB", "4 GiB"))
    );
    assert_eq!(names(&plan(8 * GIB)), Vec::<String>::new());
}

#[test]
fn case_10_three_ways() {
    let plan = |desired, deployed, observed| {
        let mut world = World::new(9)
            .desired(cores(desired))
            .deployed(cores(deployed))
            .observed(cores(observed));
        let plan = world.plan(Intent::Reconfigure);
        let sent = world.execute(&plan);
        let record = world.record.unwrap();
        (only(&plan).clone(), sent.len(), record.deployed.vcpu)
    };

    let (pending, requests, deployed) = plan(4, 2, 2);
    assert_eq!(pending.pending, [change("vcpu", "2", "4")]);
    assert_eq!((pending.drift, pending.in_step), (vec![], vec![]));
    assert_eq!((requests, deployed), (1, Some(4)));

    let (drift, requests, deployed) = plan(2, 2, 4);
    assert_eq!(drift.drift, [change("vcpu", "2", "4")]);
    assert_eq!((drift.pending, drift.in_step), (vec![], vec![]));
    assert_eq!((requests, deployed), (1, Some(2)));

    let (in_step, requests, deployed) = plan(4, 2, 4);
    assert_eq!(in_step.in_step, [change("vcpu", "2", "4")]);
    assert_eq!((in_step.pending, in_step.drift), (vec![], vec![]));
    assert_eq!((requests, deployed), (0, Some(4)));
}

#[test]
fn a_persons_stop_against_power_running_is_pending_and_never_drift() {
    let running = Config {
        power: Some(Power::Running),
        ..cores(2)
    };
    let mut world = World::new(9)
        .desired(running.clone())
        .deployed(running)
        .observed(cores(2))
        .power(PowerState::Running);
    let stop = world.plan(Intent::Stop { graceful: true });
    world.execute(&stop);
    let after = world.plan(Intent::Observe);
    assert_eq!(
        only(&after).pending,
        [change("power", "stopped", "running")]
    );
    assert_eq!(only(&after).drift, []);
    // A guest that went down by itself, however, has drifted.
    world.record.as_mut().unwrap().deployed.power = Some(Power::Running);
    let after = world.plan(Intent::Observe);
    assert_eq!(only(&after).drift, [change("power", "running", "stopped")]);
    assert_eq!(only(&after).pending, []);
}

#[test]
fn machines_are_ordered_by_hypervisor_then_number_then_bytes_then_name() {
    let ids = ["b", "10", "a", "9", "09", "99999999999999999999999999"];
    let mut worlds: Vec<World> = ids
        .iter()
        .zip(1..)
        .map(|(id, number)| {
            let mut world = World::new(number).desired(cores(2));
            let identity = world.record.as_mut().unwrap().identity.as_mut().unwrap();
            identity.machine_id = (*id).to_owned();
            world
        })
        .collect();
    worlds.push(World::unborn(50));
    worlds.push(World::unborn(40));
    let mut elsewhere = World::new(1000);
    elsewhere.hypervisor = "a-first";
    worlds.push(elsewhere);
    let subjects: Vec<_> = worlds.iter().map(|w| w.subject(Intent::Observe)).collect();
    let order: Vec<String> = plan(&subjects)
        .machines
        .iter()
        .map(|m| m.machine_id.clone().unwrap_or(m.name.to_string()))
        .collect();
    assert_eq!(
        order,
        [
            "1000",
            "09",
            "9",
            "10",
            "99999999999999999999999999",
            "a",
            "b",
            "/web/vm40",
            "/web/vm50"
        ]
    );
}
