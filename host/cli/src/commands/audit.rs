//! `audit list|show|head|verify`: who ordered, allowed and changed what, and whether that is still
//! what was written.

use std::fmt::Write;

use clap::{Args, Subcommand};
use enginehouse_api::{AuditFilter, AuditHead, AuditLine, AuditPage, Client, routes};
use enginehouse_audit::{Action, Chain, Compared, Head};
use enginehouse_model::{FullName, OperationId};
use serde::Serialize;

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::{date_time, now, parse_moment};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List entries, the newest first
    #[command(after_help = "\
Examples:
  enginehouse audit list --action protection --since 7d
  enginehouse audit list --path /web --who ann
  enginehouse audit list --operation 42")]
    List(ListArgs),
    /// Show one entry whole
    Show(ShowArgs),
    /// Print number and hash of the newest entry, to be kept somewhere else
    #[command(after_help = "\
Examples:
  enginehouse audit head >> /media/offline/audit-heads")]
    Head,
    /// Check that every entry follows from the one before it
    #[command(after_help = "\
All of the log is read, in pages, and every hash is made anew here. A chain alone shows what was
changed by accident or clumsily: who may write the database and knows how can make all of it anew.
That is found with a head that was kept where the host cannot write.

Exit code 1: the log is broken, or is not the one that the head is of.

Examples:
  enginehouse audit verify
  enginehouse audit verify --head \"$(tail -n 1 /media/offline/audit-heads)\"")]
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those about this node, or what is or was below it
    #[arg(long)]
    path: Option<FullName>,
    /// Only those of this subject
    #[arg(long, value_name = "SUBJECT")]
    who: Option<String>,
    /// Only those that tell of this, as in order, protection, grants
    #[arg(long, value_parser = action)]
    action: Option<String>,
    /// Only those of this operation
    #[arg(long, value_name = "NUMBER")]
    operation: Option<OperationId>,
    /// Only those written then or later, as in 2h, 7d, 2026-11-21 or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those written before, written likewise
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only entries before this one
    #[arg(long, value_name = "ENTRY")]
    before: Option<u64>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its number
    entry: u64,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// NUMBER:HASH, as `audit head` printed it before
    #[arg(long, value_name = "HEAD")]
    head: Option<Head>,
}

fn action(text: &str) -> Result<String, String> {
    let all = Action::ALL.map(Action::as_str).join(", ");
    Action::from_name(text)
        .map(|action| action.to_string())
        .ok_or_else(|| format!("the log tells of {all}"))
}

pub async fn audit(
    client: &Client,
    command: AuditCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        AuditCommand::List(args) => list(client, args, output).await,
        AuditCommand::Show(args) => show(client, &args, output).await,
        AuditCommand::Head => {
            let head = client.audit_head().await?;
            output.answer(&head, |_| format!("{}\n", head.head))
        }
        AuditCommand::Verify(args) => verify(client, &args, output).await,
    }
}

async fn list(client: &Client, args: ListArgs, output: &Output) -> Result<(), CommandError> {
    let now = now();
    let moment = |text: Option<String>| text.map(|text| parse_moment(&text, now)).transpose();
    let filter = AuditFilter {
        path: args.path,
        who: args.who,
        action: args.action,
        operation: args.operation,
        since: moment(args.since)?,
        until: moment(args.until)?,
        before: args.before,
        after: None,
        limit: Some(args.limit),
    };
    let page = client.audit(&filter).await?;
    output.answer(&page, |paint| listed(&page, paint))
}

fn listed(page: &AuditPage, paint: Painter) -> String {
    if page.entries.is_empty() {
        return "no entries\n".to_owned();
    }
    let mut table = Table::with_header(&["ENTRY", "WHEN", "WHO", "ACTION", "OPERATION", "ABOUT"]);
    for line in &page.entries {
        let entry = &line.entry;
        let operation = entry.operation.map(|operation| operation.to_string());
        let about: Vec<String> = entry
            .path
            .iter()
            .cloned()
            .chain(
                entry
                    .detail
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}")),
            )
            .collect();
        table.row([
            (Style::Plain, entry.number.to_string()),
            (Style::Plain, date_time(entry.at)),
            (Style::Plain, one_line(&entry.who)),
            (Style::Plain, one_line(&entry.action)),
            (Style::Plain, operation.unwrap_or_default()),
            (Style::Plain, one_line(&about.join("; "))),
        ]);
    }
    let mut text = table.render(paint);
    if let Some(next) = page.next {
        let line = format!("older ones: --before {next}");
        let _ = writeln!(text, "{}", paint.paint(Style::Faint, &line));
    }
    text
}

async fn show(client: &Client, args: &ShowArgs, output: &Output) -> Result<(), CommandError> {
    let missing = || CommandError::NoAuditEntry { entry: args.entry };
    let filter = AuditFilter {
        after: Some(args.entry.checked_sub(1).ok_or_else(missing)?),
        limit: Some(1),
        ..AuditFilter::default()
    };
    let page = client.audit(&filter).await?;
    let mut found = page.entries.iter();
    let line = found.find(|line| line.entry.number == args.entry);
    let line = line.ok_or_else(missing)?;
    output.answer(line, |paint| whole(line, paint))
}

fn whole(line: &AuditLine, paint: Painter) -> String {
    let entry = &line.entry;
    let mut table = Table::new();
    let mut row = |name: &str, value: String| {
        table.row([
            (Style::Faint, one_line(name)),
            (Style::Plain, one_line(&value)),
        ]);
    };
    row("entry", entry.number.to_string());
    row("epoch", entry.epoch.to_string());
    row("when", date_time(entry.at));
    row("who", entry.who.clone());
    row("action", entry.action.clone());
    for (name, value) in [("path", &entry.path), ("node", &entry.node)] {
        if let Some(value) = value {
            row(name, value.clone());
        }
    }
    if let Some(operation) = entry.operation {
        row("operation", operation.to_string());
    }
    for (name, value) in &entry.detail {
        row(name, value.clone());
    }
    row("hash", line.hash.to_string());
    table.render(paint)
}

/// What `verify --output json` writes of a log that holds.
#[derive(Serialize)]
struct Verified {
    entries: u64,
    #[serde(flatten)]
    head: AuditHead,
    /// The log was compared with a head that was kept.
    compared: bool,
}

async fn verify(client: &Client, args: &VerifyArgs, output: &Output) -> Result<(), CommandError> {
    let newest = client.audit_head().await?;
    let mut chain = Chain::of(newest.installation);
    if let Some(kept) = args.head {
        chain = chain.watching(kept);
    }
    // Of all that is read, these alone are kept: they say why a head is not there.
    let mut restores = Vec::new();
    loop {
        let filter = AuditFilter {
            after: Some(chain.head().number),
            limit: Some(routes::PAGE_MAX),
            ..AuditFilter::default()
        };
        let page = client.audit(&filter).await?;
        if page.entries.is_empty() {
            break;
        }
        for line in page.entries {
            let number = line.entry.number;
            chain
                .take(&line.entry, line.hash)
                .map_err(|source| CommandError::BrokenAuditLog { source })?;
            if line.entry.action == Action::Restore.as_str() {
                restores.push(number);
            }
        }
    }
    let newest_number = newest.head.number;
    chain
        .ends(newest_number)
        .map_err(|source| CommandError::BrokenAuditLog { source })?;
    match (args.head, chain.compared()) {
        (Some(kept), Some(compared @ (Compared::Differs { .. } | Compared::Missing { .. }))) => {
            let restored = restores
                .into_iter()
                .find(|restored| *restored <= kept.number);
            return Err(CommandError::OtherAuditLog {
                kept,
                compared,
                restored,
            });
        }
        (_, Some(Compared::Holds) | None) | (None, Some(_)) => {}
    }
    let verified = Verified {
        entries: chain.head().number,
        head: AuditHead {
            installation: newest.installation,
            head: chain.head(),
        },
        compared: args.head.is_some(),
    };
    output.answer(&verified, |_| {
        let mut text = match verified.entries {
            0 => "the log is empty\n".to_owned(),
            1 => "1 entry holds\n".to_owned(),
            entries => format!("{entries} entries hold, each follows from the one before\n"),
        };
        if let Some(kept) = args.head {
            let _ = writeln!(text, "entry {} is what it was", kept.number);
        }
        let _ = writeln!(text, "head {}", chain.head());
        text
    })
}
