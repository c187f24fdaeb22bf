//! The `once` request of a step: journalled before it leaves, and again when it is answered.
//!
//! It runs in a task of its own. A guest that traps or runs out of time takes nothing with it: the
//! answer still reaches the journal, and the step that runs once more is handed it from there.
//!
//! The order is the guarantee. `begin` is on disk before a byte leaves, so a crash after it finds a
//! row without an answer and settles. `answered` is on disk before the guest sees the answer, so
//! what a guest decided on is what a second run will see.

use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Code, Problem, Sent, TaskEnd};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Connection;
use super::exchange::{Prepared, Reporting, SendError};
use crate::error::OnceState;
use crate::occasion::{Begun, JournalError, OnceEnd, OnceJournal, OnceRequest, StoredResponse};

/// How a `once` request ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OnceResult {
    Answered(StoredResponse),
    NotSent(Problem),
    Lost(Problem),
    /// The journal has another request for this step.
    Differs {
        journalled: String,
        now: String,
    },
    /// The journal cannot be written, or says no. Nothing was sent.
    Refused(JournalError),
    /// It was sent, and the journal could not take what became of it.
    NotJournalled(JournalError),
}

impl OnceResult {
    pub(crate) fn state(&self) -> OnceState {
        match self {
            Self::Answered(_) | Self::Differs { .. } => OnceState::Answered,
            Self::NotSent(_) | Self::Refused(_) => OnceState::NotSent,
            Self::Lost(_) | Self::NotJournalled(_) => OnceState::Lost,
        }
    }
}

/// The one `once` request that a call of `run` may send.
#[derive(Clone)]
pub(crate) struct OnceSlot(watch::Receiver<Option<OnceResult>>);

impl OnceSlot {
    /// Journals and sends the request, whatever becomes of the caller.
    pub(crate) fn start(
        connection: Arc<Connection>,
        journal: Arc<dyn OnceJournal>,
        prepared: Prepared,
        after: Option<TaskEnd>,
        reporting: Reporting,
    ) -> Self {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let result = perform(&connection, &*journal, &prepared, after, &reporting).await;
            // Nobody listens when the caller's task was dropped; the journal has it.
            let _ = sender.send(Some(result));
        });
        Self(receiver)
    }

    /// Waits for the end, which the request's timeout bounds.
    pub(crate) async fn result(&mut self) -> OnceResult {
        let lost = || {
            OnceResult::Lost(Problem::new(
                Code::Unreachable,
                "the host lost track of the request",
            ))
        };
        match self.0.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or_else(lost),
            // The task panicked.
            Err(_) => lost(),
        }
    }
}

async fn perform(
    connection: &Connection,
    journal: &dyn OnceJournal,
    prepared: &Prepared,
    after: Option<TaskEnd>,
    reporting: &Reporting,
) -> OnceResult {
    // Reserved before the journal is asked, so that the deadline it is told counts from the request's
    // turn. A request that was answered already is not sent: no turn is too far off for that.
    let turn = connection.turn();
    let began = Instant::now();
    let at = reporting.clock.now();
    let timeout = prepared.timeout + turn.as_ref().copied().unwrap_or_default();
    let request = OnceRequest {
        sent: Sent {
            endpoint: prepared.endpoint.clone(),
            method: prepared.method.to_string(),
            path: connection.redactor.document_text(&prepared.path),
            at: at.0,
            deadline: at.plus_ms(millis(timeout)).0,
            after,
            lost: false,
        },
        digest: prepared.digest(),
    };
    match journal.begin(&request).await {
        Ok(Begun::Send) => {}
        Ok(Begun::Replay {
            request: journalled,
            response,
        }) => {
            if journalled.digest != request.digest {
                let line = |request: &OnceRequest| {
                    let text = format!("{} {}", request.sent.method, request.sent.path);
                    connection.redactor.text(&text)
                };
                return OnceResult::Differs {
                    journalled: line(&journalled),
                    now: line(&request),
                };
            }
            connection.report(prepared, reporting, began, Ok(response.status), true);
            return OnceResult::Answered(response);
        }
        Ok(Begun::Refuse(reason)) => return OnceResult::Refused(JournalError(reason)),
        Err(error) => return OnceResult::Refused(error),
    }
    // What the journal says of the deadline counts from before it was written.
    let result = match turn {
        Ok(wait) => {
            tokio::time::sleep(wait).await;
            send(connection, prepared, began + timeout, reporting).await
        }
        Err(busy) => Err(SendError::NotSent(busy)),
    };
    let (end, answer) = match &result {
        Ok(response) => (OnceEnd::Answered(response.clone()), Ok(response.status)),
        Err(error) => {
            let text = connection.redactor.text(&error.clone().problem().message);
            let end = match error {
                SendError::NotSent(_) => OnceEnd::NotSent(text.clone()),
                SendError::Lost(_) => OnceEnd::Lost(text.clone()),
            };
            (end, Err(text))
        }
    };
    connection.report(prepared, reporting, began, answer, false);
    if let Err(error) = journal.answered(&end).await {
        return OnceResult::NotJournalled(error);
    }
    match result {
        Ok(response) => OnceResult::Answered(response),
        Err(SendError::NotSent(problem)) => OnceResult::NotSent(problem),
        Err(SendError::Lost(problem)) => OnceResult::Lost(problem),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn send(
    connection: &Connection,
    prepared: &Prepared,
    deadline: Instant,
    reporting: &Reporting,
) -> Result<StoredResponse, SendError> {
    let mut live = (connection.exchange_once(prepared, deadline, reporting)).await?;
    // The request arrived; but without its answer nobody knows what it did.
    let max = connection.spec.limits.once_answer_max;
    let (body, truncated) = live.read_all(max).await.map_err(SendError::Lost)?;
    let body = match String::from_utf8(body) {
        Ok(text) => connection.redactor.document_text(&text).into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let headers = (live.headers.iter())
        .map(|(name, value)| (name.clone(), connection.redactor.document_text(value)))
        .collect();
    Ok(StoredResponse {
        status: live.status,
        reason: connection.redactor.document_text(&live.reason),
        headers,
        body,
        truncated,
    })
}
