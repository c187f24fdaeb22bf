//! `folder create|remove|edit`.

use clap::{Args, Subcommand};
use enginehouse_api::{Client, OperationKind, Params};
use enginehouse_model::FullName;

use super::definition::{ChangeArgs, NewDefinition, SHOWN};
use super::order::{LoweringArgs, Order, OrderArgs};
use crate::error::CommandError;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub enum FolderCommand {
    /// Create a folder
    #[command(after_help = "\
Examples:
  enginehouse folder create /web
  enginehouse folder create /web use_hypervisor=pve1 memory=16GiB
  enginehouse folder create /web -f web.yaml")]
    Create(CreateArgs),
    /// Remove an empty folder
    Remove(RemoveArgs),
    /// Change a folder's definition; deployed machines below show a pending change
    #[command(after_help = "\
Examples:
  enginehouse folder edit /web memory=16GiB
  enginehouse folder edit / -f root.yaml")]
    Edit(EditArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The new folder; its parent must be there
    path: FullName,
    #[command(flatten)]
    definition: NewDefinition,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    path: FullName,
    #[command(flatten)]
    lowering: LoweringArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub struct EditArgs {
    path: FullName,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    order: OrderArgs,
}

pub async fn folder(
    client: &Client,
    command: FolderCommand,
    output: &Output,
) -> Result<(), CommandError> {
    match command {
        FolderCommand::Create(args) => {
            let params = args.definition.params()?;
            Order::new(OperationKind::CreateFolder, args.path, params)
                .carry_out(client, &args.order, output)
                .await
        }
        FolderCommand::Remove(args) => {
            let params = Params {
                confirm_lowered: args.lowering.confirmed,
                ..Params::default()
            };
            Order::new(OperationKind::RemoveFolder, args.path, params)
                .carry_out(client, &args.order, output)
                .await
        }
        FolderCommand::Edit(args) => {
            let params = args.changes.some_params()?;
            let mut order = Order::new(OperationKind::Edit, args.path, params);
            if args.changes.dry_run() {
                return order.preview(client, SHOWN, output).await;
            }
            order.revision = args.changes.revision();
            order.carry_out(client, &args.order, output).await
        }
    }
}
