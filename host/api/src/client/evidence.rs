//! What was done, by whom: the executed log and the audit log.

use super::Client;
use crate::{
    AuditFilter, AuditHead, AuditPage, ClientError, ExecutedFilter, ExecutedPage, OperationKind,
    OperationState, routes,
};

impl Client {
    /// A page of the executed log.
    pub async fn executed(&self, filter: &ExecutedFilter) -> Result<ExecutedPage, ClientError> {
        let kind = filter.kind.map(OperationKind::as_str);
        let outcome = filter.outcome.map(OperationState::as_str);
        let query: Vec<(&str, String)> = [
            ("path", filter.path.as_ref().map(ToString::to_string)),
            ("who", filter.who.clone()),
            ("kind", kind.map(str::to_owned)),
            ("outcome", outcome.map(str::to_owned)),
            ("since", filter.since.map(|at| at.0.to_string())),
            ("until", filter.until.map(|at| at.0.to_string())),
            ("before", filter.before.clone()),
            ("limit", filter.limit.map(|limit| limit.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        self.get(routes::EXECUTED, &query).await
    }

    /// A page of the audit log.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<AuditPage, ClientError> {
        let query: Vec<(&str, String)> = [
            ("path", filter.path.as_ref().map(ToString::to_string)),
            ("who", filter.who.clone()),
            ("action", filter.action.clone()),
            (
                "operation",
                filter.operation.map(|number| number.to_string()),
            ),
            ("since", filter.since.map(|at| at.0.to_string())),
            ("until", filter.until.map(|at| at.0.to_string())),
            ("before", filter.before.map(|entry| entry.to_string())),
            ("after", filter.after.map(|entry| entry.to_string())),
            ("limit", filter.limit.map(|limit| limit.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        self.get(routes::AUDIT, &query).await
    }

    /// The newest entry of the audit log.
    pub async fn audit_head(&self) -> Result<AuditHead, ClientError> {
        self.get(routes::AUDIT_HEAD, &()).await
    }
}
