//! The tree: its nodes, what is drifted, and what comes into it by files and by adoption.

use enginehouse_model::FullName;
use reqwest::Method;
use serde::Serialize;

use super::{ANSWER, Client, IMPORT, REFRESH};
use crate::{
    AdoptionAnswer, AdoptionRequest, ClientError, DriftPage, Export, HistoryOf, HistoryPage,
    ImportAnswer, ImportRequest, LinkRequest, MissingNodeRequest, Node, OperationRequest,
    PauseRequest, PauseState, Plan, PlanId, PlanRequest, Preview, Relinked, TreeNode, routes,
};

impl Client {
    /// The tree from `path` down; `depth` levels of children, or all.
    pub async fn tree(&self, path: &FullName, depth: Option<u32>) -> Result<TreeNode, ClientError> {
        #[derive(Serialize)]
        struct Query<'a> {
            path: &'a FullName,
            #[serde(skip_serializing_if = "Option::is_none")]
            depth: Option<u32>,
        }
        self.get(routes::TREE, &Query { path, depth }).await
    }

    pub async fn node(&self, path: &FullName) -> Result<Node, ClientError> {
        self.get(routes::NODES, &[("path", path)]).await
    }

    /// What an order would change; nothing is changed. At most `limit` nodes are listed.
    pub async fn preview(
        &self,
        order: &OperationRequest,
        limit: Option<u32>,
    ) -> Result<Preview, ClientError> {
        let limit: Vec<(&str, u32)> = limit.map(|limit| ("limit", limit)).into_iter().collect();
        let request = self.request(Method::POST, routes::PREVIEWS, ANSWER)?;
        self.send(request.query(&limit).json(order)).await
    }

    /// A page of a node's history, newest first; only entries with a `seq` below `before`.
    pub async fn history(
        &self,
        of: &HistoryOf,
        before: Option<u64>,
        limit: Option<u32>,
    ) -> Result<HistoryPage, ClientError> {
        let mut query = match of {
            HistoryOf::Path(path) => vec![("path", path.to_string())],
            HistoryOf::Uid(uid) => vec![("uid", uid.to_string())],
        };
        query.extend(before.map(|before| ("before", before.to_string())));
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.get(routes::NODES_HISTORY, &query).await
    }

    /// A folder and all below it as files.
    pub async fn export(&self, path: &FullName) -> Result<Export, ClientError> {
        let request = self.request(Method::GET, routes::EXPORT, IMPORT)?;
        self.send(request.query(&[("path", path)])).await
    }

    /// Brings a folder to what files say, or says what that would change.
    pub async fn import(&self, import: &ImportRequest) -> Result<ImportAnswer, ClientError> {
        let request = self.request(Method::POST, routes::IMPORTS, IMPORT)?;
        self.send_order(request.json(import), None).await
    }

    /// Takes machines of a hypervisor into the tree, or says which it would.
    pub async fn adopt(&self, adoption: &AdoptionRequest) -> Result<AdoptionAnswer, ClientError> {
        let request = self.request(Method::POST, routes::ADOPTIONS, REFRESH)?;
        self.send_order(request.json(adoption), None).await
    }

    /// Makes a plan and stores it; nothing is carried out.
    pub async fn plan(&self, request: &PlanRequest) -> Result<Plan, ClientError> {
        self.post(routes::PLANS, request).await
    }

    pub async fn stored_plan(&self, id: &PlanId) -> Result<Plan, ClientError> {
        self.get_named(routes::PLANS, &id.0).await
    }

    /// A page of the machines at and below `path` that have drifted.
    pub async fn drift(
        &self,
        path: &FullName,
        after: Option<&FullName>,
        limit: Option<u32>,
    ) -> Result<DriftPage, ClientError> {
        let mut query = vec![("path", path.to_string())];
        query.extend(after.map(|after| ("after", after.to_string())));
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.get(routes::DRIFT, &query).await
    }

    /// Nothing is repaired or followed at and below a node without a person from now on.
    pub async fn pause(&self, request: &PauseRequest) -> Result<PauseState, ClientError> {
        self.post(routes::NODES_PAUSE, request).await
    }

    /// It is again.
    pub async fn unpause(&self, request: &PauseRequest) -> Result<PauseState, ClientError> {
        self.post(routes::NODES_RESUME, request).await
    }

    /// Says that the machine of a descriptor is gone for good.
    pub async fn say_missing(&self, request: &MissingNodeRequest) -> Result<Relinked, ClientError> {
        self.post(routes::NODES_MISSING, request).await
    }

    /// Links the machine that a descriptor has lost to it again.
    pub async fn link(&self, request: &LinkRequest) -> Result<Relinked, ClientError> {
        self.post(routes::NODES_LINK, request).await
    }
}
