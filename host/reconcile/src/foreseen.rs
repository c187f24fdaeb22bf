//! What a definition takes away from a machine, as far as that is known before anybody has looked at it.
//!
//! An order that destroys something is asked about when it is given, and not minutes later. What only
//! the machine or its engine can tell is in the plan, and the plan decides.

use enginehouse_model::MachineRecord;
use enginehouse_model::documents::Config;

use crate::Rules;
use crate::field::{Field, Raw};

/// The disks and nics that were deployed and that `desired` no longer has: `disk data`, `nic lan`; or the
/// machine itself, where it has to be made anew: `the machine itself, for base_image d12 -> d13`.
#[must_use]
pub fn taken_away(desired: &Config, record: &MachineRecord) -> Vec<String> {
    let rules = &Rules::default();
    let deployed = &record.deployed;
    let anew: Vec<String> = Field::all(desired, deployed)
        .into_iter()
        .filter(|field| field.is_for_creation() && !matches!(field, Field::Guest(_)))
        .filter_map(|field| {
            let (was, is) = (field.peek(deployed)?, field.peek(desired)?);
            let show = |value: Raw<'_>| field.show(Some(&value.to_value()), rules);
            (was != is).then(|| format!("{} {} -> {}", field.key(), show(was), show(is)))
        })
        .collect();
    if !anew.is_empty() {
        return vec![format!("the machine itself, for {}", anew.join(", "))];
    }
    let disks = deployed.disks.keys();
    let disks = disks.filter(|name| !desired.disks.contains_key(*name));
    let nics = deployed.nics.keys();
    let nics = nics.filter(|name| !desired.nics.contains_key(*name));
    disks
        .map(|name| format!("disk {name}"))
        .chain(nics.map(|name| format!("nic {name}")))
        .collect()
}
