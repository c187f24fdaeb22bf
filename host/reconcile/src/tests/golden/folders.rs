//! Many machines.

use enginehouse_model::documents::{Config, Power, PowerState};

use super::{all, golden, same, small, text};
use crate::tests::world::{GIB, World, disks};
use crate::{Intent, KeepDisks, plan};

fn at(mut world: World, name: &str, hypervisor: &'static str) -> World {
    world.name = name.parse().unwrap();
    world.hypervisor = hypervisor;
    world
}

fn four_cores() -> Config {
    Config {
        vcpu: Some(4),
        ..small()
    }
}

#[test]
fn machines_stand_below_their_folders_in_the_order_of_execution() {
    let worlds = [
        at(same(12).desired(four_cores()), "/web/api/a", "pve1"),
        at(same(9).desired(four_cores()), "/web/b", "pve1"),
        at(same(10).desired(four_cores()), "/web/a", "pve1"),
        at(same(100).desired(four_cores()), "/web/c", "esx2"),
        at(same(1), "/db", "pve1"),
    ];
    golden!(all(&worlds, Intent::Reconfigure));
}

#[test]
fn a_folder_with_one_of_each() {
    let changed = same(101)
        .desired(Config {
            disks: disks([("data", 50 * GIB), ("root", 4 * GIB)]),
            ..four_cores()
        })
        .deployed(Config {
            disks: disks([("root", 8 * GIB)]),
            ..small()
        })
        .observed(Config {
            disks: disks([("scsi0", 8 * GIB)]),
            ..small()
        })
        .slot("root", "scsi0");
    let mut lost = same(103);
    lost.observed = None;
    let away = same(5)
        .desired(Config {
            power: Some(Power::Stopped),
            ..small()
        })
        .power(PowerState::Running);
    let worlds = [changed, same(102), lost, at(away, "/web/vm5", "esx2")];
    golden!(all(&worlds, Intent::Reconfigure));
}

#[test]
fn different_intents_in_one_plan() {
    let (one, two) = (same(1), same(2).power(PowerState::Running));
    let keep = KeepDisks::Marked;
    golden!(plan(&[
        one.subject(Intent::Start),
        two.subject(Intent::Undeploy { keep }),
    ]));
}

#[test]
fn several_that_need_nothing_are_named() {
    let worlds: Vec<World> = (1..=4).map(same).collect();
    golden!(all(&worlds, Intent::Reconfigure));
}

#[test]
fn many_that_need_nothing_are_counted() {
    let mut worlds: Vec<World> = (1..=500).map(same).collect();
    worlds.push(same(600).desired(four_cores()));
    golden!(all(&worlds, Intent::Reconfigure));
}

/// 1,000 machines in ten folders; all have a pending change, three are to be stopped.
fn thousand() -> Vec<World> {
    (1..=1000)
        .map(|number| {
            let name = format!("/f{}/vm{number}", number % 10);
            let desired = match number % 400 {
                7 => Config {
                    power: Some(Power::Stopped),
                    ..small()
                },
                _ => four_cores(),
            };
            let world = same(number).desired(desired).power(PowerState::Running);
            at(world, &name, "pve1")
        })
        .collect()
}

#[test]
fn a_huge_plan_shows_the_heaviest_and_counts_the_rest() {
    golden!(all(&thousand(), Intent::Reconfigure), 5);
}

#[test]
fn without_a_limit_a_huge_plan_has_every_machine() {
    let plan = all(&thousand(), Intent::Reconfigure);
    let whole = text(&plan, None);
    assert_eq!(whole.matches("configure:").count(), 997);
    assert_eq!(whole.matches("stop:").count(), 3);
    assert_eq!(text(&plan, Some(1000)), whole);
    let lines = text(&plan, Some(50)).lines().count();
    assert!(lines < 170, "{lines}");
}
