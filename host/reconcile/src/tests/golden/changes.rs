//! Plain fields that are written.

use std::collections::BTreeMap;

use enginehouse_model::documents::{
    Assessment, ChangeClass, Config, FieldAssessment, Power, PowerState,
};
use serde_json::json;

use super::{all, golden, same, settings, small, traced};
use crate::tests::world::{MIB, World};
use crate::{Intent, Subject, plan};

fn larger() -> Config {
    Config {
        vcpu: Some(4),
        memory: Some(4096 * MIB),
        power: Some(Power::Running),
        ..small()
    }
}

#[test]
fn case_5_two_guests() {
    let nine = same(9).desired(larger());
    let ten = same(10).desired(Config {
        power: Some(Power::Running),
        ..small()
    });
    golden!(all(&[ten, nine], Intent::Reconfigure));
}

#[test]
fn a_pending_change_with_its_origins() {
    let world = same(9).desired(larger());
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[
            ("vcpu", "/web/vm9"),
            ("memory", "/web via small (/)"),
            ("power", "/"),
        ]
    ));
}

#[test]
fn drift_and_a_pending_change_in_one_action() {
    let world = same(9)
        .desired(Config {
            vcpu: Some(4),
            ..small()
        })
        .observed(Config {
            memory: Some(1024 * MIB),
            ..small()
        });
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[("vcpu", "/web/vm9"), ("memory", "/")]
    ));
}

#[test]
fn a_field_that_drifted_and_is_to_be_another() {
    let world = same(9)
        .desired(Config {
            vcpu: Some(4),
            ..small()
        })
        .observed(Config {
            vcpu: Some(8),
            ..small()
        });
    golden!(traced(&world, Intent::Reconfigure, &[("vcpu", "/")]));
}

#[test]
fn labels_that_come_and_go() {
    let labels = |labels: &[(&str, &str)]| Config {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..small()
    };
    let world = same(9)
        .desired(labels(&[("env", "prod"), ("new", "")]))
        .deployed(labels(&[("env", "test"), ("old", "x")]))
        .observed(labels(&[("env", "test"), ("old", "x"), ("theirs", "y")]));
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[("labels.env", "/"), ("labels.new", "/web")]
    ));
}

#[test]
fn a_description_that_is_emptied() {
    let described = |text: &str| Config {
        description: Some(text.to_owned()),
        ..small()
    };
    let world = same(9)
        .desired(described(""))
        .deployed(described("x"))
        .observed(described("x\n"));
    golden!(world.plan(Intent::Reconfigure));
}

fn with(value: serde_json::Value) -> Config {
    Config {
        settings: settings(value),
        ..small()
    }
}

#[test]
fn settings_of_every_class_on_a_machine_that_runs() {
    let before = json!({"onboot": false, "bios": "seabios", "odd": 0, "arch": "x86"});
    let after = json!({"onboot": true, "bios": "ovmf", "odd": 1, "arch": "arm"});
    let world = World::new(9)
        .desired(with(after))
        .deployed(with(before.clone()))
        .observed(with(before))
        .power(PowerState::Running);
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_setting_that_needs_a_restart_on_a_machine_that_stands_still() {
    let world = World::new(9)
        .desired(with(json!({"bios": "ovmf"})))
        .deployed(with(json!({"bios": "seabios"})))
        .observed(with(json!({"bios": "seabios"})));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn a_restart_that_the_engine_cannot_do() {
    let world = World::new(9)
        .desired(with(json!({"bios": "ovmf"})))
        .deployed(with(json!({"bios": "seabios"})))
        .observed(with(json!({"bios": "seabios"})))
        .power(PowerState::Running)
        .without("restart");
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn what_the_engine_says_of_a_change() {
    let world = World::new(9)
        .desired(with(json!({"odd": 1})))
        .deployed(with(json!({"odd": 0})))
        .observed(with(json!({"odd": 0})))
        .power(PowerState::Running);
    let assessment = Assessment {
        fields: BTreeMap::from([(
            "settings.odd".to_owned(),
            FieldAssessment {
                class: ChangeClass::Restart,
                reason: "the odd device cannot be plugged".to_owned(),
            },
        )]),
    };
    golden!(plan(&[Subject {
        assessment: Some(&assessment),
        ..world.subject(Intent::Reconfigure)
    }]));
}

#[test]
fn a_secret_setting_is_not_shown() {
    let world = World::new(9)
        .desired(with(json!({"key": "hunter2"})))
        .deployed(with(json!({"key": "swordfish"})))
        .observed(with(json!({"key": "swordfish"})));
    golden!(world.plan(Intent::Reconfigure));
}

#[test]
fn an_image_that_takes_another_machine() {
    let of = |image: &str| Config {
        base_image: Some(image.to_owned()),
        ..small()
    };
    let world = World::new(9)
        .desired(of("d13"))
        .deployed(of("d12"))
        .observed(small());
    golden!(traced(
        &world,
        Intent::Reconfigure,
        &[("base_image", "/ via small (/)")]
    ));
}

#[test]
fn an_engine_that_cannot_configure() {
    let world = same(9).desired(larger()).without("configure");
    golden!(world.plan(Intent::Reconfigure));
}
