//! Wire types of the REST API under `/v1`, and its client.
//!
//! **One way in for what changes something.** Whatever a client orders, from creating a folder to
//! undeploying a tree, is an operation: `POST /v1/operations` with its kind, the path it is about,
//! and its parameters. Everything else reads. See [`routes`] for the list.
//!
//! **How documents grow.** Members are added, never removed or given another meaning. A reader of an
//! answer ignores what it does not know; a request with an unknown member is refused, so that a
//! misspelt `keep_disks` destroys nothing.

mod access;
mod adoption;
mod approvals;
mod audit;
mod client;
mod doubt;
mod drift;
mod engines;
mod error;
pub mod events;
mod filters;
mod grants;
mod history;
mod hypervisors;
mod info;
mod inventory;
mod lost;
mod node;
mod operation;
mod order;
mod plan;
mod preview;
mod problem;
mod recovery;
mod results;
pub mod routes;
mod secrets;
mod sse;
mod stream;
mod text;
mod tokens;
mod waves;

pub use access::{ADDRESS_FILE, Access, AccessError, TOKEN_FILE};
pub use adoption::{
    AdoptedMachine, AdoptionAnswer, AdoptionCounts, AdoptionRequest, Adopts, LeftMachine,
};
pub use approvals::{
    Approval, ApprovalPage, ApprovalRequest, ApprovalSignature, ApproveRequest, RefuseRequest,
};
pub use audit::{AuditHead, AuditLine, AuditPage};
pub use client::{BackupStream, Client};
pub use doubt::{Doubt, DoubtHypervisor, DoubtfulRequest, Finding, Verdict};
pub use drift::{Drift, DriftEvent, DriftPage, DriftedMachine, PauseRequest, PauseState, Paused};
pub use engines::{Engine, EngineList, EngineSummary, RefusedEngine};
pub use error::ClientError;
pub use events::{End, EndReason, HypervisorEvent, NodeEvent, OperationEvent, Reset};
pub use filters::{AuditFilter, ExecutedFilter, HistoryOf, OperationFilter};
pub use grants::{Grant, GrantChange, GrantList, Role};
pub use history::{
    DefinitionVersions, HistoryChange, HistoryEntry, HistoryMachine, HistoryPage, HistoryPart,
    OtherNode, flattened,
};
pub use hypervisors::{CheckRequest, CheckResults, Hypervisor, HypervisorCheck, HypervisorList};
pub use info::{Healthz, Info};
pub use inventory::{
    AbsentMachine, FoundMachine, HypervisorRefresh, InventoryState, MachinePage, MissingRequest,
    Reading, RefreshRequest, RefreshResults, Whose,
};
pub use lost::{LinkRequest, MissingNodeRequest, Relinked, ReturnedMachine};
pub use node::{
    ComputedValue, HIDDEN, LastError, LastOperation, Node, NodeKind, Origin, OriginVia,
    ProtectedMachine, Status, TreeNode,
};
pub use operation::{
    ChildOperation, CreatedObject, FailedObject, LogLine, LogPage, LogSource, Operation,
    OperationError, OperationPage, OperationResult, OperationState, Progress, RequestPage,
    RequestRecord, Step, StepState,
};
pub use order::{
    Automatic, Change, MoveRequest, OnFailure, OperationKind, OperationRequest, Params, ResolveAs,
    ResolveRequest, Undo,
};
pub use plan::{
    ActionClass, ClassCounts, Plan, PlanAction, PlanId, PlanMachine, PlanPreview, PlanRequest,
};
pub use preview::{
    KeyChange, PendingChange, Preview, PreviewCounts, PreviewNode, RightsChange, TracedValue,
};
pub use problem::{ErrorCode, FieldError, Problem};
pub use recovery::{Backup, OnHold, Resumed};
pub use results::{EndedOperation, ExecutedLine, ExecutedPage, ResultPage};
pub use secrets::{SecretInfo, SecretList, SecretValue};
pub use stream::OperationStream;
pub use text::{
    DefinitionChange, Export, ImportAnswer, ImportCounts, ImportMachine, ImportNode, ImportRequest,
};
pub use tokens::{CreatedToken, RotatedToken, Token, TokenList, TokenRequest, TokenState, WhoAmI};
pub use waves::{WaveSize, WaveSizeError};
