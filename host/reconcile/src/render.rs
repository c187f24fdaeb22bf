//! A plan as text for people: what they read before they say yes.
//!
//! ```text
//! /web
//!   vm9 on pve1, machine 9
//!     ~ configure: cores 2 -> 4, memory 2048 MiB -> 4096 MiB   benign
//!         pending, from /web/vm9: cores
//!         pending, from / via small (/): memory
//!     ~ start: run stopped -> running   benign
//!         drift, from /: run
//!   nothing for 2 machines, because it is as it is defined: vm10, vm11
//!
//! 2 actions on 1 of 3 machines: 2 benign
//! ```
//!
//! Machines stand below their folder, in the order of execution. Names and messages come from
//! providers and engines: control characters in them are replaced, so that a line is one line and
//! cannot repaint a terminal.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use enginehouse_model::{FullName, Timestamp};

use crate::lines::lines;
use crate::{Class, MachinePlan, Plan};

/// An observation that is older than this, in milliseconds, is said to be.
const OLD_MS: u64 = 5 * 60 * 1000;
/// So many machines without anything to say are named; more are counted.
const NAMED_MAX: usize = 10;

/// How much of a plan is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The time that ages of observations are counted to; none: ages are left out.
    pub now: Option<Timestamp>,
    /// So many machines are described, those with the heaviest actions before the others; the rest
    /// is counted. None: all.
    pub limit: Option<usize>,
}

/// The text of a plan, with a line break at the end.
#[must_use]
pub fn render(plan: &Plan, layout: Layout) -> String {
    Text { plan, layout }.to_string()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = Layout::default();
        Text { plan: self, layout }.fmt(f)
    }
}

struct Text<'p> {
    plan: &'p Plan,
    layout: Layout,
}

/// What stands below the name of a folder.
#[derive(Default)]
struct Folder<'p> {
    described: Vec<&'p MachinePlan>,
    /// By the reason why nothing is done.
    nothing: BTreeMap<&'p str, Vec<&'p str>>,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (told, silent): (Vec<_>, Vec<_>) = self
            .plan
            .machines
            .iter()
            .partition(|machine| machine.says_something());
        let (described, left) = self.chosen(told);
        let mut folders: BTreeMap<FullName, Folder<'_>> = BTreeMap::new();
        for machine in described {
            folder(&mut folders, machine).described.push(machine);
        }
        let named = silent.len() <= NAMED_MAX;
        let mut nothing: BTreeMap<&str, usize> = BTreeMap::new();
        for machine in &silent {
            let because = machine.nothing_because.as_deref().unwrap_or_default();
            *nothing.entry(because).or_default() += 1;
            if named {
                let here = &mut folder(&mut folders, machine).nothing;
                here.entry(because).or_default().push(machine.name.name());
            }
        }
        for (name, folder) in &folders {
            self.folder(f, name, folder)?;
        }
        if !left.is_empty() {
            line(f, &not_shown(&left))?;
        }
        if !named {
            for (because, count) in nothing {
                line(f, &nothing_for(count, because))?;
            }
        }
        if !self.plan.machines.is_empty() {
            writeln!(f)?;
        }
        for text in self.summary() {
            line(f, &text)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    /// Those that are described, in their order, and those that are not.
    fn chosen<'p>(
        &self,
        told: Vec<&'p MachinePlan>,
    ) -> (Vec<&'p MachinePlan>, Vec<&'p MachinePlan>) {
        let Some(limit) = self.layout.limit.filter(|limit| *limit < told.len()) else {
            return (told, Vec::new());
        };
        let mut order: Vec<(Reverse<Option<Class>>, usize)> = told
            .iter()
            .enumerate()
            .map(|(at, machine)| (Reverse(heaviest(machine)), at))
            .collect();
        order.sort_unstable();
        let first: BTreeSet<usize> = order.into_iter().take(limit).map(|(_, at)| at).collect();
        let (mut described, mut left) = (Vec::new(), Vec::new());
        for (at, machine) in told.into_iter().enumerate() {
            match first.contains(&at) {
                true => described.push(machine),
                false => left.push(machine),
            }
        }
        (described, left)
    }

    fn folder(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &FullName,
        folder: &Folder<'_>,
    ) -> fmt::Result {
        line(f, name.as_str())?;
        for machine in &folder.described {
            line(f, &format!("  {}", self.title(machine)))?;
            for text in lines(machine) {
                line(f, &format!("    {text}"))?;
            }
        }
        for (because, names) in &folder.nothing {
            let text = nothing_for(names.len(), because);
            line(f, &format!("  {text}: {}", names.join(", ")))?;
        }
        Ok(())
    }

    /// `vm9 on pve1, machine 9, as read 3 h ago`
    fn title(&self, machine: &MachinePlan) -> String {
        let mut text = format!("{} on {}", machine.name.name(), machine.hypervisor_name);
        if let Some(id) = &machine.machine_id {
            text.push_str(&format!(", machine {id}"));
        }
        if let Some(age) = self.old(machine) {
            text.push_str(&format!(", as read {} ago", duration(age)));
        }
        text
    }

    /// How old the observation is, in milliseconds, where that is worth a word.
    fn old(&self, machine: &MachinePlan) -> Option<u64> {
        let age = self.layout.now?.since(machine.observed_at?);
        (age >= OLD_MS).then_some(age)
    }

    fn summary(&self) -> Vec<String> {
        let machines = &self.plan.machines;
        let mut texts = vec![self.plan.summary()];
        let on = |what: &str, is: fn(&MachinePlan) -> bool| {
            let count = machines.iter().filter(|machine| is(machine)).count();
            (count > 0).then(|| format!("{what} on {}", machines_of(count)))
        };
        let states: Vec<String> = [
            on("drift", |machine| !machine.drift.is_empty()),
            on("pending changes", |machine| !machine.pending.is_empty()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !states.is_empty() {
            texts.push(states.join(", "));
        }
        let ages: Vec<u64> = machines.iter().filter_map(|m| self.old(m)).collect();
        if let Some(oldest) = ages.iter().max() {
            texts.push(format!(
                "observed earlier: {}, at most {} ago",
                machines_of(ages.len()),
                duration(*oldest)
            ));
        }
        texts
    }
}

impl Plan {
    /// `3 actions on 2 of 5 machines: 2 benign, 1 disruptive; 1 refused; 1 machine waits`
    #[must_use]
    pub fn summary(&self) -> String {
        let refused: usize = self.machines.iter().map(|m| m.refused.len()).sum();
        let acted = self.machines.iter().filter(|m| !m.actions.is_empty());
        let mut text = match (self.actions().count(), self.machines.len()) {
            (0, 0) => "nothing to do: there is no machine".to_owned(),
            (0, all) => format!("nothing to do on {}", machines_of(all)),
            (total, all) => format!(
                "{} on {}: {}",
                counted(total, "action"),
                match acted.count() {
                    acted if acted == all => machines_of(all),
                    acted => format!("{acted} of {}", machines_of(all)),
                },
                counts(self.actions().map(|action| action.class)),
            ),
        };
        if refused > 0 {
            text.push_str(&format!("; {refused} refused"));
        }
        match self.machines.iter().filter(|m| !m.waits.is_empty()).count() {
            0 => {}
            1 => text.push_str("; 1 machine waits"),
            count => text.push_str(&format!("; {count} machines wait")),
        }
        text
    }
}

fn folder<'f, 'p>(
    folders: &'f mut BTreeMap<FullName, Folder<'p>>,
    machine: &MachinePlan,
) -> &'f mut Folder<'p> {
    let name = machine.name.parent().unwrap_or_else(FullName::root);
    folders.entry(name).or_default()
}

/// Of what is done and of what is refused.
fn heaviest(machine: &MachinePlan) -> Option<Class> {
    let actions = machine.actions.iter().map(|action| action.class);
    actions.chain(machine.refused.iter().map(|r| r.class)).max()
}

/// `9950 more machines in 190 folders are not shown: 9950 benign; 3 refused`
fn not_shown(left: &[&MachinePlan]) -> String {
    let folders: BTreeSet<Option<FullName>> =
        left.iter().map(|machine| machine.name.parent()).collect();
    let is = match left.len() {
        1 => "is",
        _ => "are",
    };
    let mut text = format!(
        "{} more in {} {is} not shown",
        machines_of(left.len()),
        counted(folders.len(), "folder")
    );
    let classes = counts(left.iter().flat_map(|m| &m.actions).map(|a| a.class));
    if !classes.is_empty() {
        text.push_str(&format!(": {classes}"));
    }
    let refused: usize = left.iter().map(|machine| machine.refused.len()).sum();
    if refused > 0 {
        text.push_str(&format!("; {refused} refused"));
    }
    text
}

fn nothing_for(count: usize, because: &str) -> String {
    format!("nothing for {}, because {because}", machines_of(count))
}

/// `2 benign, 1 disruptive`
fn counts(classes: impl Iterator<Item = Class>) -> String {
    let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
    for class in classes {
        *counts.entry(class).or_default() += 1;
    }
    let counts = counts.into_iter();
    let texts: Vec<String> = counts
        .map(|(class, count)| format!("{count} {class}"))
        .collect();
    texts.join(", ")
}

fn machines_of(count: usize) -> String {
    counted(count, "machine")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// `3 h`
fn duration(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..=119 => format!("{minutes} min"),
        120..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / (24 * 60)),
    }
}

fn line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    writeln!(f, "{clean}")
}
