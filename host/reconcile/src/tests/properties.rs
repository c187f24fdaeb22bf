//! What holds for any world.

use std::collections::BTreeMap;

use enginehouse_model::documents::{
    Action, Assessment, ChangeClass, Config, Disk, Machine, Nic, Power, PowerState,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::world::{GIB, MIB, World};
use crate::field::{Field, Seen};
use crate::planner::is_unfinished;
use crate::{Class, Intent, KeepDisks, Layout, Plan, PlannedAction, plan, render};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(""), Just("a"), Just("a\n"), Just("b"), Just("A")].prop_map(str::to_owned)
}

fn setting() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(true)),
        Just(json!(1)),
        Just(json!(1.0)),
        Just(json!("x")),
        Just(json!(["b", "a"])),
        Just(Value::Null),
    ]
}

fn settings() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![Just("onboot"), Just("bios"), Just("arch"), Just("odd")];
    prop::collection::btree_map(name.prop_map(str::to_owned), setting(), 0..4)
        .prop_map(|map| map.into_iter().collect())
}

fn disks() -> impl Strategy<Value = BTreeMap<String, Disk>> {
    let disk = (
        prop::option::of(1..4_u64),
        prop::option::of(any::<bool>()),
        prop::option::of(text()),
    )
        .prop_map(|(size, keep, storage)| Disk {
            size: size.map(|size| size * GIB + size),
            storage,
            keep,
            ..Disk::default()
        });
    let name = prop_oneof![Just("root"), Just("data"), Just("a.size")];
    prop::collection::btree_map(name.prop_map(str::to_owned), disk, 0..3)
}

fn nics() -> impl Strategy<Value = BTreeMap<String, Nic>> {
    let nic = (
        prop::option::of(text()),
        prop::option::of(1..3_u16),
        prop::option::of(prop_oneof![Just("02:AA"), Just("02:aa")]),
        prop::option::of(text()),
    )
        .prop_map(|(network, vlan, mac, adapter)| Nic {
            network,
            vlan,
            mac: mac.map(str::to_owned),
            adapter,
            ..Nic::default()
        });
    // One has the name that a disk may have.
    let name = prop_oneof![Just("lan"), Just("wan"), Just("data")];
    prop::collection::btree_map(name.prop_map(str::to_owned), nic, 0..3)
}

fn config() -> impl Strategy<Value = Config> {
    let power = prop_oneof![Just(Power::Running), Just(Power::Stopped)];
    (
        prop::option::of(text()),
        prop::option::of(1..4_u32),
        prop::option::of(0..4_u64),
        prop::option::of(text()),
        prop::collection::btree_map(text(), text(), 0..3),
        prop::option::of(power),
        prop::option::of(text()),
        disks(),
        nics(),
        settings(),
    )
        .prop_map(
            |(name, vcpu, memory, description, labels, power, image, disks, nics, settings)| {
                Config {
                    name,
                    vcpu,
                    memory: memory.map(|memory| memory * MIB + 3),
                    description,
                    labels,
                    power,
                    base_image: image,
                    disks,
                    nics,
                    settings,
                    ..Config::default()
                }
            },
        )
}

/// What an engine may say of changes, also of those that it has no rule for.
fn assessment() -> impl Strategy<Value = Assessment> {
    let field = prop_oneof![
        Just("vcpu"),
        Just("memory"),
        Just("description"),
        Just("labels.a"),
        Just("settings.bios"),
        Just("settings.odd"),
        Just("disks.data.storage"),
        Just("nics.lan.adapter"),
    ];
    let class = prop_oneof![
        Just(ChangeClass::InPlace),
        Just(ChangeClass::Restart),
        Just(ChangeClass::Replace),
    ];
    let fields = prop::collection::btree_map(field, class, 0..4);
    fields.prop_map(|fields| {
        let fields = fields.into_iter();
        fields.fold(Assessment::default(), |all, (field, class)| {
            all.field(field, class, "the engine says so")
        })
    })
}

/// A world in any state: unborn, half made, deployed, drifted, unreadable, lost.
pub(super) fn world(number: u128) -> impl Strategy<Value = World> {
    let state = prop_oneof![
        Just(PowerState::Running),
        Just(PowerState::Stopped),
        Just(PowerState::Paused),
        Just(PowerState::Unknown),
    ];
    (
        config(),
        config(),
        config(),
        state,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.9),
        prop::option::of(assessment()),
    )
        .prop_map(
            move |(desired, deployed, observed, state, recorded, seen, read, assessment)| {
                let mut world = World::new(number)
                    .desired(desired)
                    .deployed(deployed.clone())
                    .power(state);
                // Observed disks lie in slots; those of deployed disks are on record.
                let mut shown = Config {
                    power: None,
                    ..observed
                };
                let disks = std::mem::take(&mut shown.disks);
                for (at, (name, disk)) in disks.into_iter().enumerate() {
                    shown.disks.insert(format!("scsi{at}"), disk);
                    if deployed.disks.contains_key(&name) {
                        world = world.slot(&name, &format!("scsi{at}"));
                    }
                }
                let nics = std::mem::take(&mut shown.nics);
                for (at, (name, nic)) in nics.into_iter().enumerate() {
                    shown.nics.insert(format!("net{at}"), nic);
                    let is_disk = deployed.disks.contains_key(&name);
                    if deployed.nics.contains_key(&name) && !is_disk {
                        world = world.slot(&name, &format!("net{at}"));
                    }
                }
                world = world.observed(shown);
                world.assessment = assessment;
                if !read {
                    world.observed.as_mut().unwrap().config = None;
                }
                if !recorded {
                    world.record = None;
                }
                if !seen {
                    world.observed = None;
                }
                world
            },
        )
}

pub(super) fn intent() -> impl Strategy<Value = Intent> {
    prop_oneof![
        Just(Intent::Deploy),
        Just(Intent::Reconfigure),
        Just(Intent::Observe),
        Just(Intent::Start),
        any::<bool>().prop_map(|graceful| Intent::Stop { graceful }),
        any::<bool>().prop_map(|graceful| Intent::Restart { graceful }),
        Just(Intent::Undeploy {
            keep: KeepDisks::All
        }),
        Just(Intent::Undeploy {
            keep: KeepDisks::Marked
        }),
    ]
}

/// Everything in the machine that nobody manages.
fn unmanaged(world: &World, machine: Option<&Machine>) -> Vec<(String, Seen)> {
    let config = machine.and_then(|machine| machine.config.as_ref());
    let Some(config) = config else {
        return Vec::new();
    };
    let deployed = &world.record.as_ref().unwrap().deployed;
    let mut values: Vec<(String, Seen)> = Field::all(config, config)
        .into_iter()
        .filter(|field| field.read(&world.desired).is_none())
        .filter(|field| !(matches!(field, Field::Label(_)) && field.read(deployed).is_some()))
        .map(|field| (field.key(), field.observe(machine)))
        .collect();
    let slots = &world.record.as_ref().unwrap().slots;
    for (slot, disk) in &config.disks {
        if !slots.values().any(|ours| ours == slot) {
            values.push((slot.clone(), Seen::Is(json!(disk))));
        }
    }
    for (slot, nic) in &config.nics {
        if !slots.values().any(|ours| ours == slot) {
            values.push((slot.clone(), Seen::Is(json!(nic))));
        }
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn after_a_plan_was_carried_out_nothing_is_left_to_do(
        mut world in world(9),
        deploy in any::<bool>(),
    ) {
        let intent = if deploy { Intent::Deploy } else { Intent::Reconfigure };
        let first = world.plan(intent);
        let unfinished = |world: &World| world.record.as_ref().is_some_and(is_unfinished);
        let before = unfinished(&world);
        world.execute(&first);
        // With nothing left that is managed, it looks as if its creation had not ended.
        prop_assume!(before || !unfinished(&world));
        // A nic takes over the name of a disk once that is gone.
        let names = first.machines.iter().flat_map(|machine| &machine.refused);
        prop_assume!(!names.into_iter().any(|refusal| refusal.reason.contains("has this name, too")));
        let second = world.plan(intent);
        prop_assert_eq!(second.actions().count(), 0, "{}\nthen\n{}", first, second);
        let machine = second.machines.first().unwrap();
        prop_assert!(machine.in_step.is_empty(), "{}\nthen\n{}", first, second);
        if machine.refused.is_empty() && machine.notes.is_empty() {
            prop_assert!(machine.pending.is_empty(), "{}\nthen\n{}", first, second);
            // Storage that somebody else moved is said, and not moved back.
            let left = machine.drift.iter().filter(|c| !c.field.ends_with(".storage"));
            prop_assert_eq!(left.count(), 0, "{}\nthen\n{}", first, second);
        }
    }

    #[test]
    fn the_order_of_subjects_does_not_matter(
        worlds in (world(7), world(9), world(10), world(11)),
        intents in prop::collection::vec(intent(), 4),
        order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let worlds = [worlds.0, worlds.1, worlds.2, worlds.3];
        let subjects: Vec<_> = worlds
            .iter()
            .zip(&intents)
            .map(|(world, intent)| world.subject(*intent))
            .collect();
        let shuffled: Vec<_> = order.iter().map(|at| subjects[*at]).collect();
        prop_assert_eq!(plan(&subjects), plan(&shuffled));
    }

    #[test]
    fn what_is_not_managed_is_never_touched(mut world in world(9), deploy in any::<bool>()) {
        let intent = if deploy { Intent::Deploy } else { Intent::Reconfigure };
        let plan = world.plan(intent);
        for planned in plan.actions() {
            match &planned.request.action {
                Action::Configure { changed, .. } => {
                    let record = world.record.as_ref().unwrap();
                    for key in changed {
                        let field = Field::parse(key).unwrap();
                        let ours = field.read(&world.desired).is_some()
                            || matches!(field, Field::Label(_))
                                && field.read(&record.deployed).is_some();
                        prop_assert!(ours, "{} in {}", key, plan);
                    }
                }
                Action::Stop { .. } => {
                    let replaces = plan.actions().any(|a| a.request.action.name() == "destroy");
                    prop_assert!(replaces || world.desired.power == Some(Power::Stopped));
                }
                // A machine goes only to be made anew, and only one that is deployed.
                Action::Destroy { .. } => {
                    prop_assert_eq!(intent, Intent::Reconfigure);
                    let fields = planned.fields.iter().map(|change| change.field.as_str());
                    for field in fields.clone() {
                        let assessed = world.assessment.as_ref();
                        let assessed = assessed.and_then(|all| all.fields.get(field));
                        let assessed = assessed.map(|found| found.class);
                        let replaces = match assessed {
                            Some(class) => class == ChangeClass::Replace,
                            None => field == "base_image" || field == "settings.arch",
                        };
                        prop_assert!(replaces, "{} in {}", field, plan);
                    }
                    prop_assert!(fields.count() > 0, "{}", plan);
                    let creates = |planned: &PlannedAction| planned.request.action.name() == "create";
                    prop_assert!(plan.actions().any(creates), "{}", plan);
                }
                // Only what was deployed, and is no longer defined.
                Action::DiskRemove { slot, .. } => {
                    let record = world.record.as_ref().unwrap();
                    let name = planned.disk.as_ref().unwrap();
                    prop_assert_eq!(record.slots.get(name), Some(slot));
                    prop_assert!(record.deployed.disks.contains_key(name), "{}", plan);
                    prop_assert!(!world.desired.disks.contains_key(name), "{}", plan);
                    prop_assert_eq!(planned.class, Class::Destructive);
                }
                Action::NicRemove { slot } => {
                    let record = world.record.as_ref().unwrap();
                    let name = planned.nic.as_ref().unwrap();
                    prop_assert_eq!(record.slots.get(name), Some(slot));
                    prop_assert!(record.deployed.nics.contains_key(name), "{}", plan);
                    prop_assert!(!world.desired.nics.contains_key(name), "{}", plan);
                    prop_assert_eq!(planned.class, Class::Destructive);
                }
                Action::NicChange { slot, nic, changed } => {
                    let record = world.record.as_ref().unwrap();
                    let name = planned.nic.as_ref().unwrap();
                    prop_assert_eq!(record.slots.get(name), Some(slot));
                    prop_assert_eq!(world.desired.nics.get(name), Some(nic));
                    let set = json!(nic);
                    for member in changed {
                        prop_assert!(set.get(member).is_some(), "{} in {}", member, plan);
                    }
                }
                Action::NicAdd { name, nic } => {
                    prop_assert_eq!(world.desired.nics.get(name), Some(nic));
                }
                Action::Create { .. }
                | Action::Adopt
                | Action::Start
                | Action::Restart { .. }
                | Action::DiskAdd { .. }
                | Action::DiskGrow { .. } => {}
            }
        }
        let replaces = |planned: &PlannedAction| planned.request.action.name() == "destroy";
        if world.observed.is_some() && world.record.is_some() && !plan.actions().any(replaces) {
            let before = unmanaged(&world, world.observed.as_ref());
            let judged = world.clone();
            world.execute(&plan);
            let after = unmanaged(&judged, world.observed.as_ref());
            for value in before {
                prop_assert!(after.contains(&value), "{:?} in {}", value, plan);
            }
        }
    }

    #[test]
    fn any_plan_reads_back_and_says_why_it_is_empty(world in world(9), intent in intent()) {
        let plan = world.plan(intent);
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Plan>(&json).unwrap(), &plan);
        let text = render(&plan, Layout::default());
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{}", text);
        let machine = plan.machines.first().unwrap();
        let empty = machine.actions.is_empty() && machine.refused.is_empty();
        prop_assert_eq!(machine.nothing_because.is_some(), empty);
        prop_assert!(machine.nothing_because.as_deref() != Some(""));
        if intent == Intent::Observe {
            prop_assert_eq!(machine.actions.len(), 0);
        }
    }
}
