//! `tree`: folders and machines at a glance.

use clap::Args;
use enginehouse_api::{Client, NodeKind, Status, TreeNode};
use enginehouse_model::FullName;

use crate::error::CommandError;
use crate::output::Output;
use crate::style::{Painter, Style};
use crate::table::Table;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enginehouse tree
  enginehouse tree /web --depth 1")]
pub struct TreeArgs {
    /// Where to begin
    #[arg(default_value = "/")]
    path: FullName,
    /// How many levels below it
    #[arg(long, value_name = "LEVELS")]
    depth: Option<u32>,
}

pub async fn tree(client: &Client, args: TreeArgs, output: &Output) -> Result<(), CommandError> {
    let tree = client.tree(&args.path, args.depth).await?;
    output.answer(&tree, |paint| render(&tree, paint))
}

/// The tree as text.
#[must_use]
pub fn render(root: &TreeNode, paint: Painter) -> String {
    let mut table = Table::new();
    row(&mut table, root, root.full_name.to_string());
    below(&mut table, root, "");
    table.render(paint)
}

fn below(table: &mut Table, node: &TreeNode, indent: &str) {
    let last = node.children.len().saturating_sub(1);
    for (at, child) in node.children.iter().enumerate() {
        let (branch, deeper) = if at == last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let slash = match child.kind {
            NodeKind::Folder => "/",
            NodeKind::Descriptor => "",
        };
        let name = child.full_name.name();
        row(table, child, format!("{indent}{branch}{name}{slash}"));
        below(table, child, &format!("{indent}{deeper}"));
    }
}

fn row(table: &mut Table, node: &TreeNode, name: String) {
    let status = match node.status {
        Some(status) => (status_style(status), status.to_string()),
        None => (Style::Plain, String::new()),
    };
    let machine = match (&node.machine_id, &node.hypervisor, node.kind) {
        (Some(id), Some(hypervisor), _) => format!("{hypervisor} {id}"),
        (Some(id), None, _) => id.clone(),
        (None, Some(hypervisor), NodeKind::Descriptor) => hypervisor.clone(),
        (None, Some(_), NodeKind::Folder) | (None, None, _) => String::new(),
    };
    let (style, note) = note(node);
    table.row([
        (Style::Plain, name),
        status,
        (Style::Plain, machine),
        (style, note),
    ]);
}

/// The colour of a status.
#[must_use]
pub fn status_style(status: Status) -> Style {
    match status {
        Status::Provisioned => Style::Plain,
        Status::Deployed => Style::Good,
        Status::Unreachable => Style::Bad,
    }
}

fn note(node: &TreeNode) -> (Style, String) {
    let mut notes = Vec::new();
    if let Some(number) = node.busy {
        notes.push(format!("operation {number} works on it"));
    }
    if node.pending_change {
        notes.push("pending change".to_owned());
    }
    if node.drifted {
        notes.push("drift".to_owned());
    }
    if node.paused {
        notes.push("paused".to_owned());
    }
    if let Some(error) = &node.last_error {
        notes.push(format!("error: {error}"));
    }
    if node.cut {
        notes.push("…".to_owned());
    }
    if node.way {
        notes.push("only what you may read".to_owned());
    }
    let style = if node.last_error.is_some() {
        Style::Bad
    } else if node.pending_change || node.drifted {
        Style::Warning
    } else {
        Style::Faint
    };
    (style, notes.join("; "))
}
