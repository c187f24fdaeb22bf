//! `hypervisors list|check|refresh|machines|missing`.

use clap::{Args, Subcommand};
use enginehouse_api::{CheckRequest, Client, Hypervisor, HypervisorCheck, HypervisorList};
use enginehouse_model::FullName;

use crate::commands::inventory::{self, MachinesArgs, MissingArgs, RefreshArgs};
use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, one_line};
use crate::table::Table;
use crate::time::span;

#[derive(Debug, Subcommand)]
pub enum HypervisorsCommand {
    /// List the hypervisors that the tree defines
    List(ListArgs),
    /// Ask hypervisors how they are: reachable, credentials, version
    #[command(after_help = "\
The exit code is 1 when one of them has a problem.

Examples:
  enginehouse hypervisors check
  enginehouse hypervisors check pve1")]
    Check(CheckArgs),
    /// Look at the machines of hypervisors now
    #[command(after_help = "\
Makes a list of the machines, and reads those in full that are new or have changed; with --full all
of them, which takes requests for each. Hypervisors with machines of the tree are looked at every
minute anyway: see docs/observation.md. The exit code is 1 when one of them could not be looked at.

Examples:
  enginehouse hypervisors refresh
  enginehouse hypervisors refresh pve1 --full")]
    Refresh(RefreshArgs),
    /// List the machines that were found on a hypervisor
    #[command(after_help = "\
Whose a machine is: `ours` (of the descriptor that is named), `orphan` (made here, and its descriptor
is gone), `foreign`, `template`, or `unread`: the list does not show marks, and it was not read in
full yet. `enginehouse hypervisors refresh NAME --full` reads them all.

Examples:
  enginehouse hypervisors machines pve1
  enginehouse hypervisors machines pve1 --whose orphan --output json")]
    Machines(MachinesArgs),
    /// List machines on record that are not found, or agree that they may be gone
    #[command(after_help = "\
When more than 10 machines and 5 % of a hypervisor vanish at once, nothing is concluded of that and
nothing is begun there, until they are there again or --confirm agrees that they may be gone. Then
those that two lists did not show, and of which the hypervisor itself says that they are not there,
are taken off the record: their descriptors are `provisioned` again. Nothing is created by itself.

Examples:
  enginehouse hypervisors missing pve1
  enginehouse hypervisors missing pve1 --confirm")]
    Missing(MissingArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those defined at this folder or below it
    #[arg(default_value = "/")]
    path: FullName,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Only those of this name
    name: Option<String>,
    /// Only those defined at this folder or below it
    #[arg(long, default_value = "/")]
    path: FullName,
}

pub async fn hypervisors(
    client: &Client,
    command: HypervisorsCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        HypervisorsCommand::List(args) => {
            let list = client.hypervisors(&args.path).await?;
            output.answer(&list, |paint| listing(&list, paint))
        }
        HypervisorsCommand::Check(args) => check(client, args, output).await,
        HypervisorsCommand::Refresh(args) => inventory::refresh(client, args, output).await,
        HypervisorsCommand::Missing(args) => inventory::missing(client, args, output).await,
        HypervisorsCommand::Machines(args) => inventory::machines(client, args, output).await,
    }
}

fn listing(list: &HypervisorList, paint: Painter) -> String {
    if list.hypervisors.is_empty() {
        return "no hypervisors\n".to_owned();
    }
    let mut table = Table::with_header(&[
        "NAME",
        "DEFINED AT",
        "TYPE",
        "HOST",
        "MACHINES",
        "LAST CHECK",
    ]);
    for hypervisor in &list.hypervisors {
        let last = match &hypervisor.last_check {
            Some(check) => verdict(check),
            None => (Style::Faint, "never".to_owned()),
        };
        table.row([
            (Style::Plain, hypervisor.name.clone()),
            (Style::Plain, defined_at(hypervisor)),
            (Style::Plain, hypervisor.engine.clone()),
            (Style::Plain, hypervisor.host.clone()),
            (Style::Plain, hypervisor.machines.to_string()),
            last,
        ]);
    }
    table.render(paint)
}

/// The node, or what it came from instead of people.
fn defined_at(hypervisor: &Hypervisor) -> String {
    let node = &hypervisor.defined_at;
    if hypervisor.from.is_empty() {
        node.to_string()
    } else {
        format!("{node} (from {})", hypervisor.from.join(", "))
    }
}

fn verdict(check: &HypervisorCheck) -> (Style, String) {
    match (&check.problem, &check.health) {
        (Some(problem), _) => (Style::Bad, format!("{}: {}", problem.code, problem.message)),
        (None, Some(health)) if health.warnings.is_empty() => {
            (Style::Good, format!("ok, {}", health.version))
        }
        (None, Some(health)) => (
            Style::Warning,
            format!("{}, {}", health.version, health.warnings.join("; ")),
        ),
        (None, None) => (Style::Faint, "no answer".to_owned()),
    }
}

async fn check(client: &Client, args: CheckArgs, output: &Output) -> Result<(), CommandError> {
    let request = CheckRequest {
        path: args.path,
        name: args.name,
    };
    let results = client.check(&request).await?;
    if results.checks.is_empty()
        && let Some(name) = request.name
    {
        return Err(CommandError::NoHypervisor { name });
    }
    output.answer(&results, |paint| checks(&results.checks, paint))?;
    let failed = results.checks.iter().filter(|check| check.health.is_none());
    match failed.count() {
        0 => Ok(()),
        failed => Err(CommandError::Unhealthy {
            failed,
            all: results.checks.len(),
        }),
    }
}

fn checks(checks: &[HypervisorCheck], paint: Painter) -> String {
    if checks.is_empty() {
        return "no hypervisors\n".to_owned();
    }
    let mut table = Table::new();
    for check in checks {
        let (style, text) = verdict(check);
        table.row([
            (
                Style::Plain,
                format!("{} ({})", check.name, check.defined_at),
            ),
            (Style::Plain, span(check.took_ms)),
            (style, text),
        ]);
    }
    let mut text = table.render(paint);
    for check in checks {
        let hint = check
            .problem
            .as_ref()
            .and_then(|problem| problem.hint.as_ref());
        if let Some(hint) = hint {
            text.push_str(&format!(
                "{} {}: {}\n",
                paint.paint(Style::Warning, "hint:"),
                one_line(&check.name),
                one_line(hint)
            ));
        }
    }
    text
}
