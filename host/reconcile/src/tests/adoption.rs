//! Machines that were found, and the definitions that come of them: through the real cascade.

use std::collections::BTreeMap;

use enginehouse_model::documents::{Config, Disk, Machine, Nic, PowerState};
use enginehouse_model::{FullName, NodeUid};
use enginehouse_tree::{Definition, Node, Tree};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::world::{GIB, MIB, World, mark};
use crate::{Intent, Needed, definition_of, slots_of, still_needed};

/// What a descriptor with `local` is, in a folder that says `folder`.
fn computed(folder: &Value, local: &Map<String, Value>) -> Config {
    let mut next = 1;
    let mut uids = || {
        next += 1;
        Uuid::from_u128(next)
    };
    let root = NodeUid::from_uuid(Uuid::from_u128(1));
    let mut tree = Tree::load(vec![Node::root(root)]).unwrap();
    let web: FullName = "/web".parse().unwrap();
    let folder = Definition::parse(&web, folder).unwrap();
    let _ = tree.create_folder(root, "web", folder, &mut uids).unwrap();
    let web = tree.find(&web).unwrap();
    let at: FullName = "/web/vm9".parse().unwrap();
    let local = Definition::parse(&at, &Value::Object(local.clone())).unwrap();
    let _ = tree.provision(web, "vm9", local, &mut uids).unwrap();
    let node = tree.find(&at).unwrap();
    tree.computed(node).unwrap().config()
}

/// A machine that was found, in a folder.
fn chosen(machine: Machine, folder: &Value) -> World {
    let inherited = computed(folder, &Map::new());
    let mut world = World::new(9);
    let local = definition_of(&machine, &inherited, &world.rules);
    world.desired = computed(folder, &local);
    world.record.as_mut().unwrap().slots = slots_of(&machine);
    world.observed = Some(machine);
    world
}

fn found(config: Config, power: PowerState) -> Machine {
    Machine {
        name: Some("vm9".to_owned()),
        mark: Some(String::new()),
        power,
        config: Some(config),
        ..World::new(9).observed.unwrap()
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("a\n"), Just("")].prop_map(str::to_owned)
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just("x"), Just("y")].prop_map(str::to_owned)
}

fn machine() -> impl Strategy<Value = Machine> {
    let disk = (
        prop::option::of(1..3_u64),
        prop::option::of(word()),
        prop::option::of(word()),
    )
        .prop_map(|(size, storage, bus)| Disk {
            size: size.map(|size| size * GIB),
            storage,
            bus,
            ..Disk::default()
        });
    let nic =
        (prop::option::of(word()), prop::option::of(1..3_u16)).prop_map(|(network, vlan)| Nic {
            network,
            vlan,
            mac: Some("02:00:00:00:00:01".to_owned()),
            ..Nic::default()
        });
    let slot = |name: &'static str| (0..2_u8).prop_map(move |n| format!("{name}{n}"));
    let power = prop_oneof![
        Just(PowerState::Running),
        Just(PowerState::Stopped),
        Just(PowerState::Paused),
        Just(PowerState::Unknown),
    ];
    (
        prop::option::of(1..4_u32),
        prop::option::of(1..4_u64),
        prop::option::of(text()),
        prop::collection::btree_map(word(), text(), 0..3),
        prop::collection::btree_map(slot("scsi"), disk, 0..3),
        prop::collection::btree_map(slot("net"), nic, 0..3),
        prop::option::of(any::<bool>()),
        power,
    )
        .prop_map(
            |(vcpu, memory, description, labels, disks, nics, onboot, power)| {
                let settings = onboot.map(|onboot| ("onboot".to_owned(), json!(onboot)));
                let config = Config {
                    vcpu,
                    memory: memory.map(|memory| memory * MIB),
                    description,
                    labels,
                    disks,
                    nics,
                    settings: settings.into_iter().collect(),
                    ..Config::default()
                };
                found(config, power)
            },
        )
}

fn folder() -> impl Strategy<Value = Value> {
    let size = || (1..3_u32).prop_map(|gib| json!(format!("{gib}GiB")));
    let object = |members: Vec<(&'static str, BoxedStrategy<Value>)>| {
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, value)| prop::option::of(value).prop_map(move |v| v.map(|v| (name, v))))
            .collect();
        members.prop_map(|members| {
            let members = members.into_iter().flatten();
            Value::Object(members.map(|(k, v)| (k.to_owned(), v)).collect())
        })
    };
    let disk = object(vec![
        ("size", size().boxed()),
        ("storage", word().prop_map(Value::from).boxed()),
        ("keep", any::<bool>().prop_map(Value::from).boxed()),
        ("storage_class", word().prop_map(Value::from).boxed()),
    ]);
    let nic = object(vec![
        ("network", word().prop_map(Value::from).boxed()),
        ("gateway", Just(json!("192.0.2.1")).boxed()),
    ]);
    let map = |names: [&'static str; 3], value: BoxedStrategy<Value>| {
        object(names.map(|name| (name, value.clone())).to_vec()).boxed()
    };
    object(vec![
        ("vcpu", (1..4_u32).prop_map(Value::from).boxed()),
        ("memory", size().boxed()),
        ("description", text().prop_map(Value::from).boxed()),
        ("base_image", Just(json!("d12")).boxed()),
        ("placement", Just(json!({"host": "elsewhere"})).boxed()),
        (
            "power",
            prop_oneof![Just(json!("running")), Just(json!("stopped"))].boxed(),
        ),
        (
            "labels",
            map(["x", "y", "z"], text().prop_map(Value::from).boxed()),
        ),
        (
            "settings",
            object(vec![
                ("onboot", any::<bool>().prop_map(Value::from).boxed()),
                ("bios", word().prop_map(Value::from).boxed()),
            ])
            .boxed(),
        ),
        ("disks", map(["scsi0", "scsi1", "root"], disk.boxed())),
        ("nics", map(["net0", "net1", "lan"], nic.boxed())),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_first_plan_after_an_adoption_is_empty(machine in machine(), folder in folder()) {
        let mut world = chosen(machine, &folder);
        let plan = world.plan(Intent::Adopt);
        prop_assert!(plan.actions().count() == 1, "{}", plan);
        let sent = world.execute(&plan);
        prop_assert_eq!(sent.len(), 1);
        // `plan` alone is that of a deploy.
        for intent in [Intent::Deploy, Intent::Reconfigure] {
            let first = world.plan(intent);
            let machine = first.machines.first().unwrap();
            prop_assert!(
                first.is_empty()
                    && machine.drift.is_empty()
                    && machine.pending.is_empty()
                    && machine.in_step.is_empty(),
                "{}\n{:?}", first, world
            );
        }
    }

    #[test]
    fn nothing_but_the_mark_is_changed(machine in machine(), folder in folder()) {
        let before = machine.clone();
        let mut world = chosen(machine, &folder);
        let plan = world.plan(Intent::Adopt);
        world.execute(&plan);
        let after = Machine { mark: before.mark.clone(), ..world.observed.unwrap() };
        prop_assert_eq!(after, before);
    }
}

#[test]
fn what_a_prototype_gives_is_not_written_again() {
    let folder = json!({
        "prototypes": {"small": {"vcpu": 2, "memory": "2GiB", "settings": {"onboot": true}}},
        "use_prototype": "small",
        "labels": {"team": "web", "tier": "front"},
        "disks": {"scsi0": {"size": "8GiB", "keep": true}},
    });
    let config = Config {
        vcpu: Some(2),
        memory: Some(4 * GIB),
        description: Some(String::new()),
        labels: BTreeMap::from([("team".to_owned(), "db".to_owned())]),
        disks: super::world::disks([("scsi0", 8 * GIB), ("scsi1", 32 * GIB)]),
        settings: [("onboot".to_owned(), json!(true))].into_iter().collect(),
        ..Config::default()
    };
    let machine = found(config, PowerState::Running);
    let inherited = computed(&folder, &Map::new());
    let local = definition_of(&machine, &inherited, &World::new(9).rules);
    assert_eq!(
        Value::Object(local),
        json!({
            "memory": "4 GiB",
            "labels": {"team": "db", "tier": null},
            "disks": {"scsi1": {"size": "32 GiB"}},
        })
    );
}

#[test]
fn a_secret_setting_that_is_shown_is_not_written_into_the_tree() {
    let config = Config {
        settings: [("key".to_owned(), json!("hunter2"))].into_iter().collect(),
        ..Config::default()
    };
    let machine = found(config, PowerState::Running);
    let local = definition_of(&machine, &Config::default(), &World::new(9).rules);
    assert_eq!(Value::Object(local), json!({}));
}

#[test]
fn right_before_the_mark_is_written_everything_is_looked_at_again() {
    let world = chosen(found(Config::default(), PowerState::Running), &json!({}));
    let plan = world.plan(Intent::Adopt);
    let action = plan.actions().next().unwrap();
    let record = world.record.as_ref().unwrap();
    let needed = |change: &dyn Fn(&mut Machine)| {
        let mut machine = world.observed.clone().unwrap();
        change(&mut machine);
        still_needed(action, record, Some(&machine), &world.rules)
    };
    assert!(matches!(needed(&|_| {}), Needed::Yes(_)));
    let ours = |machine: &mut Machine| machine.mark = Some(mark(9).to_string());
    assert!(matches!(needed(&ours), Needed::No(_)));
    let theirs = |machine: &mut Machine| machine.mark = Some(mark(10).to_string());
    assert!(matches!(needed(&theirs), Needed::Refused(_)));
    let another = |machine: &mut Machine| machine.incarnation = Some("inc-new".to_owned());
    assert!(matches!(needed(&another), Needed::Refused(_)));
    let unseen = still_needed(action, record, None, &world.rules);
    assert!(matches!(unseen, Needed::Refused(_)));
}
