//! What two computed definitions of a node differ in.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::Secrets;
use crate::computed::{Computed, Line, ResolvedHypervisor};
use crate::origin::Origin;

/// One key that an edit changes, as people see it: secrets are hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `memory`, `disks.root.size`
    pub key: String,
    /// `None`: there was no value.
    pub before: Option<Line>,
    /// `None`: there will be no value.
    pub after: Option<Line>,
}

impl Difference {
    /// Whether the value changes, and not only where it comes from.
    #[must_use]
    pub fn is_of_value(&self) -> bool {
        let value = |line: &Option<Line>| line.as_ref().map(|line| line.value.clone());
        value(&self.before) != value(&self.after)
    }
}

/// Keys of a hypervisor entry that [`Computed::origins`] has lines for.
const SHOWN_OF_ENTRY: [&str; 4] = ["type", "host", "user", "password"];

/// All keys in which `after` differs from `before`, in the order of the definition's keys. A node that
/// is only called otherwise, or whose origins are, does not differ.
pub(crate) fn differences(before: &Computed, after: &Computed) -> Vec<Difference> {
    if shares_everything(before, after) {
        return Vec::new();
    }
    let mut found = of_lines(before.origins(), after.origins());
    if let (Some(was), Some(is)) = (&before.hypervisor, &after.hypervisor) {
        of_entries(was, is, &mut found);
    }
    found
}

/// What a new node has.
pub(crate) fn made(after: &Computed) -> Vec<Difference> {
    of_lines(Vec::new(), after.origins())
}

fn shares_everything(before: &Computed, after: &Computed) -> bool {
    fn same<T>(a: &Option<Arc<T>>, b: &Option<Arc<T>>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
    Arc::ptr_eq(&before.machine, &after.machine)
        && Arc::ptr_eq(&before.rules, &after.rules)
        && same(&before.hypervisor, &after.hypervisor)
        && same(&before.filter, &after.filter)
        && same(&before.destruction, &after.destruction)
        && before.prototype == after.prototype
}

fn of_lines(before: Vec<Line>, after: Vec<Line>) -> Vec<Difference> {
    let kept: HashSet<String> = after.iter().map(|line| line.key.clone()).collect();
    let mut of_before: HashMap<String, (usize, Line)> = HashMap::with_capacity(before.len());
    // Lines without a successor, each at its place among the ones before it.
    let mut gone: Vec<(usize, Line)> = Vec::new();
    for (at, line) in before.into_iter().enumerate() {
        if kept.contains(&line.key) {
            of_before.insert(line.key.clone(), (at, line));
        } else {
            gone.push((at, line));
        }
    }
    let mut gone = gone.into_iter().peekable();
    let mut found = Vec::new();
    let removed = |line: Line| Difference {
        key: line.key.clone(),
        before: Some(line),
        after: None,
    };
    for line in after {
        let was = of_before.remove(&line.key);
        if let Some((at, _)) = &was {
            while let Some((_, line)) = gone.next_if(|(gone_at, _)| gone_at < at) {
                found.push(removed(line));
            }
        }
        let was = was.map(|(_, line)| line);
        let same = was
            .as_ref()
            .is_some_and(|was| was.value == line.value && is_same_place(&was.origin, &line.origin));
        if !same {
            found.push(Difference {
                key: line.key.clone(),
                before: was,
                after: Some(line),
            });
        }
    }
    found.extend(gone.map(|(_, line)| removed(line)));
    found
}

/// Whether two origins are the same nodes, whatever these are called.
fn is_same_place(a: &Origin, b: &Origin) -> bool {
    let via = |origin: &Origin| origin.via().map(|via| (via.node, via.name.clone()));
    a.node() == b.node() && via(a) == via(b)
}

/// The used connection beyond its lines: endpoints, certificates, limits, settings.
fn of_entries(was: &ResolvedHypervisor, is: &ResolvedHypervisor, found: &mut Vec<Difference>) {
    if was.entry == is.entry {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (
        was.entry.json(Secrets::Hidden),
        is.entry.json(Secrets::Hidden),
    ) else {
        return;
    };
    let keys: BTreeSet<&String> = before
        .keys()
        .chain(after.keys())
        .filter(|key| !SHOWN_OF_ENTRY.contains(&key.as_str()))
        .collect();
    for key in keys {
        let line = |value: Option<&Value>, of: &ResolvedHypervisor| {
            value.map(|value| Line {
                key: format!("hypervisors.{}.{key}", of.name),
                value: match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
                origin: of.origin.clone(),
            })
        };
        let (before, after) = (before.get(key), after.get(key));
        if before != after {
            found.push(Difference {
                key: format!("hypervisors.{}.{key}", is.name),
                before: line(before, was),
                after: line(after, is),
            });
        }
    }
}
