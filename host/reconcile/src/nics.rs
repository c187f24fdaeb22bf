//! Nics: made with the machine; a later difference is named and refused, not passed over.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::Nic;

use crate::compare::{Findings, Sides};
use crate::field::UNSET;
use crate::{Class, FieldChange, Refusal};

const REASON: &str = "nics are not changed by reconfigure yet: undeploy and deploy";

/// A member of a nic and its text; none where it is unset.
type Member = (&'static str, fn(&Nic) -> Option<String>);

const MEMBERS: [Member; 6] = [
    ("network", |nic| nic.network.clone()),
    ("vlan", |nic| nic.vlan.map(|vlan| vlan.to_string())),
    ("mac", |nic| nic.mac.as_ref().map(|mac| mac.to_lowercase())),
    ("adapter", |nic| nic.adapter.clone()),
    ("addresses", |nic| {
        (!nic.addresses.is_empty()).then(|| nic.addresses.join(", "))
    }),
    ("gateway", |nic| nic.gateway.clone()),
];

/// Compares the nics.
pub(crate) fn compare(
    sides: &Sides<'_>,
    slots: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    // Most machines: their nics are as deployed, and seen to be, to the letter.
    let shown = sides.observed.and_then(|machine| machine.config.as_ref());
    let (desired, deployed) = (&sides.desired.nics, &sides.deployed.nics);
    let seen = |name| shown?.nics.get(slots.get(name)?);
    if (std::ptr::eq(desired, deployed) || desired == deployed)
        && desired
            .iter()
            .all(|(name, nic)| seen(name).is_none_or(|observed| observed == nic))
    {
        return;
    }
    let names: BTreeSet<&String> = sides
        .desired
        .nics
        .keys()
        .chain(sides.deployed.nics.keys())
        .collect();
    for name in names {
        let deployed = sides.deployed.nics.get(name);
        match (sides.desired.nics.get(name), deployed) {
            (Some(desired), Some(deployed)) => {
                let observed = sides
                    .observed
                    .and_then(|machine| machine.config.as_ref())
                    .zip(slots.get(name))
                    .and_then(|(config, slot)| config.nics.get(slot));
                members(name, desired, deployed, observed, findings);
            }
            (Some(_), None) if sides.resumed => findings.in_step.push(FieldChange {
                field: format!("nics.{name}"),
                from: UNSET.to_owned(),
                to: "as made".to_owned(),
            }),
            (Some(_), None) => refuse(findings, name, "not there", "added", Class::Benign),
            (None, Some(_)) => refuse(findings, name, "deployed", UNSET, Class::Destructive),
            (None, None) => {}
        }
    }
}

fn members(
    name: &str,
    desired: &Nic,
    deployed: &Nic,
    observed: Option<&Nic>,
    findings: &mut Findings,
) {
    // Most nics of most machines: nothing has to be printed for them.
    if desired == deployed && observed.is_none_or(|observed| desired == observed) {
        return;
    }
    for (member, read) in MEMBERS {
        let Some(wanted) = read(desired) else {
            continue;
        };
        let deployed = read(deployed);
        let observed = observed.and_then(read);
        let is_deployed = deployed.as_ref() == Some(&wanted);
        let change = FieldChange {
            field: format!("nics.{name}.{member}"),
            from: deployed.unwrap_or(UNSET.to_owned()),
            to: wanted.clone(),
        };
        match (is_deployed, observed) {
            (true, None) => {}
            (true, Some(observed)) if observed == wanted => {}
            (true, Some(observed)) => {
                findings.drift.push(FieldChange {
                    to: observed,
                    ..change.clone()
                });
                refuse_change(findings, change);
            }
            (false, Some(observed)) if observed == wanted => findings.in_step.push(change),
            (false, Some(_) | None) => {
                findings.pending.push(change.clone());
                refuse_change(findings, change);
            }
        }
    }
}

fn refuse_change(findings: &mut Findings, change: FieldChange) {
    findings.refused.push(Refusal {
        subject: change.field.clone(),
        change: Some(change),
        class: Class::Disruptive,
        reason: REASON.to_owned(),
    });
}

fn refuse(findings: &mut Findings, name: &str, from: &str, to: &str, class: Class) {
    let change = FieldChange {
        field: format!("nics.{name}"),
        from: from.to_owned(),
        to: to.to_owned(),
    };
    findings.pending.push(change.clone());
    findings.refused.push(Refusal {
        subject: change.field.clone(),
        change: Some(change),
        class,
        reason: REASON.to_owned(),
    });
}

/// `network vmbr0, vlan 20`
pub(crate) fn describe(nic: &Nic) -> String {
    let members = MEMBERS
        .iter()
        .filter_map(|(name, read)| Some(format!("{name} {}", read(nic)?)));
    let members: Vec<String> = members.collect();
    match members.is_empty() {
        true => "as the engine makes it".to_owned(),
        false => members.join(", "),
    }
}
