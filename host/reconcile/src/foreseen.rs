//! What a definition takes away from a machine, as far as that is known before anybody has looked at it.
//!
//! An order that destroys something is asked about when it is given, and not minutes later. What only
//! the machine or its engine can tell is in the plan, and the plan decides.

use enginehouse_model::MachineRecord;
use enginehouse_model::documents::Config;

/// The disks and nics that were deployed and that `desired` no longer has: `disk data`, `nic lan`.
#[must_use]
pub fn taken_away(desired: &Config, record: &MachineRecord) -> Vec<String> {
    let deployed = &record.deployed;
    let disks = deployed.disks.keys();
    let disks = disks.filter(|name| !desired.disks.contains_key(*name));
    let nics = deployed.nics.keys();
    let nics = nics.filter(|name| !desired.nics.contains_key(*name));
    disks
        .map(|name| format!("disk {name}"))
        .chain(nics.map(|name| format!("nic {name}")))
        .collect()
}
