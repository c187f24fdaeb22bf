//! `plan`: what a command would do.

use clap::Args;
use enginehouse_api::{Client, OperationKind, Params, Plan, PlanRequest};
use enginehouse_model::{FullName, OperationId};

use super::machine::WaveArgs;
use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, clean};
use crate::time::span;

/// Machines of a wave that are named.
const NAMED: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse plan /web                              what `deploy /web` would do
  enginehouse plan /web/vm1 --undeploy
  enginehouse plan /web --reconfigure                what its pending changes come to
  enginehouse plan / --reconfigure --limit 0         of every machine

A plan stands below its folders, machine by machine: what would be done, from what to what, why it
differs (drift: changed behind our back; pending: the definition was changed), and where the wanted
value is written. With --output json it has all machines.")]
pub struct PlanArgs {
    /// A machine, or a folder
    path: FullName,
    #[command(flatten)]
    kind: KindArgs,
    /// With --undeploy: leave all disks
    #[arg(long, requires = "undeploy")]
    keep_disks: bool,
    /// With --rollback: to the config that this operation left
    #[arg(long, requires = "rollback", value_name = "NUMBER")]
    to: Option<OperationId>,
    /// With --rollback: take back what this operation changed
    #[arg(
        long,
        requires = "rollback",
        conflicts_with = "to",
        value_name = "NUMBER"
    )]
    of: Option<OperationId>,
    #[command(flatten)]
    waves: WaveArgs,
    /// Machines to describe, those with the heaviest changes before the others; 0: all. The rest is
    /// counted
    #[arg(long, value_name = "NUMBER", default_value_t = PLANNED)]
    limit: u32,
    /// Read each machine now, instead of resting on what was seen within the last day
    #[arg(long)]
    refresh: bool,
}

/// How many machines of a plan are described where nobody says.
pub const PLANNED: u32 = 50;

/// Of which command; `deploy` if none is named.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct KindArgs {
    /// Of `deploy` (the default)
    #[arg(long)]
    deploy: bool,
    /// Of `undeploy`
    #[arg(long)]
    undeploy: bool,
    /// Of `reconfigure`
    #[arg(long)]
    reconfigure: bool,
    /// Of `start`
    #[arg(long)]
    start: bool,
    /// Of `stop`
    #[arg(long)]
    stop: bool,
    /// Of `restart`
    #[arg(long)]
    restart: bool,
    /// Of `rollback`
    #[arg(long)]
    rollback: bool,
}

impl KindArgs {
    fn kind(&self) -> OperationKind {
        let named = [
            (self.undeploy, OperationKind::Undeploy),
            (self.reconfigure, OperationKind::Reconfigure),
            (self.start, OperationKind::Start),
            (self.stop, OperationKind::Stop),
            (self.restart, OperationKind::Restart),
            (self.rollback, OperationKind::Rollback),
        ];
        let named = named.into_iter().find(|(given, _)| *given);
        named.map_or(OperationKind::Deploy, |(_, kind)| kind)
    }
}

pub async fn plan(client: &Client, args: PlanArgs, output: &Output) -> Result<(), CommandError> {
    let mut params = Params {
        keep_disks: args.keep_disks,
        to_operation: args.to,
        of_operation: args.of,
        ..Params::default()
    };
    args.waves.add_to(&mut params);
    let request = PlanRequest {
        kind: args.kind.kind(),
        path: args.path,
        params,
        limit: (args.limit > 0).then_some(args.limit),
        refresh: args.refresh,
    };
    show_plan(client, request, output).await
}

/// Makes a plan and shows it.
///
/// # Errors
/// When there can be none.
pub async fn show_plan(
    client: &Client,
    mut request: PlanRequest,
    output: &Output,
) -> Result<(), CommandError> {
    // Who reads JSON wants all there is, not what fits on a page.
    request.limit = request.limit.filter(|_| !output.is_json());
    let plan = client.plan(&request).await?;
    output.answer(&plan, |paint| text(&plan, paint))
}

/// The waves, in the order in which they are begun.
fn waves(plan: &Plan) -> String {
    if plan.waves.len() < 2 {
        return String::new();
    }
    let mut text = format!(
        "in {} waves, and nothing more is begun after {}\n",
        plan.waves.len(),
        match plan.max_failures {
            None | Some(1) => "a failure".to_owned(),
            Some(failures) => format!("{failures} failures"),
        }
    );
    for (at, machines) in plan.waves.iter().enumerate() {
        let named: Vec<String> = machines
            .iter()
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        let more = match machines.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        text.push_str(&format!("  {}  {}{more}\n", at + 1, named.join(", ")));
    }
    text
}

/// The plan's own text, and the id by which it is stored.
fn text(plan: &Plan, paint: Painter) -> String {
    let id = paint.paint(Style::Faint, &format!("plan {}", plan.id));
    let waves = waves(plan);
    let kept = plan
        .machines
        .iter()
        .filter_map(|machine| machine.observed_at);
    let age = match (kept.clone().count(), kept.min()) {
        (machines, Some(oldest)) => {
            let ago = span(plan.made_at.since(oldest));
            let said = format!(
                "{machines} of {} machines were read before, up to {ago} ago",
                plan.machines.len()
            );
            let hint = paint.paint(Style::Warning, "hint:");
            format!("{said}\n{hint} `--refresh` reads each of them now\n")
        }
        (_, None) => String::new(),
    };
    format!(
        "{}\n{}{age}{id}\n",
        clean(plan.text.trim_end()),
        clean(&waves)
    )
}
