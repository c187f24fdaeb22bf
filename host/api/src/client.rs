//! The client: one method for each route.

mod sending;

use std::time::Duration;

use enginehouse_model::{FullName, OperationId, SecretName};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, Url};
use serde::Serialize;

use crate::{
    Access, AdoptionAnswer, AdoptionRequest, ApprovalPage, ApprovalRequest, ApproveRequest,
    AuditFilter, AuditHead, AuditPage, Backup, CheckRequest, CheckResults, ClientError,
    CreatedToken, DriftPage, Engine, EngineList, ExecutedFilter, ExecutedPage, Export, GrantList,
    Healthz, HistoryOf, HistoryPage, HypervisorList, HypervisorRefresh, ImportAnswer,
    ImportRequest, Info, LinkRequest, LogPage, MachinePage, MissingNodeRequest, MissingRequest,
    MoveRequest, Node, Operation, OperationFilter, OperationKind, OperationPage, OperationRequest,
    OperationState, OperationStream, PauseRequest, PauseState, Plan, PlanId, PlanRequest, Preview,
    Problem, RefreshRequest, RefreshResults, RefuseRequest, Relinked, RequestPage, ResolveAs,
    ResolveRequest, ResultPage, Resumed, RotatedToken, SecretList, SecretValue, Token, TokenList,
    TokenRequest, TreeNode, WhoAmI, routes,
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the server may take for an answer, beside what a request asks it to wait. Making a plan
/// or checking hypervisors asks their providers, so it is not short.
const ANSWER: Duration = Duration::from_secs(120);

/// The same for an export or import of a large tree.
const IMPORT: Duration = Duration::from_secs(600);

/// The same for a look at hypervisors: every machine of a large one takes hours where it is slow.
const REFRESH: Duration = Duration::from_secs(6 * 3600);

/// The same for a backup, all of it.
const BACKUP: Duration = Duration::from_secs(3600);

/// Speaks to one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Ends with `/`.
    base: Url,
}

impl Client {
    /// # Errors
    /// When the URL is none, or the token cannot be sent. Nothing is sent yet.
    pub fn new(access: &Access) -> Result<Self, ClientError> {
        let no_url = || ClientError::Url {
            url: access.url.clone(),
        };
        let base = format!("{}/", access.url.trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|_| no_url())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(no_url());
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access.token))
            .map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Fails when the process has one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, base })
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// # Errors
    /// See [`ClientError`]; so for all methods below.
    pub async fn healthz(&self) -> Result<Healthz, ClientError> {
        self.get(routes::HEALTHZ, &()).await
    }

    pub async fn info(&self) -> Result<Info, ClientError> {
        self.get(routes::INFO, &()).await
    }

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

    /// Who the token stands for, and what it may do.
    pub async fn whoami(&self) -> Result<WhoAmI, ClientError> {
        self.get(routes::WHOAMI, &()).await
    }

    /// What is granted: all that holds at `path`, or what is written anywhere.
    pub async fn grants(&self, path: Option<&FullName>) -> Result<GrantList, ClientError> {
        let query: Vec<(&str, &FullName)> = path.map(|path| ("path", path)).into_iter().collect();
        self.get(routes::GRANTS, &query).await
    }

    pub async fn tokens(&self) -> Result<TokenList, ClientError> {
        self.get(routes::TOKENS, &()).await
    }

    /// Makes a token; this answer is the only one that shows it.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<CreatedToken, ClientError> {
        self.post(routes::TOKENS, request).await
    }

    /// Ends a token for good.
    pub async fn revoke_token(&self, id: &str) -> Result<Token, ClientError> {
        let url = self.named(routes::TOKENS, id)?;
        self.send(self.http.delete(url).timeout(ANSWER)).await
    }

    /// Makes a new token of the installation in place of the one that is.
    pub async fn rotate_token(&self) -> Result<RotatedToken, ClientError> {
        self.send(self.request(Method::POST, routes::TOKENS_ROTATE, ANSWER)?)
            .await
    }

    /// All secrets, without their values.
    pub async fn secrets(&self) -> Result<SecretList, ClientError> {
        self.get(routes::SECRETS, &()).await
    }

    /// Gives a secret a value.
    pub async fn set_secret(
        &self,
        name: &SecretName,
        value: &SecretValue,
    ) -> Result<Operation, ClientError> {
        let url = self.named(routes::SECRETS, name.as_str())?;
        self.send_order(self.http.put(url).timeout(ANSWER).json(value), None)
            .await
    }

    /// Removes a secret that nothing uses.
    pub async fn remove_secret(&self, name: &SecretName) -> Result<Operation, ClientError> {
        let url = self.named(routes::SECRETS, name.as_str())?;
        self.send_order(self.http.delete(url).timeout(ANSWER), None)
            .await
    }

    /// Encrypts all secrets with a new key.
    pub async fn rotate_key(&self) -> Result<Operation, ClientError> {
        let request = self.request(Method::POST, routes::SECRET_KEY_ROTATE, ANSWER)?;
        self.send_order(request, None).await
    }

    /// All that the host has to remember, as a file that comes in pieces. Reading what it holds is
    /// reading everything: it needs the role admin on the root.
    pub async fn backup(&self) -> Result<BackupStream, ClientError> {
        let request = self.request(Method::GET, routes::BACKUP, BACKUP)?;
        let answer = request
            .send()
            .await
            .map_err(|source| self.unreachable(source))?;
        let info = answer
            .headers()
            .get(routes::BACKUP_HEADER)
            .and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
        match info {
            Some(info) if answer.status().is_success() => Ok(BackupStream {
                info,
                answer,
                url: self.url().to_owned(),
            }),
            // A refusal, or another server's answer.
            Some(_) | None => Err(self.refusal(answer).await),
        }
    }

    /// Lets a host that is on hold after a restore go on.
    pub async fn resume(&self) -> Result<Resumed, ClientError> {
        self.send(self.request(Method::POST, routes::RESUME, ANSWER)?)
            .await
    }
}

/// A backup that is being read.
#[derive(Debug)]
pub struct BackupStream {
    /// What is in it.
    pub info: Backup,
    answer: reqwest::Response,
    url: String,
}

impl BackupStream {
    /// The next piece of the file; none at its end.
    ///
    /// # Errors
    /// When the connection breaks before the end.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = self.answer.chunk().await;
        let piece = piece.map_err(|source| ClientError::Unreachable {
            url: self.url.clone(),
            source: source.without_url(),
        })?;
        Ok(piece.map(Into::into))
    }
}

fn numbered(route: &str, number: OperationId) -> String {
    route.replace("{number}", &number.to_string())
}
