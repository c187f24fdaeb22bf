//! Undeploy: stop what runs, then destroy it, but only what is ours beyond doubt.
//!
//! All or nothing: a machine that could be stopped but not destroyed is not stopped either.

use std::collections::BTreeSet;

use enginehouse_model::documents::{Action, Config};

use crate::draft::{Draft, Present};
use crate::sound::is_shared;
use crate::{Class, KeepDisks, MachinePlan, Ownership, owned, power};

const DESTROY: &str = "destroy";

pub(crate) fn undeploy(mut draft: Draft<'_>, keep: KeepDisks) -> MachinePlan {
    let begun = draft.subject.record.filter(|r| r.identity.is_some());
    if begun.is_none() && draft.subject.observed.is_none() {
        return draft.finish("there is no machine on record to destroy");
    }
    let Some(present) = draft.present(DESTROY, Class::Destructive) else {
        return draft.finish("");
    };
    match owned(present.record, present.observed) {
        Ownership::Ours => {}
        Ownership::NotOurs(reason) | Ownership::Unclear(reason) => {
            draft.refuse(DESTROY, Class::Destructive, reason);
        }
    }
    let kept = kept(&mut draft, present, keep);
    draft.supports(DESTROY, Class::Destructive);
    let is_up = power::must_stop_first(&mut draft, present);
    if !draft.plan.refused.is_empty() {
        return draft.finish("");
    }
    if is_up {
        power::add_stop_from(&mut draft, present.observed.power);
    }
    let (slots, text) = match kept {
        Kept::None => (Vec::new(), "with its disks".to_owned()),
        Kept::Slots { slots, text } => (slots, format!("its disks are kept: {text}")),
    };
    draft.act(Action::Destroy { keep: slots }, Class::Destructive, text);
    draft.finish("")
}

enum Kept {
    None,
    Slots { slots: Vec<String>, text: String },
}

/// Which slots survive. Refused where one of them is not known, or the engine cannot keep any.
fn kept(draft: &mut Draft<'_>, present: Present<'_>, keep: KeepDisks) -> Kept {
    let (record, observed) = (present.record, present.observed);
    let mut slots = BTreeSet::new();
    let mut shown = Vec::new();
    // A mark in either place counts: a disk too many is kept rather than one too few.
    let defined = draft.subject.desired.map(|desired| &desired.disks);
    let names: BTreeSet<&String> = defined
        .into_iter()
        .flatten()
        .chain(&record.deployed.disks)
        .filter(|(_, disk)| match keep {
            KeepDisks::Marked => disk.keep == Some(true),
            KeepDisks::All => true,
            KeepDisks::None => false,
        })
        .map(|(name, _)| name)
        .filter(|name| {
            record.deployed.disks.contains_key(*name) || record.slots.contains_key(*name)
        })
        .collect();
    for name in names {
        let of = [Some(&record.deployed), draft.subject.desired];
        let of: Vec<&Config> = of.into_iter().flatten().collect();
        match record.slots.get(name).filter(|_| !is_shared(name, &of)) {
            Some(slot) => {
                shown.push(format!("{name} ({slot})"));
                slots.insert(slot.clone());
            }
            None => draft.refuse(
                DESTROY,
                Class::Destructive,
                format!("disk {name} is to be kept, but it is not known which slot of the machine holds it"),
            ),
        }
    }
    if keep == KeepDisks::All {
        if observed.config.is_none() {
            draft.refuse(
                DESTROY,
                Class::Destructive,
                "its disks are to be kept, but its configuration could not be read, so it is not known which it has",
            );
        }
        let seen = observed
            .config
            .iter()
            .flat_map(|config| config.disks.keys());
        for slot in seen {
            if slots.insert(slot.clone()) {
                shown.push(slot.clone());
            }
        }
    }
    let asked = keep == KeepDisks::All || !slots.is_empty();
    if asked {
        draft.supports("destroy.keep-disks", Class::Destructive);
    }
    if slots.is_empty() {
        return Kept::None;
    }
    Kept::Slots {
        slots: slots.into_iter().collect(),
        text: shown.join(", "),
    }
}
