//! What an order would change, as text.

use std::fmt::Write;

use enginehouse_api::{KeyChange, Preview, PreviewNode, TracedValue};

use crate::style::{Painter, Style, one_line};
use crate::table::Table;

/// Keys that are shown of one node.
const KEYS: usize = 12;

/// The preview, grouped by node.
#[must_use]
pub fn render(preview: &Preview, paint: Painter) -> String {
    let mut text = String::new();
    for node in &preview.nodes {
        text.push_str(&title(node, paint));
        text.push_str(&keys(&node.keys, paint));
    }
    let more = preview
        .counts
        .listed()
        .saturating_sub(preview.nodes.len() as u64);
    more_of(more, "more nodes", &mut text, paint);
    if !preview.rights.is_empty() {
        heading("rights", &mut text, paint);
        let mut table = Table::new();
        for change in &preview.rights {
            let given = |permissions: &[String]| match permissions {
                [] => "none".to_owned(),
                some => some.join(", "),
            };
            let (before, after) = (given(&change.before), given(&change.after));
            let note = if before == after {
                format!("{after} (stays)")
            } else {
                format!("{before} -> {after}")
            };
            table.row([
                (Style::Plain, format!("  {}", change.path)),
                (Style::Plain, one_line(&change.subject)),
                (Style::Warning, note),
            ]);
        }
        text.push_str(&table.render(paint));
        let more = preview.counts.rights - preview.rights.len() as u64;
        more_of(more, "more rights", &mut text, paint);
    }
    if !preview.pending.is_empty() {
        heading("pending changes of deployed machines", &mut text, paint);
        let mut table = Table::new();
        for change in &preview.pending {
            let list = match change.after.as_slice() {
                [] => "none any more".to_owned(),
                some => some.join(", "),
            };
            table.row([
                (Style::Plain, format!("  {}", change.path)),
                (Style::Warning, one_line(&list)),
            ]);
        }
        text.push_str(&table.render(paint));
        let more = preview.counts.pending - preview.pending.len() as u64;
        more_of(more, "more machines", &mut text, paint);
    }
    let _ = writeln!(text, "{}", summary(preview));
    text
}

fn heading(title: &str, text: &mut String, paint: Painter) {
    let _ = writeln!(text, "{}", paint.paint(Style::Strong, title));
}

fn more_of(more: u64, what: &str, text: &mut String, paint: Painter) {
    if more > 0 {
        let line = format!("  and {more} {what}; see --limit or --output json");
        let _ = writeln!(text, "{}", paint.paint(Style::Faint, &line));
    }
}

fn title(node: &PreviewNode, paint: Painter) -> String {
    let (name, note) = match (&node.before, &node.after) {
        (Some(before), Some(after)) if before == after => (after.to_string(), ""),
        (Some(before), Some(after)) => (format!("{before} -> {after}"), ""),
        (None, Some(after)) => (after.to_string(), " (new)"),
        (Some(before), None) => (before.to_string(), " (removed)"),
        (None, None) => (String::new(), ""),
    };
    format!("{}{note}\n", paint.paint(Style::Strong, &name))
}

fn keys(changes: &[KeyChange], paint: Painter) -> String {
    let mut table = Table::new();
    for change in changes.iter().take(KEYS) {
        let value = |side: &Option<TracedValue>| {
            side.as_ref()
                .map_or_else(|| "nothing".to_owned(), |side| one_line(&side.value))
        };
        let (before, after) = (value(&change.before), value(&change.after));
        let same = change.before.is_some() && before == after;
        let (style, values) = match (&change.before, same) {
            (_, true) => (Style::Faint, format!("{after} (the same)")),
            (None, false) => (Style::Plain, after),
            (Some(_), false) => (Style::Warning, format!("{before} -> {after}")),
        };
        table.row([
            (Style::Plain, format!("  {}", change.key)),
            (style, values),
            (Style::Faint, from(change)),
        ]);
    }
    let mut text = table.render(paint);
    let more = changes.len().saturating_sub(KEYS);
    if more > 0 {
        let line = format!("  and {more} more keys");
        let _ = writeln!(text, "{}", paint.paint(Style::Faint, &line));
    }
    text
}

/// Where the values come from; one place where it is the same before and after.
fn from(change: &KeyChange) -> String {
    let place = |side: &Option<TracedValue>| side.as_ref().map(|side| side.origin.to_string());
    match (place(&change.before), place(&change.after)) {
        (Some(before), Some(after)) if before != after => format!("from {before} -> {after}"),
        (_, Some(place)) | (Some(place), None) => format!("from {place}"),
        (None, None) => String::new(),
    }
}

/// One line: how many of what.
#[must_use]
pub fn summary(preview: &Preview) -> String {
    let counts = &preview.counts;
    let mut parts = Vec::new();
    let mut say = |count: u64, one: &str, many: &str| match count {
        0 => {}
        1 => parts.push(format!("1 {one}")),
        _ => parts.push(format!("{count} {many}")),
    };
    say(counts.made, "new node", "new nodes");
    say(counts.removed, "node removed", "nodes removed");
    say(
        counts.renamed,
        "node gets another name",
        "nodes get another name",
    );
    say(
        counts.changed,
        "computed definition changes",
        "computed definitions change",
    );
    say(
        counts.origins_only,
        "gets the same values from elsewhere",
        "get the same values from elsewhere",
    );
    say(counts.rights, "right changes", "rights change");
    say(
        counts.pending,
        "machine with another pending change",
        "machines with other pending changes",
    );
    if parts.is_empty() {
        "nothing would change".to_owned()
    } else {
        parts.join(", ")
    }
}
