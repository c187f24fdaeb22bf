//! What waits for signatures.

use enginehouse_model::{FullName, OperationId};

use super::{Client, numbered};
use crate::{
    ApprovalPage, ApprovalRequest, ApproveRequest, ClientError, Operation, RefuseRequest, routes,
};

impl Client {
    /// What waits for approval, by number.
    pub async fn approvals(
        &self,
        path: Option<&FullName>,
        after: Option<OperationId>,
        limit: u32,
    ) -> Result<ApprovalPage, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(path.map(|path| ("path", path.to_string())));
        query.extend(after.map(|after| ("after", after.to_string())));
        self.get(routes::APPROVALS, &query).await
    }

    /// What is to be signed of an operation, or of all its parts.
    pub async fn approval(&self, number: OperationId) -> Result<ApprovalRequest, ClientError> {
        self.get(&numbered(routes::OPERATION_APPROVAL, number), &())
            .await
    }

    /// Hands in a signature.
    pub async fn approve(
        &self,
        number: OperationId,
        request: &ApproveRequest,
    ) -> Result<Operation, ClientError> {
        let path = numbered(routes::OPERATION_APPROVE, number);
        self.post(&path, request).await
    }

    /// Says no to what waits for approval.
    pub async fn refuse(
        &self,
        number: OperationId,
        request: &RefuseRequest,
    ) -> Result<Operation, ClientError> {
        let path = numbered(routes::OPERATION_REFUSE, number);
        self.post(&path, request).await
    }
}
