//! What the engine says of itself.

use enginehouse_sdk::prelude::*;
use serde_json::json;

use crate::{Fake, HypervisorSettings, MachineSettings};

#[test]
fn schemas_describe_each_setting_with_an_example_that_is_valid() {
    let description = Fake::describe();
    for schema in [
        &description.hypervisor_settings_schema,
        &description.machine_settings_schema,
    ] {
        assert_eq!(schema["additionalProperties"], false);
        for (name, setting) in schema["properties"].as_object().unwrap() {
            assert!(setting["description"].is_string(), "{name}: {setting}");
            assert!(setting["examples"][0] != json!(null), "{name}: {setting}");
        }
    }
    let example =
        description.machine_settings_schema["properties"]["firmware"]["examples"][0].clone();
    let settings: MachineSettings = serde_json::from_value(json!({"firmware": example})).unwrap();
    assert!(settings.firmware.is_some());
    let unknown = serde_json::from_value::<HypervisorSettings>(json!({"pagesize": 3}));
    assert!(unknown.unwrap_err().to_string().contains("page_size"));
}

#[test]
fn every_action_of_the_contract_is_described() {
    let description = Fake::describe();
    for name in [
        "create",
        "configure",
        "start",
        "stop",
        "restart",
        "destroy",
        "disk-add",
        "disk-grow",
        "disk-remove",
        "disk-remove.keep",
        "nic-add",
        "nic-change",
        "nic-remove",
        "nic.addresses",
    ] {
        assert!(
            description.actions.iter().any(|action| action == name),
            "{name}"
        );
    }
    assert_eq!(description.fields["memory"].granularity, Some(1 << 20));
}

#[test]
fn the_class_of_a_firmware_depends_on_both_values_and_on_whether_it_runs() {
    use ChangeClass::{InPlace, Replace, Restart};
    use PowerState::{Running, Stopped};
    let with = |firmware: &str| -> Config {
        serde_json::from_value(json!({"settings": {"firmware": firmware}})).unwrap()
    };
    for (now, wanted, power, class) in [
        ("uefi", "uefi-secure", Running, Some(Restart)),
        ("uefi", "uefi-secure", Stopped, Some(InPlace)),
        ("bios", "uefi", Running, Some(Replace)),
        ("uefi-secure", "bios", Stopped, Some(Replace)),
        ("nothing", "uefi", Running, None),
    ] {
        let question = Question {
            desired: with(wanted),
            observed: Some(Machine {
                power,
                config: Some(with(now)),
                ..Machine::default()
            }),
            changed: vec!["settings.firmware".to_owned()],
            ..Question::default()
        };
        let assessment = Fake::assess(&question).unwrap();
        let said = assessment
            .fields
            .get("settings.firmware")
            .map(|field| field.class);
        assert_eq!(said, class, "{now} to {wanted}, {power:?}");
    }
    let question = Question {
        desired: with("uefi"),
        deployed: Some(with("bios")),
        changed: vec!["vcpu".to_owned()],
        ..Question::default()
    };
    assert!(Fake::assess(&question).unwrap().fields.is_empty());
}
