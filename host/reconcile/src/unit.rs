//! The unit of approval: the gated actions of one machine, and what they rest on.
//!
//! What people sign is bound to a [`Unit`] by its digest. The unit is made when they are asked, and made
//! anew from what is the case when its turn comes, and before each of its steps: where the two differ,
//! the approval is stale, and what was approved does not run.
//!
//! **In it**: which machine it is on all sides (descriptor, record, provider, id, incarnation, mark), the
//! engine that would do it, and of each gated action what it asks for, its class, the old and new values
//! of the fields that it changes, and the *guards*: what is gone with it, as it is seen. That is, every
//! disk of a machine that is destroyed, and the disk or nic that is removed.
//!
//! What lowers protection, where approvals are asked for, is a unit too ([`Unit::lowering`]): the node that
//! is ordered about, and of each node that is less protected afterwards what was and what will be. There
//! is no machine and no engine in it.
//!
//! **Not in it**: what changes all the time without making the destruction another one. Other machines,
//! the machine's other actions, whether it runs, which host it is on, numbers, times.

use std::collections::BTreeMap;
use std::fmt;

use enginehouse_model::documents::{Action, Config, Disk, Machine, Nic};
use enginehouse_model::{Bytes, FullName, HypervisorUid, MachineRecord, MachineUid, NodeUid};
use serde::{Deserialize, Serialize};

use crate::field::{Field, Seen};
use crate::plan::{Class, FieldChange, PlannedAction};

/// What begins the bytes that are hashed. Another way to make them gets another text.
const UNIT: &[u8] = b"enginehouse approval unit 1\n";
/// What a lowering asks: no action of an engine is written so.
const LOWERS: &str = "lowers protection";
/// What stands for something that an observation does not say.
const UNREAD: &str = "not read";
const GONE: &str = "not there";

/// What a unit is made from.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    pub name: &'a FullName,
    pub node: NodeUid,
    pub hypervisor: HypervisorUid,
    pub hypervisor_name: &'a str,
    pub record: Option<&'a MachineRecord>,
    /// The newest observation.
    pub observed: Option<&'a Machine>,
    /// Hash of the engine.
    pub engine: &'a str,
}

/// The gated actions of one machine, or what an order takes away of the protection of machines: see the
/// module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    pub name: FullName,
    pub node: NodeUid,
    pub hypervisor: HypervisorUid,
    pub hypervisor_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    pub engine: String,
    pub actions: Vec<GatedAction>,
}

/// An action that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatedAction {
    pub action: String,
    pub class: Class,
    /// As the plan says it.
    pub reason: String,
    /// What goes to the engine, as JSON; of a configuration, the fields that are written.
    pub asks: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// What is gone with it or changed by it, as it was seen: `disk scsi0` and `32 GiB on local-lvm`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guards: BTreeMap<String, String>,
}

impl Unit {
    /// The unit of those of `actions` that are gated; none where none is.
    #[must_use]
    pub fn of<'p>(
        grounds: &Grounds<'_>,
        actions: impl IntoIterator<Item = &'p PlannedAction>,
    ) -> Option<Self> {
        let gated = actions.into_iter().filter(|planned| planned.is_gated());
        let actions: Vec<GatedAction> = gated
            .map(|planned| GatedAction::of(planned, grounds))
            .collect();
        if actions.is_empty() {
            return None;
        }
        let record = grounds.record;
        let identity = record.and_then(|record| record.identity.as_ref());
        Some(Self {
            name: grounds.name.clone(),
            node: grounds.node,
            hypervisor: grounds.hypervisor,
            hypervisor_name: grounds.hypervisor_name.to_owned(),
            provider: record.map(|record| record.provider_identity.clone()),
            machine: record.map(|record| record.uid),
            machine_id: identity.map(|identity| identity.machine_id.clone()),
            incarnation: identity.and_then(|identity| identity.incarnation.clone()),
            mark: record.map(|record| record.mark.to_string()),
            engine: grounds.engine.to_owned(),
            actions,
        })
    }

    /// The unit of an order of that kind, after which nodes are less protected; none where none is.
    /// `lowered`: `/web (UID) approvals`, with before and after.
    #[must_use]
    pub fn lowering(
        name: &FullName,
        node: NodeUid,
        kind: &str,
        lowered: Vec<FieldChange>,
    ) -> Option<Self> {
        if lowered.is_empty() {
            return None;
        }
        Some(Self {
            name: name.clone(),
            node,
            hypervisor: HypervisorUid::from_uuid(uuid::Uuid::nil()),
            hypervisor_name: String::new(),
            provider: None,
            machine: None,
            machine_id: None,
            incarnation: None,
            mark: None,
            engine: String::new(),
            actions: vec![GatedAction {
                action: kind.to_owned(),
                class: Class::Destructive,
                reason: "machines are less protected afterwards".to_owned(),
                asks: LOWERS.to_owned(),
                fields: lowered,
                guards: BTreeMap::new(),
            }],
        })
    }

    /// Whether it is of protection, and not of a machine.
    #[must_use]
    pub fn is_lowering(&self) -> bool {
        self.actions.iter().any(|action| action.asks == LOWERS)
    }

    /// Its digest, 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(UNIT);
        for (name, value) in self.parts() {
            for text in [name, value] {
                let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
                hasher.update(&length.to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What is another in `now`, in words; none where it is the same unit.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<String> {
        if self == now {
            return None;
        }
        let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (
            self.parts().into_iter().collect(),
            now.parts().into_iter().collect(),
        );
        let names = before.keys().chain(after.keys());
        let different = names
            .filter(|name| before.get(*name) != after.get(*name))
            .min()?;
        let shown = |parts: &BTreeMap<String, String>| {
            parts.get(different).map_or(GONE, String::as_str).to_owned()
        };
        Some(format!(
            "{different}: {} -> {}",
            shown(&before),
            shown(&after)
        ))
    }

    /// Whether a step is still what was approved, right before it.
    ///
    /// # Errors
    /// With what is another, in words.
    pub fn covers(&self, planned: &PlannedAction, grounds: &Grounds<'_>) -> Result<(), String> {
        let Some(mut now) = Self::of(grounds, [planned]) else {
            return Ok(());
        };
        if now
            .actions
            .iter()
            .all(|action| self.actions.contains(action))
        {
            now.actions.clone_from(&self.actions);
        } else {
            // Of several actions, the one that this is about.
            let same = |action: &&GatedAction| now.actions.iter().any(|it| it.asks == action.asks);
            let approved = Self {
                actions: self.actions.iter().filter(same).cloned().collect(),
                ..self.clone()
            };
            let what = approved.difference(&now);
            return Err(what.unwrap_or_else(|| "it was not approved".to_owned()));
        }
        self.difference(&now).map_or(Ok(()), Err)
    }

    /// Everything that is hashed, by name, in order. No name comes twice.
    fn parts(&self) -> Vec<(String, String)> {
        let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
        let machine = self.machine.map(|machine| machine.to_string());
        let mut parts = vec![
            ("name".to_owned(), self.name.to_string()),
            ("descriptor".to_owned(), self.node.to_string()),
            ("hypervisor".to_owned(), self.hypervisor.to_string()),
            ("hypervisor's name".to_owned(), self.hypervisor_name.clone()),
            ("provider".to_owned(), or_none(self.provider.as_deref())),
            ("record".to_owned(), or_none(machine.as_deref())),
            ("machine".to_owned(), or_none(self.machine_id.as_deref())),
            (
                "incarnation".to_owned(),
                or_none(self.incarnation.as_deref()),
            ),
            ("mark".to_owned(), or_none(self.mark.as_deref())),
            ("engine".to_owned(), self.engine.clone()),
        ];
        for (nth, action) in (1..).zip(&self.actions) {
            let about = format!("action {nth}, {}", action.action);
            parts.push((
                about.clone(),
                format!("{}: {}", action.class, action.reason),
            ));
            parts.push((format!("{about}, asks"), action.asks.clone()));
            // A field may be named twice; then the order tells.
            for (at, change) in (1..).zip(&action.fields) {
                parts.push((
                    format!("{about}, field {at} {}", change.field),
                    format!("{} -> {}", change.from, change.to),
                ));
            }
            for (what, seen) in &action.guards {
                parts.push((format!("{about}, {what}"), seen.clone()));
            }
        }
        parts
    }
}

/// The unit for people: what they sign has it in these words.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_lowering() {
            true => writeln!(f, "{}", self.name)?,
            false => writeln!(f, "{} on {}", self.name, self.hypervisor_name)?,
        }
        let lines = [
            ("machine", self.machine_id.as_deref()),
            ("incarnation", self.incarnation.as_deref()),
            ("provider", self.provider.as_deref()),
            ("mark", self.mark.as_deref()),
            (
                "engine",
                Some(self.engine.as_str()).filter(|it| !it.is_empty()),
            ),
        ];
        for action in &self.actions {
            writeln!(
                f,
                "  {}: {} ({})",
                action.action,
                one_line(&action.reason),
                action.class
            )?;
            for change in &action.fields {
                let (from, to) = (one_line(&change.from), one_line(&change.to));
                writeln!(f, "    {}: {from} -> {to}", one_line(&change.field))?;
            }
            for (what, seen) in &action.guards {
                writeln!(f, "    {}: {}", one_line(what), one_line(seen))?;
            }
        }
        for (name, value) in lines {
            if let Some(value) = value {
                writeln!(f, "  {name:11}  {}", one_line(value))?;
            }
        }
        writeln!(f, "  {:11}  {}", "digest", self.digest())
    }
}

/// Without what would look like another line, or move what a person reads.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c.is_control() || is_direction(c) {
            true => '\u{fffd}',
            false => c,
        })
        .collect()
}

/// Characters that turn the direction of what follows, or cannot be seen.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl GatedAction {
    fn of(planned: &PlannedAction, grounds: &Grounds<'_>) -> Self {
        Self {
            action: planned.request.action.name().to_owned(),
            class: planned.class,
            reason: planned.reason.clone(),
            asks: asked(&planned.request.action),
            fields: planned.fields.clone(),
            guards: guards(planned, grounds),
        }
    }
}

fn asked(action: &Action) -> String {
    // What is written besides, and what the machine looked like, is no part of what was asked.
    let text = match action {
        Action::Configure { changed, .. } => serde_json::to_string(changed),
        other => serde_json::to_string(other),
    };
    // Our own types have a JSON form.
    text.unwrap_or_else(|error| error.to_string())
}

fn guards(planned: &PlannedAction, grounds: &Grounds<'_>) -> BTreeMap<String, String> {
    let observed = grounds.observed;
    let config = observed.and_then(|machine| machine.config.as_ref());
    let mut guards = BTreeMap::new();
    if let Action::Destroy { .. } = planned.request.action {
        match config {
            Some(config) => guards.extend(
                config
                    .disks
                    .iter()
                    .map(|(slot, disk)| (format!("disk {slot}"), shown_disk(disk))),
            ),
            None => drop(guards.insert("disks".to_owned(), UNREAD.to_owned())),
        }
    }
    if let Some(name) = &planned.disk {
        guards.extend(part_of("disk", name, grounds, config));
    }
    for change in &planned.fields {
        let name = change.field.split('.').nth(1);
        match (change.field.split('.').next(), name) {
            (Some("disks"), Some(name)) => guards.extend(part_of("disk", name, grounds, config)),
            (Some("nics"), Some(name)) => guards.extend(part_of("nic", name, grounds, config)),
            _ => {
                // Settings may be secret: of those, the change says what people may read.
                let field = Field::parse(&change.field)
                    .filter(|field| !matches!(field, Field::Setting(_) | Field::Guest(_)));
                guards.extend(field.map(|field| {
                    let seen = match field.observe(observed) {
                        Seen::Unread => UNREAD.to_owned(),
                        Seen::Is(value) => value.to_string(),
                    };
                    (change.field.clone(), seen)
                }));
            }
        }
    }
    guards
}

/// A disk or nic by the definition's name, as it is seen in its slot.
fn part_of(
    kind: &str,
    name: &str,
    grounds: &Grounds<'_>,
    config: Option<&Config>,
) -> Option<(String, String)> {
    let slot = grounds.record?.slots.get(name)?;
    let seen = match config {
        None => UNREAD.to_owned(),
        Some(config) => match kind {
            "nic" => config.nics.get(slot).map(shown_nic),
            _ => config.disks.get(slot).map(shown_disk),
        }
        .unwrap_or_else(|| GONE.to_owned()),
    };
    Some((format!("{kind} {slot}"), seen))
}

fn shown_disk(disk: &Disk) -> String {
    let size = (disk.size).map_or_else(
        || "of unknown size".to_owned(),
        |size| Bytes(size).to_string(),
    );
    match &disk.storage {
        Some(storage) => format!("{size} on {storage}"),
        None => size,
    }
}

fn shown_nic(nic: &Nic) -> String {
    let words = [
        nic.network.clone(),
        nic.vlan.map(|vlan| format!("vlan {vlan}")),
        nic.mac.clone(),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    words.join(", ")
}
