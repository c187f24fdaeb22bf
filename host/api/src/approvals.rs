//! Approvals: what waits for people's signatures, and what they sign.

use enginehouse_model::{FullName, OperationId, Timestamp};
use serde::{Deserialize, Serialize};

/// What one operation destroys on one machine, and who has approved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub operation: OperationId,
    /// The operation that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    /// `undeploy`, …
    pub kind: String,
    pub path: FullName,
    /// Who ordered it: does not approve it.
    pub who: String,
    pub asked_at: Timestamp,
    /// From then on it is too late.
    pub until: Timestamp,
    /// False: it was approved, and its turn comes.
    pub waits: bool,
    /// Signatures of different people that are needed.
    pub need: u32,
    /// How many of them are still to come.
    pub missing: u32,
    /// The node whose definition asks for them; absent: none does any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<FullName>,
    /// Owners of the keys that may sign, as their comments name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_sign: Vec<String>,
    /// Keys of the definition that cannot sign, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed: Vec<ApprovalSignature>,
    /// BLAKE3 of all that it rests on, 64 hexadecimal digits.
    pub digest: String,
    /// What is destroyed, for people.
    pub what: String,
}

/// A signature that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalSignature {
    /// Whose key it is.
    pub owner: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Who handed it in.
    pub by: String,
    pub at: Timestamp,
}

/// Answer of `GET /v1/approvals`: by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalPage {
    pub approvals: Vec<Approval>,
    /// `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<OperationId>,
}

/// Answer of `GET /v1/operations/{number}/approval`: of an operation, or of all its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// What is to be signed, byte by byte: all that waits now. Absent: nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    pub approvals: Vec<Approval>,
    /// Parts that may still come to wait for approval.
    pub not_yet: u32,
}

/// Body of `POST /v1/operations/{number}/approve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// As `ssh-keygen -Y sign -n enginehouse` writes it.
    pub signature: String,
    /// The text that was signed. Absent: that of all that waits now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Body of `POST /v1/operations/{number}/refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefuseRequest {
    pub reason: String,
}
