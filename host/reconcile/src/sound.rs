//! What a definition cannot ask for, whatever the machine is like. It is refused before anything is done:
//! what an engine does not carry out would otherwise be dropped without a word.

use enginehouse_model::documents::{Config, Nic};

use crate::Class;
use crate::draft::Draft;

/// What an engine that sets the addresses of nics has among its actions.
pub(crate) const ADDRESSES: &str = "nic.addresses";

/// Slots are on record by the definition's name alone, so a disk and a nic cannot share one.
pub(crate) const ONE_NAME: &str =
    "a disk has this name, too, and their slots are kept by name: give the nic another one";

/// Refuses what is unsound.
pub(crate) fn refuse_unsound(draft: &mut Draft<'_>, desired: &Config) {
    let rules = draft.subject.rules;
    for (name, nic) in &desired.nics {
        if desired.disks.contains_key(name) {
            draft.refuse(&format!("nics.{name}"), Class::Benign, ONE_NAME);
        }
        if is_plain(nic) || rules.supports(ADDRESSES) {
            continue;
        }
        let members = [
            ("addresses", !nic.addresses.is_empty()),
            ("gateway", nic.gateway.is_some()),
        ];
        for (member, _) in members.into_iter().filter(|(_, is_set)| *is_set) {
            let engine = rules.engine();
            let reason = format!(
                "the engine {engine} does not set the {member} of a nic: unset it, and set it inside the guest"
            );
            draft.refuse(&format!("nics.{name}.{member}"), Class::Benign, reason);
        }
    }
}

/// Whether nothing of it is for the guest.
fn is_plain(nic: &Nic) -> bool {
    nic.addresses.is_empty() && nic.gateway.is_none()
}

/// Whether the slot on record under this name may be a nic's as well as a disk's.
pub(crate) fn is_shared(name: &str, of: &[&Config]) -> bool {
    let has = |in_one: fn(&Config, &str) -> bool| of.iter().any(|config| in_one(config, name));
    has(|config, name| config.disks.contains_key(name))
        && has(|config, name| config.nics.contains_key(name))
}
