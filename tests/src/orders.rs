//! Orders to a host, and their ends.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use enginehouse_api::{Operation, OperationKind, OperationRequest, Params};
use enginehouse_model::OperationId;

use crate::Host;

/// How long an operation may take, on a machine that has much else to do; nothing takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(240);
/// For how long one request waits for an end.
const WAIT: Duration = Duration::from_secs(20);

/// What a client sends to order something.
///
/// # Errors
/// When the path is none.
pub fn request(kind: OperationKind, path: &str, params: Params) -> Result<OperationRequest> {
    Ok(OperationRequest {
        kind,
        path: path.parse()?,
        params,
    })
}

impl Host {
    /// Orders something that is taken in.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn begin(
        &self,
        kind: OperationKind,
        path: &str,
        params: Params,
    ) -> Result<Operation> {
        let request = request(kind, path, params)?;
        Ok(self.client().order(&request, None, None).await?)
    }

    /// The operation once it has ended.
    ///
    /// # Errors
    /// When it takes too long; the message has the operation and the host's log.
    pub async fn ended(&self, number: OperationId) -> Result<Operation> {
        self.end(number, |operation| operation.state.has_ended())
            .await
    }

    /// The operation once it has ended, or needs a person.
    ///
    /// # Errors
    /// As [`Host::ended`].
    pub async fn stopped(&self, number: OperationId) -> Result<Operation> {
        self.end(number, |operation| {
            operation.state.has_ended() || operation.state.needs_person()
        })
        .await
    }

    async fn end(
        &self,
        number: OperationId,
        is_over: impl Fn(&Operation) -> bool,
    ) -> Result<Operation> {
        let began = Instant::now();
        loop {
            let operation = self.client().wait(number, WAIT).await?;
            if is_over(&operation) {
                return Ok(operation);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "operation {number} does not end: {operation:#?}\n{}",
                self.log()
            );
        }
    }
}
