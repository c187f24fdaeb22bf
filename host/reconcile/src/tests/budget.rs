//! How much may be destroyed within an hour.

use enginehouse_model::{NodeUid, OperationId, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{Budget, Destroyed, Intended, LIMIT_WINDOW_MS, Level, Shortage};

const NOW: Timestamp = Timestamp(10 * LIMIT_WINDOW_MS);
const MINUTE: u64 = 60_000;

pub(super) fn node(number: u128) -> NodeUid {
    NodeUid::from_uuid(Uuid::from_u128(number))
}

/// The root is 1, `/web` is 2, and machines are below it.
fn below(machine: u128) -> Vec<NodeUid> {
    vec![node(machine), node(2), node(1)]
}

pub(super) fn level(
    number: u128,
    per_hour: impl Into<Option<u32>>,
    percent: impl Into<Option<u32>>,
    machines: u64,
) -> (NodeUid, Level) {
    let name = match number {
        1 => "/",
        _ => "/web",
    };
    let level = Level {
        node: node(number),
        name: name.parse().unwrap(),
        per_hour: per_hour.into(),
        percent: percent.into(),
        machines,
    };
    (level.node, level)
}

/// An action on a machine, by the operation of the same number, so long ago.
pub(super) fn went(machine: u128, minutes_ago: u64) -> Destroyed {
    Destroyed {
        at: Timestamp(NOW.0 - minutes_ago * MINUTE),
        operation: OperationId(u64::try_from(machine).unwrap()),
        machine: node(machine),
        below: below(machine),
    }
}

fn goes(machine: u128, actions: usize) -> Intended {
    Intended {
        operation: Some(OperationId(u64::try_from(machine).unwrap())),
        machine: node(machine),
        below: below(machine),
        actions,
    }
}

fn budget<const N: usize>(levels: [(NodeUid, Level); N]) -> Budget {
    Budget {
        levels: levels.into(),
        ..Budget::default()
    }
}

fn short(budget: &Budget, wanted: &Intended) -> Option<(String, Option<u64>)> {
    let shortage = budget.room(wanted, NOW).err()?;
    let minutes = |at: Timestamp| (at.0 - NOW.0) / MINUTE;
    Some((shortage.to_string(), shortage.room_at.map(minutes)))
}

#[test]
fn so_many_actions_go_in_an_hour_and_the_next_when_the_first_is_an_hour_old() {
    let mut budget = budget([level(2, 2, None, 0)]);
    assert_eq!(short(&budget, &goes(10, 1)), None);
    budget.destroyed = vec![went(11, 50)];
    assert_eq!(short(&budget, &goes(10, 1)), None);
    budget.destroyed = vec![went(12, 20), went(11, 50)];
    let said = "room within the destruction_limit of /web (2 an hour): 2 actions that destroy go before it within the hour";
    assert_eq!(
        short(&budget, &goes(10, 1)),
        Some((said.to_owned(), Some(10)))
    );
    // What is an hour old counts no more, to the millisecond.
    budget.destroyed = vec![went(12, 20), went(11, 60)];
    assert_eq!(short(&budget, &goes(10, 1)), None);
    budget.destroyed[1].at.0 += 1;
    assert!(short(&budget, &goes(10, 1)).is_some());
}

#[test]
fn what_others_are_about_to_destroy_counts_and_nobody_knows_when_that_is_over() {
    let mut budget = budget([level(2, 2, None, 0)]);
    budget.intended = vec![goes(11, 2), goes(10, 1)];
    let (_, at) = short(&budget, &goes(10, 1)).unwrap();
    assert_eq!(at, None);
    let shortage: Shortage = budget.room(&goes(10, 1), NOW).unwrap_err();
    assert!(shortage.until(NOW) > NOW && shortage.until(NOW) < NOW.plus_ms(MINUTE));
    // Its own intention is what is asked about.
    budget.intended.remove(0);
    assert_eq!(short(&budget, &goes(10, 1)), None);
}

#[test]
fn the_machine_is_the_unit_and_one_may_always_go_where_nothing_else_did() {
    let mut budget = budget([level(2, 1, 10, 3)]);
    assert_eq!(short(&budget, &goes(10, 4)), None);
    budget.destroyed = vec![went(11, 59)];
    let (_, at) = short(&budget, &goes(10, 4)).unwrap();
    assert_eq!(at, Some(1));
    budget.destroyed = vec![went(11, 60)];
    assert_eq!(short(&budget, &goes(10, 4)), None);
}

#[test]
fn per_cent_counts_machines_and_not_what_is_done_to_them() {
    let mut budget = budget([level(2, None, 10, 29)]);
    budget.destroyed = vec![went(11, 50), went(11, 40), went(11, 30)];
    assert_eq!(short(&budget, &goes(10, 5)), None, "the second of two");
    budget.destroyed.push(went(12, 20));
    let said = "room within the destruction_limit of /web (10 % of 29 machines): 2 machines go before it within the hour";
    // The first of them is free again with the last that was done to it.
    assert_eq!(
        short(&budget, &goes(10, 1)),
        Some((said.to_owned(), Some(30)))
    );
    // A machine that is counted already may have more done to it.
    assert_eq!(short(&budget, &goes(12, 1)), None);
}

#[test]
fn every_level_has_to_have_room_and_the_longest_wait_is_told() {
    let mut budget = budget([level(1, 1, None, 0), level(2, 10, None, 0)]);
    budget.destroyed = vec![went(11, 30)];
    let (said, at) = short(&budget, &goes(10, 1)).unwrap();
    assert!(said.contains("of / (1 an hour)"), "{said}");
    assert_eq!(at, Some(30));
    // Elsewhere below the root it counts as well, and below /web it does not.
    budget.destroyed[0].below = vec![node(11), node(3), node(1)];
    assert!(short(&budget, &goes(10, 1)).is_some());
    budget.levels.remove(&node(1));
    budget.levels.insert(node(2), level(2, 1, None, 0).1);
    assert_eq!(short(&budget, &goes(10, 1)), None);
}

proptest! {
    /// Whatever is ordered and whenever: who asks first and notes what goes never exceeds a limit, but
    /// with one machine alone; and who waits as long as was said finds room, if nobody else came.
    #[test]
    fn no_hour_has_more_than_the_limits_let(
        per_hour in 1_u32..6,
        percent in 1_u32..60,
        machines in 5_u64..20,
        orders in prop::collection::vec((0_u64..20 * MINUTE, 10_u128..25, 1_usize..4), 1..40),
    ) {
        let mut budget = budget([level(1, per_hour, percent, machines), level(2, 3, None, 0)]);
        let mut now = NOW;
        for (at, (later, machine, actions)) in (1_u64..).zip(orders) {
            now = now.plus_ms(later);
            let wanted = Intended {
                operation: Some(OperationId(at)),
                ..goes(machine, actions)
            };
            let go = match budget.room(&wanted, now) {
                Ok(()) => now,
                Err(shortage) => {
                    let until = shortage.until(now);
                    prop_assert!(until > now && until <= now.plus_ms(LIMIT_WINDOW_MS));
                    prop_assert_eq!(budget.room(&wanted, until), Ok(()));
                    continue;
                }
            };
            for _ in 0..actions {
                let mut it = went(machine, 0);
                (it.at, it.operation) = (go, OperationId(at));
                budget.destroyed.push(it);
            }
            let hour: Vec<&Destroyed> = budget
                .destroyed
                .iter()
                .filter(|it| it.at.plus_ms(LIMIT_WINDOW_MS) > now)
                .collect();
            let mut those: Vec<NodeUid> = hour.iter().map(|it| it.machine).collect();
            those.sort();
            those.dedup();
            let is_alone = hour.iter().all(|it| it.operation == OperationId(at));
            let most = machines * u64::from(percent) / 100;
            prop_assert!(is_alone || hour.len() <= usize::try_from(per_hour.min(3)).unwrap());
            prop_assert!(those.len() as u64 <= most.max(1));
        }
    }
}
