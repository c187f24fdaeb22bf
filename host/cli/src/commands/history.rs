//! `history`: what became of a node.

use std::fmt::Write;

use clap::Args;
use enginehouse_api::{Client, HistoryChange, HistoryEntry, HistoryOf, HistoryPage, HistoryPart};
use enginehouse_model::{FullName, NodeUid};

use super::show::deployed;
use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::date_time;

/// Keys that are shown of one entry in the list.
const KEYS: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = "\
Newest first. It outlives the node: of a name that is gone, the last node that had it is shown, and
--uid names any other. A move is in the history of the node that was moved.

Examples:
  enginehouse history /web/vm1
  enginehouse history /web/vm1 --show 42         one entry whole, with its definitions
  enginehouse history --uid 0192f1c0a5b37c4e8b6d1f2a3c4d5e6f")]
pub struct HistoryArgs {
    /// A folder or a machine
    #[arg(required_unless_present = "uid", conflicts_with = "uid")]
    path: Option<FullName>,
    /// The node by its uid, as `show` and this command say it
    #[arg(long)]
    uid: Option<NodeUid>,
    /// Entries to list
    #[arg(long, value_name = "NUMBER", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only entries before this one
    #[arg(long, value_name = "ENTRY")]
    before: Option<u64>,
    /// This entry whole
    #[arg(long, value_name = "ENTRY", conflicts_with_all = ["before", "limit"])]
    show: Option<u64>,
}

pub async fn history(
    client: &Client,
    args: HistoryArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let of = match (args.path, args.uid) {
        (_, Some(uid)) => HistoryOf::Uid(uid),
        (Some(path), None) => HistoryOf::Path(path),
        // The command line does not let it be.
        (None, None) => HistoryOf::Path(FullName::root()),
    };
    let Some(entry) = args.show else {
        let page = client.history(&of, args.before, Some(args.limit)).await?;
        return output.answer(&page, |paint| list(&page, paint));
    };
    let page = client
        .history(&of, Some(entry.saturating_add(1)), Some(1))
        .await?;
    match page.entries.iter().find(|found| found.seq == entry) {
        Some(entry) => output.answer(entry, |paint| whole(entry, paint)),
        None => Err(CommandError::NoEntry { entry }),
    }
}

fn list(page: &HistoryPage, paint: Painter) -> String {
    let mut text = String::new();
    let name = page.full_name.as_ref().map(ToString::to_string);
    let name = name.unwrap_or_else(|| page.uid.to_string());
    let note = if page.gone {
        format!(" is gone (uid {})", page.uid)
    } else {
        format!(" (uid {})", page.uid)
    };
    let _ = writeln!(text, "{}{note}", paint.paint(Style::Strong, &name));
    if page.entries.is_empty() {
        text.push_str("no history\n");
    }
    for entry in &page.entries {
        text.push_str(&head(entry, paint));
        text.push_str(&changes(&entry.changes, KEYS, paint));
    }
    if let Some(next) = page.next {
        let line = format!("older ones: --before {next}");
        let _ = writeln!(text, "{}", paint.paint(Style::Faint, &line));
    }
    for other in &page.others {
        let line = format!(
            "another node was called so until {}: --uid {}",
            date_time(other.at),
            other.uid
        );
        let _ = writeln!(text, "{}", paint.paint(Style::Faint, &line));
    }
    text
}

/// `#42  2026-11-21 11:47:22Z  deploy by ann (operation 12): machine 104 on pve1`
fn head(entry: &HistoryEntry, paint: Painter) -> String {
    let number = paint.paint(Style::Faint, &format!("#{}", entry.seq));
    let who = one_line(&entry.who);
    let mut text = match entry.operation {
        Some(operation) => format!(
            "{number}  {}  {} by {who} (operation {operation})",
            date_time(entry.at),
            entry.kind
        ),
        None => format!("{number}  {}  {} by {who}", date_time(entry.at), entry.kind),
    };
    if let Some(machine) = &entry.machine {
        let id = machine.machine_id.as_deref().map(one_line);
        let id = id.map(|id| format!(" {id}")).unwrap_or_default();
        let place = machine.hypervisor.as_deref().map(one_line);
        let place = place.map(|name| format!(" on {name}")).unwrap_or_default();
        let what = match machine.event.as_str() {
            "linked" => "",
            "removed" => " removed",
            "lost" => " lost",
            "never-made" => " was never made",
            other => &format!(" {}", one_line(other)),
        };
        let _ = write!(text, ": machine{id}{place}{what}");
    }
    text.push('\n');
    text
}

fn changes(changes: &[HistoryChange], most: usize, paint: Painter) -> String {
    let mut table = Table::new();
    for change in changes.iter().take(most) {
        let what = match change.of {
            HistoryPart::Name => "name",
            HistoryPart::Definition => "",
            HistoryPart::Rights => "rights of",
            HistoryPart::Deployed => "deployed",
        };
        let key = [what, change.key.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let values = match (&change.before, &change.after) {
            (None, Some(after)) => one_line(after),
            (Some(before), Some(after)) => format!("{} -> {}", one_line(before), one_line(after)),
            (Some(before), None) => format!("{} -> nothing", one_line(before)),
            (None, None) => String::new(),
        };
        table.row([
            (Style::Plain, format!("    {}", one_line(&key))),
            (Style::Plain, values),
        ]);
    }
    let mut text = table.render(paint);
    let more = changes.len().saturating_sub(most);
    if more > 0 {
        let line = format!("    and {more} more keys; see --show");
        let _ = writeln!(text, "{}", paint.paint(Style::Faint, &line));
    }
    text
}

fn whole(entry: &HistoryEntry, paint: Painter) -> String {
    let mut text = head(entry, paint);
    let _ = writeln!(text, "  {}", entry.path);
    text.push_str(&changes(&entry.changes, usize::MAX, paint));
    if let Some(versions) = &entry.definition {
        for (title, document) in [
            ("definition before", &versions.before),
            ("definition after", &versions.after),
        ] {
            if let Some(document) = document {
                let _ = writeln!(text, "{}", paint.paint(Style::Strong, title));
                for (key, value) in enginehouse_api::flattened(&document.clone().into()) {
                    let _ = writeln!(text, "  {}: {}", one_line(&key), one_line(&value));
                }
                if document.is_empty() {
                    text.push_str("  (empty)\n");
                }
            }
        }
    }
    if let Some(config) = &entry.deployed {
        let _ = writeln!(text, "{}", paint.paint(Style::Strong, "deployed"));
        text.push_str(&deployed(config).render(paint));
    }
    text
}
