//! What is only compared, already so, or cannot be seen.

use enginehouse_model::documents::{Config, PowerState};
use serde_json::json;

use super::{golden, same, settings, small, traced};
use crate::Intent;
use crate::tests::world::MIB;

#[test]
fn nothing_because_it_is_so() {
    golden!(same(9).plan(Intent::Reconfigure));
}

#[test]
fn comparing_alone_says_what_drifts_and_what_waits() {
    let mut world = same(9)
        .desired(Config {
            vcpu: Some(4),
            memory: Some(1024 * MIB),
            ..small()
        })
        .observed(Config {
            vcpu: Some(8),
            memory: Some(1024 * MIB),
            ..small()
        });
    world.observed.as_mut().unwrap().mark = None;
    golden!(traced(&world, Intent::Observe, &[("vcpu", "/web")]));
}

#[test]
fn case_10_in_step_without_a_request() {
    let four = || Config {
        vcpu: Some(4),
        ..small()
    };
    golden!(
        same(9)
            .desired(four())
            .observed(four())
            .plan(Intent::Reconfigure)
    );
}

#[test]
fn what_is_no_longer_managed() {
    let deployed = Config {
        description: Some("by hand from now on".to_owned()),
        ..small()
    };
    let world = same(9).deployed(deployed.clone()).observed(deployed);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn case_6_the_configuration_could_not_be_read() {
    let mut world = same(9).desired(Config {
        vcpu: Some(4),
        power: Some(enginehouse_model::documents::Power::Running),
        ..small()
    });
    world.observed.as_mut().unwrap().config = None;
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_field_that_the_hypervisor_does_not_show() {
    let world = same(9).desired(Config {
        settings: settings(json!({"onboot": true})),
        ..small()
    });
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn an_observation_that_is_old() {
    let mut plan = same(9)
        .observed(Config {
            vcpu: Some(8),
            ..small()
        })
        .plan(Intent::Reconfigure);
    let machine = plan.machines.first_mut().unwrap();
    machine.observed_at = Some(enginehouse_model::Timestamp(super::NOW.0 - 3 * 3_600_000));
    golden!(plan);
}

#[test]
fn an_observation_of_a_minute_ago_is_not_worth_a_word() {
    let mut plan = same(9)
        .observed(Config {
            vcpu: Some(8),
            ..small()
        })
        .plan(Intent::Reconfigure);
    let machine = plan.machines.first_mut().unwrap();
    machine.observed_at = Some(enginehouse_model::Timestamp(super::NOW.0 - 60_000));
    golden!(plan);
}

#[test]
fn a_machine_that_is_worked_on() {
    let mut plan = same(9)
        .desired(Config {
            vcpu: Some(4),
            ..small()
        })
        .plan(Intent::Reconfigure);
    let machine = plan.machines.first_mut().unwrap();
    machine.waits = vec!["operation 12 (restart), which comes before it".to_owned()];
    golden!(plan);
}

#[test]
fn a_machine_that_the_hypervisor_holds_locked() {
    let mut world = same(9)
        .desired(Config {
            vcpu: Some(4),
            ..small()
        })
        .power(PowerState::Running);
    world.observed.as_mut().unwrap().lock = Some("backup".to_owned());
    golden!(world.plan(Intent::Reconfigure));
}
