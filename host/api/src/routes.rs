//! The routes, as the server's router and the client both use them.
//!
//! | method and route | query | request | answer |
//! | --- | --- | --- | --- |
//! | `GET /healthz` (no token) | | | [`Healthz`](crate::Healthz) |
//! | `GET /v1/info` | | | [`Info`](crate::Info) |
//! | `GET /v1/tree` | `path`, `depth` | | [`TreeNode`](crate::TreeNode) |
//! | `GET /v1/nodes` | `path` | | [`Node`](crate::Node), `ETag` |
//! | `GET /v1/nodes/history` | `path` or `uid`, `before`, `limit` | | [`HistoryPage`](crate::HistoryPage), newest first, also of a node that is gone |
//! | `POST /v1/previews` | `limit` | [`OperationRequest`](crate::OperationRequest) that changes the tree | [`Preview`](crate::Preview) |
//! | `POST /v1/operations` | | [`OperationRequest`](crate::OperationRequest), `Idempotency-Key`, `If-Match` | 200 or 202 [`Operation`](crate::Operation) |
//! | `GET /v1/operations` | `state`, `path`, `before`, `limit` | | [`OperationPage`](crate::OperationPage), newest first |
//! | `GET /v1/operations/{number}` | | | [`Operation`](crate::Operation) |
//! | `GET /v1/operations/{number}/wait` | `timeout_ms` | | [`Operation`](crate::Operation), as soon as it has ended or waits for a person, else when the time is over |
//! | `GET /v1/operations/{number}/log` | `after`, `limit` | | [`LogPage`](crate::LogPage) |
//! | `GET /v1/operations/{number}/requests` | | | [`RequestPage`](crate::RequestPage) |
//! | `GET /v1/operations/{number}/events` | `log`, `timeout_ms` | `Last-Event-ID` | [events](crate::events) of the operation and its log, until it has ended |
//! | `GET /v1/events` | `timeout_ms` | `Last-Event-ID` | [events](crate::events) of all that the caller may read |
//! | `POST /v1/operations/{number}/cancel` | | | [`Operation`](crate::Operation) |
//! | `POST /v1/operations/{number}/move` | | [`MoveRequest`](crate::MoveRequest) | [`Operation`](crate::Operation) |
//! | `POST /v1/operations/{number}/resolve` | | [`ResolveRequest`](crate::ResolveRequest) | [`Operation`](crate::Operation) |
//! | `GET /v1/operations/{number}/approval` | | | [`ApprovalRequest`](crate::ApprovalRequest): what is to be signed |
//! | `POST /v1/operations/{number}/approve` | | [`ApproveRequest`](crate::ApproveRequest) | [`Operation`](crate::Operation) |
//! | `POST /v1/operations/{number}/refuse` | | [`RefuseRequest`](crate::RefuseRequest) | [`Operation`](crate::Operation) |
//! | `GET /v1/approvals` | `path`, `after`, `limit` | | [`ApprovalPage`](crate::ApprovalPage): what waits for approval |
//! | `GET /v1/results` | `after`, `limit`, `wait_ms` | | [`ResultPage`](crate::ResultPage), in the order of the ends; waits for the first one |
//! | `GET /v1/executed` | `path`, `who`, `kind`, `outcome`, `since`, `until`, `before`, `limit` | | [`ExecutedPage`](crate::ExecutedPage), the last to end first |
//! | `GET /v1/audit` | `path`, `who`, `action`, `operation`, `since`, `until`, `before` or `after`, `limit` | | [`AuditPage`](crate::AuditPage), newest first; with `after` oldest first |
//! | `GET /v1/audit/head` | | | [`AuditHead`](crate::AuditHead) |
//! | `GET /v1/export` | `path` | | [`Export`](crate::Export) |
//! | `POST /v1/imports` | | [`ImportRequest`](crate::ImportRequest), up to [`IMPORT_MAX`] bytes; `Idempotency-Key` | 200 or 202 [`ImportAnswer`](crate::ImportAnswer) |
//! | `POST /v1/adoptions` | | [`AdoptionRequest`](crate::AdoptionRequest), `Idempotency-Key` | 200 or 202 [`AdoptionAnswer`](crate::AdoptionAnswer), when all is seen |
//! | `POST /v1/plans` | | [`PlanRequest`](crate::PlanRequest) | [`Plan`](crate::Plan) |
//! | `GET /v1/plans/{id}` | | | [`Plan`](crate::Plan) |
//! | `GET /v1/engines` | | | [`EngineList`](crate::EngineList) |
//! | `GET /v1/engines/{name}` | | | [`Engine`](crate::Engine) |
//! | `GET /v1/drift` | `path`, `after`, `limit` | | [`DriftPage`](crate::DriftPage) |
//! | `POST /v1/nodes/pause` | | [`PauseRequest`](crate::PauseRequest) | [`PauseState`](crate::PauseState) |
//! | `POST /v1/nodes/resume` | | [`PauseRequest`](crate::PauseRequest) | [`PauseState`](crate::PauseState) |
//! | `POST /v1/nodes/missing` | | [`MissingNodeRequest`](crate::MissingNodeRequest) | [`Relinked`](crate::Relinked) |
//! | `POST /v1/nodes/link` | | [`LinkRequest`](crate::LinkRequest) | [`Relinked`](crate::Relinked) |
//! | `GET /v1/hypervisors` | `path` | | [`HypervisorList`](crate::HypervisorList) |
//! | `POST /v1/hypervisors/check` | | [`CheckRequest`](crate::CheckRequest) | [`CheckResults`](crate::CheckResults) |
//! | `POST /v1/hypervisors/refresh` | | [`RefreshRequest`](crate::RefreshRequest) | [`RefreshResults`](crate::RefreshResults), when all is seen |
//! | `POST /v1/hypervisors/missing` | | [`MissingRequest`](crate::MissingRequest) | [`HypervisorRefresh`](crate::HypervisorRefresh): what a look finds then |
//! | `GET /v1/hypervisors/machines` | `name`, `path`, `after`, `limit` | | [`MachinePage`](crate::MachinePage) |
//! | `GET /v1/whoami` | | | [`WhoAmI`](crate::WhoAmI) |
//! | `GET /v1/grants` | `path` | | [`GrantList`](crate::GrantList) |
//! | `GET /v1/tokens` | | | [`TokenList`](crate::TokenList) |
//! | `POST /v1/tokens` | | [`TokenRequest`](crate::TokenRequest) | [`CreatedToken`](crate::CreatedToken) |
//! | `DELETE /v1/tokens/{id}` | | | [`Token`](crate::Token), revoked |
//! | `POST /v1/tokens/rotate` | | | [`RotatedToken`](crate::RotatedToken) |
//! | `GET /v1/secrets` | | | [`SecretList`](crate::SecretList) |
//! | `PUT /v1/secrets/{name}`, `/` in it as `%2F` | | [`SecretValue`](crate::SecretValue), `Idempotency-Key` | [`Operation`](crate::Operation) |
//! | `DELETE /v1/secrets/{name}` | | `Idempotency-Key` | [`Operation`](crate::Operation) |
//! | `POST /v1/secret-key/rotate` | | `Idempotency-Key` | [`Operation`](crate::Operation) |
//! | `GET /v1/backup` | | | the database as a file, [`Backup`](crate::Backup) in [`BACKUP_HEADER`] |
//! | `POST /v1/resume` | | | [`Resumed`](crate::Resumed) |
//!
//! Errors: [`Problem`](crate::Problem) as `application/problem+json`. An `ETag` is the node's
//! revision in quotes; `If-Match` on an order makes it fail with `stale` when the node has another.

pub const HEALTHZ: &str = "/healthz";
pub const INFO: &str = "/v1/info";
pub const TREE: &str = "/v1/tree";
pub const NODES: &str = "/v1/nodes";
pub const NODES_HISTORY: &str = "/v1/nodes/history";
pub const PREVIEWS: &str = "/v1/previews";
pub const OPERATIONS: &str = "/v1/operations";
pub const OPERATION: &str = "/v1/operations/{number}";
pub const OPERATION_WAIT: &str = "/v1/operations/{number}/wait";
pub const OPERATION_LOG: &str = "/v1/operations/{number}/log";
pub const OPERATION_REQUESTS: &str = "/v1/operations/{number}/requests";
pub const OPERATION_EVENTS: &str = "/v1/operations/{number}/events";
pub const EVENTS: &str = "/v1/events";
pub const OPERATION_CANCEL: &str = "/v1/operations/{number}/cancel";
pub const OPERATION_MOVE: &str = "/v1/operations/{number}/move";
pub const OPERATION_RESOLVE: &str = "/v1/operations/{number}/resolve";
pub const OPERATION_APPROVAL: &str = "/v1/operations/{number}/approval";
pub const OPERATION_APPROVE: &str = "/v1/operations/{number}/approve";
pub const OPERATION_REFUSE: &str = "/v1/operations/{number}/refuse";
pub const APPROVALS: &str = "/v1/approvals";
pub const RESULTS: &str = "/v1/results";
pub const EXECUTED: &str = "/v1/executed";
pub const AUDIT: &str = "/v1/audit";
pub const AUDIT_HEAD: &str = "/v1/audit/head";
pub const EXPORT: &str = "/v1/export";
pub const IMPORTS: &str = "/v1/imports";
pub const ADOPTIONS: &str = "/v1/adoptions";
pub const PLANS: &str = "/v1/plans";
pub const PLAN: &str = "/v1/plans/{id}";
pub const ENGINES: &str = "/v1/engines";
pub const ENGINE: &str = "/v1/engines/{name}";
pub const NODES_PAUSE: &str = "/v1/nodes/pause";
pub const NODES_RESUME: &str = "/v1/nodes/resume";
pub const NODES_MISSING: &str = "/v1/nodes/missing";
pub const NODES_LINK: &str = "/v1/nodes/link";
pub const DRIFT: &str = "/v1/drift";
pub const HYPERVISORS: &str = "/v1/hypervisors";
pub const HYPERVISORS_CHECK: &str = "/v1/hypervisors/check";
pub const HYPERVISORS_REFRESH: &str = "/v1/hypervisors/refresh";
pub const HYPERVISORS_MISSING: &str = "/v1/hypervisors/missing";
pub const HYPERVISORS_MACHINES: &str = "/v1/hypervisors/machines";
pub const WHOAMI: &str = "/v1/whoami";
pub const GRANTS: &str = "/v1/grants";
pub const TOKENS: &str = "/v1/tokens";
pub const TOKEN: &str = "/v1/tokens/{id}";
pub const TOKENS_ROTATE: &str = "/v1/tokens/rotate";
pub const SECRETS: &str = "/v1/secrets";
pub const SECRET: &str = "/v1/secrets/{name}";
pub const SECRET_KEY_ROTATE: &str = "/v1/secret-key/rotate";
pub const BACKUP: &str = "/v1/backup";
pub const RESUME: &str = "/v1/resume";

/// Header of the answer of [`BACKUP`] with what is in the file.
pub const BACKUP_HEADER: &str = "enginehouse-backup";

/// Header with a key of the client's choice, by which an order that is sent again is known: the same
/// key with the same order is answered with the operation that the first one became, with another
/// order it is refused as `key-reused`. Keys are those of a subject: others have others.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Longest key; visible ASCII characters without spaces.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// Header of an answer to an order that was taken in before: `true`.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// Media type of errors (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Longest time that `wait` takes, and `wait_ms` of results; a longer one asked for is cut to it. Milliseconds.
pub const WAIT_MAX_MS: u64 = 60_000;

/// Operations or log lines in a page when the request does not say, and at most.
pub const PAGE_DEFAULT: u32 = 50;
pub const PAGE_MAX: u32 = 1000;

/// Nodes that a preview lists when the request does not say; at most [`PAGE_MAX`].
pub const PREVIEW_DEFAULT: u32 = 100;
/// Largest body of an import, bytes.
pub const IMPORT_MAX: usize = 256 << 20;
