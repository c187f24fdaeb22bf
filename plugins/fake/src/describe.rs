//! What the engine is, its settings, and how heavy a change of them is.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;

use crate::Fake;

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
const FIRMWARE: &str = "settings.firmware";

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
            "create create.from-image create.from-scratch configure adopt start stop stop.graceful \
             restart destroy destroy.keep-disks disk-add disk-grow disk-remove disk-remove.keep \
             nic-add nic-change nic-remove nic.addresses",
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
            (FIRMWARE.to_owned(), class(ChangeClass::Replace)),
        ]),
        // What `hidden_ms` of the simulation may be at most.
        visibility_lag_ms: 500,
        ..Description::default()
    }
}

/// How heavy a change of firmware is: it depends on both values, and on whether the machine runs.
impl Assess for Fake {
    fn assess(question: &Question) -> Result<Assessment> {
        let firmware = |config: &Config| machine_settings::<MachineSettings>(config).ok()?.firmware;
        let now = question.current().and_then(firmware);
        let (Some(now), Some(wanted), true) =
            (now, firmware(&question.desired), question.changes(FIRMWARE))
        else {
            // What is not known stays as heavy as the description says.
            return Ok(Assessment::default());
        };
        let stopped = |machine: &Machine| machine.power == PowerState::Stopped;
        let (class, reason) = if (now == Firmware::Bios) != (wanted == Firmware::Bios) {
            (
                ChangeClass::Replace,
                "a disk made for bios does not boot with uefi, nor the other way",
            )
        } else if question.observed.as_ref().is_some_and(stopped) {
            (ChangeClass::InPlace, "the machine is stopped")
        } else {
            (
                ChangeClass::Restart,
                "secure boot is switched when the machine starts",
            )
        };
        Ok(Assessment::default().field(FIRMWARE, class, reason))
    }
}
