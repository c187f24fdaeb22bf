//! What the engine says of itself.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;

use crate::drive::MIB;
use crate::settings::{Connection, MachineSettings};

/// A daemon collects what `cluster/resources` shows every 10 seconds, and a request may wait as long for
/// the lock of a guest before it does anything (`PVE::AbstractConfig::lock_config`).
pub(crate) const VISIBILITY_LAG_MS: u64 = 12_000;

pub fn describe() -> Description {
    Description {
        name: "proxmox".to_owned(),
        title: "Proxmox VE".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        aliases: vec!["pve".to_owned(), "proxmox-ve".to_owned()],
        kinds: vec!["qemu".to_owned(), "lxc".to_owned()],
        actions: [
            "create",
            "create.from-image",
            "create.from-scratch",
            "configure",
            "adopt",
            "start",
            "stop",
            "stop.graceful",
            "restart",
            "restart.graceful",
            "destroy",
            "disk-add",
            "disk-grow",
            "disk-remove",
            "nic-add",
            "nic-change",
            "nic-remove",
        ]
        .map(str::to_owned)
        .to_vec(),
        auth: vec![AuthScheme::ProxmoxToken, AuthScheme::ProxmoxTicket],
        endpoints: Vec::new(),
        default_port: Some(8006),
        default_scheme: Some("https".to_owned()),
        hypervisor_settings_schema: settings_schema::<Connection>(),
        machine_settings_schema: settings_schema::<MachineSettings>(),
        fields: fields(),
        visibility_lag_ms: VISIBILITY_LAG_MS,
    }
}

fn fields() -> BTreeMap<String, FieldRule> {
    let class = |class| FieldRule {
        class: Some(class),
        ..FieldRule::default()
    };
    let in_place = class(ChangeClass::InPlace);
    let restart = class(ChangeClass::Restart);
    [
        ("name", in_place.clone()),
        (
            "description",
            FieldRule {
                ignore_trailing_newline: true,
                ..in_place.clone()
            },
        ),
        ("labels", in_place.clone()),
        ("vcpu", restart.clone()),
        (
            "memory",
            FieldRule {
                granularity: Some(MIB),
                ..restart.clone()
            },
        ),
        (
            "disks.size",
            FieldRule {
                class: Some(ChangeClass::InPlace),
                granularity: Some(MIB),
                ..FieldRule::default()
            },
        ),
        (
            "nics.mac",
            FieldRule {
                ignore_case: true,
                ..FieldRule::default()
            },
        ),
        (
            "settings.tags",
            FieldRule {
                unordered: true,
                ignore_case: true,
                ..in_place.clone()
            },
        ),
        ("settings.onboot", in_place.clone()),
        ("settings.full_clone", in_place),
        ("settings.agent", restart.clone()),
        ("settings.cpu", restart.clone()),
        ("settings.bios", restart.clone()),
        ("settings.machine", restart.clone()),
        ("settings.scsihw", restart.clone()),
        ("settings.ostype", restart),
    ]
    .map(|(name, rule)| (name.to_owned(), rule))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_rule_and_a_description() {
        let description = describe();
        let settings = &description.machine_settings_schema["properties"];
        for (name, schema) in settings.as_object().unwrap() {
            assert!(
                description.fields.contains_key(&format!("settings.{name}")),
                "{name}"
            );
            assert!(schema["description"].is_string(), "{name}");
            assert!(schema["examples"].is_array(), "{name}");
        }
        let settings = &description.hypervisor_settings_schema["properties"];
        for (name, schema) in settings.as_object().unwrap() {
            assert!(schema["description"].is_string(), "{name}");
        }
    }
}
