//! Errors on the wire: RFC 9457, with a code for programs and a hint for people.

use enginehouse_model::FullName;
use serde::{Deserialize, Serialize};

/// What kind of error it is, and by that its HTTP status: one that does not fit cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request is malformed: no JSON, an unknown member, a bad path or number.
    BadRequest,
    /// A definition or parameter is wrong; `errors` says where.
    Invalid,
    /// No token, or another one.
    Unauthorized,
    Forbidden,
    NotFound,
    /// The name is taken, or a folder is not empty.
    Conflict,
    /// The node's state does not allow it.
    WrongState,
    /// It destroys something, and nobody said yes.
    NeedsConfirmation,
    /// The node, or what the plan was made from, has changed since.
    Stale,
    /// It was there and is no longer kept.
    Gone,
    /// A cursor points before what is still kept; `cursor` is where to go on.
    Expired,
    /// The idempotency key was used for another order.
    KeyReused,
    /// The body is too large.
    TooLarge,
    /// Too many at once, or shutting down: try again.
    Busy,
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::WrongState | Self::NeedsConfirmation => 409,
            Self::Gone | Self::Expired => 410,
            Self::Stale => 412,
            Self::TooLarge => 413,
            Self::Invalid | Self::KeyReused => 422,
            Self::Internal => 500,
            Self::Busy => 503,
        }
    }

    /// The same for every error of this code.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "malformed request",
            Self::Invalid => "invalid definition or parameter",
            Self::Unauthorized => "no valid token",
            Self::Forbidden => "not allowed",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::WrongState => "not possible in this state",
            Self::NeedsConfirmation => "needs confirmation",
            Self::Stale => "changed meanwhile",
            Self::Gone => "no longer kept",
            Self::Expired => "cursor expired",
            Self::KeyReused => "idempotency key used for another order",
            Self::TooLarge => "too large",
            Self::Busy => "busy",
            Self::Internal => "internal error",
        }
    }
}

/// Body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: what the error is, its `code` says.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What and where. One sentence without a full stop, lower case.
    pub detail: String,
    pub code: ErrorCode,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of `expired`: the cursor before the oldest that is still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// What is wrong with a definition, all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            hint: None,
            cursor: None,
            errors: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }
}

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub node: FullName,
    /// Path to the member, dotted: `disks.root.size`. Empty: the definition as a whole.
    #[serde(default)]
    pub key: String,
    /// The file that says so, with line and column where these are known; both count from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// What is wrong, when expected and found do not say it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// "did you mean `memory`?"
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of a setting: what its engine says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl FieldError {
    /// About a key of a node; nothing is said of it yet.
    #[must_use]
    pub fn of(node: &FullName, key: impl Into<String>) -> Self {
        Self {
            node: node.clone(),
            key: key.into(),
            file: None,
            line: None,
            column: None,
            message: None,
            expected: None,
            found: None,
            hint: None,
            description: None,
        }
    }
}
