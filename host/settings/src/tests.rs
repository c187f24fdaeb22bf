//! What people read of wrong settings, and of those there are.

use enginehouse_tree::{SettingFault, SettingFaultKind};
use serde_json::{Value, json};

use crate::{SettingsSchema, listing};

/// A schema as engines have them, with every kind of setting.
fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["flavor"],
        "properties": {
            "flavor": {"type": "string", "description": "What it is\n  made like."},
            "firmware": {
                "description": "How the machine boots.",
                "anyOf": [{"$ref": "#/$defs/Firmware"}, {"type": "null"}],
                "examples": ["uefi"],
            },
            "pages": {
                "type": ["integer", "null"], "minimum": 1, "maximum": 1000, "default": 100,
                "description": "Machines in one page.",
            },
            "share": {"type": "number", "exclusiveMinimum": 0, "description": "Share of a core."},
            "onboot": {"type": "boolean", "description": "Start with the host."},
            "tags": {
                "type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "maxItems": 3,
                "uniqueItems": true, "description": "Tags, lower case.",
            },
            "net": {"$ref": "#/$defs/Net"},
            "admin_password": {"type": "string", "minLength": 8, "description": "For the console."},
            "pin": {"type": "integer", "writeOnly": true, "description": "Of the front panel."},
            "where": {
                "description": "A pool, or a host with a slot.",
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object", "required": ["host"], "additionalProperties": false,
                        "properties": {"host": {"type": "string"}, "slot": {"type": "integer"}},
                    },
                ],
            },
            "address": {"type": "string", "format": "ipv4", "description": "Of the console."},
        },
        "$defs": {
            "Firmware": {
                "description": "A way to boot.",
                "oneOf": [
                    {"const": "bios", "description": "The old way."},
                    {"enum": ["uefi", "uefi-secure"]},
                ],
            },
            "Net": {
                "type": "object", "description": "The service network.",
                "properties": {"mtu": {"type": "integer", "minimum": 576, "description": "Bytes of a packet."}},
                "required": ["mtu"], "additionalProperties": false,
            },
        },
    })
}

fn line(fault: &SettingFault) -> String {
    let what = match &fault.kind {
        SettingFaultKind::Unknown { nearest, known } => match nearest {
            Some(nearest) => format!("unknown, did you mean {nearest}?"),
            None => format!("unknown, there are {}", known.join(" ")),
        },
        SettingFaultKind::Expected {
            expected,
            found,
            hint,
        } => {
            let hint = hint.as_ref().map(|hint| format!(", {hint}"));
            format!(
                "expected {expected}, found {found}{}",
                hint.unwrap_or_default()
            )
        }
        SettingFaultKind::Missing { expected } => format!("missing, expected {expected}"),
    };
    let description = fault.description.as_deref().unwrap_or("-");
    format!("{}: {what} [{description}]", fault.path.join("."))
}

fn lines(settings: Value) -> Vec<String> {
    let schema = SettingsSchema::compile(&schema()).unwrap();
    let faults = schema.faults(settings.as_object().unwrap());
    faults.iter().map(line).collect()
}

#[test]
fn each_way_to_be_wrong_has_its_words() {
    for (settings, expected) in [
        (
            json!({"firmware": "uefy"}),
            "firmware: expected `bios`, `uefi` or `uefi-secure`, found the text \"uefy\", did you mean `uefi`? [How the machine boots.]",
        ),
        (
            json!({"firmware": 1}),
            "firmware: expected `bios`, `uefi` or `uefi-secure`, found the number 1 [How the machine boots.]",
        ),
        (
            json!({"pages": 0}),
            "pages: expected a whole number, 1 to 1000, found the number 0 [Machines in one page.]",
        ),
        (
            json!({"pages": "100"}),
            "pages: expected a whole number, 1 to 1000, found the text \"100\", write it without quotes: 100 [Machines in one page.]",
        ),
        (
            json!({"share": 0}),
            "share: expected a number, more than 0, found the number 0 [Share of a core.]",
        ),
        (
            json!({"onboot": "yes"}),
            "onboot: expected true or false, found the text \"yes\" [Start with the host.]",
        ),
        (
            json!({"onboot": "true"}),
            "onboot: expected true or false, found the text \"true\", write it without quotes: true [Start with the host.]",
        ),
        (
            json!({"flavor": 4}),
            "flavor: expected a text, found the number 4, write it in quotes: \"4\" [What it is made like.]",
        ),
        (
            json!({"tags": "web"}),
            "tags: expected a list of at most 3, each item a text that matches `^[a-z]+$`, none of them twice, found the text \"web\" [Tags, lower case.]",
        ),
        (
            json!({"tags": ["web", "Web"]}),
            "tags.1: expected a text that matches `^[a-z]+$`, found the text \"Web\" [Tags, lower case.]",
        ),
        (
            json!({"tags": ["a", "a"]}),
            "tags: expected a list that has nothing twice, found a list [Tags, lower case.]",
        ),
        (
            json!({"net": {"mtu": 9}}),
            "net.mtu: expected a whole number, 576 or more, found the number 9 [Bytes of a packet.]",
        ),
        (
            json!({"net": {}}),
            "net.mtu: missing, expected a whole number, 576 or more [Bytes of a packet.]",
        ),
        (
            json!({"net": {"mtu": 1500, "mut": 1}}),
            "net.mut: unknown, did you mean mtu? [-]",
        ),
        (
            json!({"where": 7}),
            "where: expected a text, or an object with host, slot, found the number 7 [A pool, or a host with a slot.]",
        ),
        (
            json!({"where": {"host": "a", "slot": "b"}}),
            "where.slot: expected a whole number, found the text \"b\" [A pool, or a host with a slot.]",
        ),
        (
            json!({"where": {"slot": 1}}),
            "where.host: missing, expected a text [-]",
        ),
        (
            json!({"address": "10.0.0.300"}),
            "address: expected an IPv4 address, found the text \"10.0.0.300\" [Of the console.]",
        ),
        (
            json!({"onbot": true}),
            "onbot: unknown, did you mean onboot? [-]",
        ),
        (
            json!({"colour": true}),
            "colour: unknown, there are flavor firmware pages share onboot tags net admin_password pin where address [-]",
        ),
    ] {
        let mut settings = settings;
        if settings.get("flavor").is_none() {
            settings["flavor"] = json!("small");
        }
        assert_eq!(lines(settings.clone()), [expected], "{settings}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_once_and_in_the_order_of_the_keys() {
    assert_eq!(
        lines(json!({"pages": 1001, "onboot": 1, "firmware": "coreboot", "nett": {}})),
        [
            "firmware: expected `bios`, `uefi` or `uefi-secure`, found the text \"coreboot\" [How the machine boots.]",
            "flavor: missing, expected a text [What it is made like.]",
            "nett: unknown, did you mean net? [-]",
            "onboot: expected true or false, found the number 1 [Start with the host.]",
            "pages: expected a whole number, 1 to 1000, found the number 1001 [Machines in one page.]",
        ]
    );
}

#[test]
fn what_is_right_is_right() {
    let right = json!({
        "flavor": "small", "firmware": "uefi", "pages": 1, "share": 0.5, "onboot": true,
        "tags": ["a", "b"], "net": {"mtu": 9000}, "where": {"host": "a"}, "address": "192.0.2.1",
        "admin_password": "correct horse", "pin": 1234,
    });
    assert_eq!(lines(right), [""; 0]);
}

#[test]
fn a_secret_is_never_repeated() {
    let found = lines(json!({
        "flavor": "a", "admin_password": "hunter2", "pin": "0000-hunter2",
    }));
    assert_eq!(
        found,
        [
            "admin_password: expected a text of at least 8 characters, found a text [For the console.]",
            "pin: expected a whole number, found a text [Of the front panel.]",
        ]
    );
    let within = lines(json!({"flavor": "a", "where": {"host": "a", "token": "hunter2"}}));
    assert_eq!(within.len(), 1);
    assert!(!within.concat().contains("hunter2"), "{within:?}");
}

#[test]
fn a_reference_stands_for_the_secret_that_it_names() {
    let settings = json!({"flavor": "a", "admin_password": {"env": "CONSOLE"}});
    assert_eq!(lines(settings), [""; 0]);
    let elsewhere = json!({"flavor": {"env": "CONSOLE"}});
    assert_eq!(
        lines(elsewhere),
        ["flavor: expected a text, found an object [What it is made like.]"]
    );
}

#[test]
fn much_that_is_wrong_is_bounded() {
    let settings: Value = (0..10_000)
        .map(|n| (format!("{n}{}", "x".repeat(500)), json!(n)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let found = lines(settings);
    assert!(found.len() <= 100, "{}", found.len());
    assert!(found.iter().all(|line| line.len() < 1000));
}

#[test]
fn an_engine_without_a_schema_takes_everything() {
    for schema in [json!(null), json!(true), json!({})] {
        let schema = SettingsSchema::compile(&schema).unwrap();
        let settings = json!({"anything": 1});
        assert_eq!(schema.faults(settings.as_object().unwrap()), []);
    }
}

#[test]
fn what_is_no_schema_or_lies_elsewhere_is_refused() {
    for (schema, word) in [
        (json!({"type": "strnig"}), "strnig"),
        (
            json!({"$ref": "https://schemas.example/machine.json"}),
            "schemas.example",
        ),
        (json!({"properties": {"a": {"pattern": "("}}}), "regex"),
    ] {
        let error = SettingsSchema::compile(&schema).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn a_schema_that_goes_in_circles_ends() {
    let schema = json!({
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}, "B": {"$ref": "#/$defs/A"}},
    });
    assert_eq!(listing(&schema).len(), 1);
    let deep = json!({
        "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}},
        "additionalProperties": false,
    });
    assert!(listing(&deep).len() < 50);
    let compiled = SettingsSchema::compile(&deep).unwrap();
    let settings = json!({"next": {"next": {"n": "x"}}});
    let faults = compiled.faults(settings.as_object().unwrap());
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].path, ["next", "next", "n"]);
}

#[test]
fn settings_are_listed_in_the_same_words() {
    let text: Vec<String> = listing(&schema())
        .into_iter()
        .map(|setting| {
            format!(
                "{}: {}{}{}{}{} [{}]",
                setting.name,
                setting.takes,
                if setting.required { ", required" } else { "" },
                if setting.secret { ", secret" } else { "" },
                setting
                    .default
                    .map(|text| format!(", default {text}"))
                    .unwrap_or_default(),
                setting
                    .example
                    .map(|text| format!(", as in {text}"))
                    .unwrap_or_default(),
                setting.description.as_deref().unwrap_or("-"),
            )
        })
        .collect();
    assert_eq!(
        text,
        [
            "flavor: a text, required [What it is made like.]",
            "firmware: `bios`, `uefi` or `uefi-secure`, as in \"uefi\" [How the machine boots.]",
            "pages: a whole number, 1 to 1000, default 100 [Machines in one page.]",
            "share: a number, more than 0 [Share of a core.]",
            "onboot: true or false [Start with the host.]",
            "tags: a list of at most 3, each item a text that matches `^[a-z]+$`, none of them twice [Tags, lower case.]",
            "net: an object with mtu [The service network.]",
            "net.mtu: a whole number, 576 or more, required [Bytes of a packet.]",
            "admin_password: a text of at least 8 characters, secret [For the console.]",
            "pin: a whole number, secret [Of the front panel.]",
            "where: a text, or an object with host, slot [A pool, or a host with a slot.]",
            "where.host: a text [-]",
            "where.slot: a whole number [-]",
            "address: an IPv4 address [Of the console.]",
        ]
    );
}
