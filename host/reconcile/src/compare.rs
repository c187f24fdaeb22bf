//! Desired, deployed and observed, field by field.
//!
//! | desired | deployed | observed | |
//! | --- | --- | --- | --- |
//! | a | a | a | nothing |
//! | a | b | b | pending change, to be written |
//! | a | a | b | drift, to be written |
//! | a | b | a | in step: deployed becomes a without a request |
//! | a | b | c | both drift and pending change, to be written |
//! | unset | b | any | no longer managed: deployed forgets it; a label is removed, as it was ours |

use enginehouse_model::documents::{Assessment, Config, Machine};
use serde_json::{Map, Value};

use crate::field::{Field, Seen, UNMANAGED};
use crate::replace::{Forced, refusal};
use crate::rules::Weight;
use crate::sound::is_shared;
use crate::{Class, FieldChange, Refusal, Rules};

/// The state that a comparison is about.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    /// With sizes as the provider holds them.
    pub desired: &'a Config,
    pub deployed: &'a Config,
    pub observed: Option<&'a Machine>,
    pub rules: &'a Rules,
    pub assessment: Option<&'a Assessment>,
    /// What the machine's creation achieved was not written down: what only counts then is taken
    /// to be as defined.
    pub resumed: bool,
}

impl Sides<'_> {
    /// Whether the machine's configuration was read.
    pub(crate) fn is_read(&self) -> bool {
        self.observed
            .is_some_and(|machine| machine.config.is_some())
    }

    /// Whether the slot on record under this name may be a nic's as well as a disk's.
    pub(crate) fn is_shared(&self, name: &str) -> bool {
        is_shared(name, &[self.desired, self.deployed])
    }
}

/// What came out of it.
#[derive(Default)]
pub(crate) struct Findings {
    pub drift: Vec<FieldChange>,
    pub pending: Vec<FieldChange>,
    pub in_step: Vec<FieldChange>,
    pub refused: Vec<Refusal>,
    pub notes: Vec<String>,
    /// What a configure has to write.
    pub write: Vec<Write>,
    /// What takes another machine.
    pub forced: Vec<Forced>,
}

/// A plain field that is to be written.
pub(crate) struct Write {
    pub change: FieldChange,
    pub word: String,
    pub weight: Weight,
    /// What the engine's assessment says about it; may be empty.
    pub because: String,
}

/// A value on the three sides, with a text for each.
pub(crate) struct Triple {
    pub key: String,
    pub desired: Value,
    pub deployed: Option<Value>,
    pub observed: Seen,
    pub show_desired: String,
    pub show_deployed: String,
    pub show_observed: String,
}

impl Triple {
    fn change(&self, from: &str, to: &str) -> FieldChange {
        FieldChange {
            field: self.key.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }
}

impl Findings {
    /// Sorts one value into drift, pending and in step. Returns the change to make, if any.
    pub(crate) fn sort(&mut self, triple: &Triple) -> Option<FieldChange> {
        let is_pending = triple.deployed.as_ref().unwrap_or(&Value::Null) != &triple.desired;
        let Seen::Is(observed) = &triple.observed else {
            if is_pending {
                self.pending
                    .push(triple.change(&triple.show_deployed, &triple.show_desired));
            }
            return None;
        };
        if observed == &triple.desired {
            if is_pending {
                self.in_step
                    .push(triple.change(&triple.show_deployed, &triple.show_desired));
            }
            return None;
        }
        if is_pending {
            self.pending
                .push(triple.change(&triple.show_deployed, &triple.show_desired));
        }
        if triple.deployed.as_ref().is_some_and(|d| d != observed) {
            self.drift
                .push(triple.change(&triple.show_deployed, &triple.show_observed));
        }
        Some(triple.change(&triple.show_observed, &triple.show_desired))
    }
}

/// Compares the plain fields.
pub(crate) fn plain_fields(sides: &Sides<'_>, findings: &mut Findings) {
    // Most machines: nothing has to be listed for them.
    if same(sides.desired, sides.deployed)
        && sides
            .observed
            .is_none_or(|observed| shows(observed, sides.desired))
    {
        return;
    }
    for field in Field::all(sides.desired, sides.deployed) {
        let desired = field.peek(sides.desired);
        let deployed = field.peek(sides.deployed);
        let observed = field.glimpse(sides.observed);
        // Most fields of most machines: nothing has to be normalised or printed for them.
        if desired.is_some() && desired == deployed && (observed.is_none() || observed == desired) {
            continue;
        }
        let removes = matches!(field, Field::Label(_));
        if desired.is_none() && !removes {
            forget(field, sides, findings);
            continue;
        }
        let triple = triple(field, sides);
        let was_pending = findings.pending.len();
        if field.is_for_creation() {
            for_creation(field, &triple, sides.resumed, findings);
            continue;
        }
        match findings.sort(&triple) {
            Some(change) => findings.write.push(write(field, change, sides)),
            None if findings.pending.len() > was_pending && sides.is_read() => {
                findings.notes.push(format!(
                    "{} is not shown by the hypervisor, and what cannot be read is not written",
                    field.word()
                ));
            }
            None => {}
        }
    }
}

/// Whether two configurations say the same in all plain fields, to the letter.
fn same(one: &Config, other: &Config) -> bool {
    std::ptr::eq(one, other)
        || one.name == other.name
            && one.vcpu == other.vcpu
            && one.memory == other.memory
            && one.description == other.description
            && one.labels == other.labels
            && one.settings == other.settings
            && one.base_image == other.base_image
            && one.placement == other.placement
            && one.guest == other.guest
}

/// Whether the machine shows nothing else than `desired` in any plain field, to the letter: what it
/// does not show at all is no difference. A configuration that was read has all labels.
fn shows(machine: &Machine, desired: &Config) -> bool {
    fn fits<T: PartialEq + ?Sized>(desired: Option<&T>, shown: Option<&T>) -> bool {
        shown.is_none() || desired.is_none() || desired == shown
    }
    fn text(text: &Option<String>) -> Option<&str> {
        text.as_deref()
    }
    let Some(config) = &machine.config else {
        return true;
    };
    let place = &config.placement;
    let wanted = &desired.placement;
    fits(
        text(&desired.name),
        text(&config.name).or(text(&machine.name)),
    ) && fits(desired.vcpu.as_ref(), config.vcpu.as_ref())
        && fits(desired.memory.as_ref(), config.memory.as_ref())
        && fits(text(&desired.description), text(&config.description))
        && fits(text(&desired.base_image), text(&config.base_image))
        && fits(
            text(&wanted.host),
            text(&machine.host).or(text(&place.host)),
        )
        && fits(text(&wanted.cluster), text(&place.cluster))
        && fits(text(&wanted.pool), text(&place.pool))
        && fits(text(&wanted.folder), text(&place.folder))
        && desired
            .labels
            .iter()
            .all(|(name, value)| config.labels.get(name) == Some(value))
        && values(&desired.settings, &config.settings)
        && values(&desired.guest, &config.guest)
}

/// Whether none of the values that are wanted is shown otherwise.
fn values(desired: &Map<String, Value>, shown: &Map<String, Value>) -> bool {
    // In the same order nothing has to be looked up.
    let alike = desired.len() == shown.len() && desired.iter().eq(shown.iter());
    alike
        || desired.iter().all(|(name, value)| {
            let shown = shown.get(name);
            value.is_null() || shown.is_none_or(|shown| shown == value)
        })
}

fn triple(field: Field<'_>, sides: &Sides<'_>) -> Triple {
    let desired = field.read(sides.desired);
    let deployed = field.read(sides.deployed);
    let observed = field.observe(sides.observed);
    let key = field.key();
    let canonical = |value: &Value| sides.rules.canonical(&key, value);
    let show = |value: Option<&Value>| field.show(value, sides.rules);
    Triple {
        desired: desired.as_ref().map_or(Value::Null, canonical),
        deployed: deployed.as_ref().map(canonical),
        show_desired: show(desired.as_ref()),
        show_deployed: show(deployed.as_ref()),
        show_observed: match &observed {
            Seen::Is(value) => show(Some(value)),
            Seen::Unread => "unknown".to_owned(),
        },
        observed: match &observed {
            Seen::Is(value) => Seen::Is(canonical(value)),
            Seen::Unread => Seen::Unread,
        },
        key,
    }
}

fn write(field: Field<'_>, change: FieldChange, sides: &Sides<'_>) -> Write {
    let because = sides
        .assessment
        .and_then(|assessment| assessment.fields.get(&change.field))
        .map(|answer| answer.reason.clone())
        .unwrap_or_default();
    Write {
        weight: sides.rules.weight(&change.field, sides.assessment),
        word: field.word(),
        because,
        change,
    }
}

/// What the definition no longer has is no longer managed. How the machine was made stays on
/// record.
fn forget(field: Field<'_>, sides: &Sides<'_>, findings: &mut Findings) {
    if field.is_for_creation() {
        return;
    }
    let deployed = field.read(sides.deployed);
    findings.in_step.push(FieldChange {
        field: field.key(),
        from: field.show(deployed.as_ref(), sides.rules),
        to: UNMANAGED.to_owned(),
    });
}

/// A field that counts when the machine is made: where the machine is otherwise by now (moved by
/// its cluster, say), that is no drift.
fn for_creation(field: Field<'_>, triple: &Triple, resumed: bool, findings: &mut Findings) {
    if triple.deployed.as_ref() == Some(&triple.desired) {
        return;
    }
    let change = triple.change(&triple.show_deployed, &triple.show_desired);
    if resumed || triple.observed == Seen::Is(triple.desired.clone()) {
        findings.in_step.push(change);
        return;
    }
    findings.pending.push(change.clone());
    // A guest is set up once. Nobody's machine is destroyed for a host name.
    let forces = triple.deployed.is_some() && !matches!(field, Field::Guest(_));
    if forces {
        let because = String::new();
        findings.forced.push(Forced { change, because });
        return;
    }
    findings.refused.push(Refusal {
        subject: triple.key.clone(),
        change: Some(change),
        class: Class::Destructive,
        reason: refusal(&triple.key),
    });
}
