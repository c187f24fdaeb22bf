//! What is not done, and the reason that is given.

use enginehouse_model::documents::{
    Assessment, ChangeClass, Config, Disk, FieldAssessment, Machine, Power, PowerState,
};
use serde_json::json;

use super::world::{GIB, World, disks, mark};
use crate::{
    Class, Intent, KeepDisks, MachinePlan, Ownership, Subject, changed, owned, plan_one, recognise,
};

const UNDEPLOY: Intent = Intent::Undeploy {
    keep: KeepDisks::Marked,
};

fn cores(vcpu: u32) -> Config {
    Config {
        vcpu: Some(vcpu),
        ..Config::default()
    }
}

fn one(world: &World, intent: Intent) -> MachinePlan {
    world.plan(intent).machines.remove(0)
}

/// The reason of the only refusal; nothing may be done beside it.
#[track_caller]
fn refused(world: &World, intent: Intent) -> String {
    let plan = one(world, intent);
    assert_eq!(plan.actions, []);
    let [refusal] = plan.refused.as_slice() else {
        unreachable!("{plan:#?}");
    };
    refusal.reason.clone()
}

fn change(world: &mut World, change: impl FnOnce(&mut Machine)) {
    change(world.observed.as_mut().unwrap());
}

#[test]
fn only_what_agrees_in_record_mark_and_incarnation_is_destroyed() {
    let world = World::new(9).deployed(cores(2));
    let plan = one(&world, UNDEPLOY);
    let [destroy] = plan.actions.as_slice() else {
        unreachable!("{plan:#?}");
    };
    assert_eq!(destroy.class, Class::Destructive);

    let other = super::world::mark(10).to_string();
    type Spoil = fn(&mut Machine, String);
    let cases: [(Spoil, &str); 7] = [
        (
            |m, _| m.incarnation = Some("x".into()),
            "is another one than was deployed",
        ),
        (|m, _| m.incarnation = None, "its incarnation was not shown"),
        (|m, _| m.mark = None, "its mark was not shown"),
        (|m, _| m.mark = Some(String::new()), "carries no mark"),
        (
            |m, _| m.mark = Some("hello".into()),
            "not one of Enginehouse",
        ),
        (
            |m, other| m.mark = Some(other),
            "another descriptor's machine",
        ),
        (|m, _| m.id = "10".into(), "the record is about machine 9"),
    ];
    for (spoil, reason) in cases {
        let mut world = world.clone();
        change(&mut world, |machine| spoil(machine, other.clone()));
        let said = refused(&world, UNDEPLOY);
        assert!(said.contains(reason), "{said} / {reason}");
    }
}

#[test]
fn what_contradicts_the_record_is_left_alone_and_what_is_unclear_is_only_not_destroyed() {
    let world = World::new(9)
        .desired(cores(4))
        .deployed(cores(2))
        .observed(cores(2));
    let mut copy = world.clone();
    change(&mut copy, |machine| machine.incarnation = Some("x".into()));
    for intent in [
        Intent::Reconfigure,
        Intent::Deploy,
        Intent::Start,
        Intent::Stop { graceful: false },
        Intent::Restart { graceful: false },
    ] {
        assert!(refused(&copy, intent).contains("incarnation"), "{intent:?}");
    }
    let mut unclear = world;
    change(&mut unclear, |machine| machine.mark = None);
    assert_eq!(one(&unclear, Intent::Reconfigure).actions.len(), 1);
    assert_eq!(one(&unclear, Intent::Start).actions.len(), 1);
}

#[test]
fn a_machine_of_a_creation_that_broke_off_is_recognised_by_its_mark_once() {
    let mut world = World::new(9);
    let (record, observed) = (
        world.record.as_mut().unwrap(),
        world.observed.as_mut().unwrap(),
    );
    record.identity.as_mut().unwrap().incarnation = None;
    assert!(matches!(owned(record, observed), Ownership::Unclear(_)));
    let mark = observed.mark.take();
    assert!(!recognise(record, observed));
    observed.mark = mark;
    assert!(recognise(record, observed));
    assert_eq!(owned(record, observed), Ownership::Ours);
    record.identity = None;
    assert!(recognise(record, observed));
    assert_eq!(owned(record, observed), Ownership::Ours);
    observed.incarnation = Some("x".into());
    assert!(!recognise(record, observed));
    assert!(matches!(owned(record, observed), Ownership::NotOurs(_)));
}

#[test]
fn a_machine_that_is_not_on_record_is_not_touched() {
    let mut world = World::new(9).desired(cores(4)).observed(cores(2));
    world.record = None;
    for intent in [Intent::Deploy, Intent::Reconfigure, Intent::Start, UNDEPLOY] {
        let said = refused(&world, intent);
        assert!(said.contains("not on record"), "{intent:?}: {said}");
    }
}

#[test]
fn a_lost_machine_is_not_created_again() {
    let mut world = World::new(9).desired(cores(4)).deployed(cores(2));
    world.observed = None;
    for intent in [Intent::Deploy, Intent::Reconfigure, Intent::Start, UNDEPLOY] {
        let said = refused(&world, intent);
        assert!(said.contains("was not seen on pve1"), "{intent:?}: {said}");
    }
}

#[test]
fn reconfigure_creates_nothing() {
    let world = World::unborn(9).desired(cores(4));
    assert!(refused(&world, Intent::Reconfigure).contains("`deploy` makes it"));
    let plan = one(&world, UNDEPLOY);
    assert!(plan.actions.is_empty() && plan.nothing_because.is_some());
}

#[test]
fn what_an_engine_cannot_do_is_refused_by_its_name() {
    let config = Config {
        disks: disks([("root", 8 * GIB)]),
        ..cores(2)
    };
    let wanted = Config {
        disks: disks([("root", 9 * GIB), ("new", GIB)]),
        ..cores(4)
    };
    let seen = Config {
        disks: disks([("scsi0", 8 * GIB)]),
        ..cores(2)
    };
    let there = World::new(9)
        .desired(wanted)
        .deployed(config)
        .observed(seen)
        .slot("root", "scsi0")
        .power(PowerState::Running);
    let missing = |action: &str, intent| {
        let world = there.clone().without(action);
        let plan = one(&world, intent);
        assert!(
            plan.actions
                .iter()
                .all(|a| a.request.action.name() != action)
        );
        let reason = format!("the engine test cannot do `{action}`");
        assert!(
            plan.refused.iter().any(|refusal| refusal.reason == reason),
            "{plan:#?}"
        );
        plan
    };
    assert_eq!(missing("configure", Intent::Reconfigure).actions.len(), 2);
    assert_eq!(missing("disk-grow", Intent::Reconfigure).actions.len(), 2);
    assert_eq!(missing("disk-add", Intent::Reconfigure).actions.len(), 2);
    missing("stop", Intent::Stop { graceful: false });
    missing("stop.graceful", Intent::Stop { graceful: true });
    missing("restart", Intent::Restart { graceful: true });
    for action in ["destroy", "stop"] {
        assert_eq!(missing(action, UNDEPLOY).actions, []);
    }
    let keep = KeepDisks::All;
    let all = missing("destroy.keep-disks", Intent::Undeploy { keep });
    assert_eq!(all.actions, []);

    let unborn = World::unborn(9).desired(cores(2));
    for action in ["create", "create.from-scratch"] {
        let said = refused(&unborn.clone().without(action), Intent::Deploy);
        assert_eq!(said, format!("the engine test cannot do `{action}`"));
    }
}

#[test]
fn a_disk_that_is_to_be_kept_but_cannot_be_named_stops_the_undeploy() {
    let kept = Disk {
        keep: Some(true),
        ..Disk::default()
    };
    let config = Config {
        disks: [("data".to_owned(), kept)].into(),
        ..cores(2)
    };
    let world = World::new(9).desired(config.clone()).deployed(config);
    assert!(refused(&world, UNDEPLOY).contains("which slot"));

    let mut unread = World::new(9).deployed(cores(2));
    change(&mut unread, |machine| machine.config = None);
    let keep = KeepDisks::All;
    let said = refused(&unread, Intent::Undeploy { keep });
    assert!(said.contains("could not be read"), "{said}");
}

#[test]
fn a_lost_disk_is_not_replaced_by_an_empty_one() {
    let config = Config {
        disks: disks([("data", GIB)]),
        ..cores(2)
    };
    let world = World::new(9)
        .desired(config.clone())
        .deployed(config)
        .observed(cores(2))
        .slot("data", "scsi1");
    assert!(refused(&world, Intent::Reconfigure).contains("slot scsi1 is empty"));
    // Taken out of the definition, it is forgotten, and may be defined anew.
    let mut without = world.desired(cores(2));
    let plan = without.plan(Intent::Reconfigure);
    assert_eq!(without.execute(&plan), []);
    let record = without.record.as_ref().unwrap();
    assert!(record.slots.is_empty() && record.deployed.disks.is_empty());
}

#[test]
fn what_only_counts_at_creation_is_refused_with_the_field() {
    let with = |edit: fn(&mut Config)| {
        let mut config = cores(2);
        config.base_image = Some("d12".to_owned());
        config.placement.host = Some("n1".to_owned());
        let deployed = config.clone();
        edit(&mut config);
        World::new(9)
            .desired(config)
            .deployed(deployed)
            .observed(cores(2))
    };
    let unchanged = one(&with(|_| {}), Intent::Reconfigure);
    assert_eq!((unchanged.actions, unchanged.refused), (vec![], vec![]));
    type Edit = fn(&mut Config);
    let edits: [(Edit, &str); 3] = [
        (
            |c| c.base_image = Some("d13".into()),
            "base_image takes another machine",
        ),
        (
            |c| c.placement.host = Some("n2".into()),
            "placement.host takes another machine",
        ),
        (
            |c| drop(c.guest.insert("hostname".into(), json!("x"))),
            "guest.hostname takes another machine",
        ),
    ];
    for (edit, reason) in edits {
        let said = refused(&with(edit).power(PowerState::Running), Intent::Deploy);
        assert!(said.starts_with(reason), "{said}");
    }
    // Moved by its cluster, it is where it is: no drift, and nothing to do.
    let mut moved = with(|_| {});
    change(&mut moved, |machine| machine.host = Some("n3".into()));
    let plan = one(&moved, Intent::Reconfigure);
    assert_eq!(
        (plan.actions, plan.refused, plan.drift),
        (vec![], vec![], vec![])
    );
}

#[test]
fn an_assessment_decides_about_a_field_that_would_be_refused_without_it() {
    let with = |arch: &str| Config {
        settings: json!({"arch": arch}).as_object().unwrap().clone(),
        ..cores(2)
    };
    let world = World::new(9)
        .desired(with("arm"))
        .deployed(with("x86"))
        .observed(with("x86"));
    let subject = world.subject(Intent::Reconfigure);
    let replaced = one(&world, Intent::Reconfigure);
    assert_eq!(
        replaced.actions.last().map(|a| a.request.action.name()),
        Some("start")
    );
    let running = world.clone().power(PowerState::Running);
    assert!(refused(&running, Intent::Deploy).contains("settings.arch"));
    assert_eq!(changed(&subject), ["settings.arch"]);
    assert_eq!(changed(&world.subject(Intent::Start)), Vec::<String>::new());
    let answer = FieldAssessment {
        class: ChangeClass::InPlace,
        reason: "it is only a name".to_owned(),
    };
    let assessment = Assessment {
        fields: [("settings.arch".to_owned(), answer)].into(),
    };
    let plan = plan_one(&Subject {
        assessment: Some(&assessment),
        ..subject
    });
    assert_eq!(plan.refused, []);
    let [action] = plan.actions.as_slice() else {
        unreachable!("{plan:#?}");
    };
    assert_eq!((action.class, action.order), (Class::Benign, 1));
    assert_eq!(
        action.reason,
        "settings.arch \"x86\" -> \"arm\" (it is only a name)"
    );
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let world = World::new(9)
        .desired(Config {
            settings: json!({"onboot": true}).as_object().unwrap().clone(),
            ..cores(4)
        })
        .deployed(cores(2));
    let plan = one(&world, Intent::Reconfigure);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.pending.len(), 2);
    assert_eq!(plan.notes.len(), 2);
    assert!(plan.notes.iter().all(|note| note.contains("not written")));
}

#[test]
fn an_unknown_run_state_is_said_and_left_alone() {
    let running = Config {
        power: Some(Power::Running),
        ..Config::default()
    };
    let world = World::new(9)
        .desired(running)
        .deployed(cores(2))
        .power(PowerState::Unknown);
    let plan = one(&world, Intent::Reconfigure);
    assert_eq!(plan.actions, []);
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("run state is unknown"))
    );
    for intent in [
        Intent::Start,
        Intent::Stop { graceful: true },
        Intent::Restart { graceful: true },
    ] {
        assert!(refused(&world, intent).contains("unknown"), "{intent:?}");
    }
}

#[test]
fn memory_that_truncates_to_nothing_is_refused() {
    let config = Config {
        memory: Some(1000),
        ..Config::default()
    };
    let world = World::unborn(9).desired(config);
    assert!(refused(&world, Intent::Deploy).contains("less than the hypervisor can hold"));
}

#[test]
fn an_unfinished_creation_is_not_finished_on_somebody_elses_machine() {
    let mut world = World::new(9).desired(Config {
        disks: disks([("data", GIB)]),
        ..Config::default()
    });
    // It broke off before anything but its id was known; the id belongs to another by now.
    if let Some(identity) = &mut world.record.as_mut().unwrap().identity {
        identity.incarnation = None;
    }
    world.observed.as_mut().unwrap().mark = Some(mark(8).to_string());
    let reason = refused(&world, Intent::Deploy);
    assert!(reason.contains("carries the mark of"), "{reason}");
}
