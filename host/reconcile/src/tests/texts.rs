//! Plans as people read them.

use enginehouse_model::documents::{Config, Disk, Power, PowerState};
use serde_json::json;

use super::world::{GIB, MIB, World, disks};
use crate::{Intent, KeepDisks, plan, render};

fn small() -> Config {
    Config {
        name: Some("vm".to_owned()),
        vcpu: Some(2),
        memory: Some(2048 * MIB),
        ..Config::default()
    }
}

#[track_caller]
fn reads(plan: &crate::Plan, text: &str) {
    assert_eq!(render(plan), text, "\n{plan}");
}

#[test]
fn a_new_machine() {
    let world = World::unborn(7).desired(Config {
        base_image: Some("d12".to_owned()),
        disks: disks([("data", 100 * GIB), ("root", 16 * GIB)]),
        ..small()
    });
    reads(
        &world.plan(Intent::Deploy),
        "\
pve1
  + create /web/vm7: new machine from d12, cores 2, memory 2048 MiB   benign
  ~ disk-grow /web/vm7: grow data to 100 GiB, if the image's is smaller   benign
  ~ disk-grow /web/vm7: grow root to 16 GiB, if the image's is smaller   benign
  ~ start /web/vm7: run stopped -> running, once after its creation   benign

4 actions: 4 benign
",
    );
}

#[test]
fn a_new_machine_from_scratch_that_stays_off() {
    let world = World::unborn(7).desired(Config {
        disks: disks([("root", 16 * GIB)]),
        power: Some(Power::Stopped),
        ..small()
    });
    reads(
        &world.plan(Intent::Deploy),
        "\
pve1
  + create /web/vm7: new machine from scratch, cores 2, memory 2048 MiB   benign

1 action: 1 benign
",
    );
}

#[test]
fn a_folder_with_one_of_each() {
    let changed = World::new(101)
        .desired(Config {
            vcpu: Some(4),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            settings: json!({"onboot": true, "bios": "ovmf", "odd": 1, "arch": "arm"})
                .as_object()
                .unwrap()
                .clone(),
            disks: disks([("data", 50 * GIB), ("root", 4 * GIB)]),
            ..small()
        })
        .deployed(Config {
            disks: disks([("root", 8 * GIB)]),
            labels: [("old".to_owned(), String::new())].into(),
            ..small()
        })
        .observed(Config {
            disks: disks([("scsi0", 8 * GIB)]),
            labels: [("old".to_owned(), String::new())].into(),
            settings: json!({"onboot": false, "bios": "seabios", "odd": 0, "arch": "x86"})
                .as_object()
                .unwrap()
                .clone(),
            ..small()
        })
        .slot("root", "scsi0")
        .power(PowerState::Running);
    let same = World::new(102)
        .desired(small())
        .deployed(small())
        .observed(small());
    let mut lost = World::new(103).desired(small()).deployed(small());
    lost.observed = None;
    let mut away = World::new(5).desired(Config {
        power: Some(Power::Stopped),
        ..small()
    });
    away.hypervisor = "esx2";
    let away = away
        .deployed(small())
        .observed(small())
        .power(PowerState::Running);
    let plan = plan(&[
        changed.subject(Intent::Reconfigure),
        same.subject(Intent::Reconfigure),
        lost.subject(Intent::Reconfigure),
        away.subject(Intent::Reconfigure),
    ]);
    reads(
        &plan,
        "\
esx2
  ~ stop 5 (/web/vm5): run running -> stopped   disruptive
pve1
  ~ configure 101 (/web/vm101): cores 2 -> 4, labels.env unset -> \"prod\", labels.old \"\" -> unset, settings.onboot false -> true   benign
  ~ configure 101 (/web/vm101): settings.bios \"seabios\" -> \"ovmf\"   disruptive
  ~ configure 101 (/web/vm101): settings.odd 0 -> 1 (the engine does not say how heavy this is)   destructive
  + disk-add 101 (/web/vm101): disk data added, 50 GiB   benign
  ~ restart 101 (/web/vm101): restart, for settings.bios to take effect   disruptive
  ! 101 (/web/vm101): disk root 8 GiB -> 4 GiB: refused, disks only grow
  ! 101 (/web/vm101): settings.arch \"x86\" -> \"arm\": refused, settings.arch takes another machine: replace is not done by reconfigure yet: undeploy and deploy
  ! 103 (/web/vm103): configure: refused, machine 103 is on record, but was not seen on pve1; nothing is created again by itself: `undeploy` takes it off the record, then `deploy` makes it anew

6 actions: 2 benign, 3 disruptive, 1 destructive; 3 refused
",
    );
    let nothing = plan.machines.iter().find(|m| m.name.name() == "vm102");
    assert_eq!(
        nothing.unwrap().nothing_because.as_deref(),
        Some("it is as it is defined")
    );
}

#[test]
fn undeploy_with_a_disk_that_is_kept() {
    let mut config = Config {
        disks: disks([("data", GIB), ("root", GIB)]),
        ..small()
    };
    config.disks.insert(
        "data".to_owned(),
        Disk {
            keep: Some(true),
            ..Disk::default()
        },
    );
    let world = World::new(9)
        .desired(config.clone())
        .deployed(config)
        .slot("data", "scsi1")
        .slot("root", "scsi0")
        .power(PowerState::Running);
    let keep = KeepDisks::Marked;
    reads(
        &world.plan(Intent::Undeploy { keep }),
        "\
pve1
  ~ stop 9 (/web/vm9): run running -> stopped   disruptive
  - destroy 9 (/web/vm9): its disks are kept: data (scsi1)   destructive

2 actions: 1 disruptive, 1 destructive
",
    );
}

#[test]
fn comparing_alone_says_what_drifts_and_what_waits() {
    let mut world = World::new(9)
        .desired(Config {
            vcpu: Some(4),
            memory: Some(1024 * MIB),
            ..small()
        })
        .deployed(small())
        .observed(Config {
            vcpu: Some(8),
            memory: Some(1024 * MIB),
            ..small()
        });
    world.observed.as_mut().unwrap().mark = None;
    reads(
        &world.plan(Intent::Observe),
        "\
pve1
    9 (/web/vm9): drift: cores 2 -> 8
    9 (/web/vm9): pending: cores 2 -> 4
    9 (/web/vm9): on record only: memory 2048 MiB -> 1024 MiB
    9 (/web/vm9): machine 9 cannot be told from a copy or a stranger: its mark was not shown

nothing to do
",
    );
}

#[test]
fn nothing_at_all() {
    reads(&plan(&[]), "nothing to do\n");
}

#[test]
fn what_a_provider_writes_into_names_cannot_repaint_the_terminal() {
    let mut world = World::new(9).desired(small()).deployed(small());
    let machine = world.observed.as_mut().unwrap();
    machine.name = Some("a\x1b[2K\nb".to_owned());
    machine.lock = Some("back\rup".to_owned());
    let text = render(&world.plan(Intent::Reconfigure));
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    assert!(text.contains(r#"name "a\u001b[2K\nb" -> vm"#), "{text}");
}

#[test]
fn a_secret_setting_is_written_but_not_shown() {
    let with = |key: &str| Config {
        settings: json!({"key": key}).as_object().unwrap().clone(),
        ..small()
    };
    let world = World::new(9)
        .desired(with("hunter2"))
        .deployed(with("swordfish"))
        .observed(with("swordfish"));
    let plan = world.plan(Intent::Reconfigure);
    let text = render(&plan);
    assert!(text.contains("settings.key (secret) -> (secret)"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("swordfish"));
}
