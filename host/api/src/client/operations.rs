//! Operations: ordering, following and ending them.

use std::time::Duration;

use enginehouse_model::OperationId;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_MATCH};

use super::{ANSWER, Client, numbered};
use crate::{
    ClientError, LogPage, MoveRequest, Operation, OperationFilter, OperationPage, OperationRequest,
    OperationStream, Problem, RequestPage, ResolveAs, ResolveRequest, ResultPage, routes,
};

impl Client {
    /// Orders something. The operation is on disk when this returns; a quick one has ended.
    ///
    /// When the connection is lost before the answer is there, it is sent again: what was taken in is
    /// not taken in twice. `key`: see [`routes::IDEMPOTENCY_KEY`]; `None`: one is drawn. `revision`:
    /// refused as `stale` when the node has another by now.
    pub async fn order(
        &self,
        order: &OperationRequest,
        key: Option<&str>,
        revision: Option<u64>,
    ) -> Result<Operation, ClientError> {
        let mut request = self.request(Method::POST, routes::OPERATIONS, ANSWER)?;
        if let Some(revision) = revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        self.send_order(request.json(order), key).await
    }

    pub async fn operations(&self, filter: &OperationFilter) -> Result<OperationPage, ClientError> {
        let mut query: Vec<(&str, String)> = Vec::new();
        if let Some(state) = filter.state {
            query.push(("state", state.as_str().to_owned()));
        }
        if let Some(path) = &filter.path {
            query.push(("path", path.to_string()));
        }
        if let Some(before) = filter.before {
            query.push(("before", before.to_string()));
        }
        if let Some(limit) = filter.limit {
            query.push(("limit", limit.to_string()));
        }
        self.get(routes::OPERATIONS, &query).await
    }

    pub async fn operation(&self, number: OperationId) -> Result<Operation, ClientError> {
        self.get(&numbered(routes::OPERATION, number), &()).await
    }

    /// Returns as soon as the operation has ended or needs a person, and else after `timeout`
    /// (at most [`routes::WAIT_MAX_MS`]) with the operation as it is then.
    pub async fn wait(
        &self,
        number: OperationId,
        timeout: Duration,
    ) -> Result<Operation, ClientError> {
        let timeout = timeout.min(Duration::from_millis(routes::WAIT_MAX_MS));
        let path = numbered(routes::OPERATION_WAIT, number);
        let request = self
            .request(Method::GET, &path, ANSWER + timeout)?
            .query(&[("timeout_ms", timeout.as_millis().to_string())]);
        self.send(request).await
    }

    /// Operations in the order in which they ended, after a cursor, or from the oldest that is kept.
    /// Where there is none, it waits for the first one, `wait` at most (and
    /// [`routes::WAIT_MAX_MS`]).
    pub async fn results(
        &self,
        after: Option<&str>,
        limit: Option<u32>,
        wait: Duration,
    ) -> Result<ResultPage, ClientError> {
        let wait = wait.min(Duration::from_millis(routes::WAIT_MAX_MS));
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(after.map(|after| ("after", after.to_owned())));
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        if !wait.is_zero() {
            query.push(("wait_ms", wait.as_millis().to_string()));
        }
        let request = self.request(Method::GET, routes::RESULTS, ANSWER + wait)?;
        self.send(request.query(&query)).await
    }

    /// What happens to the operation, as it happens: how it is now, then each change, and with `log`
    /// each line of its log from the first. The stream ends when the operation has.
    pub async fn operation_events(
        &self,
        number: OperationId,
        log: bool,
    ) -> Result<OperationStream, ClientError> {
        let url = self.url_of(&numbered(routes::OPERATION_EVENTS, number))?;
        let request = self
            .http
            .get(url)
            .header(ACCEPT, "text/event-stream")
            .query(&[("log", log)]);
        let unreachable = |source: reqwest::Error| ClientError::Unreachable {
            url: self.url().to_owned(),
            source: source.without_url(),
        };
        let not_understood = |status: u16| ClientError::Answer {
            url: self.url().to_owned(),
            status,
            source: None,
        };
        let Ok(answer) = tokio::time::timeout(ANSWER, request.send()).await else {
            return Err(not_understood(0));
        };
        let answer = answer.map_err(unreachable)?;
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if answer.status().is_success() && is_stream {
            return Ok(OperationStream::new(self.url().to_owned(), answer));
        }
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(unreachable)?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(not_understood(status)),
        }
    }

    /// Lines of the operation's log with a `seq` above `after`; of a parent, those of its children
    /// are not among them.
    pub async fn log(&self, number: OperationId, after: u64) -> Result<LogPage, ClientError> {
        self.get(
            &numbered(routes::OPERATION_LOG, number),
            &[("after", after)],
        )
        .await
    }

    /// The requests that the operation made to the provider.
    pub async fn requests(&self, number: OperationId) -> Result<RequestPage, ClientError> {
        self.get(&numbered(routes::OPERATION_REQUESTS, number), &())
            .await
    }

    /// Asks the operation to end where nothing is half done.
    pub async fn cancel(&self, number: OperationId) -> Result<Operation, ClientError> {
        let path = numbered(routes::OPERATION_CANCEL, number);
        self.send(self.request(Method::POST, &path, ANSWER)?).await
    }

    /// Gives an operation that has not begun another place in its lane.
    pub async fn move_operation(
        &self,
        number: OperationId,
        place: MoveRequest,
    ) -> Result<Operation, ClientError> {
        let path = numbered(routes::OPERATION_MOVE, number);
        self.post(&path, &place).await
    }

    /// Says what became of an operation that is in doubt.
    pub async fn resolve(
        &self,
        number: OperationId,
        verdict: ResolveAs,
    ) -> Result<Operation, ClientError> {
        let path = numbered(routes::OPERATION_RESOLVE, number);
        self.post(&path, &ResolveRequest { verdict }).await
    }
}
