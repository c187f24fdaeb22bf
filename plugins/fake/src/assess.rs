//! How heavy a change of firmware is: it depends on both values, and on whether the machine runs.

use enginehouse_sdk::prelude::*;

use crate::Firmware;
use crate::describe::MachineSettings;

const FIELD: &str = "settings.firmware";

pub(crate) fn assess(question: &Question) -> Assessment {
    let mut assessment = Assessment::default();
    let firmware = |config: &Config| machine_settings::<MachineSettings>(config).ok()?.firmware;
    let observed = question.observed.as_ref();
    let now = observed.and_then(|machine| machine.config.as_ref());
    let now = now.or(question.deployed.as_ref()).and_then(firmware);
    // What is not known stays as heavy as the description says.
    let (Some(now), Some(wanted)) = (now, firmware(&question.desired)) else {
        return assessment;
    };
    let runs = observed.is_none_or(|machine| machine.power != PowerState::Stopped);
    let (class, reason) = if (now == Firmware::Bios) != (wanted == Firmware::Bios) {
        (
            ChangeClass::Replace,
            "a disk made for bios does not boot with uefi, nor the other way",
        )
    } else if runs {
        (
            ChangeClass::Restart,
            "secure boot is switched when the machine starts",
        )
    } else {
        (ChangeClass::InPlace, "the machine is stopped")
    };
    if question.changed.iter().any(|field| field == FIELD) {
        let reason = reason.to_owned();
        assessment
            .fields
            .insert(FIELD.to_owned(), FieldAssessment { class, reason });
    }
    assessment
}
