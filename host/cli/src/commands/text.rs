//! `export`, `import` and `schema`: the tree as a directory of YAML files.

use std::path::PathBuf;

use clap::Args;
use enginehouse_api::{Client, ImportRequest};
use enginehouse_model::FullName;
use serde_json::json;

use super::order::{LoweringArgs, OrderArgs, ended_well, watched};
use crate::confirm::ask_on_terminal;
use crate::error::CommandError;
use crate::export_files::write_files;
use crate::import_text;
use crate::input::read_directory;
use crate::output::Output;

/// More files than this take long enough to say what is going on.
const MANY: usize = 1_000;

#[derive(Debug, Args)]
#[command(after_help = "\
A folder is a directory with its definition in _folder.yaml, a machine vm1 is vm1.yaml. Files that say
what the tree says are not touched, so their comments stay. Passwords are references, never text.

Examples:
  enginehouse export infra
  enginehouse export infra/web --path /web
  enginehouse export infra --prune-files && git -C infra diff")]
pub struct ExportArgs {
    /// Directory for the files; it is made if it is not there
    dir: PathBuf,
    /// Folder to export, with all below it
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: FullName,
    /// Remove files of earlier exports that this one does not have; other files are never removed
    #[arg(long)]
    prune_files: bool,
    /// Overwrite files that no export wrote, and those that say the same in other words
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Either everything is imported, or nothing is changed and every error is said with its file, line and
column. Folders and machines that are not deployed get their definitions at once; deployed machines are
reconfigured. What is in no file stays, unless --prune is said.

Examples:
  enginehouse import infra --dry-run
  enginehouse import infra
  enginehouse import infra/web --into /lab/web
  enginehouse import infra --prune --yes")]
pub struct ImportArgs {
    /// Directory with the files
    dir: PathBuf,
    /// Folder that the files are about
    #[arg(long, value_name = "PATH", default_value = "/")]
    into: FullName,
    /// Change nothing; show the difference, and what it means for machines
    #[arg(long)]
    dry_run: bool,
    /// Remove machines that are not deployed and folders that are in no file
    #[arg(long)]
    prune: bool,
    /// Refuse the import when a deployed machine would have to be reconfigured
    #[arg(long)]
    no_reconfigure: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    lowering: LoweringArgs,
    #[command(flatten)]
    order: OrderArgs,
}

/// # Errors
/// When the folder cannot be read, or a file not be written.
pub async fn export(
    client: &Client,
    args: ExportArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let export = client.export(&args.path).await?;
    let outcome = write_files(&args.dir, &export.files, args.prune_files, args.force)?;
    let answer = json!({
        "path": export.path,
        "directory": args.dir.display().to_string(),
        "written": outcome.written,
        "unchanged": outcome.unchanged,
        "stale": outcome.stale,
        "pruned": args.prune_files,
    });
    output.answer(&answer, |_| {
        let mut text = format!(
            "exported {} to {}: {} files written, {} unchanged",
            export.path,
            args.dir.display(),
            outcome.written,
            outcome.unchanged
        );
        if args.prune_files && outcome.stale > 0 {
            text.push_str(&format!(", {} removed", outcome.stale));
        }
        text
    })?;
    if outcome.stale > 0 && !args.prune_files {
        output.note(&format!(
            "note: {} files of earlier exports are not in this one, and an import would bring them back; --prune-files removes them",
            outcome.stale
        ));
    }
    Ok(())
}

/// # Errors
/// When the files cannot be read, the import is refused, or a machine is not reconfigured.
pub async fn import(
    client: &Client,
    args: ImportArgs,
    output: &Output,
) -> Result<(), CommandError> {
    let found = read_directory(&args.dir)?;
    if found.files.len() > MANY {
        output.note(&format!("importing {} files", found.files.len()));
    }
    let mut request = ImportRequest {
        path: args.into,
        files: found.files,
        prune: args.prune,
        dry_run: args.dry_run || !args.yes,
        no_reconfigure: args.no_reconfigure,
        confirm_lowered: args.lowering.confirmed,
        confirm_destructive: args.yes,
        digest: None,
    };
    let mut answer = client.import(&request).await?;
    answer.ignored += found.ignored;
    if args.dry_run {
        return output.answer(&answer, |paint| import_text::difference(&answer, paint));
    }
    if !args.yes {
        if import_text::needs_a_yes(&answer) {
            output.note(&import_text::difference(&answer, output.err()));
            if !ask_on_terminal(|| CommandError::ImportNeedsYes(request.path.clone()))? {
                return Err(CommandError::Declined);
            }
            request.confirm_destructive = true;
        }
        request.dry_run = false;
        request.digest = Some(answer.digest);
        answer = client.import(&request).await?;
        answer.ignored += found.ignored;
    }
    // Machines are reconfigured after the import itself is done.
    if let Some(operation) = answer.operation.take() {
        answer.operation = Some(watched(client, operation, &args.order, output).await?);
    }
    output.answer(&answer, |_| import_text::summary(&answer))?;
    ended_well(answer.operation, &args.order)
}

/// Prints the JSON Schema of a definition.
///
/// # Errors
/// When it cannot be written.
pub fn schema(output: &Output) -> Result<(), CommandError> {
    output.text(&format!("{:#}", enginehouse_text::definition_schema()))
}
