//! What remains of an ended operation: its line in the executed log, with its result.

use enginehouse_api::{Operation, OperationError, OperationResult};
use enginehouse_model::{FullName, OperationId, SecretName, Timestamp};
use enginehouse_store::{Document, ExecutedRow};
use serde::{Deserialize, Serialize};

/// Version of [`ResultDocument`].
const RESULT_VERSION: u16 = 1;

/// What a line of the log holds beside its columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ResultDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<FullName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

impl ResultDocument {
    pub(crate) fn of(view: &Operation) -> Self {
        Self {
            to: view.to.clone(),
            secret: view.secret.clone(),
            parent: view.parent,
            result: view.result.clone(),
            error: view.error.clone(),
        }
    }
}

/// The line of an operation that has ended like this.
pub(crate) fn line(view: &Operation, ended_at: Timestamp) -> ExecutedRow {
    let result = Document::of(RESULT_VERSION, &ResultDocument::of(view));
    let result = result
        .inspect_err(
            |error| tracing::error!(%error, operation = %view.number, "a result was not written"),
        )
        .ok();
    ExecutedRow {
        operation: view.number,
        kind: view.kind.as_str().to_owned(),
        node: view.node.map(|node| node.to_string()),
        targets: vec![view.path.to_string()],
        who: view.who.clone(),
        queued_at: view.queued_at,
        started_at: view.started_at,
        ended_at,
        outcome: view.state.as_str().to_owned(),
        message: message(view),
        result,
    }
}

/// The error, or else the warnings, in one line for people.
fn message(view: &Operation) -> Option<String> {
    if let Some(error) = &view.error {
        return Some(error.message.clone());
    }
    let warnings = &view.result.as_ref()?.warnings;
    (!warnings.is_empty()).then(|| warnings.join("; "))
}
