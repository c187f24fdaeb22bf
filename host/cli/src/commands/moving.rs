//! `move`, and its other name `rename`.

use clap::Args;
use enginehouse_api::{Client, OperationKind, Params};
use enginehouse_model::{FullName, NameError};

use super::order::{LoweringArgs, Order, OrderArgs};
use crate::confirm::agreed_to;
use crate::error::CommandError;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
What is below a folder moves with it. Nothing that is deployed moves: a machine has the name of its
descriptor. Where definitions, rights or pending changes would be others than before, they are shown
and asked about; where there is nobody to ask, --yes is needed.

Examples:
  enginehouse move /web/vm1 /web/vm2             another name
  enginehouse rename /web/vm1 vm2                the same
  enginehouse move /web/front /shop/front        another folder
  enginehouse move /web /shop --dry-run          only show what would change")]
pub struct MoveArgs {
    /// A folder, or a machine that is not deployed
    from: FullName,
    /// Its whole new name, as in /shop/front; a name alone stays in the same folder
    to: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Show what would change, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    lowering: LoweringArgs,
    /// Nodes, rights and machines to show of what would change
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    order: OrderArgs,
}

pub async fn moving(client: &Client, args: MoveArgs, output: &Output) -> Result<(), CommandError> {
    let to = destination(&args.from, &args.to)?;
    let params = Params {
        to: Some(to),
        confirm_lowered: args.lowering.confirmed,
        ..Params::default()
    };
    let order = Order::new(OperationKind::Move, args.from, params);
    if args.dry_run {
        return order.preview(client, args.limit, output).await;
    }
    if !args.yes {
        agreed_to(client, output, &order.request, args.limit).await?;
    }
    order.carry_out(client, &args.order, output).await
}

/// The new full name: as it stands, or beside the old one.
fn destination(from: &FullName, to: &str) -> Result<FullName, NameError> {
    if to.starts_with('/') {
        return to.parse();
    }
    let folder = from.parent().unwrap_or_else(FullName::root);
    folder.child(to).map_err(|source| NameError::Segment {
        name: to.chars().take(80).collect(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_stays_in_the_folder() {
        let to = |from: &str, to: &str| {
            destination(&from.parse().unwrap(), to)
                .map(|name| name.to_string())
                .map_err(|error| error.to_string())
        };
        assert_eq!(to("/web/vm1", "vm2"), Ok("/web/vm2".to_owned()));
        assert_eq!(to("/web/vm1", "/db/vm2"), Ok("/db/vm2".to_owned()));
        assert_eq!(to("/web", "shop"), Ok("/shop".to_owned()));
        for wrong in ["", "a/b", "..", "a b", "a\u{1b}[2J"] {
            assert!(to("/web/vm1", wrong).is_err(), "{wrong:?}");
        }
    }
}
