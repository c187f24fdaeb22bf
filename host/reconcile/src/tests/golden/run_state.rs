//! Starting and stopping, by the definition and by people.

use enginehouse_model::documents::{Config, Power, PowerState};

use super::{golden, same, small, traced};
use crate::Intent;

fn running() -> Config {
    Config {
        power: Some(Power::Running),
        ..small()
    }
}

#[test]
fn a_guest_that_went_down_by_itself() {
    let world = same(9).desired(running()).deployed(running());
    golden!(traced(&world, Intent::Reconfigure, &[("power", "/")]));
}

#[test]
fn a_guest_that_a_person_stopped() {
    let stopped = Config {
        power: Some(Power::Stopped),
        ..small()
    };
    let world = same(9).desired(running()).deployed(stopped);
    golden!(traced(&world, Intent::Reconfigure, &[("power", "/")]));
}

#[test]
fn a_start_that_a_person_orders() {
    golden!(traced(
        &same(9).desired(running()),
        Intent::Start,
        &[("power", "/")]
    ));
}

#[test]
fn a_stop_by_pulling_the_plug() {
    let world = same(9).power(PowerState::Running);
    golden!(world.plan(Intent::Stop { graceful: false }));
}

#[test]
fn a_restart() {
    let world = same(9).power(PowerState::Running);
    golden!(world.plan(Intent::Restart { graceful: true }));
}

#[test]
fn a_restart_of_what_stands_still() {
    golden!(same(9).plan(Intent::Restart { graceful: true }));
}

#[test]
fn a_start_of_what_runs() {
    let world = same(9).power(PowerState::Running);
    golden!(world.plan(Intent::Start));
}

#[test]
fn a_start_of_a_template() {
    let mut world = same(9);
    world.observed.as_mut().unwrap().template = true;
    golden!(world.plan(Intent::Start));
}

#[test]
fn a_run_state_that_is_unknown() {
    let world = same(9).desired(running()).power(PowerState::Unknown);
    golden!(world.plan(Intent::Reconfigure));
}
