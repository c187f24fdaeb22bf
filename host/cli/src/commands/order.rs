//! What all orders have in common: send, watch, say how it ended.

use clap::Args;
use enginehouse_api::{
    Client, ClientError, ErrorCode, Operation, OperationKind, OperationRequest, OperationState,
    Params,
};
use enginehouse_model::FullName;

use crate::confirm::confirmed;
use crate::error::CommandError;
use crate::follow::follow;
use crate::operation_text;
use crate::output::Output;

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Do not wait for the end: print the operation's number and return
    #[arg(long)]
    pub no_wait: bool,
    /// Key of your choice: the same command repeated with it is the same operation
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
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
        let operation = self.send(client, args).await?;
        watch_to_the_end(client, operation, args, output).await
    }

    /// The same; when the server says that it destroys something, the person is asked.
    ///
    /// # Errors
    /// As above, and when the person does not agree.
    pub async fn carry_out_asking(
        mut self,
        client: &Client,
        args: &OrderArgs,
        yes: bool,
        output: &Output,
    ) -> Result<(), CommandError> {
        self.request.params.confirm_destructive = yes;
        let operation = match self.send(client, args).await {
            Err(CommandError::Client(ClientError::Refused(problem)))
                if problem.code == ErrorCode::NeedsConfirmation =>
            {
                self.confirm(client, yes, output).await?;
                self.send(client, args).await?
            }
            other => other?,
        };
        watch_to_the_end(client, operation, args, output).await
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

    async fn send(&self, client: &Client, args: &OrderArgs) -> Result<Operation, CommandError> {
        let key = args.idempotency_key.as_deref();
        Ok(client.order(&self.request, key, self.revision).await?)
    }
}

async fn watch_to_the_end(
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
