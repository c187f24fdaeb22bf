//! Network cards of a machine that is there: one write to its configuration, as for its other changes.

use enginehouse_sdk::prelude::*;

use crate::api::Place;
use crate::configure::read;
use crate::drive;
use crate::form::Form;
use crate::guest_config::GuestConfig;
use crate::phase::{Phase, Write};
use crate::settings::Connection;

/// Cards that a machine has at most (`$MAX_NETS` in `PVE::QemuServer::Network`).
const CARDS_MAX: u8 = 32;

/// Looks at the machine, and goes on with the write.
pub fn begin(cx: &Cx, place: Place, action: &Action) -> Result<Step<Phase>> {
    let (place, config) = read(cx, place)?;
    again(cx, action, place, config, 0)
}

/// The write of the action to a machine with this configuration. `tries`: see [`Write::tries`].
pub fn again(
    cx: &Cx,
    action: &Action,
    place: Place,
    config: GuestConfig,
    tries: u32,
) -> Result<Step<Phase>> {
    let (form, slots) = match action {
        Action::NicAdd { name, nic } => {
            let slot = slot_for(name, &config)?;
            let connection: Connection = cx.settings()?;
            let mut form = Form::default();
            form.set(
                &slot,
                drive::wanted_nic(name, nic, None, connection.bridge.as_deref())?,
            );
            (form, [(name.clone(), slot)].into())
        }
        Action::NicChange { slot, nic, changed } => (
            changed_card(slot, nic, changed, &config)?,
            Default::default(),
        ),
        Action::NicRemove { slot } => {
            let mut form = Form::default();
            if config.get(card(slot)?).is_some() {
                form.delete(slot);
            }
            (form, Default::default())
        }
        other => {
            return Err(Error::invalid(format_args!(
                "{} is not about a network card",
                other.name()
            )));
        }
    };
    let write = Write {
        form,
        digest: config.digest().map(str::to_owned),
        before: Some(config),
        slots,
        place,
        tries,
    };
    Ok(match write.form.is_empty() {
        true => finish(&write),
        false => Step::again(Phase::Write(write)),
    })
}

/// A name that is a slot is that slot; any other takes the next free one.
fn slot_for(name: &str, config: &GuestConfig) -> Result<String> {
    let present = config.nics();
    let slot = match drive::nic_slot(name) {
        Some(slot) if present.contains_key(&slot) => {
            return Err(
                Error::conflict(format_args!("slot {name} already holds a network card"))
                    .field(format_args!("nics.{name}"))
                    .hint("give the card a name that is no slot, and the next free one is taken"),
            );
        }
        Some(slot) => Some(slot),
        None => (0..CARDS_MAX).find(|slot| !present.contains_key(slot)),
    };
    let slot = slot.ok_or_else(|| {
        Error::invalid(format_args!(
            "a machine has at most {CARDS_MAX} network cards"
        ))
        .field(format_args!("nics.{name}"))
    })?;
    Ok(format!("net{slot}"))
}

/// Only what changed is written; the rest of the card, its address among it, stays.
fn changed_card(slot: &str, nic: &Nic, changed: &[String], config: &GuestConfig) -> Result<Form> {
    let present = config.get(card(slot)?).ok_or_else(|| {
        Error::not_found(format_args!("there is no network card in {slot} any more"))
    })?;
    let mut wanted = Nic::default();
    for member in changed {
        match member.as_str() {
            "network" => wanted.network.clone_from(&nic.network),
            "vlan" => wanted.vlan = nic.vlan,
            "mac" => wanted.mac.clone_from(&nic.mac),
            "adapter" => wanted.adapter.clone_from(&nic.adapter),
            other => {
                return Err(Error::unsupported(format_args!(
                    "{other} of a network card is not changed here"
                ))
                .field(format_args!("nics.{slot}.{other}")));
            }
        }
    }
    let mut form = Form::default();
    let value = drive::wanted_nic(slot, &wanted, Some(present), None)?;
    if !crate::form::same(slot, &value, present) {
        form.set(slot, value);
    }
    Ok(form)
}

/// What is about to be written was decided against `was`. Is it still so?
///
/// # Errors
/// `conflict` when somebody else has changed the same of this card.
pub fn guard(action: &Action, was: Option<&GuestConfig>, is: &GuestConfig) -> Result<()> {
    let (Action::NicChange { slot, changed, .. }, Some(was)) = (action, was) else {
        return Ok(());
    };
    let (Some(was), Some(is)) = (was.get(slot).map(drive::nic), is.get(slot).map(drive::nic))
    else {
        return Ok(());
    };
    for member in changed {
        let same = match member.as_str() {
            "network" => was.network == is.network,
            "vlan" => was.vlan == is.vlan,
            "mac" => was.mac == is.mac,
            "adapter" => was.adapter == is.adapter,
            _ => true,
        };
        if !same {
            return Err(Error::conflict(format_args!(
                "somebody else has changed {member} of {slot} since it was looked at"
            ))
            .hint("look at the new plan, and decide again"));
        }
    }
    Ok(())
}

/// A slot as the host remembers it goes into a request: it has to be one of a card.
fn card(slot: &str) -> Result<&str> {
    match drive::nic_slot(slot) {
        Some(_) => Ok(slot),
        None => Err(Error::invalid(format_args!(
            "{slot} is no slot of a network card"
        ))),
    }
}

/// It is as it is to be.
pub fn finish(write: &Write) -> Step<Phase> {
    let step = Step::done(Outcome {
        slots: write.slots.clone(),
        ..Outcome::default()
    });
    let cards = write.slots.values();
    cards
        .map(|slot| Object::nic(format!("{}/{slot}", write.place.vmid)))
        .fold(step, Step::created)
}
