//! From plan to requests to record.

use enginehouse_model::documents::{Action, Config, Machine, Outcome, Power, PowerState};

use super::world::{GIB, World, disk, disks};
use crate::{Intent, KeepDisks, Needed, apply, still_needed};

fn image(root: u64) -> Config {
    Config {
        name: Some("vm9".to_owned()),
        base_image: Some("d12".to_owned()),
        vcpu: Some(2),
        disks: disks([("root", root)]),
        ..Config::default()
    }
}

fn names(requests: &[enginehouse_model::documents::ActionRequest]) -> Vec<&str> {
    requests.iter().map(|r| r.action.name()).collect()
}

#[test]
fn a_deploy_grows_the_disk_that_the_image_made_too_small() {
    let mut world = World::unborn(9).desired(image(16 * GIB));
    let sent = world.execute(&world.plan(Intent::Deploy));
    assert_eq!(names(&sent), ["create", "disk-grow", "start"]);
    assert_eq!(
        sent.get(1).map(|request| &request.action),
        Some(&Action::DiskGrow {
            slot: "scsi0".to_owned(),
            size: 16 * GIB
        })
    );
    let record = world.record.clone().unwrap();
    let expected = Config {
        power: Some(Power::Running),
        ..image(16 * GIB)
    };
    assert_eq!(record.deployed, expected);
    assert_eq!(
        record.identity.unwrap().incarnation.as_deref(),
        Some("inc-9")
    );
    assert!(world.plan(Intent::Reconfigure).is_empty());
}

#[test]
fn a_deploy_skips_the_grow_where_the_image_is_large_enough() {
    let mut world = World::unborn(9).desired(image(8 * GIB));
    let plan = world.plan(Intent::Deploy);
    assert_eq!(plan.actions().count(), 3);
    let sent = world.execute(&plan);
    assert_eq!(names(&sent), ["create", "start"]);
    let record = world.record.unwrap();
    assert_eq!(record.deployed.disks, disks([("root", 8 * GIB)]));
}

#[test]
fn a_deploy_goes_on_where_it_broke_off() {
    let mut world = World::unborn(9).desired(image(16 * GIB));
    let plan = world.plan(Intent::Deploy);
    let machine = plan.machines.first().unwrap();
    // The creation ended, the rest did not run.
    let mut only_create = plan.clone();
    only_create.machines = vec![crate::MachinePlan {
        actions: machine.actions.iter().take(1).cloned().collect(),
        ..machine.clone()
    }];
    assert_eq!(names(&world.execute(&only_create)), ["create"]);
    let again = world.plan(Intent::Deploy);
    assert_eq!(names(&world.execute(&again)), ["disk-grow", "start"]);
    // Never started before, so started now; once started, a run state not managed stays as it is.
    world.observed.as_mut().unwrap().power = PowerState::Stopped;
    assert!(world.plan(Intent::Deploy).is_empty());
}

#[test]
fn a_creation_that_left_no_id_is_made_again_and_one_that_left_an_id_is_not() {
    let mut world = World::new(9).desired(image(16 * GIB));
    let observed = world.observed.take();
    let seen_nowhere = world.plan(Intent::Deploy);
    assert_eq!(seen_nowhere.actions().count(), 0);
    assert!(seen_nowhere.to_string().contains("not seen on pve1"));

    world.record.as_mut().unwrap().identity = None;
    let plan = world.plan(Intent::Deploy);
    let first = plan.actions().next().unwrap();
    assert_eq!(first.request.action.name(), "create");
    let record = world.record.as_ref().unwrap();
    let needed = still_needed(first, record, None, &world.rules);
    assert_eq!(needed, Needed::Yes(first.request.clone()));

    world.observed = observed;
    let plan = world.plan(Intent::Deploy);
    assert_eq!(plan.actions().count(), 0);
    assert!(
        plan.to_string()
            .contains("may be what its unfinished creation made")
    );
}

#[test]
fn a_creation_that_broke_off_is_finished_by_the_engine_where_its_disks_are_not_known() {
    let seen = Config {
        vcpu: Some(1),
        disks: disks([("scsi0", 8 * GIB)]),
        ..Config::default()
    };
    let world = World::new(9).desired(image(16 * GIB)).observed(seen);
    let plan = world.plan(Intent::Deploy);
    let actions: Vec<&str> = plan.actions().map(|a| a.request.action.name()).collect();
    assert_eq!(actions, ["create", "disk-grow", "start"]);
    let first = plan.actions().next().unwrap();
    assert_eq!(first.request.machine.as_ref().unwrap().id, "9");
    assert!(
        first.reason.starts_with("finish machine 9: "),
        "{}",
        first.reason
    );

    let desired = Config {
        disks: disks([]),
        name: None,
        ..image(0)
    };
    let mut world = world.desired(desired.clone());
    let plan = world.plan(Intent::Deploy);
    assert_eq!(names(&world.execute(&plan)), ["configure", "start"]);
    let expected = Config {
        power: Some(Power::Running),
        ..desired
    };
    assert_eq!(world.record.as_ref().unwrap().deployed, expected);
    assert!(world.plan(Intent::Reconfigure).is_empty());
}

#[test]
fn a_configure_is_sent_with_the_version_of_now_and_only_what_still_differs() {
    let config = |vcpu, description: &str| Config {
        vcpu: Some(vcpu),
        description: Some(description.to_owned()),
        ..Config::default()
    };
    let world = World::new(9)
        .desired(config(4, "new"))
        .deployed(config(2, "old"))
        .observed(config(2, "old"));
    let plan = world.plan(Intent::Reconfigure);
    let planned = plan.actions().next().unwrap();
    let record = world.record.as_ref().unwrap();
    let now = |config: Config| Machine {
        config: Some(config),
        version: Some("v2".to_owned()),
        host: Some("n2".to_owned()),
        ..world.observed.clone().unwrap()
    };
    let half = now(config(4, "old\n"));
    let Needed::Yes(request) = still_needed(planned, record, Some(&half), &world.rules) else {
        unreachable!("the description differs");
    };
    assert_eq!(request.machine.unwrap().host.as_deref(), Some("n2"));
    let Action::Configure {
        changed, observed, ..
    } = request.action
    else {
        unreachable!("planned as configure");
    };
    assert_eq!(changed, ["description"]);
    assert_eq!(observed.unwrap().version.as_deref(), Some("v2"));

    let done = now(config(4, "new\n"));
    assert!(matches!(
        still_needed(planned, record, Some(&done), &world.rules),
        Needed::No(_)
    ));
    let mut stranger = half;
    stranger.incarnation = Some("x".to_owned());
    assert!(matches!(
        still_needed(planned, record, Some(&stranger), &world.rules),
        Needed::Refused(_)
    ));
}

#[test]
fn a_destroy_reads_its_guards_again() {
    let world = World::new(9).deployed(image(GIB));
    let keep = KeepDisks::Marked;
    let plan = world.plan(Intent::Undeploy { keep });
    let planned = plan.actions().next().unwrap();
    let record = world.record.clone().unwrap();
    let mut observed = world.observed.clone().unwrap();
    let needed =
        |observed: Option<&Machine>| still_needed(planned, &record, observed, &world.rules);
    assert!(matches!(needed(Some(&observed)), Needed::Yes(_)));
    assert!(matches!(needed(None), Needed::Refused(_)));
    observed.mark = None;
    assert!(matches!(needed(Some(&observed)), Needed::Refused(_)));
}

#[test]
fn a_grow_whose_slot_nobody_named_is_refused() {
    let world = World::unborn(9).desired(image(16 * GIB));
    let plan = world.plan(Intent::Deploy);
    let grow = plan.actions().nth(1).unwrap();
    let record = World::new(9).deployed(image(GIB)).record.unwrap();
    let Needed::Refused(reason) = still_needed(grow, &record, None, &world.rules) else {
        unreachable!("no slot is known");
    };
    assert!(reason.contains("disk root"), "{reason}");
}

#[test]
fn only_what_an_action_did_is_written_down() {
    let mut world = World::new(9)
        .desired(Config {
            vcpu: Some(4),
            labels: [("a".to_owned(), "1".to_owned())].into(),
            disks: disks([("data", GIB)]),
            power: Some(Power::Running),
            ..Config::default()
        })
        .deployed(Config {
            vcpu: Some(2),
            ..Config::default()
        })
        .observed(Config {
            vcpu: Some(2),
            ..Config::default()
        });
    let plan = world.plan(Intent::Reconfigure);
    let record = world.record.as_mut().unwrap();
    let mut seen = Vec::new();
    for planned in plan.actions() {
        apply(record, planned, &Outcome::default());
        let deployed = &record.deployed;
        seen.push((
            planned.request.action.name(),
            deployed.vcpu,
            deployed.labels.len(),
            deployed.disks.len(),
            deployed.power,
        ));
    }
    assert_eq!(
        seen,
        [
            ("configure", Some(4), 1, 0, None),
            ("disk-add", Some(4), 1, 1, None),
            ("start", Some(4), 1, 1, Some(Power::Running)),
        ]
    );
}

#[test]
fn a_late_answer_does_not_shrink_a_disk_on_record() {
    let at = |name, size| Config {
        disks: disks([(name, size)]),
        vcpu: Some(2),
        ..Config::default()
    };
    let world = World::new(9)
        .slot("root", "scsi0")
        .desired(at("root", 16 * GIB))
        .deployed(at("root", 8 * GIB))
        .observed(at("scsi0", 8 * GIB));
    let plan = world.plan(Intent::Reconfigure);
    let mut record = world.record.clone().unwrap();
    let outcome = Outcome {
        machine: world.observed.clone(),
        ..Outcome::default()
    };
    apply(&mut record, plan.actions().next().unwrap(), &outcome);
    assert_eq!(record.deployed.disks.get("root"), Some(&disk(16 * GIB)));
}

#[test]
fn a_replace_destroys_makes_anew_and_leaves_nothing_to_do() {
    let with = |image: &str, root: u64| Config {
        base_image: Some(image.to_owned()),
        ..self::image(root)
    };
    let mut world = World::new(9)
        .desired(with("d13", 16 * GIB))
        .deployed(with("d12", 8 * GIB))
        .slot("root", "scsi0")
        .power(PowerState::Running);
    let plan = world.plan(Intent::Reconfigure);
    let planned: Vec<&str> = plan.actions().map(|a| a.request.action.name()).collect();
    assert_eq!(planned, ["stop", "destroy", "create", "disk-grow", "start"]);
    let sent = world.execute(&plan);
    assert_eq!(names(&sent), planned);
    assert_eq!(sent[2].machine, None, "it is another machine");
    let record = world.record.as_ref().unwrap();
    assert_eq!(record.deployed.base_image.as_deref(), Some("d13"));
    assert!(world.plan(Intent::Reconfigure).is_empty());
}

#[test]
fn after_a_destroy_the_record_knows_no_machine() {
    let mut world = World::new(9)
        .deployed(image(GIB))
        .power(PowerState::Running);
    let keep = KeepDisks::Marked;
    let sent = world.execute(&world.plan(Intent::Undeploy { keep }));
    assert_eq!(names(&sent), ["stop", "destroy"]);
    let record = world.record.unwrap();
    assert_eq!(record.identity, None);
    assert_eq!(record.deployed, Config::default());
}
