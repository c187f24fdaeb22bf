//! What the engine is, and its settings.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;

/// Settings of a simulated hypervisor.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HypervisorSettings {
    /// Machines in one page of a list.
    #[schemars(range(min = 1, max = 1000), example = 100)]
    pub page_size: Option<u16>,
}

/// Settings of a machine on it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachineSettings {
    /// How the machine boots. Without it, as its image says. Between `uefi` and `uefi-secure` it
    /// changes with a restart; to or from `bios` only by making the machine anew.
    #[schemars(example = Firmware::Uefi)]
    pub firmware: Option<Firmware>,
}

/// How a machine boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    Bios,
    Uefi,
    UefiSecure,
}

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn describe() -> Description {
    let class = |class| FieldRule {
        class: Some(class),
        ..FieldRule::default()
    };
    let memory = FieldRule {
        granularity: Some(MIB),
        ..class(ChangeClass::InPlace)
    };
    let names = |names: &str| names.split(' ').map(str::to_owned).collect();
    Description {
        name: "fake".to_owned(),
        title: "Simulated hypervisor".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        aliases: names("sim"),
        kinds: names("vm"),
        actions: names(
            "create create.from-image create.from-scratch configure start stop stop.graceful \
             restart destroy destroy.keep-disks disk-add disk-grow",
        ),
        auth: vec![AuthScheme::Bearer, AuthScheme::None],
        default_port: Some(7070),
        default_scheme: Some("http".to_owned()),
        hypervisor_settings_schema: settings_schema::<HypervisorSettings>(),
        machine_settings_schema: settings_schema::<MachineSettings>(),
        fields: BTreeMap::from([
            ("vcpu".to_owned(), class(ChangeClass::InPlace)),
            ("memory".to_owned(), memory),
            // The heaviest; `assess` says when it is less.
            ("settings.firmware".to_owned(), class(ChangeClass::Replace)),
        ]),
        // What `hidden_ms` of the simulation may be at most.
        visibility_lag_ms: 500,
        ..Description::default()
    }
}
