//! `missing` and `link`: machines that are gone, and turn up again.

use clap::Args;
use enginehouse_api::{Client, LinkRequest, MissingNodeRequest, Relinked};
use enginehouse_model::FullName;

use crate::error::CommandError;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Only of a machine that cannot be reached. Nothing is asked of the hypervisor: its descriptor is
`provisioned` again, and its id stays in the history. Machines of which the hypervisor itself says that
they are not there become so without anybody.

Examples:
  enginehouse missing /web/vm1 --confirm")]
pub struct MissingArgs {
    /// The machine
    path: FullName,
    /// It is gone for good
    #[arg(long)]
    confirm: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
`show` says where a machine that was missing is there again. It is linked when id, mark and incarnation
are those of the one that was lost. What differs from what was deployed then shows as drift.

Examples:
  enginehouse link /web/vm1")]
pub struct LinkArgs {
    /// The machine
    path: FullName,
}

pub async fn missing(
    client: &Client,
    args: MissingArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let request = MissingNodeRequest {
        path: args.path,
        confirm: args.confirm,
    };
    let after = client.say_missing(&request).await?;
    output.answer(&after, |_| said(&after))
}

pub async fn link(client: &Client, args: LinkArgs, output: &Output) -> Result<(), CommandError> {
    let request = LinkRequest { path: args.path };
    let after = client.link(&request).await?;
    output.answer(&after, |_| said(&after))
}

fn said(after: &Relinked) -> String {
    let (path, status) = (&after.path, after.status);
    match &after.machine_id {
        Some(id) => format!("{path} is {status}, machine {id}\n"),
        None => format!("{path} is {status}\n"),
    }
}
