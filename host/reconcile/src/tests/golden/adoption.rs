//! Machines that somebody else has made, and that are taken over.

use enginehouse_model::InstallationId;
use enginehouse_model::Mark;
use uuid::Uuid;

use super::{golden, small};
use crate::Intent;
use crate::tests::world::{World, mark};

/// Chosen, and nothing of it on record but what it is.
fn found(number: u128) -> World {
    let mut world = World::new(number).desired(small()).observed(small());
    let machine = world.observed.as_mut().unwrap();
    machine.mark = Some(String::new());
    machine.name = Some("vm".to_owned());
    world
}

#[test]
fn a_machine_is_taken_over_as_it_is() {
    golden!(found(9).plan(Intent::Adopt));
}

#[test]
fn an_orphan_is_taken_over_from_the_descriptor_that_is_gone() {
    let mut world = found(9);
    world.observed.as_mut().unwrap().mark = Some(mark(11).to_string());
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn a_machine_of_another_installation_is_left() {
    let mut world = found(9);
    let theirs = Mark {
        installation: InstallationId::from_uuid(Uuid::from_u128(2)),
        ..mark(9)
    };
    world.observed.as_mut().unwrap().mark = Some(theirs.to_string());
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn a_machine_that_is_another_by_now_is_left() {
    let mut world = found(9);
    world.observed.as_mut().unwrap().incarnation = Some("inc-new".to_owned());
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn a_machine_that_shows_no_mark_is_left() {
    let mut world = found(9);
    world.observed.as_mut().unwrap().mark = None;
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn a_machine_whose_configuration_is_not_read_is_left() {
    let mut world = found(9);
    world.observed.as_mut().unwrap().config = None;
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn a_template_is_left() {
    let mut world = found(9);
    world.observed.as_mut().unwrap().template = true;
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn a_machine_that_is_gone_by_now_is_not_made() {
    let mut world = found(9);
    world.observed = None;
    golden!(world.plan(Intent::Adopt));
}

#[test]
fn an_engine_that_cannot_write_a_mark_says_so() {
    golden!(found(9).without("adopt").plan(Intent::Adopt));
}

#[test]
fn what_a_machine_that_was_taken_over_has_to_do_is_nothing() {
    let mut world = found(9);
    let plan = world.plan(Intent::Adopt);
    world.execute(&plan);
    golden!(world.plan(Intent::Reconfigure));
}
