//! A person's yes to what destroys.

use std::io::{self, BufRead, IsTerminal, Write};

use enginehouse_api::{
    Client, ClientError, ErrorCode, OperationKind, OperationRequest, Params, Plan, PlanRequest,
};
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
    let path = path.clone();
    let request = OperationRequest { kind, path, params };
    let plan = client.plan(&planned(&request)).await?;
    if plan.counts.destroys() {
        yes_to(&plan, output)?;
    }
    Ok(agreed)
}

/// Asks about an order that the server has not taken for want of a yes: shows its plan. Any other refusal
/// is handed back as it is.
///
/// # Errors
/// The refusal, where it is about something else, or where there is no terminal to ask on: it says what
/// goes, and the way out. Else as above.
pub async fn agreed_after(
    client: &Client,
    output: &Output,
    request: &OperationRequest,
    refused: ClientError,
) -> Result<Params, CommandError> {
    let needs_a_yes = matches!(
        &refused,
        ClientError::Refused(problem) if problem.code == ErrorCode::NeedsConfirmation
    );
    if !needs_a_yes || request.params.confirm_destructive || !io::stdin().is_terminal() {
        return Err(refused.into());
    }
    let plan = client.plan(&planned(request)).await?;
    if !plan.counts.destroys() {
        return Err(refused.into());
    }
    yes_to(&plan, output)?;
    Ok(Params {
        confirm_destructive: true,
        ..request.params.clone()
    })
}

/// Asks about what a `rollback` destroys. Where nobody can say that yet, nobody is asked: without a
/// yes the host does not do it either.
///
/// # Errors
/// When it destroys something and there is no terminal to ask on, or the person says anything but yes.
pub async fn agreed_before(
    client: &Client,
    output: &Output,
    request: &OperationRequest,
) -> Result<Params, CommandError> {
    let params = request.params.clone();
    let Ok(plan) = client.plan(&planned(request)).await else {
        return Ok(params);
    };
    if !plan.counts.destroys() {
        return Ok(params);
    }
    if !io::stdin().is_terminal() {
        return Err(CommandError::NobodyToAsk {
            what: request.kind.as_str(),
            path: request.path.clone(),
        });
    }
    yes_to(&plan, output)?;
    Ok(Params {
        confirm_destructive: true,
        ..params
    })
}

/// What is agreed to is what is there.
fn planned(request: &OperationRequest) -> PlanRequest {
    PlanRequest {
        kind: request.kind,
        path: request.path.clone(),
        params: request.params.clone(),
        limit: Some(PLANNED),
        refresh: true,
    }
}

fn yes_to(plan: &Plan, output: &Output) -> Result<(), CommandError> {
    output.note(clean(plan.text.trim_end()).as_ref());
    match ask("Do it? [y/N] ")? {
        true => Ok(()),
        false => Err(CommandError::Declined),
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
