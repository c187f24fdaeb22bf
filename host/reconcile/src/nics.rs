//! Nics: added, changed in place, removed.
//!
//! The record's slots say which of the provider's nics is ours. One that is neither defined nor
//! deployed is not looked at. A nic that is gone is made again: unlike a disk it holds nothing that
//! could be lost with it.

use std::collections::{BTreeMap, BTreeSet};

use enginehouse_model::documents::{Action, Nic};
use serde_json::Value;

use crate::compare::{Findings, Sides, Triple};
use crate::draft::reason;
use crate::field::{Seen, UNMANAGED, UNSET};
use crate::rules::Weight;
use crate::sound::{ADDRESSES, ONE_NAME};
use crate::step::{Part, Step};
use crate::{Class, FieldChange, Refusal, Rules};

/// A member of a nic: its name, its value, and how it is taken over from another nic.
pub(crate) struct Member {
    pub name: &'static str,
    read: fn(&Nic) -> Option<Value>,
    pub copy: fn(&Nic, &mut Nic),
}

pub(crate) const MEMBERS: [Member; 6] = [
    Member {
        name: "network",
        read: |nic| nic.network.clone().map(Value::from),
        copy: |from, to| to.network.clone_from(&from.network),
    },
    Member {
        name: "vlan",
        read: |nic| nic.vlan.map(Value::from),
        copy: |from, to| to.vlan = from.vlan,
    },
    Member {
        name: "mac",
        read: |nic| nic.mac.as_ref().map(|mac| mac.to_lowercase().into()),
        copy: |from, to| to.mac.clone_from(&from.mac),
    },
    Member {
        name: "adapter",
        read: |nic| nic.adapter.clone().map(Value::from),
        copy: |from, to| to.adapter.clone_from(&from.adapter),
    },
    Member {
        name: "addresses",
        read: |nic| (!nic.addresses.is_empty()).then(|| nic.addresses.clone().into()),
        copy: |from, to| to.addresses.clone_from(&from.addresses),
    },
    Member {
        name: "gateway",
        read: |nic| nic.gateway.clone().map(Value::from),
        copy: |from, to| to.gateway.clone_from(&from.gateway),
    },
];

impl Member {
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        MEMBERS.iter().find(|member| member.name == name)
    }

    /// What a nic that was seen shows. One that shows its network shows its VLAN: without a tag it
    /// has none. So it is with addresses, where the engine sets them.
    fn observe(&self, nic: &Nic, rules: &Rules) -> Seen {
        let shows = |member: &Self| match member.name {
            "vlan" => true,
            "addresses" | "gateway" => rules.supports(ADDRESSES),
            _ => false,
        };
        match (self.read)(nic) {
            Some(value) => Seen::Is(value),
            None if nic.network.is_some() && shows(self) => Seen::Is(Value::Null),
            None => Seen::Unread,
        }
    }

    /// Whether a nic that was seen is in this as `wanted`; a member that is not shown is not.
    pub(crate) fn is_so(&self, key: &str, wanted: &Nic, seen: &Nic, rules: &Rules) -> bool {
        let wanted = (self.read)(wanted).unwrap_or_default();
        match self.observe(seen, rules) {
            Seen::Is(value) => rules.canonical(key, &value) == rules.canonical(key, &wanted),
            Seen::Unread => false,
        }
    }
}

fn show(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => UNSET.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// Compares the nics. Steps are in the order of the definition's names.
pub(crate) fn compare(
    sides: &Sides<'_>,
    slots: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Vec<Step> {
    // Most machines: their nics are where and what they are to be.
    if is_the_same(sides, slots) {
        return Vec::new();
    }
    let names: BTreeSet<&String> = sides
        .desired
        .nics
        .keys()
        .chain(sides.deployed.nics.keys())
        .collect();
    let mut steps = Vec::new();
    for name in names {
        let place = Place {
            name,
            slot: slots.get(name).filter(|_| !sides.is_shared(name)),
            deployed: sides.deployed.nics.get(name),
            sides,
        };
        steps.extend(match sides.desired.nics.get(name) {
            Some(desired) => place.defined(desired, findings),
            None => place.no_longer_defined(findings),
        });
    }
    steps
}

/// Whether all nics are as deployed, and what is seen of them is so, to the letter.
fn is_the_same(sides: &Sides<'_>, slots: &BTreeMap<String, String>) -> bool {
    let (desired, deployed) = (&sides.desired.nics, &sides.deployed.nics);
    if !(std::ptr::eq(desired, deployed) || desired == deployed) {
        return false;
    }
    let Some(config) = sides.observed.and_then(|machine| machine.config.as_ref()) else {
        return true;
    };
    desired.iter().all(|(name, nic)| match slots.get(name) {
        None => true,
        Some(slot) => {
            let has_all = sides.rules.supports(ADDRESSES);
            let seen = config.nics.get(slot);
            seen.is_some_and(|seen| same(nic, seen, has_all))
        }
    })
}

/// Whether a nic shows nothing else than the definition says of it, to the letter. `has_all`: it has no
/// addresses that it does not show.
fn same(desired: &Nic, seen: &Nic, has_all: bool) -> bool {
    fn shown<T: PartialEq>(desired: &Option<T>, seen: &Option<T>) -> bool {
        desired.is_none() || desired == seen
    }
    shown(&desired.network, &seen.network)
        && shown(&desired.vlan, &seen.vlan)
        && shown(&desired.mac, &seen.mac)
        && shown(&desired.adapter, &seen.adapter)
        && (desired.addresses == seen.addresses
            || if has_all {
                desired.addresses.is_empty()
            } else {
                seen.addresses.is_empty()
            })
        && (desired.gateway == seen.gateway
            || if has_all {
                desired.gateway.is_none()
            } else {
                seen.gateway.is_none()
            })
}

/// One nic, by the definition's name.
struct Place<'a> {
    name: &'a str,
    slot: Option<&'a String>,
    deployed: Option<&'a Nic>,
    sides: &'a Sides<'a>,
}

impl Place<'_> {
    fn key(&self) -> String {
        format!("nics.{}", self.name)
    }

    /// The nic as the provider shows it: `None` when the configuration was not read.
    fn observed(&self) -> Option<Option<&Nic>> {
        let config = self.sides.observed?.config.as_ref()?;
        Some(self.slot.and_then(|slot| config.nics.get(slot)))
    }

    fn defined(&self, desired: &Nic, findings: &mut Findings) -> Option<Step> {
        match (self.observed(), self.slot, self.deployed) {
            (_, _, None) if self.sides.resumed => {
                findings.in_step.push(FieldChange {
                    field: self.key(),
                    from: UNSET.to_owned(),
                    to: "as made".to_owned(),
                });
                None
            }
            (_, None, None) | (None, Some(_), None) => {
                findings.pending.push(self.added(desired));
                // What the machine has could not be read: this nic may be there already.
                self.observed()?;
                self.add(desired, format!("nic {} added", self.name), findings)
            }
            (Some(None), Some(_), deployed) => {
                let change = self.added(desired);
                match deployed {
                    Some(deployed) => findings.drift.push(FieldChange {
                        from: describe(deployed),
                        to: UNSET.to_owned(),
                        ..change
                    }),
                    None => findings.pending.push(change),
                }
                let text = format!("nic {} is gone and added again", self.name);
                self.add(desired, text, findings)
            }
            (Some(observed), _, deployed) => self.members(desired, deployed, observed, findings),
            (None, _, Some(deployed)) => self.members(desired, Some(deployed), None, findings),
        }
    }

    fn added(&self, desired: &Nic) -> FieldChange {
        FieldChange {
            field: self.key(),
            from: UNSET.to_owned(),
            to: describe(desired),
        }
    }

    fn add(&self, desired: &Nic, text: String, findings: &mut Findings) -> Option<Step> {
        let change = self.added(desired);
        if self.sides.is_shared(self.name) {
            // That both are defined is refused already.
            if !self.sides.desired.disks.contains_key(self.name) {
                self.refuse(findings, Some(change), Class::Benign, ONE_NAME);
            }
            return None;
        }
        Some(Step {
            part: Part::Nic(self.name.to_owned()),
            action: Action::NicAdd {
                name: self.name.to_owned(),
                nic: desired.clone(),
            },
            class: Class::Benign,
            reason: format!("{text}, {}", describe(desired)),
            changes: vec![change],
            restart: Vec::new(),
        })
    }

    fn members(
        &self,
        desired: &Nic,
        deployed: Option<&Nic>,
        observed: Option<&Nic>,
        findings: &mut Findings,
    ) -> Option<Step> {
        let mut changed = Vec::new();
        let mut changes = Vec::new();
        let mut restart = Vec::new();
        let mut class = Class::Benign;
        for member in &MEMBERS {
            let key = format!("nics.{}.{}", self.name, member.name);
            let was = deployed.and_then(member.read);
            let Some(wanted) = (member.read)(desired) else {
                findings.in_step.extend(was.map(|was| FieldChange {
                    field: key,
                    from: show(Some(&was)),
                    to: UNMANAGED.to_owned(),
                }));
                continue;
            };
            let Some(change) = self.sort(member, &key, &wanted, was, observed, findings) else {
                continue;
            };
            match self.weight(&key) {
                None => class = class.max(self.disruptive()),
                Some(Weight::InPlace) => {}
                Some(Weight::Restart) => {
                    class = class.max(self.disruptive());
                    restart.push(crate::field::word(&key));
                }
                Some(Weight::Unknown | Weight::Replace) => {
                    let reason = "the engine says that this takes another nic: remove this one, and add one of another name";
                    let change = Some(change);
                    self.refuse(findings, change, Class::Destructive, reason);
                    continue;
                }
            }
            changed.push(member.name.to_owned());
            changes.push(change);
        }
        if changed.is_empty() {
            return None;
        }
        let Some(slot) = self.slot else {
            let reason = "it is not known which slot of the machine holds it";
            self.refuse(findings, changes.into_iter().next(), class, reason);
            return None;
        };
        Some(Step {
            part: Part::Nic(self.name.to_owned()),
            action: Action::NicChange {
                slot: slot.clone(),
                nic: desired.clone(),
                changed,
            },
            class,
            reason: reason(&changes),
            changes,
            restart,
        })
    }

    /// Sorts one member into drift, pending and in step. Returns the change to make, if any.
    fn sort(
        &self,
        member: &Member,
        key: &str,
        wanted: &Value,
        was: Option<Value>,
        observed: Option<&Nic>,
        findings: &mut Findings,
    ) -> Option<FieldChange> {
        let canonical = |value: &Value| self.sides.rules.canonical(key, value);
        let seen = observed.map_or(Seen::Unread, |nic| member.observe(nic, self.sides.rules));
        let was_pending = findings.pending.len();
        let change = findings.sort(&Triple {
            key: key.to_owned(),
            desired: canonical(wanted),
            deployed: was.as_ref().map(canonical),
            show_desired: show(Some(wanted)),
            show_deployed: show(was.as_ref()),
            show_observed: match &seen {
                Seen::Is(value) => show(Some(value)),
                Seen::Unread => "unknown".to_owned(),
            },
            observed: match &seen {
                Seen::Is(value) => Seen::Is(canonical(value)),
                Seen::Unread => Seen::Unread,
            },
        });
        if change.is_none() && findings.pending.len() > was_pending && self.sides.is_read() {
            findings.notes.push(match self.slot {
                Some(_) => format!(
                    "{} is not shown by the hypervisor, and what cannot be read is not written",
                    crate::field::word(key)
                ),
                None => format!(
                    "it is not known which slot of the machine holds nic {}, so it is not changed",
                    self.name
                ),
            });
        }
        change
    }

    /// What the engine says of a change; none: nothing.
    fn weight(&self, key: &str) -> Option<Weight> {
        self.sides.rules.said(key, self.sides.assessment)
    }

    fn disruptive(&self) -> Class {
        match self.sides.stands_still() {
            true => Class::Benign,
            false => Class::Disruptive,
        }
    }

    fn no_longer_defined(&self, findings: &mut Findings) -> Option<Step> {
        let deployed = self.deployed?;
        let change = FieldChange {
            field: self.key(),
            from: describe(deployed),
            to: UNSET.to_owned(),
        };
        match (self.observed(), self.slot) {
            (Some(None), Some(_)) => {
                findings.in_step.push(change);
                None
            }
            (Some(Some(_)), Some(slot)) => {
                findings.pending.push(change.clone());
                Some(Step {
                    part: Part::Nic(self.name.to_owned()),
                    action: Action::NicRemove { slot: slot.clone() },
                    class: Class::Destructive,
                    reason: format!("nic {} removed, {}", self.name, describe(deployed)),
                    changes: vec![change],
                    restart: Vec::new(),
                })
            }
            (None, _) => {
                findings.pending.push(change);
                None
            }
            (Some(_), None) => {
                findings.pending.push(change.clone());
                let reason = "it is not known which slot of the machine holds it";
                self.refuse(findings, Some(change), Class::Destructive, reason);
                None
            }
        }
    }

    fn refuse(
        &self,
        findings: &mut Findings,
        change: Option<FieldChange>,
        class: Class,
        reason: &str,
    ) {
        findings.refused.push(Refusal {
            subject: self.key(),
            change,
            class,
            reason: reason.to_owned(),
        });
    }
}

/// `network vmbr0, vlan 20`
pub(crate) fn describe(nic: &Nic) -> String {
    let members = MEMBERS.iter().filter_map(|member| {
        Some(format!(
            "{} {}",
            member.name,
            show(Some(&(member.read)(nic)?))
        ))
    });
    let members: Vec<String> = members.collect();
    match members.is_empty() {
        true => "as the engine makes it".to_owned(),
        false => members.join(", "),
    }
}
