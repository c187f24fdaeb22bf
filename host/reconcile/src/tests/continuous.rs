//! What of a plan may run without a person.

use std::collections::BTreeSet;

use enginehouse_model::documents::{Action, Config, Power, PowerState};
use proptest::prelude::*;

use super::properties::world;
use super::world::{GIB, World};
use crate::{Bounds, Class, Intent, KeptBack, MachinePlan, Plan, Reason};

fn repairs(most: Class) -> Bounds {
    Bounds {
        most: Some(most),
        ..Bounds::default()
    }
}

fn confined(world: &World, bounds: &Bounds) -> (MachinePlan, Vec<KeptBack>) {
    let plan = world.plan(Intent::Reconfigure);
    let mut machine = plan.machines.into_iter().next().unwrap();
    let kept_back = machine.confine(bounds);
    (machine, kept_back)
}

fn reasons(machine: &MachinePlan) -> Vec<&str> {
    let actions = machine.actions.iter();
    actions.map(|action| action.reason.as_str()).collect()
}

fn why(kept_back: &[KeptBack]) -> Vec<String> {
    let kept_back = kept_back.iter();
    kept_back
        .map(|kept| format!("{}: {}", kept.field, kept.reason))
        .collect()
}

fn config(vcpu: u32, memory: u64) -> Config {
    Config {
        vcpu: Some(vcpu),
        memory: Some(memory * GIB),
        ..Config::default()
    }
}

/// Deployed with 2 cores and 4 GiB; somebody made it 4 cores and 8 GiB, and the definition wants 6 GiB.
fn half_pending() -> World {
    World::new(9)
        .desired(config(2, 6))
        .deployed(config(2, 4))
        .observed(config(4, 8))
}

#[test]
fn drift_is_repaired_and_what_the_definition_changed_stays_pending() {
    let (machine, kept_back) = confined(&half_pending(), &repairs(Class::Benign));
    assert_eq!(reasons(&machine), ["cores 4 -> 2"]);
    let Action::Configure { changed, .. } = &machine.actions[0].request.action else {
        panic!("{machine:?}");
    };
    assert_eq!(changed, &["vcpu"]);
    assert_eq!(
        why(&kept_back),
        ["memory: its definition changed too: `reconfigure` settles both"]
    );
    let follow = Bounds {
        pending: true,
        ..repairs(Class::Benign)
    };
    let (machine, kept_back) = confined(&half_pending(), &follow);
    assert_eq!(
        reasons(&machine),
        ["cores 4 -> 2, memory 8192 MiB -> 6144 MiB"]
    );
    assert_eq!(kept_back, []);
}

#[test]
fn where_the_policy_is_observe_nothing_is_done_and_that_is_said() {
    let (machine, kept_back) = confined(&half_pending(), &Bounds::default());
    assert_eq!(machine.actions, []);
    assert_eq!(kept_back[0].reason.to_string(), "policy is observe");
}

#[test]
fn what_is_heavier_than_the_policy_is_kept_back() {
    let stopped = Config {
        power: Some(Power::Stopped),
        ..config(2, 4)
    };
    let world = World::new(9)
        .desired(stopped.clone())
        .deployed(stopped)
        .observed(config(4, 4))
        .power(PowerState::Running);
    let (machine, kept_back) = confined(&world, &repairs(Class::Benign));
    assert_eq!(reasons(&machine), ["cores 4 -> 2"]);
    assert_eq!(
        why(&kept_back),
        ["power: it is disruptive, and policy is benign"]
    );
    let (machine, kept_back) = confined(&world, &repairs(Class::Disruptive));
    assert_eq!(machine.actions.len(), 2, "{machine:?}");
    assert_eq!(kept_back, []);
}

#[test]
fn a_field_that_is_left_is_not_repaired_and_others_are() {
    let world = World::new(9)
        .desired(config(2, 4))
        .deployed(config(2, 4))
        .observed(config(4, 8));
    let bounds = Bounds {
        left: BTreeSet::from(["vcpu".to_owned()]),
        ..repairs(Class::Benign)
    };
    let (machine, kept_back) = confined(&world, &bounds);
    assert_eq!(reasons(&machine), ["memory 8192 MiB -> 4096 MiB"]);
    assert_eq!(kept_back[0].field, "vcpu");
    assert_eq!(kept_back[0].reason, Reason::Left);
}

#[test]
fn nothing_is_made_for_a_machine_that_is_gone() {
    let mut world = half_pending();
    world.observed = None;
    let (machine, _) = confined(&world, &repairs(Class::Disruptive));
    assert_eq!((machine.actions.len(), machine.refused.len()), (0, 0));
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let most = prop_oneof![
        Just(None),
        Just(Some(Class::Benign)),
        Just(Some(Class::Disruptive)),
        // No policy says so; were there one, it would not help.
        Just(Some(Class::Irreversible)),
    ];
    let field = prop_oneof![
        Just("vcpu"),
        Just("memory"),
        Just("power"),
        Just("settings.odd")
    ];
    let left = prop::collection::btree_set(field.prop_map(str::to_owned), 0..3);
    (most, any::<bool>(), left).prop_map(|(most, pending, left)| Bounds {
        most,
        pending,
        left,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_runs_alone_is_never_heavier_wider_or_other_than_the_bounds(
        mut world in world(9),
        bounds in bounds(),
    ) {
        let (machine, kept_back) = confined(&world, &bounds);
        let has = |changes: &[crate::FieldChange], field: &str| {
            changes.iter().any(|change| change.field == field)
        };
        prop_assert!(machine.refused.is_empty());
        for action in &machine.actions {
            prop_assert!(action.class <= Class::Disruptive);
            prop_assert!(bounds.most.is_some_and(|most| action.class <= most));
            match &action.request.action {
                Action::Create { .. } | Action::Destroy { .. } => prop_assert!(false, "{action:?}"),
                Action::Configure { changed, .. } => {
                    let fields: Vec<&String> = action.fields.iter().map(|c| &c.field).collect();
                    prop_assert_eq!(changed.iter().collect::<Vec<_>>(), fields);
                }
                _ => {}
            }
            for change in &action.fields {
                let field = change.field.as_str();
                let pending = has(&machine.pending, field);
                prop_assert!(pending || has(&machine.drift, field), "{field}");
                prop_assert!(bounds.pending || !pending, "{field}");
                prop_assert!(pending || !bounds.left.contains(field), "{field}");
            }
        }
        // Whatever has drifted is either done or said.
        for change in &machine.drift {
            let field = change.field.as_str();
            let done = machine.actions.iter().any(|action| has(&action.fields, field));
            let said = kept_back.iter().any(|kept| kept.field == field);
            prop_assert!(done != said, "{field}: {done} {said}");
        }
        // What is done is then done: nothing of it is planned again.
        let done: BTreeSet<String> = (machine.actions.iter())
            .flat_map(|action| action.fields.iter().map(|change| change.field.clone()))
            .collect();
        world.execute(&Plan { machines: vec![machine] });
        let (again, _) = confined(&world, &bounds);
        for action in &again.actions {
            for change in &action.fields {
                prop_assert!(!done.contains(&change.field), "{}", change.field);
            }
        }
    }
}

#[test]
fn nothing_of_a_replace_runs_without_a_person() {
    let from = |image: &str, power| Config {
        base_image: Some(image.to_owned()),
        power: Some(power),
        ..config(2, 4)
    };
    // Its run state drifted, too: a stop or a start alone would be a repair.
    let world = World::new(9)
        .desired(from("d13", Power::Running))
        .deployed(from("d12", Power::Running))
        .observed(config(2, 4))
        .power(PowerState::Paused);
    let bounds = Bounds {
        most: Some(Class::Disruptive),
        pending: true,
        ..Bounds::default()
    };
    let (machine, _) = confined(&world, &bounds);
    assert_eq!(reasons(&machine), Vec::<&str>::new());
    assert!(machine.nothing_because.is_some());
}
