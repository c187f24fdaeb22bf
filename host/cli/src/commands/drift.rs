//! `drift`, and where nothing is done about it: `pause` and `resume FOLDER`.

use clap::Args;
use enginehouse_api::{Client, Drift, DriftPage, PauseRequest, PauseState};
use enginehouse_model::FullName;

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::date_time;

/// Machines asked for at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Args)]
#[command(after_help = "\
Drift is what somebody changed on a machine behind our back: what is observed differs from what was
deployed. It is repaired by itself as far as the `policy` of the folder lets it.

Examples:
  enginehouse drift
  enginehouse drift /web --output json")]
pub struct DriftArgs {
    /// Where to look
    #[arg(default_value = "/")]
    path: FullName,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Drift is found and shown as before, and what people order is done.

Examples:
  enginehouse pause /web --reason 'tuning by hand until Friday'
  enginehouse resume /web")]
pub struct PauseArgs {
    /// A folder or a machine
    path: FullName,
    /// Why, for others
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub async fn drift(client: &Client, args: DriftArgs, output: &Output) -> Result<(), CommandError> {
    let mut page = client.drift(&args.path, None, Some(PAGE)).await?;
    while let Some(after) = page.next.take() {
        let next = client.drift(&args.path, Some(&after), Some(PAGE)).await?;
        page.machines.extend(next.machines);
        page.next = next.next;
    }
    output.answer(&page, |paint| listing(&page, paint))
}

fn listing(page: &DriftPage, paint: Painter) -> String {
    if page.machines.is_empty() {
        return "no machine is known to have drifted\n".to_owned();
    }
    let mut text = String::new();
    for machine in &page.machines {
        text.push_str(&format!(
            "{}\n",
            paint.paint(Style::Strong, &machine.path.to_string())
        ));
        text.push_str(&fields(&machine.drift).render(paint));
    }
    text
}

/// One line for each field: what it was deployed with, what it is, since when, and what becomes of it.
pub fn fields(drift: &[Drift]) -> Table {
    let mut table = Table::new();
    for drift in drift {
        let (deployed, observed) = (one_line(&drift.deployed), one_line(&drift.observed));
        let (style, outcome) = match &drift.not_repaired {
            Some(because) => (
                Style::Faint,
                format!("not repaired, because {}", one_line(because)),
            ),
            None => (Style::Faint, "to be repaired".to_owned()),
        };
        table.row([
            (
                Style::Warning,
                format!("  {} {deployed} -> {observed}", one_line(&drift.field)),
            ),
            (Style::Faint, format!("since {}", date_time(drift.since))),
            (style, outcome),
        ]);
    }
    table
}

pub async fn pause(client: &Client, args: PauseArgs, output: &Output) -> Result<(), CommandError> {
    let request = PauseRequest {
        path: args.path,
        reason: args.reason,
    };
    let state = client.pause(&request).await?;
    output.answer(&state, |_| said(&state))
}

pub async fn unpause(client: &Client, path: FullName, output: &Output) -> Result<(), CommandError> {
    let request = PauseRequest { path, reason: None };
    let state = client.unpause(&request).await?;
    output.answer(&state, |_| said(&state))
}

fn said(state: &PauseState) -> String {
    let path = &state.path;
    match &state.paused {
        Some(paused) if paused.at == *path => {
            format!("{path} is paused: nothing is repaired or followed there by itself\n")
        }
        Some(paused) => format!("{path} is still paused, because {} is\n", paused.at),
        None => format!("{path} is not paused any more\n"),
    }
}
