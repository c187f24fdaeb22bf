//! `plan`: what a command would do.

use clap::Args;
use enginehouse_api::{ClassCounts, Client, OperationKind, Params, Plan, PlanRequest};
use enginehouse_model::FullName;

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style, clean};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse plan /web                              what `deploy /web` would do
  enginehouse plan /web/vm1 --undeploy
  enginehouse plan /web --reconfigure                what its pending changes come to")]
pub struct PlanArgs {
    /// A machine, or a folder
    path: FullName,
    #[command(flatten)]
    kind: KindArgs,
    /// With --undeploy: leave all disks
    #[arg(long, requires = "undeploy")]
    keep_disks: bool,
}

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
}

impl KindArgs {
    fn kind(&self) -> OperationKind {
        let named = [
            (self.undeploy, OperationKind::Undeploy),
            (self.reconfigure, OperationKind::Reconfigure),
            (self.start, OperationKind::Start),
            (self.stop, OperationKind::Stop),
            (self.restart, OperationKind::Restart),
        ];
        let named = named.into_iter().find(|(given, _)| *given);
        named.map_or(OperationKind::Deploy, |(_, kind)| kind)
    }
}

pub async fn plan(client: &Client, args: PlanArgs, output: &Output) -> Result<(), CommandError> {
    let params = Params {
        keep_disks: args.keep_disks,
        ..Params::default()
    };
    let request = PlanRequest {
        kind: args.kind.kind(),
        path: args.path,
        params,
    };
    let plan = client.plan(&request).await?;
    output.answer(&plan, |paint| text(&plan, paint))
}

fn text(plan: &Plan, paint: Painter) -> String {
    let mut text = clean(plan.text.trim_end()).into_owned();
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!(
        "plan {}: {}\n",
        paint.paint(Style::Strong, &plan.id.0),
        counts(&plan.counts, paint)
    ));
    text
}

/// `2 benign, 1 destructive`
fn counts(counts: &ClassCounts, paint: Painter) -> String {
    let parts: Vec<String> = [
        (counts.benign, "benign", Style::Good),
        (counts.disruptive, "disruptive", Style::Warning),
        (counts.destructive, "destructive", Style::Bad),
        (counts.irreversible, "irreversible", Style::Bad),
    ]
    .into_iter()
    .filter(|(count, _, _)| *count > 0)
    .map(|(count, class, style)| paint.paint(style, &format!("{count} {class}")))
    .collect();
    if parts.is_empty() {
        "nothing to do".to_owned()
    } else {
        parts.join(", ")
    }
}
