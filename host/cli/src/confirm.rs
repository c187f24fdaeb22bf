//! A person's yes to what destroys.

use std::io::{self, BufRead, IsTerminal, Write};

use enginehouse_api::{Client, OperationKind, OperationRequest, Params, PlanRequest};
use enginehouse_model::FullName;

use crate::commands::plan::PLANNED;
use crate::error::CommandError;
use crate::output::Output;
use crate::preview_text;
use crate::style::clean;

/// The parameters with the person's yes in them.
///
/// `yes`: it was said on the command line. Without it, the plan is shown and asked about; when it
/// destroys nothing, nobody is asked.
///
/// # Errors
/// When there is no terminal to ask on, or the person says anything but yes.
pub async fn confirmed(
    client: &Client,
    output: &Output,
    kind: OperationKind,
    path: &FullName,
    params: Params,
    yes: bool,
) -> Result<Params, CommandError> {
    let agreed = Params {
        confirm_destructive: true,
        ..params.clone()
    };
    if yes {
        return Ok(agreed);
    }
    if !io::stdin().is_terminal() {
        return Err(CommandError::NobodyToAsk {
            what: kind.as_str(),
            path: path.clone(),
        });
    }
    let request = PlanRequest {
        kind,
        path: path.clone(),
        params: params.clone(),
        limit: Some(PLANNED),
        // What is agreed to is what is there.
        refresh: true,
    };
    let plan = client.plan(&request).await?;
    if !plan.counts.destroys() {
        return Ok(agreed);
    }
    output.note(clean(plan.text.trim_end()).as_ref());
    if ask("Do it? [y/N] ")? {
        Ok(agreed)
    } else {
        Err(CommandError::Declined)
    }
}

/// Asks about what an order changes beside the node that it names; where it changes nothing, nobody
/// is asked.
///
/// # Errors
/// When there is no terminal to ask on, or the person says anything but yes.
pub async fn agreed_to(
    client: &Client,
    output: &Output,
    request: &OperationRequest,
    most: u32,
) -> Result<(), CommandError> {
    let preview = client.preview(request, Some(most)).await?;
    if !preview.counts.matters() {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(CommandError::NobodyToAskAbout {
            what: request.kind.as_str(),
            path: request.path.clone(),
            summary: preview_text::summary(&preview),
        });
    }
    // Asked on standard error, also where the answer goes elsewhere as JSON.
    eprint!("{}", preview_text::render(&preview, output.err()));
    if ask("Do it? [y/N] ")? {
        Ok(())
    } else {
        Err(CommandError::Declined)
    }
}

/// Asks whether to do what was just shown.
///
/// # Errors
/// `nobody` when there is no terminal to ask on.
pub fn ask_on_terminal(nobody: impl FnOnce() -> CommandError) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(nobody());
    }
    ask("Do it? [y/N] ")
}

fn ask(question: &str) -> Result<bool, CommandError> {
    let mut err = io::stderr().lock();
    write!(err, "{question}")
        .and_then(|()| err.flush())
        .map_err(CommandError::Ask)?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(CommandError::Ask)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
