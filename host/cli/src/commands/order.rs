//! What all orders have in common: send, watch, say how it ended.

use clap::Args;
use enginehouse_api::{
    Client, Operation, OperationKind, OperationRequest, OperationState, Params, routes,
};
use enginehouse_model::FullName;

use crate::confirm::{agreed_after, confirmed};
use crate::error::CommandError;
use crate::follow::follow;
use crate::operation_text;
use crate::output::Output;
use crate::preview_text;

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Do not wait for the end: print the operation's number and return
    #[arg(long)]
    pub no_wait: bool,
}

/// A yes to what protects machines being less afterwards.
#[derive(Clone, Copy, Debug, Args)]
pub struct LoweringArgs {
    /// Do it also where machines are less protected afterwards: `protect`, `policy`, `follow`,
    /// `approvals` or `destruction_limit` let more happen. It is written into the audit log
    #[arg(long = "lower-protection")]
    pub confirmed: bool,
}

/// A yes to what is gone afterwards.
#[derive(Clone, Copy, Debug, Args)]
pub struct YesArgs {
    /// Do not ask before something is destroyed
    #[arg(long, short)]
    pub yes: bool,
}

/// An order, ready to be sent.
pub struct Order {
    pub request: OperationRequest,
    /// Refuse it when the node has another revision.
    pub revision: Option<u64>,
}

impl Order {
    pub fn new(kind: OperationKind, path: FullName, params: Params) -> Self {
        Self {
            request: OperationRequest { kind, path, params },
            revision: None,
        }
    }

    /// Shows what it would change; nothing is changed.
    ///
    /// # Errors
    /// When the order would be refused.
    pub async fn preview(
        self,
        client: &Client,
        most: u32,
        output: &Output,
    ) -> Result<(), CommandError> {
        // Who reads JSON wants all there is, not what fits on a page.
        let most = (!output.is_json()).then_some(most);
        let most = most.unwrap_or(routes::PAGE_MAX);
        let preview = client.preview(&self.request, Some(most)).await?;
        output.answer(&preview, |paint| preview_text::render(&preview, paint))
    }

    /// Sends it, watches it, says how it ended.
    ///
    /// # Errors
    /// When it is refused, or the operation ends otherwise than well.
    pub async fn carry_out(
        self,
        client: &Client,
        args: &OrderArgs,
        output: &Output,
    ) -> Result<(), CommandError> {
        let operation = client.order(&self.request, None, self.revision).await?;
        told(client, operation, args, output).await
    }

    /// The same of one that may destroy something: where the server will not do it without a yes, the
    /// person sees the plan and is asked.
    ///
    /// # Errors
    /// As above, and when there is no yes.
    pub async fn carry_out_agreed(
        mut self,
        client: &Client,
        args: &OrderArgs,
        output: &Output,
    ) -> Result<(), CommandError> {
        let operation = match client.order(&self.request, None, self.revision).await {
            Ok(operation) => operation,
            Err(refused) => {
                self.request.params = agreed_after(client, output, &self.request, refused).await?;
                return self.carry_out(client, args, output).await;
            }
        };
        told(client, operation, args, output).await
    }

    /// Puts the person's yes into the parameters.
    ///
    /// # Errors
    /// When there is none.
    pub async fn confirm(
        &mut self,
        client: &Client,
        yes: bool,
        output: &Output,
    ) -> Result<(), CommandError> {
        let OperationRequest { kind, path, params } = &mut self.request;
        let asked = std::mem::take(params);
        *params = confirmed(client, output, *kind, path, asked, yes).await?;
        Ok(())
    }
}

async fn told(
    client: &Client,
    operation: Operation,
    args: &OrderArgs,
    output: &Output,
) -> Result<(), CommandError> {
    if args.no_wait && !operation.state.has_ended() {
        return output.answer(&operation, |_| operation.number.to_string());
    }
    let operation = follow(client, operation, output, None).await?;
    finish(operation, output)
}

/// The operation once it is over; as it is, where nobody waits for it.
///
/// # Errors
/// When the server is lost on the way.
pub async fn watched(
    client: &Client,
    operation: Operation,
    args: &OrderArgs,
    output: &Output,
) -> Result<Operation, CommandError> {
    match operation.state.has_ended() || args.no_wait {
        true => Ok(operation),
        false => follow(client, operation, output, None).await,
    }
}

/// # Errors
/// When it is over and did not end well, or should be over and waits for a person.
pub fn ended_well(operation: Option<Operation>, args: &OrderArgs) -> Result<(), CommandError> {
    match operation {
        Some(operation)
            if operation.state != OperationState::Succeeded
                && (operation.state.has_ended() || !args.no_wait) =>
        {
            Err(CommandError::Operation(Box::new(operation)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Says how it ended.
///
/// # Errors
/// When it did not end well: the operation, for the error's text and the exit code.
pub fn finish(operation: Operation, output: &Output) -> Result<(), CommandError> {
    let well = operation.state == OperationState::Succeeded;
    output.answer(&operation, |paint| {
        if well {
            operation_text::success(&operation, paint)
        } else {
            operation_text::children(&operation, paint)
        }
    })?;
    if well {
        Ok(())
    } else {
        Err(CommandError::Operation(Box::new(operation)))
    }
}
