//! `plan`: what a command would do.

use clap::Args;
use enginehouse_api::{Client, OperationKind, Params, Plan, PlanRequest};
use enginehouse_model::{FullName, OperationId};

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
    /// With --rollback: to the config that this operation left
    #[arg(long, requires = "rollback", value_name = "NUMBER")]
    to: Option<OperationId>,
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
    let params = Params {
        keep_disks: args.keep_disks,
        to_operation: args.to,
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

/// The plan's own text, and the id by which it is stored.
fn text(plan: &Plan, paint: Painter) -> String {
    let id = paint.paint(Style::Faint, &format!("plan {}", plan.id));
    format!("{}\n{id}\n", clean(plan.text.trim_end()))
}
