//! Engines, hypervisors and their machines.

use enginehouse_model::FullName;
use reqwest::Method;

use super::{Client, REFRESH};
use crate::{
    CheckRequest, CheckResults, ClientError, Engine, EngineList, HypervisorList, HypervisorRefresh,
    MachinePage, MissingRequest, RefreshRequest, RefreshResults, routes,
};

impl Client {
    pub async fn engines(&self) -> Result<EngineList, ClientError> {
        self.get(routes::ENGINES, &()).await
    }

    pub async fn engine(&self, name: &str) -> Result<Engine, ClientError> {
        self.get_named(routes::ENGINES, name).await
    }

    /// Hypervisors defined at or below `path`.
    pub async fn hypervisors(&self, path: &FullName) -> Result<HypervisorList, ClientError> {
        self.get(routes::HYPERVISORS, &[("path", path)]).await
    }

    /// Asks the hypervisors how they are.
    pub async fn check(&self, request: &CheckRequest) -> Result<CheckResults, ClientError> {
        self.post(routes::HYPERVISORS_CHECK, request).await
    }

    /// Looks at the machines of hypervisors now; answers when all is seen, however long that takes.
    pub async fn refresh(&self, request: &RefreshRequest) -> Result<RefreshResults, ClientError> {
        let post = self.request(Method::POST, routes::HYPERVISORS_REFRESH, REFRESH)?;
        self.send(post.json(request)).await
    }

    /// Agrees that the machines that lists of a hypervisor do not show may be gone.
    pub async fn agree_missing(
        &self,
        request: &MissingRequest,
    ) -> Result<HypervisorRefresh, ClientError> {
        self.post(routes::HYPERVISORS_MISSING, request).await
    }

    /// A page of the machines of the hypervisor that is called `name` at `path`.
    pub async fn machines(
        &self,
        name: &str,
        path: &FullName,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<MachinePage, ClientError> {
        let mut query = vec![("name", name.to_owned()), ("path", path.to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.get(routes::HYPERVISORS_MACHINES, &query).await
    }
}
