//! Commands that write definitions: provision, edit, reconfigure.

use std::path::PathBuf;

use clap::Args;
use enginehouse_api::{Change, Client, OperationKind, Params, PlanRequest};
use enginehouse_model::FullName;

use super::machine::{FailureArgs, WaveArgs};
use super::order::{LoweringArgs, Order, OrderArgs, YesArgs};
use super::plan::{PLANNED, show_plan};
use crate::error::CommandError;
use crate::input::{parse_key, parse_set, read_definition};
use crate::output::Output;

/// Nodes that `--dry-run` shows.
pub const SHOWN: u32 = 20;

const KEYS: &str = "\
A key is a dotted path (disks.root.size; parts with dots in quotes). A value is text, unless it is
null (unsets what is inherited), true, false, a number, or YAML in [], {} or quotes. A password is
kept encrypted, but better not on the command line: {secret: NAME} (see `enginehouse secret`),
{env: NAME} and {file: PATH} name where the host finds it.";

#[derive(Debug, Args)]
#[command(after_help = format!("\
{KEYS}

Examples:
  enginehouse provision /web/vm1 base_image=debian-12 vcpu=2 memory=4GiB disks.root.size=20GiB
  enginehouse provision /web/vm1 -f vm1.yaml
  enginehouse provision /web/vm1 -f small.yaml memory=8GiB 'nics.lan={{network: vmbr0, vlan: 12}}'"))]
pub struct ProvisionArgs {
    /// Where in the tree; the folder must be there
    path: FullName,
    #[command(flatten)]
    definition: NewDefinition,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = format!("\
{KEYS}

Examples:
  enginehouse edit /web memory=16GiB
  enginehouse edit / -f root.yaml
  enginehouse edit /web/vm1 --unset memory"))]
pub struct EditArgs {
    /// A folder, or a machine that is not deployed
    path: FullName,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = format!("\
Without changes: brings the machine, or all deployed machines of a folder, to the definition; a folder's
in waves: one machine, then a tenth of all, then the rest. A failure stops it. Ordered again, it goes on;
`rollback FOLDER --of NUMBER` goes back. A disk or nic that is no longer defined is removed: the plan is
shown and asked about before that. Where there is nobody to ask, --yes is needed.

{KEYS}

Examples:
  enginehouse reconfigure /web/vm1 memory=8GiB vcpu=4
  enginehouse reconfigure /web/vm1 disks.root.size=40GiB
  enginehouse reconfigure /web/vm1 --unset disks.scratch --yes
  enginehouse reconfigure /web --dry-run            the plan, and its waves
  enginehouse reconfigure /web --waves 2,50%,rest --max-failures 3
  enginehouse reconfigure /web --waves rest         all at once"))]
pub struct ReconfigureArgs {
    /// A deployed machine, or a folder
    path: FullName,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    waves: WaveArgs,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    agreed: YesArgs,
    #[command(flatten)]
    order: OrderArgs,
}

/// A definition to begin with.
#[derive(Debug, Args)]
pub struct NewDefinition {
    /// File with the definition, YAML or JSON; `-` for standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Values, after those of the file
    #[arg(value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Changes of a definition.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// File with the whole new local definition, YAML or JSON; `-` for standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Remove a key from this node, so that what is inherited shows again
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Show what would change, here and below, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    lowering: LoweringArgs,
    /// Only if the node still has this revision (see `show`)
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// New values
    #[arg(value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl NewDefinition {
    /// # Errors
    /// When the file or a value cannot be read.
    pub fn params(&self) -> Result<Params, CommandError> {
        params(self.file.as_ref(), &[], &self.set)
    }
}

impl ChangeArgs {
    /// # Errors
    /// When the file, a key or a value cannot be read.
    pub fn params(&self) -> Result<Params, CommandError> {
        let params = params(self.file.as_ref(), &self.unset, &self.set)?;
        Ok(Params {
            confirm_lowered: self.lowering.confirmed,
            ..params
        })
    }

    /// # Errors
    /// As above, and when there is no change in it.
    pub fn some_params(&self) -> Result<Params, CommandError> {
        let params = self.params()?;
        if params.definition.is_none() && params.changes.is_empty() {
            Err(CommandError::NoChange)
        } else {
            Ok(params)
        }
    }

    /// The person only wants to see what would change.
    #[must_use]
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }
}

fn params(
    file: Option<&PathBuf>,
    unset: &[String],
    set: &[String],
) -> Result<Params, CommandError> {
    let definition = file.map(|path| read_definition(path)).transpose()?;
    let mut changes = Vec::new();
    for key in unset {
        let key = parse_key(key)?;
        changes.push(Change::Unset { key });
    }
    for text in set {
        changes.push(parse_set(text)?);
    }
    Ok(Params {
        definition,
        changes,
        ..Params::default()
    })
}

pub async fn provision(
    client: &Client,
    args: ProvisionArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let params = args.definition.params()?;
    Order::new(OperationKind::Provision, args.path, params)
        .carry_out(client, &args.order, output)
        .await
}

pub async fn edit(client: &Client, args: EditArgs, output: &Output) -> Result<(), CommandError> {
    let params = args.changes.some_params()?;
    let mut order = Order::new(OperationKind::Edit, args.path, params);
    if args.changes.dry_run() {
        return order.preview(client, SHOWN, output).await;
    }
    order.revision = args.changes.revision();
    order.carry_out(client, &args.order, output).await
}

pub async fn reconfigure(
    client: &Client,
    args: ReconfigureArgs,
    output: &Output,
) -> Result<(), CommandError> {
    if args.changes.dry_run() {
        let mut params = args.changes.params()?;
        if params.is_empty() {
            args.waves.add_to(&mut params);
            let request = PlanRequest {
                kind: OperationKind::Reconfigure,
                path: args.path,
                params,
                limit: Some(PLANNED),
                refresh: false,
            };
            return show_plan(client, request, output).await;
        }
        let order = Order::new(OperationKind::Reconfigure, args.path, params);
        return order.preview(client, SHOWN, output).await;
    }
    let mut params = Params {
        on_failure: args.failure.on_failure(),
        confirm_destructive: args.agreed.yes,
        ..args.changes.params()?
    };
    args.waves.add_to(&mut params);
    let mut order = Order::new(OperationKind::Reconfigure, args.path, params);
    order.revision = args.changes.revision();
    order.carry_out_agreed(client, &args.order, output).await
}
