//! A disk is taken off its machine, then what was on it is destroyed: two writes to the configuration.
//!
//! Taking it off leaves the volume as `unusedN`, and removing that entry destroys it
//! (`PVE::API2::Qemu::update_vm_api`). Proxmox VE does so only with volumes of the guest's own; those of
//! others it takes off and no more. Both writes carry the digest of what they were decided against,
//! and everything that happens in between, a lost answer too, ends in one look at where the volume is.
//!
//! A running machine that does not let go of the disk (`hotplug` without `disk`, the buses `ide` and
//! `sata`, a guest that ignores it) would lose it with its next start, long after anybody looked: the
//! change that waits is taken back, and the action fails.

use enginehouse_sdk::prelude::*;

use crate::api::{self, Place};
use crate::configure::{elsewhere, read};
use crate::drive::{self, Properties, Slot};
use crate::guest_config::GuestConfig;
use crate::phase::{Phase, Removal};
use crate::problem;

/// How often somebody else may be faster.
const TRIES: u32 = 4;

/// Looks for the disk, and goes on with the first write.
///
/// # Errors
/// `invalid` for what is no slot of a disk, `conflict` for a drive that is none and for a volume that
/// snapshots hold, `unsupported` to keep it.
pub fn begin(cx: &Cx, place: Place, slot: &str, keep: bool) -> Result<Step<Phase>> {
    if keep {
        return Err(
            Error::unsupported(format_args!(
                "a disk that is only taken off (here {slot}) would be destroyed with its machine: Proxmox VE removes unused disks with it"
            ))
            .hint("move the disk to another guest first (`qm move-disk`), or give it up"),
        );
    }
    let Ok(parsed) = slot.parse::<Slot>() else {
        return Err(Error::invalid(format_args!("{slot} is no slot of a disk")));
    };
    let (place, config) = read(cx, place)?;
    let Some(value) = config.get(slot) else {
        return Ok(Step::done(Outcome::default()));
    };
    let Some(volume) = volume_of(value).filter(|_| drive::disk(parsed, value).is_some()) else {
        return Err(Error::conflict(format_args!(
            "{slot} of {} holds no disk any more",
            place.vmid
        )));
    };
    if let Some(snapshot) = holding_snapshot(cx, &place, &config, volume)? {
        return Err(Error::conflict(format_args!(
            "snapshot {snapshot} of {} holds the disk in {slot}",
            place.vmid
        ))
        .hint("remove the snapshots that hold it first"));
    }
    Ok(Step::again(Phase::Detach(Removal {
        slot: slot.to_owned(),
        volume: volume.to_owned(),
        digest: config.digest().map(str::to_owned),
        place,
        unused: None,
        waiting: String::new(),
        words: None,
        tries: 0,
    })))
}

/// `local-lvm:vm-105-disk-1` of a drive's value.
fn volume_of(value: &str) -> Option<&str> {
    let (first, _) = value.split_once(',').unwrap_or((value, ""));
    let volume = first.strip_prefix("file=").unwrap_or(first);
    (!volume.is_empty() && !volume.contains('=')).then_some(volume)
}

fn holds(config: &GuestConfig, key: &str, volume: &str) -> bool {
    config.get(key).and_then(volume_of) == Some(volume)
}

#[derive(Deserialize)]
struct Snapshot {
    name: String,
}

/// A snapshot with the volume in it. Asked for only where the machine has any: `parent` names the one
/// that it goes on from.
fn holding_snapshot(
    cx: &Cx,
    place: &Place,
    config: &GuestConfig,
    volume: &str,
) -> Result<Option<String>> {
    if config.get("parent").is_none() {
        return Ok(None);
    }
    let snapshots: Vec<Snapshot> = api::get(cx, place.of(&["snapshot"]))?;
    // `current` is the machine itself.
    for snapshot in snapshots.into_iter().filter(|item| item.name != "current") {
        let then: GuestConfig = api::get(cx, place.of(&["snapshot", &snapshot.name, "config"]))?;
        if then
            .drives()
            .any(|(_, value)| volume_of(value) == Some(volume))
        {
            return Ok(Some(snapshot.name));
        }
    }
    Ok(None)
}

/// What the first or the second write says, or the one that takes the first back.
enum Order<'a> {
    Delete(&'a str),
    Revert(&'a str),
}

fn put(cx: &Cx, removal: &Removal, order: Order<'_>) -> Result<()> {
    let (key, value) = match order {
        Order::Delete(entry) => ("delete", entry),
        Order::Revert(entries) => ("revert", entries),
    };
    let mut request = cx
        .put(removal.place.of(&["config"]))
        .once()
        .field(key, value);
    if let Some(digest) = &removal.digest {
        request = request.field("digest", digest);
    }
    let reply = request.send()?;
    api::nothing(cx, &reply)
}

/// Takes the disk off the machine.
pub fn detach(cx: &Cx, removal: Removal) -> Result<Step<Phase>> {
    let Removal { place, slot, .. } = &removal;
    let doing = format!("taking {slot} off {}", place.vmid);
    match put(cx, &removal, Order::Delete(slot)) {
        Ok(()) => Ok(Step::again(Phase::Detached(removal)).note(doing)),
        // Written down all the same, to take effect with the next start.
        Err(error) if error.message().contains("hotplug problem") => {
            let words = Some(error.message().to_owned());
            Ok(Step::again(Phase::Detached(Removal { words, ..removal })))
        }
        Err(error) => again(cx, removal, error, Phase::NotDetached),
    }
}

/// Somebody else was faster, or the machine is elsewhere: `then` looks again.
fn again(
    cx: &Cx,
    removal: Removal,
    error: Error,
    then: fn(Removal) -> Phase,
) -> Result<Step<Phase>> {
    if problem::is_stale(&error) {
        if removal.tries >= TRIES {
            return Err(error.hint("somebody else changes this machine again and again"));
        }
        let tries = removal.tries + 1;
        return Ok(Step::again(then(Removal { tries, ..removal })));
    }
    let place = elsewhere(cx, &removal.place, error)?;
    Ok(Step::again(then(Removal { place, ..removal })))
}

/// The first write was refused, since the machine is not as it was: is the disk still there?
pub fn not_detached(cx: &Cx, removal: Removal) -> Result<Step<Phase>> {
    let (place, config) = read(cx, removal.place)?;
    let removal = Removal { place, ..removal };
    let Removal { slot, volume, .. } = &removal;
    match config.get(slot) {
        Some(_) if holds(&config, slot, volume) => Ok(Step::again(Phase::Detach(Removal {
            digest: config.digest().map(str::to_owned),
            ..removal
        }))),
        Some(_) => Err(Error::conflict(format_args!(
            "somebody else has put another disk into {slot} of {} since it was looked at",
            removal.place.vmid
        ))
        .hint("look at the new plan, and decide again")),
        None => found(cx, removal, &config),
    }
}

/// The disk was taken off: where is its volume?
pub fn detached(cx: &Cx, removal: Removal) -> Result<Step<Phase>> {
    let (place, config) = read(cx, removal.place)?;
    found(cx, Removal { place, ..removal }, &config)
}

fn found(cx: &Cx, removal: Removal, config: &GuestConfig) -> Result<Step<Phase>> {
    let digest = config.digest().map(str::to_owned);
    let Removal {
        place,
        slot,
        volume,
        ..
    } = &removal;
    if let Some(unused) = config.unused().find(|key| holds(config, key, volume)) {
        let unused = Some(unused.to_owned());
        return Ok(Step::again(Phase::Erase(Removal {
            digest,
            unused,
            ..removal
        })));
    }
    // As the running machine has it, and not as its next start will. (API viewer, `GET
    // /nodes/{node}/qemu/{vmid}/config`: `current`.)
    let reply = cx.get(place.of(&["config"])).param("current", 1).send()?;
    let now: GuestConfig = api::data(cx, &reply)?;
    if holds(&now, slot, volume) {
        let waiting = waiting(slot, config, &now);
        return Ok(Step::again(Phase::Revert(Removal {
            digest,
            waiting,
            ..removal
        })));
    }
    let done = Step::done(Outcome::default());
    Ok(match &removal.unused {
        // It was the machine's own, and somebody else has removed it meanwhile.
        Some(_) => done,
        None => done.warning(format!(
            "{volume} was taken off {} and not destroyed: Proxmox VE leaves volumes alone that are not the guest's own",
            place.vmid
        )),
    })
}

/// What of the configuration waits for the next start because of this removal: the slot, and the boot
/// order, which Proxmox VE takes the slot out of.
fn waiting(slot: &str, next: &GuestConfig, now: &GuestConfig) -> String {
    let order = |config: &GuestConfig| -> Vec<String> {
        let boot = Properties::parse(config.get("boot").unwrap_or_default());
        let order = boot.get("order").unwrap_or_default();
        order.split(';').map(str::to_owned).collect()
    };
    let (mut before, after) = (order(now), order(next));
    before.retain(|device| device != slot);
    match before == after && order(now) != after {
        true => format!("{slot},boot"),
        false => slot.to_owned(),
    }
}

/// Takes back what only the next start would do.
pub fn revert(cx: &Cx, removal: Removal) -> Result<Step<Phase>> {
    match put(cx, &removal, Order::Revert(&removal.waiting)) {
        Ok(()) => reverted(&removal),
        Err(error) => again(cx, removal, error, Phase::Detached),
    }
}

/// # Errors
/// Always: the disk is where it was.
pub fn reverted(removal: &Removal) -> Result<Step<Phase>> {
    let Removal { place, slot, .. } = removal;
    let vmid = place.vmid;
    let error = Error::conflict(format_args!(
        "{vmid} is running and does not let go of {slot}: it would lose the disk with its next start only"
    ))
    .hint("stop the machine first, or allow it hotplug of disks on the bus scsi or virtio");
    Err(match &removal.words {
        Some(words) => error.lines([words.clone()]),
        None => error,
    })
}

/// Destroys the volume.
pub fn erase(cx: &Cx, removal: Removal) -> Result<Step<Phase>> {
    let Some(unused) = removal.unused.clone() else {
        return Err(Error::invalid("the token names no unused volume"));
    };
    let error = match put(cx, &removal, Order::Delete(&unused)) {
        Ok(()) => return Ok(erased(&removal)),
        Err(error) => error,
    };
    let vmid = removal.place.vmid;
    let doing = format!(
        "{} was taken off {vmid} and is {unused} there",
        removal.volume
    );
    again(cx, removal, error, Phase::Detached).map_err(|error| {
        let error = match error.is(Code::Conflict) {
            true => error.hint(format_args!(
                "remove the snapshots that hold it, then the volume: `qm set {vmid} --delete {unused}`; otherwise it goes with the machine"
            )),
            false => error,
        };
        error.context(doing)
    })
}

pub fn erased(removal: &Removal) -> Step<Phase> {
    Step::done(Outcome::default()).note(format!("destroyed {}", removal.volume))
}

/// What became of the first write. With its digest it is refused if it is late.
pub fn settle_detach(cx: &Cx, removal: Removal) -> Result<Settled<Phase>> {
    let (place, config) = read(cx, removal.place)?;
    let removal = Removal { place, ..removal };
    Ok(match holds(&config, &removal.slot, &removal.volume) {
        true => Settled::not_started(),
        false => Settled::done(Phase::Detached(removal)),
    })
}

/// What became of the write that takes the first back.
pub fn settle_revert(cx: &Cx, removal: Removal) -> Result<Settled<Phase>> {
    let (place, config) = read(cx, removal.place)?;
    let removal = Removal { place, ..removal };
    Ok(match holds(&config, &removal.slot, &removal.volume) {
        true => Settled::done(Phase::Reverted(removal)),
        false => Settled::not_started(),
    })
}

/// What became of the second write.
pub fn settle_erase(cx: &Cx, removal: Removal) -> Result<Settled<Phase>> {
    let (place, config) = read(cx, removal.place)?;
    let removal = Removal { place, ..removal };
    let unused = removal.unused.as_deref().unwrap_or_default();
    Ok(match holds(&config, unused, &removal.volume) {
        true => Settled::not_started(),
        false => Settled::done(Phase::Erased(removal)),
    })
}
