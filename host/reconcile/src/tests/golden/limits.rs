//! What waits for room within a limit on destruction.

use enginehouse_model::documents::Config;
use enginehouse_model::{NodeUid, Timestamp};

use super::{NOW, all, golden, small};
use crate::tests::budget::{level, node, went};
use crate::tests::world::{GIB, World, disks};
use crate::{Budget, Destroyed, Intent, KeepDisks, Plan};

/// As far as these worlds go, all machines are below `/web`.
fn below(machine: NodeUid) -> Vec<NodeUid> {
    vec![machine, node(2), node(1)]
}

fn undeploy(count: u128) -> Plan {
    let worlds: Vec<World> = (9..9 + count).map(World::new).collect();
    let keep = KeepDisks::Marked;
    all(&worlds, Intent::Undeploy { keep })
}

/// The same, so long before the plans are read.
fn recently(machine: u128, minutes: u64) -> Destroyed {
    Destroyed {
        at: Timestamp(NOW.0 - minutes * 60_000),
        ..went(machine, 0)
    }
}

#[test]
fn of_a_folder_so_many_go_and_the_others_wait() {
    let budget = Budget {
        levels: [level(2, 2, None, 0)].into(),
        ..Budget::default()
    };
    let mut plan = undeploy(4);
    plan.wait_for_room(budget, below, NOW);
    golden!(plan);
}

#[test]
fn what_went_within_the_hour_counts_also_where_per_cent_are_meant() {
    let budget = Budget {
        levels: [level(1, None, 10, 40)].into(),
        destroyed: vec![recently(30, 1), recently(31, 2), recently(32, 59)],
        ..Budget::default()
    };
    let mut plan = undeploy(2);
    plan.wait_for_room(budget, below, NOW);
    golden!(plan);
}

#[test]
fn one_machine_goes_where_nothing_went_and_what_destroys_nothing_never_waits() {
    let data = Config {
        disks: disks([("data", GIB)]),
        ..small()
    };
    let removes = World::new(9)
        .desired(small())
        .deployed(data)
        .observed(Config {
            disks: disks([("scsi1", GIB)]),
            ..small()
        })
        .slot("data", "scsi1");
    let grows = World::new(11)
        .desired(Config {
            vcpu: Some(4),
            ..small()
        })
        .deployed(small())
        .observed(small());
    let budget = Budget {
        levels: [level(2, None, 1, 3)].into(),
        ..Budget::default()
    };
    let mut plan = all(&[removes, grows], Intent::Reconfigure);
    plan.wait_for_room(budget, below, NOW);
    golden!(plan);
}
