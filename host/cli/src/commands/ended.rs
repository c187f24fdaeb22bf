//! `ops results` and `ops executed`: operations that are over.

use std::time::Duration;

use clap::Args;
use enginehouse_api::{
    Client, EndedOperation, ExecutedFilter, ExecutedLine, OperationKind, OperationState,
    ResultPage, routes,
};
use enginehouse_model::FullName;

use crate::error::CommandError;
use crate::operation_text::state_style;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::{date_time, now, parse_moment, span};

#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// Only those after this cursor, as an earlier answer gave it [default: from the oldest kept]
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Go on, and show each as soon as it has ended; as JSON, one page on each line
    #[arg(long, short)]
    follow: bool,
    /// How many; with --follow, how many at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub struct ExecutedArgs {
    /// Only those about this node, or what is or was below it
    #[arg(long)]
    path: Option<FullName>,
    /// Only those that this subject ordered
    #[arg(long, value_name = "SUBJECT")]
    who: Option<String>,
    /// Only those of this kind, as in deploy
    #[arg(long, value_parser = kind)]
    kind: Option<OperationKind>,
    /// Only those that ended so: succeeded, failed, cancelled or superseded
    #[arg(long, value_parser = outcome)]
    outcome: Option<OperationState>,
    /// Only those that ended then or later, as in 2h, 7d, 2026-11-21 or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that ended before, written likewise
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those before this cursor, as an earlier page gave it
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

fn kind(text: &str) -> Result<OperationKind, String> {
    let all = OperationKind::ALL.map(OperationKind::as_str).join(", ");
    OperationKind::from_name(text).ok_or_else(|| format!("the kinds are {all}"))
}

fn outcome(text: &str) -> Result<OperationState, String> {
    OperationState::from_name(text)
        .filter(|state| state.has_ended())
        .ok_or_else(|| "operations end succeeded, failed, cancelled or superseded".to_owned())
}

pub async fn results(
    client: &Client,
    args: ResultsArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let after = args.after.as_deref();
    let mut page = client
        .results(after, Some(args.limit), Duration::ZERO)
        .await?;
    if !args.follow {
        return output.answer(&page, |paint| listed(&page, paint));
    }
    let wait = Duration::from_millis(routes::WAIT_MAX_MS);
    loop {
        if output.is_json() {
            output.text(&serde_json::to_string(&page)?)?;
        } else {
            let paint = output.out();
            let lines: String = page.results.iter().map(|it| line(it, paint)).collect();
            output.text(&lines)?;
        }
        let cursor = page.cursor;
        page = match client.results(Some(&cursor), Some(args.limit), wait).await {
            Ok(page) => page,
            Err(source) => return Err(CommandError::LostResults { cursor, source }),
        };
    }
}

fn listed(page: &ResultPage, paint: Painter) -> String {
    let mut text = if page.results.is_empty() {
        "no results\n".to_owned()
    } else {
        let mut table = Table::with_header(&["NUMBER", "ENDED", "KIND", "PATH", "STATE", "RESULT"]);
        for ended in &page.results {
            let line = &ended.line;
            table.row([
                (Style::Plain, line.number.to_string()),
                (Style::Plain, date_time(line.ended_at)),
                (Style::Plain, line.kind.clone()),
                (Style::Plain, about(ended)),
                (state_style(line.outcome), line.outcome.to_string()),
                (Style::Plain, came_to(ended)),
            ]);
        }
        table.render(paint)
    };
    let more = if page.more { "more" } else { "what comes next" };
    let next = format!("{more}: --after {}", page.cursor);
    text.push_str(&paint.paint(Style::Faint, &next));
    text.push('\n');
    text
}

/// The same for who follows: a table would not know its widths.
fn line(ended: &EndedOperation, paint: Painter) -> String {
    let line = &ended.line;
    let outcome = paint.paint(state_style(line.outcome), line.outcome.as_str());
    let text = format!(
        "{}  {}  {} {}  {outcome}  {}",
        paint.paint(Style::Faint, &date_time(line.ended_at)),
        line.number,
        line.kind,
        about(ended),
        came_to(ended)
    );
    format!("{}\n", text.trim_end())
}

fn about(ended: &EndedOperation) -> String {
    match (&ended.secret, &ended.to) {
        (Some(secret), _) => format!("secret {secret}"),
        (None, Some(to)) => format!("{} -> {to}", ended.line.path),
        (None, None) => ended.line.path.to_string(),
    }
}

/// Machine, error, what exists and what does not, warnings.
fn came_to(ended: &EndedOperation) -> String {
    let mut parts = Vec::new();
    if let Some(error) = &ended.error {
        parts.push(error.message.clone());
    }
    if let Some(result) = &ended.result {
        parts.extend(result.machine_id.iter().map(|id| format!("machine {id}")));
        let created = result.created.iter();
        parts.extend(created.map(|object| format!("created {} {}", object.kind, object.id)));
        parts.extend(
            result
                .failed
                .iter()
                .map(|object| format!("failed {} {}: {}", object.kind, object.id, object.reason)),
        );
        let warnings = result.warnings.iter();
        parts.extend(warnings.map(|warning| format!("warning: {warning}")));
    }
    one_line(&parts.join("; "))
}

pub async fn executed(
    client: &Client,
    args: ExecutedArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let now = now();
    let moment = |text: Option<String>| text.map(|text| parse_moment(&text, now)).transpose();
    let filter = ExecutedFilter {
        path: args.path,
        who: args.who,
        kind: args.kind,
        outcome: args.outcome,
        since: moment(args.since)?,
        until: moment(args.until)?,
        before: args.before,
        limit: Some(args.limit),
    };
    let page = client.executed(&filter).await?;
    output.answer(&page, |paint| {
        if page.lines.is_empty() {
            return "no operations\n".to_owned();
        }
        let mut table = Table::with_header(&[
            "NUMBER", "KIND", "PATH", "WHO", "QUEUED", "ENDED", "WAITED", "TOOK", "OUTCOME",
            "MESSAGE",
        ]);
        for line in &page.lines {
            table.row(row(line));
        }
        let mut text = table.render(paint);
        if let Some(next) = &page.next {
            text.push_str(&paint.paint(Style::Faint, &format!("older ones: --before {next}")));
            text.push('\n');
        }
        text
    })
}

fn row(line: &ExecutedLine) -> [(Style, String); 10] {
    let started = line.started_at;
    let waited = started.map(|at| span(at.since(line.queued_at)));
    let took = started.map(|at| span(line.ended_at.since(at)));
    [
        (Style::Plain, line.number.to_string()),
        (Style::Plain, line.kind.clone()),
        (Style::Plain, line.path.to_string()),
        (Style::Plain, line.who.clone()),
        (Style::Plain, date_time(line.queued_at)),
        (Style::Plain, date_time(line.ended_at)),
        (Style::Plain, waited.unwrap_or_default()),
        (Style::Plain, took.unwrap_or_default()),
        (state_style(line.outcome), line.outcome.to_string()),
        (
            Style::Plain,
            one_line(line.message.as_deref().unwrap_or_default()),
        ),
    ]
}
