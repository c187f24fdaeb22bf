//! What an approval is bound to, and what it is not.

use enginehouse_model::MachineRecord;
use enginehouse_model::documents::{Machine, PowerState};
use proptest::prelude::*;

use super::properties::world;
use super::world::{GIB, World, disk, disks};
use crate::{FieldChange, Grounds, Intent, KeepDisks, PlannedAction, Unit, plan};
use enginehouse_model::documents::Config;

const UNDEPLOY: Intent = Intent::Undeploy {
    keep: KeepDisks::Marked,
};

fn grounds<'a>(world: &'a World, engine: &'a str) -> Grounds<'a> {
    let subject = world.subject(UNDEPLOY);
    Grounds {
        name: subject.name,
        node: subject.node,
        hypervisor: subject.hypervisor,
        hypervisor_name: subject.hypervisor_name,
        record: subject.record,
        observed: subject.observed,
        engine,
    }
}

fn actions(world: &World) -> Vec<PlannedAction> {
    let plan = world.plan(UNDEPLOY);
    plan.actions().cloned().collect()
}

fn unit(world: &World) -> Option<Unit> {
    Unit::of(&grounds(world, "e1"), &actions(world))
}

/// What happens to a running machine with two disks, of which one is kept.
fn two_disks() -> World {
    let mut desired = Config {
        disks: disks([("root", 8 * GIB), ("data", 100 * GIB)]),
        ..Config::default()
    };
    desired.disks.get_mut("data").unwrap().keep = Some(true);
    World::new(9)
        .desired(desired.clone())
        .deployed(desired)
        .slot("root", "scsi0")
        .slot("data", "scsi1")
        .observed(Config {
            disks: disks([("scsi0", 8 * GIB), ("scsi1", 100 * GIB)]),
            ..Config::default()
        })
        .power(PowerState::Running)
}

#[test]
fn people_read_what_is_destroyed_and_what_that_rests_on() {
    let text = unit(&two_disks()).unwrap().to_string();
    let (text, digest) = text.split_once("  digest       ").unwrap();
    assert_eq!(
        text,
        "/web/vm9 on pve1\n  \
           destroy: its disks are kept: data (scsi1) (destructive)\n    \
             disk scsi0: 8 GiB\n    \
             disk scsi1: 100 GiB\n  \
           machine      9\n  \
           incarnation  inc-9\n  \
           provider     cluster\n  \
           mark         eh:00000000000000000000000000000001:00000000000000000000000000000009:7\n  \
           engine       e1\n"
    );
    assert_eq!(digest.trim_end().len(), 64);
}

#[test]
fn nothing_that_is_gated_is_no_unit() {
    let world = World::new(9);
    let actions: Vec<_> = world.plan(Intent::Start).actions().cloned().collect();
    assert_eq!(actions.len(), 1);
    assert_eq!(Unit::of(&grounds(&world, "e1"), &actions), None);
    // Neither needs it approval.
    let undeploy = unit(&two_disks()).unwrap();
    assert_eq!(undeploy.covers(&actions[0], &grounds(&world, "e2")), Ok(()));
}

#[test]
fn what_is_another_is_said() {
    let world = two_disks();
    let approved = unit(&world).unwrap();
    let mut grown = world.clone();
    let config = grown.observed.as_mut().unwrap().config.as_mut().unwrap();
    config.disks.insert("scsi2".to_owned(), disk(GIB));
    let difference = approved.difference(&unit(&grown).unwrap());
    assert_eq!(
        difference.as_deref(),
        Some("action 1, destroy, disk scsi2: not there -> 1 GiB")
    );
    let destroy = actions(&grown).pop().unwrap();
    assert_eq!(
        approved.covers(&destroy, &grounds(&grown, "e1")),
        Err(difference.unwrap())
    );
    let other_engine = approved.covers(&destroy, &grounds(&world, "e2"));
    assert_eq!(other_engine, Err("engine: e1 -> e2".to_owned()));
}

#[test]
fn a_name_does_not_write_lines_of_its_own() {
    let mut world = two_disks();
    let record = world.record.as_mut().unwrap();
    record.provider_identity = "x\n  digest       \u{202e}0".to_owned();
    let text = unit(&world).unwrap().to_string();
    assert_eq!(text.matches("\n  digest ").count(), 1, "{text}");
    assert!(!text.contains('\u{202e}'));
}

/// What makes the destruction another one.
#[derive(Clone, Debug)]
enum Guarded {
    Disk(String, Option<u64>),
    ConfigHidden,
    Incarnation,
    Provider,
    MachineId,
    Creation,
    Keep,
}

fn guarded() -> impl Strategy<Value = Guarded> {
    let slot = prop_oneof![Just("scsi0"), Just("scsi1"), Just("virtio7")];
    prop_oneof![
        (slot, prop::option::of(1..9_u64))
            .prop_map(|(slot, size)| Guarded::Disk(slot.to_owned(), size)),
        Just(Guarded::ConfigHidden),
        Just(Guarded::Incarnation),
        Just(Guarded::Provider),
        Just(Guarded::MachineId),
        Just(Guarded::Creation),
        Just(Guarded::Keep),
    ]
}

impl Guarded {
    /// False: it was so already.
    fn happen(&self, world: &mut World) -> bool {
        let before = world.clone();
        let (Some(record), Some(observed)) = (&mut world.record, &mut world.observed) else {
            return false;
        };
        let identity = record.identity.as_mut();
        match self {
            Self::Disk(slot, size) => {
                let config = observed.config.get_or_insert_default();
                match size {
                    Some(size) => {
                        let _ = config.disks.insert(slot.clone(), disk(*size));
                    }
                    None => {
                        let _ = config.disks.remove(slot);
                    }
                }
            }
            Self::ConfigHidden => observed.config = None,
            Self::Incarnation => {
                if let Some(identity) = identity {
                    identity.incarnation = Some("another".to_owned());
                }
            }
            Self::Provider => record.provider_identity.push('x'),
            Self::MachineId => {
                if let Some(identity) = identity {
                    identity.machine_id.push('1');
                }
            }
            Self::Creation => record.mark.operation.0 += 1,
            Self::Keep => {
                let data = world.desired.disks.get_mut("data");
                data.unwrap().keep = Some(false);
                world.record.as_mut().unwrap().deployed = world.desired.clone();
            }
        }
        before.record != world.record
            || before.observed.as_ref().map(|it| &it.config)
                != world.observed.as_ref().map(|it| &it.config)
    }
}

/// What changes all the time.
#[derive(Clone, Debug)]
enum Elsewhere {
    Power(PowerState),
    Host,
    Description(String),
    Version,
    Definition(u32),
    Lock,
    LastStep,
}

fn elsewhere() -> impl Strategy<Value = Elsewhere> {
    prop_oneof![
        prop_oneof![Just(PowerState::Running), Just(PowerState::Stopped)]
            .prop_map(Elsewhere::Power),
        Just(Elsewhere::Host),
        "[a-z]{0,3}".prop_map(Elsewhere::Description),
        Just(Elsewhere::Version),
        (1..9_u32).prop_map(Elsewhere::Definition),
        Just(Elsewhere::Lock),
        Just(Elsewhere::LastStep),
    ]
}

impl Elsewhere {
    fn happen(&self, record: &mut MachineRecord, observed: &mut Machine, desired: &mut Config) {
        match self {
            Self::Power(power) => observed.power = *power,
            Self::Host => observed.host = Some("n2".to_owned()),
            Self::Description(text) => {
                observed.config.get_or_insert_default().description = Some(text.clone());
            }
            Self::Version => observed.version = Some("v2".to_owned()),
            Self::Definition(vcpu) => desired.vcpu = Some(*vcpu),
            Self::Lock => observed.lock = Some("backup".to_owned()),
            Self::LastStep => record.last_step_ended.0 += 1,
        }
    }
}

proptest! {
    #[test]
    fn a_stale_approval_never_runs(changes in prop::collection::vec(guarded(), 1..4)) {
        let signed = two_disks();
        let approved = unit(&signed).unwrap();
        let destroy = actions(&signed).pop().unwrap();
        let mut now = signed.clone();
        for change in &changes {
            change.happen(&mut now);
        }
        let is_same = now.record == signed.record
            && now.observed.as_ref().map(|it| &it.config) == signed.observed.as_ref().map(|it| &it.config);
        // When its turn comes and it is planned again.
        if let Some(again) = unit(&now) {
            prop_assert_eq!(approved.digest() == again.digest(), is_same);
            prop_assert_eq!(approved.difference(&again).is_none(), is_same);
        }
        // Right before the step, by the plan that was made before the change.
        let is_kept_plan = !changes.iter().any(|change| matches!(change, Guarded::Keep));
        if is_kept_plan {
            prop_assert_eq!(approved.covers(&destroy, &grounds(&now, "e1")).is_ok(), is_same);
        }
    }

    #[test]
    fn an_approval_still_runs_while_unrelated_machines_change(
        others in prop::collection::vec(world(10), 0..4),
        changes in prop::collection::vec(elsewhere(), 0..6),
        first in any::<bool>(),
    ) {
        let mut mine = two_disks();
        let approved = unit(&mine).unwrap();
        {
            let World { record, observed, desired, .. } = &mut mine;
            for change in &changes {
                change.happen(record.as_mut().unwrap(), observed.as_mut().unwrap(), desired);
            }
        }
        let mut subjects: Vec<_> = others.iter().map(|world| world.subject(UNDEPLOY)).collect();
        let at = if first { 0 } else { subjects.len() };
        subjects.insert(at, mine.subject(UNDEPLOY));
        let all = plan(&subjects);
        let machine = all.machines.iter().find(|machine| machine.name == mine.name).unwrap();
        let grounds = grounds(&mine, "e1");
        let again = Unit::of(&grounds, &machine.actions).unwrap();
        prop_assert_eq!(approved.digest(), again.digest());
        prop_assert_eq!(approved.difference(&again), None);
        for action in &machine.actions {
            prop_assert_eq!(approved.covers(action, &grounds), Ok(()));
        }
    }

    #[test]
    fn the_digest_is_that_of_all_it_says(one in world(9), other in world(9)) {
        let (one, other) = (unit(&one), unit(&other));
        let same = one == other;
        let digests = (one.map(|unit| unit.digest()), other.map(|unit| unit.digest()));
        prop_assert_eq!(same, digests.0 == digests.1);
    }
}

fn lowering(fields: &[(&str, &str, &str)]) -> Option<Unit> {
    let world = World::new(9);
    let grounds = grounds(&world, "e1");
    let fields = fields.iter().map(|(field, from, to)| FieldChange {
        field: (*field).to_owned(),
        from: (*from).to_owned(),
        to: (*to).to_owned(),
    });
    Unit::lowering(grounds.name, grounds.node, "edit", fields.collect())
}

#[test]
fn a_lowering_is_its_nodes_with_before_and_after_and_no_machine() {
    assert_eq!(lowering(&[]), None);
    let less = ("/web (01) approvals", "2 of 3", "1 of 3");
    let unit = lowering(&[less]).unwrap();
    assert!(unit.is_lowering());
    let text = unit.to_string();
    let (text, digest) = text.split_once("  digest").unwrap();
    assert_eq!(
        text,
        "/web/vm9\n  edit: machines are less protected afterwards (destructive)\n    /web (01) approvals: 2 of 3 -> 1 of 3\n"
    );
    assert_eq!(digest.trim().len(), 64);
    for other in [
        lowering(&[("/web (02) approvals", "2 of 3", "1 of 3")]),
        lowering(&[("/web (01) approvals", "2 of 3", "none")]),
        lowering(&[less, ("/web (01) protect", "true", "false")]),
    ] {
        let other = other.unwrap();
        assert_ne!(unit.digest(), other.digest());
        assert!(unit.difference(&other).is_some());
    }
    // It covers no machine's destruction.
    let world = two_disks();
    let destroys = self::unit(&world).unwrap();
    assert!(!destroys.is_lowering());
    for planned in actions(&world) {
        let covered = unit.covers(&planned, &grounds(&world, "e1"));
        assert_eq!(covered.is_err(), planned.is_gated());
    }
}
