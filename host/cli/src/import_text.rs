//! An import as people read it: what it would change, and what it did.

use enginehouse_api::{ImportAnswer, ImportNode, NodeKind};

use crate::style::{Painter, Style, clean};

/// Nodes of one kind of change, and machines, that are listed.
const LISTED: usize = 200;

/// Whether somebody should say yes first: something goes away, or a machine is changed.
#[must_use]
pub fn needs_a_yes(answer: &ImportAnswer) -> bool {
    !answer.removed.is_empty() || !answer.reconfigured.is_empty()
}

/// What would be changed, node by node.
#[must_use]
pub fn difference(answer: &ImportAnswer, paint: Painter) -> String {
    let mut text = String::new();
    for (verb, nodes) in [
        ("make", &answer.made),
        ("edit", &answer.edited),
        ("reconfigure", &answer.reconfigured),
        ("remove", &answer.removed),
    ] {
        for node in nodes.iter().take(LISTED) {
            add_node(&mut text, verb, node, paint);
        }
        add_rest(&mut text, verb, nodes.len());
    }
    if !answer.lowered.is_empty() {
        text.push_str("less protected (needs --lower-protection):\n");
    }
    for line in answer.lowered.iter().take(LISTED) {
        let line = clean(line);
        text.push_str(&format!("  {}\n", paint.paint(Style::Bad, &line)));
    }
    add_rest(&mut text, "less protected", answer.lowered.len());
    if !answer.machines.is_empty() {
        text.push_str("machines:\n");
    }
    for machine in answer.machines.iter().take(LISTED) {
        let how = if machine.reconfigured {
            "reconfigured"
        } else {
            "pending until it is reconfigured"
        };
        text.push_str(&format!("  {} ({how})\n", machine.path));
        for change in &machine.changes {
            text.push_str(&format!("    {}\n", clean(change)));
        }
    }
    add_rest(&mut text, "machines", answer.machines.len());
    if let Some(plan) = &answer.plan {
        text.push_str("plan, were all of them reconfigured:\n");
        for line in plan.text.trim_end().lines() {
            text.push_str(format!("  {}", clean(line)).trim_end());
            text.push('\n');
        }
    }
    if let Some(why) = &answer.not_planned {
        text.push_str(&format!("no plan: {}\n", clean(why)));
    }
    text.push_str(&counts(answer));
    text
}

fn add_node(text: &mut String, verb: &str, node: &ImportNode, paint: Painter) {
    let slash = match node.kind {
        NodeKind::Folder if node.path.is_root() => "",
        NodeKind::Folder => "/",
        NodeKind::Descriptor => "",
    };
    let style = match verb {
        "make" => Style::Good,
        "remove" => Style::Bad,
        _ => Style::Warning,
    };
    text.push_str(&format!(
        "{} {}{slash}\n",
        paint.paint(style, &format!("{verb:<11}")),
        node.path
    ));
    // Of a new node the file says it all.
    if verb == "make" {
        return;
    }
    for change in &node.changes {
        let value = |value: &Option<String>| {
            value
                .as_deref()
                .map_or_else(|| "nothing".to_owned(), |value| clean(value).into_owned())
        };
        text.push_str(&format!(
            "  {}: {} -> {}\n",
            clean(&change.key),
            value(&change.before),
            value(&change.after)
        ));
    }
}

fn add_rest(text: &mut String, what: &str, all: usize) {
    if all > LISTED {
        text.push_str(&format!("{what:<11} … and {} more\n", all - LISTED));
    }
}

fn counts(answer: &ImportAnswer) -> String {
    let counts = answer.counts();
    let mut parts = Vec::new();
    for (count, what) in [
        (counts.made, "made"),
        (counts.edited, "edited"),
        (counts.reconfigured, "reconfigured"),
        (counts.removed, "removed"),
        (answer.unchanged, "unchanged"),
        (answer.left, "in no file and left alone"),
        (answer.ignored, "other files ignored"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

/// What was done, on one line.
#[must_use]
pub fn summary(answer: &ImportAnswer) -> String {
    match &answer.operation {
        None => format!("{} is as the files say: {}", answer.path, counts(answer)),
        Some(operation) if answer.replayed => format!(
            "imported {} with operation {}; the connection was lost before the server had said what changed",
            answer.path, operation.number
        ),
        Some(operation) => {
            let mut text = format!(
                "imported {}: {} (operation {})",
                answer.path,
                counts(answer),
                operation.number
            );
            let pending = answer
                .machines
                .iter()
                .filter(|machine| !machine.reconfigured)
                .count();
            if pending > 0 {
                text.push_str(&format!(
                    "\n{pending} deployed machines have a pending change now; `enginehouse reconfigure {}` applies it",
                    answer.path
                ));
            }
            text
        }
    }
}
