//! Machines that are not there, or not ours.

use super::{golden, same, small};
use crate::tests::world::{World, mark};
use crate::{Intent, KeepDisks};

const UNDEPLOY: Intent = Intent::Undeploy {
    keep: KeepDisks::Marked,
};

#[test]
fn a_machine_that_was_not_seen() {
    let mut world = same(9);
    world.observed = None;
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_machine_with_somebody_elses_mark() {
    let mut world = same(9);
    world.observed.as_mut().unwrap().mark = Some(mark(10).to_string());
    golden!(world.plan(UNDEPLOY));
}

#[test]
fn a_machine_of_another_incarnation() {
    let mut world = same(9);
    world.observed.as_mut().unwrap().incarnation = Some("inc-new".to_owned());
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_machine_without_a_mark_is_not_destroyed() {
    let mut world = same(9);
    world.observed.as_mut().unwrap().mark = Some(String::new());
    golden!(world.plan(UNDEPLOY));
}

#[test]
fn a_start_of_what_was_never_made() {
    golden!(World::unborn(9).desired(small()).plan(Intent::Start));
}
