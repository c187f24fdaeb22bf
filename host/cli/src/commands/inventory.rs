//! `hypervisors refresh|machines|missing`: what is on hypervisors.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use enginehouse_api::{
    Client, ClientError, FoundMachine, HypervisorRefresh, InventoryState, MachinePage,
    MissingRequest, RefreshRequest, RefreshResults, Whose,
};
use enginehouse_model::documents::PowerState;
use enginehouse_model::{FullName, Timestamp};

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::{date_time, span};

/// Time between two looks at how far a refresh is.
const LOOK: Duration = Duration::from_millis(500);
/// Machines asked for at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// Only those of this name
    name: Option<String>,
    /// Only those that hold for this folder
    #[arg(long, default_value = "/")]
    path: FullName,
    /// Read every machine in full
    #[arg(long)]
    full: bool,
}

#[derive(Debug, Args)]
pub struct MachinesArgs {
    /// The hypervisor
    name: String,
    /// The folder that it holds for, where several have that name
    #[arg(long, default_value = "/")]
    path: FullName,
    /// Only machines that are so
    #[arg(long, value_name = "WHOSE")]
    whose: Option<WhoseArg>,
}

#[derive(Debug, Args)]
pub struct MissingArgs {
    /// The hypervisor
    name: String,
    /// The folder that it holds for, where several have that name
    #[arg(long, default_value = "/")]
    path: FullName,
    /// Agree that all of them may be gone
    #[arg(long)]
    confirm: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhoseArg {
    Ours,
    Orphan,
    Foreign,
    Template,
    Unread,
}

impl WhoseArg {
    fn is(self, whose: Whose) -> bool {
        match self {
            Self::Ours => whose == Whose::Ours,
            Self::Orphan => whose == Whose::Orphan,
            Self::Foreign => whose == Whose::Foreign,
            Self::Template => whose == Whose::Template,
            Self::Unread => whose == Whose::Unread,
        }
    }
}

pub(super) async fn refresh(
    client: &Client,
    args: RefreshArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let request = RefreshRequest {
        path: args.path,
        name: args.name,
        full: args.full,
    };
    let (path, name) = (&request.path, request.name.as_deref());
    let results = while_reading(client.refresh(&request), client, path, name, output).await?;
    output.answer(&results, |paint| refreshed(&results, paint))?;
    let failed = (results.hypervisors.iter()).filter(|found| found.problem.is_some());
    match failed.count() {
        0 => Ok(()),
        failed => Err(CommandError::Unhealthy {
            failed,
            all: results.hypervisors.len(),
        }),
    }
}

/// Waits for an answer, and says on a terminal how far the full reads are that it waits for. `name`:
/// only those of this hypervisor.
pub(super) async fn while_reading<T>(
    answer: impl Future<Output = Result<T, ClientError>>,
    client: &Client,
    path: &FullName,
    name: Option<&str>,
    output: &Output,
) -> Result<T, CommandError> {
    tokio::pin!(answer);
    let mut drawn = false;
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            () = tokio::time::sleep(LOOK) => {}
        }
        if output.is_json() || !output.redraws() {
            continue;
        }
        // How far it is matters less than that it goes on.
        let Ok(list) = client.hypervisors(path).await else {
            continue;
        };
        let wanted = |found: &str| name.is_none_or(|only| only == found);
        let reading = list.hypervisors.iter().filter(|one| wanted(&one.name));
        let reading: Vec<String> = reading
            .filter_map(|one| {
                let reading = one.inventory.reading?;
                let name = one_line(&one.name);
                Some(format!("{name}: {} of {} read", reading.done, reading.of))
            })
            .collect();
        if !reading.is_empty() {
            drawn = true;
            let _ = write!(io::stderr().lock(), "\r\x1b[K{}", reading.join(", "));
        }
    };
    if drawn {
        let _ = write!(io::stderr().lock(), "\r\x1b[K");
    }
    Ok(answer?)
}

fn refreshed(results: &RefreshResults, paint: Painter) -> String {
    if results.hypervisors.is_empty() {
        return "no hypervisors\n".to_owned();
    }
    let mut table = Table::new();
    for found in &results.hypervisors {
        let (style, text) = summary(found);
        table.row([
            (
                Style::Plain,
                format!("{} ({})", found.name, found.defined_at),
            ),
            (Style::Plain, span(found.took_ms)),
            (style, text),
        ]);
    }
    let mut text = table.render(paint);
    for found in &results.hypervisors {
        text.push_str(&gaps(&found.name, &found.inventory, paint));
        text.push_str(&held(&found.name, &found.inventory, paint));
    }
    text
}

/// `500 machines: 2 new, 1 changed, 0 gone; 3 read in full`
fn summary(found: &HypervisorRefresh) -> (Style, String) {
    let mut text = match found.inventory.machines {
        1 => "1 machine".to_owned(),
        many => format!("{many} machines"),
    };
    text.push_str(&format!(
        ": {} new, {} changed, {} gone; {} read in full",
        found.new, found.changed, found.gone, found.read
    ));
    if found.failed > 0 {
        text.push_str(&format!(", {} could not be", found.failed));
    }
    match &found.problem {
        Some(problem) => (
            Style::Bad,
            format!("{}: {}", problem.code, one_line(&problem.message)),
        ),
        None if found.failed > 0 || !found.inventory.gaps.is_empty() => (Style::Warning, text),
        None => (Style::Good, text),
    }
}

/// Where the newest list could not look.
fn gaps(name: &str, inventory: &InventoryState, paint: Painter) -> String {
    let gaps = inventory.gaps.iter().map(|gap| {
        let place = match gap.name.as_str() {
            "" => one_line(&gap.scope),
            place => format!("{} {}", one_line(&gap.scope), one_line(place)),
        };
        let warning = paint.paint(Style::Warning, "not seen:");
        let name = one_line(name);
        format!("{warning} {name}: {place}: {}\n", one_line(&gap.reason))
    });
    gaps.collect()
}

pub(super) async fn machines(
    client: &Client,
    args: MachinesArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let mut page = client
        .machines(&args.name, &args.path, None, Some(PAGE))
        .await?;
    while let Some(after) = page.next.take() {
        let next = client
            .machines(&args.name, &args.path, Some(&after), Some(PAGE))
            .await?;
        page.machines.extend(next.machines);
        page.next = next.next;
    }
    if let Some(whose) = args.whose {
        page.machines.retain(|machine| whose.is(machine.whose));
    }
    output.answer(&page, |paint| listing(&page, paint))
}

pub(super) async fn missing(
    client: &Client,
    args: MissingArgs,
    output: &Output,
) -> Result<(), CommandError> {
    if args.confirm {
        let request = MissingRequest {
            name: args.name,
            path: args.path,
        };
        let found = client.agree_missing(&request).await?;
        let results = RefreshResults {
            hypervisors: vec![found],
        };
        return output.answer(&results, |paint| refreshed(&results, paint));
    }
    let page = client
        .machines(&args.name, &args.path, None, Some(1))
        .await?;
    output.answer(&page.absent, |paint| absent(&page, paint))
}

fn absent(page: &MachinePage, paint: Painter) -> String {
    if page.absent.is_empty() {
        return "all machines on record were found\n".to_owned();
    }
    let mut table = Table::with_header(&["PATH", "ID", "NOT FOUND SINCE", "LISTS", ""]);
    for machine in &page.absent {
        let agreed = if machine.agreed { "may be gone" } else { "" };
        table.row([
            (Style::Plain, machine.path.to_string()),
            (Style::Plain, machine.id.clone()),
            (Style::Plain, date_time(machine.since)),
            (Style::Plain, machine.lists.to_string()),
            (Style::Faint, agreed.to_owned()),
        ]);
    }
    let mut text = table.render(paint);
    text.push_str(&held(&page.name, &page.inventory, paint));
    text
}

/// That the brake is on, and the way out.
fn held(name: &str, inventory: &InventoryState, paint: Painter) -> String {
    if !inventory.held {
        return String::new();
    }
    let name = one_line(name);
    let (stopped, hint) = (
        paint.paint(Style::Bad, "held:"),
        paint.paint(Style::Warning, "hint:"),
    );
    format!(
        "{stopped} {} machines of {name} vanished at once; nothing is begun there\n{hint} `enginehouse hypervisors missing {name}` lists them; `--confirm` agrees that they may be gone\n",
        inventory.absent
    )
}

fn listing(page: &MachinePage, paint: Painter) -> String {
    let name = one_line(&page.name);
    let mut text = match (&page.inventory.listed_at, page.machines.len()) {
        (None, _) => {
            let hint = paint.paint(Style::Warning, "hint:");
            format!(
                "{name} was not looked at since the host started\n{hint} `enginehouse hypervisors refresh {name}` does it now\n"
            )
        }
        (Some(at), 0) => format!("no machines ({})\n", date_time(*at)),
        (Some(at), _) => table(page, *at, paint),
    };
    text.push_str(&gaps(&page.name, &page.inventory, paint));
    text.push_str(&held(&page.name, &page.inventory, paint));
    if let Some(problem) = &page.inventory.problem {
        let problem = format!("{}: {}", problem.code, one_line(&problem.message));
        let bad = paint.paint(Style::Bad, "last look failed:");
        text.push_str(&format!("{bad} {problem}\n"));
    }
    text
}

fn table(page: &MachinePage, listed_at: Timestamp, paint: Painter) -> String {
    let mut table = Table::with_header(&[
        "ID", "NAME", "POWER", "HOST", "WHOSE", "LISTED", "READ", "PROBLEM",
    ]);
    for machine in &page.machines {
        let problem = machine.problem.clone().unwrap_or_default();
        table.row([
            (Style::Plain, machine.id.clone()),
            (Style::Plain, machine.name.clone().unwrap_or_default()),
            (Style::Plain, power(machine.power).to_owned()),
            (Style::Plain, machine.host.clone().unwrap_or_default()),
            whose(machine),
            (Style::Faint, date_time(machine.listed_at)),
            (
                Style::Faint,
                machine.read_at.map_or_else(String::new, date_time),
            ),
            (Style::Warning, problem),
        ]);
    }
    let mut text = table.render(paint);
    let line = format!(
        "{} machines, listed {}; {} read in full",
        page.machines.len(),
        date_time(listed_at),
        page.inventory.read
    );
    text.push_str(&format!("{}\n", paint.paint(Style::Faint, &line)));
    text
}

fn whose(machine: &FoundMachine) -> (Style, String) {
    let style = match machine.whose {
        Whose::Ours => Style::Good,
        Whose::Orphan => Style::Warning,
        Whose::Foreign | Whose::Template | Whose::Unread => Style::Plain,
    };
    let whose = machine.whose.as_str();
    match &machine.path {
        Some(path) => (style, format!("{whose} {path}")),
        None => (style, whose.to_owned()),
    }
}

fn power(power: PowerState) -> &'static str {
    match power {
        PowerState::Running => "running",
        PowerState::Stopped => "stopped",
        PowerState::Paused => "paused",
        PowerState::Unknown => "unknown",
    }
}
