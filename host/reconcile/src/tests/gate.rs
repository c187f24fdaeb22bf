//! What protection holds.

use enginehouse_model::{FullName, Protected, Timestamp};
use proptest::prelude::*;

use super::properties::{intent, world};
use super::world::World;
use crate::gate::PROTECT;
use crate::{Class, Intent, KeepDisks, plan};

fn web() -> FullName {
    "/web".parse().unwrap()
}

#[test]
fn an_undeploy_of_what_is_protected_is_held_whole_with_who_protects_it_and_the_way_out() {
    let undeploy = Intent::Undeploy {
        keep: KeepDisks::Marked,
    };
    let mut plan = World::new(9).plan(undeploy);
    let machine = plan.machines.first_mut().unwrap();
    let free = machine.clone();
    machine.gate(None);
    assert_eq!(*machine, free);
    machine.gate(Some(&web()));
    assert_eq!(machine.actions, [], "no stop, either");
    let [held] = machine.refused.as_slice() else {
        panic!("{:?}", machine.refused)
    };
    assert_eq!(
        (held.subject.as_str(), held.class),
        (PROTECT, Class::Destructive)
    );
    assert_eq!(
        held.reason,
        "destroy is destructive, and /web protects /web/vm9: set `protect: false` there first, if it really is to go"
    );
    assert_eq!(machine.held().count(), 1);
}

#[test]
fn a_machine_that_is_protected_on_its_record_is_held_with_who_did_that_and_the_way_out() {
    let undeploy = Intent::Undeploy {
        keep: KeepDisks::Marked,
    };
    let mut plan = World::new(9).plan(undeploy);
    let machine = plan.machines.first_mut().unwrap();
    let free = machine.clone();
    machine.gate_record(None);
    assert_eq!(*machine, free);
    let protected = Protected {
        since: Timestamp(1),
        by: "ann".to_owned(),
    };
    machine.gate_record(Some(&protected));
    assert_eq!(machine.actions, []);
    let said: Vec<&str> = machine.held().map(|held| held.reason.as_str()).collect();
    assert_eq!(
        said,
        [
            "destroy is destructive, and ann protects the machine of /web/vm9: `enginehouse unprotect /web/vm9 --lower-protection` first, if it really is to go"
        ]
    );
    // What destroys nothing goes on.
    let mut stop = World::new(9).plan(Intent::Stop { graceful: true });
    let before = stop.clone();
    for machine in &mut stop.machines {
        machine.gate_record(Some(&protected));
    }
    assert_eq!(stop, before);
}

#[test]
fn what_is_left_is_numbered_without_gaps() {
    let worlds = [World::new(9), World::new(10), World::new(11)];
    let undeploy = Intent::Undeploy {
        keep: KeepDisks::Marked,
    };
    let subjects: Vec<_> = worlds.iter().map(|world| world.subject(undeploy)).collect();
    let mut plan = plan(&subjects);
    plan.machines[1].gate(Some(&web()));
    plan.renumber();
    let orders: Vec<u32> = plan.actions().map(|action| action.order).collect();
    let expected: Vec<u32> = (1..).take(orders.len()).collect();
    assert_eq!(orders, expected);
    assert!(orders.len() >= 2);
}

proptest! {
    #[test]
    fn nothing_destructive_is_left_of_what_is_protected(world in world(9), intent in intent()) {
        let mut plan = world.plan(intent);
        let free = plan.clone();
        for machine in &mut plan.machines {
            machine.gate(Some(&web()));
        }
        prop_assert!(plan.heaviest() < Some(Class::Destructive));
        let was_gated = free.heaviest() >= Some(Class::Destructive);
        prop_assert_eq!(plan != free, was_gated, "only what is gated is held");
    }
}
