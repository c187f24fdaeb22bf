//! Replace: what only another machine can be.
//!
//! A machine is made from its image, in its place; some settings count when it is made. Where the
//! definition says something else there, the machine is destroyed and made anew: a plan of both, with
//! the field that forces it. All or nothing: nothing of the machine is changed before it goes.
//!
//! Only what is on record as deployed can be known to differ: of a machine of which nobody wrote down
//! what it was made from, nothing forces anything.

use std::collections::BTreeSet;

use enginehouse_model::documents::{Action, Config};

use crate::draft::{Draft, Present, reason};
use crate::planner::create;
use crate::{Class, FieldChange, MachinePlan, Ownership, owned, power};

const REPLACE: &str = "replace";

/// A field that takes another machine, and what the engine says about it; that may be empty.
pub(crate) struct Forced {
    pub change: FieldChange,
    pub because: String,
}

/// Why a change that takes another machine is not made.
pub(crate) fn refusal(key: &str) -> String {
    format!("{key} takes another machine: undeploy and deploy")
}

/// Destroys the machine and makes it anew.
pub(crate) fn replace(
    mut draft: Draft<'_>,
    desired: &Config,
    present: Present<'_>,
    forced: Vec<Forced>,
) -> MachinePlan {
    let refuse = |draft: &mut Draft<'_>, reason: String| {
        draft.refuse(REPLACE, Class::Destructive, reason);
    };
    if let Ownership::NotOurs(reason) | Ownership::Unclear(reason) =
        owned(present.record, present.observed)
    {
        refuse(&mut draft, reason);
    }
    let kept = kept(desired, present);
    if !kept.is_empty() {
        let text = forced_by(&forced);
        refuse(
            &mut draft,
            format!(
                "{text} takes another machine, and what is to be kept ({}) would not come with it: `undeploy` keeps it; or unset `keep` first",
                kept.join(", ")
            ),
        );
    }
    draft.supports("destroy", Class::Destructive);
    draft.supports("create", Class::Destructive);
    draft.supports(how_it_is_made(desired), Class::Destructive);
    let is_up = power::must_stop_first(&mut draft, present);
    if !draft.plan.refused.is_empty() {
        return draft.finish("");
    }
    if is_up {
        power::add_stop_from(&mut draft, present.observed.power);
    }
    let text = format!("with its disks, to be made anew: {}", forced_by(&forced));
    let fields = forced.into_iter().map(|forced| forced.change).collect();
    let action = Action::Destroy { keep: Vec::new() };
    draft.change(action, Class::Destructive, text, fields, None);
    create(draft, None)
}

/// What a description calls this way of making a machine.
pub(crate) fn how_it_is_made(desired: &Config) -> &'static str {
    match desired.base_image {
        Some(_) => "create.from-image",
        None => "create.from-scratch",
    }
}

/// `base_image d12 -> d13, settings.firmware "bios" -> "uefi" (the disk would not boot)`
fn forced_by(forced: &[Forced]) -> String {
    let parts = forced.iter().map(|forced| {
        let text = reason(std::slice::from_ref(&forced.change));
        match forced.because.as_str() {
            "" => text,
            because => format!("{text} ({because})"),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Disks that somebody marked to be kept, in the definition or as deployed. The one that was taken off
/// could not be put onto the new machine, which would begin with an empty one in its place.
fn kept(desired: &Config, present: Present<'_>) -> Vec<String> {
    let deployed = &present.record.deployed.disks;
    let marked = desired.disks.iter().chain(deployed);
    let marked = marked.filter(|(_, disk)| disk.keep == Some(true));
    let names: BTreeSet<&String> = marked.map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter(|name| deployed.contains_key(*name))
        .cloned()
        .collect()
}
